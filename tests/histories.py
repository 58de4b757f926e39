"""A sync without Airflow: its storage, its Segment, and what its runs should have left."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.encoding import encode
from airflow_provider_looker_segment.core.history import Fates, ShardFates
from airflow_provider_looker_segment.core.identity import fingerprint
from airflow_provider_looker_segment.core.prepare import Mapped
from airflow_provider_looker_segment.core.snapshot import Rules
from airflow_provider_looker_segment.core.traits import RESERVED_TYPES
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.diff import Diff
from airflow_provider_looker_segment.stores.generations import Identity
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder, storage
from airflow_provider_looker_segment.stores.snapshots import SnapshotStore

SECRET = b"s" * 32
SHARD = 3
Cohort = dict[str, dict[str, Any]]
"""Traits by user; some names mean something else, see below."""

BAD = "bad"
"""Whoever has it has a row that is no message."""
HUGE = "description"
"""Whoever has it has a row of which only the composed message is too large; a reserved trait, so
that the message is so whatever it says of membership."""
POISON = "poison"
"""Segment refuses the message."""
MUTED = "muted"
"""Not a trait: the message keeps a destination out."""

CHANGED = Rules("changed")
MEMBERSHIP = Rules("mirror", "membership", "in_cohort")
CLEAR = Rules("mirror", "clear")

POINTING = r"^wb .*/current\.json$"
"""A file and how it is opened: the pointer is about to name another generation."""

numbers = itertools.count()


class Killed(BaseException):
    """The process is gone."""


class Storage(MemoryFileSystem):
    """Object storage that may be cut off before any of its writes."""

    cachable = False  # codespell:ignore
    store: dict[str, Any] = {}  # noqa: RUF012 - as its base has it
    pseudo_dirs = [""]  # noqa: RUF012
    writes_left: int | None = None
    meanwhile: tuple[str, Callable[[], None]] | None = None
    """What happens once, just before a file is opened the next time; see :data:`POINTING`."""

    def _write(self) -> None:
        if Storage.writes_left is not None:
            if not Storage.writes_left:
                raise Killed
            Storage.writes_left -= 1

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if Storage.meanwhile is not None:
            which, happens = Storage.meanwhile
            if re.search(which, f"{mode} {path}"):
                Storage.meanwhile = None
                happens()
        if mode != "rb":
            self._write()
        return super()._open(path, mode, **kwargs)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete, unless cut off."""
        self._write()
        super().rm(path, recursive, maxdepth)


@dataclass
class Segment:
    """What Segment keeps: identify merges, null clears, a known id is dropped."""

    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    calls: int = 0

    def identify(self, message_id: str, body: dict[str, Any]) -> None:
        """Take one call."""
        self.calls += 1
        if message_id in self.seen:
            return
        self.seen.add(message_id)
        profile = self.profiles.setdefault(body["userId"], {})
        # Destinations go by the last message alone.
        profile |= {**body["traits"], MUTED: 1 if body.get("integrations") else None}
        for name in [name for name, value in profile.items() if value is None]:
            del profile[name]


@dataclass
class Run:
    """One run, from its extract to its report."""

    name: str
    window: int
    cohort: Cohort
    complete: bool
    lines: list[Line]
    answered: set[int] = field(default_factory=set)
    maybe: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    reported: bool = False

    @property
    def is_poisoned(self) -> bool:
        """Whether Segment will refuse one of its messages."""
        return any(POISON in traits for traits in self.cohort.values())

    @property
    def users(self) -> set[str]:
        """Users of whom a message was composed."""
        return {json.loads(line.body)["userId"] for line in self.lines}

    @property
    def may_be_abandoned(self) -> bool:
        """Whether nobody has yet said what became of its messages."""
        return not self.reported and not self.is_poisoned

    def fates(self) -> Fates:
        """Say what became of its messages, as receipts do: shard by shard, in order."""
        shards = []
        for first in range(0, len(self.lines), SHARD):
            count = min(SHARD, len(self.lines) - first)
            decided = 0
            while decided < count and first + decided in self.answered:
                decided += 1
            refused = tuple(at for at in range(decided) if first + at in self.refused)
            sent = [at for at in range(decided, count) if first + at in self.maybe]
            maybe = max(sent) + 1 - decided if sent else 0
            shards.append(ShardFates(first, count, decided, refused, maybe))
        return Fates(shards)

    def contributes(self, fates: Fates) -> set[str]:
        """Users whose row counts: accepted or maybe, or nothing had to be sent for it."""
        counted = {user for user, said in self.cohort.items() if not said.keys() & {BAD, HUGE}}
        for position, line in enumerate(self.lines):
            body = json.loads(line.body)
            own = body["userId"] in self.cohort and "timestamp" not in body
            if own and fates.of(position) not in (1, 2):
                counted.discard(body["userId"])
        return counted


class Sync:
    """A sync, its storage and its Segment."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.segment = Segment()
        self.path: dict[str, Any] = {"path": f"memory://bucket/{next(numbers)}", "local": True}
        self.known: dict[str, Run] = {}
        self.counted: dict[str, set[str]] = {}
        self.generation = 0
        self.forgotten: set[str] = set()
        self.before_reset: dict[str, dict[str, Any]] = {}

    @property
    def folder(self) -> SnapshotFolder:
        """Where the snapshot is."""
        return SnapshotFolder(storage(self.path), "sync")

    @property
    def store(self) -> SnapshotStore:
        """The store as each task opens it anew."""
        own = Identity("sync", "42", "source")
        return SnapshotStore(self.folder, own, secret=SECRET, remembered=self.generation)

    def key(self, user: str) -> bytes:
        """The hash that stands for a user."""
        return self.store.seal.key("userId", user)

    def extract(
        self, window: int, cohort: Cohort, *, complete: bool = True, name: str | None = None
    ) -> Run:
        """Compare a cohort with the snapshot, and store what is decided.

        :param name: of the run, where this is another try.
        """
        name = name or new_name()
        store = self.store
        rows = [
            Line(number, encode(mapped(user, traits)))
            for number, (user, traits) in enumerate(cohort.items(), start=1)
            if BAD not in traits
        ]
        with store.begin(name, {}) as base, TemporaryDirectory() as folder:
            diff = Diff(
                base,
                Path(folder),
                seal=store.seal,
                rules=self.rules,
                run=name,
                window=window,
                complete=complete,
                forgotten=frozenset(self.key(user) for user in self.forgotten),
                refusal=lambda text, _: "too_large" if json.loads(text)["traits"].get(HUGE) else "",
            )
            for user in [user for user, traits in cohort.items() if BAD in traits]:
                diff.observe("userId", user)
            lines = list(diff.lines(map(as_prepared, rows)))
            diff.close()
            store.push(name, diff)
        run = Run(name, window, cohort, complete, lines)
        self.known[name] = run
        return run

    def deliver(self, run: Run, *, upto: int | None = None, lost: int = 0) -> None:
        """Send messages in order; the answers to the last ``lost`` of them never come.

        :param upto: how many messages of each shard are sent.
        """
        for first in range(0, len(run.lines), SHARD):
            last = min(first + (SHARD if upto is None else upto), len(run.lines), first + SHARD)
            for position in range(first, last):
                if position in run.answered:
                    continue
                line = run.lines[position]
                body = json.loads(line.body)
                if body["traits"].get(POISON):
                    run.refused.add(position)
                else:
                    self.segment.identify(fingerprint(run.name, line.body).hex(), body)
                if position >= last - lost:
                    run.maybe.add(position)
                else:
                    run.answered.add(position)

    def report(self, run: Run) -> None:
        """Commit what was sent."""
        run.reported = True
        fates = run.fates()
        self.counted[run.name] = run.contributes(fates)
        self.remember(self.store.commit(run.name, fates))

    def remember(self, generation: int) -> None:
        """Note which generation the snapshot has reached, outside of it."""
        self.generation = max(generation, self.generation)

    def forget(self, user: str) -> None:
        """Forget a user: first where every run that begins asks, then in the snapshot."""
        self.forgotten.add(user)
        self.remember(self.store.forget([self.key(user)]))

    def reset(self) -> None:
        """Begin anew, over what Segment holds."""
        self.store.reset()
        self.generation = 0
        self.before_reset = {user: dict(held) for user, held in self.segment.profiles.items()}

    def run(self, window: int, cohort: Cohort, *, complete: bool = True) -> Run:
        """Do all three in order."""
        run = self.extract(window, cohort, complete=complete)
        self.deliver(run)
        self.report(run)
        return run

    def commits(self) -> list[Run]:
        """Committed runs in the order of their commits."""
        with self.store.read() as path, closing(tables.connect(path)) as database:
            found = database.execute("SELECT run FROM commits ORDER BY serial").fetchall()
        return [self.known[name] for (name,) in found]

    def fold(self) -> dict[str, dict[str, Any]]:
        """What the runs would have left in the order of their windows."""
        return self._fold()[0]

    def wrong(self) -> dict[str, Any]:
        """Find the users of whom Segment holds anything else than the law says.

        Of a forgotten user the law says nothing, and before a reset there was another history.
        """
        fold, returned = self._fold()
        found: dict[str, Any] = {}
        for user in (fold.keys() | self.segment.profiles.keys()) - self.forgotten:
            held = self.segment.profiles.get(user, {})
            due = [fold[user]] if user in fold else []
            due += [returned[user]] if user in returned else []
            before = self.before_reset.get(user, {})
            if not due and user in self.before_reset:
                continue
            if not any(held == {**_rest(before, held, one), **one} for one in due):
                found[user] = {"held": held, "due": due}
        return found

    def _fold(self) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        """Fold the runs in the order of their windows.

        :return: every profile; and, of who left and came back in a row that no message tells of,
            the profile that they have if Segment was never told that they had left.
        """
        profiles: dict[str, dict[str, Any]] = {}
        contents: dict[str, dict[str, Any]] = {}
        returned: set[str] = set()
        trait = self.rules.trait
        # Sorting is stable: of two runs with one window the later commit is the later.
        for run in sorted(self.commits(), key=lambda run: run.window):
            counted = self.counted[run.name]
            for user in counted:
                traits = {n: v for n, v in run.cohort[user].items() if v is not None}
                profiles[user] = {**traits, trait: True} if trait else traits
                contents[user] = dict(profiles[user])
            returned -= counted
            returned |= run.cohort.keys() - counted
            if not run.complete or not self.rules.mirrors:
                continue
            for user in profiles.keys() - run.cohort.keys():
                returned.discard(user)
                if trait:
                    profiles[user][trait] = False
                else:
                    profiles[user] = {
                        n: v for n, v in profiles[user].items() if n in (*RESERVED_TYPES, MUTED)
                    }
        return profiles, {user: contents[user] for user in returned & contents.keys()}


def new_name() -> str:
    """Return the name of another run."""
    return fingerprint(str(next(numbers))).hex()


def mapped(user: str, traits: dict[str, Any]) -> dict[str, Any]:
    """Return a row's message."""
    body = {"userId": user, "traits": {n: v for n, v in traits.items() if n != MUTED}}
    return {**body, "integrations": {"Slack": False}} if traits.get(MUTED) else body


def as_prepared(line: Line) -> Mapped:
    """Return a line as mapping does, every other one as that of a plain row."""
    body = json.loads(line.body)
    if line.row_number % 2 or "integrations" in body:
        return line, body, None
    traits = dict(sorted(body.pop("traits").items()))
    nulls = tuple(name for name, value in traits.items() if value is None)
    line = Line(line.row_number, encode({**body, "traits": traits}))
    return line, body, (tuple(traits), nulls)


def _rest(before: dict[str, Any], held: dict[str, Any], due: dict[str, Any]) -> dict[str, Any]:
    """What another history may have left in a profile, beside what this one says."""
    return {name: held[name] for name in before.keys() & held.keys() - due.keys()}


class killed_after:  # noqa: N801 - it reads like a word
    """Cut the storage off after some writes."""

    def __init__(self, writes: int) -> None:
        self.writes = writes

    def __enter__(self) -> None:
        Storage.writes_left = self.writes

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        Storage.writes_left = None
        return kind is Killed
