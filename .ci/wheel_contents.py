"""Compare a wheel with the package's folder: every file of the folder, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile


def main(wheel: Path, package: Path) -> int:
    """Print what is missing or foreign; return 0 when nothing is."""
    expected = {
        path.as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    for name in sorted(expected - packed):
        print(f"not in the wheel: {name} (package_data in setup.cfg?)")
    for name in sorted(packed - expected):
        print(f"foreign to the wheel: {name}")
    print(f"{wheel.name}: {len(packed)} files")
    return int(packed != expected)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
