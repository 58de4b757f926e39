"""Users already seen in a run, kept as fingerprints on disk so that memory stays flat.

Fingerprints of a user and a message enter; new, repeated or contradicted leaves.
Only hashes are stored, in a private temporary database that vanishes when it is closed.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Literal, Self

Sighting = Literal["new", "repeat", "conflict"]

_CACHE_KIB = 4_096
_PENDING = 20_000
"""Users kept in memory before they go to disk: about 5 MB, and most Looks never need the disk."""

_MARKS = 2**25
"""Bits that tell most new users apart from those on disk without asking the disk: 4 MB.

One user in 30 is asked about needlessly when there are a million, one in four when ten million.
"""


class SeenUsers:
    """A set of users that grows on disk instead of in memory."""

    def __init__(self) -> None:
        # An empty name is SQLite's private temporary database: it spills to disk by itself.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            # SQLite takes sorted whole numbers in two thirds of the time that bytes need.
            "CREATE TABLE seen (head INTEGER PRIMARY KEY, rest INTEGER, message INTEGER)"
        )
        self._database.execute("BEGIN")
        self._pending: dict[int, tuple[int, int]] = {}
        self._beside: dict[tuple[int, int], int] = {}
        self._marks = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def see(self, head: int, rest: int, message: int) -> Sighting:
        """Note a user and tell whether this run has had them before.

        All three have 64 bits, one of them for the sign.

        :param head: one fingerprint of who the message is about.
        :param rest: another one; only both together stand for a user.
        :param message: fingerprint of what it says.
        """
        known = self._pending.get(head)
        if known is None and self._marks:
            known = self._on_disk(head)
        if known is None:
            self._pending[head] = rest, message
            if len(self._pending) >= _PENDING:
                self._spill()
            return "new"
        first: int | None = known[1]
        if known[0] != rest:
            # Somebody who begins like another user, which a million do once in 10^7 runs.
            first = self._beside.get((head, rest))
            if first is None:
                self._beside[head, rest] = message
                return "new"
        return "repeat" if first == message else "conflict"

    def _on_disk(self, head: int) -> tuple[int, int] | None:
        if not self._marks[head % _MARKS >> 3] & 1 << (head & 7):
            return None
        query = "SELECT rest, message FROM seen WHERE head = ?"
        found: tuple[int, int] | None = self._database.execute(query, (head,)).fetchone()
        return found

    def _spill(self) -> None:
        if not self._marks:
            self._marks = bytearray(_MARKS // 8)
        pending, marks = self._pending, self._marks
        # Sorted, neighbouring pages are written together.
        heads = sorted(pending)
        rows = [(head, *pending[head]) for head in heads]
        self._database.executemany("INSERT INTO seen VALUES (?, ?, ?)", rows)
        for head in heads:
            marks[head % _MARKS >> 3] |= 1 << (head & 7)
        pending.clear()
