"""The SQL of one explore: its fields, its filters, and the joins that they need.

Fields and filter expressions enter, SQL leaves; what is joined is only what was asked for, as in
Looker, because a needless join would multiply rows.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.calculations import to_sql
from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.dynamic_fields import CustomDimension
from airflow_provider_looker_segment.sandbox.filters import Clock, condition, quote
from airflow_provider_looker_segment.sandbox.model import Explore, Field, View

_REFERENCE: Final = re.compile(r"\$\{\s*([\w.]+)\s*\}")
_PARAMETER: Final = re.compile(r"\{%\s*parameter\s+([\w.]+)\s*%\}")
_JOINS: Final = {"left_outer": "LEFT JOIN", "inner": "JOIN", "cross": "CROSS JOIN"}
_WEEKDAY_NAMES: Final = (
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
)
_MONTH_NAMES: Final = tuple(calendar.month_name)[1:]
_DEEPEST_REFERENCE: Final = 20


class FieldSql:
    """SQL for the fields of one explore in one query.

    :param fields: the explore's fields and the query's own, by name.
    :param parameters: filter values of LookML parameters, by full name.
    """

    def __init__(
        self,
        dataset: Dataset,
        explore: Explore,
        fields: Mapping[str, Field],
        clock: Clock,
        parameters: Mapping[str, str],
    ) -> None:
        self._dataset = dataset
        self._explore = explore
        self._fields = fields
        self._clock = clock
        self._parameters = parameters
        self._joins = {join.view: join for join in explore.joins}
        self._used: dict[str, None] = {explore.view: None}

    def find(self, name: str) -> Field:
        """Return a field of the explore.

        :raises PermanentError: when there is none of that name.
        """
        if name not in self._fields:
            raise PermanentError(
                f"A query of explore `{self._explore.name}`",
                should="name fields of the explore",
                but=f'Looker says: Unknown or inaccessible field "{name}" referenced',
                do="Take it out, or correct its name.",
            )
        return self._fields[name]

    def selected(self, field: Field) -> str:
        """Return the SQL of a field as its values leave Looker."""
        if field.is_measure:
            return self._measure(field)
        base = self._base(field)
        if field.timeframe:
            return self._timeframe(field, base)
        if field.kind == "yesno":
            return f"CASE WHEN {base} THEN 'Yes' ELSE 'No' END"
        if field.kind == "number":
            return _number(base)
        if field.kind == "tier":
            return _tier(_number(base), field.tiers)
        return f"CAST({base} AS TEXT)"

    def condition(self, field: Field, expression: str) -> str:
        """Return the SQL condition of one entry of a query's ``filters``.

        :raises PermanentError: when the expression is not understood.
        """
        kind = field.filter_kind
        sql = self._base(field) if kind in ("date", "yesno") else self.selected(field)
        if field.is_measure:
            sql = self._measure(field)
        return condition(
            kind,
            sql,
            expression,
            self._clock,
            convert_tz=field.convert_tz and not field.is_measure,
            case_sensitive=self._dataset.model.case_sensitive,
        )

    def expression(self, text: str) -> str:
        """Return the SQL of a custom dimension's or filter's expression."""
        return to_sql(text, lambda name: self._operand(self.find(name)))

    def source(self) -> str:
        """Return the FROM clause with the joins that the fields asked for so far need."""
        conditions: dict[str, str] = {}
        while missing := [view for view in self._used if view not in conditions]:
            for view in missing:
                join = self._joins.get(view)
                conditions[view] = self._resolve(join.sql_on, self._view(view), 0) if join else ""
        clause = f"FROM {self._table(self._explore.view)}"
        for join in self._explore.joins:
            if join.view in conditions:
                on = conditions[join.view]
                clause += f" {_JOINS.get(join.type, 'LEFT JOIN')} {self._table(join.view)} ON {on}"
        return clause

    def has_one_row_each(self, fields: list[Field]) -> bool:
        """Whether these dimensions are different on every row, so that nothing is to be grouped."""
        key = self._view(self._explore.view).primary_key
        return len(self._used) == 1 and key is not None and key in fields

    def _view(self, name: str) -> View:
        return self._dataset.model.views[name]

    def _table(self, view: str) -> str:
        return f'"{self._view(view).table}" AS "{view}"'

    def _base(self, field: Field) -> str:
        if isinstance(field, CustomDimension):
            return f"({self.expression(field.expression)})"
        return f"({self._resolve(field.sql, self._owner(field), 0)})"

    def _owner(self, field: Field) -> View:
        return self._view(field.view if field.view in self._explore.views else self._explore.view)

    def _operand(self, field: Field) -> str:
        return self._base(field) if field.kind == "yesno" else self.selected(field)

    def _resolve(self, sql: str, view: View, depth: int) -> str:
        if depth > _DEEPEST_REFERENCE:
            raise PermanentError(
                f"looks.yaml, view `{view.name}`:",
                should="refer to fields without a circle",
                but="some fields refer to each other",
                do="Break the circle.",
            )

        def substitute(match: re.Match[str]) -> str:
            name = match[1]
            if name == "TABLE":
                self._used[view.name] = None
                return f'"{view.name}"'
            field = self.find(name if "." in name else f"{view.name}.{name}")
            if field.timeframe and field.timeframe != "raw":
                return self.selected(field)
            if field.is_measure:
                return self._measure(field)
            return f"({self._resolve(field.sql, self._owner(field), depth + 1)})"

        def parameter(match: re.Match[str]) -> str:
            name = match[1] if "." in match[1] else f"{view.name}.{match[1]}"
            return quote(self._parameters.get(name, self.find(name).default_value))

        return _REFERENCE.sub(substitute, _PARAMETER.sub(parameter, sql))

    def _measure(self, field: Field) -> str:
        tests = [self.condition(self.find(n), value) for n, value in field.filters.items()]
        test = " AND ".join(tests)
        if field.kind == "count":
            return self._count(field, test)
        base = self._base(field)
        if field.kind in ("sum", "sum_distinct", "average", "min", "max"):
            base = _number(base)
        if test:
            base = f"CASE WHEN {test} THEN {base} END"
        key = self._owner(field).primary_key
        if self._joins and key is not None and field.kind in ("sum", "average"):
            return f"looker_{field.kind}({self._base(key)}, {base})"
        aggregates = {
            "count_distinct": f"COUNT(DISTINCT {base})",
            "sum": f"COALESCE(SUM({base}), 0)",
            "sum_distinct": f"COALESCE(SUM(DISTINCT {base}), 0)",
            "average": f"AVG({base})",
            "min": f"MIN({base})",
            "max": f"MAX({base})",
            "list": f"json_group_array(DISTINCT {base}) FILTER (WHERE {base} IS NOT NULL)",
        }
        return aggregates.get(field.kind, base)

    def _count(self, field: Field, test: str) -> str:
        view = self._owner(field)
        self._used[view.name] = None
        key = view.primary_key
        if key is not None:
            counted = self._base(key)
        elif self._dataset.has_row_ids(view.table):
            counted = f'"{view.name}".rowid'
        else:
            return f"SUM({test or '1'})"
        if not test and view.name == self._explore.view and not self._joins:
            return "COUNT(*)"
        return f"COUNT(DISTINCT {f'CASE WHEN {test} THEN {counted} END' if test else counted})"

    def _timeframe(self, field: Field, base: str) -> str:
        zone = self._clock.timezone if field.convert_tz else self._clock.database_timezone
        local = f"looker_local({base}, {quote(zone)})"
        monday_first = (self._clock.week_start_day + 1) % 7
        month = f"CAST(substr({local}, 6, 2) AS INTEGER)"
        return {
            "raw": local,
            "time": local,
            "minute": f"substr({local}, 1, 16)",
            "hour": f"substr({local}, 1, 13)",
            "date": f"substr({local}, 1, 10)",
            "week": f"date({local}, '-6 days', 'weekday {monday_first}')",
            "month": f"substr({local}, 1, 7)",
            "quarter": f"substr({local}, 1, 4) || '-Q' || (({month} + 2) / 3)",
            "year": f"CAST(substr({local}, 1, 4) AS INTEGER)",
            "day_of_week": _named(f"CAST(strftime('%w', {local}) AS INTEGER)", _WEEKDAY_NAMES, 0),
            "day_of_month": f"CAST(substr({local}, 9, 2) AS INTEGER)",
            "hour_of_day": f"CAST(substr({local}, 12, 2) AS INTEGER)",
            "month_num": month,
            "month_name": _named(month, _MONTH_NAMES, 1),
        }[field.timeframe]


def _number(sql: str) -> str:
    return f"CASE typeof({sql}) WHEN 'text' THEN looker_number({sql}) ELSE {sql} END"


def _named(sql: str, names: Sequence[str], first: int) -> str:
    whens = " ".join(f"WHEN {index} THEN '{name}'" for index, name in enumerate(names, first))
    return f"CASE {sql} {whens} END"


def _tier(sql: str, tiers: tuple[float, ...]) -> str:
    """Name the tiers as Looker's ``style: integer`` does."""
    whens = [
        f"WHEN {sql} IS NULL THEN 'Undefined'",
        f"WHEN {sql} < {tiers[0]} THEN 'Below {tiers[0]}'",
    ]
    for low, high in pairwise(tiers):
        whens.append(f"WHEN {sql} < {high} THEN '{low} to {high - 1}'")
    return f"CASE {' '.join(whens)} ELSE '{tiers[-1]} or Above' END"
