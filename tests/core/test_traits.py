"""Cells become trait values, or problems with a code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.limits import MAX_SAFE_INTEGER
from airflow_provider_looker_segment.core.rows import NumberText
from airflow_provider_looker_segment.core.traits import (
    OMITTED,
    RESERVED_TYPES,
    Arrays,
    Nulls,
    Unsendable,
    converter,
)

json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    value=json_values,
    trait=st.sampled_from(["value", *RESERVED_TYPES]),
    nulls=st.sampled_from(["omit", "send", "reject"]),
    arrays=st.sampled_from(["reject", "join"]),
)
def test_only_strings_and_numbers_leave(
    value: Any, trait: str, nulls: Nulls, arrays: Arrays
) -> None:
    """Whatever a cell holds, what leaves is text, a finite number, a boolean or null."""
    try:
        result = converter(trait, nulls=nulls, arrays=arrays)(value)
    except Unsendable:
        return
    if result is OMITTED:
        assert value is None
        return
    assert type(result) in (str, int, float, bool, type(None))
    text = json.dumps(result, allow_nan=False)
    assert json.loads(text) == result
    if type(result) is str:
        assert "\x00" not in result
        result.encode("utf-8")
    if type(result) is int:
        assert abs(result) <= MAX_SAFE_INTEGER
    if trait in RESERVED_TYPES and result is not None:
        assert isinstance(result, RESERVED_TYPES[trait])
        assert type(result) is not bool


@given(value=st.text())
def test_sendable_text_is_never_changed(value: str) -> None:
    """Text arrives exactly as it was, or not at all."""
    convert = converter("value", nulls="omit", arrays="reject")
    if "\x00" in value:
        with pytest.raises(Unsendable):
            convert(value)
    else:
        assert convert(value) == value


@pytest.mark.parametrize("text", ["\x00", "a\x00", "\ud800", "x\udbff", "\udfff "])
def test_unsendable_text(text: str) -> None:
    """NUL and half a character are found wherever they stand."""
    with pytest.raises(Unsendable, match="unsendable_text"):
        converter("value", nulls="omit", arrays="reject")(text)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
        (-MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER),
        (MAX_SAFE_INTEGER + 1, "9007199254740993"),
        (-MAX_SAFE_INTEGER - 1, "-9007199254740993"),
        (NumberText("0.1000000000000000055"), "0.1000000000000000055"),
        (0.5, 0.5),
    ],
)
def test_numbers(number: Any, expected: Any) -> None:
    """A number goes as text from where a reader of JSON could lose a digit."""
    found = converter("value", nulls="omit", arrays="reject")(number)
    assert (expected, type(expected)) == (found, type(found))


@pytest.mark.parametrize("values", [[float("nan")], [1.0, float("-inf")]])
def test_joined_numbers_are_finite(values: list[float]) -> None:
    """NaN does not become text by being in a list."""
    with pytest.raises(Unsendable, match="not_finite"):
        converter("value", nulls="omit", arrays="join")(values)


def test_omitted_says_its_name() -> None:
    """The mark of a trait that is left out is readable in a debugger."""
    assert repr(OMITTED) == "OMITTED"
