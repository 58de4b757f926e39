"""What Airflow may do to a run: kill, retry, clear, reorder; each user still arrives once."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_looker_segment.core.chunking import shard
from airflow_provider_looker_segment.core.limits import MAX_CHUNK_BYTES
from tests.hazards.conftest import BATCH, SMALL_BATCHES, Clock
from tests.hazards.flow import (
    MOMENT,
    PEOPLE,
    RETRIES,
    Flow,
    arrived,
    namespace,
    row,
    stopped,
    succeeded,
)
from tests.hazards.registry import hazard

Start = Callable[..., Flow]
Answer = Callable[..., None]


def patiently(condition: Callable[[], bool]) -> None:
    """Wait until something is so, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("states", "stops"),
    [
        ({}, False),
        ({"report": "upstream_failed"}, False),
        ({"report": "success"}, True),
        ({"report": "failed"}, True),
        ({"identify_0": "success"}, True),
        ({"other": "success"}, False),
    ],
)
def test_an_extract_behind_its_report_reads_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch, states: dict[str, str], *, stops: bool
) -> None:
    """Cleared alone, its chunks would stay in XCom for good and its run would be green."""
    from airflow.sdk import DAG

    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
    from airflow_provider_looker_segment.operators.report import SegmentReportOperator
    from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator

    with DAG("hazards", schedule=None):
        extract = LookerRunLookOperator(task_id="extract", look_id="1")
        identify = SegmentIdentifyOperator.partial(task_id="identify").expand(shard=extract.output)
        report = SegmentReportOperator(
            task_id="report", extract_task_id="extract", identify_task_id="identify"
        )
        [extract, identify] >> report
    flow = start()
    flow.states.update(states)
    context = flow.context("extract")
    asked: list[str] = []

    def get_task_states(*, task_ids: list[str], **_: Any) -> dict[str, dict[str, str]]:
        asked.extend(task_ids)
        found = {name: state for name, state in states.items() if name.split("_")[0] in task_ids}
        return {flow.run_id: found}

    monkeypatch.setattr(context["ti"], "get_task_states", get_task_states)
    if stops:
        with pytest.raises(AirflowFailException, match="together with its downstream tasks"):
            extract.execute(context)
        assert [] == flow.asked
    else:
        assert extract.execute(context)
    assert ["identify", "report"] == sorted(asked)


def test_a_report_that_cannot_delete_still_reports(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is told first; a retry of the report deletes the chunks."""
    from airflow_provider_looker_segment.stores import chunks

    delete = chunks.XCom.delete
    flow = start().extract().identify()
    monkeypatch.setattr(chunks.XCom, "delete", staticmethod(_refuse))
    flow.report()

    assert PEOPLE == flow.books["accepted"]
    assert "TransientError" == type(flow.errors["report"]).__name__
    assert flow.xcoms.chunks()
    monkeypatch.setattr(chunks.XCom, "delete", staticmethod(delete))
    succeeded(flow.report(), PEOPLE)
    assert [] == flow.xcoms.chunks()


@pytest.mark.parametrize("manifest", ["s3://bucket/manifest.json", 5, []])
def test_chunks_go_where_the_manifest_is_gone(start: Start, manifest: Any) -> None:
    """Object storage answers with the address of a lost file; chunks are counted then."""
    flow = start().extract().identify()
    assert flow.xcoms.chunks()
    flow.xcoms.texts["extract", -1, "manifest"] = json.dumps(manifest)
    flow.report()

    assert "should be there, in format 1" in str(flow.errors["report"]).replace("\n ", "")
    assert [] == flow.xcoms.chunks()


def test_an_extract_that_cannot_delete_tells_what_stopped_it(
    start: Start, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion's trouble does not hide why the run stopped."""
    from airflow_provider_looker_segment.stores import chunks

    answer(*(row(id=f'"u-{number}"') for number in range(5)), errors="division by zero")
    monkeypatch.setattr(chunks, "max_packed_bytes", lambda: 100)
    monkeypatch.setattr(chunks.XCom, "delete", staticmethod(_refuse))
    flow = start().extract()

    assert "division by zero" in str(flow.errors["extract"])


def _refuse(**_: Any) -> None:
    raise PermissionError


EDITION = f"{RETRIES}.1"
"""Of the first try of a run."""

RECEIPTS: list[Any] = [
    5,
    "x",
    {},
    {"manifest": EDITION},
    {"manifest": EDITION, "receipt": {}},
    {"manifest": EDITION, "receipt": {"messages": PEOPLE, "accepted": PEOPLE, "problems": 5}},
    {"manifest": EDITION, "receipt": {"messages": 5, "accepted": 5, "problems": []}},
    {
        "manifest": EDITION,
        "receipt": {
            "messages": PEOPLE,
            "accepted": 2 * PEOPLE,
            "refused": -PEOPLE,
            "problems": [],
        },
    },
]


@pytest.mark.parametrize("receipt", RECEIPTS)
def test_a_receipt_that_is_none_is_no_success(start: Start, receipt: Any) -> None:
    """What nobody can read is of unknown fate, and the run is red; the report is there."""
    flow = start().extract().identify()
    flow.xcoms.texts["identify", 0, "receipt"] = json.dumps(receipt)
    flow.states["identify_0"] = "success"
    flow.report()

    assert "AirflowFailException" == type(flow.errors["report"]).__name__
    assert 0 == flow.books["accepted"]
    assert PEOPLE == flow.books["unknown"] + flow.books["not_sent"]
    assert [] == flow.xcoms.chunks()


@hazard(
    "A1",
    "SIGKILL in the middle of a shard",
    "a retry sends what has no answer under the same ids: each user is accepted once",
)
def test_a01_killed_worker(start: Start, sandbox: Any, clock: Clock) -> None:
    """A real process dies between two batches, or within one."""
    from segment.analytics import request

    sandbox.segment_faults.add("latency", seconds=0.1, path=BATCH, times=-1)
    flow = start(max_messages_per_second=SMALL_BATCHES).extract()
    worker = os.fork()
    if not worker:
        # Connections that the parent has open are not the child's to use.
        request._session.close()
        flow.identify()
        os._exit(0)
    patiently(lambda: flow.record["accepted"] >= 10)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    sandbox.segment_faults.clear()
    assert 10 <= flow.record["accepted"] < PEOPLE

    succeeded(flow.identify().report(), PEOPLE)


@hazard(
    "A2",
    "a retry after a part of a shard was accepted",
    "the same ids; with Airflow 3.3's store it goes on there, before that Segment drops repeats",
)
@pytest.mark.parametrize(("has_state_store", "repeats"), [(True, 0), (False, 10)])
def test_a02_retry_after_a_part(
    start: Start, sandbox: Any, clock: Clock, has_state_store: bool, repeats: int
) -> None:
    """What was accepted is sent again only where nobody remembers."""
    sandbox.segment_faults.add(
        "status", status=429, headers={"Retry-After": "3600"}, path=BATCH, after=2
    )
    settings = {"has_state_store": has_state_store}
    flow = start(max_messages_per_second=SMALL_BATCHES, settings=settings).extract().identify()
    arrived(flow, 10)

    succeeded(flow.identify().report(), PEOPLE)
    assert repeats == flow.record["duplicates"]


@hazard(
    "A3",
    "a lost heartbeat: a second process delivers while the first still does",
    "both send the same ids: Segment drops the repeats",
)
def test_a03_two_processes_at_once(start: Start, sandbox: Any) -> None:
    """Nothing in an id depends on the process that sends it."""
    sandbox.segment_faults.add("latency", seconds=0.05, path=BATCH, times=-1)
    settings = {"has_state_store": False}
    flow = start(max_messages_per_second=100, settings=settings).extract()
    own = {"states": {}, "errors": {}, "tries": {}}
    twins = [
        dataclasses.replace(flow, xcoms=copy.deepcopy(flow.xcoms), **copy.deepcopy(own))
        for _ in range(3)
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(Flow.identify, twins))

    succeeded(flow.identify().report(), PEOPLE)
    assert 3 * PEOPLE == flow.record["duplicates"]


@hazard(
    "A4",
    "rows in XCom",
    "sealed chunks of at most 48,000 bytes, each under its own key; tasks get references only",
)
def test_a04_what_is_in_xcom(start: Start) -> None:
    """No value is larger than a database takes, and none can be read there."""
    flow = start("2", filters={"big.id": "<=6000"}).extract()
    sizes = {place[2]: len(text) for place, text in flow.xcoms.texts.items()}

    assert len(flow.xcoms.chunks()) > 1
    assert max(sizes.values()) <= MAX_CHUNK_BYTES
    assert sizes["return_value"] < 1_000
    assert not [text for text in flow.xcoms.texts.values() if "example.com" in text]
    succeeded(flow.identify().report(), 6_000)
    assert [] == flow.xcoms.chunks()


@hazard("A5", "more rows than `max_map_length` allows tasks", "one task for 500,000 messages")
def test_a05_mapped_tasks(start: Start) -> None:
    """Ten million messages are twenty tasks, and thousands are one."""
    flow = start("2", filters={"big.id": "<=3000"}).extract()

    assert [3_000] == [one["messages"] for one in flow.shards]
    assert 20 == len(shard([1_000] * 10_000))


@hazard(
    "A6",
    "a run without a logical date, or with an empty interval",
    "stands for the moment it became due, never for now; a retry stands for the same moment",
)
@pytest.mark.parametrize(
    ("extra", "moment"),
    [
        ({"logical_date": None}, MOMENT - timedelta(days=3)),
        ({"data_interval_start": MOMENT, "data_interval_end": MOMENT}, MOMENT - timedelta(days=3)),
        ({"logical_date": MOMENT, "data_interval_start": None}, MOMENT),
        (
            {"params": {"window_end": "2026-01-02"}, "logical_date": MOMENT},
            datetime(2026, 1, 2, tzinfo=UTC),
        ),
    ],
    ids=["manual", "empty interval", "logical date", "params"],
)
def test_a06_runs_without_a_date(start: Start, extra: dict[str, Any], moment: datetime) -> None:
    """Every message carries the moment of its run."""
    due = {"dag_run": namespace(run_after=MOMENT - timedelta(days=3))}
    flow = start(settings={"extra": {**due, **extra}}).run()

    succeeded(flow, PEOPLE)
    assert {moment.isoformat()} == {message["timestamp"] for message in flow.sent}


@hazard(
    "A7",
    "a backfill from the newest date to the oldest",
    "each message carries its window's end as `timestamp`, which tells receivers what is newer",
)
def test_a07_backwards(start: Start) -> None:
    """Order of arrival says nothing, the timestamp does."""
    moments = [MOMENT, MOMENT - timedelta(days=1), MOMENT - timedelta(days=2)]
    extras = [{"extra": {"logical_date": moment}} for moment in moments]
    flows = [start(settings=extra, allow_older=True).run() for extra in extras]
    record = flows[0].record

    assert [{}, {}, {}] == [flow.errors for flow in flows]
    assert (3 * PEOPLE, PEOPLE) == (record["accepted"], record["users"])
    stamps = [message["timestamp"] for message in flows[0].sent]
    assert [moment.isoformat() for moment in moments for _ in range(PEOPLE)] == stamps
    refused = start(settings=extras[1]).run()
    assert "allow_older=True" in str(refused.errors["extract"])
    assert 3 * PEOPLE == refused.record["accepted"]


@hazard(
    "A8",
    "many runs at once, or two DAGs with one Look",
    "each run is complete by itself and has ids of its own; a pool shares the rate",
)
def test_a08_many_runs_at_once(start: Start) -> None:
    """Runs do not take each other's messages for repeats."""
    days = [{"logical_date": MOMENT - timedelta(days=day)} for day in range(3)]
    flows = [start(settings={"extra": extra}, allow_older=True) for extra in days]
    flows += [start(sync_id=name) for name in ("this", "that")]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(Flow.run, flows))
    record = flows[0].record

    assert [{}] * 5 == [flow.errors for flow in flows]
    assert [PEOPLE] * 5 == [flow.books["accepted"] for flow in flows]
    assert (5 * PEOPLE, PEOPLE, 0) == (
        record["accepted"],
        record["users"],
        record["duplicates"],
    )


@hazard(
    "A9",
    "a template that leaves the Look's id empty; an id that is a number",
    "fails before anything is asked; numbers and text are the same Look",
)
@pytest.mark.parametrize("look_id", [None, "", " ", "None", 1, " 1 "])
def test_a09_look_ids(start: Start, look_id: Any) -> None:
    """Looker is not asked for a Look called None."""
    flow = start(look_id).run()

    if str(look_id).strip() == "1":
        succeeded(flow, PEOPLE)
    else:
        stopped(flow, "permanent", "`look_id`")
        assert [] == flow.asked


class TimedOut(BaseException):
    """What Airflow raises when a task's time is over."""


@hazard(
    "A11",
    "a time limit of the task that ends while a request hangs",
    "ends at once; what was on its way is of unknown fate, and a retry sends it again",
)
def test_a11_time_limit(start: Start, sandbox: Any) -> None:
    """Nothing of ours outlives the limit."""

    def end(*_: Any) -> None:
        raise TimedOut

    sandbox.segment_faults.add("stall", bytes=0, seconds=8, path=BATCH, after=1)
    flow = start(max_messages_per_second=SMALL_BATCHES).extract()
    previous = signal.signal(signal.SIGALRM, end)
    # The pace's own second before the first batch is over by then.
    signal.setitimer(signal.ITIMER_REAL, 2.0)
    started = time.monotonic()
    try:
        flow.identify()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    receipt = json.loads(flow.xcoms.texts["identify", 0, "receipt"])["receipt"]

    assert "TimedOut" == type(flow.errors["identify[0]"]).__name__
    assert time.monotonic() - started < 4
    assert (5, 5) == (receipt["accepted"], receipt["unknown"])
    flow.choices["max_messages_per_second"] = 1e6
    succeeded(flow.identify().report(), PEOPLE)
