"""Errors say where, should, but and do, and keep their facts."""

from __future__ import annotations

import copy
import pickle

import pytest

from airflow_provider_looker_segment.exceptions import (
    LookerSegmentError,
    PermanentError,
    TransientError,
)

FACTS = {"should": "be there", "but": "it is gone", "do": "Bring it back."}


@pytest.mark.parametrize("kind", [LookerSegmentError, PermanentError, TransientError])
def test_message(kind: type[LookerSegmentError]) -> None:
    """Every message has the same four parts, and each is a fact of its own."""
    error = kind("Look 1", **FACTS)
    assert str(error) == "Look 1 should be there, but it is gone. Bring it back."
    assert (error.where, error.should, error.but, error.do) == ("Look 1", *FACTS.values())


def test_a_sentence_that_was_found_ends_once() -> None:
    """What Looker or Segment say may bring its own full stop."""
    assert "but it is gone. Bring" in str(
        PermanentError("Look 1", **{**FACTS, "but": "it is gone."})
    )


def test_what_to_do_is_the_type() -> None:
    """An error is permanent or transient, never both."""
    assert issubclass(PermanentError, LookerSegmentError)
    assert issubclass(TransientError, LookerSegmentError)
    assert not issubclass(PermanentError, TransientError)
    assert not issubclass(TransientError, PermanentError)


@pytest.mark.parametrize("seconds", [None, 3.5])
def test_facts_survive_processes(seconds: float | None) -> None:
    """An error that crosses a process border keeps its type, its message and its delay."""
    error = TransientError("Segment", **FACTS, retry_after_s=seconds)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is TransientError
        assert str(twin) == str(error)
        assert (twin.retry_after_s, twin.args) == (seconds, error.args)


def test_transient_by_default_names_no_delay() -> None:
    """Where the other side asked for no delay, none is invented."""
    assert TransientError("Segment", **FACTS).retry_after_s is None
