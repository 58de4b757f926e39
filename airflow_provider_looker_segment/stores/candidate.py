"""The two files that a run leaves for its commit: what it decided, and the messages of its rows.

Steps and messages enter, one part of the users after the other. Those of which nearly every run has
nearly nothing else are handed to SQLite a part at a time, in blobs that SQL takes apart: for each
row, handing over its values would take longer than everything that SQLite does with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

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
_SENT = f"""INSERT INTO main.steps SELECT {_KEY_AND_PRINT.format(int(Action.SEND))},
    substr(:names, n * :wide + 1, :wide), :window, {_TOLD}, :ordinal + n, :position + n,
    substr(:skeletons, CAST(substr(:ends, n * {_END_DIGITS} + 1, {_END_DIGITS}) AS INTEGER) + 1,
        CAST(substr(:ends, n * {_END_DIGITS} + {_END_DIGITS + 1}, {_END_DIGITS}) AS INTEGER)
        - CAST(substr(:ends, n * {_END_DIGITS} + 1, {_END_DIGITS}) AS INTEGER))
    FROM temp.numbers WHERE n < :count"""  # noqa: S608 - our own columns


class Unchanged(NamedTuple):
    """A user whose message is the one that Segment has.

    :param body: the mapped message as JSON.
    """

    key: bytes
    fingerprint: bytes
    told: int
    body: bytes


class Sent(NamedTuple):
    """A user whose row is sent.

    :param names: see :class:`~.core.history.Step`.
    :param body: the mapped message as JSON.
    :param skeleton: of the message, as JSON; empty where it is not kept.
    """

    key: bytes
    fingerprint: bytes
    told: int
    body: bytes
    names: int
    skeleton: str


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
            self.database.execute(_UNCHANGED, self._packed(users))

    def add_sent(self, users: Sequence[Sent]) -> None:
        """Keep what was decided about users, in the order of their keys."""
        if not users:
            return
        said = self._packed(users)
        wide = max(1, (max(user.names for user in users).bit_length() + 7) // 8)
        skeletons: list[bytes] = []
        if users[0].skeleton:
            skeletons = self._seal.close_all([user.skeleton for user in users])
        ends = accumulate(map(len, skeletons), initial=0)
        said |= {
            "wide": wide,
            "names": b"".join([user.names.to_bytes(wide, "big") for user in users]),
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

    def _packed(self, users: Sequence[Unchanged] | Sequence[Sent]) -> dict[str, Any]:
        """Keep the messages, and return what both kinds of users have."""
        if len(users) > self._numbers:
            more = ((number,) for number in range(self._numbers, len(users)))
            self.database.executemany(_MORE_NUMBERS, more)
            self._numbers = len(users)
        first = self._ordinal
        for user in users:
            self.keep(user.body)
        return {
            "keys": b"".join([user.key for user in users]),
            "prints": b"".join([user.fingerprint for user in users]),
            # Of a text SQLite would count the characters, from its beginning, for each row.
            "told": "".join([str(user.told) for user in users]).encode("ascii"),
            "window": self._window,
            "ordinal": first,
            "count": len(users),
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
