"""What became of the messages of a run."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.history import Fate, Fates, ShardFates, shard_fates
from airflow_provider_looker_segment.core.receipts import Receipt

MESSAGES = 40

shards = st.builds(
    ShardFates,
    first=st.integers(0, 30),
    messages=st.integers(0, 12),
    decided=st.integers(0, 12),
    refused=st.sets(st.integers(0, 11)).map(tuple),
    maybe=st.integers(0, 3),
)


@given(st.lists(shards, max_size=4))
@example([])
@example([ShardFates(0, 5, 5, (0, 1, 4)), ShardFates(5, 5, 3, (0,))])
def test_accepted_messages_are_listed_once_and_in_order(said: list[ShardFates]) -> None:
    """Those of the ranges are those that are accepted one by one."""
    fates = Fates(said)

    listed = [position for found in fates.accepted() for position in found]

    assert [at for at in range(MESSAGES * 2) if fates.of(at) == Fate.ACCEPTED] == listed


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (None, Fate.NOT_SENT),
        (1, Fate.NOT_SENT),
        (2, Fate.ACCEPTED),
        (3, Fate.REFUSED),
        (4, Fate.MAYBE),
        (5, Fate.MAYBE),
        (6, Fate.NOT_SENT),
        (7, Fate.NOT_SENT),
        (9, Fate.NOT_SENT),
        (10, Fate.ACCEPTED),
        (11, Fate.NOT_SENT),
    ],
)
def test_what_became_of_one_message(position: int | None, expected: Fate) -> None:
    """What no shard knows of was never sent, before, between and after the shards."""
    fates = Fates([ShardFates(10, 1, 5, maybe=1), ShardFates(2, 5, 2, (1,), maybe=2)])

    assert expected is fates.of(position)


def receipt(accepted: int, refused_at: list[int], *, refused: int, unknown: int = 0) -> Receipt:
    """Return the receipt of a shard of ten messages."""
    counts = {"accepted": accepted, "refused": refused, "unknown": unknown}
    return Receipt(messages=10, refused_at=refused_at, **counts)


@pytest.mark.parametrize(
    ("said", "cleared", "expected"),
    [
        (receipt(10, [], refused=0), False, ShardFates(3, 10, 10, (), 0)),
        (receipt(4, [1], refused=1, unknown=2), False, ShardFates(3, 10, 5, (1,), 2)),
        (receipt(4, [1], refused=1, unknown=2), True, ShardFates(3, 10, 5, (1,), 5)),
        # Not all that were refused are known by their places.
        (receipt(4, [1, 4], refused=3, unknown=2), False, ShardFates(3, 10, 5, (1, 4), 5)),
        (receipt(4, [], refused=1, unknown=2), False, ShardFates(3, 10, 0, (), 10)),
    ],
)
def test_what_a_receipt_says_of_a_shard(said: Receipt, cleared: bool, expected: ShardFates) -> None:
    """Of what nobody knows, each message may have arrived."""
    assert expected == shard_fates(3, said, cleared=cleared)
