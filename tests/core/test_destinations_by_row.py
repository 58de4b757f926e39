"""Each row of the page's table, what it accepts and what it refuses; and both rules together."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.core.destinations import Requirements, Rules, Verdict

CASES = Path(__file__).parents[1] / "cases" / "destinations"
SLUGS = [one.slug for one in load_catalogue().destinations]
EMAIL = {"traits": {"email": "e@example.com"}}
PARAMETERS = {
    "woopra_cookie": "woo",
    "pardot_lookup_field": "crm id",
    "slack_listed_traits": ["plan"],
}
TRIALS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "userId": {
        "accepts": [{"userId": "u"}],
        "refuses": [{}, EMAIL, EMAIL | {"anonymousId": "a"}, EMAIL | {"userId": " "}],
    },
    "email": {
        "accepts": [EMAIL],
        "refuses": [{}, {"userId": "u"}, {"userId": "u", "traits": {"email": ""}}],
    },
    "email userId": {
        "accepts": [EMAIL | {"userId": "u"}],
        "refuses": [{}, EMAIL, {"userId": "u"}],
    },
    "either": {
        "accepts": [EMAIL, {"userId": "u"}],
        "refuses": [{}, {"anonymousId": "a"}, {"traits": {"name": "n"}}],
    },
}


def cases(name: str) -> dict[str, Any]:
    """Read one file of cases."""
    data: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))
    return data


def verdict(destination: str, message: dict[str, Any], rules: Rules = "table") -> Verdict:
    """Judge one message for one destination."""
    (finding,) = Requirements([destination], rules=rules).check(message).findings
    return finding.verdict


MARKS = [
    (row, TRIALS[marks]["accepts"], TRIALS[marks]["refuses"])
    for row, marks in cases("table")["rows"]
    if "special_note" not in marks
]


def test_every_row_of_the_table_is_tried() -> None:
    """A row is tried by its marks or, where it has a note, by the cases of the notes."""
    noted = {case["destination"] for case in cases("special_notes")["cases"]}

    tried = {load_catalogue().find(row).slug for row, _, _ in MARKS} | noted

    assert tried == {load_catalogue().find(row).slug for row, _ in cases("table")["rows"]}


@pytest.mark.parametrize(("row", "accepted", "refused"), MARKS, ids=lambda value: str(value)[:30])
def test_the_marks_of_the_table_decide(
    row: str, accepted: list[dict[str, Any]], refused: list[dict[str, Any]]
) -> None:
    """A message with what the table marks is met; without any one part of it, unmet."""
    actual = [verdict(row, message) for message in accepted + refused]

    assert actual == [Verdict.MET] * len(accepted) + [Verdict.UNMET] * len(refused)


@pytest.mark.parametrize(
    "case", cases("special_notes")["cases"], ids=lambda case: case["destination"]
)
def test_the_special_notes_are_requirements(case: dict[str, Any]) -> None:
    """What a note of the table asks for is checked like everything else."""
    requirements = Requirements(
        [case["destination"]], rules="table", parameters=case.get("parameters")
    )

    actual = [
        requirements.check(message).findings[0].verdict
        for message in case["accepts"] + case["refuses"]
    ]

    expected = [Verdict.MET] * len(case["accepts"]) + [Verdict.UNMET] * len(case["refuses"])
    assert actual == expected


@pytest.mark.parametrize("case", cases("current")["cases"], ids=lambda case: case["destination"])
def test_the_destinations_own_pages_decide_if_asked_to(case: dict[str, Any]) -> None:
    """With ``rules="current"`` the destination's own documentation is the only rule."""
    actual = [
        verdict(case["destination"], message, rules="current")
        for message in case["accepts"] + case["refuses"]
    ]

    expected = [Verdict.MET] * len(case["accepts"]) + [Verdict.UNMET] * len(case["refuses"])
    assert actual == expected


scalars = st.sampled_from([None, "", " ", "u", "12345", "e@example.com", 0, 7.5, True])
messages = st.fixed_dictionaries(
    {
        "traits": st.dictionaries(
            st.sampled_from(
                [
                    "email",
                    "name",
                    "firstName",
                    "lastName",
                    "first_name",
                    "last_name",
                    "account_uid",
                    "plan",
                    "crm id",
                    "woo",
                ]
            ),
            scalars,
        )
    },
    optional={
        "userId": scalars,
        "anonymousId": scalars,
        "context": st.one_of(st.none(), st.dictionaries(st.just("groupId"), scalars)),
        "integrations": st.one_of(
            st.just({}),
            st.just({"Woopra": True}),
            scalars.map(lambda value: {"Woopra": {"cookie": value}}),
        ),
    },
)
remembering = {
    rules: Requirements(SLUGS, rules=rules, parameters=PARAMETERS) for rules in get_args(Rules)
}


@settings(max_examples=60, deadline=None)
@given(message=messages, rules=st.sampled_from(get_args(Rules)))
def test_the_memory_and_the_schemas_agree(message: dict[str, Any], rules: Rules) -> None:
    """A remembered verdict is always the one that the JSON Schemas give."""
    actual = remembering[rules].check(message)

    assert actual == remembering[rules].judge(message)


@settings(max_examples=60, deadline=None)
@given(message=messages, rules=st.sampled_from(get_args(Rules)), more=st.sets(st.text()))
def test_requirements_narrowed_to_a_look_agree_with_the_schemas(
    message: dict[str, Any], rules: Rules, more: set[str]
) -> None:
    """Whatever else the Look shows, and whether a row of it lacks some of its traits."""
    narrowed = remembering[rules].narrowed(more | set(message["traits"]))
    without_traits = {**message, "traits": {}}

    actual = [narrowed.check(one) for one in (message, without_traits)]

    assert actual == [remembering[rules].judge(one) for one in (message, without_traits)]


@settings(max_examples=60, deadline=None)
@given(message=messages)
def test_nothing_that_either_rule_accepts_is_muted(message: dict[str, Any]) -> None:
    """By default a message is unmet only where the table and the current rule both refuse it."""
    of = {
        rules: dict(zip(SLUGS, remembering[rules].check(message).findings, strict=True))
        for rules in get_args(Rules)
    }

    for slug in SLUGS:
        accepted = {of[rules][slug].verdict is Verdict.MET for rules in ("table", "current")}
        expected = {
            frozenset({True}): Verdict.MET,
            frozenset({True, False}): Verdict.DOUBTFUL,
            frozenset({False}): Verdict.UNMET,
        }[frozenset(accepted)]
        assert (slug, of["both"][slug].verdict) == (slug, expected)


@settings(max_examples=60, deadline=None)
@given(message=messages)
def test_a_message_is_never_changed(message: dict[str, Any]) -> None:
    """Checking and switching leave the message as it was."""
    before = deepcopy(message)
    requirements = remembering["both"]

    requirements.integrations(requirements.check(message), message)

    assert message == before
