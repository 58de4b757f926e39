"""Users already seen in a run, kept on disk."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core import duplicates
from airflow_provider_looker_segment.core.duplicates import SeenUsers

hashes = st.sampled_from([bytes([number]) * 16 for number in range(6)])


@settings(deadline=None)
@given(sightings=st.lists(st.tuples(hashes, hashes), max_size=60), pending=st.integers(1, 5))
def test_first_message_decides(sightings: list[tuple[bytes, bytes]], pending: int) -> None:
    """A user is new once; after that the same message repeats and another one contradicts."""
    first: dict[bytes, bytes] = {}
    original, duplicates._PENDING = duplicates._PENDING, pending
    try:
        with SeenUsers() as seen:
            for user, message in sightings:
                if user not in first:
                    expected = "new"
                    first[user] = message
                else:
                    expected = "repeat" if first[user] == message else "conflict"
                assert expected == seen.see(user, message)
    finally:
        duplicates._PENDING = original


def test_many_users_wait_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory holds only the newest users; the others are found on disk."""
    monkeypatch.setattr(duplicates, "_PENDING", 1_000)
    with SeenUsers() as seen:
        for number in range(2_500):
            assert seen.see(number.to_bytes(16), b"a") == "new"
        assert len(seen._pending) == 500
        assert seen.see((3).to_bytes(16), b"a") == "repeat"
        assert seen.see((2_499).to_bytes(16), b"b") == "conflict"
        assert seen.see((4).to_bytes(16), b"b") == "conflict"


def test_nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was seen is gone when the run has ended."""
    monkeypatch.setattr(duplicates, "_PENDING", 1)
    with SeenUsers() as seen:
        seen.see(b"u", b"m")
    with pytest.raises(sqlite3.ProgrammingError):
        seen.see(b"v", b"m")
