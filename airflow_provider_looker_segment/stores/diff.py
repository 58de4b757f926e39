"""What a run sends, row by row: mapped lines against the snapshot.

Lines of all rows enter, lines to send leave; what was decided for each user, and every message
that a later commit may need, go to two files. Memory does not grow with the users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
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
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

# So few rows and steps are held at once that Python's collector of garbage is seldom called.
_LOOKUP_ROWS = 50
_STEPS = 250
_BLOCK_BODIES = 250
_BODIES_CACHE_KIB = 256
"""Of the bodies' file, which only grows at its end."""

# What was committed when, and what a leave message needs, is not asked of a user who has a row.
_KNOWN_COLUMNS = tables.USER_COLUMNS.replace("origin, ordinal, touched, skeleton", "0, 0, 0, NULL")

_UNSENT = f"""SELECT key, EXISTS (SELECT 1 FROM main.steps WHERE steps.key = users.key),
    {tables.USER_COLUMNS} FROM base.users
    WHERE key > :after AND (body IS NOT NULL OR (:leaves AND told IN (:told_in, :unsure)))
    AND NOT EXISTS (SELECT 1 FROM main.steps WHERE steps.key = users.key
        AND (users.body IS NULL OR steps.action <> :rejected))
    ORDER BY key LIMIT :limit"""  # noqa: S608 - our own columns


class Diff:
    """One run's comparison with the snapshot.

    :param base: the snapshot's file.
    :param folder: where the two files go: ``candidate`` and ``bodies``.
    :param run: which run it is; the candidate says so.
    :param window: its end, in microseconds since 1970.
    :param complete: whether it asked for everything the Look has.
    :param forgotten: keys of users who get no message, beside those that the snapshot knows.
    :param refusal: why a message cannot be sent, as a problem's code; empty where it can.
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
        refusal: Callable[[dict[str, Any], str], str] = lambda _message, _text: "",
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
        self._run = Run.after(
            self._facts["newest"], window=window, complete=complete, mirrors=rules.mirrors
        )
        found = self._database.execute("SELECT EXISTS (SELECT 1 FROM base.users)")
        (self._knows_anybody,) = found.fetchone()
        known = self._database.execute("SELECT run FROM base.commits")
        self._known_runs = [name for (name,) in known]
        keys = self._database.execute("SELECT key FROM base.forgotten")
        self._all_forgotten = forgotten.union(key for (key,) in keys)
        self._run_name = run
        self._steps: list[tuple[Any, ...]] = []
        self._unchanged: list[tuple[bytes, bytes, int, int]] = []
        self._observed: set[bytes] = set()
        self._block: list[str] = []
        self._ordinal = 0
        self._row_number = 0

    @property
    def users_in(self) -> int:
        """How many users Segment was last told to be in the Look."""
        query = "SELECT count(*) FROM base.users WHERE told IN (?, ?)"
        (count,) = self._database.execute(query, (Told.IN, Told.UNSURE)).fetchone()
        return int(count)

    def observe(self, kind: str, identifier: str) -> None:
        """Note that the Look holds a user whose row is no message."""
        self._observed.add(self._seal.key(kind, identifier))
        if len(self._observed) >= _STEPS:
            self._flush()

    def lines(self, mapped: Iterable[tuple[Line, dict[str, Any]]]) -> Iterator[Line]:
        """Choose what is sent.

        :param mapped: a line for each user whom the run saw, and the body that it holds as text.
        :return: in the order of the rows, then what is sent again, and leave messages. They count
            on from the last row.
        """
        rows = iter(mapped)
        while batch := list(islice(rows, _LOOKUP_ROWS)):
            yield from self._seen(batch)
        self._flush()
        tables.sort_steps(self._database)
        yield from self._unsent()
        self._flush()
        tables.sort_steps(self._database)

    def close(self) -> None:
        """Finish both files."""
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

    def _seen(self, batch: list[tuple[Line, dict[str, Any]]]) -> Iterator[Line]:
        keys = [self._seal.key(*identity(body)) for _, body in batch]
        known = self._known(keys)
        for key, (line, body) in zip(keys, batch, strict=True):
            self._row_number = line.row_number
            if key in self._all_forgotten:
                self.counts["forgotten"] += 1
                continue
            sent = self._row(key, known.get(key), line, body)
            if sent is not None:
                yield Line(line.row_number, sent)

    def _row(
        self, key: bytes, known: UserState | None, line: Line, body: dict[str, Any]
    ) -> str | None:
        fingerprint = self._composer.fingerprint(body)
        action, told = decide_seen(known, fingerprint, self._run)
        if action == Action.SEND:
            message, names = self._composer.message(body, told, known.names if known else 0)
            text = line.body if message is body else encode(message)
            code = self._refusal(message, text)
            if code:
                self._on_refused(code, line.row_number)
                self._observed.add(key)
                return None
            self.counts["sent"] += 1
            self.counts["new"] += known is None or known.told == Told.NEVER
            ordinal, position = self._keep(line.body), self._next_position()
            step = Step(
                *(action, fingerprint, names, self._run.window, told, ordinal, position),
                self._skeleton(body),
            )
            self._add(key, step)
            return text
        self.counts["unchanged" if action == Action.UNCHANGED else "superseded"] += 1
        if action == Action.RESEND and known is not None:
            return self._resend(key, known, action, told)
        if action == Action.UNCHANGED:
            self._unchanged.append((key, fingerprint, int(told), self._keep(line.body)))
            if len(self._unchanged) >= _STEPS:
                self._flush()
        else:
            self._add(key, Step(action, fingerprint, 0, self._run.window, told, 0, None, None))
        return None

    def _unsent(self) -> Iterator[Line]:
        """Tell of users whom the run did not see, or of whom it saw no message."""
        said = {
            "leaves": self._run.mirrors and self._run.is_newest,
            "told_in": Told.IN,
            "unsure": Told.UNSURE,
            "rejected": Action.OBSERVE,
        }
        for batch in tables.batches(self._database, _UNSENT, said):
            for key, is_rejected, *columns in batch:
                if key in self._all_forgotten:
                    continue
                known = tables.user_state(columns)
                decide = decide_rejected if is_rejected else decide_unseen
                action, told = decide(known, self._run)
                sent = None
                if action in AGAIN:
                    sent = self._resend(key, known, action, told)
                elif action == Action.LEAVE:
                    sent = self._leave(key, known)
                if sent is not None:
                    self._row_number += 1
                    yield Line(self._row_number, sent)

    def _resend(self, key: bytes, known: UserState, action: Action, told: Told) -> str | None:
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
        ordinal, position = self._keep(kept), self._next_position()
        step = Step(
            *(action, known.fingerprint, names, known.window, told, ordinal, position),
            self._skeleton(body),
        )
        self._add(key, step)
        return text

    def _leave(self, key: bytes, known: UserState) -> str | None:
        if known.skeleton is None:
            # Sent in another mode: nothing is stored that a message could be made of.
            self.counts["unreachable"] += 1
            return None
        kept = decode(self._seal.open(known.skeleton, where="A user who left"))
        message, names = self._composer.leave(kept, known.names)
        text = self._sendable(message)
        if text is None:
            return None
        self.counts["left"] += 1
        window = self._run.window if known.window is None else known.window
        position = self._next_position()
        step = Step(*(Action.LEAVE, known.fingerprint, names, window, Told.LEFT, 0, position), None)
        self._add(key, step)
        return text

    def _sendable(self, message: dict[str, Any]) -> str | None:
        """Encode a message that no row of this run is about, unless Segment would refuse it."""
        text = encode(message)
        if not self._refusal(message, text):
            return text
        self.counts["unreachable"] += 1
        return None

    def _skeleton(self, body: dict[str, Any]) -> bytes | None:
        return self._seal.close(encode(skeleton(body))) if self._rules.mirrors else None

    def _next_position(self) -> int:
        self.messages += 1
        return self.messages - 1

    def _keep(self, body: str) -> int:
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
        if len(self._steps) >= _STEPS:
            self._flush()

    def _flush(self) -> None:
        tables.add_steps(self._database, self._steps)
        tables.add_unchanged(self._database, self._unchanged, self._run.window)
        self._steps, self._unchanged = [], []
        if self._observed:
            step = Step(Action.OBSERVE, None, 0, self._run.window, Told.NEVER, 0, None, None)
            rows = [tables.step_row(key, step) for key in self._observed - self._all_forgotten]
            tables.add_steps(self._database, rows)
            self._observed = set()

    def _known(self, keys: list[bytes]) -> dict[bytes, UserState]:
        if not self._knows_anybody:
            return {}
        marks = ",".join("?" * len(keys))
        query = f"SELECT key, {_KNOWN_COLUMNS} FROM base.users WHERE key IN ({marks})"  # noqa: S608
        found = self._database.execute(query, keys)
        return {row[0]: tables.user_state(row[1:]) for row in found}
