"""What a run adds to Airflow's metrics, under documented names.

A report enters; counters and one timing leave, through whatever Airflow sends metrics to. The
names carry no id, because not every backend knows tags; those that do get ``dag_id`` and
``look_id``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "looker_segment"

COUNTERS: Mapping[str, str] = {
    "rows": "rows that Looker gave",
    "duplicates": "repeats of a user, left out",
    "rejected": "rows with a problem, left out",
    "messages": "identify calls to send",
    "accepted": "messages that Segment took",
    "refused": "messages that Segment refused, one by one",
    "unknown": "messages that were sent and had no answer",
    "not_sent": "messages that never left",
}
"""Counters by the name behind the prefix, each with its meaning."""

PROBLEM_COUNTER = "problems.{code}"
"""A counter for each problem's code: rows with it."""

SECONDS = "delivery"
"""A timing: from the first request to the last answer, of the slowest shard."""


def count(report: Mapping[str, Any], *, dag_id: str) -> None:
    """Add a run's report to the metrics; a dry run adds nothing."""
    if report["dry_run"]:
        return
    stats = _stats()
    tags = {"dag_id": dag_id, "look_id": str(report["look"]["id"])}
    for name in COUNTERS:
        if report[name]:
            stats.incr(f"{PREFIX}.{name}", report[name], tags=tags)
    for problem in report["problems"]:
        name = PROBLEM_COUNTER.format(code=problem["code"])
        stats.incr(f"{PREFIX}.{name}", problem["count"], tags=tags)
    # Airflow's timings are in milliseconds.
    stats.timing(f"{PREFIX}.{SECONDS}", report["seconds"] * 1_000, tags=tags)


def _stats() -> Any:
    try:
        from airflow.sdk.observability import stats  # noqa: PLC0415 - since Airflow 3.2
    except ImportError:
        from airflow.stats import Stats  # noqa: PLC0415 - before

        return Stats
    return stats
