"""A message's id is the same in every retry and another whenever sending again is meant."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.message_id import MessageIds

RUN: dict[str, Any] = {
    "write_key_fingerprint": "f1",
    "sync_id": "dag/42",
    "run": ("2019-06-01T00:00:00+00:00", "scheduled__2019-06-01"),
    "generation": "3.1.3",
}
BODY = '{"userId": "1", "traits": {}}'


def test_pinned() -> None:
    """The same run and message have the same id in every version: Segment remembers ids."""
    assert MessageIds(**RUN).of(BODY) == "8d210f0319a89fbb9140be251cffbb4e"


@given(body=st.text().map(json.dumps))
def test_same_in_same_out(body: str) -> None:
    """An id is 32 hex digits that depend on nothing else, in any order of messages."""
    ids = MessageIds(**RUN)
    first = ids.of(body)
    ids.of("another")
    assert ids.of(body) == first == MessageIds(**RUN).of(body)
    assert re.fullmatch("[0-9a-f]{32}", first)


@pytest.mark.parametrize(
    "change",
    [
        {"write_key_fingerprint": "f2"},
        {"sync_id": "dag/43"},
        {"run": ("2019-06-02T00:00:00+00:00", "scheduled__2019-06-01")},
        {"run": ("2019-06-01T00:00:00+00:00", "manual__2019-06-01")},
        {"generation": "3.2.3"},
    ],
)
def test_any_part_counts(change: dict[str, Any]) -> None:
    """Another workspace, Look, window, DAG run or generation has other ids."""
    assert MessageIds(**{**RUN, **change}).of(BODY) != MessageIds(**RUN).of(BODY)


@given(one=st.text(), other=st.text())
def test_content_counts(one: str, other: str) -> None:
    """Two messages share an id exactly where they say the same."""
    ids = MessageIds(**RUN)
    assert (ids.of(json.dumps(one)) == ids.of(json.dumps(other))) == (one == other)


def test_parts_have_borders() -> None:
    """A letter that moves from one part to the next makes another id."""
    moved = {**RUN, "write_key_fingerprint": "f", "sync_id": "1dag/42"}
    assert MessageIds(**moved).of(BODY) != MessageIds(**RUN).of(BODY)
