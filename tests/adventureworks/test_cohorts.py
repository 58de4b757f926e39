"""Real data: the cohort of each past date is exactly the one that was counted by hand.

The data stays where it is; ``LOOKER_SEGMENT_SHARED_DATA`` names its folder, and without it these
tests are skipped.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import requests

from tests.adventureworks.conftest import SHARED
from tests.operators.conftest import Outcome, load_dag

DATES = [
    date(2017, 1, 1),
    date(2017, 1, 31),
    date(2017, 2, 1),
    date(2017, 12, 31),
    date(2018, 3, 1),
    date(2018, 6, 15),
    date(2018, 9, 30),
    date(2019, 1, 1),
    date(2019, 2, 28),
    date(2019, 5, 31),
    date(2019, 6, 30),
]

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the AdventureWorks data is not here"),
]


@pytest.mark.parametrize("day", DATES, ids=str)
def test_every_dates_cohort_is_exactly_right(
    adventureworks: Any,
    expected: dict[date, tuple[int, str]],
    airflow_db: None,
    monkeypatch: pytest.MonkeyPatch,
    day: date,
) -> None:
    """The example DAG's run for a date sends exactly the users active in the 30 days to it."""
    for name, value in adventureworks.connections().items():
        monkeypatch.setenv(name, value)
    requests.post(f"{adventureworks.segment_url}/_sandbox/reset", timeout=10)
    due = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)

    outcome = Outcome(
        load_dag("daily_cohort").test(logical_date=due, run_conf={"look_id": "7"}), adventureworks
    )

    assert "success" == outcome.states["report"]
    assert expected[day] == arrived(adventureworks)


def arrived(sandbox: Any) -> tuple[int, str]:
    """Count the users that arrived, and hash their ids."""
    found = requests.get(
        f"{sandbox.segment_url}/_sandbox/users", params={"limit": 100_000}, timeout=60
    ).json()
    ids = sorted(user["userId"] for user in found["users"])
    return len(ids), hashlib.sha256("\n".join(ids).encode()).hexdigest()
