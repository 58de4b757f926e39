"""Results in Looker's formats: a plan enters, pieces of text leave as the database finds rows.

No result is ever gathered: memory does not grow with the rows, except for the totals rows.
A database error appears as Looker makes it appear: inside an answer that began as a success.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_looker_segment.sandbox.field_json import (
    brief_field_json,
    calculation_json,
    field_json,
)
from airflow_provider_looker_segment.sandbox.formatting import formatted, has_format
from airflow_provider_looker_segment.sandbox.model import Field
from airflow_provider_looker_segment.sandbox.query import Plan
from airflow_provider_looker_segment.sandbox.query_parts import Column

CONTENT_TYPES: Final = {
    "json": "application/json; charset=utf-8",
    "inline_json": "application/json; charset=utf-8",
    "json_label": "application/json; charset=utf-8",
    "json_detail": "application/json; charset=utf-8",
    "json_bi": "application/json; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
    "sql": "text/plain; charset=utf-8",
}
_PIECE_CHARS: Final = 65536
_quoted: Final[Callable[[str], str]] = json.encoder.encode_basestring
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """The query parameters that change how a result looks."""

    apply_formatting: bool = False
    apply_vis: bool = False
    generate_drill_links: bool = False


class QueryError(Exception):
    """The database refused the query, or a row of it."""


def stream(plan: Plan, result_format: str, options: Options) -> Iterator[str]:
    """Run a plan and yield its result in pieces of about 64 KB.

    :param result_format: a key of :data:`CONTENT_TYPES`.
    """
    writers: dict[str, Callable[[Plan, Options], Iterator[str]]] = {
        "json": lambda plan, options: _flat_json(plan, options, labels=False),
        "inline_json": lambda plan, options: _flat_json(plan, options, labels=False),
        "json_label": lambda plan, options: _flat_json(plan, options, labels=True),
        "json_detail": _json_detail,
        "json_bi": _json_bi,
        "csv": lambda plan, options: _separated(plan, options, ","),
        "txt": lambda plan, options: _separated(plan, options, "\t"),
        "sql": lambda plan, _options: iter([plan.sql]),
    }
    return _in_pieces(writers[result_format](plan, options))


def _in_pieces(parts: Iterable[str]) -> Iterator[str]:
    waiting: list[str] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _PIECE_CHARS:
            yield "".join(waiting)
            waiting, size = [], 0
    yield "".join(waiting)


def _rows(plan: Plan) -> Iterator[Row]:
    if plan.error:
        raise QueryError(plan.error)
    try:
        yield from plan.dataset.rows(plan.sql)
    except sqlite3.Error as error:
        raise QueryError(str(error)) from error


def _plain(value: object, field: Field) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if field.kind == "list" and isinstance(value, str):
        return json.loads(value)
    return value


def _writer(
    plan: Plan, columns: Iterable[tuple[str, Column]], cell: Callable[[Any, Field], str]
) -> Callable[[Row], str]:
    """Return what turns a row into the text of a JSON object.

    Texts are joined rather than objects built: a result may have millions of rows.

    :param columns: (key, column) of each.
    :param cell: turns one value into JSON text.
    """
    places: list[tuple[str, Field, int | tuple[int, ...]]] = [
        (
            _ENCODER.encode(key) + ":",
            column.field,
            column.cells if column.pivoted else column.cells[0],
        )
        for key, column in columns
    ]
    keys = [_ENCODER.encode(pivot.key) + ":" for pivot in plan.pivots]

    def write(row: Row) -> str:
        parts = []
        for key, field, cells in places:
            if isinstance(cells, int):
                parts.append(key + cell(row[cells], field))
            else:
                inner = [k + cell(row[index], field) for k, index in zip(keys, cells, strict=True)]
                parts.append(f"{key}{{{','.join(inner)}}}")
        return "{" + ",".join(parts) + "}"

    return write


def _json_text(value: Any, field: Field) -> str:
    if isinstance(value, str) and field.kind != "list":
        return _quoted(value)
    return _ENCODER.encode(_plain(value, field))


def _shown(plan: Plan, options: Options) -> list[Column]:
    hidden = (plan.query.get("vis_config") or {}).get("hidden_fields") or ()
    return [
        column for column in plan.columns if not (options.apply_vis and column.field.name in hidden)
    ]


def _label(plan: Plan, column: Column, options: Options) -> str:
    vis_config = (plan.query.get("vis_config") or {}) if options.apply_vis else {}
    relabelled = (vis_config.get("series_labels") or {}).get(column.field.name)
    short = column.category == "table_calculation" or vis_config.get("show_view_names") is False
    return str(relabelled or (column.field.label_short if short else column.field.label))


def _flat_json(plan: Plan, options: Options, *, labels: bool) -> Iterator[str]:
    columns = [
        (_label(plan, column, options) if labels else column.field.name, column)
        for column in _shown(plan, options)
    ]

    def formatted_text(value: Any, field: Field) -> str:
        return _quoted(formatted(_plain(value, field), field))

    write = _writer(plan, columns, formatted_text if options.apply_formatting else _json_text)
    yield "["
    separator = ""
    try:
        for row in _rows(plan):
            yield separator + write(row)
            separator = ",\n"
    except QueryError as error:
        # An error before the first row is an object; one in the middle is bare text, so that the
        # document is no longer JSON. Both as public clients report them.
        text = f"SQL Error: {error}"
        yield separator + text if separator else _ENCODER.encode({"looker_error": text})
    yield "]"


def _detail_writer(plan: Plan, options: Options) -> Callable[[Row], str]:
    url = f"/explore/{plan.dataset.model.name}/{plan.explore.name}"
    link = _ENCODER.encode([{"label": "Show All", "url": url, "type": "measure_default"}])
    decorated = {column.field.name for column in plan.columns if has_format(column.field)}
    if options.generate_drill_links:
        decorated |= {column.field.name for column in plan.columns if column.field.is_measure}

    def cell(value: Any, field: Field) -> str:
        shown = '{"value":' + _json_text(value, field)
        if field.name in decorated:
            if has_format(field) and value is not None:
                shown += ',"rendered":' + _quoted(formatted(_plain(value, field), field))
            if options.generate_drill_links and field.is_measure:
                shown += ',"links":' + link
        return shown + "}"

    return _writer(plan, [(column.field.name, column) for column in plan.columns], cell)


def _json_detail(plan: Plan, options: Options) -> Iterator[str]:
    head = _ENCODER.encode(_detail_head(plan))
    yield head[:-1] + ',"data":['
    write = _detail_writer(plan, options)
    tail: dict[str, Any] = {"errors": None}
    separator = ""
    try:
        for row in _rows(plan):
            yield separator + write(row)
            separator = ",\n"
        tail |= _detail_totals(plan, options)
    except QueryError as error:
        tail["errors"] = [
            {
                "message": f"SQL Error: {error}",
                "message_details": str(error),
                "params": "",
                "error_pos": None,
                "level": "fatal",
                "fatal": True,
                "sql_error_loc": None,
            }
        ]
    tail |= {
        "number_format": "1,234.56",
        "drill_menu_build_time": 0.0,
    }
    yield "]," + _ENCODER.encode(tail)[1:]


def _detail_head(plan: Plan) -> dict[str, Any]:
    query, model = plan.query, plan.dataset.model
    return {
        "status": "complete",
        "id": query.get("id"),
        "from_cache": False,
        "result_source": "query",
        "supports_pivot_in_db": True,
        "null_sort_treatment": "low",
        "expired": False,
        "ran_at": plan.dataset.now().isoformat(timespec="seconds"),
        "runtime": "0.0000",
        "added_params": {"sorts": list(query.get("sorts") or ()), "local": {}},
        "sql": plan.sql,
        "sql_explain": None,
        "fields": {
            "dimensions": [field_json(field, model) for field in _fields(plan, "dimension")],
            "measures": [field_json(field, model) for field in _fields(plan, "measure")],
            "table_calculations": [
                calculation_json(field, query.get("dynamic_fields"))
                for field in _fields(plan, "table_calculation")
            ],
            "pivots": [field_json(field, model) for field in plan.pivot_fields],
        },
        "fill_fields": list(query.get("fill_fields") or ()),
        "has_totals": plan.totals is not None,
        "has_row_totals": any(pivot.is_total for pivot in plan.pivots),
        "applied_filters": {
            name: {"field": field_json(field, model), "value": value}
            for name, (field, value) in plan.applied_filters.items()
        },
        "applied_filter_expression": query.get("filter_expression"),
        "explore": {
            "name": plan.explore.name,
            "label": plan.explore.label,
            "description": plan.explore.description or None,
        },
        "timezone": plan.timezone,
        "pivots": _pivots(plan),
    }


def _detail_totals(plan: Plan, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if plan.totals is not None:
        row = next(_rows(plan.totals), None)
        write = _detail_writer(plan.totals, options)
        found["totals_data"] = {} if row is None else json.loads(write(row))
    if plan.subtotals:
        found["subtotals_data"] = {
            str(len(names)): [
                {**json.loads(text), "$$$__grouping__$$$": list(names)}
                for text in map(_detail_writer(smaller, options), _rows(smaller))
            ]
            for names, smaller in plan.subtotals
        }
        found["subtotal_sets"] = [list(names) for names, _ in plan.subtotals]
    return found


def _fields(plan: Plan, category: str) -> list[Field]:
    return [column.field for column in plan.columns if column.category == category]


def _pivots(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "key": pivot.key,
            "is_total": pivot.is_total,
            "data": dict(pivot.data),
            "metadata": {name: {"value": value} for name, value in pivot.data.items()},
            "labels": {name: str(value) for name, value in pivot.data.items()},
            "sort_values": dict(pivot.data),
        }
        for pivot in plan.pivots
    ]


def _json_bi(plan: Plan, options: Options) -> Iterator[str]:
    metadata = {
        "big_query_metadata": None,
        "fields": {
            "dimensions": [brief_field_json(field) for field in _fields(plan, "dimension")],
            "measures": [brief_field_json(field) for field in _fields(plan, "measure")],
            "pivots": [brief_field_json(field) for field in plan.pivot_fields],
            "table_calculations": [
                brief_field_json(field) for field in _fields(plan, "table_calculation")
            ],
        },
        "pivots": _pivots(plan),
        "filters": {name: value for name, (_, value) in plan.applied_filters.items()},
        "filter_expression": plan.query.get("filter_expression"),
        "columns_truncated": False,
        "has_totals": plan.totals is not None,
        "has_subtotals": bool(plan.subtotals),
        "sql": plan.sql,
    }
    write = _detail_writer(plan, options)
    yield f'{{"metadata":{_ENCODER.encode(metadata)},"rows":['
    separator = ""
    try:
        for row in _rows(plan):
            yield separator + write(row)
            separator = ",\n"
    except QueryError as error:
        yield separator + _ENCODER.encode({"looker_error": f"SQL Error: {error}"})
    yield "]}"


def _separated(plan: Plan, options: Options, delimiter: str) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")

    def line(values: list[Any]) -> str:
        writer.writerow(values)
        text = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return text

    shown = _shown(plan, options)
    cells = [(column, index) for column in shown for index in column.cells]
    if plan.pivots:
        keys = [[pivot.key for pivot in plan.pivots] if c.pivoted else [""] for c in shown]
        yield line([key for group in keys for key in group])
    yield line([_label(plan, column, options) for column, _ in cells])
    try:
        for row in _rows(plan):
            values = [_plain(row[index], column.field) for column, index in cells]
            yield line(
                [
                    formatted(value, column.field)
                    if options.apply_formatting or isinstance(value, list)
                    else value
                    for value, (column, _) in zip(values, cells, strict=True)
                ]
            )
    except QueryError as error:
        yield f"SQL Error: {error}\n"
