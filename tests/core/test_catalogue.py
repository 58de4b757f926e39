"""The catalogue of destinations: the page's table as data, found under any usual name."""

from __future__ import annotations

import json
import runpy
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_provider_looker_segment.core.catalogue import (
    Catalogue,
    Destination,
    bound_rules,
    example,
    load_catalogue,
)
from airflow_provider_looker_segment.core.rules import Check
from airflow_provider_looker_segment.exceptions import PermanentError

CASES = Path(__file__).parents[1] / "cases" / "destinations"
DATA = files("airflow_provider_looker_segment") / "data"
RAW: dict[str, Any] = json.loads((DATA / "destinations.json").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads(
    (DATA / "schemas" / "destinations.schema.json").read_text(encoding="utf-8")
)
ROWS: list[list[str]] = json.loads((CASES / "table.json").read_text(encoding="utf-8"))["rows"]
CURRENT: dict[str, Any] = json.loads((CASES / "current.json").read_text(encoding="utf-8"))
NEW = {
    "slug": "a-new-tool",
    "name": "A New Tool",
    "table": ["userId", "traits.plan"],
    "keys": ["A Newer Tool"],
    "source": "https://example.com/",
    "as_of": "2025-11-07",
}

each_destination = pytest.mark.parametrize(
    "destination", load_catalogue().destinations, ids=lambda one: one.slug
)


def test_the_catalogue_meets_its_schema() -> None:
    """The file in the package is valid by the schema beside it, and the schema by its own."""
    Draft202012Validator.check_schema(SCHEMA)

    assert list(Draft202012Validator(SCHEMA).iter_errors(RAW)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"slug": "A New Tool"},
        {"table": []},
        {"table": ["email"]},
        {"table": [{"any_of": ["userId"], "all_of": ["userId"]}]},
        {"table": [{"path": "userId"}]},
        {"table": [{"path": "userId", "like": "uuid"}]},
        {"keys": ["A", "A"]},
        {"retired": ""},
        {"note": "a field of no meaning"},
        {"parameters": {"lookup": {}}},
        {"as_of": "yesterday"},
    ],
    ids=json.dumps,
)
def test_the_schema_refuses_what_the_code_could_not_read(change: dict[str, Any]) -> None:
    """A slip in a new entry is found by the schema."""
    entry = {"page": "https://example.com/", "page_as_of": "2025-11-07", "destinations": [NEW]}
    broken = {**entry, "destinations": [NEW | change]}

    actual = [Draft202012Validator(SCHEMA).is_valid(one) for one in (entry, broken)]

    assert actual == [True, False]


def test_the_77_rows_of_the_page_come_first_and_in_its_order() -> None:
    """Every row of the page's table is a destination, found by its text there; others follow."""
    catalogue = load_catalogue()

    expected = [catalogue.find(row) for row, _ in ROWS]

    assert len(expected) == 77
    assert list(catalogue.destinations)[:77] == expected


@pytest.mark.parametrize(("row", "marks"), ROWS)
def test_a_special_note_stands_where_the_page_has_one(row: str, marks: str) -> None:
    """The notes of the table are kept, and none is made up."""
    assert bool(load_catalogue().find(row).special_note) == ("special_note" in marks)


def test_the_rows_that_differ_today_are_marked() -> None:
    """The rows whose destination says something else today are those of the case file."""
    expected = {case["destination"] for case in CURRENT["cases"]} | set(CURRENT["off_by_default"])

    assert {one.slug for one in load_catalogue().destinations if one.differs} == expected


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Customer.io", "customer.io"),
        ("customerio", "customer.io"),
        ("CUSTOMER IO", "customer.io"),
        ("appboy", "braze"),
        ("Appboy", "braze"),
        ("braze (previously appboy)", "braze"),
        ("Braze Cloud Mode (Actions)", "braze"),
        ("actions-braze-cloud", "braze"),
        (" help_scout ", "help-scout"),
        ("SFMC", "salesforce-marketing-cloud"),
        ("KISSmetrics", "kissmetrics"),
    ],
)
def test_names_are_found_in_any_spelling(name: str, slug: str) -> None:
    """Case, punctuation, old names and the names of successors do not matter."""
    assert load_catalogue().find(name).slug == slug


@each_destination
def test_a_destination_is_found_by_each_of_its_names(destination: Destination) -> None:
    """No name of a destination leads to another one."""
    actual = {load_catalogue().find(name).slug for name in destination.names}

    assert actual == {destination.slug}


@pytest.mark.parametrize(
    ("name", "nearest"), [("zendsk", "zendesk"), ("hubspott", "hubspot"), ("brase", "braze")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, nearest: str) -> None:
    """A typing slip is answered with what was probably meant."""
    with pytest.raises(PermanentError, match=f"nearest name is `{nearest}`"):
        load_catalogue().find(name)


@pytest.mark.parametrize("name", ["", '"', '""', "東京"])
def test_a_name_without_any_likeness_is_refused_without_a_guess(name: str) -> None:
    """Where nothing is near, nothing is offered."""
    with pytest.raises(PermanentError) as caught:
        load_catalogue().find(name)

    assert "nearest" not in str(caught.value)


def test_a_quoted_name_brings_the_rules_of_its_owner() -> None:
    """A name in quotes is one key of the destination that owns it, and switches no other."""
    owner = load_catalogue().find("hubspot")

    actual = load_catalogue().find('"HubSpot Cloud Mode (Actions)"')

    assert actual.all_keys == ("HubSpot Cloud Mode (Actions)",)
    assert (actual.table, actual.current) == (owner.table, owner.current)


def test_a_quoted_name_nobody_owns_has_no_rules() -> None:
    """Any name can be switched, exactly as it is written."""
    actual = load_catalogue().find('"our own Function"')

    assert actual == Destination(
        slug="our own Function", name="our own Function", keys=("our own Function",)
    )


@pytest.mark.parametrize(
    ("name", "expected"), [('"Salesforce"', True), ('"Salesforce (Actions)"', False)]
)
def test_only_the_classic_name_is_off_by_default(name: str, expected: bool) -> None:
    """A successor is on unless muted, so it is not switched on by hand."""
    assert load_catalogue().find(name).off_by_default == expected


def test_search_looks_into_every_name() -> None:
    """A part of any name finds the destination; no text lists all."""
    catalogue = load_catalogue()

    assert [one.slug for one in catalogue.search("appb")] == ["braze"]
    assert catalogue.search("") == list(catalogue.destinations)
    assert catalogue.search("no such tool") == []


@each_destination
def test_an_example_meets_both_rules(destination: Destination) -> None:
    """The example of a destination is accepted by its table rule and its current one."""
    message = example(destination)

    rules = bound_rules(destination, {}).values()

    assert message["type"] == "identify"
    assert "userId" in message or "anonymousId" in message
    assert [Check(rule).failing(message) for rule in rules] == [[] for _ in rules]


def test_an_example_follows_the_parameters() -> None:
    """A parameter's trait is part of the example."""
    actual = example(load_catalogue().find("pardot"), {"pardot_lookup_field": "crm id"})

    assert actual["traits"].keys() == {"email", "crm id"}


@each_destination
def test_every_parameter_is_used_by_a_rule(destination: Destination) -> None:
    """A parameter that is declared changes what a rule asks for."""
    for parameter in destination.parameters:
        actual = bound_rules(destination, {parameter.name: "a trait"})

        assert actual != bound_rules(destination, {})


def test_a_new_destination_is_one_object() -> None:
    """Adding a destination takes a JSON object and no code."""
    data = deepcopy(RAW)
    data["destinations"].append(NEW)
    catalogue = Catalogue.from_json(data)

    actual = catalogue.find("a new tool")

    assert catalogue.destinations[:-1] == load_catalogue().destinations
    assert (catalogue.destinations[-1], actual.keys) == (actual, ("A Newer Tool",))
    assert example(actual)["traits"].keys() == {"plan"}


def test_two_destinations_never_share_a_name() -> None:
    """A name that could mean two destinations is refused when the catalogue is read."""
    data = deepcopy(RAW)
    data["destinations"].append(NEW | {"aliases": ["AppBoy"]})

    with pytest.raises(PermanentError, match="both 'braze' and 'a-new-tool' go by it"):
        Catalogue.from_json(data)


def test_the_documentation_shows_every_row_and_note() -> None:
    """The page made from the catalogue has each destination, its note and its names."""
    script = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "generate_destinations.py"))

    page = script["render"](load_catalogue())

    for one in load_catalogue().destinations:
        wanted = (f"`{one.slug}`", one.name, one.special_note, *one.notes, *one.all_keys)
        assert [text for text in wanted if text not in page] == []
