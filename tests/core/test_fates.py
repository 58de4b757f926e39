"""What became of the messages of a run."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.history import Fate, Fates, ShardFates

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
