"""The clauses of one query, which its flat and its pivoted variant share.

Fields enter, pieces of SQL leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.calculations import to_sql
from airflow_provider_looker_segment.sandbox.dynamic_fields import Calculation
from airflow_provider_looker_segment.sandbox.field_sql import FieldSql
from airflow_provider_looker_segment.sandbox.model import Field

_LARGEST: Final = 2**63 - 1
_FILL_STEPS: Final = {
    "date": "date(day, '+1 day')",
    "week": "date(day, '+7 days')",
    "month": "substr(date(day || '-01', '+1 month'), 1, 7)",
    "year": "day + 1",
}


@dataclass(frozen=True, slots=True)
class Pivot:
    """One value of the pivoted dimensions, hence one group of columns."""

    key: str
    data: Mapping[str, Any]
    is_total: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a result.

    :param cells: where its values are in a row: one index, or one for each pivot.
    """

    field: Field
    category: str
    cells: tuple[int, ...]
    pivoted: bool = False


@dataclass(slots=True)
class Parts:
    """The clauses that every variant of one query shares."""

    sql: FieldSql
    dimensions: list[Field]
    measures: list[Field]
    pivots: list[Field]
    where: str = ""
    having: str = ""
    applied: dict[str, tuple[Field, str]] = field(default_factory=dict)

    def grouped(self, selected: list[str], groups: int) -> str:
        """Return SELECT … FROM … WHERE … GROUP BY … HAVING of this query."""
        sql = f"SELECT {', '.join(selected)} {self.sql.source()}"
        sql += f" WHERE {self.where}" if self.where else ""
        if groups:
            sql += f" GROUP BY {', '.join(str(index + 1) for index in range(groups))}"
        return sql + (f" HAVING {self.having}" if self.having else "")

    def aliased(self, fields: list[Field]) -> list[str]:
        """Return fields for a SELECT, each under its own name."""
        return [f'{self.sql.selected(entry)} AS "{entry.name}"' for entry in fields]


def calculated(
    calculations: Mapping[str, Calculation], known: Mapping[str, Field], name: str, depth: int = 0
) -> str:
    """Return the SQL of a table calculation over the columns of the query below it."""
    if depth > len(calculations):
        raise PermanentError(
            f"Table calculation `{name}`",
            should="not refer to itself",
            but="it does",
            do="Break the circle.",
        )

    def resolve(reference: str) -> str:
        if reference in calculations:
            return f"({calculated(calculations, known, reference, depth + 1)})"
        if reference not in known:
            raise PermanentError(
                f"Table calculation `{name}`",
                should="refer to columns of the query",
                but=f"there is no `{reference}`",
                do="Add the field to the query.",
            )
        yesno = known[reference].kind == "yesno"
        return f"(\"{reference}\" = 'Yes')" if yesno else f'"{reference}"'

    calculation = calculations[name]
    sql = to_sql(calculation.expression, resolve)
    return f"CASE WHEN {sql} THEN 'Yes' ELSE 'No' END" if calculation.is_yesno else sql


def in_query_order(query: Mapping[str, Any], fields: list[Field]) -> list[Field]:
    """Return fields in the order in which the query names them."""
    names = list(query.get("fields") or ())
    return sorted(fields, key=lambda entry: names.index(entry.name) if entry.name in names else 999)


def filled(sql: str, dimensions: list[Field], fields: list[Field], query: Mapping[str, Any]) -> str:
    """Add the rows that dimension fill adds: each missing date between the first and the last."""
    wanted = query.get("fill_fields") or ()
    matching = [
        entry for entry in dimensions if entry.name in wanted and entry.timeframe in _FILL_STEPS
    ]
    if not matching:
        return sql
    name, step = f'"{matching[0].name}"', _FILL_STEPS[matching[0].timeframe]
    blanks = ", ".join("day" if entry is matching[0] else "NULL" for entry in fields)
    return (
        f"WITH found AS ({sql}), days(day, last) AS (SELECT MIN({name}), MAX({name}) FROM found"
        f" UNION ALL SELECT {step}, last FROM days WHERE day < last)"
        f" SELECT * FROM found UNION ALL SELECT {blanks} FROM days WHERE day IS NOT NULL"
        f" AND day NOT IN (SELECT {name} FROM found WHERE {name} IS NOT NULL)"
    )


def ordered(query: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """Return ORDER BY for ``sorts`` like ``users.name desc`` or ``orders.count desc 0``."""
    terms = []
    for sort in query.get("sorts") or ():
        name, *words = str(sort).split()
        index = next((word for word in words if word.isdigit()), "0")
        column = columns.get(name) or columns.get(f"{name}|{index}")
        if column is not None:
            terms.append(f"{column} {'DESC' if 'desc' in map(str.lower, words) else 'ASC'}")
    return f" ORDER BY {', '.join(terms)}" if terms else ""


def limited(limit: int) -> str:
    """Return LIMIT; a negative number is no limit, and SQLite's own integers end at 64 bits."""
    return f" LIMIT {min(limit, _LARGEST)}" if limit >= 0 else ""
