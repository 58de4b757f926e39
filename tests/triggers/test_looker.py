"""The trigger against the stand-in: it asks, survives, and says one thing."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment.core.query import run_query
from airflow_provider_looker_segment.core.query_task import ENDINGS, QueryTask
from airflow_provider_looker_segment.hooks import looker, query_tasks
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.hooks.query_tasks import QueryTasks
from airflow_provider_looker_segment.triggers import looker as triggers
from airflow_provider_looker_segment.triggers.looker import LookerQueryTaskTrigger
from tests.hooks.asking import asked
from tests.simulated import Clock, simulate

POLL = "/query_tasks/[0-9a-f]+$"
HOUR_S = 3_600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only sleep moves."""
    return simulate(monkeypatch, looker, query_tasks, triggers)


@pytest.fixture
def task(sandbox: Any) -> QueryTask:
    """A query task that an operator has begun."""
    return begin()


def begin() -> QueryTask:
    """Let Looker begin the query of Look 42."""
    hook = LookerHook()
    query = run_query(hook.look("42"), filters=None, as_of=None, row_limit="all")
    query_id = hook.create_query(query, where="Look 42")
    return QueryTasks(hook, where="Look 42").begin(query_id, query, timeout_s=HOUR_S)


def trigger_for(task: QueryTask) -> LookerQueryTaskTrigger:
    """Return the trigger that an operator would hand over."""
    return LookerQueryTaskTrigger(
        looker_conn_id="looker_default", where="Look 42", query_task=task.as_dict()
    )


def slow(sandbox: Any, outcome: str = "complete", polls: int = 10_000) -> None:
    """Let query tasks take their time."""
    url = f"{sandbox.looker_url}/_sandbox/query_tasks"
    requests.post(url, json={"polls": polls, "outcome": outcome}, timeout=10).raise_for_status()


def deleted(sandbox: Any) -> list[str]:
    """Return the paths that were deleted, signing out aside."""
    found = requests.get(f"{sandbox.looker_url}/_sandbox/requests", timeout=10).json()
    paths = [entry["path"] for entry in found if entry["method"] == "DELETE"]
    return [path for path in paths if not path.endswith("/logout")]


def events_of(trigger: LookerQueryTaskTrigger) -> list[dict[str, Any]]:
    """Run a trigger to its end."""

    async def collect() -> list[dict[str, Any]]:
        """Run the trigger to its end."""
        return [event.payload async for event in trigger.run()]

    return asyncio.run(collect())


@pytest.mark.parametrize("outcome", sorted(ENDINGS))
def test_one_small_event_tells_the_ending(sandbox: Any, clock: Clock, outcome: str) -> None:
    """What leaves is the status and what names the task: no row, and less than 300 bytes."""
    slow(sandbox, outcome, polls=5)
    begun = begin()
    (event,) = events_of(trigger_for(begun))

    assert {"status": outcome, "query_task": begun.as_dict()} == event
    assert len(json.dumps(event)) < 300
    assert [2.0, 3.0, 4.5] == clock.slept[:3]


def test_a_lost_triggerer_is_replaced(sandbox: Any, clock: Clock) -> None:
    """What is stored of a trigger is enough for another process, again and again."""
    from airflow.models.trigger import Trigger

    slow(sandbox, polls=3)
    begun = begin()
    stored = Trigger.from_object(trigger_for(begun))
    path, _ = trigger_for(begun).serialize()
    assert path == stored.classpath
    again = LookerQueryTaskTrigger(**stored.kwargs)

    assert trigger_for(begun).serialize() == again.serialize()
    assert events_of(trigger_for(begun)) == events_of(again)


def test_waiting_ends_in_time_wherever_it_began(sandbox: Any, clock: Clock) -> None:
    """A restarted triggerer does not begin to count anew."""
    slow(sandbox)
    task = begin()
    late = QueryTask(task.id, task.query_id, time.time() + 50)
    (event,) = events_of(trigger_for(late))
    assert ("timeout", True) == (event["status"], 49 < clock.passed <= 50.5)
    over = QueryTask(task.id, task.query_id, time.time() - 1)
    (event,) = events_of(trigger_for(over))

    assert "timeout" == event["status"]
    assert clock.passed <= 50.5
    assert [] == deleted(sandbox)


@pytest.mark.parametrize(("wait_s", "ending"), [(HOUR_S, "complete"), (50, "timeout")])
def test_nobody_stays_signed_in(sandbox: Any, clock: Clock, wait_s: float, ending: str) -> None:
    """The triggerer signs out when the query has ended, and when it gives up."""
    slow(sandbox, polls=10)
    begun = begin()
    task = QueryTask(begun.id, begun.query_id, time.time() + wait_s)
    before = asked(sandbox, "DELETE", "/logout")
    (event,) = events_of(trigger_for(task))

    assert ending == event["status"]
    assert len(before) + 1 == len(asked(sandbox, "DELETE", "/logout"))


def test_looker_may_be_away_for_a_while(sandbox: Any, clock: Clock, task: QueryTask) -> None:
    """Some questions without an answer change nothing."""
    sandbox.looker_faults.add("status", status=502, body="", path=POLL, times=4)
    (event,) = events_of(trigger_for(task))

    assert "complete" == event["status"]


def test_the_wait_is_the_one_that_was_asked_for(
    sandbox: Any, clock: Clock, task: QueryTask
) -> None:
    """``Retry-After`` holds for questions too."""
    sandbox.looker_faults.add(
        "status", status=429, body="", headers={"Retry-After": "25"}, path=POLL
    )
    events_of(trigger_for(task))

    assert [2.0, 25.0] == clock.slept[:2]


@pytest.mark.parametrize("status", [401, 403, 502])
def test_what_looker_refuses_is_left_to_the_worker(
    sandbox: Any, clock: Clock, task: QueryTask, status: int
) -> None:
    """An error's words belong into the task's log, so the worker asks once more."""
    sandbox.looker_faults.add("status", status=status, body="", path=POLL, times=-1)
    (event,) = events_of(trigger_for(task))

    assert "unknown" == event["status"]
    assert clock.passed < 200


def test_a_missing_field_of_the_connection_is_left_to_the_worker(
    sandbox: Any, clock: Clock, task: QueryTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was spoilt meanwhile ends the wait, not the triggerer."""
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps({"conn_type": "looker"}))
    (event,) = events_of(trigger_for(task))

    assert "unknown" == event["status"]


def test_a_connection_that_is_out_of_reach_is_left_to_the_worker(
    sandbox: Any, clock: Clock, task: QueryTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the triggerer finds none, the task says so in its own log, and is tried again."""
    monkeypatch.delenv("AIRFLOW_CONN_LOOKER_DEFAULT")
    (event,) = events_of(trigger_for(task))

    assert "unknown" == event["status"]


async def _stop_while_waiting(
    trigger: LookerQueryTaskTrigger, polled: asyncio.Event, *, killed: bool
) -> None:
    """Cancel a trigger in the middle, as the triggerer does."""

    async def consume() -> None:
        async for _ in trigger.run():
            pytest.fail("the query goes on")

    running = asyncio.create_task(consume())
    await polled.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    if killed:
        await trigger.on_kill()
    await trigger.cleanup()


@pytest.mark.parametrize("killed", [True, False])
def test_only_a_users_kill_cancels_the_query(
    sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """A triggerer that is restarted leaves the query alone; a user who kills the task does not."""
    slow(sandbox)
    task = begin()
    polled = asyncio.Event()

    async def sleep(_: float) -> None:
        """Stand for the wait between two questions."""
        if clock.passed > 60:
            polled.set()
            await asyncio.Event().wait()
        clock.sleep(10)

    loop = SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread)
    monkeypatch.setattr(triggers, "asyncio", loop)
    asyncio.run(_stop_while_waiting(trigger_for(task), polled, killed=killed))

    cancelled = [f"/api/4.0/running_queries/{task.id}"] if killed else []
    assert cancelled == deleted(sandbox)


def test_a_kill_before_the_first_question_cancels_too(sandbox: Any, task: QueryTask) -> None:
    """A trigger that has only just been moved here knows enough to cancel."""
    asyncio.run(trigger_for(task).on_kill())

    assert [f"/api/4.0/running_queries/{task.id}"] == deleted(sandbox)
