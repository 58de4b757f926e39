"""Rows come back by the keys of their users, whatever was held in memory."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.stores import sorter
from airflow_provider_looker_segment.stores.sorter import Part, RowSorter, SeenRow

NOBODY = b"\0" * 16

keys = st.binary(min_size=16, max_size=16) | st.integers(0, 20).map(lambda at: bytes([at]) * 16)
rows = st.dictionaries(
    keys,
    st.tuples(
        st.binary(min_size=16, max_size=16),
        st.integers(1, 2**32 - 1),
        st.integers(0, 2**16 - 1),
        st.text(min_size=1, max_size=20).map(lambda text: text.replace("\n", " ")),
    ),
    max_size=60,
)


def parts_of(added: RowSorter, beside: int) -> list[Part]:
    """Return everything, and check that it comes in the order of the keys."""
    parts = list(added.parts(beside=beside))
    assert parts[0].first == b"\0\0"
    assert all(part.after == following.first for part, following in pairwise(parts))
    for part in parts:
        assert all(part.first <= key < part.after for key in part.rows)
    assert parts[-1].after > b"\xff" * 16
    return parts


@settings(deadline=None)
@given(
    messages=rows,
    observed=st.lists(keys, max_size=20),
    again=st.lists(st.tuples(st.integers(0, 59), st.booleans()), max_size=9),
    held_bytes=st.integers(0, 3_000),
    beside=st.integers(0, 5_000_000),
)
@example(messages={}, observed=[], again=[], held_bytes=100, beside=0)
@example(messages={}, observed=[b"\xff" * 16, b"\0" * 16], again=[], held_bytes=0, beside=10**9)
def test_every_row_comes_back_in_the_part_of_its_user(
    messages: dict[bytes, tuple[bytes, int, int, str]],
    observed: list[bytes],
    again: list[tuple[int, bool]],
    held_bytes: int,
    beside: int,
) -> None:
    """A user who has a message has that, before or after a row of theirs that is none.

    Of several the first is theirs; the others repeat or contradict it.
    """
    with TemporaryDirectory() as folder, patch.object(sorter, "_HELD_BYTES", held_bytes):
        found_again: tuple[list[int], list[int]] = [], []
        added = RowSorter(
            Path(folder, "rows"),
            on_repeated=lambda number, same, _text: found_again[not same].append(number),
        )
        for key in observed[::2]:
            added.observe(key)
        for key, row in messages.items():
            added.add(key, *row)
        for key in observed[1::2]:
            added.observe(key)
        told: tuple[list[int], list[int]] = [], []
        for number, (at, says_the_same) in enumerate(again, start=1):
            for key, (fingerprint, _, shape, text) in list(messages.items())[at : at + 1]:
                said = fingerprint if says_the_same else fingerprint[1:] + fingerprint[:1]
                added.add(key, said, number, shape, text)
                told[said != fingerprint].append(number)
        found: dict[bytes, SeenRow] = {}
        for part in parts_of(added, beside):
            found |= part.rows
        added.close()
    expected: dict[bytes, SeenRow] = dict.fromkeys(observed, (NOBODY, 0, 0, b""))
    expected |= {key: (*row[:3], row[3].encode()) for key, row in messages.items()}
    assert (expected, *told) == (found, *map(sorted, found_again))


def test_the_file_tells_nothing(tmp_path: Path) -> None:
    """Neither keys nor messages can be read in it."""
    added = RowSorter(tmp_path / "rows", on_repeated=lambda *_: None)
    for at in range(50):
        added.add(bytes([at]) * 16, b"f" * 16, at, 1, '{"userId":"somebody"}')
    list(added.parts(beside=0))
    added.close()

    data = (tmp_path / "rows").read_bytes()
    assert len(data) > 50 * 36
    assert not any(secret in data for secret in (b"somebody", b"ffff", b"\7" * 8))
