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
            # SQLite takes sorted whole numbers in two thirds of the time that bytes need.
            "CREATE TABLE seen (head INTEGER PRIMARY KEY, rest BLOB, message INTEGER)"
        )
        self._database.execute("BEGIN")
        self._pending: dict[bytes, int] = {}
        self._beside: dict[bytes, int] = {}
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

    def see(self, user: bytes, message: int) -> Sighting:
        """Note a user and tell whether this run has had them before.

        :param user: fingerprint of who the message is about, 16 bytes.
        :param message: fingerprint of what it says, 64 bits with a sign.
        """
        known = self._pending.get(user)
        if known is None:
            known = self._spilled(user)
        if known is not None:
            return "repeat" if known == message else "conflict"
        self._pending[user] = message
        if len(self._pending) >= _PENDING:
            self._spill()
        return "new"

    def _spilled(self, user: bytes) -> int | None:
        mark = int.from_bytes(user[4:8], "big") % _MARKS
        if not self._marks[mark >> 3] & 1 << (mark & 7):
            return None
        found = self._on_disk(_head(user))
        if found is not None and found[0] == user[8:]:
            return found[1]
        return self._beside.get(user)

    def _on_disk(self, head: int) -> tuple[bytes, int] | None:
        query = "SELECT rest, message FROM seen WHERE head = ?"
        found: tuple[bytes, int] | None = self._database.execute(query, (head,)).fetchone()
        return found

    def _spill(self) -> None:
        # Sorted, neighbouring pages are written together.
        rows = sorted((_head(user), user[8:], message) for user, message in self._pending.items())
        before = self._database.total_changes
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)
        if self._database.total_changes - before < len(rows):
            self._keep_beside()
        for head, _, _ in rows:
            mark = head % _MARKS
            self._marks[mark >> 3] |= 1 << (mark & 7)
        self._pending.clear()

    def _keep_beside(self) -> None:
        """Keep in memory who begins like another user, which a million do once in 10^7 runs."""
        for user, message in self._pending.items():
            found = self._on_disk(_head(user))
            if found is None or found[0] != user[8:]:
                self._beside[user] = message


def _head(user: bytes) -> int:
    return int.from_bytes(user[:8], "big", signed=True)
