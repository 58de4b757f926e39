"""Identifiers become the strings that Segment stores, or problems."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.identity import (
    BLOCKED_IDS,
    EMAIL_NAMESPACE,
    anonymous_id_of,
    email_address,
    fingerprint,
    identifier,
    trimmed,
)
from airflow_provider_looker_segment.core.rows import NumberText

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(alphabet="0-'\" \u200b\u00a0nul\x00\ud800"),
    st.sampled_from(sorted(BLOCKED_IDS)),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
)


@given(value=anything)
def test_identifier_is_text_or_a_code(value: Any) -> None:
    """An id is trimmed, sendable text that stands for somebody; else it is empty."""
    text, code = identifier(value)
    assert type(text) is str
    assert not (text and code)
    assert trimmed(text) == text
    assert text.casefold() not in BLOCKED_IDS
    assert "\x00" not in text
    text.encode("utf-8")


@given(value=anything)
def test_identifier_is_idempotent(value: Any) -> None:
    """What is an id once stays that id."""
    text, _ = identifier(value)
    assert identifier(text) == (text, "")


@pytest.mark.parametrize("word", sorted(BLOCKED_IDS))
@pytest.mark.parametrize("form", ["{}", " {}\u00a0", "'{}'", '"{}"', "\"' {} '\""])
def test_blocked_words(word: str, form: str) -> None:
    """A blocked word is blocked in any case and whatever surrounds it."""
    assert identifier(form.format(word)) == ("", "id_blocked")
    assert identifier(form.format(word).upper()) == ("", "id_blocked")


def test_blocked_words_are_the_callers() -> None:
    """Another set of blocked words can be given."""
    assert identifier("guest", blocked=frozenset({"admin"})) == ("guest", "")
    assert identifier("Admin", blocked=frozenset({"admin"})) == ("", "id_blocked")


@given(number=st.integers(1, 10**40))
def test_digits_survive(number: int) -> None:
    """A whole number has the same id however Looker writes it."""
    assert identifier(number + 1) == (str(number + 1), "")
    assert identifier(NumberText(f"{number + 1}.0")) == (str(number + 1), "")
    assert identifier(f"00{number}") == (f"00{number}", "")


@given(email=st.emails())
def test_anonymous_id_is_stable(email: str) -> None:
    """The id derived from an address depends on the address alone, not on case and blanks."""
    derived = anonymous_id_of(email)
    assert uuid.UUID(derived).version == 5
    assert anonymous_id_of(f" {email}\u00a0") == derived
    assert anonymous_id_of(email.lower()) == derived


def test_anonymous_id_is_pinned() -> None:
    """The namespace never changes: another would mint new billed users."""
    assert str(EMAIL_NAMESPACE) == "5d3a0c3e-6a0f-5c57-9f0e-8f7f4e2b1a64"
    assert anonymous_id_of("ty@example.com") == "fa9aec98-08c5-557d-b1ed-679069a949fe"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ("", "")),
        (" ", ("", "")),
        (" A@b.c ", ("A@b.c", "")),
        ("a@b@c", ("a@b@c", "email_invalid")),
        ("n/a", ("n/a", "email_invalid")),
        ("a b@c.d", ("a b@c.d", "email_invalid")),
        ("a\x00@b.c", ("", "email_unsendable_text")),
        (5, ("", "email_not_text")),
        (True, ("", "email_not_text")),
        (NumberText("1e999"), ("", "email_not_text")),
    ],
)
def test_email_address(value: Any, expected: tuple[str, str]) -> None:
    """An address keeps its case; other text comes back with a code; nothing else is one."""
    assert expected == email_address(value)


@given(
    one=st.lists(st.text(max_size=3), max_size=4), other=st.lists(st.text(max_size=3), max_size=4)
)
def test_fingerprint_knows_borders(one: list[str], other: list[str]) -> None:
    """Two fingerprints are equal exactly where all parts are."""
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)
    assert len(fingerprint(*one)) == 16


def test_fingerprint_takes_any_text() -> None:
    """Half a character in a part is no error."""
    assert fingerprint("\ud800") != fingerprint("\udc00")


def test_an_id_nearer_to_zero_than_any_decimal_is_a_fraction() -> None:
    """It is one row's problem, whatever its exponent."""
    assert ("", "id_fraction") == identifier(NumberText("1e-99999999999999999999"))
