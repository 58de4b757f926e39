"""Workers and triggerers that are lost, and users who lose patience, while Looker runs a query."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.live.airflow import LiveAirflow, Run
from tests.live.conftest import has_store
from tests.operators.conftest import asked, summary

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(900)]

POLL_S = 0.2
LONGEST_S = 180.0


def test_a_killed_worker_does_not_run_the_query_again(airflow: LiveAirflow, sandbox: Any) -> None:
    """The next try waits for the same query; before Airflow 3.3 it has to begin anew."""
    take(sandbox, seconds=20)
    run = airflow.trigger("long_waiting")
    until(lambda: polled(sandbox))
    for process in airflow.task_processes().values():
        process.kill()

    assert "success" == airflow.wait(run)
    assert 1 + (not has_store()) == len(asked(sandbox, "POST", "/query_tasks"))
    assert summary(sandbox)["accepted"] == summary(sandbox)["users"] > 2_000


def test_a_lost_triggerer_changes_nothing(airflow: LiveAirflow, sandbox: Any) -> None:
    """Another one goes on asking, and the query neither ends nor begins again."""
    take(sandbox, seconds=20)
    run = airflow.trigger("long_deferred")
    until(lambda: polled(sandbox))
    assert "deferred" == airflow.task(run, "extract").state
    airflow.kill_component("triggerer")
    airflow.start_component("triggerer")

    assert "success" == airflow.wait(run)
    assert 1 == len(asked(sandbox, "POST", "/query_tasks"))
    assert [] == asked(sandbox, "DELETE", "/running_queries/")
    assert summary(sandbox)["accepted"] == summary(sandbox)["users"] > 2_000


@pytest.mark.parametrize("dag_id", ["long_waiting", "long_deferred"])
def test_a_user_who_kills_the_task_kills_the_query(
    airflow: LiveAirflow, sandbox: Any, dag_id: str
) -> None:
    """Nobody's database goes on working for a task that somebody marked as failed.

    Before Airflow 3.3 a trigger is not told, and the query of a deferred task goes on.
    """
    take(sandbox, seconds=3_600)
    run = airflow.trigger(dag_id)
    until(lambda: polled(sandbox))
    fail(airflow, run)
    if dag_id == "long_waiting" or has_store():
        until(lambda: asked(sandbox, "DELETE", "/running_queries/"))

    assert "failed" == airflow.wait(run)
    assert 0 == summary(sandbox)["requests"]


def take(sandbox: Any, *, seconds: float) -> None:
    """Say how long query tasks take."""
    url = f"{sandbox.looker_url}/_sandbox/query_tasks"
    requests.post(url, json={"polls": 1, "seconds": seconds}, timeout=10).raise_for_status()


def polled(sandbox: Any) -> bool:
    """Say whether somebody has begun to wait for the query."""
    return bool(asked(sandbox, "GET", "/query_tasks/"))


def until(happened: Callable[[], object]) -> None:
    """Wait for something."""
    deadline = time.monotonic() + LONGEST_S
    while not happened():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(POLL_S)


def fail(airflow: LiveAirflow, run: Run) -> None:
    """Mark extract as failed, as a user does."""
    task_id = airflow.task(run, "extract").task_id
    answer = airflow._api.patch(
        f"{airflow._url}/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}",
        json={"new_state": "failed"},
        timeout=60,
    )
    assert 200 == answer.status_code, answer.text
