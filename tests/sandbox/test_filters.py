"""Rules of Looker's filter expressions, checked by what they let through."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.date_filters import Calendar, Span, read_span
from airflow_provider_looker_segment.sandbox.filters import Clock, condition

CASES = Path(__file__).parent.parent / "cases" / "looker_filters"
NOW = datetime(2018, 5, 18, 18, 30, 2)  # noqa: DTZ001 - a wall clock
CLOCK = Clock(NOW.replace(tzinfo=UTC))
NUMBERS = [None, 0, 1, 2, 2.5, *range(3, 21)]


def cases(name: str) -> dict[str, Any]:
    """Read one file of cases; the dates stay text."""
    loader = yaml.BaseLoader if name == "dates" else yaml.SafeLoader
    return yaml.load((CASES / f"{name}.yaml").read_text(encoding="utf-8"), loader)


def let_through(kind: Any, expression: str, values: list[Any], **options: Any) -> list[Any]:
    """Return the values that a filter lets through, in SQLite."""
    clock = options.pop("clock", CLOCK)
    test = condition(kind, "value", expression, clock, **options)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("looker_moment", 1, lambda value: None)
        connection.execute("PRAGMA case_sensitive_like = ON")
        connection.execute("CREATE TABLE rows (value)")
        connection.executemany("INSERT INTO rows VALUES (?)", [(value,) for value in values])
        return [value for (value,) in connection.execute(f"SELECT value FROM rows WHERE {test}")]


def moment(value: Any) -> datetime | None:
    """Read a bound of the case files."""
    return None if value == "~" else datetime.fromisoformat(value)


@pytest.mark.parametrize(("expression", "window"), cases("dates")["understood"].items())
def test_date_expression_is_a_window(expression: str, window: list[Any]) -> None:
    """Each form of the date grammar stands for exactly one window."""
    assert Span(*map(moment, window)) == read_span(expression, Calendar(NOW))


@pytest.mark.parametrize(
    ("kind", "expression"),
    [
        (kind, expression)
        for kind, name in (("date", "dates"), ("number", "numbers"), ("string", "strings"))
        for expression in cases(name)["refused"]
    ],
)
def test_what_is_not_understood_is_refused(kind: Any, expression: str) -> None:
    """An expression outside the grammar is an error that quotes it, never an ignored filter."""
    with pytest.raises(PermanentError) as caught:
        condition(kind, "value", expression, CLOCK)

    assert expression.strip(" ").split(",")[0] in str(caught.value)


@pytest.mark.parametrize(("expression", "expected"), cases("numbers")["understood"].items())
def test_number_expression(expression: str, expected: list[Any]) -> None:
    """Each form of the number grammar lets the documented numbers through."""
    assert expected == let_through("number", expression, NUMBERS)


@pytest.mark.parametrize(("expression", "expected"), cases("strings")["understood"].items())
def test_string_expression(expression: str, expected: list[Any]) -> None:
    """Each form of the string grammar lets the documented words through."""
    words = cases("strings")["words"]

    assert sorted(map(repr, expected)) == sorted(
        map(repr, let_through("string", expression, words))
    )


def test_strings_fold_case_where_the_model_says_so() -> None:
    """A model that is not case sensitive finds `Foo` for `foo`."""
    found = let_through("string", "foo", ["foo", "Foo", "bar"], case_sensitive=False)

    assert found == ["foo", "Foo"]


def test_blank_expression_means_any_value() -> None:
    """A blank filter lets everything through, null included."""
    assert let_through("string", "  ", ["a", None]) == ["a", None]


@pytest.mark.parametrize(
    ("expression", "expected"), [("Yes", [1]), ("no", [0, None]), ("TRUE", [1]), ("Yes,No", 3)]
)
def test_yesno_expression(expression: str, expected: Any) -> None:
    """Yes and no are complements: null counts as no."""
    found = let_through("yesno", expression, [1, 0, None])

    assert expected in (found, len(found))


def test_dates_are_understood_in_the_timezone_of_the_query() -> None:
    """`today` begins at the midnight of the query's timezone, stored in UTC."""
    clock = Clock(datetime(2018, 5, 18, 18, 30, tzinfo=UTC), "America/Los_Angeles")
    values = ["2018-05-18 06:59:59", "2018-05-18 07:00:00", "2018-05-19 06:59:59", None]

    assert values[1:3] == let_through("date", "today", values, clock=clock)


def test_unshifted_dates_ignore_the_timezone() -> None:
    """A column of plain dates is compared as it stands, whatever the query's timezone."""
    clock = Clock(datetime(2018, 5, 18, 18, 30, tzinfo=UTC), "America/Los_Angeles")
    values = ["2018-05-17", "2018-05-18", "2018-05-19"]

    assert let_through("date", "today", values, clock=clock, convert_tz=False) == ["2018-05-18"]


def test_a_skipped_midnight_is_the_start_of_its_day() -> None:
    """Where the clocks skip midnight, a date still stands for the first instant of its day."""
    clock = Clock(datetime(2024, 9, 9, tzinfo=UTC), "America/Santiago")
    values = ["2024-09-07 04:00:00", "2024-09-08 03:59:59", "2024-09-08 04:00:00"]
    dates = ["2024-09-07", "2024-09-08"]
    expression = "2024-09-07 to 2024-09-08"

    assert values[:2] == let_through("date", expression, values, clock=clock)
    assert dates[:1] == let_through("date", expression, dates, clock=clock, convert_tz=False)


def test_terms_of_a_date_list_are_alternatives() -> None:
    """A comma means or; `NOT NULL` beside other terms narrows them."""
    values = ["2018-05-11", "2018-05-17", "2018-05-18", None]

    assert let_through("date", "today, 7 days ago", values) == ["2018-05-11", "2018-05-18"]
    assert let_through("date", "NULL", values) == [None]
    assert values[:3] == let_through("date", "-NULL", values)
    assert values[:3] == let_through("date", "NOT NULL", values)


def test_fiscal_years_start_with_the_models_offset() -> None:
    """`FY2018-Q1` and `this fiscal quarter` follow the fiscal month offset."""
    calendar = Calendar(NOW, fiscal_month_offset=3)

    assert read_span("FY2018-Q1", calendar) == read_span("2018-04-01 for 3 months", calendar)
    assert read_span("this fiscal year", calendar) == read_span("FY2018", calendar)


@given(
    now=st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)),  # noqa: DTZ001
    count=st.integers(1, 400),
    unit=st.sampled_from(["hour", "day", "week", "month", "quarter", "year"]),
    week_start_day=st.integers(0, 6),
)
def test_past_units_are_the_complete_ones_and_the_current(
    now: datetime, count: int, unit: str, week_start_day: int
) -> None:
    """`N units` always ends after now, and is `N-1 complete units` joined to `this unit`."""
    calendar = Calendar(now, week_start_day)
    past = read_span(f"{count} {unit}s", calendar)
    current = read_span(f"this {unit}", calendar)

    assert past.end == current.end
    assert current.start <= now < current.end  # type: ignore[operator]
    if count > 1:
        assert Span(past.start, current.start) == read_span(
            f"{count - 1} complete {unit}s", calendar
        )
    if unit == "day":
        assert past.end - past.start == timedelta(days=count)  # type: ignore[operator]
