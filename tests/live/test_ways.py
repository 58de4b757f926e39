"""Every way to start a run, in a live Airflow: each stands for a window, and sends what is new."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.live.airflow import LiveAirflow, Run
from tests.operators.conftest import sent

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(1_800)]

DAG = "stepping"
MIDNIGHT = datetime(2026, 1, 15, tzinfo=UTC)


def reported(airflow: LiveAirflow, run: Run) -> dict[str, Any]:
    """Wait until a run is over; return its report."""
    assert "success" == airflow.wait(run), airflow.states(run)
    found: dict[str, Any] = airflow.xcom(run, "report", "report")
    return found


def test_every_way_to_start_a_run(airflow: LiveAirflow, sandbox: Any) -> None:
    """By schedule, by hand with and without a date, by conf, asset, backfill and Clear."""

    def by_schedule() -> list[Run]:
        return [run for run in airflow.runs(DAG) if run.run_id.startswith("scheduled__")]

    airflow._until(lambda: by_schedule() != [], 120, "start a run by the schedule")
    (scheduled,) = by_schedule()
    assert "data interval" == reported(airflow, scheduled)["window"]["source"]

    conf = airflow.trigger(DAG, conf={"window_end": "2026-01-15"})
    first = reported(airflow, conf)
    assert ("params", 0) == (first["window"]["source"], first["unchanged"])
    dated = reported(airflow, airflow.trigger(DAG, logical_date=MIDNIGHT + timedelta(hours=6)))
    assert "data interval" == dated["window"]["source"]
    undated = reported(airflow, airflow.trigger(DAG))
    assert "run_after of the run" == undated["window"]["source"]

    before = set(airflow.runs(DAG))
    airflow.asset_event("stepping_may_go")
    airflow._until(lambda: set(airflow.runs(DAG)) > before, 120, "start a run by an asset")
    (by_asset,) = set(airflow.runs(DAG)) - before
    assert "run_after of the run" == reported(airflow, by_asset)["window"]["source"]

    newest = {message["userId"]: message["timestamp"] for message in sent(sandbox)}
    days = (date(2026, 1, 11), date(2026, 1, 13))
    for arguments in (["--run-backwards"], ["--reprocess-behavior", "completed"]):
        airflow.backfill(DAG, first=days[0], last=days[1], arguments=arguments)
        states = airflow.wait_for_backfill(DAG, runs=3, timeout_s=600)
        assert ["success"] * 3 == states
    for message in sent(sandbox):
        if message["userId"] in newest:
            assert newest[message["userId"]] <= message["timestamp"]

    airflow.clear(conf, "extract", downstream=True)
    again = reported(airflow, conf)
    assert (0, first["messages"]) == (again["messages"], again["saved_calls"])
