"""What a dataset means: views, fields, explores and Looks, as LookML would say it.

What ``looks.yaml`` declares enters (through ``looks_yaml.py``), frozen values leave; nothing here
reads a file or a row.
Source: https://docs.cloud.google.com/looker/docs/lookml-project-overview
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_looker_segment.exceptions import PermanentError

Category = Literal["dimension", "measure", "filter", "parameter"]

TIMEFRAMES = {
    "raw": "date_raw",
    "time": "date_time",
    "minute": "date_minute",
    "hour": "date_hour",
    "date": "date_date",
    "week": "date_week",
    "month": "date_month",
    "quarter": "date_quarter",
    "year": "date_year",
    "day_of_week": "date_day_of_week",
    "day_of_month": "date_day_of_month",
    "hour_of_day": "date_hour_of_day",
    "month_num": "date_month_num",
    "month_name": "date_month_name",
}
NUMBER_TIMEFRAMES = frozenset({"day_of_month", "hour_of_day", "month_num"})
TEXT_TIMEFRAMES = frozenset({"day_of_week", "month_name"})
NUMBER_MEASURES = frozenset(
    {"count", "count_distinct", "sum", "sum_distinct", "average", "min", "max", "number"}
)
DATE_MEASURES = frozenset({"date", "time", "date_time"})


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a view.

    :param name: the full name, ``view.field``.
    :param kind: what ``type:`` says in LookML: ``string``, ``number``, ``yesno``, ``time``,
        ``tier`` for dimensions; ``count``, ``sum``, … for measures.
    :param sql: SQLite's expression, with ``${TABLE}`` and ``${view.field}`` not yet replaced.
    :param timeframe: which part of a point in time this is; empty when it is none.
    :param convert_tz: whether the query's timezone shifts the values; never for plain dates.
    """

    name: str
    category: Category
    kind: str
    sql: str = ""
    label_short: str = ""
    view_label: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    hidden: bool = False
    primary_key: bool = False
    value_format: str = ""
    value_format_name: str = ""
    timeframe: str = ""
    group: str = ""
    group_label: str = ""
    convert_tz: bool = True
    tiers: tuple[float, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    default_value: str = ""
    allowed_values: tuple[str, ...] = ()
    dynamic: bool = False

    @property
    def view(self) -> str:
        """The view that the field belongs to; empty for fields that live in one query only."""
        return self.name.partition(".")[0] if "." in self.name else ""

    @property
    def label(self) -> str:
        """The label with the view's before it, as Looker shows it by default."""
        return f"{self.view_label} {self.label_short}".strip()

    @property
    def type(self) -> str:
        """What Looker's API calls the field's type."""
        return TIMEFRAMES.get(self.timeframe, self.kind)

    @property
    def is_measure(self) -> bool:
        """Whether the field aggregates rows."""
        return self.category == "measure"

    @property
    def is_numeric(self) -> bool:
        """Whether Looker would right-align the field."""
        if self.is_measure:
            return self.kind in NUMBER_MEASURES
        return self.kind == "number" or self.timeframe in NUMBER_TIMEFRAMES

    @property
    def filter_kind(self) -> Literal["string", "number", "yesno", "date"]:
        """Which grammar of filter expressions the field's filters follow."""
        if self.is_numeric:
            return "number"
        if self.kind == "yesno":
            return "yesno"
        if self.timeframe and self.timeframe not in TEXT_TIMEFRAMES:
            return "date"
        if self.is_measure and self.kind in DATE_MEASURES:
            return "date"
        return "string"


@dataclass(frozen=True, slots=True)
class View:
    """A table with names for its columns."""

    name: str
    label: str
    table: str
    fields: Mapping[str, Field]

    @property
    def primary_key(self) -> Field | None:
        """The dimension that is different on every row, where one is declared."""
        return next((entry for entry in self.fields.values() if entry.primary_key), None)


@dataclass(frozen=True, slots=True)
class Join:
    """One view joined to an explore, as plain SQL."""

    view: str
    sql_on: str
    type: str = "left_outer"
    relationship: str = "many_to_one"


@dataclass(frozen=True, slots=True)
class Explore:
    """What one query may select from: a view and those joined to it."""

    name: str
    label: str
    view: str
    joins: tuple[Join, ...] = ()
    description: str = ""
    hidden: bool = False
    always_filter: Mapping[str, str] = field(default_factory=dict)
    conditionally_filter: Mapping[str, str] = field(default_factory=dict)
    conditionally_unless: tuple[str, ...] = ()

    @property
    def views(self) -> tuple[str, ...]:
        """The views in the order in which they are joined."""
        return (self.view, *(join.view for join in self.joins))


@dataclass(frozen=True, slots=True)
class Look:
    """A saved Look.

    :param query: the keys of Looker's ``WriteQuery``.
    """

    id: str
    title: str
    query: Mapping[str, Any]
    description: str = ""
    folder: str = "Shared"
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """Everything a ``looks.yaml`` declares, except where the rows come from.

    :param timezone: IANA name; the timezone of queries that name none.
    :param database_timezone: IANA name; the timezone of the stored points in time.
    :param week_start_day: 0 for Monday … 6 for Sunday.
    :param fiscal_month_offset: months by which the fiscal year starts after January.
    """

    name: str
    label: str
    views: Mapping[str, View]
    explores: Mapping[str, Explore]
    looks: Mapping[str, Look]
    timezone: str = "UTC"
    database_timezone: str = "UTC"
    week_start_day: int = 0
    fiscal_month_offset: int = 0
    case_sensitive: bool = True

    def explore_fields(self, explore: Explore) -> dict[str, Field]:
        """Return every field of an explore, by full name."""
        return {
            entry.name: entry
            for view in explore.views
            for entry in self.views[view].fields.values()
        }


def check_model(model: Model) -> None:
    """Refuse a model whose parts name parts that are not there.

    :raises PermanentError: naming the first such reference.
    """
    for explore in model.explores.values():
        for view in explore.views:
            if view not in model.views:
                raise PermanentError(
                    f"looks.yaml, explore `{explore.name}`:",
                    should="join views that the file declares",
                    but=f"there is no view `{view}`",
                    do=f"The views are {', '.join(model.views)}.",
                )
    for look in model.looks.values():
        if look.query["view"] not in model.explores:
            raise PermanentError(
                f"looks.yaml, Look {look.id}:",
                should="name an explore of the file",
                but=f"there is no explore `{look.query['view']}`",
                do=f"The explores are {', '.join(model.explores)}.",
            )
