"""What a run sends, row by row: mapped lines against the snapshot.

Lines of all rows enter, lines to send leave; what was decided for each user, and every message
that a later commit may need, go to two files. All three go through the users in the order of their
keys, as the snapshot does: so each of its pages is read once, and the files grow at their ends.
Memory does not grow with the users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.encoding import decode, encode
from airflow_provider_looker_segment.core.history import (
    AGAIN,
    Action,
    Run,
    Step,
    Told,
    UserState,
    decide_rejected,
    decide_seen,
    decide_unseen,
)
from airflow_provider_looker_segment.core.snapshot import (
    Composer,
    Names,
    Rules,
    identity,
    skeleton,
    timestamp,
)
from airflow_provider_looker_segment.core.splicing import UNKNOWN, Spliced, Splicer
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal
from airflow_provider_looker_segment.stores.sorter import Part, RowSorter, SeenRow

# So few messages are held at once that Python's collector of garbage is seldom called.
_BLOCK_BODIES = 250
_BODIES_CACHE_KIB = 256
"""Of the bodies' file, which only grows at its end."""

# SQLite asks its adapters about each value that is not exactly a number.
_SEND, _UNCHANGED, _IN = int(Action.SEND), int(Action.UNCHANGED), int(Told.IN)

# What was committed when, and what a leave message needs, is seldom asked for.
_KNOWN_COLUMNS = tables.USER_COLUMNS.replace("origin, ordinal, touched, skeleton", "0, 0, 0, NULL")
_KNOWN = f"""SELECT key, {_KNOWN_COLUMNS} FROM base.users
    WHERE key >= ? AND key < ?"""  # noqa: S608 - our own columns


class Diff:
    """One run's comparison with the snapshot.

    :param base: the snapshot's file.
    :param folder: where the two files go: ``candidate`` and ``bodies``.
    :param run: which run it is; the candidate says so.
    :param window: its end, in microseconds since 1970.
    :param complete: whether it asked for everything the Look has.
    :param forgotten: keys of users who get no message, beside those that the snapshot knows.
    :param refusal: why a message cannot be sent, as a problem's code; empty where it can. It is
        given the message as text, and how many traits it has.
    :param on_refused: called with the code and the number of a row that is no message therefore.
    """

    def __init__(
        self,
        base: Path,
        folder: Path,
        *,
        seal: SnapshotSeal,
        rules: Rules,
        run: str,
        window: int,
        complete: bool,
        forgotten: frozenset[bytes] = frozenset(),
        refusal: Callable[[str, int], str] = lambda _text, _traits: "",
        on_refused: Callable[[str, int], None] = lambda _code, _row_number: None,
    ) -> None:
        self.candidate = folder / "candidate"
        self.bodies = folder / "bodies"
        self.messages = 0
        self.counts: Counter[str] = Counter()
        self._seal = seal
        self._rules = rules
        self._refusal = refusal
        self._on_refused = on_refused
        tables.create_candidate(self.candidate)
        tables.create_bodies(self.bodies)
        self._database = tables.connect(self.candidate, beside={"base": base})
        self._bodies = tables.connect(self.bodies, cache_kib=_BODIES_CACHE_KIB)
        self._facts = tables.facts(self._database, of="base")
        self._names = Names(self._facts["names"])
        self._composer = Composer(rules, self._names)
        self._splicer = Splicer(rules, self._names)
        self._run = Run.after(
            self._facts["newest"], window=window, complete=complete, mirrors=rules.mirrors
        )
        query = "SELECT count(*), total(told IN (?, ?)) FROM base.users"
        self._users, self._users_in = self._database.execute(
            query, (Told.IN, Told.UNSURE)
        ).fetchone()
        known = self._database.execute("SELECT run FROM base.commits")
        self._known_runs = [name for (name,) in known]
        keys = self._database.execute("SELECT key FROM base.forgotten")
        self._all_forgotten = forgotten.union(key for (key,) in keys)
        self._run_name = run
        self._sorter = RowSorter(folder / "rows")
        self._steps: list[tuple[Any, ...]] = []
        self._block: list[bytes] = []
        self._ordinal = 0
        self._row_number = 0

    @property
    def users_in(self) -> int:
        """How many users Segment was last told to be in the Look."""
        return int(self._users_in)

    def observe(self, kind: str, identifier: str) -> None:
        """Note that the Look holds a user whose row is no message."""
        key = self._seal.key(kind, identifier)
        if key not in self._all_forgotten:
            self._sorter.observe(key)

    def lines(self, mapped: Iterable[tuple[Line, dict[str, Any]]]) -> Iterator[Line]:
        """Choose what is sent.

        :param mapped: a line for each user whom the run saw, and the body that it holds as text.
        :return: in the order of the users' keys, once all rows are there. What no row is about is
            numbered on from the last row.
        """
        for line, body in mapped:
            self._row_number = line.row_number
            key = self._seal.key(*identity(body))
            if key in self._all_forgotten:
                self.counts["forgotten"] += 1
                continue
            shape = self._splicer.shape(body)
            self._sorter.add(key, self._composer.fingerprint(body), line[0], shape, line[1])
        for part in self._sorter.parts(beside=self._users):
            yield from self._part(part)

    def close(self) -> None:
        """Finish both files."""
        self._sorter.close()
        self._close_block()
        tables.close(self._bodies)
        tables.write_facts(
            self._database,
            {
                "format": tables.FORMAT,
                "run": self._run_name,
                "secret": self._seal.fingerprint,
                "window": self._run.window,
                "complete": self._run.complete,
                "mirrors": self._run.mirrors,
                "messages": self.messages,
                "names": self._names.as_list(),
                "known_runs": self._known_runs,
            },
        )
        tables.close(self._database)

    def _part(self, part: Part) -> Iterator[Line]:
        found = self._database.execute(_KNOWN, (part.first, part.after)) if self._users else ()
        known = {columns[0]: columns for columns in found}
        for key in sorted(part.rows.keys() | known.keys()):
            row, columns = part.rows.get(key), known.get(key)
            if row is not None and columns is not None and self._stays(row, columns):
                self._add_unchanged(key, row)
                continue
            state = None if columns is None else tables.user_state(columns[1:])
            if row is None:
                line = None if state is None else self._without_row(key, state, decide_unseen)
            elif row[-1]:
                line = self._row(key, state, row)
            else:
                line = self._observed(key, state)
            if line is not None:
                yield line
        tables.add_steps(self._database, self._steps)
        self._steps = []

    def _stays(self, row: SeenRow, columns: Sequence[Any]) -> bool:
        """Whether a row of the newest window is what is known: so are nearly all on most days.

        core.history says the same of every row, in twice the time.
        """
        _, fingerprint, _, window, _, told, dirty, *_ = columns
        return (
            self._run.window >= self._run.newest
            and row[0] == fingerprint
            and row[-1] != b""
            and window is not None
            and window <= self._run.window
            and told == Told.IN
            and not dirty
        )

    def _add_unchanged(self, key: bytes, row: SeenRow) -> None:
        self.counts["unchanged"] += 1
        ordinal = self._keep(row[-1])
        self._steps.append(
            (key, _UNCHANGED, row[0], b"", self._run.window, _IN, ordinal, None, None)
        )

    def _row(self, key: bytes, known: UserState | None, row: SeenRow) -> Line | None:
        fingerprint, *_, text = row
        action, told = decide_seen(known, fingerprint, self._run)
        if action == Action.SEND:
            return self._send(key, known, row, told)
        self.counts["unchanged" if action == Action.UNCHANGED else "superseded"] += 1
        if action == Action.RESEND and known is not None:
            return self._resend(key, known, action, told)
        ordinal = self._keep(text) if action == Action.UNCHANGED else 0
        self._add(key, Step(action, fingerprint, 0, self._run.window, told, ordinal, None, None))
        return None

    def _send(self, key: bytes, known: UserState | None, row: SeenRow, told: Told) -> Line | None:
        fingerprint, row_number, shape, data = row
        kept = data.decode()
        text, traits, names = self._message(kept, shape, told, known.names if known else 0)
        code = self._refusal(text, traits)
        if code:
            self._on_refused(code, row_number)
            return self._observed(key, known)
        self.counts["sent"] += 1
        self.counts["new"] += known is None or known.told == Told.NEVER
        ordinal, position = self._keep(data), self._next_position()
        self._steps.append(
            (
                *(key, _SEND, fingerprint, tables.bits(names), self._run.window, int(told)),
                *(ordinal, position, self._skeleton(kept, shape)),
            )
        )
        return Line(row_number, text)

    def _message(self, kept: str, shape: int, told: Told, known: int) -> Spliced:
        """Build the message about a user whose mapped message is at hand."""
        spliced = self._splicer.message(kept, shape, told, known)
        if spliced is None:
            body = decode(kept)
            message, names = self._composer.message(body, told, known)
            text = kept if message is body else encode(message)
            spliced = Spliced(text, len(message["traits"]), names)
        return spliced

    def _observed(self, key: bytes, known: UserState | None) -> Line | None:
        """Decide about a user whose row is no message."""
        line = None if known is None else self._without_row(key, known, decide_rejected)
        if line is None:
            step = Step(Action.OBSERVE, None, 0, self._run.window, Told.NEVER, 0, None, None)
            self._add(key, step)
        return line

    def _without_row(
        self,
        key: bytes,
        known: UserState,
        decide: Callable[[UserState, Run], tuple[Action, Told]],
    ) -> Line | None:
        """Tell of a user whom the run did not see, or of whom it saw no message."""
        if key in self._all_forgotten:
            return None
        action, told = decide(known, self._run)
        if action in AGAIN:
            return self._resend(key, known, action, told)
        return self._leave(key, known) if action == Action.LEAVE else None

    def _resend(self, key: bytes, known: UserState, action: Action, told: Told) -> Line | None:
        if known.body is None or known.window is None:  # pragma: no cover - the action needs both
            return None
        kept = self._seal.open(known.body, where="A message that is to be sent again")
        body = decode(kept)
        message, names = self._composer.message(body, told, known.names)
        # The row is of an earlier window, and the message says so.
        text = self._sendable({**message, "timestamp": timestamp(known.window)})
        if text is None:
            return None
        self.counts["resent"] += 1
        # Whoever was told left already does not leave by this run.
        self.counts["resent_as_left"] += told == Told.LEFT != known.told
        ordinal, position = self._keep(kept.encode()), self._next_position()
        step = Step(
            *(action, known.fingerprint, names, known.window, told, ordinal, position),
            self._skeleton(kept, UNKNOWN),
        )
        self._add(key, step)
        return self._another_line(text)

    def _leave(self, key: bytes, known: UserState) -> Line | None:
        query = "SELECT skeleton FROM base.users WHERE key = ?"
        (sealed,) = self._database.execute(query, (key,)).fetchone()
        if sealed is None:
            # Sent in another mode: nothing is stored that a message could be made of.
            self.counts["unreachable"] += 1
            return None
        kept = decode(self._seal.open(sealed, where="A user who left"))
        message, names = self._composer.leave(kept, known.names)
        text = self._sendable(message)
        if text is None:
            return None
        self.counts["left"] += 1
        window = self._run.window if known.window is None else known.window
        position = self._next_position()
        step = Step(*(Action.LEAVE, known.fingerprint, names, window, Told.LEFT, 0, position), None)
        self._add(key, step)
        return self._another_line(text)

    def _sendable(self, message: dict[str, Any]) -> str | None:
        """Encode a message that no row of this run is about, unless Segment would refuse it."""
        text = encode(message)
        if not self._refusal(text, len(message["traits"])):
            return text
        self.counts["unreachable"] += 1
        return None

    def _skeleton(self, kept: str, shape: int) -> bytes | None:
        if not self._rules.mirrors:
            return None
        text = self._splicer.skeleton(kept, shape)
        return self._seal.close(encode(skeleton(decode(kept))) if text is None else text)

    def _another_line(self, text: str) -> Line:
        self._row_number += 1
        return Line(self._row_number, text)

    def _next_position(self) -> int:
        self.messages += 1
        return self.messages - 1

    def _keep(self, body: bytes) -> int:
        self._block.append(body)
        self._ordinal += 1
        if len(self._block) >= _BLOCK_BODIES:
            self._close_block()
        return self._ordinal - 1

    def _close_block(self) -> None:
        if self._block:
            first = self._ordinal - len(self._block)
            data = self._seal.close_block(self._block)
            self._bodies.execute("INSERT INTO blocks VALUES (?, ?)", (first, data))
            self._block = []

    def _add(self, key: bytes, step: Step) -> None:
        self._steps.append(tables.step_row(key, step))
