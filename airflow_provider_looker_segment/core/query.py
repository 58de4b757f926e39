"""The query of one run: the Look's own, copied, with the run's filters, moment and row limit.

A Look and what the run asks for enter, the body of Looker's ``POST /queries`` leaves.
No saved Look is ever changed, and no relative date survives a run that stands for a moment.
Source: https://cloud.google.com/looker/docs/reference/looker-api/latest/methods/Query/create_query
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Literal

from airflow_provider_looker_segment.core import filters as date_filters
from airflow_provider_looker_segment.core.limits import SILENT_ROW_CAPS, UNCHOSEN_ROW_LIMITS
from airflow_provider_looker_segment.core.look import Look, dynamic_fields
from airflow_provider_looker_segment.exceptions import PermanentError

RowLimit = Literal["look", "all"] | int | None

COPIED_KEYS = (
    "model",
    "view",
    "fields",
    "pivots",
    "filters",
    "filter_expression",
    "sorts",
    "limit",
    "column_limit",
    "vis_config",
    "dynamic_fields",
    "query_timezone",
)
"""What a run's query takes from the Look's.

``client_id`` and ``filter_config`` would override the run's filters; filled dates, totals and
subtotals are rows that stand for nobody.
"""

_NOT_MOMENTS = frozenset(
    {
        "date_day_of_month",
        "date_day_of_week",
        "date_day_of_week_index",
        "date_day_of_year",
        "date_fiscal_month_num",
        "date_fiscal_quarter_of_year",
        "date_hour_of_day",
        "date_month_name",
        "date_month_num",
        "date_quarter_of_year",
        "date_time_of_day",
        "date_week_of_year",
    }
)


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What to ask Looker for.

    :param body: the query, as ``POST /queries`` takes it.
    :param row_limit: rows asked for; -1 asks for all.
    :param server_table_calcs: whether Looker must compute table calculations.
    :param notes: one sentence for each change against the saved Look.
    """

    body: Mapping[str, Any]
    row_limit: int
    server_table_calcs: bool
    notes: tuple[str, ...]

    def check_row_count(self, rows: int, *, look: str) -> None:
        """Refuse a result that Looker may have cut without saying so.

        :raises PermanentError: when more rows were asked for and as many came as Looker's caps.
        """
        asked_for_more = self.row_limit == -1 or self.row_limit > rows
        if asked_for_more and rows in SILENT_ROW_CAPS:
            raise PermanentError(
                f"{look}: the result",
                should="hold all rows that were asked for",
                but=f"it holds exactly {rows:,}, the number at which Looker stops without a word",
                do="Nothing was sent. Remove table calculations, totals or pivots that keep the "
                "result from streaming, or give the API user the permission "
                "`download_without_limit`; if the number is right, say row_limit="
                f"{rows}.",
            )


def run_query(
    look: Look,
    *,
    filters: Mapping[str, str] | None,
    as_of: datetime | None,
    row_limit: RowLimit,
) -> RunQuery:
    """Copy the Look's query for one run.

    :param filters: filter expressions by field name; each replaces the Look's own.
    :param as_of: the moment the run stands for; relative dates are anchored there.
        ``None`` leaves them to Looker.
    :param row_limit: ``None`` fetches everything unless somebody chose the saved limit,
        ``"look"`` keeps the saved limit, ``"all"`` fetches everything, a number that many rows.
    :raises PermanentError: when a filter names no field or cannot be anchored exactly, or the
        limit was chosen.
    """
    for name in filters or {}:
        _check_filter(look, name)
    body = {key: look.query.get(key) for key in COPIED_KEYS}
    given = filters or {}
    own = {name: str(value) for name, value in (body["filters"] or {}).items() if value is not None}
    merged = {**own, **given}
    # What a filter compares with is often somebody's data; dates are nobody's.
    notes = [f"filter {name}: '{date_filters.shown(value)}'" for name, value in given.items()]
    if as_of is not None:
        timezone = str(body["query_timezone"] or "UTC")
        anchored = _anchored(look, merged, as_of=as_of, timezone=timezone)
        body["dynamic_fields"] = _anchored_measures(look, as_of=as_of, timezone=timezone)
        changed = {name: value for name, value in anchored.items() if merged.get(name) != value}
        notes += [
            f"filter {name}: '{date_filters.shown(merged.get(name, ''))}' "
            f"is '{date_filters.shown(value)}'"
            for name, value in changed.items()
        ]
        if changed or body["dynamic_fields"] != look.query.get("dynamic_fields"):
            if not body["query_timezone"]:
                notes.append(f"query_timezone: '{timezone}', for the Look names none")
            body["query_timezone"] = timezone
        merged = anchored
    body["filters"] = merged
    limit = _row_limit(look, row_limit)
    body["limit"] = str(limit)
    return RunQuery(
        body={key: value for key, value in body.items() if value is not None},
        row_limit=limit,
        server_table_calcs=look.has_table_calculations,
        notes=tuple(notes),
    )


def _check_filter(look: Look, name: str) -> None:
    """Refuse a filter of the run's own that filters by nothing."""
    custom = {
        str(entry[kind])
        for entry in dynamic_fields(look.query)
        for kind in ("dimension", "measure")
        if entry.get(kind)
    }
    known = sorted(look.fields.keys() | custom)
    if name in known:
        return
    near = get_close_matches(name, known, n=1, cutoff=0.01)
    raise PermanentError(
        f"{look.where}, filter `{name}` of filters={{...}}:",
        should="name a field of the Look's explore",
        but="the explore has no such field, or the API user may not see it",
        do=f"Nothing was queried. The nearest is `{near[0]}`." if near else "Nothing was queried.",
    )


def _anchored(
    look: Look, filters: Mapping[str, str], *, as_of: datetime, timezone: str
) -> dict[str, str]:
    expressions = [look.query, *dynamic_fields(look.query)]
    custom = " ".join(str(entry.get("filter_expression") or "") for entry in expressions)
    functions = date_filters.now_functions(custom)
    if functions:
        raise PermanentError(
            f"{look.where}: its custom filter",
            should="mean the same at every moment",
            but=f"it uses {', '.join(functions)}",
            do="Use a date filter instead, or say as_of=False.",
        )
    always = {
        name: value
        for name, value in look.always_filter.items()
        if name not in filters and date_filters.is_relative(value)
    }
    return _rewritten(look, {**always, **filters}, as_of=as_of, timezone=timezone)


def _anchored_measures(look: Look, *, as_of: datetime, timezone: str) -> Any:
    """Anchor the filters that custom measures carry of their own."""
    entries = dynamic_fields(look.query)
    anchored = [
        {**entry, "filters": _rewritten(look, entry["filters"], as_of=as_of, timezone=timezone)}
        if isinstance(entry.get("filters"), dict)
        else entry
        for entry in entries
    ]
    return look.query.get("dynamic_fields") if anchored == entries else json.dumps(anchored)


def _rewritten(
    look: Look, filters: Mapping[str, str], *, as_of: datetime, timezone: str
) -> dict[str, str]:
    calendars = {}
    for name, expression in filters.items():
        if expression is None:
            continue
        entry = look.fields.get(name)
        if entry is None:
            if date_filters.is_relative(expression):
                raise PermanentError(
                    f"{look.where}, filter `{name}`:",
                    should="name a field of the Look's explore",
                    but="the explore has no such field, so its relative dates have no calendar",
                    do="Give this filter an absolute value with filters={...}, or say as_of=False.",
                )
            continue
        kind = str(entry.get("type") or "")
        if kind.startswith("date") and kind not in _NOT_MOMENTS:
            calendars[name] = date_filters.Calendar(
                week_start_day=str(entry.get("week_start_day") or "monday"),
                fiscal_month_offset=int(entry.get("fiscal_month_offset") or 0),
            )
    return date_filters.as_of(
        filters, calendars=calendars, moment=as_of, timezone=timezone, look=look.where
    )


def _row_limit(look: Look, asked: RowLimit) -> int:
    saved = look.query.get("limit")
    text = str(saved or "") or None
    if asked == "all":
        return -1
    if asked == "look":
        if text is not None and not text.isdecimal():
            raise PermanentError(
                f"{look.where}: its row limit",
                should="be a number",
                but="it is none",
                do="Save a limit in the Look, or give a number.",
            )
        return -1 if text is None else int(text)
    if asked is not None:
        return int(asked)
    if text in UNCHOSEN_ROW_LIMITS:
        return -1
    raise PermanentError(
        f"{look.where}: its row limit",
        should="be one that nobody chose (500, 5000 or none)",
        but=f"it is {text}, so the Look may mean a top {text} or may lose rows",
        do='Say row_limit="look" if that limit is meant, row_limit="all" for every row, '
        "or give a number.",
    )
