"""The SQLite files of a snapshot and of a run's candidate: tables, rows, connections.

States and steps enter and leave as the core knows them. Only hashes and sealed bytes are written.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.history import Step, UserState

FORMAT = 1
BATCH_ROWS = 2_000
"""Rows that are read or written together: about 2 MB."""

_CACHE_KIB = 4_096
"""Of each database: its pages are read and written in order, so few of them are needed twice."""

USER_COLUMNS = (
    "fingerprint, names, window, seen, told, dirty, origin, ordinal, touched, skeleton, body"
)
_USERS = """CREATE TABLE users (
    key BLOB PRIMARY KEY, fingerprint BLOB, names BLOB NOT NULL, window INTEGER,
    seen INTEGER NOT NULL, told INTEGER NOT NULL, dirty INTEGER NOT NULL,
    origin INTEGER NOT NULL, ordinal INTEGER NOT NULL, touched INTEGER NOT NULL,
    skeleton BLOB, body BLOB) WITHOUT ROWID"""
_SNAPSHOT = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    _USERS,
    "CREATE TABLE forgotten (key BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE commits (serial INTEGER PRIMARY KEY, run TEXT NOT NULL)",
)

STEP_COLUMNS = "action, fingerprint, names, window, told, ordinal, position, skeleton"
_CANDIDATE = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE steps (
    key BLOB PRIMARY KEY, action INTEGER NOT NULL, fingerprint BLOB, names BLOB NOT NULL,
    window INTEGER NOT NULL, told INTEGER NOT NULL, ordinal INTEGER NOT NULL, position INTEGER,
    skeleton BLOB) WITHOUT ROWID""",
)
_BODIES = ("CREATE TABLE blocks (first INTEGER PRIMARY KEY, data BLOB NOT NULL)",)


def connect(
    path: Path, *, beside: Mapping[str, Path] | None = None, cache_kib: int = _CACHE_KIB
) -> sqlite3.Connection:
    """Open a file that nobody else has open and that a killed task may lose.

    :param beside: further files, by the name that queries call them.
    :param cache_kib: memory for the pages of each file.
    """
    database = sqlite3.connect(path, isolation_level=None)
    for name, other in (beside or {}).items():
        database.execute(f"ATTACH DATABASE ? AS {name}", (str(other),))
    database.execute(f"PRAGMA cache_size = -{cache_kib}")
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    return database


def close(database: sqlite3.Connection) -> None:
    """Write what is pending and close."""
    if database.in_transaction:
        database.execute("COMMIT")
    database.close()


def rewrite(path: Path) -> None:
    """Write a file anew: what was deleted or replaced is in it until then."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM")


def create_snapshot(path: Path) -> None:
    """Make a snapshot of nobody."""
    _create(path, _SNAPSHOT)


def create_candidate(path: Path) -> None:
    """Make a candidate without steps."""
    _create(path, _CANDIDATE)


def create_bodies(path: Path) -> None:
    """Make a file for the messages of a run."""
    _create(path, _BODIES)


def _create(path: Path, statements: Sequence[str]) -> None:
    path.unlink(missing_ok=True)
    database = connect(path)
    for statement in statements:
        database.execute(statement)
    close(database)


def facts(database: sqlite3.Connection, *, of: str = "main") -> dict[str, Any]:
    """Read what a file says of itself."""
    rows = database.execute(f"SELECT name, value FROM {of}.facts")  # noqa: S608 - our own names
    return {name: json.loads(value) for name, value in rows}


def write_facts(database: sqlite3.Connection, said: dict[str, Any]) -> None:
    """Replace what a file says of itself."""
    rows = [(name, json.dumps(value)) for name, value in said.items()]
    database.executemany("INSERT OR REPLACE INTO main.facts VALUES (?, ?)", rows)


def prefixed(table: str, columns: str) -> str:
    """Name columns as those of one table of a join.

    >>> prefixed("u", "seen, told")
    'u.seen, u.told'
    """
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def bits(number: int) -> bytes:
    """Write a set of names; SQLite's integers end at 63 of them."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def user_row(key: bytes, state: UserState) -> tuple[Any, ...]:
    """Return a user's row of the table ``users``."""
    return (key, state[0], bits(state[1]), *state[2:])


def user_state(columns: Sequence[Any]) -> UserState:
    """Read what :data:`USER_COLUMNS` selected."""
    fingerprint, names, window, seen, told, dirty = columns[:6]
    return UserState(
        fingerprint, int.from_bytes(names, "big"), window, seen, told, bool(dirty), *columns[6:]
    )


def step_row(key: bytes, step: Step) -> tuple[Any, ...]:
    """Return a step's row of the table ``steps``."""
    action, fingerprint, names, window, told, ordinal, position, skeleton = step
    # SQLite asks its adapters about each value that is not exactly a number, such as an enum's.
    return (
        *(key, int(action), fingerprint, bits(names), window, int(told)),
        *(ordinal, position, skeleton),
    )


def step_of(columns: Sequence[Any]) -> Step:
    """Read what :data:`STEP_COLUMNS` selected."""
    return Step(columns[0], columns[1], int.from_bytes(columns[2], "big"), *columns[3:])


def add_steps(database: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add steps to a candidate; in the order of their keys they are quickest."""
    database.executemany("INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def batches(
    database: sqlite3.Connection, query: str, parameters: dict[str, Any]
) -> Iterator[list[tuple[Any, ...]]]:
    """Read rows in the order of their keys, so that they may be changed meanwhile.

    :param query: selects the key first, and keys above ``:after`` only, sorted, ``:limit`` of them.
    """
    after = b""
    while True:
        said = {**parameters, "after": after, "limit": BATCH_ROWS}
        found = database.execute(query, said).fetchall()
        if found:
            yield found
        if len(found) < BATCH_ROWS:
            return
        after = found[-1][0]
