"""Receipts add, and travel as plain JSON."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.problems import Problems
from airflow_provider_looker_segment.core.receipts import MAX_REFUSED_AT, Receipt

counts = st.integers(0, 10**6)


def with_problems(receipt: Receipt, rows: list[int]) -> Receipt:
    """The receipt with messages of these rows refused."""
    for row in sorted(rows):
        receipt.problems.add("refused_by_segment", "", row)
    return receipt


receipts = st.builds(
    with_problems,
    st.builds(
        Receipt,
        messages=counts,
        accepted=counts,
        refused=counts,
        unknown=counts,
        forgotten=counts,
        requests=counts,
        sent_bytes=counts,
        seconds=st.floats(0, 1e6),
        problems=st.builds(Problems),
    ),
    st.lists(st.integers(1, 999), max_size=20, unique=True),
)


@given(one=receipts, two=receipts, three=receipts)
def test_adding_is_associative(one: Receipt, two: Receipt, three: Receipt) -> None:
    """In whatever order shards report, the sum is the same."""
    assert ((one + two) + three).as_dict() == (one + (two + three)).as_dict()


@given(receipt=receipts)
def test_nothing_added_changes_nothing(receipt: Receipt) -> None:
    """The empty receipt is neutral, on either side."""
    assert (receipt + Receipt()).as_dict() == receipt.as_dict() == (Receipt() + receipt).as_dict()


@given(receipt=receipts)
def test_plain_json_and_back(receipt: Receipt) -> None:
    """A receipt survives the way through XCom."""
    plain = json.loads(json.dumps(receipt.as_dict()))
    assert Receipt.from_dict(plain).as_dict() == receipt.as_dict() == plain


@given(receipt=receipts)
def test_every_message_has_one_fate(receipt: Receipt) -> None:
    """Accepted, refused, unknown, forgotten, not sent: no sixth; complete means none is open."""
    fates = receipt.accepted + receipt.refused + receipt.unknown + receipt.forgotten
    assert fates + receipt.not_sent == receipt.messages
    closed = replace(receipt, messages=receipt.decided, unknown=0)
    assert closed.is_complete
    assert not replace(closed, messages=closed.messages + 1).is_complete
    assert not replace(closed, messages=closed.messages + 1, unknown=1).is_complete


def test_refused_messages_are_known_by_their_places() -> None:
    """All are counted, as messages and as problems; the first of them one by one."""
    receipt = Receipt(messages=3_000, accepted=5, forgotten=1)
    for row_number in range(MAX_REFUSED_AT + 1):
        receipt.refuse(row_number)

    assert list(range(6, 6 + MAX_REFUSED_AT)) == receipt.refused_at
    assert MAX_REFUSED_AT + 1 == receipt.refused
    (problem,) = receipt.problems.as_list()
    assert ("refused_by_segment", MAX_REFUSED_AT + 1) == (problem["code"], problem["count"])
    assert ", 1 forgotten (" in str(receipt)


def test_in_words() -> None:
    """A receipt says accepted by Segment, never delivered."""
    receipt = Receipt(messages=1500, accepted=1400, refused=1, unknown=2, requests=3, sent_bytes=4)
    assert str(receipt) == (
        "1,500 messages: 1,400 accepted by Segment, 1 refused, 2 unknown, 97 not sent "
        "(3 requests, 4 bytes, 0.0 s)"
    )
    assert not receipt.is_complete
    assert Receipt(messages=3, accepted=2, refused=1).is_complete
    assert not Receipt(messages=3, accepted=2, unknown=1).is_complete
