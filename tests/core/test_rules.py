"""A rule of a destination, its JSON Schema, its words and the facts its verdict depends on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from airflow_provider_looker_segment.core.rules import (
    DRAFT,
    AnyOf,
    Check,
    Has,
    parse,
    path_of,
    signature,
)
from airflow_provider_looker_segment.exceptions import PermanentError

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", " ", "\n", "\x1f", "\u00a0", "u", "12345", "e@example.com", "e@b\n", "@"]),
    st.text(max_size=6),
    st.lists(st.text(), max_size=1),
    st.dictionaries(st.sampled_from(["email", "Woopra"]), st.text(), max_size=1),
)

leaves = st.builds(
    Has,
    st.sampled_from(
        [
            ("userId",),
            ("anonymousId",),
            ("traits", "email"),
            ("traits", "users.name"),
            ("context", "groupId"),
            ("integrations", "Woopra", "cookie"),
        ]
    ),
    min_length=st.sampled_from([0, 1, 5]),
).flatmap(
    lambda leaf: st.sampled_from(
        [leaf, Has(leaf.path, min_length=leaf.min_length, like_email=True)]
    )
)


def placed(leaf: Has, value: Any) -> dict[str, Any]:
    """Put a value where a leaf looks for it."""
    for key in reversed(leaf.path):
        value = {key: value}
    return dict(value)


@given(leaf=leaves, value=values)
def test_the_schema_and_the_quick_test_agree_on_every_value(leaf: Has, value: Any) -> None:
    """A condition's JSON Schema and its quick test give one answer, whatever stands there."""
    message = placed(leaf, value)

    expected = Draft202012Validator(leaf.schema()).is_valid(message)

    assert expected == leaf.holds(message)


@given(leaf=leaves, value=values, depth=st.integers(0, 2))
def test_the_schema_and_the_quick_test_agree_on_broken_holders(
    leaf: Has, value: Any, depth: int
) -> None:
    """A message whose ``traits`` or ``context`` is no object gets one answer too."""
    holder = Has(leaf.path[: depth + 1])
    message = placed(holder, value)

    expected = Draft202012Validator(leaf.schema()).is_valid(message)

    assert expected == leaf.holds(message)


def test_a_signature_has_each_fact_once() -> None:
    """A fact that two rules share is looked up once."""
    user_id = Has(("userId",))

    facts = signature([user_id, Has(("traits", "email")), user_id])

    assert facts({"userId": "u"}) == 0b01
    assert facts({"userId": "u", "traits": {"email": "e@example.com"}}) == 0b11


def test_a_rule_compiles_to_draft_2020_12() -> None:
    """The schema names its dialect, is valid in it, and has one member per need."""
    schema = parse(["userId", {"any_of": ["traits.email", "traits.name"]}]).schema()

    Draft202012Validator.check_schema(schema)

    assert (schema["$schema"], len(schema["allOf"])) == (DRAFT, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("userId", ("userId",)),
        ("context.groupId", ("context", "groupId")),
        ("traits.users.email", ("traits", "users.email")),
        ("integrations.Customer.io.id", ("integrations", "Customer.io", "id")),
    ],
)
def test_names_in_a_path_may_hold_dots(text: str, expected: tuple[str, ...]) -> None:
    """Only the dots of the path itself split it."""
    assert expected == path_of(text)


@pytest.mark.parametrize(
    "entry",
    [
        {"any_of": []},
        {"all_of": []},
        {"none_of": ["userId"]},
        {"path": "userId", "like": "uuid"},
        {"path": "userId"},
        5,
    ],
)
def test_a_condition_of_no_known_form_is_refused(entry: Any) -> None:
    """A misspelt condition never becomes a rule that accepts everything."""
    with pytest.raises(PermanentError, match=r"forms in destinations\.schema\.json"):
        parse([entry])


@pytest.mark.parametrize(
    ("entry", "code", "words"),
    [
        ("userId", "user_id", "`userId`"),
        ("traits.email", "email", "a trait `email`"),
        ("traits.Users Plan", "users_plan", "a trait `Users Plan`"),
        ("context.groupId", "group_id", "`context.groupId`"),
        (
            "integrations.Woopra.cookie",
            "woopra_cookie",
            "`integrations.Woopra.cookie`",
        ),
        (
            {"path": "userId", "min_length": 5},
            "user_id_of_5_characters",
            "a `userId` of 5 characters or more",
        ),
        (
            {"path": "userId", "like": "email"},
            "user_id_like_email",
            "a `userId` that is an e-mail address",
        ),
        (
            {"any_of": ["userId", "traits.email"]},
            "user_id_or_email",
            "`userId` (or a trait `email`)",
        ),
        (
            {
                "any_of": [
                    "traits.name",
                    {"all_of": ["traits.firstName", "traits.lastName"]},
                    {"all_of": ["traits.first_name", "traits.last_name"]},
                ]
            },
            "name_or_first_name_and_last_name",
            "a trait `name` (or `firstName` and `lastName`)",
        ),
        ({"traits_named_by": "lookup"}, "traits_of_lookup", "the traits that `lookup` names"),
    ],
)
def test_a_condition_has_a_code_and_words(entry: Any, code: str, words: str) -> None:
    """Spellings of one trait are told once, and other ways stand in brackets."""
    rule = parse([entry])

    assert (code, words) == (rule.needs[0].code(), rule.words())


def test_only_the_needs_that_fail_are_named() -> None:
    """A check returns the failing needs in the order of the rule, not those that are met."""
    rule = parse(["userId", "traits.email", "context.groupId"])

    actual = Check(rule).failing({"traits": {"email": "e@example.com"}})

    assert [rule.needs[0], rule.needs[2]] == actual


def test_traits_are_asked_for_once_a_parameter_names_them() -> None:
    """A rule that depends on a parameter accepts everything until it is given."""
    rule = parse([{"any_of": [{"all_of": [{"traits_named_by": "lookup"}]}]}])

    unbound = Check(rule).failing({})
    bound = Check(rule.bound({"lookup": ("crm id",)}, {})).failing({})

    assert (unbound, len(bound)) == ([], 1)


def test_a_filled_path_may_come_from_a_trait() -> None:
    """A path that a parameter fills is met by the trait whose value goes there."""
    rule = parse(["integrations.Woopra.cookie"])
    bound = rule.bound({}, {path_of("integrations.Woopra.cookie"): "woo"})

    assert isinstance(bound.needs[0], AnyOf)
    assert Check(bound).failing({"traits": {"woo": "c"}}) == []


@pytest.mark.parametrize(
    "rule",
    [
        ["userId", {"path": "userId", "min_length": 30}],
        [{"path": "userId", "like": "email"}, "userId"],
        ["userId", {"path": "userId", "like": "email"}],
        [{"any_of": ["integrations.Woopra.cookie", "userId"]}, {"all_of": ["traits.a.b"]}],
        [{"traits_named_by": "lookup"}],
    ],
)
def test_an_example_meets_the_rule_it_was_filled_from(rule: list[Any]) -> None:
    """Filling an example leaves nothing of the rule unmet."""
    message: dict[str, Any] = {}

    parse(rule).fill(message)

    assert Check(parse(rule)).failing(message) == []
