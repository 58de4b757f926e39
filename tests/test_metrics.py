"""Metrics: what reaches a statsd server from a run."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment import metrics

REPORT: dict[str, Any] = {
    "dry_run": False,
    "look": {"id": "42", "title": ""},
    "rows": 10,
    "duplicates": 1,
    "rejected": 2,
    "messages": 7,
    "accepted": 6,
    "refused": 1,
    "unknown": 0,
    "not_sent": 0,
    "seconds": 1.5,
    "problems": [{"code": "id_missing", "column": "users.id", "count": 2, "rows": [3, 4]}],
}


class Backend:
    """What Airflow hands metrics to."""

    def __init__(self) -> None:
        self.said: list[tuple[str, float]] = []
        self.tags: list[Any] = []

    def incr(self, name: str, count: int, *, tags: Any) -> None:
        """Note a counter."""
        self.said.append((name, count))
        self.tags.append(tags)

    def timing(self, name: str, milliseconds: float, *, tags: Any) -> None:
        """Note a timing."""
        self.said.append((name, milliseconds))
        self.tags.append(tags)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A backend in the place of Airflow's own, which is none of ours."""
    backend = Backend()
    monkeypatch.setattr(metrics, "_stats", lambda: backend)
    return backend


def test_a_report_becomes_metrics(backend: Backend) -> None:
    """Counters that are zero are left out; the timing is in milliseconds, as Airflow has it."""
    metrics.count(REPORT, dag_id="d")

    assert [
        ("looker_segment.rows", 10),
        ("looker_segment.duplicates", 1),
        ("looker_segment.rejected", 2),
        ("looker_segment.messages", 7),
        ("looker_segment.accepted", 6),
        ("looker_segment.refused", 1),
        ("looker_segment.problems.id_missing", 2),
        ("looker_segment.delivery", 1_500.0),
    ] == backend.said
    assert {"dag_id": "d", "look_id": "42"} == backend.tags[0]


def test_a_dry_run_counts_nothing(backend: Backend) -> None:
    """What was only tried is no figure of a dashboard."""
    metrics.count({**REPORT, "dry_run": True}, dag_id="d")

    assert [] == backend.said


def test_airflow_takes_them() -> None:
    """Airflow's own metrics have what is called."""
    metrics.count(REPORT, dag_id="d")
