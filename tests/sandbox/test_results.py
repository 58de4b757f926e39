"""Rules of Looker's result formats."""

from __future__ import annotations

import csv
import json
import tracemalloc
from typing import Any

import pytest

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.query import Plan, plan_query
from airflow_provider_looker_segment.sandbox.results import Options, stream


def plan(dataset: Dataset, fields: str, **query: Any) -> Plan:
    """Plan a query over people."""
    calculated = query.pop("server_table_calcs", False)
    written = {"model": "shop", "view": "people", "fields": fields.split(), **query}
    return plan_query(dataset, written, server_table_calcs=calculated)


def text(planned: Plan, result_format: str, **options: bool) -> str:
    """Return a whole result."""
    return "".join(stream(planned, result_format, Options(**options)))


def test_json_is_flat_and_named_by_field(shop: Dataset) -> None:
    """`json` is a list of objects by field name: text, numbers, Yes or No, null."""
    fields = "people.id people.spent people.is_local people.joined_date"

    rows = json.loads(text(plan(shop, fields, sorts=["people.id"], limit="2"), "json"))

    assert rows == [
        dict(zip(fields.split(), values, strict=True))
        for values in (
            ("0007", 1200.5, "Yes", "2017-01-31"),
            ("123456789012345678901", 7.5, "Yes", None),
        )
    ]


def test_no_rows_are_an_empty_list(shop: Dataset) -> None:
    """A result without rows is still a whole document."""
    assert text(plan(shop, "people.id", filters={"people.id": "nobody"}), "json") == "[]"


def test_json_detail_has_its_keys_in_order(shop: Dataset) -> None:
    """Fields with tags come before the data, errors after it."""
    planned = plan(shop, "people.id people.email people.total_spent", sorts=["people.id"])
    detail = json.loads(text(planned, "json_detail"))

    assert list(detail)[:13] == [
        "status",
        "id",
        "from_cache",
        "result_source",
        "supports_pivot_in_db",
        "null_sort_treatment",
        "expired",
        "ran_at",
        "runtime",
        "added_params",
        "sql",
        "sql_explain",
        "fields",
    ]
    assert list(detail)[-4:] == ["data", "errors", "number_format", "drill_menu_build_time"]
    assert [field["tags"] for field in detail["fields"]["dimensions"]] == [["user_id"], ["email"]]
    assert detail["errors"] is None
    assert detail["data"][0] == {
        "people.id": {"value": "0007"},
        "people.email": {"value": "ada@example.com"},
        "people.total_spent": {"value": 1200.5, "rendered": "$1,200.50"},
    }
    assert detail["data"][2]["people.email"] == {"value": None}


def test_json_detail_says_what_was_asked(shop: Dataset) -> None:
    """The filters, the timezone and the moment of the query are part of the result."""
    planned = plan(shop, "people.id", filters={"people.city": "Ulm"}, query_timezone="Asia/Tokyo")
    detail = json.loads(text(planned, "json_detail"))

    assert detail["timezone"] == "Asia/Tokyo"
    assert detail["ran_at"] == "2019-07-01T12:00:00+00:00"
    assert detail["applied_filters"]["people.city"]["value"] == "Ulm"
    assert detail["applied_filters"]["people.city"]["field"]["type"] == "string"


def test_drill_links_come_only_when_asked_for(shop: Dataset) -> None:
    """Cells of measures carry links with `generate_drill_links`, and none without."""
    planned = plan(shop, "people.count")

    assert "links" not in json.loads(text(planned, "json_detail"))["data"][0]["people.count"]
    detail = json.loads(text(planned, "json_detail", generate_drill_links=True))
    assert detail["data"][0]["people.count"]["links"][0]["type"] == "measure_default"


def test_totals_and_subtotals_are_beside_the_data(shop: Dataset) -> None:
    """Totals are never rows of `data`; subtotals name what they group by."""
    planned = plan(
        shop,
        "people.city people.id people.total_spent",
        total=True,
        subtotals=["people.city"],
        sorts=["people.city", "people.id"],
    )
    detail = json.loads(text(planned, "json_detail"))

    assert len(detail["data"]) == 4
    assert detail["has_totals"] is True
    assert detail["totals_data"]["people.total_spent"]["value"] == 1220
    assert detail["subtotal_sets"] == [["people.city"]]
    assert [
        (row["people.city"]["value"], row["people.total_spent"]["value"])
        for row in detail["subtotals_data"]["1"]
    ] == [(None, 0), ("Köln", 12), ("Ulm", 1208)]
    assert detail["subtotals_data"]["1"][0]["$$$__grouping__$$$"] == ["people.city"]


def test_pivots_are_described(shop: Dataset) -> None:
    """Each pivot has a key, its data and whether it is the row total."""
    planned = plan(
        shop,
        "people.id orders.count orders.status",
        pivots=["orders.status"],
        row_total="right",
        total=True,
    )
    detail = json.loads(text(planned, "json_detail"))

    assert [(pivot["key"], pivot["data"], pivot["is_total"]) for pivot in detail["pivots"]] == [
        ("orders.status___null", {"orders.status": None}, False),
        ("done", {"orders.status": "done"}, False),
        ("late", {"orders.status": "late"}, False),
        ("$$$_row_total_$$$", {}, True),
    ]
    assert [field["name"] for field in detail["fields"]["pivots"]] == ["orders.status"]
    assert [field["name"] for field in detail["fields"]["dimensions"]] == ["people.id"]
    assert detail["has_row_totals"] is True
    assert detail["totals_data"]["orders.count"]["$$$_row_total_$$$"] == {"value": 5}


def test_table_calculations_are_fields_without_tags(shop: Dataset) -> None:
    """Calculations are listed apart, with their expression, and can't carry tags."""
    calculation = {"table_calculation": "mail", "label": "mail", "expression": "${people.email}"}
    planned = plan(
        shop,
        "people.email",
        dynamic_fields=json.dumps([calculation]),
        server_table_calcs=True,
    )
    fields = json.loads(text(planned, "json_detail"))["fields"]

    assert [field["name"] for field in fields["table_calculations"]] == ["mail"]
    assert fields["table_calculations"][0]["expression"] == "${people.email}"
    assert "tags" not in fields["table_calculations"][0]


def test_json_bi_has_metadata_first(shop: Dataset) -> None:
    """`json_bi` has metadata, then rows of cells; its fields carry no tags."""
    document = json.loads(text(plan(shop, "people.id", limit="1"), "json_bi"))

    assert list(document) == ["metadata", "rows"]
    assert sorted(document["metadata"]["fields"]["dimensions"][0]) == sorted(
        (
            *("sql", "view", "dimension_group", "category", "field_group_label", "name", "type"),
            *("view_label", "label", "field_group_variant", "hidden", "description"),
        )
    )
    assert list(document["rows"][0]["people.id"]) == ["value"]


def test_labels_head_csv_txt_and_json_label(shop: Dataset) -> None:
    """Formats for people name columns by label, and quote what needs it."""
    planned = plan(shop, "people.id people.email people.name", filters={"people.id": "x-1,17%"})

    assert json.loads(text(planned, "json_label"))[0] == {
        "People ID": "17850.0",
        "People E-mail": None,
        "People Name": "李娜",
    }
    rows = list(csv.reader(text(planned, "csv").splitlines()))
    assert rows == [
        ["People ID", "People E-mail", "People Name"],
        ["17850.0", "", "李娜"],
        ["x-1", "eve@example.com", 'Eve "E", Jr'],
    ]
    assert text(planned, "txt").splitlines()[1] == "17850.0\t\t李娜"


def test_apply_formatting_gives_text(shop: Dataset) -> None:
    """With `apply_formatting` every value is the text that people see."""
    planned = plan(shop, "people.total_spent people.spent_each people.count")

    assert json.loads(text(planned, "json", apply_formatting=True)) == [
        {"people.total_spent": "$1,220.00", "people.spent_each": "305.0", "people.count": "4"}
    ]


def test_apply_vis_hides_and_relabels(shop: Dataset) -> None:
    """With `apply_vis` hidden columns are absent and displayed names head the rest."""
    vis_config = {
        "hidden_fields": ["people.email"],
        "show_view_names": False,
        "series_labels": {"people.id": "Who"},
    }
    planned = plan(shop, "people.id people.email people.name", vis_config=vis_config)

    assert text(planned, "csv", apply_vis=True).splitlines()[0] == "Who,Name"
    assert text(planned, "csv").splitlines()[0] == "People ID,People E-mail,People Name"


def test_sql_is_shown_and_not_run(shop: Dataset) -> None:
    """`sql` is the query's text, even of one that can't run."""
    assert "no_such_column" in text(plan(shop, "people.broken"), "sql")


def test_errors_of_the_database_are_inside_the_answer(shop: Dataset) -> None:
    """Each format has its own place for an SQL error."""
    planned = plan(shop, "people.id people.broken")
    message = "SQL Error: no such column: people.no_such_column"

    assert json.loads(text(planned, "json")) == [{"looker_error": message}]
    assert json.loads(text(planned, "json_bi"))["rows"] == [{"looker_error": message}]
    detail = json.loads(text(planned, "json_detail"))
    assert (detail["data"], detail["errors"][0]["message"]) == ([], message)
    assert text(planned, "csv").splitlines()[-1] == message


def test_an_error_after_the_first_row_breaks_the_document(shop: Dataset) -> None:
    """A database that fails half-way leaves rows behind, and text that is not JSON."""
    expression = 'to_number(if(${people.id} = "123456789012345678901", "x", "1"))'
    custom = [{"dimension": "bad", "expression": expression}]
    planned = plan(shop, "people.id bad", dynamic_fields=custom)

    found = text(planned, "json")
    assert found.startswith('[{"people.id":"0007"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(found)
    detail = json.loads(text(planned, "json_detail"))
    assert detail["data"]
    assert detail["errors"]


@pytest.mark.parametrize("result_format", ["json", "json_detail", "csv"])
def test_memory_does_not_grow_with_the_rows(shop: Dataset, result_format: str) -> None:
    """A hundred thousand rows need no more memory than a few do."""
    written = {"model": "shop", "view": "big", "fields": ["big.id", "big.email"]}
    planned = plan_query(shop, written, limit=100_000)

    tracemalloc.start()
    size = sum(len(piece) for piece in stream(planned, result_format, Options()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size > 2_000_000
    assert peak < 2_000_000
