"""Messages become chunks that fit an XCom value, and chunks become shards.

Lines enter (row number, message as JSON), packed chunks leave; unpacking returns the same lines.
No chunk exceeds its size, and no message is split, reordered or lost.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from airflow_provider_looker_segment.core.limits import MAX_MESSAGE_BYTES, MAX_SHARD_MESSAGES
from airflow_provider_looker_segment.exceptions import PermanentError

_LEVEL = 4
"""The usual 6 takes twice the time, a tenth of all of extract's, for a tenth fewer bytes."""

_PIECE_BYTES = 4_096
"""Fewer waiting bytes than this are not worth a flush of their own."""
_STORED_BLOCK_BYTES = 64
"""Deflate may add five bytes for each 16 KB it cannot shrink, and a few to end the stream."""


class Line(NamedTuple):
    """One message of a chunk.

    :param row_number: the row it came from, counted from 1.
    :param body: the message's own part as JSON, without what all messages of a run share.
    """

    row_number: int
    body: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Packed lines.

    :param first_row: the smallest number of a row among them.
    :param last_row: the largest.
    :param data: the compressed lines.
    :param digest: of ``data``, so that a reader can tell a chunk from a part of one.
    """

    messages: int
    first_row: int
    last_row: int
    data: bytes
    digest: str


def pack(lines: Iterable[Line], *, max_bytes: int) -> Iterator[Chunk]:
    """Compress lines into chunks of at most ``max_bytes`` each.

    :param max_bytes: bytes of compressed data; at least twice the largest message.
    :raises ValueError: when ``max_bytes`` could not hold every message, or a line is larger.
    """
    if max_bytes < MAX_MESSAGE_BYTES + 2 * _STORED_BLOCK_BYTES:
        raise ValueError(f"max_bytes should be above {MAX_MESSAGE_BYTES}, but is {max_bytes}")
    packer = _Packer(max_bytes)
    for line in lines:
        if not packer.add(line):
            yield packer.close()
            packer = _Packer(max_bytes)
            if not packer.add(line):
                raise ValueError(f"the message of row {line.row_number} is larger than a chunk")
    if packer.messages:
        yield packer.close()


class _Packer:
    """One chunk being filled."""

    def __init__(self, max_bytes: int) -> None:
        self.messages = 0
        self._max_bytes = max_bytes
        self._compressor = zlib.compressobj(_LEVEL)
        self._packed: list[bytes] = []
        self._packed_bytes = 0
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._first_row = 0
        self._last_row = 0

    def add(self, line: Line) -> bool:
        """Add a line unless the chunk would grow too large; return whether it was added."""
        data = f"{line.row_number} {line.body}\n".encode()
        room = self._max_bytes - _STORED_BLOCK_BYTES - self._packed_bytes - self._waiting_bytes
        if len(data) > room and not self._has_room(len(data)):
            return False
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        # With a snapshot, lines are in the order of its users.
        self._last_row = max(self._last_row, line.row_number)
        if line.row_number < self._first_row or not self._first_row:
            self._first_row = line.row_number
        self.messages += 1
        return True

    def _has_room(self, added: int) -> bool:
        # Only what has been compressed is known exactly.
        self._compress()
        worst = self._packed_bytes + self._waiting_bytes + added + _STORED_BLOCK_BYTES
        return worst <= self._max_bytes

    def _compress(self) -> None:
        if self._waiting_bytes >= _PIECE_BYTES:
            piece = self._compressor.compress(b"".join(self._waiting))
            piece += self._compressor.flush(zlib.Z_SYNC_FLUSH)
            self._packed.append(piece)
            self._packed_bytes += len(piece)
            self._waiting.clear()
            self._waiting_bytes = 0

    def close(self) -> Chunk:
        rest = self._compressor.compress(b"".join(self._waiting)) + self._compressor.flush()
        data = b"".join([*self._packed, rest])
        return Chunk(
            messages=self.messages,
            first_row=self._first_row,
            last_row=self._last_row,
            data=data,
            digest=digest(data),
        )


def digest(data: bytes) -> str:
    """Return what tells a complete chunk from a damaged one: 16 hex digits."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def unpack(data: bytes, *, where: str) -> Iterator[Line]:
    """Return the lines of a chunk, in their order.

    :param where: how messages name the chunk.
    :raises PermanentError: when the data is not a chunk.
    """
    try:
        for line in zlib.decompress(data).decode().split("\n")[:-1]:
            row_number, _, body = line.partition(" ")
            yield Line(int(row_number), body)
    except (zlib.error, ValueError) as error:
        raise PermanentError(
            where,
            should="hold compressed messages",
            but="it does not",
            do="Clear the extract task, so that it writes its chunks again.",
        ) from error


def shard(counts: Iterable[int], *, max_messages: int = MAX_SHARD_MESSAGES) -> list[range]:
    """Group consecutive chunks into as few even shards as possible.

    :param counts: messages of each chunk.
    :param max_messages: messages of one shard; a shard exceeds it only by its last chunk.
    :return: for each shard, the indices of its chunks.

    >>> shard([400, 400, 400], max_messages=600)
    [range(0, 2), range(2, 3)]
    """
    numbers = list(counts)
    total = sum(numbers)
    if not total:
        return []
    shards = -(-total // max_messages)
    wanted = total / shards
    borders = [0]
    filled = 0
    for index, count in enumerate(numbers):
        filled += count
        if filled >= wanted * len(borders) and index + 1 < len(numbers):
            borders.append(index + 1)
    borders.append(len(numbers))
    return [range(start, stop) for start, stop in pairwise(borders)]
