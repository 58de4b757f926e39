"""What rests in chunks says the same as what is sent, and its length is told truly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.encoding import encode, may_exceed, sent_bytes

names = st.text(max_size=12)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
traits = st.dictionaries(names, values)
bodies = st.fixed_dictionaries(
    {"userId": names, "traits": traits},
    optional={"context": st.dictionaries(names, names), "integrations": traits},
)


@given(body=bodies)
def test_nothing_changes(body: dict[str, Any]) -> None:
    """The text parses to the same message: the same order of keys, the same kinds of numbers."""
    assert json.dumps(body) == json.dumps(json.loads(encode(body)))


@given(body=bodies)
def test_the_length_is_the_clients(body: dict[str, Any]) -> None:
    """The client escapes what is not ASCII and puts blanks after commas and colons."""
    sent = sent_bytes(body)

    assert len(json.dumps(body).encode()) == sent
    assert may_exceed(encode(body), sent - 1)


def test_what_is_not_finite_is_refused() -> None:
    """No number that is not JSON is counted as sendable."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        sent_bytes({"traits": {"x": float("nan")}})
