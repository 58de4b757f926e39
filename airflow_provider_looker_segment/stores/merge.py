"""The commit of one run into a snapshot's file: steps and fates become states.

A snapshot, a candidate and fates enter, the snapshot is changed in place: the caller gives it a
copy. What is decided about a user is decided in core.history; here rows are only moved. What
nearly every row of nearly every run comes to is said once more in SQL, which takes a third of the
time: a test compares the two.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.history import Action, Fates, Run, settle
from airflow_provider_looker_segment.core.snapshot import Names
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

REMEMBERED_COMMITS = 1_000
"""Commits of which a snapshot knows the runs: a run that overlaps more of them knows too little."""

_STEPS = f"""SELECT s.key, {tables.prefixed("s", tables.STEP_COLUMNS)},
    {tables.prefixed("u", tables.USER_COLUMNS)}
    FROM run.steps AS s LEFT JOIN main.users AS u ON u.key = s.key
    WHERE s.key > :after AND u.touched IS NOT :serial
    AND NOT EXISTS (SELECT 1 FROM main.forgotten AS f WHERE f.key = s.key)
    ORDER BY s.key LIMIT :limit"""  # noqa: S608 - our own columns

# What core.history.settle says where no other run overlaps: nothing had to be sent for a user of
# whom there is content, or the message about them was accepted.
_ORDINARY = """INSERT OR REPLACE INTO main.users
    SELECT s.key, CASE s.action WHEN :send THEN s.fingerprint ELSE u.fingerprint END,
    CASE s.action WHEN :send THEN s.names ELSE u.names END,
    CASE s.action WHEN :send THEN s.window ELSE :window END, max(ifnull(u.seen, :window), :window),
    CASE s.action WHEN :send THEN s.told ELSE u.told END,
    CASE s.action WHEN :send THEN 0 ELSE u.dirty END,
    :serial, s.ordinal, :serial,
    CASE s.action WHEN :send THEN ifnull(s.skeleton, u.skeleton) ELSE u.skeleton END,
    CASE s.action WHEN :send THEN NULL ELSE u.body END
    FROM run.steps AS s LEFT JOIN main.users AS u ON u.key = s.key
    WHERE ((s.action = :unchanged AND u.window IS NOT NULL)
        OR (s.action = :send AND s.position <= (SELECT last FROM temp.accepted
            WHERE first <= s.position ORDER BY first DESC LIMIT 1)))
    AND NOT EXISTS (SELECT 1 FROM main.forgotten AS f WHERE f.key = s.key)
    ORDER BY s.key"""
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
        if not unknown and translate is None:
            _settle_ordinary(database, fates, run, serial)
        for batch in tables.batches(database, _STEPS, {"serial": serial}):
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


def _settle_ordinary(database: sqlite3.Connection, fates: Fates, run: Run, serial: int) -> None:
    # For each message, asking a table takes a fifth of the time of asking Python.
    database.execute("CREATE TEMP TABLE accepted (first INTEGER PRIMARY KEY, last INTEGER)")
    ranges = ((found.start, found[-1]) for found in fates.accepted() if found)
    database.executemany("INSERT INTO accepted VALUES (?, ?)", ranges)
    said = {
        "send": Action.SEND,
        "unchanged": Action.UNCHANGED,
        "window": run.window,
        "serial": serial,
    }
    database.execute(_ORDINARY, said)


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
            self._texts = self._seal.open_block(row[1], where="The messages of a run")
        return self._texts[ordinal - self._first]
