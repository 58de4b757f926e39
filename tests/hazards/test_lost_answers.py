"""Answers that never come: what may have arrived is never called unsent, nor taken twice."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.hazards.conftest import BATCH, SMALL_BATCHES, Clock
from tests.hazards.flow import PEOPLE, Flow, arrived, connect, ended, succeeded
from tests.hazards.registry import hazard

Start = Callable[..., Flow]


@hazard(
    "S12",
    "an answer that is lost after Segment took the batch",
    "sent again under the same ids, also by a retry of the task: Segment drops the repeats",
)
@pytest.mark.parametrize("has_state_store", [True, False], ids=["with store", "without"])
def test_s12_lost_answers(start: Start, sandbox: Any, clock: Clock, has_state_store: bool) -> None:
    """Each user is accepted once, whoever repeats what."""
    sandbox.segment_faults.add("lost_answer", path=BATCH, times=2)
    flow = start(settings={"has_state_store": has_state_store}).run()
    succeeded(flow, PEOPLE)
    assert 2 * PEOPLE == flow.record["duplicates"]
    sandbox.segment_app.state.arrivals.reset()
    sandbox.segment_faults.add("lost_answer", path=BATCH, times=-1)
    flow = start(sync_id="b", settings={"has_state_store": has_state_store}).extract().identify()
    assert "TransientError" == type(flow.errors["identify[0]"]).__name__
    sandbox.segment_faults.clear()

    succeeded(flow.identify().report(), PEOPLE)


def test_a_time_out_after_acceptance_is_of_unknown_fate(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """What may have arrived is never reported as not sent."""
    connect(monkeypatch, sandbox, extra={"timeout": 0.3})
    sandbox.segment_faults.add("stall", bytes=0, seconds=0.5, path=BATCH)
    sandbox.segment_faults.add("status", status=401, path=BATCH)
    flow = start().run()

    ended(flow, "permanent", "401", unknown=PEOPLE)
    arrived(flow, PEOPLE)


@pytest.mark.parametrize("ending", [401, 302, 501])
def test_halves_of_a_batch_of_unknown_fate_are_of_unknown_fate(
    start: Start, sandbox: Any, clock: Clock, ending: int
) -> None:
    """A batch that was taken without an answer, then cut in two, is not forgotten."""
    sandbox.segment_faults.add("lost_answer", path=BATCH)
    sandbox.segment_faults.add("status", status=413, path=BATCH)
    sandbox.segment_faults.add("status", status=ending, path=BATCH)
    flow = start().run()

    ended(flow, "permanent", "", unknown=PEOPLE)
    arrived(flow, PEOPLE)


@hazard(
    "S13",
    "nobody listens, or the name is unknown",
    "nothing is sent: a transient error, for Airflow to retry",
)
@pytest.mark.parametrize("trouble", ["refused", "unknown name"])
def test_s13_no_connection(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock, trouble: str
) -> None:
    """What never connected cannot have arrived."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    host = "https://segment.invalid" if trouble == "unknown name" else f"http://127.0.0.1:{port}"
    connect(monkeypatch, sandbox, host=host)
    flow = start().run()

    ended(flow, "transient", "the network failed", not_sent=PEOPLE)


@hazard("S14", "one failure of any kind", "tried again: the client's own sync mode would give up")
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset"},
        {"kind": "cut", "bytes": 3},
        {"kind": "status", "status": 500},
        {"kind": "lost_answer"},
        {"kind": "cut", "bytes": 5, "framing": "chunked"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_s14_single_failures(
    start: Start, sandbox: Any, clock: Clock, fault: dict[str, Any]
) -> None:
    """One is not enough to lose a batch."""
    sandbox.segment_faults.add(path=BATCH, **fault)

    succeeded(start().run(), PEOPLE)


@pytest.mark.parametrize("tries", [2, 3])
def test_a_lower_rate_makes_no_doubt_smaller(
    start: Start, sandbox: Any, clock: Clock, tries: int
) -> None:
    """What an earlier try may have sent counts by its own rate, however many tries ago it was."""
    sandbox.segment_faults.add("lost_answer", path=BATCH, times=-1)
    flow = start().extract().identify()
    assert PEOPLE == flow.record["accepted"]
    sandbox.segment_faults.clear()
    sandbox.segment_faults.add("status", status=401, path=BATCH, times=-1)
    flow.choices["max_messages_per_second"] = SMALL_BATCHES
    for _ in range(1, tries):
        flow.identify()
    flow.report()

    assert (0, PEOPLE, 0) == tuple(flow.books[name] for name in ("accepted", "unknown", "not_sent"))


class Terminated(BaseException):
    """What Airflow raises in a task that it ends."""


@hazard(
    "S16",
    "a task that is ended while it waits, or while an answer is on its way",
    "what had no answer is counted as unknown or not sent; a retry sends it under the same ids",
)
@pytest.mark.parametrize("moment", ["waiting", "waiting after a lost answer", "asking"])
def test_s16_ended_while_waiting(
    start: Start, sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nothing is lost in memory, and nothing that may have arrived is called unsent."""
    kind = {"waiting": "status", "waiting after a lost answer": "lost_answer"}.get(moment)
    if kind is not None:
        more = {"status": 429, "headers": {"Retry-After": "9"}} if kind == "status" else {}
        sandbox.segment_faults.add(kind, path=BATCH, after=2, **more)

    flow = start(max_messages_per_second=SMALL_BATCHES)

    def end(seconds: float) -> None:
        if len(flow.batches) > 2 or (kind == "status" and seconds == 9):
            raise Terminated

    if moment == "asking":
        send = requests.Session.send
        state = {"requests": 0}

        def interrupted(*args: Any, **options: Any) -> requests.Response:
            answer = send(*args, **options)
            state["requests"] += args[1].path_url == "/v1/batch"
            if state["requests"] == 3:
                state["requests"] = 99
                raise Terminated
            return answer

        monkeypatch.setattr(requests.Session, "send", interrupted)
    else:
        monkeypatch.setattr(clock, "sleep", end)
    flow.extract().identify()
    receipt = json.loads(flow.xcoms.texts["identify", 0, "receipt"])["receipt"]

    assert "Terminated" == type(flow.errors["identify[0]"]).__name__
    maybe = 0 if moment == "waiting" else 5
    assert (10, maybe) == (receipt["accepted"], receipt["unknown"])
    assert 10 + maybe == flow.record["accepted"]
    monkeypatch.setattr(clock, "sleep", lambda seconds: None)
    succeeded(flow.identify().report(), PEOPLE)
