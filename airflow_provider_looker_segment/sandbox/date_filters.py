"""Looker's filter expressions for dates: text and a moment enter, spans of time leave.

An expression that is not understood raises; nothing is guessed and nothing is ignored.
Source: https://docs.cloud.google.com/looker/docs/filter-expressions#date_and_time
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from airflow_provider_looker_segment.exceptions import PermanentError

_WEEKDAYS: Final = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
_UNIT: Final = r"(second|minute|hour|day|week|month|quarter|year|fiscal quarter|fiscal year)s?"
_COUNT: Final = r"(\d+) " + _UNIT
_DATE: Final = re.compile(r"(\d{4})([-/])(\d\d)\2(\d\d)(?: (\d\d):(\d\d)(?::(\d\d))?)?")
_MONTHS: Final = {"month": 1, "quarter": 3, "fiscal quarter": 3, "year": 12, "fiscal year": 12}
_STEPS: Final = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` to just before ``end``, as wall-clock times; ``None`` is unbounded."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class Calendar:
    """What relative expressions are relative to.

    :param now: wall-clock time in the query's timezone, without one.
    :param week_start_day: 0 for Monday … 6 for Sunday.
    :param fiscal_month_offset: months by which the fiscal year starts after January.
    """

    now: datetime
    week_start_day: int = 0
    fiscal_month_offset: int = 0

    def floor(self, moment: datetime, unit: str) -> datetime:
        """Return the beginning of the unit of time that holds a moment."""
        if unit == "second":
            return moment.replace(microsecond=0)
        if unit == "minute":
            return moment.replace(second=0, microsecond=0)
        if unit == "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        if unit == "week":
            return day - timedelta(days=(day.weekday() - self.week_start_day) % 7)
        if unit in _MONTHS:
            offset = self.fiscal_month_offset if unit.startswith("fiscal") else 0
            return shift(day.replace(day=1), -((day.month - 1 - offset) % _MONTHS[unit]), "month")
        return day

    def unit(self, unit: str, away: int) -> Span:
        """Return the whole unit of time that lies so many units away from now."""
        start = shift(self.floor(self.now, unit), away, unit)
        return Span(start, shift(start, 1, unit))


def shift(moment: datetime, count: int, unit: str) -> datetime:
    """Move a moment by so many units; a day that a month lacks becomes the month's last."""
    if unit in _STEPS:
        return moment + count * _STEPS[unit]
    months = moment.year * 12 + moment.month - 1 + count * _MONTHS[unit]
    first = moment.replace(year=months // 12, month=months % 12 + 1, day=1)
    following = first.replace(year=(months + 1) // 12, month=(months + 1) % 12 + 1)
    return first.replace(day=min(moment.day, (following - timedelta(days=1)).day))


def read_span(expression: str, calendar: Calendar) -> Span:
    """Understand one term of a date filter.

    :param expression: without commas; case and surplus blanks do not matter.
    :raises PermanentError: when the term is not part of the grammar.
    """
    text = " ".join(expression.lower().split())
    try:
        span = _term(text, calendar)
    except (ValueError, OverflowError):
        span = None
    if span is None:
        raise PermanentError(
            "A date filter",
            should="be a filter expression of Looker's",
            but=f"`{expression.strip()}` is none",
            do="See https://docs.cloud.google.com/looker/docs/filter-expressions.",
        )
    return span


def _term(text: str, calendar: Calendar) -> Span | None:  # noqa: PLR0911 - one for each form
    if (match := re.fullmatch(rf"this {_UNIT} to {_UNIT}", text)) is not None:
        begin, end = (calendar.floor(calendar.now, unit) for unit in match.groups())
        return Span(begin, end)
    if (match := re.fullmatch(r"(before|after) (.+)", text)) is not None:
        point = _point(match[2], calendar) or _point(f"{match[2]} ago", calendar)
        if point is None:
            return None
        return Span(None, point.start) if match[1] == "before" else Span(point.start, None)
    if (match := re.fullmatch(r"(.+) to (.+)", text)) is not None:
        left, right = _absolute(match[1], calendar), _absolute(match[2], calendar)
        return None if left is None or right is None else Span(left.start, right.start)
    if (match := re.fullmatch(rf"(.+) for {_COUNT}", text)) is not None:
        point, count = _point(match[1], calendar), int(match[2])
        if point is None or point.start is None or count == 0:
            return None
        return Span(point.start, shift(point.start, count, match[3]))
    if (match := re.fullmatch(rf"(?:last )?{_COUNT}", text)) is not None and int(match[1]) > 0:
        current = calendar.unit(match[2], 0)
        return Span(calendar.unit(match[2], 1 - int(match[1])).start, current.end)
    if (match := re.fullmatch(r"(?:last )?(\d+) complete (.+)", text)) is not None:
        whole = re.fullmatch(_UNIT, match[2])
        if whole is None or int(match[1]) == 0:
            return None
        current = calendar.unit(whole[1], 0)
        return Span(calendar.unit(whole[1], -int(match[1])).start, current.start)
    return _point(text, calendar)


def _point(text: str, calendar: Calendar) -> Span | None:
    """Read what names one unit of time: a day, a month, ``3 weeks ago``, ``last year``."""
    if text == "now":
        return calendar.unit("second", 0)
    days = {"yesterday": -1, "today": 0, "tomorrow": 1}
    if text in days:
        return calendar.unit("day", days[text])
    if (match := re.fullmatch(rf"(?:(last|next) )?({'|'.join(_WEEKDAYS)})", text)) is not None:
        return calendar.unit("day", _days_to(match[2], match[1] or "", calendar))
    if (match := re.fullmatch(rf"(last|this|next) {_UNIT}", text)) is not None:
        return calendar.unit(match[2], {"last": -1, "this": 0, "next": 1}[match[1]])
    if (match := re.fullmatch(rf"{_COUNT} (ago|from now)", text)) is not None:
        return calendar.unit(match[2], int(match[1]) * (-1 if match[3] == "ago" else 1))
    return _absolute(text, calendar)


def _days_to(weekday: str, which: str, calendar: Calendar) -> int:
    ahead = (_WEEKDAYS.index(weekday) - calendar.now.weekday()) % 7
    if which == "next":
        return ahead or 7
    if which == "last":
        return ahead - 7
    return ahead - 7 if ahead else 0


def _absolute(text: str, calendar: Calendar) -> Span | None:
    """Read what names one unit of time by its numbers."""
    if (match := _DATE.fullmatch(text)) is not None:
        year, month, day, hour, minute, second = (
            int(match[group] or 0) for group in (1, 3, 4, 5, 6, 7)
        )
        unit = "second" if match[7] else "minute" if match[5] else "day"
        start = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
    elif (match := re.fullmatch(r"(\d{4})(?:[-/](\d\d))?", text)) is not None:
        unit = "month" if match[2] else "year"
        start = datetime(int(match[1]), int(match[2] or 1), 1)  # noqa: DTZ001
    elif (match := re.fullmatch(r"(fy)?(\d{4})(?:[-/]q([1-4]))?", text)) is not None:
        unit = "quarter" if match[3] else "year"
        start = datetime(int(match[2]), 3 * int(match[3] or 1) - 2, 1)  # noqa: DTZ001
        start = shift(start, calendar.fiscal_month_offset if match[1] else 0, "month")
    else:
        return None
    return Span(start, shift(start, 1, unit))
