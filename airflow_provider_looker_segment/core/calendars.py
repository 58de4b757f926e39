"""Calendar arithmetic as of a moment: days, weeks and fiscal years on the wall clock of a timezone.

A moment, a timezone and a field's calendar enter; beginnings of periods and their text leave.
A wall-clock text that would name no instant, or two, is never written: :class:`InexactError`.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
"""The days a week may start on, in the order of :meth:`datetime.datetime.weekday`."""

_CLOCK_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3, "fiscal quarter": 3, "year": 12, "fiscal year": 12}

UNITS = (*_CLOCK_UNITS, *_DAYS, *_MONTHS)
"""Looker's units of time, in the singular."""


class InexactError(Exception):
    """A period has no exact text; the argument says why, and the caller names the filter."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What Looker says of a date field's calendar.

    :param week_start_day: the English name of the day on which weeks start.
    :param fiscal_month_offset: months from January to the start of the fiscal year; any integer.

    Source: https://cloud.google.com/looker/docs/reference/param-model-week-start-day and
    https://cloud.google.com/looker/docs/reference/param-model-fiscal-month-offset
    """

    week_start_day: str = "monday"
    fiscal_month_offset: int = 0


@dataclass(frozen=True, slots=True)
class Clock:
    """The present of one run, on the wall clock of a query's timezone.

    Points are aware datetimes in ``zone``. A point may carry a nominal wall time that the zone
    skips (midnight on a day that starts at 01:00), until :meth:`text` settles it.

    :param moment: the end of the run's window, exclusive, in UTC, to the whole second.
    :param zone: the query's timezone.
    :param calendar: the calendar of the filtered field.
    """

    moment: datetime
    zone: ZoneInfo
    calendar: Calendar

    @property
    def end(self) -> datetime:
        """The moment on the wall clock."""
        return self.moment.astimezone(self.zone)

    @property
    def now(self) -> datetime:
        """The last whole second before the moment, which itself belongs to the next window."""
        return (self.moment - timedelta(seconds=1)).astimezone(self.zone)

    def begin(self, unit: str, offset: int = 0) -> datetime:
        """Find where the current period begins, or the one ``offset`` periods from it.

        :param unit: one of :data:`UNITS`.
        :param offset: periods after the current one; negative for earlier ones.
        :raises InexactError: when the date is outside the calendar, or the clocks change within
            the current hour.
        """
        return self.shift(self._current(unit), offset, unit)

    def weekday(self, name: str) -> datetime:
        """Find the latest day of this name, today included."""
        return self.begin("day", -((self.now.weekday() - WEEKDAYS.index(name)) % 7))

    def shift(self, point: datetime, count: int, unit: str) -> datetime:
        """Move a point by ``count`` units: real time up to hours, wall-clock time from days on.

        A day that the target month does not have becomes the month's last day.

        :raises InexactError: when the result is outside the calendar.
        """
        try:
            if unit in _CLOCK_UNITS:
                moved = point.astimezone(UTC) + count * _CLOCK_UNITS[unit]
                return moved.astimezone(self.zone)
            if unit in _DAYS:
                return (point + timedelta(days=count * _DAYS[unit])).replace(fold=0)
            months = point.year * 12 + point.month - 1 + count * _MONTHS[unit]
            year, month = months // 12, months % 12 + 1
            day = min(point.day, monthrange(year, month)[1])
            return point.replace(year=year, month=month, day=day, fold=0)
        except (ValueError, OverflowError) as error:
            raise InexactError("it reaches outside the years 1 to 9999") from error

    def span(self, start: datetime, count: int, unit: str, *, counted_in: str) -> str:
        """Write the ``count`` units from ``start`` on, but not past a present they count back to.

        :param counted_in: the unit that led to ``start``; a span that contains the present and
            ends no later than the current period of this unit ends at the moment.
        :return: ``START to END``, end exclusive.
        """
        end = self.shift(start, count, unit)
        present = self.begin(counted_in, 1)
        if _instant(start) < self.moment < _instant(end) <= _instant(present):
            end = self.end
        return self.between(start, end)

    def between(self, start: datetime, end: datetime) -> str:
        """Write the range from ``start``, inclusive, to ``end``, exclusive.

        :param start: a point, or the naive wall time that the filter itself spells out.
        :param end: likewise.
        :raises InexactError: when the range is turned around, or an end has no exact text.
        """
        walls = self._settled(start), self._settled(end)
        if walls[0] > walls[1]:
            raise InexactError(f"as of this moment it would start after its end ({walls[1]})")
        first, last = _texts(*walls)
        return f"{first} to {last}"

    def text(self, point: datetime) -> str:
        """Write one point, as a date if it is a midnight and else with its time.

        :raises InexactError: when the point has no exact text.
        """
        return _texts(self._settled(point))[0]

    def _current(self, unit: str) -> datetime:
        if unit in _CLOCK_UNITS:
            return self._current_clock(unit)
        today = self.now.replace(hour=0, minute=0, second=0, fold=0)
        if unit == "day":
            return today
        if unit == "week":
            return self.shift(today, -((today.weekday() - self._week_start()) % 7), "day")
        months = today.year * 12 + today.month - 1
        offset = self.calendar.fiscal_month_offset if unit.startswith("fiscal") else 0
        return self.shift(today.replace(day=1), -((months - offset) % _MONTHS[unit]), "month")

    def _current_clock(self, unit: str) -> datetime:
        now = self.now
        passed = timedelta(
            minutes=now.minute if unit == "hour" else 0,
            seconds=now.second if unit != "second" else 0,
        )
        start = _instant(now) - passed
        # Clocks that change by half an hour leave an hour on the wall that is no hour of time.
        if start.astimezone(self.zone).replace(tzinfo=None) != now.replace(tzinfo=None) - passed:
            raise InexactError(f"the clocks of {self.zone.key} change within the current {unit}")
        return start.astimezone(self.zone)

    def _week_start(self) -> int:
        name = self.calendar.week_start_day.lower()
        if name not in WEEKDAYS:
            raise InexactError(f"the field's weeks start on `{name}`, which is no day of the week")
        return WEEKDAYS.index(name)

    def _settled(self, point: datetime) -> datetime:
        """Turn a point into the wall time that Looker can only read as this instant."""
        wall = point.replace(tzinfo=None)
        if point.tzinfo is None:
            return wall
        midnight = point.replace(hour=0, minute=0, second=0, fold=0)
        if self._begins_gap(midnight) and _instant(midnight) == _instant(point):
            # Both name the same instant, but only midnight tells days without a time apart.
            return midnight.replace(tzinfo=None)
        if self._is_skipped(point):
            if not self._begins_gap(point):
                raise InexactError(
                    f"{wall} is skipped in {self.zone.key}, when the clocks go forward"
                )
            return self._existing(point)
        if point.utcoffset() != point.replace(fold=1 - point.fold).utcoffset():
            raise InexactError(
                f"{wall} comes twice in {self.zone.key}, when the clocks go back, and Looker's "
                "dates cannot tell which is meant"
            )
        return wall

    def _existing(self, point: datetime) -> datetime:
        return _instant(point).astimezone(self.zone).replace(tzinfo=None)

    def _is_skipped(self, point: datetime) -> bool:
        return self._existing(point) != point.replace(tzinfo=None)

    def _begins_gap(self, point: datetime) -> bool:
        """Tell whether a point is the first wall time that the clocks skip.

        The first instant after the gap stands for this wall time only.
        """
        return self._is_skipped(point) and not self._is_skipped(point - timedelta(seconds=1))


def _instant(point: datetime) -> datetime:
    try:
        return point.astimezone(UTC)
    except OverflowError as error:
        raise InexactError("it reaches outside the years 1 to 9999") from error


def _texts(*walls: datetime) -> tuple[str, ...]:
    if any((wall.hour, wall.minute, wall.second) != (0, 0, 0) for wall in walls):
        return tuple(wall.isoformat(" ") for wall in walls)
    return tuple(wall.date().isoformat() for wall in walls)
