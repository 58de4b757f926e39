"""Tasks that somebody clears after a run, and workers that are killed with no retry left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live.airflow import LiveAirflow, Run
from tests.live.conftest import Arrived

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(900)]

BOOKS = ("messages", "accepted", "refused", "unknown", "not_sent")


@pytest.fixture
def two_shards(airflow: LiveAirflow) -> Iterator[None]:
    """Let the Look fill two shards."""
    file = airflow.home / "max_shard_messages"
    file.write_text("1200")
    yield
    file.unlink(missing_ok=True)


def finished(airflow: LiveAirflow, dag_id: str = "cleared") -> Run:
    """Run a DAG to its end."""
    run = airflow.trigger(dag_id)
    airflow.wait(run)
    return run


def books(airflow: LiveAirflow, run: Run) -> dict[str, int]:
    """Return what the report counts."""
    report = airflow.xcom(run, "report", "report")
    return {name: report[name] for name in BOOKS}


def chunks_of(airflow: LiveAirflow, run: Run) -> list[str]:
    """Return the keys of chunks that are still there."""
    return [key for key in airflow.xcom_keys(run) if key.startswith("chunk_")]


def test_a_cleared_identify_names_the_task_to_clear(airflow: LiveAirflow, sandbox: Any) -> None:
    """Its chunks are gone, so it sends nothing and says what would send again."""
    run = finished(airflow)
    before = Arrived.at(sandbox)

    airflow.clear(run, "identify[0]", downstream=True)

    assert "failed" == airflow.wait(run)
    assert {"extract": "success", "identify[0]": "failed", "report": "failed"} == (
        airflow.states(run)
    )
    assert "Clear the task 'look_to_segment.extract'" in airflow.log(run, "identify[0]")
    assert before == Arrived.at(sandbox)


def test_a_cleared_report_says_the_same_again(airflow: LiveAirflow, sandbox: Any) -> None:
    """It adds the same receipts to the same books, and nothing is sent."""
    run = finished(airflow)
    before, report = Arrived.at(sandbox), airflow.xcom(run, "report", "report")

    airflow.clear(run, "report")

    assert "success" == airflow.wait(run)
    assert 2 == airflow.task(run, "report").tries
    assert report == airflow.xcom(run, "report", "report")
    assert before == Arrived.at(sandbox)


def test_a_cleared_extract_sends_everything_again(airflow: LiveAirflow, sandbox: Any) -> None:
    """Whoever clears a run wants its messages sent: under other ids, so that they count."""
    run = finished(airflow)
    first = Arrived.at(sandbox)

    airflow.clear(run, "extract", downstream=True)

    assert "success" == airflow.wait(run)
    both = Arrived.at(sandbox)
    assert first.profiles == both.profiles
    assert (2 * first.accepted, 0) == (both.accepted, both.duplicates)
    assert {1} == set(both.ids.values())
    assert 2 * first.accepted == len(both.ids)
    assert first.accepted == books(airflow, run)["accepted"] == books(airflow, run)["messages"]
    assert [] == chunks_of(airflow, run)


def test_receipts_of_removed_tasks_are_ignored(
    airflow: LiveAirflow, sandbox: Any, two_shards: None
) -> None:
    """A cleared run that needs fewer shards has the books of those alone."""
    run = finished(airflow)
    accepted = Arrived.at(sandbox).accepted
    assert "success" == airflow.states(run)["identify[1]"]

    (airflow.home / "max_shard_messages").unlink()
    airflow.clear(run, "extract", downstream=True)

    assert "success" == airflow.wait(run)
    assert "removed" == airflow.states(run)["identify[1]"]
    assert accepted == books(airflow, run)["accepted"]
    assert 2 * accepted == Arrived.at(sandbox).accepted


def test_an_extract_that_is_cleared_alone_says_so(airflow: LiveAirflow, sandbox: Any) -> None:
    """Nothing of it would be sent or deleted, so it reads nothing and the run is not green."""
    run = finished(airflow)
    before = Arrived.at(sandbox)

    airflow.clear(run, "extract")
    airflow.wait(run)

    assert "failed" == airflow.states(run)["extract"]
    assert [] == chunks_of(airflow, run)
    assert before == Arrived.at(sandbox)

    airflow.clear(run, "extract", downstream=True)
    assert "success" == airflow.wait(run)
    assert 2 * before.accepted == Arrived.at(sandbox).accepted


@pytest.mark.parametrize("after_s", [0.2, 0.8, 1.6])
def test_an_extract_that_is_killed_for_good_leaves_nothing(
    airflow: LiveAirflow, sandbox: Any, after_s: float
) -> None:
    """The report deletes what the dead could not, and says that nothing was sent."""
    # The result takes seconds, so that extract still reads when it is killed.
    sandbox.looker_faults.add("drip", path="json_detail$", chunk_bytes=8_000, interval_seconds=0.1)
    run = airflow.trigger("without_retries")
    kill(airflow, run, "extract", after_s=after_s)

    assert "failed" == airflow.wait(run)
    assert {"extract": "failed", "identify": "upstream_failed", "report": "failed"} == (
        airflow.states(run)
    )
    assert "nothing was sent" in airflow.log(run, "report")
    assert [] == chunks_of(airflow, run)
    assert 0 == Arrived.at(sandbox).requests


@pytest.mark.parametrize("after_s", [0.5, 2.5, 4.5])
def test_the_books_of_an_identify_that_is_killed_for_good_are_true(
    airflow: LiveAirflow, sandbox: Any, after_s: float
) -> None:
    """What arrived lies between what was accepted and what may have been."""
    run = airflow.trigger("without_retries")
    kill(airflow, run, "identify[0]", after_s=after_s)

    assert "failed" == airflow.wait(run)
    assert {"extract": "success", "identify[0]": "failed", "report": "failed"} == (
        airflow.states(run)
    )
    counts, arrived = books(airflow, run), Arrived.at(sandbox).accepted
    assert counts["accepted"] <= arrived <= counts["accepted"] + counts["unknown"]
    # Before its first word nobody knows whether an earlier try has sent something.
    assert counts["unknown"] in (0, 200, counts["messages"])
    assert counts["messages"] == counts["accepted"] + counts["unknown"] + counts["not_sent"]
    assert [] == chunks_of(airflow, run)


def kill(airflow: LiveAirflow, run: Run, name: str, *, after_s: float) -> None:
    """Kill the worker of a task, some seconds after it has begun.

    The process of a task that waits for nothing is too short-lived to be asked for first.
    """
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ids = {task.id: task.name for task in airflow.tasks(run)}
        for id_, process in airflow.task_processes().items():
            if ids.get(id_) == name:
                time.sleep(max(0.0, process.create_time() + after_s - time.time()))
                process.kill()
                return
        time.sleep(0.02)
    raise AssertionError(f"{name} never ran")
