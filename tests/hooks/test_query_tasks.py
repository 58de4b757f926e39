"""Query tasks against the stand-in: begun, waited for, read, cancelled."""

from __future__ import annotations

import itertools
import time
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from airflow_provider_looker_segment.core.query_task import (
    ENDINGS,
    TIMEOUT,
    QueryTask,
    poll_intervals,
)
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks import looker, query_tasks
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.hooks.query_tasks import QueryTasks
from tests.hooks.asking import query_of
from tests.simulated import Clock, simulate

POLL = "/query_tasks/[0-9a-f]+$"
RESULTS = "/query_tasks/[0-9a-f]+/results$"
HOUR_S = 3_600.0


@pytest.fixture
def tasks(hook: LookerHook) -> QueryTasks:
    """The query tasks of one Look."""
    return QueryTasks(hook, where="Look 42")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only sleep moves."""
    return simulate(monkeypatch, looker, query_tasks)


def rules(sandbox: Any, **said: Any) -> None:
    """Say how query tasks shall go: ``polls`` and ``outcome``."""
    url = f"{sandbox.looker_url}/_sandbox/query_tasks"
    requests.post(url, json=said, timeout=10).raise_for_status()


def asked(sandbox: Any, method: str, part: str) -> list[dict[str, Any]]:
    """Return the requests with such a method whose path holds a text."""
    found = requests.get(f"{sandbox.looker_url}/_sandbox/requests", timeout=10).json()
    return [entry for entry in found if entry["method"] == method and part in entry["path"]]


def begin(
    hook: LookerHook, tasks: QueryTasks, look_id: str = "42", timeout_s: float = HOUR_S
) -> QueryTask:
    """Let Looker begin the query of a Look."""
    query = query_of(hook, look_id)
    query_id = hook.create_query(query, where=f"Look {look_id}")
    return tasks.begin(query_id, query, timeout_s=timeout_s)


def rows_of(tasks: QueryTasks, task: QueryTask) -> list[dict[str, Any]]:
    """Read a result to its end."""
    with tasks.results(task) as answer:
        return list(RowStream(answer.pieces, look="Look", content_type=answer.content_type))


@pytest.mark.parametrize(("look_id", "calculations"), [("42", "false"), ("45", "true")])
def test_a_task_asks_for_the_same_result_as_a_run(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, *, look_id: str, calculations: str
) -> None:
    """Every row, no formatting, no cache, and calculations where the Look has some."""
    begin(hook, tasks, look_id)

    (created,) = asked(sandbox, "POST", "/query_tasks")
    assert {
        "limit": ["-1"],
        "apply_formatting": ["false"],
        "apply_vis": ["false"],
        "cache": ["false"],
        "generate_drill_links": ["false"],
        "server_table_calcs": [calculations],
        "fields": ["id,status"],
    } == parse_qs(created["query"])


@pytest.mark.parametrize("look_id", ["42", "45", "46"])
def test_a_tasks_rows_are_those_of_a_run(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock, look_id: str
) -> None:
    """It makes no difference to the rows how long Looker takes."""
    rules(sandbox, polls=3)
    task = begin(hook, tasks, look_id)
    assert "complete" == tasks.wait(task)
    found = rows_of(tasks, task)

    query = query_of(hook, look_id)
    with hook.run(task.query_id, query, where="Look") as answer:
        assert list(RowStream(answer.pieces, look="Look")) == found
    assert len(found) > 500


def test_questions_become_rare(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock
) -> None:
    """Forty minutes cost under ninety questions, which may all count as calls."""
    rules(sandbox, polls=84)
    task = begin(hook, tasks)

    assert "complete" == tasks.wait(task)
    assert 85 == len(asked(sandbox, "GET", task.id))
    assert [2.0, 3.0, 4.5] == clock.slept[:3]
    assert sorted(clock.slept) == clock.slept
    assert {30.0} == set(clock.slept[7:])
    assert clock.passed > 2_350


@pytest.mark.parametrize("outcome", sorted(ENDINGS))
def test_every_ending_is_told(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock, outcome: str
) -> None:
    """Waiting ends with Looker's own last word."""
    rules(sandbox, polls=2, outcome=outcome)

    assert outcome == tasks.wait(begin(hook, tasks))


def test_a_task_that_looker_forgot_has_expired(tasks: QueryTasks, sandbox: Any) -> None:
    """An unknown id is what is left of a result that Looker has dropped."""
    assert "expired" == tasks.status(QueryTask("0" * 32, "q", time.time() + HOUR_S))


def test_waiting_ends_in_time(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock
) -> None:
    """The limit holds to the second, and is Looker's clock's, not the poll's."""
    rules(sandbox, polls=10_000)
    task = begin(hook, tasks, timeout_s=100.0)

    assert TIMEOUT == tasks.wait(task)
    assert 99 < clock.passed <= 100.5


@pytest.mark.parametrize("status", [429, 502, 504])
@pytest.mark.parametrize("path", ["/query_tasks$", POLL, RESULTS])
def test_what_may_pass_is_waited_for(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock, *, path: str, status: int
) -> None:
    """A gateway that gives up changes nothing, be it while beginning, asking or reading."""
    sandbox.looker_faults.add("status", status=status, body="<html>", path=path, times=3)
    task = begin(hook, tasks)

    assert "complete" == tasks.wait(task)
    assert len(rows_of(tasks, task)) > 500


def test_a_result_that_is_not_ready_is_waited_for(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock
) -> None:
    """202 is neither an empty result nor an error."""
    task = begin(hook, tasks)
    tasks.wait(task)
    before = len(clock.slept)
    sandbox.looker_faults.add("status", status=202, body="", path=RESULTS, times=2)

    assert len(rows_of(tasks, task)) > 500
    assert 2 == len(clock.slept) - before


def test_cancelling_stops_the_query(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works from a signal handler: a session of its own, and no connection to look up."""
    rules(sandbox, polls=10_000)
    task = begin(hook, tasks)
    monkeypatch.delenv("AIRFLOW_CONN_LOOKER_DEFAULT")
    tasks.cancel(task)

    assert "killed" == tasks.status(task)
    assert 2 == len(asked(sandbox, "POST", "/login"))


@pytest.mark.parametrize("status", [403, 404, 502])
def test_a_failure_to_cancel_is_no_error(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, clock: Clock, status: int
) -> None:
    """Whoever cancels has other things to report, and no time to wait."""
    task = begin(hook, tasks)
    rule = sandbox.looker_faults.add(
        "status", status=status, body="", path="/running_queries", times=-1
    )
    tasks.cancel(task)

    assert [] == clock.slept
    assert 1 == rule.fired


@pytest.mark.parametrize("outcome", ["error", "failure"])
def test_a_failed_query_is_told_in_lookers_words(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any, outcome: str
) -> None:
    """The document in place of a result says what the database had against it."""
    rules(sandbox, polls=0, outcome=outcome)
    error = tasks.failure(begin(hook, tasks), outcome)

    assert isinstance(error, PermanentError)
    assert "The query failed" in str(error)


def test_a_failed_query_without_words_fails_all_the_same(
    hook: LookerHook, tasks: QueryTasks, sandbox: Any
) -> None:
    """A result that looks complete does not heal a task that failed."""
    task = begin(hook, tasks)
    tasks.status(task)

    assert "'error'" in str(tasks.failure(task, "error"))
    gone = QueryTask("0" * 32, task.query_id, task.give_up_at)
    assert "'error'" in str(tasks.failure(gone, "error"))


@pytest.mark.parametrize(
    ("status", "words"),
    [("killed", "killed"), ("expired", "expired"), (TIMEOUT, "query_timeout_s")],
)
def test_what_may_pass_is_left_to_retries(tasks: QueryTasks, status: str, words: str) -> None:
    """A query that did not end says why, and what to do about it."""
    error = tasks.failure(QueryTask("0" * 32, "q", 0.0), status)

    assert isinstance(error, TransientError)
    assert words in str(error)


@pytest.mark.parametrize(
    "said",
    [
        None,
        7,
        [],
        {},
        {"id": "7"},
        {"id": 7, "query_id": "q", "give_up_at": 1.5, "is_second": False},
        {"id": "7", "query_id": "q", "give_up_at": "soon", "is_second": False},
        {"id": "7", "query_id": "q", "give_up_at": 1.5, "is_second": "no"},
    ],
)
def test_what_is_no_query_task_is_none(said: Any) -> None:
    """A record or an event of another make is not acted upon."""
    assert QueryTask.from_dict(said) is None


def test_a_query_task_survives_json() -> None:
    """What a store, a trigger and an event hold is the whole of it."""
    task = QueryTask("7", "q", 1.5, is_second=True)

    assert task == QueryTask.from_dict(task.as_dict())
    assert 30.0 == max(itertools.islice(poll_intervals(), 99))
