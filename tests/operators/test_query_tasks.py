"""Long Looks: a query that outlives tries, workers and triggerers, and is never run for nothing.

Longer than 400 lines, so that waiting in a worker and in a triggerer are held to the same here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_looker_segment.exceptions import TransientError
from airflow_provider_looker_segment.hooks import looker, query_tasks
from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.stores import chunks
from airflow_provider_looker_segment.task_groups import look_to_segment
from airflow_provider_looker_segment.triggers import looker as triggers
from tests.hazards.flow import Flow, XComs, play_variables
from tests.operators.conftest import Outcome, asked, summary
from tests.simulated import Clock, simulate

POLL = "/query_tasks/[0-9a-f]+$"
RESULTS = "/query_tasks/[0-9a-f]+/results$"
FOREVER = 10_000

Start = Callable[..., Flow]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only sleep moves."""
    return simulate(monkeypatch, looker, query_tasks, triggers)


@pytest.fixture
def start(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that prepares a run of Look 42 with a query task."""
    play_variables(monkeypatch)

    def prepare(*, settings: dict[str, Any] | None = None, **choices: Any) -> Flow:
        xcoms = XComs()
        monkeypatch.setattr(chunks.XCom, "delete", staticmethod(_deleting(xcoms)))
        return Flow(sandbox, xcoms, "42", {"query_task": True, **choices}, **(settings or {}))

    return prepare


def _deleting(xcoms: XComs) -> Callable[..., None]:
    def delete(*, run_id: str, **place: Any) -> None:
        xcoms.delete(**place)

    return delete


def rules(sandbox: Any, **said: Any) -> None:
    """Say how query tasks shall go: ``polls`` and ``outcome``."""
    url = f"{sandbox.looker_url}/_sandbox/query_tasks"
    requests.post(url, json=said, timeout=10).raise_for_status()


def begun(sandbox: Any) -> int:
    """Return how many query tasks were begun."""
    return len(asked(sandbox, "POST", "/query_tasks"))


def cancelled(sandbox: Any) -> int:
    """Return how many query tasks were cancelled."""
    return len(asked(sandbox, "DELETE", "/running_queries/"))


def failed(flow: Flow, kind: str, words: str) -> None:
    """Extract has failed so, and left nothing behind."""
    error = flow.errors["extract"]
    assert kind == type(error).__name__, error
    assert words in str(error)
    assert [] == flow.xcoms.chunks()
    assert ("extract", -1, "manifest") not in flow.xcoms.texts


def die() -> None:
    """End the worker, as far as the code in it can tell."""
    raise SystemExit


def manifest(flow: Flow) -> Any:
    """Return what extract leaves beside the chunks, whichever try it was."""
    found = json.loads(flow.xcoms.texts["extract", -1, "manifest"])
    return {**found, "edition": ""}


# query_task


def test_a_query_task_changes_nothing_but_the_wait(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """Manifest and shards are those of a run without one, after half an hour of waiting."""
    rules(sandbox, polls=65)
    long = start().extract()
    assert {} == long.errors
    assert clock.passed > 1_800
    assert (1, 0) == (begun(sandbox), len(asked(sandbox, "GET", "/run/json_detail")))

    short = start(query_task=False).extract()
    assert manifest(short) == manifest(long)
    assert short.shards == long.shards
    assert (1, 1) == (begun(sandbox), len(asked(sandbox, "GET", "/run/json_detail")))


@pytest.mark.parametrize("outcome", ["error", "failure"])
def test_a_query_that_fails_is_not_tried_again(
    start: Start, sandbox: Any, clock: Clock, outcome: str
) -> None:
    """What the database refuses today it refuses tomorrow."""
    rules(sandbox, outcome=outcome)
    flow = start().extract()

    failed(flow, "AirflowFailException", "The query failed")
    assert 1 == begun(sandbox)


def test_an_expired_task_is_begun_again_once(start: Start, sandbox: Any, clock: Clock) -> None:
    """Looker says so, too, of queries that are still running: that one is cancelled."""
    rules(sandbox, outcome="expired")
    clock.meanwhile = [lambda: None, lambda: rules(sandbox, outcome="complete")]
    flow = start().extract()

    assert {} == flow.errors
    assert (2, 1) == (begun(sandbox), cancelled(sandbox))


def test_a_task_that_expires_twice_is_left_to_retries(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """The next try begins anew, and may begin again once itself."""
    rules(sandbox, outcome="expired")
    flow = start().extract()
    failed(flow, "TransientError", "expired")
    assert 2 == begun(sandbox)
    rules(sandbox, outcome="complete")

    assert {} == flow.extract().errors
    assert 3 == begun(sandbox)


def test_a_result_that_is_gone_has_expired(start: Start, sandbox: Any, clock: Clock) -> None:
    """404 on the result of a complete task means the same."""
    sandbox.looker_faults.add("status", status=404, body="", path=RESULTS)
    flow = start().extract()

    assert {} == flow.errors
    assert 2 == begun(sandbox)


def test_a_killed_query_is_left_to_retries(start: Start, sandbox: Any, clock: Clock) -> None:
    """Whoever killed it had a reason, which may have passed at the next try."""
    rules(sandbox, outcome="killed")
    flow = start().extract()
    failed(flow, "TransientError", "killed")
    rules(sandbox, outcome="complete")

    assert {} == flow.extract().errors
    assert 2 == begun(sandbox)


def test_a_query_without_an_end_is_cancelled(start: Start, sandbox: Any, clock: Clock) -> None:
    """The time limit stops the query in Looker, not only the wait."""
    rules(sandbox, polls=FOREVER)
    flow = start(query_timeout_s=600).extract()

    failed(flow, "TransientError", "query_timeout_s")
    assert (1, 1) == (begun(sandbox), cancelled(sandbox))
    assert 599 < clock.passed <= 601


def test_the_usual_limit_is_four_hours(start: Start, sandbox: Any, clock: Clock) -> None:
    """Nobody has to think of a limit."""
    rules(sandbox, polls=FOREVER)
    failed(start().extract(), "TransientError", "time")

    assert 4 * 3_600 == pytest.approx(clock.passed, abs=5)


def test_a_gateway_that_gives_up_on_the_beginning(start: Start, sandbox: Any, clock: Clock) -> None:
    """504 while creating is waited for; the rows are read from one task."""
    rule = sandbox.looker_faults.add("status", status=504, body="", path="/query_tasks$", times=2)
    flow = start().extract()

    assert {} == flow.errors
    assert (2, 1) == (rule.fired, len(asked(sandbox, "GET", "/results")))


@pytest.mark.parametrize("has_store", [True, False])
def test_a_killed_worker_does_not_run_the_query_again(
    start: Start, sandbox: Any, clock: Clock, has_store: bool
) -> None:
    """The next try waits for the same query; without a store it has to begin anew."""
    rules(sandbox, polls=20)
    flow = start(settings={"has_state_store": has_store})
    clock.meanwhile = [lambda: None, lambda: None, die]
    assert isinstance(flow.extract().errors["extract"], SystemExit)
    assert 1 == begun(sandbox)

    assert {} == flow.extract().errors
    assert 1 + (not has_store) == begun(sandbox)
    assert 0 == cancelled(sandbox)


def test_a_result_that_breaks_off_is_read_again(start: Start, sandbox: Any, clock: Clock) -> None:
    """The query has been paid for: a retry reads its result from the beginning."""
    sandbox.looker_faults.add("cut", bytes=100_000, framing="chunked", path=RESULTS)
    flow = start().extract()
    failed(flow, "TransientError", "arrive to its end")

    assert {} == flow.extract().errors
    assert (1, 2) == (begun(sandbox), len(asked(sandbox, "GET", "/results")))


def test_a_retry_does_not_wait_for_a_query_that_has_ended_badly(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """Whatever became of it meanwhile, the retry begins anew and at once."""
    rules(sandbox, polls=2, outcome="killed")
    flow = start()
    clock.meanwhile = [die]
    flow.extract()
    (task_id,) = {
        json.loads(text)["task"]["id"] for text in flow.stores["extract/-1"].texts.values()
    }
    headers = {"Authorization": f"token {_token(sandbox)}"}
    for _ in range(3):
        requests.get(
            f"{sandbox.looker_url}/api/4.0/query_tasks/{task_id}", headers=headers, timeout=10
        )
    rules(sandbox, polls=1, outcome="complete")

    assert {} == flow.extract().errors
    assert 2 == begun(sandbox)


def _token(sandbox: Any) -> str:
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    form = {"client_id": said["login"], "client_secret": said["password"]}
    answer = requests.post(f"{sandbox.looker_url}/api/4.0/login", data=form, timeout=10)
    return str(answer.json()["access_token"])


def test_a_clear_begins_anew(start: Start, sandbox: Any, clock: Clock) -> None:
    """Somebody wants to see what the Look says now."""
    flow = start().extract()
    flow.clear("extract")

    assert {} == flow.extract().errors
    assert 2 == begun(sandbox)


def test_another_query_begins_anew(start: Start, sandbox: Any, clock: Clock) -> None:
    """A retry of a changed DAG does not read the old query's result."""
    rules(sandbox, polls=20)
    flow = start()
    clock.meanwhile = [die]
    flow.extract()
    flow.choices["filters"] = {"sessions.started_date": "7 days"}

    assert {} == flow.extract().errors
    assert 2 == begun(sandbox)


@pytest.mark.parametrize("has_store", [True, False])
def test_a_silent_looker_is_left_to_retries(
    start: Start, sandbox: Any, clock: Clock, has_store: bool
) -> None:
    """The query goes on if somebody will come back to it, and is cancelled if not."""
    rules(sandbox, polls=20)
    flow = start(settings={"has_state_store": has_store})
    sandbox.looker_faults.add("status", status=502, body="", path=POLL, times=-1)
    failed(flow.extract(), "TransientError", "502")
    assert (not has_store) == cancelled(sandbox)
    sandbox.looker_faults.clear()

    assert {} == flow.extract().errors
    assert 1 + (not has_store) == begun(sandbox)


def test_a_kill_cancels_the_query(start: Start, sandbox: Any, clock: Clock) -> None:
    """Airflow calls ``on_kill`` in a signal handler, between two steps of whatever runs."""
    rules(sandbox, polls=FOREVER)
    flow = start()
    operator = LookerRunLookOperator(task_id="extract", look_id="42", query_task=True)
    clock.meanwhile = [lambda: None, operator.on_kill]
    with pytest.raises(TransientError, match="killed"):
        operator.execute(flow.context("extract"))

    assert 1 == cancelled(sandbox)


def test_a_kill_without_a_query_does_nothing(start: Start, sandbox: Any) -> None:
    """Before the query, after it, and without a query task there is nothing to cancel."""
    flow = start()
    plain = LookerRunLookOperator(task_id="extract", look_id="42")
    plain.on_kill()
    plain.execute(flow.context("extract"))
    plain.on_kill()
    flow = start()
    long = LookerRunLookOperator(task_id="extract", look_id="42", query_task=True)
    long.execute(flow.context("extract"))
    long.on_kill()

    assert 0 == cancelled(sandbox)


# deferrable


def deferred(operator: LookerRunLookOperator, work: Callable[[], Any]) -> dict[str, Any]:
    """Let an operator defer, run its trigger elsewhere, and return the event."""
    with pytest.raises(TaskDeferred) as deferral:
        work()
    path, kwargs = deferral.value.trigger.serialize()
    assert "execute_complete" == deferral.value.method_name
    assert not deferral.value.kwargs
    trigger = getattr(triggers, path.rpartition(".")[2])(**json.loads(json.dumps(kwargs)))

    async def first() -> dict[str, Any]:
        """Wait for the only event."""
        return dict((await anext(trigger.run())).payload)

    return asyncio.run(first())


def make(**choices: Any) -> LookerRunLookOperator:
    """Return an operator that defers; another process has another one."""
    return LookerRunLookOperator(task_id="extract", look_id="42", deferrable=True, **choices)


def test_a_deferral_changes_nothing_but_the_wait(start: Start, sandbox: Any, clock: Clock) -> None:
    """What another process finds out anew is what the first knew."""
    rules(sandbox, polls=65)
    short = start(query_task=False).extract()
    flow = start()
    operator = make()
    event = deferred(operator, lambda: operator.execute(flow.context("extract")))
    shards = make().execute_complete(flow.context("extract"), event)

    assert "complete" == event["status"]
    assert short.shards == shards
    assert manifest(short) == manifest(flow)
    assert 1 == begun(sandbox)


def test_an_expired_task_is_deferred_again_once(start: Start, sandbox: Any, clock: Clock) -> None:
    """It is remembered across processes that this one is the second."""
    rules(sandbox, outcome="expired")
    flow = start(settings={"has_state_store": False})
    operator, second = make(), make()
    event = deferred(operator, lambda: operator.execute(flow.context("extract")))
    event = deferred(second, lambda: second.execute_complete(flow.context("extract"), event))
    with pytest.raises(TransientError, match="expired"):
        make().execute_complete(flow.context("extract"), event)

    assert 2 == begun(sandbox)


def test_a_deferred_query_without_an_end_is_cancelled(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """The triggerer stops waiting, the worker stops the query."""
    rules(sandbox, polls=FOREVER)
    flow = start()
    operator = make(query_timeout_s=600)
    event = deferred(operator, lambda: operator.execute(flow.context("extract")))
    assert ("timeout", 0) == (event["status"], cancelled(sandbox))
    with pytest.raises(TransientError, match="query_timeout_s"):
        make().execute_complete(flow.context("extract"), event)

    assert 1 == cancelled(sandbox)


def test_a_worker_asks_again_where_the_triggerer_got_no_answer(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """A query that still goes on is waited for again."""
    rules(sandbox, polls=8)
    flow = start()
    operator, second = make(), make()
    rule = sandbox.looker_faults.add("status", status=403, body="", path=POLL)
    event = deferred(operator, lambda: operator.execute(flow.context("extract")))
    assert (1, "unknown") == (rule.fired, event["status"])
    event = deferred(second, lambda: second.execute_complete(flow.context("extract"), event))
    assert "complete" == event["status"]

    assert make().execute_complete(flow.context("extract"), event)
    assert 1 == begun(sandbox)


def test_a_retry_after_the_query_does_not_defer(start: Start, sandbox: Any, clock: Clock) -> None:
    """A worker that dies while it reads leaves a complete result to the next one."""
    flow = start()
    operator = make()
    deferred(operator, lambda: operator.execute(flow.context("extract")))

    assert make().execute(flow.context("extract"))
    assert 1 == begun(sandbox)


@pytest.mark.parametrize(
    "change",
    [
        {"query_task": None},
        {"query_task": {"id": "7"}},
        {"query_task": {"id": "7", "query_id": "x", "give_up_at": 1.0, "is_second": False}},
    ],
)
def test_an_event_about_something_else_is_refused(
    start: Start, sandbox: Any, clock: Clock, change: dict[str, Any]
) -> None:
    """A result of another query, as of a Look that was changed, is not read."""
    flow = start()
    operator = make()
    event = deferred(operator, lambda: operator.execute(flow.context("extract")))
    with pytest.raises(TransientError, match="Look was changed"):
        make().execute_complete(flow.context("extract"), {**event, **change})

    assert [] == asked(sandbox, "GET", "/results")
    assert {} == flow.stores["extract/-1"].texts


# In Airflow


@pytest.mark.airflow
@pytest.mark.parametrize("choices", [{"query_task": True}, {"deferrable": True}])
def test_a_long_look_arrives(
    run_look: Callable[..., Outcome], sandbox: Any, choices: dict[str, Any]
) -> None:
    """The whole run, in Airflow: the same users arrive, once, after the query's own time."""
    rules(sandbox, polls=2)
    outcome = run_look("42", **choices)
    report, record = outcome.report, summary(sandbox)

    assert {"extract": "success", "identify[0]": "success", "report": "success"} == outcome.states
    assert report["rows"] > 2_000
    assert report["messages"] == record["accepted"] == record["users"]
    assert 1 == begun(sandbox)
    assert [] == asked(sandbox, "GET", "/run/json_detail")


@pytest.mark.airflow
def test_a_long_look_may_expire_in_a_triggerer(
    run_look: Callable[..., Outcome], sandbox: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run defers twice at most, then fails and sends nothing."""
    rules(sandbox, polls=0, outcome="expired")
    outcome = run_look("42", deferrable=True)

    assert ("failed", "failed") == (outcome.states["extract"], outcome.states["report"])
    assert "expired" in capfd.readouterr().out
    assert (2, 0) == (begun(sandbox), summary(sandbox)["requests"])


def test_the_task_group_passes_the_choices_on() -> None:
    """Only extract waits for queries."""
    from airflow.sdk import DAG

    with DAG("long", schedule=None):
        group = look_to_segment("42", query_task=True, deferrable=True, query_timeout_s=7)
    extract = group.get_child_by_label("extract")

    assert (True, True, 7) == (extract.query_task, extract.deferrable, extract.query_timeout_s)
