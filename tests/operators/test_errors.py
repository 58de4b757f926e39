"""What Airflow's log shows of an error: readable lines, all frames, nothing twice."""

from __future__ import annotations

import traceback

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.operators.errors import airflow_errors

FACTS = {"should": "be there", "but": "it is gone", "do": "Bring it back."}


def refuse(kind: type[Exception], cause: Exception) -> None:
    """Raise what becomes such an error, as a hook does."""
    raised = TransientError if kind is TransientError else PermanentError
    raise raised("Look 1", **FACTS) from cause


def logged(kind: type[Exception], cause: Exception) -> str:
    """Return the traceback of what leaves an operator."""
    with pytest.raises(kind) as caught, airflow_errors():
        refuse(kind, cause)
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("kind", "name"), [(AirflowFailException, "Exception"), (TransientError, "TransientError")]
)
def test_a_message_has_lines(kind: type[Exception], name: str) -> None:
    """Nothing of it runs off the screen, and the frame that raised it is among the others."""
    said = logged(kind, ValueError("it is gone"))

    assert f"{name}: Look 1\n  should be there,\n  but it is gone.\n  Bring it back.\n" in said
    assert "in refuse" in said


@pytest.mark.parametrize("kind", [AirflowFailException, TransientError])
def test_nothing_is_said_twice(kind: type[Exception]) -> None:
    """A cause whose words the message has quoted is left out; another one stays."""
    quoted = logged(kind, ValueError("it is gone"))
    other = logged(kind, ValueError("errno 2"))

    assert 1 == quoted.count("Traceback")
    assert "exceptions.PermanentError" not in quoted + other
    assert "ValueError: errno 2" in other
