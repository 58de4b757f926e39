"""What a snapshot compares and what a run of a sync sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.encoding import encode
from airflow_provider_looker_segment.core.history import Told
from airflow_provider_looker_segment.core.snapshot import (
    Composer,
    Names,
    Rules,
    identity,
    skeleton,
)
from airflow_provider_looker_segment.exceptions import PermanentError

CHANGED = Rules("changed")
MEMBERSHIP = Rules("mirror", "membership", "in_cohort")
CLEAR = Rules("mirror", "clear")
BODY: dict[str, Any] = {"userId": "u", "traits": {"a": 1, "name": "N", "b": None}}

traits = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5))


def composer(rules: Rules = CHANGED, *names: str) -> Composer:
    """Return a composer of a sync whose names are known."""
    return Composer(rules, Names(names))


@given(traits)
def test_the_order_of_columns_is_no_change(said: dict[str, Any]) -> None:
    """The same traits in another order have one fingerprint."""
    turned = dict(reversed(list(said.items())))

    assert composer().fingerprint({"userId": "u", "traits": said}) == composer().fingerprint(
        {"traits": turned, "userId": "u"}
    )


ids = st.text(max_size=6) | st.sampled_from(['"', "\\", ',"anonymousId":', ',"traits":{', '"}'])


@given(
    rules=st.sampled_from([CHANGED, MEMBERSHIP, CLEAR]),
    who=st.fixed_dictionaries({"userId": ids}, optional={"anonymousId": ids})
    | st.fixed_dictionaries({"anonymousId": ids}),
    said=traits,
)
def test_a_message_that_is_text_is_no_other(
    rules: Rules, who: dict[str, str], said: dict[str, Any]
) -> None:
    """Whichever ids it has, and whatever they look like, its fingerprint is the same."""
    in_order = {name: who[name] for name in ("userId", "anonymousId") if name in who}
    body = {**in_order, "traits": dict(sorted(said.items()))}

    assert composer(rules).fingerprint(body) == composer(rules).fingerprint_of_text(encode(body))


@pytest.mark.parametrize(
    "other",
    [
        {**BODY, "traits": {"a": 1, "Name": "N", "b": None}},
        {**BODY, "traits": {"a": 1.5, "name": "N", "b": None}},
        {**BODY, "traits": {"a": 1, "name": "N"}},
        {**BODY, "context": {"groupId": "g"}},
        {**BODY, "integrations": {"All": False}},
    ],
)
def test_what_is_sent_is_what_is_compared(other: dict[str, Any]) -> None:
    """A renamed trait, another value, group or destination is a change."""
    assert composer().fingerprint(BODY) != composer().fingerprint(other)


def test_other_rules_make_another_message() -> None:
    """Whoever changes the mode or the membership trait sends everything once."""
    rules = [CHANGED, MEMBERSHIP, CLEAR, Rules("mirror", "membership", "another")]

    assert len(rules) == len({composer(one).fingerprint(BODY) for one in rules})


def test_only_membership_has_a_trait() -> None:
    """Of other rules a name for it is not used."""
    others = [Rules("changed", "membership", "in_cohort"), Rules("mirror", "clear", "in_cohort")]

    assert ["in_cohort", "", ""] == [rules.trait for rules in (MEMBERSHIP, *others)]


@pytest.mark.parametrize(
    ("rules", "told", "expected"),
    [
        (CHANGED, Told.IN, {"a": 1, "name": "N", "b": None, "gone": None}),
        (MEMBERSHIP, Told.IN, {"a": 1, "name": "N", "b": None, "gone": None, "in_cohort": True}),
        (MEMBERSHIP, Told.LEFT, {"a": 1, "name": "N", "b": None, "gone": None, "in_cohort": False}),
        (CLEAR, Told.IN, {"a": 1, "name": "N", "b": None, "gone": None}),
        (CLEAR, Told.LEFT, {"name": "N", "gone": None}),
    ],
)
def test_a_message_says_all_that_segment_should_hold(
    rules: Rules, told: Told, expected: dict[str, Any]
) -> None:
    """Null for each trait that Segment may hold and the message lacks."""
    names = Names(["gone", "name"])
    message, after = Composer(rules, names).message(BODY, told, names.of({"gone": 1, "name": 1}))

    assert expected == message["traits"]
    assert {n for n, v in expected.items() if v is not None} == set(names.listed(after))


@pytest.mark.parametrize(
    ("rules", "expected", "left"),
    [
        (MEMBERSHIP, {"email": "e", "in_cohort": False}, {"gone", "name", "in_cohort", "email"}),
        (CLEAR, {"email": "e", "gone": None}, {"name", "email"}),
    ],
)
def test_a_leave_message_says_no_more_than_that(
    rules: Rules, expected: dict[str, Any], left: set[str]
) -> None:
    """False, or null for what is not reserved; the e-mail says who it is."""
    names = Names(["gone", "name", "email"])
    kept = skeleton(
        {"userId": "u", "traits": {"email": "e", "a": 1}, "integrations": {"All": False}}
    )
    known = names.of({"gone": 1, "name": 1, "email": 1})
    message, after = Composer(rules, names).leave(kept, known)

    assert {"userId": "u", "traits": expected, "integrations": {"All": False}} == message
    assert left == set(names.listed(after))


def test_a_row_is_about_its_user_id_first() -> None:
    """An anonymous id counts where there is no other."""
    assert ("userId", "u") == identity({"userId": "u", "anonymousId": "a"})
    assert ("anonymousId", "a") == identity({"anonymousId": "a"})


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        (Rules("mirror", "membership", " "), "has no name"),
        (Rules("mirror", "membership", "plan"), "already sent"),
        (Rules("mirror", "membership", "email"), "Segment fixes"),
        (Rules("mirror", "membership", "traits"), "would shadow"),
    ],
)
def test_a_membership_trait_is_a_trait_of_its_own(rules: Rules, complaint: str) -> None:
    """No column, no reserved trait and no nameless one can be it."""
    with pytest.raises(PermanentError, match=complaint):
        rules.check(["plan"], where="Look 42")


@pytest.mark.parametrize("rules", [CHANGED, CLEAR, MEMBERSHIP])
def test_a_trait_of_its_own_is_taken(rules: Rules) -> None:
    """Other modes need none."""
    rules.check(["plan"], where="Look 42")


@given(st.lists(st.text(max_size=4), unique=True), st.data())
def test_names_are_translated_by_name(names: list[str], data: st.DataObject) -> None:
    """Bits of one list stand for the same names in another, in any order."""
    mine, theirs = Names(names), Names(reversed(names))
    chosen = data.draw(st.sets(st.sampled_from(names))) if names else set()
    bits = mine.of(dict.fromkeys(chosen, 1))

    assert chosen == set(theirs.listed(mine.translated(bits, theirs)))
    assert names == mine.as_list()
