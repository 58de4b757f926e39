"""A real backfill of real data: ``airflow backfill create`` makes a history of right cohorts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.adventureworks.conftest import SHARED
from tests.live.airflow import LiveAirflow
from tests.operators.conftest import sent, summary

EXAMPLE = Path(__file__).parents[2] / "dags" / "daily_cohort.py"
FIRST, LAST = date(2018, 8, 9), date(2018, 8, 20)
DAYS = [FIRST + timedelta(days=index) for index in range((LAST - FIRST).days + 1)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.airflow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not SHARED.is_dir(), reason="the AdventureWorks data is not here"),
]


@pytest.fixture
def airflow(adventureworks: Any, tmp_path: Path) -> Iterator[LiveAirflow]:
    """A running Airflow with the example DAG, between stand-ins that hold the real data."""
    with LiveAirflow(tmp_path, dags=[EXAMPLE], connections=adventureworks.connections()) as running:
        yield running


def test_a_backfill_makes_every_dates_cohort(
    adventureworks: Any,
    airflow: LiveAirflow,
    expected: dict[date, tuple[int, str]],
) -> None:
    """Each date's users, no more and no fewer, each with the end of that date as its moment."""
    airflow.backfill(
        "daily_cohort",
        first=FIRST,
        last=LAST,
        conf='{"look_id": "7", "allow_older": true}',
        arguments=["--max-active-runs", "3"],
    )
    states = airflow.wait_for_backfill("daily_cohort", runs=len(DAYS), timeout_s=600)

    assert ["success"] * len(DAYS) == states
    assert {day: expected[day] for day in DAYS} == cohorts(adventureworks)
    assert 0 == summary(adventureworks)["duplicates"]


def cohorts(sandbox: Any) -> dict[date, tuple[int, str]]:
    """Count the users that arrived for each date, and hash their ids."""
    users: dict[date, list[str]] = defaultdict(list)
    for message in sent(sandbox):
        end = datetime.fromisoformat(message["timestamp"])
        assert end == end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        users[end.date() - timedelta(days=1)].append(message["userId"])
    return {
        day: (len(ids), hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest())
        for day, ids in users.items()
    }
