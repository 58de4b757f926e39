"""The three tasks of a run against the sandbox, one after the other, with retries by hand.

Operators, hooks and SDKs are the real ones; only what Airflow's scheduler and its database do in
between is played here: XCom is a dict of JSON texts, a try is a call.
"""

from __future__ import annotations

import json
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import requests

MOMENT = datetime(2026, 1, 15, tzinfo=UTC)
PEOPLE = 20
"""Rows of the dataset's usual Looks."""

RETRIES = 3

Place = tuple[str, int, str]


class XComs:
    """What Airflow's XCom table would hold: (task, map index, key) to JSON text."""

    def __init__(self) -> None:
        self.texts: dict[Place, str] = {}

    def forget(self, task_id: str, map_index: int) -> None:
        """Drop what a task has pushed, as Airflow does before each try."""
        for place in [place for place in self.texts if place[:2] == (task_id, map_index)]:
            del self.texts[place]

    def delete(self, *, key: str, task_id: str, map_index: int | None = None, **_: Any) -> None:
        """Stand for ``XCom.delete``."""
        self.texts.pop((task_id, -1 if map_index is None else map_index, key), None)

    def chunks(self) -> list[str]:
        """The keys of chunks."""
        return sorted(key for _, _, key in self.texts if key.startswith("chunk_"))


class States:
    """What Airflow 3.3's task state store would hold of one task."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str) -> Any:
        """Read back a value."""
        return json.loads(self.texts[key]) if key in self.texts else None

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.texts[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        """Forget a value."""
        self.texts.pop(key, None)


@dataclass
class TaskInstance:
    """As much of a task instance as operators use."""

    xcoms: XComs
    task_id: str
    map_index: int
    max_tries: int
    states: Mapping[str, str]
    run_id: str
    try_number: int
    flows: Mapping[str, Flow] = field(default_factory=dict)
    dag_id: str = "hazards"

    @property
    def task(self) -> SimpleNamespace:
        """The operator, as far as the store of progress asks for it."""
        return SimpleNamespace(retries=RETRIES)

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value as JSON."""
        self.xcoms.texts[self.task_id, self.map_index, key] = json.dumps(value)

    def xcom_pull(
        self,
        task_ids: str,
        key: str = "return_value",
        map_indexes: int = -1,
        run_id: str | None = None,
        dag_id: str | None = None,
    ) -> Any:
        """Read a value of any task of this run, or of another, whichever DAG that is of."""
        xcoms = self.xcoms if run_id is None else self.flows[run_id].xcoms
        text = xcoms.texts.get((task_ids, map_indexes, key))
        return None if text is None else json.loads(text)

    def get_task_states(
        self, *, task_ids: list[str], run_ids: list[str], **_: Any
    ) -> dict[str, dict[str, str]]:
        """Tell how tasks of runs ended."""
        return {
            run_id: {
                name: state for name, state in self.flows[run_id].states.items() if name in task_ids
            }
            for run_id in run_ids
            if run_id in self.flows
        }

    def get_dr_count(self, *, run_ids: list[str], **_: Any) -> int:
        """Count those of some runs that go on."""
        flows = [self.flows[run_id] for run_id in run_ids if run_id in self.flows]
        return sum(not flow.is_over for flow in flows)


@dataclass
class Flow:
    """One run of a Look, task by task.

    :param choices: the operators' arguments, and ``dag_id`` where the DAG matters.
    :param extra: what the context holds besides: a window, params.
    :param has_state_store: whether the context offers what Airflow 3.3 has.
    :param flows: all runs that this Airflow knows, by their ids.
    :param is_over: whether Airflow has ended the run.
    """

    sandbox: Any
    xcoms: XComs
    look_id: Any = "1"
    choices: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=lambda: {"logical_date": MOMENT})
    has_state_store: bool = True
    run_id: str = "run"
    tries: dict[tuple[str, int], int] = field(default_factory=dict)
    max_tries: dict[tuple[str, int], int] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    stores: dict[str, States] = field(default_factory=dict)
    flows: dict[str, Flow] = field(default_factory=dict)
    is_over: bool = False

    @property
    def dag_id(self) -> str:
        """The DAG whose run it is."""
        return str(self.choices.get("dag_id", "hazards"))

    def context(self, task_id: str, map_index: int = -1) -> dict[str, Any]:
        """Return a task's context; a new try finds its XComs gone."""
        from airflow.sdk.execution_time.context import OutletEventAccessors

        self.xcoms.forget(task_id, map_index)
        tries = self.tries[task_id, map_index] = self.tries.get((task_id, map_index), 0) + 1
        ti = TaskInstance(
            self.xcoms,
            task_id,
            map_index,
            self.max_tries.get((task_id, map_index), RETRIES),
            self.states,
            self.run_id,
            try_number=tries,
            dag_id=self.dag_id,
            flows=ChainMap({self.run_id: self}, self.flows),
        )
        context = {
            "ti": ti,
            "params": {},
            "outlet_events": OutletEventAccessors(),
            **self.extra,
        }
        if self.has_state_store:
            name = f"{task_id}/{map_index}"
            context["task_state_store"] = self.stores.setdefault(name, States())
        return context

    def extract(self) -> Flow:
        """Try extract once."""
        from airflow.sdk import DAG

        from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

        not_its = {"max_messages_per_second", "dag_id"}
        choices = {name: value for name, value in self.choices.items() if name not in not_its}

        def work() -> Any:
            operator = LookerRunLookOperator(
                task_id="extract",
                look_id=self.look_id,
                dag=DAG(self.dag_id, schedule=None) if "dag_id" in self.choices else None,
                **choices,
            )
            context = self.context("extract")
            shards = operator.execute(context)
            context["ti"].xcom_push("return_value", shards)
            return shards

        self._try("extract", work)
        return self

    def clear(self, task_id: str, map_index: int = -1) -> None:
        """Clear a task as Airflow does: it may be tried as often again as at first."""
        place = task_id, map_index
        self.max_tries[place] = self.tries.get(place, 0) + RETRIES
        self.states.pop(task_id if map_index < 0 else f"{task_id}[{map_index}]", None)

    @property
    def shards(self) -> list[dict[str, Any]]:
        """What extract returned."""
        text = self.xcoms.texts.get(("extract", -1, "return_value"))
        return [] if text is None else json.loads(text)

    def identify(self) -> Flow:
        """Try identify once for each shard that has not succeeded."""
        for shard in self.shards:
            if self.states.get(f"identify[{shard['index']}]") != "success":
                self._try(f"identify[{shard['index']}]", lambda shard=shard: self._identify(shard))
        return self

    def _identify(self, shard: dict[str, Any]) -> None:
        from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator

        operator = SegmentIdentifyOperator(
            task_id="identify",
            shard=shard,
            segment_conn_id=self.choices.get("segment_conn_id", "segment_default"),
            max_messages_per_second=self.choices.get("max_messages_per_second", 1e6),
        )
        operator.execute(self.context("identify", shard["index"]))

    def report(self) -> Flow:
        """Try report once."""
        from airflow_provider_looker_segment.operators.report import SegmentReportOperator

        operator = SegmentReportOperator(
            task_id="report",
            extract_task_id="extract",
            identify_task_id="identify",
            guards=self.choices.get("guards"),
            segment_conn_id=self.choices.get("segment_conn_id", "segment_default"),
        )
        self._try("report", lambda: operator.execute(self.context("report")))
        self.is_over = True
        return self

    def run(self) -> Flow:
        """Try each task once."""
        return self.extract().identify().report()

    def _try(self, name: str, work: Callable[[], Any]) -> None:
        self.errors.pop(name, None)
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever ends a task is what is tested
            self.errors[name] = error
            self.states[name] = "failed"
        else:
            self.states[name] = "success"

    @property
    def books(self) -> dict[str, Any]:
        """The report as the run left it."""
        found: dict[str, Any] = json.loads(self.xcoms.texts["report", -1, "report"])
        return found

    @property
    def problems(self) -> dict[str, int]:
        """The report's problems: code to count."""
        return {problem["code"]: problem["count"] for problem in self.books["problems"]}

    @property
    def record(self) -> dict[str, Any]:
        """The Segment stand-in's own record."""
        return self._segment("summary")

    @property
    def profiles(self) -> dict[str, dict[str, Any]]:
        """The traits of all users, as the Segment stand-in has merged them."""
        users = self._segment("users?limit=100000")["users"]
        return {user["userId"]: user["traits"] for user in users}

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The messages that the Segment stand-in accepted."""
        return [entry["message"] for entry in self.entries]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The same, each with what the stand-in noted beside it, such as its source."""
        found: list[dict[str, Any]] = self._segment("messages?limit=20000")["messages"]
        return found

    @property
    def batches(self) -> list[dict[str, Any]]:
        """The requests that reached the Segment stand-in."""
        found: list[dict[str, Any]] = self._segment("requests?limit=100000")["requests"]
        return found

    def traits(self, user_id: str) -> dict[str, Any]:
        """The traits of one user, as they were sent."""
        (message,) = [message for message in self.sent if message.get("userId") == user_id]
        found: dict[str, Any] = message["traits"]
        return found

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The requests that reached the Looker stand-in."""
        return self._get(f"{self.sandbox.looker_url}/_sandbox/requests")

    def _segment(self, path: str) -> Any:
        return self._get(f"{self.sandbox.segment_url}/_sandbox/{path}")

    @staticmethod
    def _get(url: str) -> Any:
        return requests.get(url, timeout=30).json()


def play_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Airflow's variables for one test."""
    from airflow.sdk import Variable

    variables: dict[str, Any] = {}

    def write(key: str, value: Any, **_: Any) -> None:
        variables[key] = value

    monkeypatch.setattr(Variable, "get", lambda key, default=None: variables.get(key, default))
    monkeypatch.setattr(Variable, "set", write)


def succeeded(flow: Flow, messages: int) -> None:
    """Every task is green, and each user arrived exactly once."""
    assert {} == {name: str(error) for name, error in flow.errors.items()}
    arrived(flow, messages)
    assert messages == flow.books["accepted"] == flow.books["messages"]


def arrived(flow: Flow, messages: int) -> None:
    """So many messages were accepted, each of another user under an id of its own."""
    record = flow.record
    sent = flow.sent
    users = {message.get("userId") or message["anonymousId"] for message in sent}
    ids = {message["messageId"] for message in sent}
    assert (messages, messages) == (record["accepted"], record["users"])
    assert (messages, messages) == (len(users), len(ids))


def stopped(flow: Flow, kind: str, complaint: str = "", *, kept: bool = False) -> None:
    """Extract failed, for good or for now, Segment saw no request, and no chunk is left.

    :param kept: whether a guard stopped it, so that what it would have sent can be approved.
    """
    error = flow.errors["extract"]
    assert {"permanent": "AirflowFailException", "transient": "TransientError"}[kind] == (
        type(error).__name__
    ), error
    assert complaint in str(error)
    assert "failed" == flow.states["report"]
    assert 0 == flow.record["requests"]
    assert kept == (flow.xcoms.chunks() != [])


def connect(monkeypatch: pytest.MonkeyPatch, sandbox: Any, **changes: Any) -> None:
    """Change the Segment connection."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps({**said, **changes}))


def ended(flow: Flow, kind: str, complaint: str, **books: int) -> None:
    """Identify failed, for good or for now; the report is red and its books are these."""
    error = flow.errors["identify[0]"]
    assert {"permanent": "AirflowFailException", "transient": "TransientError"}[kind] == (
        type(error).__name__
    ), error
    assert complaint in str(error)
    assert "failed" == flow.states["report"]
    expected = {"accepted": 0, "refused": 0, "unknown": 0, "not_sent": 0, **books}
    assert expected == {name: flow.books[name] for name in expected}
    assert [] == flow.xcoms.chunks()


def result_query(flow: Flow) -> str:
    """The parameters with which a result was asked for."""
    (query,) = [entry["query"] for entry in flow.asked if entry["path"].endswith("json_detail")]
    return str(query)


def row(**cells: str) -> str:
    """Write one row of Look 1 as Looker does.

    :param cells: JSON texts by short column name.
    """
    said = {"id": '"u-1"', "email": "null", "name": '"Ty"', "note": "null", **cells}
    inner = ",".join(f'"people.{name}":{{"value":{text}}}' for name, text in said.items())
    return f"{{{inner}}}"


def document(*rows: str, **rest: Any) -> str:
    """Write a ``json_detail`` document around rows."""
    tail = "".join(f",{json.dumps(key)}:{json.dumps(value)}" for key, value in rest.items())
    return f'{{"status":"complete","data":[{",".join(rows)}]{tail}}}'


def namespace(**members: Any) -> SimpleNamespace:
    """Stand for a DAG run."""
    return SimpleNamespace(**members)
