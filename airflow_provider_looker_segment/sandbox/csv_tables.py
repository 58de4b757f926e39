"""Load CSV files into SQLite tables, forgiving what real exports do.

Files enter, rows of normalised values leave: blanks become NULL, declared numbers and dates become
SQLite's own, everything else stays the text that it was. A value that can't be what its column
declares stops the load; the message names file, line and column, never the value.
"""

from __future__ import annotations

import csv
import math
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.looks_yaml import Column, Table, quoted

_INT64 = 2**63
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,14})\.0")
_AFFINITY = {"text": "TEXT", "integer": "", "number": "", "date": "TEXT", "datetime": "TEXT"}


def load_table(
    connection: sqlite3.Connection, folder: Path, table: Table, *, timezone: str
) -> None:
    """Create one table and fill it from its files, one below the other.

    :param folder: where the files are.
    :param timezone: IANA name, of the points in time once they are stored.
    :raises PermanentError: when a file is missing or unreadable, or does not fit its declaration.
    """
    found: list[Path] = []
    for file in table.files:
        paths = sorted(folder.glob(file)) if any(c in file for c in "*?[") else [folder / file]
        if not paths or not all(path.is_file() for path in paths):
            raise PermanentError(
                f"looks.yaml, table `{table.name}`:",
                should="name files of the dataset's folder",
                but=f"there is no `{file}` in {folder}",
                do="Correct the name; patterns like `sales_*.csv` are allowed.",
            )
        found += paths
    whole = {name: Column("integer") for name in _whole_numbers(found, table)}
    table = replace(table, columns={**(table.columns or {}), **whole})
    header: list[str] = []
    for path in found:
        header = _load_file(connection, path, table, header, ZoneInfo(timezone))


def _whole_numbers(paths: list[Path], table: Table) -> list[str]:
    """Find the columns without a type whose every value is a whole number that ends in ``.0``.

    That is how programs write a column of whole numbers in which some are missing; text would
    make an id of each that nobody has.
    """
    open_: dict[str, bool] = {}
    for path in paths:
        with path.open(encoding=table.encoding, newline="") as stream:
            rows = csv.reader(stream, delimiter=table.delimiter)
            try:
                names = [name.strip() for name in next(rows, [])]
                if not open_:
                    open_ = {name: False for name in names if name not in (table.columns or {})}
                for row in rows:
                    for name, text in zip(names, row, strict=False):
                        if name not in open_ or not text.strip():
                            continue
                        open_[name] = True
                        if not _WHOLE.fullmatch(text.strip()):
                            del open_[name]
                    if not open_:
                        return []
            except (UnicodeDecodeError, csv.Error):
                return []
    return [name for name, has_values in open_.items() if has_values]


def parse_number(text: str) -> float | int | None:
    """Read a number as people write it in spreadsheets; ``None`` when it is none.

    >>> parse_number("$90,000 "), parse_number("17850.0"), parse_number("n/a")
    (90000, 17850.0, None)
    """
    plain = text.strip().lstrip("$€£").replace(",", "").strip()
    try:
        return int(plain)
    except ValueError:
        pass
    try:
        number = float(plain)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _load_file(
    connection: sqlite3.Connection, path: Path, table: Table, header: list[str], zone: ZoneInfo
) -> list[str]:
    with path.open(encoding=table.encoding, newline="") as stream:
        rows = csv.reader(stream, delimiter=table.delimiter)
        try:
            names = [name.strip() for name in next(rows, [])]
            if not header:
                _create(connection, path, table, names)
            elif names != header:
                raise PermanentError(
                    f"{path.name}:",
                    should=f"have the columns of the other files of table `{table.name}`",
                    but="its first line differs",
                    do="Make a table of its own for it.",
                )
            marks = ",".join("?" * len(names))
            connection.executemany(
                f'INSERT INTO "{table.name}" VALUES ({marks})',
                _values(rows, path, table, names, zone),
            )
        except (UnicodeDecodeError, csv.Error) as error:
            raise PermanentError(
                f"{path.name}:",
                should=f"be CSV in {table.encoding}",
                but=f"it is not ({type(error).__name__})",
                do="Set `encoding` or `delimiter` of the table.",
            ) from error
    return names


def _create(connection: sqlite3.Connection, path: Path, table: Table, names: list[str]) -> None:
    folded = [name.lower() for name in names]
    twice = next((name for name in names if folded.count(name.lower()) > 1 or not name), None)
    missing = [name for name in table.columns or {} if name not in names]
    if twice is not None or not names or missing:
        raise PermanentError(
            f"{path.name}:",
            should="begin with one line of distinct column names, those of looks.yaml among them",
            but=f"column `{missing[0]}` is missing" if missing else f"`{twice or ''}` is not one",
            do=f"The columns are {', '.join(names)}.",
        )
    types = {name: (table.columns or {}).get(name, Column()).type for name in names}
    columns = ", ".join(f"{quoted(name)} {_AFFINITY[types[name]]}" for name in names)
    connection.execute(f'CREATE TABLE "{table.name}" ({columns})')


def _values(
    rows: Iterator[list[str]], path: Path, table: Table, names: list[str], zone: ZoneInfo
) -> Iterator[list[object]]:
    columns = [(table.columns or {}).get(name, Column()) for name in names]
    readers = [_reader(column, zone) for column in columns]
    for line, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(names):
            raise PermanentError(
                f"{path.name}, row {line}:",
                should=f"have {len(names)} columns",
                but=f"has {len(row)}",
                do="Quote values that contain the delimiter.",
            )
        values: list[object] = []
        for name, column, read, text in zip(names, columns, readers, row, strict=True):
            try:
                values.append(read(text) if text.strip() else None)
            except ValueError as error:
                raise PermanentError(
                    f"{path.name}, row {line}, column `{name}`:",
                    should=f"be a {column.type} {column.format}".rstrip(),
                    but="can't be read as one",
                    do="Correct the file, or the column's type in looks.yaml.",
                ) from error
        yield values


def _reader(column: Column, zone: ZoneInfo) -> Callable[[str], object]:
    if column.type in ("date", "datetime"):
        pattern = "%Y-%m-%d" if column.type == "date" else "%Y-%m-%d %H:%M:%S"
        return lambda text: _moment(text.strip(), column.format, zone).strftime(pattern)
    if column.type in ("integer", "number"):
        return lambda text: _number(text, whole=column.type == "integer")
    return lambda text: text


def _moment(text: str, pattern: str, zone: ZoneInfo) -> datetime:
    moment = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)  # noqa: DTZ007
    return moment if moment.tzinfo is None else moment.astimezone(zone)


def _number(text: str, *, whole: bool) -> float | int | str:
    number = parse_number(text)
    if number is None or (whole and number != int(number)):
        raise ValueError
    if whole:
        number = int(number)
    # SQLite's integers end at 64 bits; longer ones keep their digits as text, as Looker does for
    # dialects without big numbers.
    return text.strip() if isinstance(number, int) and abs(number) >= _INT64 else number
