"""A Looker query as SQL: the keys of ``WriteQuery`` enter, a plan of what to run leaves.

The plan holds the SQL and which of its columns is which cell; rows are read by ``results.py``.
Source: https://docs.cloud.google.com/looker/docs/reference/looker-api/latest/types/WriteQuery
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.dynamic_fields import Calculation, read_dynamic_fields
from airflow_provider_looker_segment.sandbox.field_sql import FieldSql
from airflow_provider_looker_segment.sandbox.filters import Clock
from airflow_provider_looker_segment.sandbox.model import Explore, Field
from airflow_provider_looker_segment.sandbox.pivots import find_pivots, pivoted
from airflow_provider_looker_segment.sandbox.query_parts import (
    Column,
    Parts,
    Pivot,
    calculated,
    filled,
    in_query_order,
    limited,
    ordered,
)

DEFAULT_LIMIT: Final = 5000


class UnknownExploreError(PermanentError):
    """The query's model or explore does not exist; Looker answers 404."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A query that is ready to run.

    :param totals: the plan of the totals row, where totals were asked for.
    :param subtotals: (fields, plan) of each subtotal.
    :param error: the database's complaint, if planning already met it.
    """

    dataset: Dataset
    query: Mapping[str, Any]
    explore: Explore
    columns: tuple[Column, ...]
    pivot_fields: tuple[Field, ...]
    pivots: tuple[Pivot, ...]
    sql: str
    timezone: str
    applied_filters: Mapping[str, tuple[Field, str]]
    totals: Plan | None = None
    subtotals: tuple[tuple[tuple[str, ...], Plan], ...] = ()
    error: str = ""


def plan_query(
    dataset: Dataset,
    query: Mapping[str, Any],
    *,
    limit: int | None = None,
    server_table_calcs: bool = False,
) -> Plan:
    """Plan a query.

    :param query: the keys of ``WriteQuery``.
    :param limit: overrules the query's own; -1 is no limit.
    :param server_table_calcs: whether table calculations are part of the result.
    :raises UnknownExploreError: when the model or the explore does not exist.
    :raises PermanentError: when a field, a filter or an expression is not understood.
    """
    explore = find_explore(dataset, str(query.get("model")), str(query.get("view")))
    zone = str(query.get("query_timezone") or dataset.model.timezone)
    fields = dataset.model.explore_fields(explore)
    custom, calculations = read_dynamic_fields(query.get("dynamic_fields"))
    names = [str(name) for name in query.get("fields") or ()]
    parts = _parts(dataset, explore, fields | custom, query, _clock(dataset, zone))
    _select(parts, names, calculations, query)
    if limit is None:
        limit = int(query.get("limit") or DEFAULT_LIMIT)
    used = calculations if server_table_calcs else {}
    error = ""
    pivots: tuple[Pivot, ...] = ()
    if parts.pivots:
        try:
            pivots = find_pivots(dataset, parts, query)
        except sqlite3.Error as failure:
            error = str(failure)
        sql, columns = pivoted(parts, pivots, query, used, limit)
    else:
        sql, columns = _flat(parts, query, used, limit)
    totals, subtotals = _totals(dataset, query, parts)
    return Plan(
        dataset=dataset,
        query=query,
        explore=explore,
        columns=columns,
        pivot_fields=tuple(parts.pivots),
        pivots=pivots,
        sql=sql,
        timezone=zone,
        applied_filters=parts.applied,
        totals=totals,
        subtotals=subtotals,
        error=error,
    )


def find_explore(dataset: Dataset, model: str, name: str) -> Explore:
    """Return an explore.

    :raises UnknownExploreError: when there is none of that name.
    """
    if model != dataset.model.name or name not in dataset.model.explores:
        raise UnknownExploreError(
            "A query",
            should="name an explore of the dataset",
            but=f"there is no `{model}::{name}`",
            do=f"Model {dataset.model.name} has {', '.join(dataset.model.explores)}.",
        )
    return dataset.model.explores[name]


def _clock(dataset: Dataset, zone: str) -> Clock:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise PermanentError(
            "A query's `query_timezone`",
            should="be a timezone of the IANA database",
            but=f"`{zone}` is none",
            do="Use a name like America/Los_Angeles.",
        ) from error
    model = dataset.model
    return Clock(
        dataset.now(),
        zone,
        model.database_timezone,
        model.week_start_day,
        model.fiscal_month_offset,
    )


def _parts(
    dataset: Dataset,
    explore: Explore,
    fields: dict[str, Field],
    query: Mapping[str, Any],
    clock: Clock,
) -> Parts:
    filters = effective_filters(explore, query)
    parameters = {
        name: value
        for name, value in filters.items()
        if name in fields and fields[name].category == "parameter"
    }
    sql = FieldSql(dataset, explore, fields, clock, parameters)
    parts = Parts(sql, [], [], [])
    where: list[str] = []
    having: list[str] = []
    for name, value in filters.items():
        entry = sql.find(name)
        parts.applied[name] = (entry, value)
        if entry.category != "parameter" and value.strip():
            (having if entry.is_measure else where).append(sql.condition(entry, value))
    if query.get("filter_expression"):
        where.append(sql.expression(str(query["filter_expression"])))
    parts.where, parts.having = " AND ".join(where), " AND ".join(having)
    return parts


def effective_filters(explore: Explore, query: Mapping[str, Any]) -> dict[str, str]:
    """Return the filters that count: the query's, those of ``filter_config``, the explore's.

    Where a query carries ``filter_config``, Looker prefers it over ``filters``.
    """
    filters = {
        str(name): "" if value is None else str(value)
        for name, value in (query.get("filters") or {}).items()
    }
    for name, entries in (query.get("filter_config") or {}).items():
        if len(entries) == 1 and entries[0].get("type") == "advanced":
            filters[name] = str(entries[0]["values"][0]["constant"])
    if not any(name in filters for name in explore.conditionally_unless):
        filters = {**explore.conditionally_filter, **filters}
    return {**explore.always_filter, **filters}


def _select(
    parts: Parts,
    names: list[str],
    calculations: Mapping[str, Calculation],
    query: Mapping[str, Any],
) -> None:
    pivots = list(query.get("pivots") or ())
    for name in dict.fromkeys([*names, *pivots]):
        if name in calculations:
            continue
        entry = parts.sql.find(name)
        kind = parts.measures if entry.is_measure else parts.dimensions
        (parts.pivots if name in pivots else kind).append(entry)
    if not (parts.dimensions or parts.measures):
        raise PermanentError(
            "A query",
            should="select at least one dimension or measure",
            but="selects none",
            do="Add `fields`.",
        )


def _flat(
    parts: Parts, query: Mapping[str, Any], calculations: Mapping[str, Calculation], limit: int
) -> tuple[str, tuple[Column, ...]]:
    fields = [*parts.dimensions, *parts.measures]
    selected = parts.aliased(fields)
    aggregates = parts.measures or parts.having
    single = not aggregates and parts.sql.has_one_row_each(parts.dimensions)
    sql = parts.grouped(selected, 0 if single else len(parts.dimensions))
    sql = filled(sql, parts.dimensions, fields, query)
    known = {entry.name: entry for entry in fields}
    sql += ordered(query, {name: f'"{name}"' for name in known})
    sql += limited(limit)
    if calculations:
        added = [f'{calculated(calculations, known, name)} AS "{name}"' for name in calculations]
        sql = f"SELECT *, {', '.join(added)} FROM ({sql})"
    shown = in_query_order(query, [*fields])
    columns = [Column(entry, entry.category, (fields.index(entry),)) for entry in shown]
    columns += [
        Column(calculation.field, "table_calculation", (len(fields) + index,))
        for index, calculation in enumerate(calculations.values())
    ]
    return sql, tuple(columns)


def _totals(
    dataset: Dataset, query: Mapping[str, Any], parts: Parts
) -> tuple[Plan | None, tuple[tuple[tuple[str, ...], Plan], ...]]:
    """Plan the totals row and the subtotals: the same query over fewer dimensions."""
    rows = [entry.name for entry in parts.dimensions]
    rest = [entry.name for entry in [*parts.pivots, *parts.measures]]

    def over(names: list[str]) -> Plan:
        smaller = {**query, "fields": [*names, *rest]}
        smaller |= {"total": None, "subtotals": None, "fill_fields": None}
        return plan_query(dataset, smaller, limit=-1)

    totals = over([]) if query.get("total") and parts.measures else None
    subtotals = [
        (tuple(rows[: rows.index(name) + 1]), over(rows[: rows.index(name) + 1]))
        for name in query.get("subtotals") or ()
        if name in rows[:-1]
    ]
    return totals, tuple(subtotals)
