"""Messages are written exactly as the standard library writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.encoding import Encoder

names = st.text(max_size=12)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=2),
)
traits = st.dictionaries(names, values)
bodies = st.one_of(
    st.tuples(st.just("userId"), names, traits),
    st.tuples(st.just("anonymousId"), names, traits),
).map(lambda made: {made[0]: made[1], "traits": made[2]})
bodies |= st.tuples(
    bodies, st.dictionaries(st.sampled_from(["context", "integrations"]), traits)
).map(lambda made: made[0] | made[1])


@given(several=st.lists(bodies, max_size=4))
def test_as_the_standard_library(several: list[dict[str, Any]]) -> None:
    """Whatever a message holds and whatever was encoded before, the text is ``json.dumps``'s."""
    encoder = Encoder()

    assert list(map(json.dumps, several)) == list(map(encoder.encode, several))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), [float("nan")]])
def test_what_is_not_finite_is_refused(value: Any) -> None:
    """No text that is not JSON is ever written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        Encoder().encode({"userId": "7", "traits": {"x": value}})
