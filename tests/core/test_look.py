"""A Look is understood from its metadata alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_looker_segment.core.look import Column, Look, dynamic_fields, read_look
from airflow_provider_looker_segment.exceptions import PermanentError


def field(name: str, **more: Any) -> dict[str, Any]:
    """One field of an explore."""
    view, _, short = name.partition(".")
    title = short.replace("_", " ").title()
    return {"name": name, "label": f"{view.title()} {title}", "label_short": title, **more}


def look(query: dict[str, Any], **fields: list[dict[str, Any]]) -> Look:
    """Read a Look with this query in an explore with these fields."""
    explore = {"fields": fields, "always_filter": [{"name": "users.region", "value": "EU"}]}
    return read_look({"id": 42, "title": "Cohort", "query": query}, explore)


def calculation(name: str, expression: str, **more: Any) -> dict[str, Any]:
    """One table calculation as Looker stores it."""
    return {"table_calculation": name, "label": name.title(), "expression": expression, **more}


def test_one_email_column() -> None:
    """A Look of one column, as marketing teams keep them, is one e-mail column."""
    found = look({"fields": ["users.email"], "vis_config": None}, dimensions=[field("users.email")])
    assert found == Look(
        id="42",
        title="Cohort",
        query={"fields": ["users.email"], "vis_config": None},
        columns=(Column("users.email", "Users Email", "Email", "Users Email"),),
        fields={"users.email": {**field("users.email"), "category": "dimensions"}},
        always_filter={"users.region": "EU"},
    )
    assert found.where == "Look 42"
    assert not found.has_table_calculations


def test_pivoted_with_hidden_calculations() -> None:
    """Pivots, hidden columns and calculations are told apart, and calculations come last."""
    query = {
        "fields": ["users.created_month", "orders.created_month", "users.count"],
        "pivots": ["users.created_month"],
        "vis_config": {
            "show_view_names": False,
            "series_labels": {"users.created_month": "Cohort"},
            "hidden_fields": ["users.count", "peak"],
        },
        "dynamic_fields": json.dumps(
            [
                calculation("peak", "max(${users.count})", _type_hint="number"),
                calculation("share", "${users.count}/${peak}", _type_hint="number"),
                calculation("off", "1", is_disabled=True),
            ]
        ),
    }
    found = look(
        query,
        dimensions=[
            field("users.created_month", type="date_month"),
            field("orders.created_month", type="date_month"),
        ],
        measures=[field("users.count", type="count")],
    )
    assert [
        (column.displayed, column.kind, column.type, column.hidden, column.pivoted)
        for column in found.columns
    ] == [
        ("Cohort", "dimension", "date_month", False, True),
        ("Created Month", "dimension", "date_month", False, False),
        ("Count", "measure", "count", True, False),
        ("Peak", "table_calculation", "number", True, False),
        ("Share", "table_calculation", "number", False, False),
    ]
    assert found.has_table_calculations


def test_many_columns_with_a_stale_hidden_one() -> None:
    """A Look of 22 columns keeps their order; a hidden name it no longer has is ignored."""
    names = [f"dates.part_{number}" for number in range(22)]
    found = look(
        {"fields": names, "vis_config": {"hidden_fields": ["dates.part_3", "dates.gone"]}},
        dimensions=[field(name) for name in reversed(names)],
    )
    assert [column.name for column in found.columns] == names
    assert [column.name for column in found.columns if column.hidden] == ["dates.part_3"]


@pytest.mark.parametrize("empty", [None, "", " ", "[]", []])
def test_no_dynamic_fields(empty: Any) -> None:
    """Looker writes "none" in several ways."""
    assert dynamic_fields({"dynamic_fields": empty}) == []


def test_renaming_takes_over_the_role() -> None:
    """A calculation that only repeats a column takes its tags, also through another such one."""
    query = {
        "fields": ["users.contact"],
        "vis_config": {"hidden_fields": ["users.contact", "first"]},
        "dynamic_fields": [
            calculation("second", "${first}"),
            calculation("first", " ${ users.contact }\n"),
            calculation("third", "${users.contact}"),
        ],
    }
    found = look(query, dimensions=[field("users.contact", tags=["email"])])
    contact, second, first, third = found.columns
    assert (contact.tags, contact.renamed) == ((), True)
    assert (second.tags, second.renames) == (("email",), "users.contact")
    assert (first.tags, first.renames) == ((), "")
    assert (third.tags, third.renames) == ((), "")


@pytest.mark.parametrize(
    "expression",
    ["lower(${users.contact})", "${users.contact}${users.contact}", "${users.gone}", "${loop}", ""],
)
def test_other_calculations_take_nothing(expression: str) -> None:
    """A calculation that computes something, or repeats nothing that is there, has no role."""
    query = {
        "fields": ["users.contact"],
        "dynamic_fields": [calculation("loop", expression), calculation("other", "${loop}")],
    }
    found = look(query, dimensions=[field("users.contact", tags=["email"])])
    assert [column.name for column in found.columns if "email" in column.tags] == ["users.contact"]


def test_missing_field() -> None:
    """A field that left LookML fails before any query, and is named."""
    with pytest.raises(PermanentError, match=r"Look 42, column `users\.gone`: should exist"):
        look({"fields": ["users.gone"]}, dimensions=[])


def test_explore_without_fields() -> None:
    """An explore that shows the API user nothing leads to the same message."""
    with pytest.raises(PermanentError, match="the API user may not see it"):
        read_look({"id": "1", "query": {"fields": ["a.b"]}}, {"fields": None})


def test_custom_fields() -> None:
    """Custom dimensions and measures are columns with their own label and kind."""
    query = {
        "fields": ["source", "total"],
        "vis_config": {"series_labels": {"total": "Sum"}},
        "dynamic_fields": [
            {"dimension": "source", "label": "Source", "_type_hint": "string"},
            {"measure": "total", "type": "sum"},
        ],
    }
    source, total = look(query).columns
    assert (source.kind, source.displayed, source.type) == ("dimension", "Source", "string")
    assert (total.kind, total.displayed, total.label, total.type) == (
        "measure",
        "Sum",
        "total",
        "sum",
    )


@pytest.mark.parametrize(
    ("label", "displayed"),
    [("Year", "Year"), (2024, "2024"), (1.5, "1.5"), (None, "Created"), ("", "Created")],
)
def test_a_column_is_shown_by_its_label(label: Any, displayed: str) -> None:
    """A dashboard in LookML may have given it a number."""
    query = {
        "fields": ["users.created"],
        "vis_config": {"show_view_names": False, "series_labels": {"users.created": label}},
    }
    (column,) = look(query, dimensions=[field("users.created")]).columns

    assert displayed == column.displayed


@pytest.mark.parametrize("label", [True, ["Year"], {"label": "Year"}])
def test_a_label_that_is_no_text_is_refused(label: Any) -> None:
    """Nobody knows what the trait would be called."""
    query = {"fields": ["users.id"], "vis_config": {"series_labels": {"users.id": label}}}

    with pytest.raises(PermanentError, match=r"column `users\.id`: its label"):
        look(query, dimensions=[field("users.id")])
