"""The two files that a run leaves for its commit: what it decided, and the messages of its rows.

Steps and messages enter, one part of the users after the other. Those of which nearly every run has
nearly nothing else are handed to SQLite a part at a time, in blobs that SQL takes apart: for each
row, handing over its values would take longer than everything that SQLite does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.history import Action, Step
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

# So little is held at once that Python's collector of garbage is seldom called.
_BLOCK_BODIES = 250
_STEPS = 250
_BODIES_CACHE_KIB = 256
"""Of the bodies' file, which only grows at its end."""

_NUMBERS = "CREATE TEMP TABLE numbers (n INTEGER PRIMARY KEY)"
_MORE_NUMBERS = "INSERT INTO numbers VALUES (?)"
_KEY_AND_PRINT = "substr(:keys, n * 16 + 1, 16), {}, substr(:prints, n * 16 + 1, 16)"
_TOLD = "CAST(substr(:told, n + 1, 1) AS INTEGER)"
_UNCHANGED = f"""INSERT INTO main.steps SELECT {_KEY_AND_PRINT.format(int(Action.UNCHANGED))},
    x'', :window, {_TOLD}, :ordinal + n, NULL, NULL
    FROM temp.numbers WHERE n < :count"""  # noqa: S608 - our own columns
_END_DIGITS = 12
_ZERO = ord("0")
_SENT = f"""INSERT INTO main.steps SELECT {_KEY_AND_PRINT.format(int(Action.SEND))},
    substr(:names, n * :wide + 1, :wide), :window, {_TOLD}, :ordinal + n, :position + n,
    substr(:skeletons, CAST(substr(:ends, n * {_END_DIGITS} + 1, {_END_DIGITS}) AS INTEGER) + 1,
        CAST(substr(:ends, n * {_END_DIGITS} + {_END_DIGITS + 1}, {_END_DIGITS}) AS INTEGER)
        - CAST(substr(:ends, n * {_END_DIGITS} + 1, {_END_DIGITS}) AS INTEGER))
    FROM temp.numbers WHERE n < :count"""  # noqa: S608 - our own columns


Unchanged = tuple[bytes, bytes, int, bytes]
"""A user whose message Segment has: the key, the fingerprint, what was told, and the mapped message
as JSON."""

Sent = tuple[bytes, bytes, int, bytes, int, str]
"""A user whose row is sent: the same, then the names, as in :class:`~.core.history.Step`, and the
skeleton of the message as JSON, which is empty where it is not kept."""


class Candidate:
    """What a run decides.

    :param folder: where the two files go.
    :param base: the snapshot's file; :attr:`database` has its tables as ``base``.
    :param window: the run's, in microseconds since 1970.
    :ivar messages: how many are sent so far.
    """

    def __init__(self, folder: Path, base: Path, *, seal: SnapshotSeal, window: int) -> None:
        self.decided = folder / "candidate"
        self.bodies = folder / "bodies"
        self.messages = 0
        tables.create_candidate(self.decided)
        tables.create_bodies(self.bodies)
        self.database = tables.connect(self.decided, beside={"base": base})
        self._blocks = tables.connect(self.bodies, cache_kib=_BODIES_CACHE_KIB)
        self._seal = seal
        self._window = window
        self._block: list[bytes] = []
        self._steps: list[tuple[Any, ...]] = []
        self._ordinal = 0
        self.database.execute(_NUMBERS)
        self._numbers = 0

    def add(self, key: bytes, step: Step) -> None:
        """Keep what was decided about one user."""
        self._steps.append(tables.step_row(key, step))
        if len(self._steps) >= _STEPS:
            self._add_steps()

    def keep(self, body: bytes) -> int:
        """Keep a message; return its ordinal."""
        self._block.append(body)
        self._ordinal += 1
        if len(self._block) >= _BLOCK_BODIES:
            self._close_block()
        return self._ordinal - 1

    def next_position(self) -> int:
        """Return the position of the next message that is sent."""
        self.messages += 1
        return self.messages - 1

    def add_unchanged(self, users: Sequence[Unchanged]) -> None:
        """Keep what was decided about users, in the order of their keys."""
        if users:
            self.database.execute(_UNCHANGED, self._packed(*zip(*users, strict=True)))

    def add_sent(self, users: Sequence[Sent]) -> None:
        """Keep what was decided about users, in the order of their keys."""
        if not users:
            return
        *common, names, texts = zip(*users, strict=True)
        said = self._packed(*common)
        wide = max(1, (max(names).bit_length() + 7) // 8)
        skeletons = self._seal.close_all(texts) if texts[0] else []
        ends = accumulate(map(len, skeletons), initial=0)
        said |= {
            "wide": wide,
            "names": b"".join([bits.to_bytes(wide, "big") for bits in names]),
            "position": self.messages,
            "skeletons": b"".join(skeletons) or None,
            "ends": "".join([f"{end:0{_END_DIGITS}d}" for end in ends]).encode("ascii"),
        }
        self.database.execute(_SENT, said)
        self.messages += len(users)

    def close(self, said: dict[str, Any]) -> None:
        """Finish both files.

        :param said: what the candidate says of itself, beside its messages.
        """
        self._add_steps()
        self._close_block()
        tables.close(self._blocks)
        about = {"format": tables.FORMAT, "secret": self._seal.fingerprint}
        tables.write_facts(self.database, {**about, **said, "messages": self.messages})
        tables.close(self.database)

    def _packed(
        self,
        keys: Sequence[bytes],
        prints: Sequence[bytes],
        told: Sequence[int],
        bodies: Sequence[bytes],
    ) -> dict[str, Any]:
        """Keep the messages, and return what both kinds of users have."""
        if len(keys) > self._numbers:
            more = ((number,) for number in range(self._numbers, len(keys)))
            self.database.executemany(_MORE_NUMBERS, more)
            self._numbers = len(keys)
        first = self._ordinal
        for body in bodies:
            self.keep(body)
        return {
            "keys": b"".join(keys),
            "prints": b"".join(prints),
            # Of a text SQLite would count the characters, from its beginning, for each row.
            "told": bytes([_ZERO + one for one in told]),
            "window": self._window,
            "ordinal": first,
            "count": len(keys),
        }

    def _add_steps(self) -> None:
        tables.add_steps(self.database, self._steps)
        self._steps = []

    def _close_block(self) -> None:
        if self._block:
            first = self._ordinal - len(self._block)
            data = self._seal.close_block(self._block)
            self._blocks.execute("INSERT INTO blocks VALUES (?, ?)", (first, data))
            self._block = []
