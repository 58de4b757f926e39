"""The commit of one run into a snapshot's file: steps and fates become states.

A snapshot, a candidate and fates enter, the snapshot is changed in place: the caller gives it a
copy. What is decided about a user is decided in core.history; here rows are only moved. What
nearly every row of nearly every run comes to is said once more in SQL, which takes a tenth of the
time: a test compares the two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.encoding import decode
from airflow_provider_looker_segment.core.history import Action, Fates, Run, Told, settle
from airflow_provider_looker_segment.core.snapshot import Names, identity
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

REMEMBERED_COMMITS = 1_000
"""Commits of which a snapshot knows the runs: a run that overlaps more of them knows too little."""

_STEPS = f"""SELECT s.key, {tables.prefixed("s", tables.STEP_COLUMNS)},
    {tables.prefixed("u", tables.USER_COLUMNS)}
    FROM run.steps AS s LEFT JOIN main.users AS u ON u.key = s.key
    WHERE s.key > :after AND s.action NOT IN ({{done}}) AND u.touched IS NOT :serial
    AND s.key NOT IN (SELECT key FROM main.forgotten)
    ORDER BY s.key LIMIT :limit"""  # noqa: S608 - our own columns

# What core.history.settle says of most steps. Who is there already is overwritten in place. No
# query reads the users it writes: SQLite would put all of its rows aside first.
_SEEN = """INSERT INTO main.users
    SELECT s.key, NULL, x'', NULL, :window, 0, 0, 0, 0, :serial, NULL, NULL
    FROM run.steps AS s
    WHERE s.action = :action AND s.key NOT IN (SELECT key FROM main.forgotten)
    ORDER BY s.key
    ON CONFLICT (key) DO UPDATE SET seen = excluded.seen WHERE seen < excluded.seen"""
"""The Look held the user, and nothing was to be sent, whatever other runs did meanwhile."""

# The following hold where no other run overlaps.
_IS_ACCEPTED = """(s.position BETWEEN :first AND :last OR s.position <= (SELECT last
    FROM temp.accepted WHERE first <= s.position ORDER BY first DESC LIMIT 1))"""
_SENT = f"""INSERT INTO main.users
    SELECT s.key, s.fingerprint, s.names, s.window, :window, s.told, 0, :serial, s.ordinal, :serial,
    s.skeleton, NULL
    FROM run.steps AS s
    WHERE s.action = :action AND {_IS_ACCEPTED} AND s.key NOT IN (SELECT key FROM main.forgotten)
    ORDER BY s.key
    ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, names = excluded.names,
    window = excluded.window, seen = max(seen, excluded.seen), told = excluded.told, dirty = 0,
    origin = excluded.origin, ordinal = excluded.ordinal, touched = excluded.touched,
    skeleton = ifnull(excluded.skeleton, skeleton), body = NULL"""  # noqa: S608 - our own text
_LEFT = f"""INSERT INTO main.users
    SELECT s.key, NULL, s.names, NULL, :window, {int(Told.LEFT)}, 0, 0, 0, :serial, NULL, NULL
    FROM run.steps AS s
    WHERE s.action = :action AND {_IS_ACCEPTED} AND s.key NOT IN (SELECT key FROM main.forgotten)
    ORDER BY s.key
    ON CONFLICT (key) DO UPDATE SET names = excluded.names, told = excluded.told,
    touched = excluded.touched"""  # noqa: S608 - our own text
_UNCHANGED = """INSERT INTO main.users
    SELECT s.key, NULL, x'', NULL, :window, 0, 0, :serial, s.ordinal, :serial, NULL, NULL
    FROM run.steps AS s
    WHERE s.action = :action
    ORDER BY s.key
    ON CONFLICT (key) DO UPDATE SET window = excluded.seen, seen = max(seen, excluded.seen),
    origin = excluded.origin, ordinal = excluded.ordinal, touched = excluded.touched
    WHERE window IS NOT NULL"""
_UNKNOWN = "DELETE FROM main.users WHERE window IS NULL AND origin = :serial"
"""Whom the query before has added: nobody knows them, or they were forgotten."""

_MESSAGES = "The messages of a run"
_STEP_WIDTH = len(tables.STEP_COLUMNS.split(","))
_SEEN_AT = tables.USER_COLUMNS.split(", ").index("seen")

_UNSEEN = """UPDATE main.users SET seen = seen - 1 WHERE seen = :window AND NOT EXISTS (
    SELECT 1 FROM run.steps AS s WHERE s.key = users.key AND s.action NOT IN (:resend, :leave))"""


def merge(target: Path, candidate: Path, fates: Fates) -> None:
    """Fold one run into a snapshot.

    :param target: a copy of the current snapshot.
    :param candidate: what the run decided.
    :param fates: what became of its messages.
    """
    database = tables.connect(target, beside={"run": candidate})
    try:
        now, said = tables.facts(database), tables.facts(database, of="run")
        serial = now["generation"] + 1
        run = Run.after(
            now["newest"],
            window=said["window"],
            complete=said["complete"],
            mirrors=said["mirrors"],
        )
        unknown = _unknown_commits(database, set(said["known_runs"]))
        names = Names(now["names"])
        translate = _translation(Names(said["names"]), names)
        if run.is_newest:
            leaving = {"window": run.window, "resend": Action.RESEND, "leave": Action.LEAVE}
            database.execute(_UNSEEN, leaving)
        settled = _Settled(database, run, serial)
        if not unknown and translate is None:
            settled.add_ordinary(fates)
        settled.add_seen()
        for batch in settled.others():
            rows = []
            for record in batch:
                step = tables.step_of(record[1 : 1 + _STEP_WIDTH])
                if translate is not None:
                    step = step._replace(names=translate(step.names))
                columns = record[1 + _STEP_WIDTH :]
                state = None if columns[_SEEN_AT] is None else tables.user_state(columns)
                after = settle(
                    state,
                    step,
                    fates.of(step.position),
                    run,
                    serial=serial,
                    overlaps=state is not None and state.touched in unknown,
                )
                rows.append(tables.user_row(record[0], after))
            database.executemany(
                "INSERT OR REPLACE INTO main.users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        database.execute("INSERT INTO main.commits VALUES (?, ?)", (serial, said["run"]))
        database.execute(
            "DELETE FROM main.commits WHERE serial <= ?", (serial - REMEMBERED_COMMITS,)
        )
        newest = run.newest if run.complete else now["newest"]
        tables.write_facts(
            database, {"generation": serial, "newest": newest, "names": names.as_list()}
        )
    finally:
        tables.close(database)


class _Settled:
    """How many steps of each action SQL settles; a query only runs while others may be left."""

    def __init__(self, database: sqlite3.Connection, run: Run, serial: int) -> None:
        self._database = database
        self._said = {"window": run.window, "serial": serial}
        self._steps = self._count("")
        self._settled: dict[Action, int] = {}

    def add_ordinary(self, fates: Fates) -> None:
        """Settle whose message was accepted, and for whom none was needed."""
        # For each message, asking a table takes a fifth of the time of asking Python, and comparing
        # it with the longest range nearly none.
        self._database.execute(
            "CREATE TEMP TABLE accepted (first INTEGER PRIMARY KEY, last INTEGER)"
        )
        ranges = [found for found in fates.accepted() if found]
        ends = ((found.start, found[-1]) for found in ranges)
        self._database.executemany("INSERT INTO accepted VALUES (?, ?)", ends)
        longest = max(ranges, key=len, default=range(0))
        ends_of_longest = {"first": longest.start, "last": longest.stop - 1}
        self._settle(Action.SEND, _SENT, ends_of_longest)
        self._settle(Action.UNCHANGED, _UNCHANGED)
        if self._settled.get(Action.UNCHANGED):
            removed = self._database.execute(_UNKNOWN, {"serial": self._said["serial"]}).rowcount
            self._settled[Action.UNCHANGED] -= removed
        self._settle(Action.LEAVE, _LEFT, ends_of_longest)

    def add_seen(self) -> None:
        """Settle the steps that only say who was in the Look."""
        for action in (Action.SUPERSEDED, Action.OBSERVE):
            self._settle(action, _SEEN)
            # It changes only whoever was not seen yet.
            if action in self._settled:
                self._settled[action] = self._count_of(action)

    def others(self) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the steps that are left, each with its user."""
        if self._are_all_settled():
            return
        done = [
            str(int(action))
            for action, steps in self._settled.items()
            if steps == self._count_of(action)
        ]
        query = _STEPS.format(done=", ".join(done))
        yield from tables.batches(self._database, query, {"serial": self._said["serial"]})

    def _settle(self, action: Action, query: str, said: Mapping[str, int] | None = None) -> None:
        if not self._are_all_settled():
            parameters = {**self._said, "action": action, **(said or {})}
            self._settled[action] = self._database.execute(query, parameters).rowcount

    def _are_all_settled(self) -> bool:
        return self._steps == sum(self._settled.values())

    def _count_of(self, action: Action) -> int:
        return self._count(f"WHERE action = {int(action)}")

    def _count(self, where: str) -> int:
        query = f"SELECT count(*) FROM run.steps {where}"  # noqa: S608 - our own text
        return int(self._database.execute(query).fetchone()[0])


def _unknown_commits(database: sqlite3.Connection, known: set[str]) -> set[int]:
    """Find the commits that a run did not know of when it decided."""
    commits = database.execute("SELECT serial, run FROM main.commits")
    return {serial for serial, run in commits if run not in known}


def _translation(of: Names, into: Names) -> Callable[[int], int] | None:
    """Return how bits of one list of names become bits of another; nothing where they are equal."""
    theirs, mine = of.as_list(), into.as_list()
    if theirs[: len(mine)] == mine:
        for name in theirs[len(mine) :]:
            into.bit(name)
        return None
    seen: dict[int, int] = {}

    def translate(bits: int) -> int:
        if bits not in seen:
            seen[bits] = of.translated(bits, into)
        return seen[bits]

    return translate


def fill_bodies(target: Path, bodies: Callable[[str], Path | None], seal: SnapshotSeal) -> None:
    """Store for each dirty user the message that restores their content.

    :param bodies: finds the file with the messages of a run, as long as there is one.
    """
    database = tables.connect(target)
    try:
        database.execute(
            "CREATE TEMP TABLE wanted AS SELECT u.key, u.ordinal, c.run FROM users AS u "
            "JOIN commits AS c ON c.serial = u.origin "
            "WHERE u.dirty AND u.body IS NULL ORDER BY u.origin, u.ordinal"
        )
        runs = database.execute("SELECT DISTINCT run FROM wanted").fetchall()
        for (run,) in runs:
            path = bodies(run)
            if path is not None:
                _fill_from(database, run, path, seal)
        database.execute("DROP TABLE wanted")
    finally:
        tables.close(database)


def _fill_from(database: sqlite3.Connection, run: str, path: Path, seal: SnapshotSeal) -> None:
    with closing(tables.connect(path)) as blocks:
        finder = _Bodies(blocks, seal)
        after = 0
        while True:
            wanted = database.execute(
                "SELECT rowid, key, ordinal FROM wanted WHERE run = ? AND rowid > ? "
                "ORDER BY rowid LIMIT ?",
                (run, after, tables.BATCH_ROWS),
            ).fetchall()
            if not wanted:
                return
            after = wanted[-1][0]
            database.executemany(
                "UPDATE users SET body = ? WHERE key = ?",
                [(seal.close(finder.at(ordinal)), key) for _, key, ordinal in wanted],
            )


def strip_bodies(path: Path, forgotten: Container[bytes], seal: SnapshotSeal) -> bool:
    """Empty the messages about users in a file of them; return whether there were any.

    :param forgotten: keys of the users.
    """
    stripped = False
    blocks = tables.connect(path)
    for (first,) in blocks.execute("SELECT first FROM blocks").fetchall():
        query = "SELECT data FROM blocks WHERE first = ?"
        (data,) = blocks.execute(query, (first,)).fetchone()
        texts = seal.open_block(data, where=_MESSAGES)
        kept = [
            "" if text and seal.key(*identity(decode(text))) in forgotten else text
            for text in texts
        ]
        if kept != texts:
            stripped = True
            sealed = seal.close_block([text.encode() for text in kept])
            blocks.execute("UPDATE blocks SET data = ? WHERE first = ?", (sealed, first))
    tables.close(blocks)
    if stripped:
        tables.rewrite(path)
    return stripped


class _Bodies:
    """Reads messages by their ordinals, which ascend."""

    def __init__(self, database: sqlite3.Connection, seal: SnapshotSeal) -> None:
        self._database = database
        self._seal = seal
        self._first = 0
        self._texts: list[str] = []

    def at(self, ordinal: int) -> str:
        if not 0 <= ordinal - self._first < len(self._texts):
            row: tuple[int, Any] = self._database.execute(
                "SELECT first, data FROM blocks WHERE first <= ? ORDER BY first DESC LIMIT 1",
                (ordinal,),
            ).fetchone()
            self._first = row[0]
            self._texts = self._seal.open_block(row[1], where=_MESSAGES)
        return self._texts[ordinal - self._first]
