"""Pivoted queries: the values of the pivoted dimensions become groups of columns.

A query's parts enter, SQL with one column for each measure and pivot leaves; a limit counts rows of
the pivoted table, as in Looker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.dynamic_fields import Calculation, measures_within
from airflow_provider_looker_segment.sandbox.filters import quote
from airflow_provider_looker_segment.sandbox.query_parts import (
    Column,
    Parts,
    Pivot,
    calculated,
    in_query_order,
    limited,
    ordered,
)

DEFAULT_COLUMN_LIMIT: Final = 50
ROW_TOTAL: Final = "$$$_row_total_$$$"
_SEPARATOR: Final = "|FIELD|"
_TOTAL_INDEX: Final = -1


def find_pivots(dataset: Dataset, parts: Parts, query: Mapping[str, Any]) -> tuple[Pivot, ...]:
    """Ask the database which groups of columns there will be.

    :raises sqlite3.Error: when the query is wrong.
    """
    names = [entry.name for entry in parts.pivots]
    most = int(query.get("column_limit") or DEFAULT_COLUMN_LIMIT)
    order = ordered(query, {name: f'"{name}"' for name in names})
    if not order:
        order = " ORDER BY " + ", ".join(str(index + 1) for index in range(len(names)))
    # A group of columns is shown where a group of rows passes the filters on measures.
    groups = parts.aliased([*parts.pivots, *parts.dimensions])
    shown = ", ".join(f'"{name}"' for name in names)
    sql = f"SELECT DISTINCT {shown} FROM ({parts.grouped(groups, len(groups))})"
    sql += order + limited(most)
    pivots = [
        Pivot(
            key=_SEPARATOR.join(
                f"{name}___null" if value is None else str(value)
                for name, value in zip(names, values, strict=True)
            ),
            data=dict(zip(names, values, strict=True)),
        )
        for values in dataset.rows(sql)
    ]
    if query.get("row_total"):
        pivots.append(Pivot(key=ROW_TOTAL, data={}, is_total=True))
    return tuple(pivots)


def pivoted(
    parts: Parts,
    pivots: tuple[Pivot, ...],
    query: Mapping[str, Any],
    calculations: Mapping[str, Calculation],
    limit: int,
) -> tuple[str, tuple[Column, ...]]:
    """Return the SQL of a pivoted query, and its columns."""
    measures = {entry.name for entry in parts.measures}
    spread = {name: item for name, item in calculations.items() if measures_within(item, measures)}
    plain = {name: item for name, item in calculations.items() if name not in spread}
    rows = [f'"{entry.name}"' for entry in parts.dimensions]
    cells = [*(entry.name for entry in parts.measures), *spread]
    selected = [
        f'MAX(CASE WHEN "$pivot" = {_index(pivot, index)} THEN "{name}" END) AS "{name}|{index}"'
        for name in cells
        for index, pivot in enumerate(pivots)
    ]
    sql = f"SELECT {', '.join([*rows, *selected]) or 'NULL'} FROM ({_long(parts, pivots, spread)})"
    sql += f" GROUP BY {', '.join(rows)}" if rows else ""
    sortable = {entry.name: f'"{entry.name}"' for entry in parts.dimensions} | {
        f"{name}|{index}": f'"{name}|{index}"' for name in cells for index in range(len(pivots))
    }
    sql += ordered(query, sortable) + limited(limit)
    if plain:
        known = {entry.name: entry for entry in parts.dimensions}
        added = [f'{calculated(plain, known, name)} AS "{name}"' for name in plain]
        sql = f"SELECT *, {', '.join(added)} FROM ({sql})"
    return sql, _columns(parts, query, spread, plain, len(pivots))


def _long(parts: Parts, pivots: tuple[Pivot, ...], spread: Mapping[str, Calculation]) -> str:
    """Return SQL with a row for each group of cells: dimensions, pivot, measures."""
    expressions = {entry.name: parts.sql.selected(entry) for entry in parts.pivots}
    whens = []
    for index, pivot in enumerate(pivots):
        tests = [_same(expressions[name], value) for name, value in pivot.data.items()]
        if not pivot.is_total:
            whens.append(f"WHEN {' AND '.join(tests)} THEN {index}")
    group = f"CASE {' '.join(whens)} END" if whens else "NULL"
    rows, measures = parts.aliased(parts.dimensions), parts.aliased(parts.measures)
    sql = parts.grouped([*rows, f'{group} AS "$pivot"', *measures], len(rows) + 1)
    if any(pivot.is_total for pivot in pivots):
        total = [*rows, f'{_TOTAL_INDEX} AS "$pivot"', *measures]
        sql += f" UNION ALL {parts.grouped(total, len(rows))}"
    if spread:
        known = {entry.name: entry for entry in [*parts.dimensions, *parts.measures]}
        added = [f'{calculated(spread, known, name)} AS "{name}"' for name in spread]
        sql = f"SELECT *, {', '.join(added)} FROM ({sql})"
    return sql


def _same(sql: str, value: object) -> str:
    literal = "NULL" if value is None else quote(value) if isinstance(value, str) else str(value)
    return f"{sql} IS {literal}"


def _index(pivot: Pivot, index: int) -> int:
    return _TOTAL_INDEX if pivot.is_total else index


def _columns(
    parts: Parts,
    query: Mapping[str, Any],
    spread: Mapping[str, Calculation],
    plain: Mapping[str, Calculation],
    width: int,
) -> tuple[Column, ...]:
    start = len(parts.dimensions)
    position: dict[str, tuple[int, ...]] = {
        entry.name: (index,) for index, entry in enumerate(parts.dimensions)
    }
    for name in [*(entry.name for entry in parts.measures), *spread]:
        position[name] = tuple(range(start, start + width))
        start += width
    position |= {name: (start + index,) for index, name in enumerate(plain)}
    shown = in_query_order(query, [*parts.dimensions, *parts.measures])
    columns = [
        Column(entry, entry.category, position[entry.name], pivoted=entry.is_measure)
        for entry in shown
    ]
    columns += [
        Column(item.field, "table_calculation", position[name], pivoted=name in spread)
        for name, item in {**spread, **plain}.items()
    ]
    return tuple(columns)
