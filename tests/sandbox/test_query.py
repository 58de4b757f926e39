"""Rules of turning a Looker query into SQL."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.dynamic_fields import DynamicFieldError
from airflow_provider_looker_segment.sandbox.pivots import ROW_TOTAL
from airflow_provider_looker_segment.sandbox.query import (
    UnknownExploreError,
    effective_filters,
    plan_query,
)
from airflow_provider_looker_segment.sandbox.results import Options, stream


def run(dataset: Dataset, fields: str, **query: Any) -> list[Any]:
    """Run a query over people and return its rows as lists of values."""
    options = {key: query.pop(key) for key in ("limit", "server_table_calcs") if key in query}
    written = {"model": "shop", "view": "people", "fields": fields.split(), **query}
    plan = plan_query(dataset, written, **options)
    rows = json.loads("".join(stream(plan, "json", Options())))
    return [list(row.values()) for row in rows]


def calculation(expression: str, name: str = "c", **more: Any) -> str:
    """Return `dynamic_fields` with one table calculation."""
    return json.dumps(
        [{"table_calculation": name, "label": name, "expression": expression, **more}]
    )


def test_dimensions_alone_are_distinct(shop: Dataset) -> None:
    """A query without measures returns each combination once."""
    assert run(shop, "people.city", sorts=["people.city"]) == [[None], ["Köln"], ["Ulm"]]


def test_each_kind_of_measure(shop: Dataset) -> None:
    """Measures aggregate by the selected dimensions, as LookML defines them."""
    measures = (
        "people.city people.count people.local_count people.total_spent people.average_spent"
        " people.least_spent people.most_spent people.cities people.city_list people.spent_each"
        " people.last_joined"
    )

    assert run(shop, measures, sorts=["people.city desc"]) == [
        ["Ulm", 2, 2, 1208, 604.0, 7.5, 1200.5, 1, ["Ulm"], 604.0, "2017-01-31"],
        ["Köln", 1, 0, 12, 12.0, 12, 12, 1, ["Köln"], 12.0, "2001-09-21"],
        [None, 1, 0, 0, None, None, None, 0, [], 0.0, "2019-07-01"],
    ]


def test_a_join_does_not_multiply_measures(shop: Dataset) -> None:
    """Counts, sums and averages stay right when a join repeats rows, as in Looker."""
    assert run(
        shop,
        "people.city people.count people.total_spent people.average_spent orders.count",
        sorts=["people.city"],
    ) == [[None, 1, 0, None, 1], ["Köln", 1, 12, 12.0, 2], ["Ulm", 2, 1208, 604.0, 2]]


def test_only_needed_joins_are_made(shop: Dataset) -> None:
    """A query that names no field of a joined view does not touch its table."""
    plan = plan_query(shop, {"model": "shop", "view": "people", "fields": ["people.id"]})

    assert '"orders"' not in plan.sql


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"orders.ordered_date": "30 days"}, ["0007", "17850.0"]),
        ({"orders.ordered_date": "2019-06-01"}, ["17850.0"]),
        ({"people.city": "Ulm", "people.spent": ">10"}, ["0007"]),
        ({"people.is_local": "No"}, ["17850.0", "x-1"]),
        ({"people.joined_date": "NULL"}, ["123456789012345678901"]),
        ({"people.joined_day_of_week": "Monday"}, ["x-1"]),
        ({"people.joined_year": "before 2010"}, ["17850.0"]),
        ({"people.spent_tier": "10 to 99"}, ["17850.0"]),
        ({"people.wanted_city": "K%"}, ["17850.0"]),
        ({"people.id": "0007,x-1"}, ["0007", "x-1"]),
        ({"orders.count": ">=2"}, ["0007", "17850.0"]),
        ({"people.city": ""}, ["0007", "123456789012345678901", "17850.0", "x-1"]),
    ],
)
def test_filters(shop: Dataset, filters: dict[str, str], expected: list[str]) -> None:
    """Filters narrow by any field of the explore, selected or not; those on measures after."""
    fields = "people.id orders.count" if "orders.count" in filters else "people.id"
    rows = run(shop, fields, filters=filters, sorts=["people.id"])

    assert expected == [row[0] for row in rows]


@pytest.mark.parametrize(
    ("fields", "filters", "expected"),
    [
        ("people.id", {"orders.late_count": "1"}, [["0007"], ["17850.0"]]),
        ("people.id", {"people.total_spent": ">=12"}, [["0007"], ["17850.0"]]),
        ("people.city", {"people.count": ">1"}, [["Ulm"]]),
        ("people.city", {"people.total_spent": ">1208"}, []),
    ],
)
def test_a_filter_on_a_measure_counts_without_the_measure(
    shop: Dataset, fields: str, filters: dict[str, str], expected: list[list[Any]]
) -> None:
    """Groups of the selected dimensions are tested, whether the measure is shown or not."""
    assert run(shop, fields, filters=filters, sorts=[fields]) == expected


def test_a_filter_on_a_measure_counts_in_pivots(shop: Dataset) -> None:
    """Cells are tested one by one; a pivot in which none passes does not appear."""
    query = {"pivots": ["orders.status"], "filters": {"orders.late_count": ">0"}}

    assert run(shop, "people.id orders.count orders.status", sorts=["people.id"], **query) == [
        ["0007", {"late": 1}],
        ["17850.0", {"late": 1}],
    ]


def test_query_timezone_moves_points_in_time(shop: Dataset) -> None:
    """The query's timezone decides on which day an order was made, and what a filter means."""

    def orders(zone: str) -> list[Any]:
        return run(
            shop,
            "orders.number orders.ordered_time",
            filters={"orders.ordered_date": "2019-07-01"},
            query_timezone=zone,
            sorts=["orders.number"],
        )

    assert orders("UTC") == [["4", "2019-07-01 00:00:00"]]
    assert orders("Asia/Tokyo") == [["1", "2019-07-01 08:30:00"], ["4", "2019-07-01 09:00:00"]]


def test_plain_dates_are_never_moved(shop: Dataset) -> None:
    """A column declared as dates shows the same day in every timezone."""
    for zone in ("Asia/Tokyo", "America/Los_Angeles"):
        rows = run(
            shop,
            "people.joined_date",
            filters={"people.joined_date": "2017-01-31"},
            query_timezone=zone,
        )
        assert rows == [["2017-01-31"]]


def test_filter_expression_is_another_condition(shop: Dataset) -> None:
    """A custom filter is combined with the other filters by and."""
    expression = "${people.spent} > 10 OR NOT is_null(${people.income}) AND ${people.is_local}"

    rows = run(shop, "people.id", filter_expression=expression, filters={"people.city": "Ulm"})

    assert rows == [["0007"]]


def test_limits(shop: Dataset) -> None:
    """The argument wins over the query's limit, -1 is none, and a query without one gets 5000."""
    assert len(run(shop, "people.id", limit=3)) == 3
    plan = plan_query(shop, {"model": "shop", "view": "big", "fields": ["big.id"], "limit": "7"})
    assert plan.sql.endswith("LIMIT 7")
    plan = plan_query(shop, {"model": "shop", "view": "big", "fields": ["big.id"]})
    assert plan.sql.endswith("LIMIT 5000")
    plan = plan_query(shop, {"model": "shop", "view": "big", "fields": ["big.id"]}, limit=-1)
    assert "LIMIT" not in plan.sql


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("${people.email}", "ada@example.com"),
        ("upper(${people.name})", "ADA"),
        ('lower(concat(${people.city}, "-", ${people.count}))', "ulm-1"),
        ("${people.total_spent} * 2 - 1", 2400),
        ("${people.total_spent} / 0", None),
        ("7 / 2", 3.5),
        ("round(${people.total_spent} / 7, 2)", 171.5),
        ('if(is_null(${people.email}), "none", "some")', "some"),
        ("coalesce(null, ${people.city})", "Ulm"),
        ("-(2 + 3) * 4", -20),
        ("if(${people.is_local} AND NOT ${people.count} > 1, 1, 2)", 1),
    ],
)
def test_table_calculations(shop: Dataset, expression: str, expected: Any) -> None:
    """Table calculations see the columns of the result and are appended to it."""
    rows = run(
        shop,
        "people.email people.name people.city people.is_local people.count people.total_spent",
        filters={"people.id": "0007"},
        dynamic_fields=calculation(expression),
        server_table_calcs=True,
    )

    assert rows[0][-1] == expected


def test_table_calculations_come_only_when_asked_for(shop: Dataset) -> None:
    """Without `server_table_calcs` even a broken calculation has no effect."""
    assert run(shop, "people.count", dynamic_fields=calculation("nonsense(")) == [[4]]


def test_table_calculations_may_use_each_other(shop: Dataset) -> None:
    """A calculation can refer to another; a circle is refused."""
    both = [
        {"table_calculation": "twice", "expression": "${people.count} * 2"},
        {"table_calculation": "more", "expression": "${twice} + 1"},
    ]
    circle = [{"table_calculation": "c", "expression": "${c} + 1"}]

    assert run(shop, "people.count", dynamic_fields=both, server_table_calcs=True) == [[4, 8, 9]]
    with pytest.raises(PermanentError, match="refer to itself"):
        run(shop, "people.count", dynamic_fields=circle, server_table_calcs=True)


def test_custom_fields(shop: Dataset) -> None:
    """Simple custom dimensions and measures work; those that are not simulated are refused."""
    custom = [
        {"dimension": "initial", "expression": "upper(${people.city})", "label": "I"},
        {
            "measure": "local_sum",
            "type": "sum",
            "based_on": "people.spent",
            "filters": {"people.is_local": "Yes"},
        },
    ]

    assert run(shop, "initial local_sum", dynamic_fields=custom, sorts=["initial"]) == [
        [None, 0],
        ["KÖLN", 0],
        ["ULM", 1208],
    ]
    with pytest.raises(DynamicFieldError):
        run(shop, "people.id", dynamic_fields=[{"measure": "m", "type": "percentile"}])


def test_pivots(shop: Dataset) -> None:
    """A pivoted measure is an object by pivot; nulls, totals and several pivots have their keys."""
    rows = run(
        shop,
        "people.id orders.count orders.status people.is_local",
        pivots=["orders.status", "people.is_local"],
        row_total="right",
        sorts=["people.id"],
    )

    assert rows[0] == [
        "0007",
        {
            "orders.status___null|FIELD|No": None,
            "orders.status___null|FIELD|Yes": None,
            "done|FIELD|No": None,
            "done|FIELD|Yes": 1,
            "late|FIELD|No": None,
            "late|FIELD|Yes": 1,
            ROW_TOTAL: 2,
        },
    ]


def test_pivots_sort_limit_and_calculate(shop: Dataset) -> None:
    """Sorting names a pivot by its index, a limit counts rows, calculations repeat by pivot."""
    query = {
        "pivots": ["orders.status"],
        "filters": {"orders.status": "-NULL"},
        "sorts": ["orders.status desc", "orders.count desc 1", "people.id desc"],
        "dynamic_fields": calculation("${orders.count} * 10"),
        "server_table_calcs": True,
        "limit": 1,
    }

    assert run(shop, "people.id orders.count orders.status", **query) == [
        ["17850.0", {"late": 1, "done": 1}, {"late": 10, "done": 10}]
    ]


def test_column_limit_cuts_pivots(shop: Dataset) -> None:
    """No more pivots than `column_limit` appear."""
    rows = run(
        shop,
        "orders.count orders.status",
        pivots=["orders.status"],
        column_limit="1",
        sorts=["orders.status desc"],
    )

    assert rows == [[{"late": 2}]]


def test_dimension_fill_adds_missing_dates(shop: Dataset) -> None:
    """Filled dates are rows of their own with nothing else in them."""
    rows = run(
        shop,
        "orders.ordered_date orders.count",
        fill_fields=["orders.ordered_date"],
        filters={"orders.ordered_date": "2019-06-28 to 2019-07-02, 2019-06-02"},
        sorts=["orders.ordered_date desc"],
        limit=3,
    )

    assert rows == [["2019-07-01", 1], ["2019-06-30", 1], ["2019-06-29", None]]


def test_parameters_take_the_value_of_the_filter(shop: Dataset) -> None:
    """A LookML parameter is replaced by the filter's value, else by its default."""
    fields, narrow = "orders.note", {"orders.number": "1"}

    assert run(shop, fields, filters=narrow) == [["hello late"]]
    assert run(shop, fields, filters={**narrow, "people.greeting": "bye"}) == [["bye late"]]


def test_always_filter_and_filter_config(shop: Dataset) -> None:
    """The explore's filters apply where the query has none; `filter_config` beats `filters`."""
    explore = shop.model.explores["active_people"]
    config = {"people.city": [{"type": "advanced", "values": [{"constant": "Ulm"}, {}]}]}

    assert effective_filters(explore, {}) == {"people.city": "-EMPTY"}
    assert effective_filters(explore, {"filters": {"people.city": ""}}) == {"people.city": ""}
    assert effective_filters(
        explore, {"filters": {"people.city": "Bonn"}, "filter_config": config}
    ) == {"people.city": "Ulm"}


@pytest.mark.parametrize(
    "query",
    [
        {"fields": ["people.nothing"]},
        {"fields": ["people.id"], "filters": {"people.nothing": "1"}},
        {"fields": ["people.id"], "filters": {"people.joined_date": "soon"}},
        {"fields": ["people.id"], "query_timezone": "Mars/Olympus"},
        {"fields": ["people.id"], "filter_expression": "system('x')"},
        {"fields": []},
        {"fields": ["people.id"], "dynamic_fields": "not json"},
    ],
)
def test_what_is_not_understood_is_refused(shop: Dataset, query: dict[str, Any]) -> None:
    """Unknown fields, filters, timezones and functions stop the query."""
    with pytest.raises(PermanentError):
        plan_query(shop, {"model": "shop", "view": "people", **query})


def test_unknown_explores_are_told_apart(shop: Dataset) -> None:
    """An unknown model or explore is its own error, because Looker answers 404."""
    for model, view in (("other", "people"), ("shop", "other")):
        with pytest.raises(UnknownExploreError):
            plan_query(shop, {"model": model, "view": view, "fields": ["people.id"]})


def test_dates_that_sqlite_cannot_read_do_not_pass_unseen(shop: Dataset) -> None:
    """A date filter over text that is no date is an SQL error, not an empty result."""
    written = {
        "model": "shop",
        "view": "people",
        "fields": ["people.id"],
        "filters": {"people.joined_date": "2017"},
    }
    plan = plan_query(shop, written)
    sql = plan.sql.replace('"people"."joined"', '"people"."city"')

    with pytest.raises(sqlite3.Error):
        list(shop.rows(sql))
