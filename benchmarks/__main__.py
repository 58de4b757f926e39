"""What this provider costs beside what a user would use instead: ``make bench``.

Prints tables, and writes every figure into ``benchmarks/results/`` as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import destinations, extract, identify, snapshot, startup, targets, whole
from benchmarks.frozen import digests
from benchmarks.machine import commit, load, machine, versions

RESULTS = Path("benchmarks/results")
WHOLE_ROWS = 100_000
DESTINATION_ROWS = 30_000
QUICK = {20_000: 3}
"""Turns by the number of rows."""
FULL = {10_000: 3, 100_000: 3, 1_000_000: 3}
FULL_PARTS = {
    "identify": {100_000: 3, 1_000_000: 2},
    "snapshot": {100_000: 3, 1_000_000: 2},
}
"""Where a turn takes minutes there are fewer of them, so that all parts take less than an hour."""


def bench_extract(turns: dict[int, int]) -> tuple[Any, str]:
    """Measure extract."""
    extract.check()
    results = [extract.measure(*size) for size in turns.items()]
    return results, "\n\n".join(map(extract.as_table, results))


def bench_identify(turns: dict[int, int]) -> tuple[Any, str]:
    """Measure identify, at full speed."""
    identify.check()
    results = [identify.measure(*size) for size in turns.items()]
    return results, "\n\n".join(map(identify.as_table, results))


def bench_throttle(_: dict[int, int]) -> tuple[Any, str]:
    """Measure identify at the rate that Segment allows."""
    results = [identify.measure_throttled(shards) for shards in (1, 4)]
    return results, identify.as_throttled_table(results)


def bench_snapshot(turns: dict[int, int]) -> tuple[Any, str]:
    """Measure what a mode with a snapshot adds to extract."""
    snapshot.check()
    results = [snapshot.measure(*size) for size in turns.items()]
    return results, "\n\n".join(map(snapshot.as_table, results))


def bench_whole(turns: dict[int, int]) -> tuple[Any, str]:
    """Measure whole runs in Airflow."""
    sizes = {whole.COHORT_ROWS: max(turns.values())}
    if WHOLE_ROWS in turns:
        sizes[WHOLE_ROWS] = turns[WHOLE_ROWS]
    results = [whole.measure(*size) for size in sizes.items()]
    return results, whole.as_table(results)


def bench_startup(turns: dict[int, int]) -> tuple[Any, str]:
    """Measure what Airflow pays to read a DAG file."""
    found = startup.measure(max(turns.values()))
    return found, startup.as_table(found)


def bench_destinations(turns: dict[int, int]) -> tuple[Any, str]:
    """Measure what the check of destinations adds to extract."""
    found = destinations.measure(min(DESTINATION_ROWS, max(turns)), max(turns.values()) * 3)
    return found, destinations.as_table(found)


PARTS: dict[str, Callable[[dict[int, int]], tuple[Any, str]]] = {
    "extract": bench_extract,
    "destinations": bench_destinations,
    "identify": bench_identify,
    "snapshot": bench_snapshot,
    "throttle": bench_throttle,
    "startup": bench_startup,
    "whole": bench_whole,
}


def sizes_of(part: str, chosen: argparse.Namespace) -> dict[int, int]:
    """Return how many turns a part takes with how many rows."""
    turns = FULL_PARTS.get(part, FULL) if chosen.full else QUICK
    if chosen.rows:
        turns = dict.fromkeys(chosen.rows, max(turns.values()))
    return {rows: chosen.turns or often for rows, often in turns.items()}


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read what is asked for, from the command line by default."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = ", ".join(PARTS)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {names}; all by default")
    parser.add_argument("--full", action="store_true", help="10,000, 100,000 and 1,000,000 rows")
    parser.add_argument("--rows", type=int, action="append", help="another size; may be repeated")
    parser.add_argument("--turns", type=int, help="how often each way is measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    return parser.parse_args(words)


def main() -> int:
    """Measure what is asked for and tell; return 1 where a part failed, whatever was measured."""
    chosen = arguments()
    began = datetime.now(UTC)
    found: dict[str, Any] = {
        "began": began.isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "alternatives": digests(),
        "load": {"before": load()},
        "seconds": {},
        "failed": {},
    }
    told = {"commit": found["commit"], **found["machine"], **found["versions"], **found["load"]}
    print(" · ".join(f"{key} {value}" for key, value in told.items()), flush=True)
    chosen.results.mkdir(exist_ok=True)
    path = chosen.results / f"{began:%Y-%m-%dT%H%M%S}.json"
    for part in chosen.parts or PARTS:
        start_s = time.monotonic()
        try:
            found[part], text = PARTS[part](sizes_of(part, chosen))
        except Exception as error:  # noqa: BLE001 - the parts before and behind it still count
            text = f"{part} failed:\n{traceback.format_exc()}"
            # An error's text may name folders of this machine.
            found["failed"][part] = type(error).__name__
        found["seconds"][part] = round(time.monotonic() - start_s, 1)
        found["load"][part] = load()
        print(f"\n{text}", flush=True)
        found["targets"] = targets.judge(found)
        path.write_text(json.dumps(found, indent=1) + "\n")
    seconds = sum(found["seconds"].values())
    print(f"\n{targets.as_table(found['targets'])}\n\n{path}, after {seconds / 60:.0f} minutes")
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
