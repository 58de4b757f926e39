"""Tests of date filters as of a moment; the table of cases is in ``tests/cases/as_of``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.calendars import UNITS, WEEKDAYS
from airflow_provider_looker_segment.core.filters import (
    Calendar,
    as_of,
    is_relative,
    now_functions,
)
from airflow_provider_looker_segment.exceptions import PermanentError

CASES = Path(__file__).parents[1] / "cases" / "as_of"
FIELD = "orders.created_date"


def _cases() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            expected = {
                **{text: (text, "") for text in group.get("unchanged", [])},
                **{text: (result, "") for text, result in group.get("becomes", {}).items()},
                **{text: ("", reason) for text, reason in group.get("refused", {}).items()},
            }
            for expression, (result, reason) in expected.items():
                yield pytest.param(
                    group, expression, result, reason, id=f"{path.stem}-{expression!r}"
                )


def _calendar(group: dict[str, Any]) -> Calendar:
    return Calendar(
        week_start_day=group.get("week_start_day", "monday"),
        fiscal_month_offset=group.get("fiscal_month_offset", 0),
    )


def _as_of(expression: str, moment: datetime, timezone: str = "UTC", **calendar: Any) -> str:
    return as_of(
        {FIELD: expression},
        calendars={FIELD: Calendar(**calendar)},
        moment=moment,
        timezone=timezone,
    )[FIELD]


@pytest.mark.parametrize(("group", "expression", "result", "reason"), list(_cases()))
def test_table(group: dict[str, Any], expression: str, result: str, reason: str) -> None:
    """Every case of the table is rewritten as it says, or refused for the reason it says."""
    arguments: dict[str, Any] = {
        "calendars": {FIELD: _calendar(group)},
        "moment": datetime.fromisoformat(group["moment"]),
        "timezone": group["timezone"],
    }

    if reason:
        with pytest.raises(PermanentError) as caught:
            as_of({FIELD: expression}, **arguments)
        assert reason in str(caught.value)
    else:
        assert as_of({FIELD: expression}, **arguments) == {FIELD: result}


def test_table_size() -> None:
    """The table keeps at least the 120 cases that Looker's grammar deserves."""
    assert sum(1 for _ in _cases()) >= 120


def test_documented_table() -> None:
    """The table of the documentation shows what really becomes of each example."""
    page = (Path(__file__).parents[2] / "docs" / "as_of.md").read_text(encoding="utf-8")
    examples = dict(re.findall(r"\| `([^`]+)` \| `([^`]+)` \|$", page, re.MULTILINE))

    assert len(examples) > 20
    assert examples == {text: _as_of(text, datetime(2019, 6, 1, tzinfo=UTC)) for text in examples}


def test_only_date_filters() -> None:
    """A filter without a calendar passes unchanged, even if its text looks like a date."""
    filters = {"users.note": "30 days", FIELD: "today", "users.state": "{{ x }}"}

    rewritten = as_of(
        filters,
        calendars={FIELD: Calendar(), "users.born_date": Calendar()},
        moment=datetime(2019, 6, 1, tzinfo=UTC),
        timezone="UTC",
    )

    assert rewritten == {**filters, FIELD: "2019-05-31 to 2019-06-01"}
    assert list(rewritten) == list(filters)


def test_error_names_everything() -> None:
    """A refusal names the Look, the field and the expression, and says what can be done."""
    with pytest.raises(PermanentError) as caught:
        as_of(
            {FIELD: "next 3 days"},
            calendars={FIELD: Calendar()},
            moment=datetime(2019, 6, 1, tzinfo=UTC),
            timezone="UTC",
            look="Look 42",
        )

    assert str(caught.value) == (
        "Look 42, filter `orders.created_date`: should mean exact dates as of the run's moment, "
        "but `next 3 days` does not: `next 3 days` is none of the date expressions that Looker "
        "documents a meaning for. Give the filter of this run with "
        "filters={'orders.created_date': '…'}, or say as_of=False to leave all dates to Looker."
    )


def test_moment_needs_a_timezone() -> None:
    """A moment without a timezone is refused, because the machine's own would decide."""
    with pytest.raises(PermanentError, match="should say its timezone"):
        _as_of("today", datetime(2019, 6, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", False),
        ("30 days", True),
        ("30 DAYS ago", True),
        ("2018, last  month", True),
        ("monday", True),
        ("last monday", True),
        ("before 3 days", True),
        ("{{ _user_attributes['x'] }}", True),
        ("2018", False),
        ("2018-01-01 for 3 days", False),
        ("2018-01-01 12:00 to 2019-01-01", False),
        ("NOT NULL", False),
        ("Oregon, Washington", False),
        ("thisbe,nowhere", False),
        (">=5 AND <30", False),
    ],
)
def test_is_relative(expression: str, *, expected: bool) -> None:
    """An expression is relative if another moment could change its dates."""
    assert is_relative(expression) is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", ()),
        ("diff_days(${users.created_date}, now()) < 7", ("now",)),
        ("NOW ( ) > ${a.now} AND Today() = now()", ("now", "today")),
        ("${users.now()} = 1", ()),
        ("\"now()\" = 'today()'", ()),
        (r"'it\'s now()' = ${a.b} OR now() < ${c.d}", ("now",)),
        (r'"\"" = ${a.b} OR now() < ${c.d}', ("now",)),
        ("# now() isn't used\n${a.b} = 1", ()),
        ("# isn't commented below\nnow() > ${a.b}", ("now",)),
        ("snow() = nowadays() + now", ()),
        ("matches_filter(${a.created_date}, `30 days`)", ("matches_filter",)),
        ("matches_filter(${a.created_date}, `after last monday`)", ("matches_filter",)),
        ("matches_filter(${a.created_date}, `2018`)", ()),
        ("matches_filter(${a.state}, `Oregon,%now()%`)", ("matches_filter",)),
        ("matches_filter(${a.state}, ``) AND now() > ${a.b}", ("now",)),
        ("matches_filter(${a.state}, `O'Neil`) AND now() > ${a.b}", ("now",)),
    ],
)
def test_now_functions(expression: str, expected: tuple[str, ...]) -> None:
    """Only what is called outside strings, fields and comments depends on the present."""
    assert now_functions(expression) == expected


COUNTS = st.integers(0, 400)
UNIT_NAMES = st.sampled_from([name for unit in UNITS for name in (unit, f"{unit}s", unit.upper())])
LENGTHS = st.builds("{} {}".format, COUNTS, UNIT_NAMES)
POINTS = st.one_of(
    st.sampled_from(["now", "today", "Yesterday", "tomorrow", *WEEKDAYS]),
    st.builds("{} {}".format, st.sampled_from(["this", "last", "NEXT"]), st.sampled_from(UNITS)),
    st.builds("{} {}".format, LENGTHS, st.sampled_from(["ago", "from now"])),
)
DATES = st.dates(date(1990, 1, 1), date(2060, 1, 1)).map(str)
PARTS = st.one_of(
    LENGTHS,
    LENGTHS.map("last {}".format),
    st.builds("{} {} {}".format, COUNTS, st.sampled_from(["complete", "full"]), UNIT_NAMES),
    POINTS,
    st.builds("{} for {}".format, POINTS, LENGTHS),
    st.builds("{} {}".format, st.sampled_from(["before", "after"]), POINTS | DATES),
    st.builds("{} to {}".format, POINTS | DATES, POINTS | DATES),
    st.builds("this {} to {}".format, st.sampled_from(UNITS), st.sampled_from(UNITS)),
    DATES,
)
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/Sao_Paulo",
        "America/Havana",
        "Pacific/Apia",
        "Pacific/Chatham",
        "Africa/Casablanca",
    ]
)
DAYS = st.dates(date(2000, 1, 1), date(2035, 1, 1))
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
JUNK_WORDS = st.one_of(
    st.sampled_from([*UNITS, *WEEKDAYS, "days", "today", "now", "ago", "last", "this", "next"]),
    st.sampled_from(["for", "to", "before", "after", "from", "complete", "NULL", "NOT", ",", "-"]),
    st.sampled_from(["3", "2018", "2018-02-31", "99999999999", "fy2018-q1", "{", "Ⅷ", "\u2003"]),
)
CALENDARS = st.builds(Calendar, st.sampled_from(WEEKDAYS), st.integers(-15, 15))


def _ends(text: str) -> tuple[datetime, datetime]:
    start, end = text.split(" to ")
    return datetime.fromisoformat(start), datetime.fromisoformat(end)


@given(parts=st.lists(PARTS, min_size=1, max_size=3), moment=MOMENTS, zone=ZONES, of=CALENDARS)
def test_result_is_absolute(parts: list[str], moment: datetime, zone: str, of: Calendar) -> None:
    """What is rewritten is never relative, is its own rewriting, and starts before it ends."""
    arguments: dict[str, Any] = {"calendars": {FIELD: of}, "moment": moment, "timezone": zone}

    try:
        rewritten = as_of({FIELD: ",".join(parts)}, **arguments)
    except PermanentError:
        assume(False)

    assert not is_relative(rewritten[FIELD])
    assert as_of(rewritten, **arguments) == rewritten
    for part, before in zip(rewritten[FIELD].split(","), parts, strict=True):
        if " to " in part and part != before:
            start, end = _ends(part)
            assert start < end or (start == end and (" to " in before or zone == "Pacific/Apia"))


@given(length=LENGTHS, complete=st.booleans(), moment=MOMENTS, zone=ZONES, of=CALENDARS)
def test_counted_back_ends_by_the_moment(
    length: str, moment: datetime, zone: str, of: Calendar, *, complete: bool
) -> None:
    """What is counted back ends at the moment, or before it if only complete periods count."""
    count, unit = length.split(" ", 1)
    expression = f"{count} complete {unit}" if complete else length

    try:
        text = as_of({FIELD: expression}, calendars={FIELD: of}, moment=moment, timezone=zone)
    except PermanentError:
        assume(False)

    end = _ends(text[FIELD])[1].replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    instant = moment.replace(microsecond=0)
    assert end <= instant if complete else end == instant


@given(count=st.integers(1, 1000), day=DAYS)
def test_days_move_with_the_moment(count: int, day: date) -> None:
    """A moment one day later moves both ends of a count of days by one day."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)

    start, end = _ends(_as_of(f"{count} days", moment))
    later = _ends(_as_of(f"{count} days", moment + timedelta(days=1)))

    assert later == (start + timedelta(days=1), end + timedelta(days=1))
    assert end - start == timedelta(days=count)


@given(day=DAYS, zone=ZONES)
def test_days_tile_time(day: date, zone: str) -> None:
    """Today as of one local midnight ends where today as of the next begins."""
    wall = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    assume(wall.astimezone(UTC).astimezone(wall.tzinfo).day == wall.day)

    try:
        first = _ends(_as_of("today", wall, zone))
        second = _ends(_as_of("today", wall + timedelta(days=1), zone))
    except PermanentError:
        assume(False)

    assert first[1] == second[0]


@given(day=DAYS, zone=ZONES)
@example(day=date(2018, 11, 3), zone="America/Sao_Paulo")
@example(day=date(2018, 11, 4), zone="America/Sao_Paulo")
@example(day=date(2011, 12, 29), zone="Pacific/Apia")
def test_days_are_written_as_plain_dates(day: date, zone: str) -> None:
    """As of the end of a day, `1 day` is that date alone, however its midnights are told."""
    midnights = [
        datetime(at.year, at.month, at.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for at in (day, day + timedelta(days=1))
    ]
    assume(midnights[0] < midnights[1])

    try:
        text = _as_of("1 day", midnights[1], zone)
    except PermanentError:
        assume(False)

    assert text == f"{day} to {day + timedelta(days=1)}"


@given(
    text=st.text() | st.lists(JUNK_WORDS).map(" ".join),
    moment=MOMENTS,
    zone=ZONES,
)
def test_junk(text: str, moment: datetime, zone: str) -> None:
    """Any text is refused, or left as it is, or has a meaning; nothing else ever happens."""
    try:
        rewritten = _as_of(text, moment, zone)
    except PermanentError:
        return

    assert rewritten == text or is_relative(text)
    assert not is_relative(rewritten)


@given(st.text())
def test_junk_functions(text: str) -> None:
    """Any text can be searched for functions and relative dates."""
    assert set(now_functions(text)) <= {"now", "today", "matches_filter"}
    assert is_relative(text) in {True, False}
