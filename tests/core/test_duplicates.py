"""Users already seen in a run, kept on disk."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core import duplicates
from airflow_provider_looker_segment.core.duplicates import SeenUsers

numbers = st.sampled_from([-(2**63), -1, 0, 2**63 - 1])
users = st.tuples(numbers, st.sampled_from([0, -7]))
"""Some of them begin alike, which the first half of a fingerprint hardly ever does."""


@settings(deadline=None)
@given(sightings=st.lists(st.tuples(users, numbers), max_size=60), pending=st.integers(1, 5))
def test_first_message_decides(sightings: list[tuple[tuple[int, int], int]], pending: int) -> None:
    """A user is new once; after that the same message repeats and another one contradicts."""
    first: dict[tuple[int, int], int] = {}
    original, duplicates._PENDING = duplicates._PENDING, pending
    try:
        with SeenUsers() as seen:
            for user, message in sightings:
                if user not in first:
                    expected = "new"
                    first[user] = message
                else:
                    expected = "repeat" if first[user] == message else "conflict"
                assert expected == seen.see(*user, message)
    finally:
        duplicates._PENDING = original


def test_many_users_wait_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds only the newest users; the others are found on disk."""
    monkeypatch.setattr(duplicates, "_PENDING", 1_000)
    with SeenUsers() as seen:
        for number in range(2_500):
            assert seen.see(number, 1, 7) == "new"
        assert len(seen._pending) == 500
        assert not seen._beside
        assert seen.see(3, 1, 7) == "repeat"
        assert seen.see(2_499, 1, 8) == "conflict"
        assert seen.see(4, 1, 8) == "conflict"


def test_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen is gone when the run has ended."""
    monkeypatch.setattr(duplicates, "_PENDING", 1)
    with SeenUsers() as seen:
        seen.see(5, 1, 7)
    with pytest.raises(sqlite3.ProgrammingError):
        seen.see(6, 1, 7)
