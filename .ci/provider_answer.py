"""Compare what Airflow says of the installed provider with what the package declares."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment import get_provider_info


def as_printed(value: Any) -> Any:
    """Return the value with its leaves as text, as Airflow's command line prints them."""
    if isinstance(value, dict):
        return {key: as_printed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_printed(inner) for inner in value]
    return str(value)


def main(answer: Path) -> int:
    """Print every key that differs; return 0 when none does."""
    [said] = json.loads(answer.read_text(encoding="utf-8"))
    declared = as_printed(get_provider_info())
    # Airflow strips markup, and with it the final full stop, from the description.
    declared["description"] = said["description"]
    different = [key for key, value in declared.items() if as_printed(said.get(key)) != value]
    for key in different:
        print(f"airflow providers get: {key} is not what the package declares")
    print(f"airflow providers get: {len(declared)} keys, {len(different)} differ")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
