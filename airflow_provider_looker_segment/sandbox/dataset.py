"""A dataset in SQLite: rows and their meaning enter, cursors over query results leave.

The database lives in memory, is only read once it is loaded, and may be queried from any number of
threads at once; results are read row by row, never gathered.
"""

from __future__ import annotations

import itertools
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, time
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.csv_tables import load_table, parse_number
from airflow_provider_looker_segment.sandbox.looks_yaml import (
    Declaration,
    Table,
    read_looks_file,
    read_looks_yaml,
)
from airflow_provider_looker_segment.sandbox.model import Model

_NOON = time(12)
_serial = itertools.count()


class Dataset:
    """Tables in memory and the model over them.

    :param declaration: what ``looks.yaml`` says.
    :param fill: creates and fills the tables that are not defined by SQL.
    :param today: the sandbox's idea of now; wins over the file's. A date stands for its noon, in
        the dataset's timezone.
    """

    def __init__(
        self,
        declaration: Declaration,
        fill: Callable[[sqlite3.Connection], None],
        *,
        today: date | None = None,
    ) -> None:
        self.model: Model = declaration.model
        self._today = today or declaration.today
        self._uri = f"file:sandbox-{os.getpid()}-{next(_serial)}?mode=memory&cache=shared"
        # SQLite drops a shared in-memory database with its last connection; this one holds it.
        self._keeper = self._open()
        with self._keeper:
            fill(self._keeper)
            for table in declaration.tables.values():
                if table.sql:
                    self._keeper.execute(f'CREATE VIEW "{table.name}" AS {table.sql}')
        self._check_tables()

    @classmethod
    def load(cls, folder: Path, *, looks: Path | None = None, today: date | None = None) -> Dataset:
        """Load a folder of CSV files.

        :param folder: files ``*.csv``; each that no table names becomes a table of its own name.
        :param looks: what they mean; ``looks.yaml`` in the folder when not given.
        :param today: the sandbox's idea of now.
        :raises PermanentError: when files and ``looks.yaml`` do not fit each other.
        """
        folder = Path(folder)
        declaration = read_looks_file(Path(looks) if looks else folder / "looks.yaml")
        tables = {**_files_without_table(folder, declaration.tables), **declaration.tables}

        def fill(connection: sqlite3.Connection) -> None:
            for table in tables.values():
                if table.files:
                    zone = declaration.model.database_timezone
                    load_table(connection, folder, table, timezone=zone)

        return cls(declaration, fill, today=today)

    @classmethod
    def from_rows(
        cls,
        looks_yaml: str,
        tables: Mapping[str, tuple[tuple[str, ...], Iterator[tuple[object, ...]]]],
        *,
        today: date | None = None,
    ) -> Dataset:
        """Build a dataset from generated rows.

        :param looks_yaml: the text of a ``looks.yaml``.
        :param tables: name to (column names, rows).
        """

        def fill(connection: sqlite3.Connection) -> None:
            for name, (columns, rows) in tables.items():
                listed = ", ".join(f'"{column}"' for column in columns)
                connection.execute(f'CREATE TABLE "{name}" ({listed})')
                marks = ",".join("?" * len(columns))
                connection.executemany(f'INSERT INTO "{name}" VALUES ({marks})', rows)

        return cls(read_looks_yaml(looks_yaml), fill, today=today)

    def now(self) -> datetime:
        """Return the sandbox's now, aware, in UTC."""
        if self._today is None:
            return datetime.now(UTC)
        moment = self._today
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, _NOON)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(self.model.timezone))
        return moment.astimezone(UTC)

    def rows(self, sql: str) -> Iterator[tuple[object, ...]]:
        """Run one SELECT and yield its rows as SQLite finds them.

        :param sql: with every literal in it.
        :raises sqlite3.Error: at the first row, or at the row that can't be computed.
        """
        with closing(self._open()) as connection:
            yield from connection.execute(sql)

    def check(self, sql: str) -> str:
        """Compile a SELECT without running it; return SQLite's complaint, or nothing."""
        with closing(self._open()) as connection:
            try:
                connection.execute(f"EXPLAIN {sql}").close()
            except sqlite3.Error as error:
                return str(error)
        return ""

    def has_row_ids(self, table: str) -> bool:
        """Whether the table is stored, so that SQLite numbers its rows."""
        found = self._keeper.execute(
            "SELECT type FROM sqlite_master WHERE name = ? COLLATE NOCASE", (table,)
        )
        return bool(found.fetchone() == ("table",))

    def close(self) -> None:
        """Drop the database once running queries have ended."""
        self._keeper.close()

    def _open(self) -> sqlite3.Connection:
        # Starlette reads a streamed answer from changing threads, one at a time.
        connection = sqlite3.connect(self._uri, uri=True, check_same_thread=False)
        connection.execute("PRAGMA read_uncommitted = ON")
        if self.model.case_sensitive:
            connection.execute("PRAGMA case_sensitive_like = ON")
        zone = self.model.database_timezone
        connection.create_function(
            "looker_local", 2, lambda text, target: _shift(text, zone, target), deterministic=True
        )
        connection.create_function("looker_moment", 1, _moment, deterministic=True)
        # SQLite's own fold the case of ASCII letters only.
        connection.create_function("upper", 1, _upper, deterministic=True)
        connection.create_function("lower", 1, _lower, deterministic=True)
        connection.create_aggregate("looker_sum", 2, _SumOnce)  # type: ignore[arg-type]
        connection.create_aggregate("looker_average", 2, _AverageOnce)  # type: ignore[arg-type]
        connection.create_function("looker_number", 1, _to_number, deterministic=True)
        return connection

    def _check_tables(self) -> None:
        known = {
            str(name).lower() for (name,) in self._keeper.execute("SELECT name FROM sqlite_master")
        }
        for view in self.model.views.values():
            if view.table.lower() not in known:
                raise PermanentError(
                    f"looks.yaml, view `{view.name}`:",
                    should="stand on a table of the dataset",
                    but=f"there is no table `{view.table}`",
                    do=f"The tables are {', '.join(sorted(known)) or 'none'}; set `table`.",
                )


class _SumOnce:
    """The sum over the rows of one view, however often a join repeats each of them."""

    def __init__(self) -> None:
        self._values: dict[object, float] = {}

    def step(self, key: object, value: float | None) -> None:
        if key is not None and value is not None:
            self._values[key] = value

    def finalize(self) -> float | None:
        return sum(self._values.values())


class _AverageOnce(_SumOnce):
    """The average over the rows of one view, however often a join repeats each of them."""

    def finalize(self) -> float | None:
        return sum(self._values.values()) / len(self._values) if self._values else None


def _files_without_table(folder: Path, tables: Mapping[str, Table]) -> dict[str, Table]:
    named = [pattern for table in tables.values() for pattern in table.files]
    return {
        name: Table(name=name, files=(path.name,))
        for path in sorted(folder.glob("*.csv"))
        if not any(path.match(pattern) for pattern in named)
        and (name := re.sub(r"\W+", "_", path.stem)) not in tables
    }


@lru_cache(maxsize=32)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _shift(text: str | None, source: str, target: str) -> str | None:
    """Turn a stored point in time into the wall-clock time of another timezone."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if source != target or moment.tzinfo is not None:
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=_zone(source))
        moment = moment.astimezone(_zone(target))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _moment(value: object) -> None:
    """Refuse what SQLite could not read as a date, unless it is nothing at all."""
    if value is not None:
        raise ValueError


def _upper(value: object) -> str | None:
    return None if value is None else str(value).upper()


def _lower(value: object) -> str | None:
    return None if value is None else str(value).lower()


def _to_number(value: float | str | None) -> float | int | None:
    if not isinstance(value, str):
        return value
    number = parse_number(value)
    if number is None:
        raise ValueError
    return number if abs(number) < 2**63 else float(number)
