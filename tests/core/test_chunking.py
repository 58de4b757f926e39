"""Messages become chunks and come back the same; chunks become shards."""

from __future__ import annotations

import json
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.chunking import Line, digest, pack, shard, unpack
from airflow_provider_looker_segment.core.limits import MAX_MESSAGE_BYTES
from airflow_provider_looker_segment.exceptions import PermanentError

SMALLEST = MAX_MESSAGE_BYTES + 128

bodies = st.one_of(
    st.text(max_size=50).map(json.dumps),
    st.tuples(st.integers(0, 2**32), st.integers(0, MAX_MESSAGE_BYTES - 2)).map(
        lambda seed: json.dumps(random.Random(seed[0]).randbytes(seed[1] // 2).hex())
    ),
)


def round_trip(lines: list[Line], max_bytes: int) -> None:
    """Pack and unpack, and check every chunk on the way."""
    chunks = list(pack(lines, max_bytes=max_bytes))
    found = [line for chunk in chunks for line in unpack(chunk.data, where="chunk")]
    assert found == lines
    at = 0
    for chunk in chunks:
        own = lines[at : at + chunk.messages]
        numbers = [line.row_number for line in own]
        assert (chunk.first_row, chunk.last_row) == (min(numbers), max(numbers))
        assert len(chunk.data) <= max_bytes
        assert chunk.digest == digest(chunk.data)
        at += chunk.messages


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(bodies, max_size=30), extra=st.integers(0, 100_000))
def test_packing_is_undone(texts: list[str], extra: int) -> None:
    """Unpacked chunks are the packed lines in their order, and no chunk is too large."""
    lines = [Line(9 * number % 31 + 1, text) for number, text in enumerate(texts)]
    round_trip(lines, SMALLEST + extra)


def test_incompressible_messages() -> None:
    """Even messages that hardly shrink never make a chunk too large."""
    source = random.Random(7)
    alphabet = [chr(code) for code in range(33, 127)]
    lines = [
        Line(number, "".join(source.choices(alphabet, k=source.choice([50, 3_000, 32_000]))))
        for number in range(1, 200)
    ]
    round_trip(lines, SMALLEST)
    round_trip(lines, 1_000_000)


def test_chunks_are_well_filled() -> None:
    """Alike messages shrink a lot, so that few chunks are needed."""
    lines = [Line(n, json.dumps({"userId": f"u{n:08}", "traits": {"n": n}})) for n in range(20_000)]
    chunks = list(pack(lines, max_bytes=48_000))
    assert all(len(chunk.data) > 40_000 for chunk in chunks[:-1])
    assert sum(len(chunk.data) for chunk in chunks) < sum(len(line.body) for line in lines) / 3


def test_nothing_to_pack() -> None:
    """No line, no chunk."""
    assert list(pack([], max_bytes=SMALLEST)) == []


def test_too_small_for_a_message() -> None:
    """A chunk that could not hold every message, or a line larger than any, is refused."""
    with pytest.raises(ValueError, match="should be above"):
        list(pack([], max_bytes=MAX_MESSAGE_BYTES))
    lines = [Line(1, "x"), Line(2, "x" * (SMALLEST + 1))]
    with pytest.raises(ValueError, match="row 2"):
        list(pack(lines, max_bytes=SMALLEST))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        next(pack([Line(1, "x" * 99)], max_bytes=SMALLEST)).data[:-3],
        zlib.compress(b"no number\n"),
        zlib.compress("1 \u00e9\n".encode("latin-1")),
    ],
)
def test_damaged_chunk(data: bytes) -> None:
    """What is no chunk fails and says how to get a new one."""
    with pytest.raises(PermanentError, match="Clear the extract task"):
        list(unpack(data, where="chunk 3"))


@given(
    counts=st.lists(st.integers(1, 1_000), min_size=1, max_size=200),
    max_messages=st.integers(1, 5_000),
)
def test_shards_cover_every_chunk(counts: list[int], max_messages: int) -> None:
    """Each chunk is in one shard, in order; only a shard's last chunk may exceed its size."""
    shards = shard(counts, max_messages=max_messages)
    assert [index for one in shards for index in one] == list(range(len(counts)))
    assert all(len(one) for one in shards)
    assert len(shards) <= -(-sum(counts) // max_messages)
    assert all(sum(counts[one.start : one.stop - 1]) < max_messages for one in shards)


def test_no_shards() -> None:
    """Without messages there is nothing to deliver."""
    assert shard([]) == []


def test_one_shard_up_to_its_size() -> None:
    """Half a million messages are one task's work by default."""
    assert shard([250_000, 250_000]) == [range(2)]
    assert shard([250_001, 250_000]) == [range(1), range(1, 2)]
