"""What is said about a Look and its destinations before the query runs."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment.core.catalogue import Destination, example, load_catalogue
from airflow_provider_looker_segment.core.destinations import Requirements, Rules
from airflow_provider_looker_segment.core.preflight import listed

NOTHING: dict[str, Any] = {
    "look": "42",
    "has_user_id": False,
    "has_email": False,
    "has_anonymous_id": False,
    "has_group_id": False,
    "traits": [],
    "columns": [],
}


def preflight(*destinations: str, rules: Rules = "both", **has: Any) -> list[str]:
    """Run the preflight of a Look that has what is given, and nothing else."""
    return Requirements(destinations, rules=rules).preflight(**(NOTHING | has))


def test_the_sentence_names_the_need_and_the_columns() -> None:
    """A Look that cannot reach a destination is told what lacks and what it shows instead."""
    actual = preflight(
        "zendesk",
        has_user_id=True,
        has_email=True,
        traits=["users.city", "email"],
        columns=["users.city", "users.email"],
    )

    expected = (
        "Look 42 can never reach Zendesk: it needs a trait `name` (or `firstName` and `lastName`);"
        " the Look shows `users.city`, `users.email`."
    )
    assert actual == [expected]


@pytest.mark.parametrize("destination", load_catalogue().destinations, ids=lambda one: one.slug)
def test_a_look_without_anything_reaches_nobody(destination: Destination) -> None:
    """Every destination needs something, and says so."""
    actual = preflight(destination.slug)

    assert [destination.name in sentence for sentence in actual] == [True]


@pytest.mark.parametrize("destination", load_catalogue().destinations, ids=lambda one: one.slug)
def test_a_look_with_everything_reaches_everybody(destination: Destination) -> None:
    """What a Look can lead to at its best is accepted by every rule."""
    has = {
        "has_user_id": True,
        "has_email": True,
        "has_group_id": True,
        "traits": ["name", "account_uid", *example(destination).get("traits", {})],
    }

    assert preflight(destination.slug, rules="table", **has) == []
    assert preflight(destination.slug, rules="current", **has) == []


@pytest.mark.parametrize(("rules", "expected"), [("both", 0), ("current", 0), ("table", 1)])
def test_a_look_that_one_rule_accepts_is_no_problem(rules: Rules, expected: int) -> None:
    """A destination that one of the two rules would serve is left to the rows."""
    assert len(preflight("iterable", rules=rules, has_user_id=True)) == expected


def test_each_identifier_counts() -> None:
    """An anonymous id and a group id are seen too."""
    assert preflight("kissmetrics", has_anonymous_id=True) == []
    assert preflight("totango", has_user_id=True, has_group_id=True) == []
    assert len(preflight("totango", has_user_id=True)) == 1


def test_a_trait_in_another_spelling_is_pointed_out() -> None:
    """Where renaming traits would be enough, the sentence says which to rename."""
    (actual,) = preflight("zendesk", has_email=True, traits=["First Name", "Last name", "email"])

    assert actual.endswith(
        "Rename `First Name` to `firstName` and `Last name` to `lastName` in the mapping."
    )


def test_a_renaming_that_does_not_suffice_is_not_proposed() -> None:
    """No advice is better than advice that leads nowhere."""
    (actual,) = preflight("zendesk", has_email=True, traits=["First Name", "email"])

    assert "Rename" not in actual


def test_many_columns_are_counted_rather_than_listed() -> None:
    """A sentence stays readable for a Look with hundreds of columns."""
    assert listed([str(number) for number in range(22)]).endswith("`19` and 2 more")
    assert listed([]) == "no column"
