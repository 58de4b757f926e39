"""Which columns identify and which become traits; the single laws are files in cases/mapping."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment.core.look import Column, Look
from airflow_provider_looker_segment.core.mapping import (
    CONVENTIONAL_NAMES,
    Mapping,
    check_trait_name,
    normal,
    plan,
)
from airflow_provider_looker_segment.exceptions import PermanentError


def column(name: str, **more: Any) -> Column:
    """A column that the Look shows by the short form of its name."""
    short = name.rpartition(".")[2]
    return Column(**{"name": name, "label": name, "label_short": short, "displayed": short} | more)


def look(*columns: Column, **query: Any) -> Look:
    """A Look with these columns."""
    return Look(id="1", title="Cohort", query=query, columns=columns)


def test_plan() -> None:
    """A plan knows the column of every role, the traits in order, and the ids among them."""
    user, mail, name = column("u.user_id"), column("u.email"), column("u.name")
    found = plan(look(name, mail, user), Mapping())
    assert (found.user_id, found.email, found.anonymous_id, found.group_id) == (
        user,
        mail,
        None,
        None,
    )
    assert found.traits == (("name", name), ("email", mail))
    assert found.identifiers == (user, mail)
    assert found.warnings == ()
    assert not found.pivoted
    assert found.derives_anonymous_ids
    assert not plan(look(name, mail, user), Mapping(email_only="reject")).derives_anonymous_ids
    assert not plan(look(name, user), Mapping()).derives_anonymous_ids


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (["u.user_id"], ["email"]),
        (["u.email"], ["userId"]),
        (["u.anonymousId"], ["userId", "email"]),
    ],
)
def test_advice(names: list[str], lacking: list[str]) -> None:
    """A Look that lacks one of the two recommended identifiers gets a warning for each."""
    warnings = plan(look(*map(column, names)), Mapping()).warnings
    assert [f"has no {name} column" in text for name, text in zip(lacking, warnings, strict=True)]
    assert all("Segment recommends" in text for text in warnings)


def test_mapping_from_plain_data() -> None:
    """A mapping reads like the dict a user writes; a null is the default."""
    said = {"user_id": "u.id", "exclude": ["u.a"], "forbid_traits": ["x"], "email": None}
    expected = Mapping(user_id="u.id", exclude=("u.a",), forbid_traits=("x",))
    assert Mapping.of(said) == expected
    assert Mapping.of(expected) == expected
    assert Mapping.of(None) == Mapping()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"userid": "x"}, "userid is none of them"),
        ({5: "x"}, "5 is none of them"),
        ({"user_id": ""}, "mapping.user_id should meet minLength: 1"),
        ({"user_id": 5}, 'mapping.user_id should meet type: "string"'),
        ({"rename": {"u.a": 1}}, "mapping.rename['u.a'] should meet type"),
        ({"exclude": "u.a"}, 'mapping.exclude should meet type: "array"'),
        (Mapping(nulls="drop"), "mapping.nulls should meet enum"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_mapping_is_checked(said: Any, message: str) -> None:
    """A mapping that is wrong fails with its path and what is allowed."""
    with pytest.raises(PermanentError) as caught:
        Mapping.of(said)
    assert message in str(caught.value)


@pytest.mark.parametrize("role", CONVENTIONAL_NAMES)
def test_conventional_names_are_normal(role: Any) -> None:
    """Conventional names are written as they are compared."""
    assert all(normal(name) == name for name in CONVENTIONAL_NAMES[role])


@pytest.mark.parametrize(
    "name", ["userId", "user_id", "user id", "USER-ID", "User Id", "users.user_id"]
)
def test_user_id_spellings(name: str) -> None:
    """The id is found in every usual spelling."""
    found = plan(look(column(name)), Mapping()).user_id
    assert found is not None


@pytest.mark.parametrize("name", ["users.id", "user_ids", "the_user_id", "emails", "email_count"])
def test_other_names_identify_nobody(name: str) -> None:
    """A name that is only similar is not guessed."""
    with pytest.raises(PermanentError, match="should hold a userId or an email"):
        plan(look(column(name)), Mapping())


def test_only_shown_email_is_one() -> None:
    """An address named by the mapping is sent even if the Look hides it; it was asked for."""
    mail = column("u.contact", hidden=True)
    found = plan(look(mail), Mapping(email="u.contact"))
    assert found.traits == (("email", mail),)


def test_a_hidden_id_still_identifies() -> None:
    """What a Look hides is no trait; a hidden address is found by nobody but the mapping."""
    user, mail, name = (column(f"u.{one}", hidden=True) for one in ("user_id", "email", "name"))
    found = plan(look(user, mail, name), Mapping())

    assert (user, None, ()) == (found.user_id, found.email, found.traits)


def test_an_address_that_is_the_id_is_a_trait_too() -> None:
    """Other ids are none."""
    mail, anonymous = column("u.email"), column("u.anonymous_id")
    found = plan(look(mail, anonymous), Mapping(user_id="u.email"))

    assert (mail, mail, anonymous) == (found.user_id, found.email, found.anonymous_id)
    assert (("email", mail),) == found.traits


def test_traits_may_have_the_names_of_columns() -> None:
    """Whatever the Look shows them by; a rename and the prefix hold all the same."""
    columns = column("u.user_id"), column("u.plan", displayed="Plan"), column("u.city")
    mapping = Mapping(trait_names="name", rename={"u.city": "town"}, prefix="x ")

    assert ["x u.plan", "town"] == [name for name, _ in plan(look(*columns), mapping).traits]


def test_no_columns() -> None:
    """A Look without columns says so."""
    with pytest.raises(PermanentError, match="but they are none"):
        plan(look(), Mapping())


@pytest.mark.parametrize("name", ["", " \t", "context", "a\x00", "\udc00"])
def test_bad_trait_names(name: str) -> None:
    """A trait has a name of its own that can be sent."""
    with pytest.raises(PermanentError, match="should have a name of its own"):
        check_trait_name("Look 1", name, Mapping(), column="`u.a`")
