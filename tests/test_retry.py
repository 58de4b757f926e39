"""A failed task is tried again when the other side wants it, and not where it would fail alike."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment import retry
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.task_groups import RETRIES

with_policies = pytest.mark.skipif(not retry.POLICY, reason="Airflow has no retry policies yet")
SAID = {"should": "answer", "but": "it does not", "do": "Wait."}


def task(**choices: Any) -> dict[str, Any]:
    """Return a context with a task that waits as ``look_to_segment()`` lets it wait."""
    settings = {name: value for name, value in RETRIES.items() if name != "retries"}
    return {"task": SimpleNamespace(**{**settings, **choices})}


def decide(exception: BaseException, context: Any = None, *, try_number: int = 1) -> Any:
    """Ask the policy about a failure."""
    policy = retry.POLICY["retry_policy"]
    return policy.evaluate(exception, try_number, 3, context or task())


@with_policies
def test_what_would_fail_alike_is_not_tried_again() -> None:
    """An error that somebody must mend ends the task, also one raised beside the operators."""
    from airflow.providers.common.compat.sdk import AirflowFailException

    for error in (PermanentError("Look 42", **SAID), AirflowFailException("no")):
        assert "fail" == decide(error).action.value


@with_policies
def test_the_other_sides_delay_is_kept() -> None:
    """A retry comes when it was asked for, with the reason in the log."""
    decision = decide(TransientError("Segment", **SAID, retry_after_s=400))

    assert ("retry", timedelta(seconds=400)) == (decision.action.value, decision.retry_delay)
    assert "400 s" in decision.reason


@with_policies
def test_an_endless_delay_is_cut_short() -> None:
    """A year of waiting is an hour of waiting."""
    decision = decide(TransientError("Segment", **SAID, retry_after_s=31_536_000))

    assert timedelta(hours=1) == decision.retry_delay


@with_policies
@pytest.mark.parametrize(
    "error",
    [
        TransientError("Segment", **SAID),
        TransientError("Segment", **SAID, retry_after_s=59),
        ValueError("something else"),
    ],
)
def test_the_tasks_own_backoff_is_the_least(error: Exception) -> None:
    """Without a wish, or with a shorter one, Airflow waits as it was told by the DAG."""
    assert "default" == decide(error).action.value


@with_policies
@pytest.mark.parametrize(
    ("choices", "try_number", "backoff_s"),
    [
        ({}, 1, 60),
        ({}, 2, 120),
        ({}, 3, 240),
        ({}, 10, 900),
        ({"retry_exponential_backoff": False}, 3, 60),
        ({"retry_exponential_backoff": 3.0}, 2, 180),
        ({"max_retry_delay": None}, 5, 960),
    ],
)
def test_backoff_grows_as_airflows_own(
    choices: dict[str, Any], try_number: int, backoff_s: float
) -> None:
    """A wish is heard from the moment on that Airflow would not have waited for it anyway."""
    context = task(**choices)

    def action(seconds: float) -> str:
        error = TransientError("Segment", **SAID, retry_after_s=seconds)
        return str(decide(error, context, try_number=try_number).action.value)

    assert ("default", "retry") == (action(backoff_s), action(backoff_s + 1))


@with_policies
@given(
    retry_after_s=st.floats(0, 1e12),
    try_number=st.integers(1, 5_000),
    delay_s=st.floats(0, 1e6),
    longest_s=st.none() | st.floats(1, 1e6),
)
def test_a_wait_is_never_below_the_backoff_nor_above_the_longest(
    retry_after_s: float, try_number: int, delay_s: float, longest_s: float | None
) -> None:
    """Whatever both sides ask for."""
    context = task(
        retry_delay=timedelta(seconds=delay_s),
        max_retry_delay=None if longest_s is None else timedelta(seconds=longest_s),
    )
    error = TransientError("Segment", **SAID, retry_after_s=retry_after_s)

    wait = decide(error, context, try_number=try_number).retry_delay

    least_s = delay_s if longest_s is None else min(delay_s, longest_s)
    assert wait is None or least_s - 1e-3 <= wait.total_seconds() <= retry.LONGEST_WAIT_S


@with_policies
def test_a_policy_survives_serialization() -> None:
    """What is read back decides alike."""
    policy = type(retry.POLICY["retry_policy"])(longest_wait_s=30)
    again = type(policy).deserialize(policy.serialize())

    error = TransientError("Segment", **SAID, retry_after_s=400)
    context = task(retry_delay=timedelta(seconds=1))
    assert timedelta(seconds=30) == again.evaluate(error, 1, 3, context).retry_delay
