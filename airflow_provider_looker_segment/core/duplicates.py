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
"""Users kept in memory before they go to disk: about 4 MB, and most Looks never need the disk."""

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
            "CREATE TABLE seen (user BLOB PRIMARY KEY, message BLOB) WITHOUT ROWID"
        )
        self._database.execute("BEGIN")
        self._pending: dict[bytes, bytes] = {}
        self._marks = bytearray(_MARKS // 8)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def see(self, user: bytes, message: bytes) -> Sighting:
        """Note a user and tell whether this run has had them before.

        :param user: fingerprint of who the message is about.
        :param message: fingerprint of what it says.
        """
        known = self._pending.get(user)
        if known is None and self._may_be_on_disk(user):
            found = self._database.execute("SELECT message FROM seen WHERE user = ?", (user,))
            row = found.fetchone()
            known = None if row is None else row[0]
        if known is not None:
            return "repeat" if known == message else "conflict"
        self._pending[user] = message
        if len(self._pending) >= _PENDING:
            self._spill()
        return "new"

    def _may_be_on_disk(self, user: bytes) -> bool:
        mark = int.from_bytes(user[:4], "big") % _MARKS
        return bool(self._marks[mark >> 3] & 1 << (mark & 7))

    def _spill(self) -> None:
        # Sorted, neighbouring pages are written together.
        self._database.executemany("INSERT INTO seen VALUES (?, ?)", sorted(self._pending.items()))
        for user in self._pending:
            mark = int.from_bytes(user[:4], "big") % _MARKS
            self._marks[mark >> 3] |= 1 << (mark & 7)
        self._pending.clear()
