"""The contract of a sync: what of a Look may change without anybody's consent."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment.core.contract import check, contract
from airflow_provider_looker_segment.core.look import read_look
from airflow_provider_looker_segment.core.mapping import Mapping, plan
from airflow_provider_looker_segment.exceptions import PermanentError

PINNED = {
    "ids": {"user_id": "users.id", "email": "users.email"},
    "traits": {"users.email": ["email", "string"], "users.plan": ["Plan", "string"]},
    "filters": {"users.state": "CA"},
    "limit": "",
    "row_limit": "",
}


def changed(**parts: Any) -> dict[str, Any]:
    """Return the contract with some parts replaced."""
    return {**PINNED, **parts}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (
            changed(traits={**PINNED["traits"], "users.plan": ["Tier", "string"]}),
            "`users.plan` was sent as `Plan` and would be sent as `Tier`",
        ),
        (
            changed(traits={**PINNED["traits"], "users.plan": ["Plan", "number"]}),
            "`users.plan` was of type string and is of type number",
        ),
        (
            changed(traits={"users.email": ["email", "string"]}),
            "the trait `Plan` from `users.plan` is gone",
        ),
        (changed(filters={}), "the filter `users.state` was 'CA' and is absent"),
        (changed(filters={"users.state": "NY"}), "was 'CA' and is 'NY'"),
        (
            changed(filters={**PINNED["filters"], "users.age": ">5"}),
            "the filter `users.age` was absent and is '>5'",
        ),
        (
            changed(ids={"user_id": "users.uid", "email": "users.email"}),
            "user_id came from `users.id` and comes from `users.uid`",
        ),
        (changed(ids={"user_id": "users.id"}), "email came from `users.email` and comes from no"),
    ],
)
def test_what_breaks_it(now: dict[str, Any], said: str) -> None:
    """Old and new are named, and the way to accept them."""
    with pytest.raises(PermanentError) as caught:
        check(PINNED, now, where="Look 42")

    assert said in str(caught.value)
    assert "accept_changes=True" in str(caught.value)
    assert "A limit needs" not in str(caught.value)


@pytest.mark.parametrize(
    ("pinned", "now", "remedy"),
    [
        (PINNED, changed(limit="100"), "Say with row_limit= what the limit means, which accepts"),
        (PINNED, changed(limit="100", filters={}), "A limit needs row_limit=, too"),
        (changed(row_limit="look"), changed(limit="100"), "A limit needs row_limit=, too"),
        (changed(row_limit="look"), changed(limit="100", row_limit="look"), "accept_changes=True"),
    ],
)
def test_what_helps_against_another_limit(
    pinned: dict[str, Any], now: dict[str, Any], remedy: str
) -> None:
    """Only what helps is said: who does not say what a limit means cannot accept it."""
    with pytest.raises(PermanentError) as caught:
        check(pinned, now, where="Look 42")
    assert "the row limit was none and is 100" in str(caught.value)
    assert remedy in str(caught.value)
    assert ("which accepts" in remedy) != ("accept_changes=True" in str(caught.value))
    assert ("A limit needs" in remedy) == ("A limit needs" in str(caught.value))


def test_a_limit_that_is_no_other_needs_nothing() -> None:
    """Where only the filters are others, nothing is said of limits."""
    limited = changed(limit="100", row_limit="look")
    with pytest.raises(PermanentError) as caught:
        check(limited, {**limited, "row_limit": "", "filters": {}}, where="Look 42")

    assert "limit" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "is_refused"),
    [
        ("in_a", "in_a", False),
        ("in_a", "in_b", True),
        ("in_a", None, False),
        (None, "in_b", False),
    ],
)
def test_how_leaving_is_told_stays(old: str | None, new: str | None, *, is_refused: bool) -> None:
    """Modes that tell nobody of it, and records of earlier versions, say nothing about it."""
    pinned, now = changed(leaving=old), changed(leaving=new)
    if is_refused:
        with pytest.raises(PermanentError, match="who left was told by in_a and would be told by"):
            check(pinned, now, where="Look 42")
    else:
        assert [] == check(pinned, now, where="Look 42")
        assert [] == check(PINNED, now, where="Look 42")


def test_a_new_trait_is_a_warning() -> None:
    """More is told about a user than before, and nothing else."""
    now = changed(traits={**PINNED["traits"], "users.age": ["Age", "number"]})

    assert [] == check(PINNED, PINNED, where="Look 42")
    assert ["Look 42: the trait `Age` from `users.age` is new"] == (
        check(PINNED, now, where="Look 42")
    )


@pytest.mark.parametrize("row_limit", ["look", "all", "200"])
def test_who_newly_says_what_a_limit_means_accepts_it(row_limit: str) -> None:
    """By this one argument, and with a warning; only where none had said anything before."""
    now = changed(limit="100", row_limit=row_limit)

    assert [f"Look 42: the row limit was none and is 100; row_limit={row_limit} decides now"] == (
        check(PINNED, now, where="Look 42")
    )
    earlier = {name: value for name, value in PINNED.items() if name != "row_limit"}
    for pinned in (changed(row_limit=row_limit), changed(row_limit="300"), earlier):
        with pytest.raises(PermanentError, match="the row limit was none and is 100"):
            check(pinned, now, where="Look 42")
    with pytest.raises(PermanentError, match="the row limit was 100 and is none"):
        check(now, changed(), where="Look 42")


@pytest.mark.parametrize(
    ("limit", "pinned"), [("500", ""), ("5000", ""), (None, ""), ("100", "100")]
)
def test_what_is_pinned(limit: str | None, pinned: str) -> None:
    """Columns, ids, filters, a custom filter, and a limit that somebody chose."""
    dimensions = [
        {"name": "users.id", "label": "ID", "label_short": "id", "type": "number"},
        {"name": "users.email", "label": "Email", "label_short": "email", "type": "string"},
    ]
    query = {
        "model": "m",
        "view": "users",
        "fields": ["users.id", "users.email"],
        "filters": {"users.state": "CA"},
        "filter_expression": "${users.age} > 5",
        "limit": limit,
    }
    explore = {"fields": {"dimensions": dimensions}}
    look = read_look({"id": "42", "title": "", "query": query}, explore)
    found = contract(plan(look, Mapping(user_id="users.id")), row_limit="look")

    assert {"user_id": "users.id", "email": "users.email"} == found["ids"]
    assert {"users.email": ["email", "string"]} == found["traits"]
    assert {"users.state": "CA", "custom filter": "${users.age} > 5"} == found["filters"]
    assert (pinned, "look") == (found["limit"], found["row_limit"])
