"""A person decides about a run that a guard stopped, in a live Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live.airflow import LiveAirflow, Run
from tests.live.conftest import Arrived
from tests.operators.conftest import asked, sent

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(900)]


def stopped(airflow: LiveAirflow, sync_id: str) -> tuple[Run, dict[str, Any]]:
    """Start a run that a guard stops; return it with its question."""
    run = airflow.trigger("asked", conf={"sync_id": sync_id})
    return run, airflow.question(run, "approve")


def chunks_of(airflow: LiveAirflow, run: Run) -> list[str]:
    """Return the keys of chunks that are still there."""
    return [key for key in airflow.xcom_keys(run) if key.startswith("chunk_")]


def test_what_a_person_approves_is_sent(airflow: LiveAirflow, sandbox: Any) -> None:
    """The very messages that were counted, by the same run, and the snapshot knows them."""
    run, question = stopped(airflow, "approved")
    queries = asked(sandbox, "GET", "/queries/")
    manifest = airflow.xcom(run, "extract", "manifest")

    assert 0 == Arrived.at(sandbox).requests
    assert "running" == airflow.state(run)
    assert f"| messages | {manifest['messages']:,} |" in question["body"]
    assert "guards.max\\_messages" in question["body"]
    assert "Look 42" in question["subject"]

    airflow.answer(run, "approve", "Approve")

    assert "success" == airflow.wait(run)
    report = airflow.xcom(run, "report", "report")
    assert report["accepted"] == manifest["messages"] == Arrived.at(sandbox).accepted > 2_000
    assert {manifest["window"]["end"]} == {message["timestamp"] for message in sent(sandbox)}
    (warning,) = [one for one in report["warnings"] if "overruled" in one]
    assert f"overruled by {airflow.xcom(run, 'approve', 'approval')['by']}. Look 42" in warning
    assert queries == asked(sandbox, "GET", "/queries/")
    assert [] == chunks_of(airflow, run)
    again = airflow.trigger("asked", conf={"sync_id": "approved"})
    assert "success" == airflow.wait(again), "a run of no messages breaks no guard, and nobody asks"
    assert 0 == airflow.xcom(again, "report", "report")["messages"]

    airflow.clear(run, "approve", downstream=True)
    assert "failed" == airflow.wait(run)
    assert "approved already" in airflow.log(run, "approve")
    assert report["accepted"] == Arrived.at(sandbox).accepted


def test_what_a_person_rejects_is_not_sent(airflow: LiveAirflow, sandbox: Any) -> None:
    """The run fails, untried again; whoever clears the task is asked about the same chunks."""
    run, question = stopped(airflow, "rejected")

    airflow.answer(run, "approve", "Reject")

    assert "failed" == airflow.wait(run)
    states = {"extract": "success", "approve": "failed", "identify": "upstream_failed"}
    assert {**states, "report": "failed"} == airflow.states(run)
    assert 1 == airflow.task(run, "approve").tries
    assert "rejected it" in airflow.log(run, "report")
    assert "guards.max_messages" in airflow.log(run, "report")
    assert 0 == Arrived.at(sandbox).requests

    airflow.clear(run, "approve", downstream=True)
    assert question["body"] == airflow.question(run, "approve")["body"]
    airflow.answer(run, "approve", "Approve")
    assert "success" == airflow.wait(run)
    assert Arrived.at(sandbox).accepted > 2_000


def test_a_green_run_meanwhile_ends_the_question(airflow: LiveAirflow, sandbox: Any) -> None:
    """What was stopped before it is out of date, whatever the person says."""
    run, _ = stopped(airflow, "overtaken")
    green = airflow.trigger("unguarded", conf={"sync_id": "overtaken"})
    assert "success" == airflow.wait(green)
    before = Arrived.at(sandbox)

    airflow.answer(run, "approve", "Approve")

    assert "failed" == airflow.wait(run)
    assert "a later run was green" in airflow.log(run, "approve")
    assert before == Arrived.at(sandbox)
    after = airflow.trigger("unguarded", conf={"sync_id": "overtaken"})
    assert "success" == airflow.wait(after)
    assert (0, 0) == tuple(
        airflow.xcom(after, "report", "report")[name] for name in ("messages", "resent")
    )


def test_an_answer_is_about_what_was_asked(airflow: LiveAirflow, sandbox: Any) -> None:
    """Where extract reads the Look again while somebody thinks, they have to be asked again."""
    run, _ = stopped(airflow, "read_again")
    edition = airflow.xcom(run, "extract", "manifest")["edition"]
    airflow.clear(run, "extract")
    airflow._until(
        lambda: (
            (airflow.xcom(run, "extract", "manifest") or {}).get("edition", edition) != edition
            and "success" == airflow.states(run)["extract"]
        ),
        120,
        "read the Look again",
    )

    airflow.answer(run, "approve", "Approve")

    assert "failed" == airflow.wait(run)
    assert "has read the Look again since" in airflow.log(run, "approve")
    assert 0 == Arrived.at(sandbox).requests


def test_nobody_answers(airflow: LiveAirflow, sandbox: Any) -> None:
    """After the time that the DAG gives, the run fails and nothing was sent."""
    run = airflow.trigger("asked_in_time", conf={"sync_id": "unanswered"})

    assert "failed" == airflow.wait(run)
    assert "nobody answered in time" in airflow.log(run, "approve")
    assert "guards.max_messages" in airflow.log(run, "report")
    assert 0 == Arrived.at(sandbox).requests
