"""The query of a run: the Look's own, with the run's filters, moment and limit."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_looker_segment.core.look import Look, read_look
from airflow_provider_looker_segment.core.query import RunQuery, run_query
from airflow_provider_looker_segment.exceptions import PermanentError

MOMENT = datetime(2019, 6, 1, tzinfo=UTC)


def look(always: dict[str, str] | None = None, **query: Any) -> Look:
    """A Look over users with a date to filter by."""
    fields = {
        "dimensions": [
            {"name": "users.email", "type": "string"},
            {"name": "users.seen_date", "type": "date_date"},
            {"name": "users.seen_day_of_week", "type": "date_day_of_week"},
        ]
    }
    always_filter = [{"name": name, "value": value} for name, value in (always or {}).items()]
    query = {"model": "shop", "view": "users", "fields": ["users.email"], "limit": "500"} | query
    return read_look(
        {"id": "7", "query": query}, {"fields": fields, "always_filter": always_filter}
    )


def asked(
    the_look: Look,
    *,
    filters: dict[str, str] | None = None,
    as_of: datetime | None = MOMENT,
    row_limit: Any = None,
) -> RunQuery:
    """The query of a run as of the first of June 2019."""
    return run_query(the_look, filters=filters, as_of=as_of, row_limit=row_limit)


def test_copies_and_drops() -> None:
    """What shapes the rows is copied; what overrides filters or adds rows is dropped."""
    kept = {
        "filter_expression": "${users.email} = 'x'",
        "sorts": ["users.email"],
        "column_limit": "50",
        "query_timezone": "America/New_York",
        "vis_config": {"hidden_fields": ["x"]},
    }
    dropped = {
        "client_id": "c",
        "filter_config": {"users.seen_date": []},
        "fill_fields": ["users.seen_date"],
        "total": True,
        "row_total": "right",
        "subtotals": ["users.email"],
        "id": "slug",
    }
    query = asked(look(pivots=None, **kept, **dropped))
    assert query.body == {
        "model": "shop",
        "view": "users",
        "fields": ["users.email"],
        "filters": {},
        "limit": "-1",
        **kept,
    }
    assert (query.row_limit, query.server_table_calcs, query.notes) == (-1, False, ())


def test_relative_filters_are_anchored() -> None:
    """As of a moment, 30 days are the 30 days before it, and the change is noted."""
    saved = look(filters={"users.seen_date": "30 days", "users.email": "-NULL"})
    query = asked(saved)
    assert query.body["filters"] == {
        "users.seen_date": "2019-05-02 to 2019-06-01",
        "users.email": "-NULL",
    }
    assert query.body["query_timezone"] == "UTC"
    assert query.notes == (
        "filter users.seen_date: '30 days' is '2019-05-02 to 2019-06-01'",
        "query_timezone: 'UTC', for the Look names none",
    )
    assert saved.query["filters"]["users.seen_date"] == "30 days"


def test_as_of_false_leaves_filters() -> None:
    """Without a moment the filters stay as they are, functions of now among them."""
    saved = look(filters={"users.seen_date": "30 days"}, filter_expression="now() > 1")
    assert asked(saved, as_of=None).body["filters"] == {"users.seen_date": "30 days"}
    assert "query_timezone" not in asked(saved, as_of=None).body


def test_filters_replace_one_by_one() -> None:
    """A filter of the run replaces the Look's own of that name only, and is noted."""
    saved = look(filters={"users.seen_date": "30 days", "users.email": "-NULL"})
    query = asked(saved, filters={"users.seen_date": "2019-01-01 to 2019-02-01"})
    assert query.body["filters"] == {
        "users.seen_date": "2019-01-01 to 2019-02-01",
        "users.email": "-NULL",
    }
    assert query.notes == ("filter users.seen_date: '2019-01-01 to 2019-02-01'",)


def test_always_filter_is_anchored() -> None:
    """A relative filter that the explore adds by itself is anchored too; others are left to it."""
    always = {"users.seen_date": "7 days", "users.email": "x"}
    assert asked(look(always)).body["filters"] == {"users.seen_date": "2019-05-25 to 2019-06-01"}
    assert asked(look(always, filters={"users.seen_date": "2019"})).body["filters"] == {
        "users.seen_date": "2019"
    }


def test_custom_measures_are_anchored() -> None:
    """A custom measure's own relative filter is anchored; the Look's other fields stay."""
    measure = {"measure": "m", "based_on": "users.n", "filters": {"users.seen_date": "30 days"}}
    other = {"table_calculation": "c", "expression": "1", "label": "C"}
    query = asked(look(fields=["m"], dynamic_fields=json.dumps([measure, other])))
    anchored, untouched = json.loads(query.body["dynamic_fields"])
    assert anchored["filters"] == {"users.seen_date": "2019-05-02 to 2019-06-01"}
    assert untouched == other
    assert query.server_table_calcs
    assert query.body["query_timezone"] == "UTC"


def test_unchanged_dynamic_fields_stay_text() -> None:
    """Where nothing is anchored, dynamic fields are passed on letter by letter."""
    text = '[ {"table_calculation":"c","expression":"1"} ]'
    assert asked(look(dynamic_fields=text)).body["dynamic_fields"] == text


@pytest.mark.parametrize(
    "query",
    [
        {"filter_expression": "${users.seen_date} > add_days(-3, now())"},
        {"fields": ["m"], "dynamic_fields": [{"measure": "m", "filter_expression": "now() > 1"}]},
    ],
    ids=["look", "custom measure"],
)
def test_custom_filter_of_now(query: dict[str, Any]) -> None:
    """A custom filter that reads the clock cannot be anchored and is refused."""
    with pytest.raises(PermanentError, match="its custom filter should mean the same"):
        asked(look(**query))


def test_relative_filter_of_an_unknown_field() -> None:
    """A relative filter on a field that the explore lacks is refused; an absolute one stays."""
    assert asked(look(filters={"old.date": "2019"})).body["filters"] == {"old.date": "2019"}
    with pytest.raises(PermanentError, match=r"filter `old\.date`: should name a field"):
        asked(look(filters={"old.date": "3 days"}))


def test_parts_of_dates_are_no_moments() -> None:
    """The day of the week is no point in time: its filter stays."""
    saved = look(filters={"users.seen_day_of_week": "Monday"})
    assert asked(saved).body["filters"] == {"users.seen_day_of_week": "Monday"}


@pytest.mark.parametrize(
    ("saved", "row_limit", "expected"),
    [
        ("500", None, -1),
        (500, None, -1),
        ("5000", None, -1),
        ("-1", None, -1),
        (None, None, -1),
        ("", None, -1),
        ("10", "look", 10),
        (None, "look", -1),
        ("10", "all", -1),
        ("10", 77, 77),
    ],
)
def test_row_limit(saved: Any, row_limit: Any, expected: int) -> None:
    """A limit that nobody chose means every row; else the run says what it wants."""
    query = asked(look(limit=saved), row_limit=row_limit)
    assert (query.row_limit, query.body["limit"]) == (expected, str(expected))


def test_chosen_row_limit_stops_the_run() -> None:
    """A limit that somebody chose may be meant or not, so the run asks."""
    with pytest.raises(PermanentError, match="a top 10 or may lose rows"):
        asked(look(limit="10"))


@pytest.mark.parametrize("rows", [5_000, 100_000])
def test_silent_caps(rows: int) -> None:
    """A result of exactly as many rows as Looker's silent caps is refused, unless asked for."""
    everything = asked(look())
    with pytest.raises(PermanentError, match=f"row_limit={rows}"):
        everything.check_row_count(rows, look="Look 7")
    everything.check_row_count(rows + 1, look="Look 7")
    asked(look(), row_limit=rows).check_row_count(rows, look="Look 7")
    with pytest.raises(PermanentError, match="asked for"):
        asked(look(), row_limit=rows + 1).check_row_count(rows, look="Look 7")


@pytest.mark.parametrize("as_of", [MOMENT, None])
def test_a_misspelt_filter_of_the_run_is_named(as_of: datetime | None) -> None:
    """What filters by nothing stops the run before its query, with the nearest field."""
    with pytest.raises(PermanentError) as refusal:
        asked(look(), filters={"users.seen_dat": "2019"}, as_of=as_of)

    assert (
        "Look 7, filter `users.seen_dat` of filters={...}: should name a field of the Look's "
        "explore, but the explore has no such field, or the API user may not see it. "
        "Nothing was queried. The nearest is `users.seen_date`."
    ) == str(refusal.value)


def test_a_custom_field_can_be_filtered_by() -> None:
    """Fields that only the Look has are fields, too."""
    custom = json.dumps([{"measure": "spent", "type": "sum"}, {"dimension": "initial"}])
    filters = {"spent": ">1", "initial": "A"}

    assert filters == asked(look(dynamic_fields=custom), filters=filters).body["filters"]
