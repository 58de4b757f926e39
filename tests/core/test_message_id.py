"""A message's id is the same in every retry and another whenever sending again is meant."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.message_id import MessageIds

RUN = {
    "write_key_fingerprint": "f1",
    "sync_id": "dag/42",
    "window_end": "2019-06-01T00:00:00+00:00",
    "generation": "0.0",
}
BODY = '{"userId": "1", "traits": {}}'


def test_pinned() -> None:
    """The same run and message have the same id in every version: Segment remembers ids."""
    assert MessageIds(**RUN).of(BODY) == "de1565268aa1ddbf603ae86d1946cc5a"


@given(body=st.text().map(json.dumps))
def test_same_in_same_out(body: str) -> None:
    """An id is 32 hex digits that depend on nothing else, in any order of messages."""
    ids = MessageIds(**RUN)
    first = ids.of(body)
    ids.of("another")
    assert ids.of(body) == first == MessageIds(**RUN).of(body)
    assert re.fullmatch("[0-9a-f]{32}", first)


@pytest.mark.parametrize("part", RUN)
def test_any_part_counts(part: str) -> None:
    """Another workspace, Look, window or generation has other ids."""
    assert MessageIds(**{**RUN, part: RUN[part] + "0"}).of(BODY) != MessageIds(**RUN).of(BODY)


@given(one=st.text(), other=st.text())
def test_content_counts(one: str, other: str) -> None:
    """Two messages share an id exactly where they say the same."""
    ids = MessageIds(**RUN)
    assert (ids.of(json.dumps(one)) == ids.of(json.dumps(other))) == (one == other)


def test_parts_have_borders() -> None:
    """A letter that moves from one part to the next makes another id."""
    moved = {**RUN, "write_key_fingerprint": "f", "sync_id": "1dag/42"}
    assert MessageIds(**moved).of(BODY) != MessageIds(**RUN).of(BODY)
