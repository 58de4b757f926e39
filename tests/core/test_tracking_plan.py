"""What a Segment tracking plan asks of traits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_looker_segment.core.mapping import Mapping
from airflow_provider_looker_segment.core.problems import RejectedRow
from airflow_provider_looker_segment.core.tracking_plan import traits_rules
from airflow_provider_looker_segment.core.validation import Validator
from airflow_provider_looker_segment.exceptions import PermanentError

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
TRAITS = {
    "type": "object",
    "properties": {"plan": {"enum": ["free", "pro"]}, "age": {"type": ["integer", "null"]}},
    "required": ["plan"],
}


def schema(traits: Any, **more: Any) -> dict[str, Any]:
    """A rule's schema, as Segment writes it."""
    properties = {"context": {}, "properties": {}, "traits": traits}
    return {"$schema": DRAFT_7, "type": "object", "properties": properties, **more}


def rule(kind: str, traits: Any, version: int = 1, **more: Any) -> dict[str, Any]:
    """A rule of the Public API."""
    return {"type": kind, "key": None, "version": version, "jsonSchema": schema(traits, **more)}


RULES = [
    rule("TRACK", {"type": "object", "required": ["never asked of traits"]}),
    rule("IDENTIFY", TRAITS),
    rule("COMMON", {}),
]
EXPORTS = {
    "rules of the Public API": {"data": {"rules": RULES, "pagination": {"current": "MA=="}}},
    "a plan of the Public API": {"data": {"trackingPlan": {"id": "tp_1", "rules": RULES}}},
    "plan.json of Typewriter": {"id": "tp_1", "name": "Site", "rules": RULES},
    "a plan of the Config API": {
        "name": "workspaces/w/tracking-plans/rs_1",
        "rules": {"global": {}, "events": [], "identify": schema(TRAITS), "identify_traits": []},
    },
}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS)
def test_every_export_checks_the_traits_of_identify_calls(export: dict[str, Any]) -> None:
    """Whatever shape a plan was exported in, its rule for identify calls decides."""
    validator = Validator(traits_schema=json.loads(json.dumps(export)))

    validator.check({"plan": "pro", "age": None, "unplanned": "x"})
    for traits, problem in (
        ({"plan": "secret"}, "$.plan enum"),
        ({"plan": "pro", "age": "secret"}, "$.age type"),
        ({}, "$ required"),
    ):
        with pytest.raises(RejectedRow) as caught:
            validator.check(traits)
        assert ("traits_schema", problem) == (caught.value.code, caught.value.column)


def test_a_schema_passes_as_it_is() -> None:
    """What is no plan is not touched."""
    assert traits_rules(TRAITS) is TRAITS


def test_the_rule_for_all_calls_counts_too() -> None:
    """What the plan asks of every call, it asks of identify calls."""
    common = rule("COMMON", {"required": ["source"]})

    assert {"$schema": DRAFT_7, "allOf": [{"required": ["source"]}, TRAITS]} == traits_rules(
        {"rules": [rule("IDENTIFY", TRAITS), common]}
    )


def test_the_newest_version_of_a_rule_counts() -> None:
    """An older version of the rule asks nothing any more."""
    rules = [rule("IDENTIFY", TRAITS, version=2), rule("IDENTIFY", {"required": ["old"]})]

    assert [TRAITS] == traits_rules({"rules": rules})["allOf"]


def test_a_plan_keeps_its_definitions() -> None:
    """A rule may refer to what its own schema defines."""
    traits = {"properties": {"age": {"$ref": "#/definitions/age"}}}
    plan = {"rules": [rule("IDENTIFY", traits, definitions={"age": {"maximum": 150}})]}
    validator = Validator(traits_schema=plan)

    validator.check({"age": 150})
    with pytest.raises(RejectedRow) as caught:
        validator.check({"age": 151})
    assert "$.age maximum" == caught.value.column


@pytest.mark.parametrize(
    "plan",
    [
        {"rules": []},
        {"data": {"rules": [rule("TRACK", TRAITS)]}},
        {"rules": [rule("IDENTIFY", {})]},
        {"rules": [{"type": "IDENTIFY"}]},
        {"rules": {"events": []}},
        {"rules": {"identify": schema({})}},
    ],
)
def test_a_plan_that_asks_nothing_is_refused(plan: dict[str, Any]) -> None:
    """A plan whose rules are missing never passes as one that every message meets."""
    with pytest.raises(PermanentError, match="should hold rules for the traits of identify calls"):
        Mapping.of({"traits_schema": plan})


def test_a_plan_that_is_no_schema_is_refused_with_the_mapping() -> None:
    """The fault is found when the mapping is read, before any query."""
    with pytest.raises(PermanentError, match="should be a JSON Schema"):
        Mapping.of({"traits_schema": {"rules": [rule("IDENTIFY", {"type": "nothing"})]}})
