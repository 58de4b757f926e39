"""Real backfills of real data: ``airflow backfill create`` makes a history of right cohorts."""

from __future__ import annotations

import hashlib
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.adventureworks.conftest import SHARED
from tests.live.airflow import LiveAirflow
from tests.live.conftest import Arrived
from tests.operators.conftest import sent, summary

DAG = "daily_cohort"
EXAMPLE = Path(__file__).parents[2] / "dags" / f"{DAG}.py"
# An August in which cohorts double: many come, and some leave.
FIRST, LAST = date(2018, 7, 20), date(2018, 8, 18)
DAYS = [FIRST + timedelta(days=index) for index in range((LAST - FIRST).days + 1)]
AT_ONCE = 3

Cohorts = dict[date, tuple[int, str]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.airflow,
    pytest.mark.timeout(1_800),
    pytest.mark.skipif(not SHARED.is_dir(), reason="the AdventureWorks data is not here"),
]


@pytest.fixture
def airflow(adventureworks: Any, tmp_path: Path) -> Iterator[LiveAirflow]:
    """A running Airflow with the example DAG, between stand-ins that hold the real data."""
    place = {"path": f"file://{tmp_path}/snapshots", "local": True}
    with LiveAirflow(
        tmp_path,
        dags=[EXAMPLE],
        connections=adventureworks.connections(),
        settings={"AIRFLOW_VAR_COHORT_SNAPSHOTS": json.dumps(place)},
    ) as running:
        yield running


def test_backfills_make_every_dates_cohort(
    adventureworks: Any, airflow: LiveAirflow, expected: Cohorts
) -> None:
    """Thirty days forwards, backwards, and twice more with a snapshot, several runs at once.

    Each date's users, no more and no fewer, each with the end of that date as its moment. Whatever
    is sent again by a retry has its first id, and whatever a reprocessed date sends has another.
    """
    cohorts = {day: expected[day] for day in DAYS}
    full = {"look_id": "7", "allow_older": True}
    adventureworks.segment_faults.add("stall", path="/v1/batch", bytes=0, seconds=60, times=1)

    create(airflow, full)
    kill_a_sender(airflow)
    wait(airflow)
    forwards = messages(adventureworks)
    assert cohorts == cohorts_of(forwards)
    assert day_of(forwards[0]) < FIRST + timedelta(days=AT_ONCE)
    # The batch whose sender was killed came again.
    assert summary(adventureworks)["duplicates"] > 0
    ids = {message["messageId"] for message in forwards}
    assert len(forwards) == len(ids)

    forget(adventureworks)
    create(airflow, full, "--run-backwards", "--reprocess-behavior", "completed")
    wait(airflow)
    backwards = messages(adventureworks)
    assert cohorts == cohorts_of(backwards)
    assert day_of(backwards[0]) > LAST - timedelta(days=AT_ONCE)
    assert ids.isdisjoint(message["messageId"] for message in backwards)
    assert len(backwards) == len({message["messageId"] for message in backwards})

    forget(adventureworks)
    changed = {"look_id": "7", "mode": "changed"}
    create(airflow, changed, "--run-backwards", "--reprocess-behavior", "completed")
    wait(airflow)
    assert {day: size for day, (size, _) in cohorts.items()} == rows_of(airflow)
    # Runs that overlapped leave users in doubt, whom the next run sends again.
    newest = {"window_end": (LAST + timedelta(days=1)).isoformat()}
    assert "success" == airflow.wait(airflow.trigger(DAG, conf={**changed, **newest}))
    assert in_order(forwards) == Arrived.at(adventureworks).profiles
    assert summary(adventureworks)["accepted"] < len(forwards) / 2

    forget(adventureworks)
    mirror = {"look_id": "8", "mode": "mirror"}
    create(airflow, mirror, "--run-backwards", "--reprocess-behavior", "completed")
    wait(airflow)
    assert "success" == airflow.wait(airflow.trigger(DAG, conf={**mirror, **newest}))
    size, _ = expected[LAST]
    assert 0 < size < len(in_order(forwards))
    assert in_order(forwards, trait="in_cohort_8") == Arrived.at(adventureworks).profiles


def create(airflow: LiveAirflow, conf: dict[str, Any], *arguments: str) -> None:
    """Create a backfill of all days with several runs at once."""
    airflow.backfill(
        DAG,
        first=FIRST,
        last=LAST,
        conf=json.dumps(conf),
        arguments=["--max-active-runs", str(AT_ONCE), *arguments],
    )


def wait(airflow: LiveAirflow) -> None:
    """Wait until every run of a backfill is green."""
    states = airflow.wait_for_backfill(DAG, runs=len(DAYS), timeout_s=900)
    assert ["success"] * len(DAYS) == states


def kill_a_sender(airflow: LiveAirflow) -> None:
    """Kill the worker of the *identify* that waits for an answer; Airflow tries it again."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        running = [run for run, state in airflow.runs(DAG).items() if state == "running"]
        names = {task.id: task.name for run in running for task in airflow.tasks(run)}
        for id_, process in airflow.task_processes().items():
            # Nothing but a stalled answer keeps it so long.
            if names.get(id_) == "identify[0]" and time.time() - process.create_time() > 8:
                process.kill()
                return
        time.sleep(0.5)
    raise AssertionError("no sender waited")


def forget(sandbox: Any) -> None:
    """Empty the Segment stand-in."""
    requests.post(f"{sandbox.segment_url}/_sandbox/reset", timeout=10).raise_for_status()


def messages(sandbox: Any) -> list[dict[str, Any]]:
    """Return everything that was accepted, in order of arrival."""
    found = sent(sandbox)
    assert summary(sandbox)["accepted"] == len(found)
    return found


def day_of(message: dict[str, Any]) -> date:
    """Return the day that ends at a message's moment."""
    end = datetime.fromisoformat(message["timestamp"])
    assert end == end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return end.date() - timedelta(days=1)


def cohorts_of(found: list[dict[str, Any]]) -> Cohorts:
    """Count the users that arrived for each date, and hash their ids."""
    users: dict[date, list[str]] = defaultdict(list)
    for message in found:
        users[day_of(message)].append(message["userId"])
    return {
        day: (len(ids), hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest())
        for day, ids in users.items()
    }


def rows_of(airflow: LiveAirflow) -> dict[date, int]:
    """How many rows the report of each backfilled date counts."""
    found = {}
    for run in airflow.runs(DAG):
        if run.run_id.startswith("backfill__"):
            report = airflow.xcom(run, "report", "report")
            end = datetime.fromisoformat(report["window"]["end"])
            found[end.date() - timedelta(days=1)] = report["rows"]
    return found


def in_order(found: list[dict[str, Any]], *, trait: str = "") -> dict[str, str]:
    """What each user's newest message says: the profiles of runs in the order of their windows.

    :param trait: one that says whether the user is in the last date's cohort.
    """
    newest = sorted(found, key=lambda message: message["timestamp"])
    traits = {message["userId"]: dict(message["traits"]) for message in newest}
    if trait:
        staying = {message["userId"] for message in newest if day_of(message) == LAST}
        for user, own in traits.items():
            own[trait] = user in staying
    return {user: json.dumps(own, sort_keys=True) for user, own in traits.items()}
