"""The rows of a run by the keys of their users, sorted on a disk.

Messages enter in the order of the rows, parts with about a thousand users leave in the order of the
keys. Memory does not grow with the rows, and what is written is sealed with a secret that is
forgotten with the object.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_GROUPS = 1_024
"""By the first ten bits of a key. Keys are hashes, so that all groups are of about one size."""

_PART_USERS = 1_000
_HELD_BYTES = 3 << 20
"""Bytes of messages that wait in memory before they are written."""

_HEAD = Struct(">16s16sIH")
_COUNT_BYTES = 4
_NONCE_BYTES = 12
_SECRET_BITS = 128
_NO_FINGERPRINT = b"\0" * 16

OnRepeated = Callable[[int, bool, str], None]
"""Told of a row about whose user an earlier one is: its number, whether it says the same, and its
message as JSON."""

SeenRow = tuple[bytes, int, int, bytes]
"""What a run saw of a user: the fingerprint, the number and the shape of a row, and its message as
JSON, which is empty where the row is no message."""


class Part(NamedTuple):
    """The users of a range of keys.

    :param first: no key of the part is smaller.
    :param after: all keys of the part are smaller.
    :param rows: by the keys of the users; of several messages about one the first.
    """

    first: bytes
    after: bytes
    rows: dict[bytes, SeenRow]


class RowSorter:
    """Sorts rows by the keys of their users.

    :param path: of a file to write.
    :param on_repeated: called for each row about whose user an earlier message is.
    """

    def __init__(self, path: Path, *, on_repeated: OnRepeated) -> None:
        self._on_repeated = on_repeated
        self._file = path.open("w+b")
        self._cipher = AESGCM(AESGCM.generate_key(_SECRET_BITS))
        self._rows = 0
        self._end = 0
        # For each time that something was written: where each group begins in the file.
        self._borders: list[array[int]] = []
        self._held: list[tuple[list[bytes], list[bytes]]] = [([], []) for _ in range(_GROUPS)]
        self._held_bytes = 0

    def add(self, key: bytes, fingerprint: bytes, row_number: int, shape: int, text: str) -> None:
        """Take the message of a row.

        :param key: 16 bytes, as uniform as those of a hash.
        :param fingerprint: 16 bytes.
        :param shape: two bytes; see :class:`~.core.splicing.Splicer`.
        :param text: the message as JSON, without line breaks.
        """
        heads, texts = self._held[key[0] << 2 | key[1] >> 6]
        data = text.encode()
        heads.append(_HEAD.pack(key, fingerprint, row_number, shape))
        texts.append(data)
        self._held_bytes += len(data) + _HEAD.size
        if self._held_bytes > _HELD_BYTES:
            self._write()

    def observe(self, key: bytes) -> None:
        """Take a row that is no message."""
        self.add(key, _NO_FINGERPRINT, 0, 0, "")

    def parts(self, *, beside: int) -> Iterator[Part]:
        """Return what was added, in the order of the keys.

        :param beside: how many users the caller reads from elsewhere, with the same ranges of keys.
        """
        self._write()
        wide = max(1, _GROUPS * _PART_USERS // max(1, self._rows, beside))
        for first in range(0, _GROUPS, wide):
            after = min(first + wide, _GROUPS)
            rows: dict[bytes, SeenRow] = {}
            for written, borders in enumerate(self._borders):
                for group, sealed in self._read(borders, first, after):
                    self._open(_nonce(written, group), sealed, rows)
            yield Part(_first_key(first), _first_key(after), rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self) -> None:
        sealed = []
        for group, (heads, texts) in enumerate(self._held):
            self._rows += len(heads)
            data = b""
            if heads:
                count = len(heads).to_bytes(_COUNT_BYTES, "big")
                data = b"".join((count, *heads, b"\n".join(texts)))
                data = self._cipher.encrypt(_nonce(len(self._borders), group), data, None)
                # New lists instead would make Python's collector of garbage look at everything.
                heads.clear()
                texts.clear()
            sealed.append(data)
        lengths = map(len, sealed)
        self._borders.append(array("Q", accumulate(lengths, initial=self._end)))
        self._end = self._borders[-1][-1]
        self._file.write(b"".join(sealed))
        self._file.flush()
        self._held_bytes = 0

    def _read(self, borders: array[int], first: int, after: int) -> Iterator[tuple[int, bytes]]:
        begin = borders[first]
        data = os.pread(self._file.fileno(), borders[after] - begin, begin)
        for group in range(first, after):
            if borders[group] < borders[group + 1]:
                yield group, data[borders[group] - begin : borders[group + 1] - begin]

    def _open(self, nonce: bytes, sealed: bytes, rows: dict[bytes, SeenRow]) -> None:
        data = self._cipher.decrypt(nonce, sealed, None)
        count = int.from_bytes(data[:_COUNT_BYTES], "big")
        end = _COUNT_BYTES + count * _HEAD.size
        texts = data[end:].split(b"\n")
        heads = _HEAD.iter_unpack(data[_COUNT_BYTES:end])
        for (key, fingerprint, row_number, shape), text in zip(heads, texts, strict=True):
            first = rows.get(key)
            # Of two rows of a user the one that is a message counts.
            if first is None or not first[-1]:
                rows[key] = (fingerprint, row_number, shape, text)
            elif text:
                self._on_repeated(row_number, first[0] == fingerprint, text.decode())


def _nonce(written: int, group: int) -> bytes:
    return (written * _GROUPS + group).to_bytes(_NONCE_BYTES, "big")


def _first_key(group: int) -> bytes:
    """Return the smallest key of a group; what no key reaches where there is no such group."""
    if group == _GROUPS:
        return b"\xff" * 17
    return (group << 6).to_bytes(2, "big")
