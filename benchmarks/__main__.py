"""What this provider costs beside what a user would use instead: ``make bench``.

Prints tables, and writes every figure into ``benchmarks/results/`` as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import destinations, extract, identify, snapshot, startup, targets, whole
from benchmarks.frozen import digests
from benchmarks.machine import commit, load, machine, versions

RESULTS = Path("benchmarks/results")
QUICK = ([20_000], 3)
WHOLE_ROWS = 100_000
DESTINATION_ROWS = 30_000
FULL = ([10_000, 100_000, 1_000_000], 3)


def bench_extract(sizes: list[int], turns: int) -> tuple[Any, str]:
    """Measure extract."""
    extract.check()
    results = [extract.measure(rows, turns) for rows in sizes]
    return results, "\n\n".join(map(extract.as_table, results))


def bench_identify(sizes: list[int], turns: int) -> tuple[Any, str]:
    """Measure identify, at full speed."""
    identify.check()
    results = [identify.measure(rows, turns) for rows in sizes]
    return results, "\n\n".join(map(identify.as_table, results))


def bench_throttle(_: list[int], __: int) -> tuple[Any, str]:
    """Measure identify at the rate that Segment allows."""
    results = [identify.measure_throttled(shards) for shards in (1, 4)]
    return results, identify.as_throttled_table(results)


def bench_snapshot(sizes: list[int], turns: int) -> tuple[Any, str]:
    """Measure what a mode with a snapshot adds to extract."""
    results = [snapshot.measure(rows, turns) for rows in sizes]
    return results, "\n\n".join(map(snapshot.as_table, results))


def bench_whole(sizes: list[int], turns: int) -> tuple[Any, str]:
    """Measure whole runs in Airflow."""
    more = [rows for rows in sizes if rows == WHOLE_ROWS]
    results = [whole.measure(rows, turns) for rows in (whole.COHORT_ROWS, *more)]
    return results, whole.as_table(results)


def bench_startup(_: list[int], turns: int) -> tuple[Any, str]:
    """Measure what Airflow pays to read a DAG file."""
    found = startup.measure(turns)
    return found, startup.as_table(found)


def bench_destinations(sizes: list[int], turns: int) -> tuple[Any, str]:
    """Measure what the check of destinations adds to extract."""
    found = destinations.measure(min(DESTINATION_ROWS, max(sizes)), turns * 3)
    return found, destinations.as_table(found)


PARTS: dict[str, Callable[[list[int], int], tuple[Any, str]]] = {
    "extract": bench_extract,
    "destinations": bench_destinations,
    "identify": bench_identify,
    "snapshot": bench_snapshot,
    "throttle": bench_throttle,
    "startup": bench_startup,
    "whole": bench_whole,
}


def main() -> None:
    """Read what is asked for from the command line, measure it and tell."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all by default"
    )
    parser.add_argument("--full", action="store_true", help="10,000, 100,000 and 1,000,000 rows")
    parser.add_argument("--rows", type=int, action="append", help="another size; may be repeated")
    parser.add_argument("--turns", type=int, help="how often each way is measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the figures")
    chosen = parser.parse_args()
    sizes, turns = FULL if chosen.full else QUICK
    sizes, turns = chosen.rows or sizes, chosen.turns or turns
    began = datetime.now(UTC)
    found: dict[str, Any] = {
        "began": began.isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "alternatives": digests(),
        "load": {"before": load()},
        "seconds": {},
    }
    told = {"commit": found["commit"], **found["machine"], **found["versions"], **found["load"]}
    print(" · ".join(f"{key} {value}" for key, value in told.items()), flush=True)
    chosen.results.mkdir(exist_ok=True)
    path = chosen.results / f"{began:%Y-%m-%dT%H%M%S}.json"
    for part in chosen.parts or PARTS:
        start_s = time.monotonic()
        found[part], text = PARTS[part](sizes, turns)
        found["seconds"][part] = round(time.monotonic() - start_s, 1)
        found["load"][part] = load()
        print(f"\n{text}", flush=True)
        found["targets"] = targets.judge(found)
        path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{targets.as_table(found['targets'])}")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
