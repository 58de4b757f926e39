"""Environments with this checkout and what else a test wants beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
_UV = CHECKOUT / ".venv" / "bootstrap" / "bin" / "uv"


def environment(folder: Path, *wanted: str) -> Path:
    """Make an environment; return its interpreter.

    :param folder: an empty one.
    :param wanted: what to install beside this checkout, in the installer's words.
    """
    if not _UV.exists():
        pytest.skip("uv makes the environment, and there is none")
    python = folder / "environment" / "bin" / "python"
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(python.parents[1])],
        ["pip", "install", "--quiet", "--python", str(python), str(CHECKOUT), *wanted],
        ["pip", "check", "--quiet", "--python", str(python)],
    ):
        done = subprocess.run([_UV, *command], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr[-3_000:]
    return python
