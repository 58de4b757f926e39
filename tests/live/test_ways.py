"""Every way to start the example DAG, in a live Airflow: each stands for a window.

The form behind "Trigger" is another one; the tests in a browser fill it in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.live.airflow import LiveAirflow, Run
from tests.live.conftest import DAGS
from tests.operators.conftest import sent

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(1_800)]

EXAMPLES = Path(__file__).parents[2] / "dags"
DAG = "daily_cohort"
MIDNIGHT = datetime(2026, 1, 15, tzinfo=UTC)
CHANGED = {"mode": "changed"}


@pytest.fixture
def airflow(sandbox: Any, tmp_path: Path) -> Iterator[LiveAirflow]:
    """A running Airflow with the example DAG, and two that wait for its cohort."""
    place = {"path": f"file://{tmp_path}/snapshots", "local": True}
    with LiveAirflow(
        tmp_path,
        dags=[EXAMPLES / f"{DAG}.py", EXAMPLES / "cohort_arrived.py", *DAGS.glob("ways/*.py")],
        connections=sandbox.connections(),
        settings={"AIRFLOW_VAR_COHORT_SNAPSHOTS": json.dumps(place)},
    ) as running:
        yield running


def reported(airflow: LiveAirflow, run: Run) -> dict[str, Any]:
    """Wait until a run is over; return its report."""
    assert "success" == airflow.wait(run), airflow.states(run)
    found: dict[str, Any] = airflow.xcom(run, "report", "report")
    return found


def started_by(airflow: LiveAirflow, dag_id: str, cause: Run) -> Run:
    """Wait for the run of a DAG that the report of another run has started."""

    def found() -> list[Run]:
        return [run for run in airflow.runs(dag_id) if cause in airflow.causes(run)]

    airflow._until(lambda: found() != [], 300, f"start {dag_id} by {cause}")
    return found()[0]


def test_every_way_to_start_a_run(airflow: LiveAirflow, sandbox: Any) -> None:
    """By schedule, command, REST API with and without a date, asset, backfill and Clear."""

    def by_schedule() -> list[Run]:
        return [run for run in airflow.runs(DAG) if run.run_id.startswith("scheduled__")]

    airflow._until(lambda: by_schedule() != [], 120, "start a run by the schedule")
    (scheduled,) = by_schedule()
    report = reported(airflow, scheduled)
    assert ("data interval", "full") == (report["window"]["source"], report["mode"])

    conf = json.dumps({**CHANGED, "window_end": "2026-01-15"})
    airflow.write("dags", "trigger", DAG, "--run-id", "by_command", "--conf", conf)
    by_command = Run(DAG, "by_command")
    first = reported(airflow, by_command)
    assert ("params", 0) == (first["window"]["source"], first["unchanged"])
    assert first["accepted"] == first["rows"] > 2_000

    # Its report started two others: the example that waits for a cohort, and a Look of its own.
    arrived = started_by(airflow, "cohort_arrived", by_command)
    assert "success" == airflow.wait(arrived)
    said = f"{first['rows']:,} of {first['rows']:,} rows of Look 42 reached Segment"
    assert any(said in sentence for sentence in airflow.xcom(arrived, "tell", "return_value"))
    by_asset = reported(airflow, started_by(airflow, "after_cohort", by_command))
    assert "run_after of the run" == by_asset["window"]["source"]

    at = MIDNIGHT + timedelta(hours=6)
    dated = reported(airflow, airflow.trigger(DAG, conf=CHANGED, logical_date=at))
    assert "data interval" == dated["window"]["source"]
    undated = reported(airflow, airflow.trigger(DAG, conf=CHANGED))
    assert "run_after of the run" == undated["window"]["source"]

    newest = {message["userId"]: message["timestamp"] for message in sent(sandbox)}
    days = (date(2026, 1, 11), date(2026, 1, 13))
    for arguments in (["--run-backwards"], ["--reprocess-behavior", "completed"]):
        airflow.backfill(
            DAG, first=days[0], last=days[1], conf=json.dumps(CHANGED), arguments=arguments
        )
        states = airflow.wait_for_backfill(DAG, runs=3, timeout_s=600)
        assert ["success"] * 3 == states
    for message in sent(sandbox):
        if message["userId"] in newest:
            assert newest[message["userId"]] <= message["timestamp"]

    airflow.clear(by_command, "extract", downstream=True)
    again = reported(airflow, by_command)
    assert (0, first["messages"]) == (again["messages"], again["saved_calls"])
