"""Read ``looks.yaml``: YAML enters, a :class:`~.model.Model` and the tables to load leave.

Everything may be written short (a field as its column's name) or long (as in LookML); a key that
means nothing here is refused with the ones that do, never ignored.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.model import (
    TIMEFRAMES,
    Category,
    Explore,
    Field,
    Join,
    Look,
    Model,
    View,
    check_model,
)

_TOP_KEYS = (
    "model label timezone database_timezone today week_start_day fiscal_month_offset"
    " case_sensitive tables views explores looks"
)
_TABLE_KEYS = "file files sql columns delimiter encoding"
_COLUMN_KEYS = "type format"
_VIEW_KEYS = "table label dimensions dimension_groups measures filters parameters"
_FIELD_KEYS = (
    "column sql type label view_label group_label description tags hidden primary_key value_format"
    " value_format_name timeframes datatype convert_tz tiers filters default_value allowed_values"
)
_EXPLORE_KEYS = "from view label description hidden joins always_filter conditionally_filter unless"
_JOIN_KEYS = "sql_on type relationship"
_LOOK_KEYS = "id title description folder deleted"
_QUERY_KEYS = (
    "explore view fields pivots fill_fields filters filter_expression sorts limit column_limit"
    " total row_total subtotals vis_config dynamic_fields query_timezone"
)
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday"
_GROUP_TIMEFRAMES = ("raw", "time", "date", "week", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Column:
    """How one CSV column is stored.

    :param type: ``text``, ``integer``, ``number``, ``date``, ``datetime``.
    :param format: for dates, in :func:`time.strptime`'s letters; ISO 8601 when empty.
    """

    type: str = "text"
    format: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Where the rows of one table come from: files, one below the other, or a SELECT."""

    name: str
    files: tuple[str, ...] = ()
    sql: str = ""
    columns: Mapping[str, Column] | None = None
    delimiter: str = ","
    encoding: str = "utf-8-sig"


@dataclass(frozen=True, slots=True)
class Declaration:
    """A whole ``looks.yaml``.

    :param today: the sandbox's idea of now; ``None`` is the real clock.
    """

    model: Model
    tables: Mapping[str, Table]
    today: dt.date | None


def read_looks_yaml(text: str) -> Declaration:
    """Understand a ``looks.yaml``.

    :param text: the file's content.
    :raises PermanentError: naming the place that is wrong, and what could stand there.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PermanentError(
            "looks.yaml:", should="be YAML", but=str(error).replace("\n", " "), do="Correct it."
        ) from error
    document = _mapping(document, _TOP_KEYS, "looks.yaml")
    tables = {
        str(name): _table(str(name), spec) for name, spec in _section(document, "tables").items()
    }
    views = {
        str(name): _view(str(name), spec, tables)
        for name, spec in _section(document, "views").items()
    }
    explores = {
        name: Explore(name=name, label=view.label, view=name) for name, view in views.items()
    } | {
        str(name): _explore(str(name), spec)
        for name, spec in _section(document, "explores").items()
    }
    name = str(document.get("model", "sandbox"))
    timezone = str(document.get("timezone", "UTC"))
    looks = [_look(entry, name) for entry in document.get("looks") or ()]
    model = Model(
        name=name,
        label=str(document.get("label", title(name))),
        views=views,
        explores=explores,
        looks={look.id: look for look in looks},
        timezone=timezone,
        database_timezone=str(document.get("database_timezone", "UTC")),
        week_start_day=_one_of(
            str(document.get("week_start_day", "monday")), _WEEKDAYS, "looks.yaml, week_start_day"
        ),
        fiscal_month_offset=int(document.get("fiscal_month_offset", 0)),
        case_sensitive=bool(document.get("case_sensitive", True)),
    )
    check_model(model)
    return Declaration(model=model, tables=tables, today=_today(document.get("today")))


def quoted(column: str) -> str:
    """Return a column's name as SQL has it.

    >>> print(quoted('12" record'))
    "12"" record"
    """
    return '"' + column.replace('"', '""') + '"'


def title(name: str) -> str:
    """Return a name as Looker shows it when nobody gave a label.

    >>> title("started_date"), title("id")
    ('Started Date', 'ID')
    """
    return " ".join("ID" if word == "id" else word.capitalize() for word in name.split("_"))


def _table(name: str, spec: Any) -> Table:
    where = f"looks.yaml, table `{name}`"
    if isinstance(spec, str):
        spec = {"file": spec}
    spec = _mapping(spec, _TABLE_KEYS, where)
    files = [spec["file"]] if "file" in spec else spec.get("files") or ()
    columns = {
        str(column): _column(options, f"{where}, column `{column}`")
        for column, options in (spec.get("columns") or {}).items()
    }
    if files and spec.get("sql"):
        raise PermanentError(
            f"{where}:",
            should="have either `file`, `files` or `sql`",
            but="has several of them",
            do="Name the CSV file, or give a SELECT.",
        )
    if not files and not spec.get("sql"):
        files = [f"{name}.csv"]
    return Table(
        name=name,
        files=tuple(str(file) for file in files),
        sql=str(spec.get("sql", "")),
        columns=columns,
        delimiter=str(spec.get("delimiter", ",")),
        encoding=str(spec.get("encoding", "utf-8-sig")),
    )


def _column(options: Any, where: str) -> Column:
    spec = _mapping({"type": options} if isinstance(options, str) else options, _COLUMN_KEYS, where)
    column = Column(type=str(spec.get("type", "text")), format=str(spec.get("format", "")))
    _one_of(column.type, "text integer number date datetime", f"{where}, type")
    return column


def _view(name: str, spec: Any, tables: Mapping[str, Table]) -> View:
    where = f"looks.yaml, view `{name}`"
    spec = _mapping(spec, _VIEW_KEYS, where)
    label = str(spec.get("label", title(name)))
    fields: dict[str, Field] = {}
    for section, category in (
        ("dimensions", "dimension"),
        ("measures", "measure"),
        ("filters", "filter"),
        ("parameters", "parameter"),
    ):
        for short, options in (spec.get(section) or {}).items():
            entry = read_field(f"{name}.{short}", options, category, label)  # type: ignore[arg-type]
            fields[entry.name] = entry
    for short, options in (spec.get("dimension_groups") or {}).items():
        for entry in _dimension_group(f"{name}.{short}", options, label):
            fields[entry.name] = entry
    table = str(spec.get("table", name))
    columns = tables[table].columns or {} if table in tables else {}
    dates = {"${TABLE}." + quoted(name) for name in columns if columns[name].type == "date"}
    fields = {
        key: replace(entry, convert_tz=False) if entry.sql in dates else entry
        for key, entry in fields.items()
    }
    return View(name=name, label=label, table=table, fields=fields)


def read_field(name: str, options: Any, category: Category, view_label: str) -> Field:
    """Read one field, written short (``id: CustomerKey``) or long.

    :param name: ``view.field``.
    :raises PermanentError: when a key means nothing, or a date column has no kind.
    """
    short = name.partition(".")[2] or name
    if isinstance(options, str):
        options = {"type": options} if category == "measure" else {"column": options}
    spec = _mapping(options, _FIELD_KEYS, f"looks.yaml, {category} `{name}`")
    kind = str(spec.get("type", "string" if category != "measure" else "count"))
    timeframe = ""
    if category in ("dimension", "filter") and kind in ("date", "date_time", "datetime", "time"):
        timeframe, kind = ("date" if kind == "date" else "time"), "time"
    sql = str(spec.get("sql", ""))
    if not sql and not (category == "measure" and kind == "count"):
        sql = "${TABLE}." + quoted(str(spec.get("column", short)))
    group_label = str(spec.get("group_label", ""))
    return Field(
        name=name,
        category=category,
        kind=kind,
        sql=sql,
        label_short=str(spec.get("label", title(short))),
        view_label=str(spec.get("view_label", view_label)),
        description=str(spec.get("description", "")),
        tags=tuple(spec.get("tags") or ()),
        hidden=bool(spec.get("hidden", False)),
        primary_key=bool(spec.get("primary_key", False)),
        value_format=str(spec.get("value_format", "")),
        value_format_name=str(spec.get("value_format_name", "")),
        timeframe=timeframe,
        group_label=group_label,
        convert_tz=spec.get("datatype") != "date" and spec.get("convert_tz") is not False,
        tiers=tuple(spec.get("tiers") or ()),
        filters={str(key): str(value) for key, value in (spec.get("filters") or {}).items()},
        default_value=str(spec.get("default_value", "")),
        allowed_values=tuple(str(value) for value in spec.get("allowed_values") or ()),
    )


def _dimension_group(name: str, options: Any, view_label: str) -> Iterable[Field]:
    if isinstance(options, str):
        options = {"column": options}
    where = f"looks.yaml, dimension group `{name}`"
    spec = dict(_mapping(options, _FIELD_KEYS, where))
    label = spec.get("label", title(name.partition(".")[2]))
    for timeframe in spec.pop("timeframes", _GROUP_TIMEFRAMES):
        _one_of(timeframe, " ".join(TIMEFRAMES), f"{where}, timeframe")
        column = spec.get("column", name.partition(".")[2])
        entry = read_field(
            f"{name}_{timeframe}",
            {**spec, "type": "time", "column": column, "label": f"{label} {title(timeframe)}"},
            "dimension",
            view_label,
        )
        yield replace(entry, timeframe=timeframe, group=name, group_label=f"{label} Date")


def _explore(name: str, spec: Any) -> Explore:
    where = f"looks.yaml, explore `{name}`"
    spec = _mapping(spec, _EXPLORE_KEYS, where)
    joins = []
    for view, options in (spec.get("joins") or {}).items():
        join = _mapping(options, _JOIN_KEYS, f"{where}, join `{view}`")
        joins.append(Join(view=str(view), **{key: str(value) for key, value in join.items()}))
    return Explore(
        name=name,
        label=str(spec.get("label", title(name))),
        view=str(spec.get("from", spec.get("view", name))),
        joins=tuple(joins),
        description=str(spec.get("description", "")),
        hidden=bool(spec.get("hidden", False)),
        always_filter=dict(spec.get("always_filter") or {}),
        conditionally_filter=dict(spec.get("conditionally_filter") or {}),
        conditionally_unless=tuple(spec.get("unless") or ()),
    )


def _look(spec: Any, model: str) -> Look:
    where = f"looks.yaml, Look {spec.get('id', '?') if isinstance(spec, dict) else '?'}"
    spec = _mapping(spec, f"{_LOOK_KEYS} {_QUERY_KEYS}", where)
    missing = [key for key in ("id", "fields") if not spec.get(key)]
    if missing or not (spec.get("explore") or spec.get("view")):
        raise PermanentError(
            f"{where}:",
            should="have `id`, `explore` and `fields`",
            but=f"lacks {', '.join(missing or ['explore'])}",
            do="Add what is missing.",
        )
    query = {key: spec[key] for key in _QUERY_KEYS.split() if key in spec and key != "explore"}
    query["model"], query["view"] = model, str(spec.get("explore", spec.get("view")))
    for key in ("limit", "column_limit"):
        if query.get(key) is not None:
            query[key] = str(query[key])
    if isinstance(query.get("dynamic_fields"), list):
        query["dynamic_fields"] = json.dumps(query["dynamic_fields"], ensure_ascii=False)
    query["filters"] = {key: str(value) for key, value in (query.get("filters") or {}).items()}
    return Look(
        id=str(spec["id"]),
        title=str(spec.get("title", f"Look {spec['id']}")),
        query=query,
        description=str(spec.get("description", "")),
        folder=str(spec.get("folder", "Shared")),
        deleted=bool(spec.get("deleted", False)),
    )


def _section(document: Mapping[str, Any], key: str) -> Mapping[Any, Any]:
    section = document.get(key) or {}
    if not isinstance(section, dict):
        raise PermanentError(
            f"looks.yaml, `{key}`:",
            should="map names to what they mean",
            but=f"is a {type(section).__name__}",
            do=f"Write `{key}:` and below it one indented `name:` per entry.",
        )
    return section


def _mapping(value: Any, allowed: str, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise PermanentError(
            f"{where}:", should="be a mapping", but=f"is a {type(value).__name__}", do="Correct it."
        )
    unknown = [str(key) for key in value if key not in allowed.split()]
    if unknown:
        raise PermanentError(
            f"{where}:",
            should="hold only keys that mean something here",
            but=f"holds `{unknown[0]}`",
            do=f"The keys are {', '.join(allowed.split())}.",
        )
    return value


def _one_of(value: str, allowed: str, where: str) -> int:
    values = allowed.split()
    if value not in values:
        raise PermanentError(
            f"{where}:",
            should="be a known one",
            but=f"`{value}` is not",
            do=f"Use one of {', '.join(values)}.",
        )
    return values.index(value)


def _today(value: Any) -> dt.date | None:
    if value is None or isinstance(value, dt.date):
        return value
    raise PermanentError(
        "looks.yaml, today:",
        should="be a date or a date with a time",
        but=f"is a {type(value).__name__}",
        do="Write `today: 2019-07-01` or `today: 2019-07-01 18:30:00`.",
    )


def read_looks_file(path: Path) -> Declaration:
    """Read a ``looks.yaml`` from disk.

    :raises PermanentError: when there is no such file, or its content is wrong.
    """
    if not path.is_file():
        raise PermanentError(
            f"{path.name}:",
            should="say what the CSV files beside it mean",
            but=f"is not in {path.parent}",
            do="Write one (docs/sandbox.md shows how), or name another file.",
        )
    return read_looks_yaml(path.read_text(encoding="utf-8"))
