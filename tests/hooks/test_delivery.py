"""Batches, and what delivering them does until their fate is known."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.limits import MAX_BATCH_BYTES, MAX_BATCH_MESSAGES
from airflow_provider_looker_segment.core.pacing import Pace
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks import delivery
from airflow_provider_looker_segment.hooks.delivery import Delivery, Message, batches
from airflow_provider_looker_segment.hooks.segment import SegmentHook
from tests.hooks.test_segment import MESSAGE, arm
from tests.simulated import Clock, simulate

ENVELOPE_BYTES = 500


def numbered(*user_ids: str) -> list[Message]:
    """Return one message for each user."""
    return [
        Message(number, {**MESSAGE, "userId": user, "messageId": f"{number:032}"}, 200)
        for number, user in enumerate(user_ids, start=1)
    ]


def delivered(found: list[Message]) -> Receipt:
    """Deliver messages as the one shard of a run."""
    return Delivery(
        SegmentHook(),
        Pace(1e6),
        receipt=Receipt(messages=len(found)),
        on_progress=lambda _receipt: None,
        on_refused=lambda _message: None,
    ).run(found)


@given(
    said=st.lists(
        st.tuples(st.integers(1, MAX_BATCH_BYTES // 3) | st.just(200), st.booleans()), max_size=40
    ),
    most=st.integers(1, 9) | st.just(10**9),
)
def test_batches_hold_all_messages_in_their_order(said: list[tuple[int, bool]], most: int) -> None:
    """As many as fit, and nobody who is forgotten beside anybody else."""
    found = [
        Message(number, {}, size, is_forgotten) for number, (size, is_forgotten) in enumerate(said)
    ]
    packed = list(batches(found, max_messages=most))

    assert found == [message for batch in packed for message in batch]
    sizes = [ENVELOPE_BYTES + sum(one.size_bytes + 2 for one in batch) for batch in packed]
    for batch, size in zip(packed, sizes, strict=True):
        assert 1 <= len(batch) <= min(most, MAX_BATCH_MESSAGES)
        assert size <= MAX_BATCH_BYTES
        assert 1 == len(batch) or not any(message.is_forgotten for message in batch)
    for (batch, size), (following, _) in pairwise(zip(packed, sizes, strict=True)):
        assert (
            batch[0].is_forgotten
            or following[0].is_forgotten
            or len(batch) == min(most, MAX_BATCH_MESSAGES)
            or size + following[0].size_bytes + 2 > MAX_BATCH_BYTES
        )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let nobody wait for Segment."""
    return simulate(monkeypatch, delivery)


def test_waits_grow_until_patience_ends(sandbox: Any, clock: Clock) -> None:
    """Each is about twice the one before, up to a minute, with a part left to chance."""
    arm(sandbox, kind="status", status=500, body="", times=-1)
    with pytest.raises(TransientError):
        delivered(numbered("u"))

    waits = [slept for slept in clock.slept if slept > 0.1]  # What keeps the rate is shorter.
    assert 6 <= len(waits)
    for attempt, wait in enumerate(waits):
        longest = min(2.0**attempt, 60)
        assert max(1, longest / 2) <= wait <= longest
    assert 180 < sum(waits) <= delivery.PATIENCE_S


def test_one_refused_message_alone_is_at_fault_itself(sandbox: Any) -> None:
    """A shard of one message says nothing about the source; of two, both refused, it does."""
    arm(sandbox, kind="poison", pattern='"bad', times=-1)

    alone, beside = delivered(numbered("bad")), delivered(numbered("bad", "good"))

    assert [(0, 1), (1, 1)] == [(one.accepted, one.refused) for one in (alone, beside)]
    assert alone.is_complete
    with pytest.raises(PermanentError):
        delivered(numbered("bad", "bad too"))
