"""What Segment may answer: a message counts as accepted when Segment says so, and only then."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.hazards.conftest import BATCH, SMALL_BATCHES, Clock
from tests.hazards.flow import PEOPLE, Flow, arrived, connect, ended, row, succeeded
from tests.hazards.registry import hazard

Start = Callable[..., Flow]


@hazard(
    "S1",
    "a 200 that is no success: `success: false`, HTML, nothing; a 204",
    "never accepted: `false` is asked again, a page that is not Segment's fails for good",
)
@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"kind": "body", "body": "<html>sign in</html>"}, "not Segment's JSON"),
        ({"kind": "body", "body": ""}, "not Segment's JSON"),
        ({"kind": "status", "status": 204}, "not Segment's JSON"),
    ],
)
def test_s01_success_that_is_none(
    start: Start, sandbox: Any, fault: dict[str, Any], complaint: str
) -> None:
    """Whatever took the batch may have passed it on: its fate is unknown."""
    sandbox.segment_faults.add(path=BATCH, **fault)
    flow = start().run()

    ended(flow, "permanent", complaint, unknown=PEOPLE)
    assert 0 == flow.record["accepted"]


def test_a_200_that_is_too_deep_to_read_is_no_success(start: Start, sandbox: Any) -> None:
    """Whatever it says, it is not Segment's word that the messages arrived."""
    body = "[" * 100_000 + "]" * 100_000
    sandbox.segment_faults.add("body", body=body, content_type="application/json", path=BATCH)

    ended(start().run(), "permanent", "not Segment's JSON", unknown=PEOPLE)


def test_a_false_success_is_asked_again(start: Start, sandbox: Any, clock: Clock) -> None:
    """``success: false`` once is waited out; for ever, it is a transient error."""
    sandbox.segment_faults.add("body", body={"success": False}, path=BATCH, times=2)
    succeeded(start().run(), PEOPLE)
    sandbox.segment_faults.add("body", body={"success": False}, path=BATCH, times=-1)

    ended(start().run(), "transient", "without success", unknown=PEOPLE)


@hazard("S2", "a redirect", "fails for good: nothing is sent to another address")
@pytest.mark.parametrize(
    ("status", "location"),
    [(status, "/v1/batch") for status in (301, 302, 303, 307, 308)] + [(300, None), (304, None)],
)
def test_s02_redirects(start: Start, sandbox: Any, status: int, location: str | None) -> None:
    """Neither followed with the body nor turned into a GET."""
    headers = {} if location is None else {"Location": location}
    sandbox.segment_faults.add("status", status=status, headers=headers, path=BATCH)
    flow = start().run()

    ended(flow, "permanent", "redirect", not_sent=PEOPLE)
    assert 0 == flow.record["requests"]


@hazard(
    "S3",
    "400 for a batch, because of one message",
    "halves the batch until that message is alone: it is refused, the others are accepted",
)
@pytest.mark.parametrize("poisoned", [["u-001"], ["u-020"], ["u-007", "u-008", "u-013"]])
def test_s03_poison(start: Start, sandbox: Any, poisoned: list[str]) -> None:
    """The report names the rows, and everybody else arrives once."""
    pattern = "|".join(f'"userId": "{id_}"' for id_ in poisoned)
    sandbox.segment_faults.add("poison", pattern=pattern, path=BATCH, times=-1)
    flow = start(guards={"max_rejected": 0.2}).run()

    assert {} == flow.errors
    arrived(flow, PEOPLE - len(poisoned))
    (problem,) = flow.books["problems"]
    assert ("refused_by_segment", [int(id_[2:]) for id_ in poisoned]) == (
        problem["code"],
        problem["rows"],
    )


def test_poison_above_the_guard_is_red(start: Start, sandbox: Any) -> None:
    """One refused message of twenty is more than one percent."""
    sandbox.segment_faults.add("poison", pattern='"u-007"', path=BATCH, times=-1)
    flow = start().run()

    assert {"report"} == set(flow.errors)
    assert "guards.max_rejected" in str(flow.errors["report"])
    arrived(flow, PEOPLE - 1)


def test_refusals_before_any_success_are_not_the_messages(start: Start, sandbox: Any) -> None:
    """A source that refuses everything is not asked for each message."""
    sandbox.segment_faults.add("status", status=400, body={}, path=BATCH, times=-1)
    flow = start().run()

    ended(flow, "permanent", "400", refused=10, not_sent=PEOPLE - 10)


@hazard("S4", "401 or 403", "stops at once, for good")
@pytest.mark.parametrize("status", [401, 403])
def test_s04_unauthorised(start: Start, sandbox: Any, clock: Clock, status: int) -> None:
    """No second request leaves; what was accepted before stays counted."""
    rule = sandbox.segment_faults.add(
        "status", status=status, body={}, path=BATCH, after=2, times=-1
    )
    flow = start(max_messages_per_second=SMALL_BATCHES).run()

    ended(flow, "permanent", str(status), accepted=10, not_sent=10)
    arrived(flow, 10)
    assert 1 == rule.fired


@hazard("S5", "413", "halves the batch until it fits; a single message that does not is refused")
@pytest.mark.parametrize("max_messages", [1, 3, 7, 19])
def test_s05_too_large(start: Start, sandbox: Any, max_messages: int) -> None:
    """Everybody arrives, in batches as large as they may be."""
    sandbox.segment_faults.add("too_large", max_messages=max_messages, path=BATCH, times=-1)
    flow = start().run()

    succeeded(flow, PEOPLE)
    assert max(entry["messages"] for entry in flow.batches) <= max_messages


@hazard("S6", "429 with `Retry-After` in seconds", "waits that long, then sends the same messages")
@pytest.mark.parametrize("times", [1, 3])
def test_s06_too_many_requests(start: Start, sandbox: Any, clock: Clock, times: int) -> None:
    """The wait is the one that was asked for, each time."""
    sandbox.segment_faults.add(
        "status", status=429, headers={"Retry-After": "7"}, path=BATCH, times=times
    )

    succeeded(start().run(), PEOPLE)
    assert [7] * times == clock.waits


@hazard("S7", "429 with `Retry-After` as a date", "waits until then")
def test_s07_retry_after_a_date(start: Start, sandbox: Any, clock: Clock) -> None:
    """A date in the past is no wait, one ahead is as long as it takes."""
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=31), usegmt=True)
    sandbox.segment_faults.add("status", status=429, headers={"Retry-After": moment}, path=BATCH)

    succeeded(start().run(), PEOPLE)
    (wait,) = clock.waits
    assert 28 <= wait <= 31


@hazard(
    "S8",
    "429 with a `Retry-After` that is nonsense, negative or in the past",
    "waits at least a second, longer each time",
)
@pytest.mark.parametrize("value", ["soon", "-5", "", "Wed, 21 Oct 2015 07:28:00 GMT", "0", "1e3"])
def test_s08_retry_after_nonsense(start: Start, sandbox: Any, clock: Clock, value: str) -> None:
    """Never at once: that would be more of what Segment asked to stop."""
    sandbox.segment_faults.add(
        "status", status=429, headers={"Retry-After": value}, path=BATCH, times=2
    )

    succeeded(start().run(), PEOPLE)
    assert 2 == len(clock.waits)
    assert 1 <= min(clock.slept[-1], *clock.waits)


@hazard(
    "S9",
    "429 with `Retry-After: 3600`",
    "does not sleep on a worker: fails with an error that carries the hour, for Airflow to wait",
)
def test_s09_a_long_retry_after(start: Start, sandbox: Any, clock: Clock) -> None:
    """The retry goes on where this try stopped, under the same ids."""
    sandbox.segment_faults.add(
        "status", status=429, headers={"Retry-After": "3600"}, path=BATCH, after=2
    )
    flow = start(max_messages_per_second=SMALL_BATCHES).extract().identify()

    assert 3600 == flow.errors["identify[0]"].retry_after_s
    assert not [wait for wait in clock.waits if wait > 60]
    arrived(flow, 10)
    succeeded(flow.identify().report(), PEOPLE)
    assert 0 == flow.record["duplicates"]


@hazard("S10", "503 and other answers that pass", "waits longer and longer, then sends the same")
@pytest.mark.parametrize("status", [408, 410, 429, 460, 500, 502, 503, 504, 529, 599])
def test_s10_answers_that_pass(start: Start, sandbox: Any, clock: Clock, status: int) -> None:
    """Three of them are waited out."""
    sandbox.segment_faults.add("status", status=status, body="<html>", path=BATCH, times=3)

    succeeded(start().run(), PEOPLE)
    assert 3 == len(clock.waits)


def test_answers_that_do_not_pass_end_in_time(start: Start, sandbox: Any, clock: Clock) -> None:
    """After five minutes of waiting the task is left to Airflow's retries."""
    sandbox.segment_faults.add("status", status=503, path=BATCH, times=-1)
    flow = start().run()

    ended(flow, "transient", "503", unknown=PEOPLE)
    assert 200 < sum(clock.slept) <= 300


@hazard("S11", "501, 505, 511", "fails for good: a retry would fail alike")
@pytest.mark.parametrize("status", [501, 505, 511, 404, 405, 422])
def test_s11_answers_that_do_not_pass(
    start: Start, sandbox: Any, clock: Clock, status: int
) -> None:
    """One request is enough to know."""
    rule = sandbox.segment_faults.add("status", status=status, body="", path=BATCH, times=-1)
    flow = start().run()

    ended(flow, "permanent", str(status), not_sent=PEOPLE)
    assert 1 == rule.fired


@hazard(
    "S15",
    "more messages than Segment takes at the moment",
    "one batch at a time: the next one leaves after the answer, and none is dropped",
)
def test_s15_back_pressure(start: Start, sandbox: Any, clock: Clock) -> None:
    """A slow receiver slows the sender down; there is no queue to overflow."""
    sandbox.segment_faults.add("latency", seconds=0.05, path=BATCH, times=-1)
    flow = start(max_messages_per_second=SMALL_BATCHES).run()

    succeeded(flow, PEOPLE)
    moments = [entry["seconds"] for entry in flow.batches]
    gaps = [after - before for before, after in pairwise(moments)]
    assert 4 == len(moments)
    assert min(gaps) >= 0.05


@hazard(
    "S17",
    "a write key that belongs to no source",
    "cannot be seen: Segment accepts it; the connection test says that it is not known",
)
def test_s17_wrong_write_key(start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says accepted, never delivered, and the test button tells."""
    from airflow_provider_looker_segment.hooks.segment import SegmentHook

    connect(monkeypatch, sandbox, password="of-no-source")
    flow = start().run()
    _, said = SegmentHook().test_connection()

    assert {} == flow.errors
    assert (PEOPLE, 0) == (flow.books["accepted"], flow.record["accepted"])
    assert {"unknown_write_key": PEOPLE} == flow.record["rejected"]
    assert "Could not confirm the write key" in said
    assert "of-no-source" not in said


@hazard(
    "S18",
    "more than 2,500 messages or 500 KB at once",
    "never sent: batches stay below both, measured as they are sent",
)
def test_s18_sizes_of_batches(start: Start) -> None:
    """Segment would answer 200 and drop what is too many."""
    flow = start("2", filters={"big.id": "<=6000"}).run()

    succeeded(flow, 6_000)
    assert max(entry["messages"] for entry in flow.batches) <= 2_500
    assert 400_000 < max(entry["bytes"] for entry in flow.batches) <= 475_000


def test_large_messages_make_small_batches(start: Start, answer: Callable[..., None]) -> None:
    """Fifteen messages of 30 KB are all that one request can take."""
    text = json.dumps("é" * 4_900)
    answer(*(row(id=f'"u-{number}"', note=text) for number in range(40)))
    flow = start().run()

    succeeded(flow, 40)
    assert [15, 15, 10] == [entry["messages"] for entry in flow.batches]
