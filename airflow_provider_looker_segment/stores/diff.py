"""What a run sends, row by row: mapped lines against the snapshot.

Lines of all rows enter, lines to send leave; what was decided for each user, and every message
that a later commit may need, go to two files. All three go through the users in the order of their
keys, as the snapshot does: so each of its pages is read once, and the files grow at their ends.
Memory does not grow with the users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
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
from airflow_provider_looker_segment.core.prepare import Mapped
from airflow_provider_looker_segment.core.snapshot import (
    Composer,
    Names,
    Rules,
    identity,
    skeleton,
    timestamp,
)
from airflow_provider_looker_segment.core.splicing import UNKNOWN, Splicer
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.candidate import Candidate, Sent, Unchanged
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal
from airflow_provider_looker_segment.stores.sorter import OnRepeated, Part, RowSorter, SeenRow

# What was committed when, and what a leave message needs, is seldom asked for.
_KNOWN = """SELECT key, fingerprint, names, window, seen, told, dirty, body FROM base.users
    WHERE key >= ? AND key < ?"""

_IN = Told.IN
_SEND = Action.SEND, Told.IN
_UNCHANGED = Action.UNCHANGED, Told.IN

Columns = tuple[Any, ...]
"""What a snapshot says of a user, as :data:`_KNOWN` selects it."""

_Sending = tuple[bytes, SeenRow, Told, Columns | None]


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
    :param on_repeated: called for each row about whose user an earlier one is.
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
        on_repeated: OnRepeated = lambda _row_number, _says_the_same, _text: None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._seal = seal
        self._rules = rules
        self._refusal = refusal
        self._on_refused = on_refused
        self._on_repeated = on_repeated
        self._candidate = Candidate(folder, base, seal=seal, window=window)
        self._database = self._candidate.database
        facts = tables.facts(self._database, of="base")
        self._names = Names(facts["names"])
        self._composer = Composer(rules, self._names)
        self._splicer = Splicer(rules, self._names)
        self._run = Run.after(
            facts["newest"], window=window, complete=complete, mirrors=rules.mirrors
        )
        self._says_in = self._run.due(window) == Told.IN
        query = "SELECT count(*), total(told IN (?, ?)) FROM base.users"
        self._users, self._users_in = self._database.execute(
            query, (Told.IN, Told.UNSURE)
        ).fetchone()
        known = self._database.execute("SELECT run FROM base.commits")
        self._known_runs = [name for (name,) in known]
        keys = self._database.execute("SELECT key FROM base.forgotten")
        self._all_forgotten = forgotten.union(key for (key,) in keys)
        self._forgotten_rows: dict[bytes, tuple[bytes, int]] = {}
        self._run_name = run
        self._sorter = RowSorter(folder / "rows", on_repeated=on_repeated)
        self._row_number = 0

    @property
    def candidate(self) -> Path:
        """The file with what was decided about each user."""
        return self._candidate.decided

    @property
    def bodies(self) -> Path:
        """The file with the messages that a commit may need."""
        return self._candidate.bodies

    @property
    def messages(self) -> int:
        """How many are sent."""
        return self._candidate.messages

    @property
    def users_in(self) -> int:
        """How many users Segment was last told to be in the Look."""
        return int(self._users_in)

    def observe(self, kind: str, identifier: str) -> None:
        """Note that the Look holds a user whose row is no message."""
        key = self._seal.key(kind, identifier)
        if key not in self._all_forgotten:
            self._sorter.observe(key)

    def lines(self, mapped: Iterable[Mapped]) -> Iterator[Line]:
        """Choose what is sent.

        :param mapped: the rows that are messages; the first of several about a user is sent.
        :return: in the order of the users' keys, once all rows are there. What no row is about is
            numbered on from the last row.
        """
        key_of, shape_of = self._seal.key, self._splicer.shape_of
        print_of, add = self._composer.fingerprint_of_text, self._sorter.add
        for (number, text), body, names in mapped:
            self._row_number = number
            key = key_of(*identity(body))
            fingerprint = self._composer.fingerprint(body) if names is None else print_of(text)
            if key in self._all_forgotten:
                self._count_forgotten(key, fingerprint, number, text)
                continue
            shape = self._splicer.shape(body) if names is None else shape_of(names)
            add(key, fingerprint, number, shape, text)
        for part in self._sorter.parts(beside=self._users):
            yield from self._part(part)

    def narrow(self) -> None:
        """Note, before :meth:`close`, that the run did not ask for everything after all."""
        self._run = replace(self._run, complete=False)

    def close(self) -> None:
        """Finish both files."""
        self._sorter.close()
        self._candidate.close(
            {
                "run": self._run_name,
                "window": self._run.window,
                "complete": self._run.complete,
                "mirrors": self._run.mirrors,
                "names": self._names.as_list(),
                "known_runs": self._known_runs,
            }
        )

    def _count_forgotten(self, key: bytes, fingerprint: bytes, row_number: int, text: str) -> None:
        first = self._forgotten_rows.setdefault(key, (fingerprint, row_number))
        if first[1] == row_number:
            self.counts["forgotten"] += 1
        else:
            self._on_repeated(row_number, first[0] == fingerprint, text)

    def _part(self, part: Part) -> Iterator[Line]:
        found = self._database.execute(_KNOWN, (part.first, part.after)) if self._users else ()
        known = {columns[0]: columns for columns in found}
        unchanged: list[Unchanged] = []
        sending: list[_Sending] = []
        others = [key for key in known if key not in part.rows]
        # Asking an enumeration for its members takes as long as the rest of a turn.
        stays, sends, decide = Action.UNCHANGED, Action.SEND, self._decide
        for key in sorted(part.rows):
            row = part.rows[key]
            if not row[-1]:
                others.append(key)
                continue
            columns = known.get(key)
            action, told = decide(row, columns)
            if action is stays:
                unchanged.append((key, row[0], told, row[-1]))
            elif action is sends:
                sending.append((key, row, told, columns))
            else:
                others.append(key)
        self.counts["unchanged"] += len(unchanged)
        self._candidate.add_unchanged(unchanged)
        refused: list[bytes] = []
        yield from self._send(sending, refused.append)
        for key in others:
            line = self._other(key, part.rows.get(key), known.get(key))
            if line is not None:
                yield line
        for key in refused:
            line = self._observed(key, _state(known.get(key)))
            if line is not None:
                yield line

    def _decide(self, row: SeenRow, columns: Columns | None) -> tuple[Action, Told]:
        """Say what core.history says of a row, in half the time where its window is the newest."""
        if self._says_in:
            if columns is None or columns[3] is None:
                return _SEND
            _, fingerprint, _, window, _, told, dirty, _ = columns
            if window <= self._run.window:
                stays = fingerprint == row[0] and told == _IN and not dirty
                return _UNCHANGED if stays else _SEND
        return decide_seen(_state(columns), row[0], self._run)

    def _send(self, sending: Sequence[_Sending], refuse: Callable[[bytes], None]) -> Iterator[Line]:
        """Build the messages about users; hand over the keys of those of whom none can be sent."""
        sent: list[Sent] = []
        new = 0
        never, ending_of, refusal = Told.NEVER, self._splicer.ending, self._refusal
        for key, (fingerprint, row_number, shape, data), told, columns in sending:
            kept = data.decode()
            known = 0 if columns is None else int.from_bytes(columns[2], "big")
            ending = ending_of(shape, told, known)
            if ending is None:
                text, traits, names = self._built(kept, told, known)
            else:
                text, traits, names = ending.after(kept), ending.traits, ending.names
            code = refusal(text, traits)
            if code:
                self._on_refused(code, row_number)
                refuse(key)
                continue
            new += columns is None or columns[5] == never
            yield Line(row_number, text)
            sent.append((key, fingerprint, told, data, names, self._skeleton(kept, shape)))
        self.counts["new"] += new
        self.counts["sent"] += len(sent)
        self._candidate.add_sent(sent)

    def _other(self, key: bytes, row: SeenRow | None, columns: Columns | None) -> Line | None:
        """Decide about a user without a row, with one that is no message, or with an older one."""
        known = _state(columns)
        if row is not None and not row[-1]:
            return self._observed(key, known)
        if known is None:  # pragma: no cover - a row of an unknown user is sent
            return None
        if row is None:
            return self._without_row(key, known, decide_unseen)
        self.counts["superseded"] += 1
        action, told = decide_seen(known, row[0], self._run)
        if action == Action.RESEND:
            return self._resend(key, known, action, told)
        step = Step(action, row[0], 0, self._run.window, told, 0, None, None)
        self._candidate.add(key, step)
        return None

    def _built(self, kept: str, told: Told, known: int) -> tuple[str, int, int]:
        """Return a message, how many traits it has, and the bits of their names."""
        body = decode(kept)
        message, names = self._composer.message(body, told, known)
        return kept if message is body else encode(message), len(message["traits"]), names

    def _observed(self, key: bytes, known: UserState | None) -> Line | None:
        """Decide about a user whose row is no message."""
        line = None if known is None else self._without_row(key, known, decide_rejected)
        if line is None:
            step = Step(Action.OBSERVE, None, 0, self._run.window, Told.NEVER, 0, None, None)
            self._candidate.add(key, step)
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
        sealed = self._seal.close(self._skeleton(kept, UNKNOWN)) if self._rules.mirrors else None
        ordinal, position = self._candidate.keep(kept.encode()), self._candidate.next_position()
        step = Step(
            *(action, known.fingerprint, names, known.window, told, ordinal, position), sealed
        )
        self._candidate.add(key, step)
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
        position = self._candidate.next_position()
        step = Step(*(Action.LEAVE, known.fingerprint, names, window, Told.LEFT, 0, position), None)
        self._candidate.add(key, step)
        return self._another_line(text)

    def _sendable(self, message: dict[str, Any]) -> str | None:
        """Encode a message that no row of this run is about, unless Segment would refuse it."""
        text = encode(message)
        if not self._refusal(text, len(message["traits"])):
            return text
        self.counts["unreachable"] += 1
        return None

    def _skeleton(self, kept: str, shape: int) -> str:
        if not self._rules.mirrors:
            return ""
        text = self._splicer.skeleton(kept, shape)
        return encode(skeleton(decode(kept))) if text is None else text

    def _another_line(self, text: str) -> Line:
        self._row_number += 1
        return Line(self._row_number, text)


def _state(columns: Columns | None) -> UserState | None:
    if columns is None:
        return None
    *said, body = columns[1:]
    return tables.user_state((*said, 0, 0, 0, None, body))
