"""Tests of the calendar arithmetic below the date filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.calendars import (
    UNITS,
    WEEKDAYS,
    Calendar,
    Clock,
    InexactError,
)

BERLIN = ZoneInfo("Europe/Berlin")
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def _clock(moment: datetime, zone: ZoneInfo = BERLIN, calendar: Calendar | None = None) -> Clock:
    return Clock(moment.astimezone(UTC), zone, calendar or Calendar())


@given(
    moment=MOMENTS,
    unit=st.sampled_from(UNITS),
    calendar=st.builds(Calendar, st.sampled_from(WEEKDAYS), st.integers(-15, 15)),
)
def test_current_period_contains_now(moment: datetime, unit: str, calendar: Calendar) -> None:
    """The current period of every unit contains the last second before the moment."""
    clock = _clock(moment.replace(microsecond=0), calendar=calendar)

    start, end = clock.begin(unit).astimezone(UTC), clock.begin(unit, 1).astimezone(UTC)

    assert start <= clock.now.astimezone(UTC) < end


@given(moment=MOMENTS, offset=st.integers(-60, 60))
def test_fiscal_years_repeat_by_twelve_months(moment: datetime, offset: int) -> None:
    """Fiscal offsets that differ by whole years have the same borders."""
    moment = moment.replace(microsecond=0)

    starts = {
        _clock(moment, calendar=Calendar(fiscal_month_offset=offset + years)).begin("fiscal year")
        for years in (-12, 0, 12)
    }

    assert len(starts) == 1


@given(moment=MOMENTS, name=st.sampled_from(WEEKDAYS))
def test_weekday_is_within_a_week(moment: datetime, name: str) -> None:
    """A weekday is the latest day of its name: today, or one of the six days before."""
    clock = _clock(moment.replace(microsecond=0))

    day = clock.weekday(name)

    assert WEEKDAYS[day.weekday()] == name
    assert timedelta(0) <= clock.begin("day") - day < timedelta(days=7)


def test_shift_clamps_to_the_month() -> None:
    """A month after the 31st is the last day that the next month has."""
    clock = _clock(datetime(2020, 2, 1, tzinfo=UTC))

    assert clock.shift(datetime(2020, 1, 31, tzinfo=BERLIN), 1, "month").day == 29


def test_shift_by_hours_is_real_time() -> None:
    """An hour after 01:30 is 03:30 in the night in which the clocks go forward."""
    clock = _clock(datetime(2019, 4, 1, tzinfo=UTC))

    later = clock.shift(datetime(2019, 3, 31, 1, 30, tzinfo=BERLIN), 1, "hour")

    assert later.isoformat() == "2019-03-31T03:30:00+02:00"


def test_text_of_a_midnight_is_a_date() -> None:
    """A midnight is written as a date, any other time with its clock time."""
    clock = _clock(datetime(2019, 4, 1, tzinfo=UTC))

    assert clock.text(datetime(2019, 3, 1, tzinfo=BERLIN)) == "2019-03-01"
    assert clock.text(datetime(2019, 3, 1, 0, 0, 1, tzinfo=BERLIN)) == "2019-03-01 00:00:01"


def test_gap_before_its_own_start_is_refused() -> None:
    """Only the first wall time of a gap stands for the first instant after it."""
    clock = _clock(datetime(2019, 4, 1, tzinfo=UTC))

    assert clock.text(datetime(2019, 3, 31, 2, 0, tzinfo=BERLIN)) == "2019-03-31 03:00:00"
    with pytest.raises(InexactError, match="is skipped in Europe/Berlin"):
        clock.text(datetime(2019, 3, 31, 2, 30, tzinfo=BERLIN))


@pytest.mark.parametrize("fold", [0, 1])
def test_doubled_time_is_refused(fold: int) -> None:
    """A wall time that comes twice is refused, whichever of the two is meant."""
    clock = _clock(datetime(2019, 11, 1, tzinfo=UTC))

    with pytest.raises(InexactError, match="comes twice in Europe/Berlin"):
        clock.text(datetime(2019, 10, 27, 2, 30, tzinfo=BERLIN, fold=fold))


def test_spelled_out_ends_keep_their_time() -> None:
    """A wall time that the filter itself spells out is not judged: Looker reads it as ever."""
    clock = _clock(datetime(2019, 11, 1, tzinfo=UTC))

    text = clock.between(datetime(2019, 10, 27, 2, 30), clock.end)  # noqa: DTZ001

    assert text == "2019-10-27 02:30:00 to 2019-11-01 01:00:00"


def test_edge_of_the_calendar() -> None:
    """A period that ends beyond year 9999, in any timezone, is refused."""
    west = ZoneInfo("America/New_York")
    clock = _clock(datetime(2019, 1, 1, tzinfo=UTC), zone=west)

    with pytest.raises(InexactError, match="outside the years 1 to 9999"):
        clock.text(datetime(9999, 12, 31, 23, tzinfo=west))
