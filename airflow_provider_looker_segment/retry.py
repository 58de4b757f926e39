"""When Airflow tries a failed task again: not before the other side wants to hear from it.

An error of this package enters, a decision leaves. A policy never adds tries, and never waits
less than the task's own back-off.
Retry policies came with Airflow 3.3; before that a task's plain retries apply.
Source: https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/tasks.html
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_WAIT_S = 3_600.0
"""Seconds a task waits at most, however much longer the other side asks for."""

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError:
    POLICY: dict[str, Any] = {}
    """What to give a task so that the policy applies; nothing where Airflow knows no policies."""
else:

    class LookerSegmentRetryPolicy(RetryPolicy):
        """Wait as long as Looker or Segment asks, and stop where a retry would fail alike.

        :param longest_wait_s: seconds a task waits at most.
        """

        def __init__(self, longest_wait_s: float = LONGEST_WAIT_S) -> None:
            self.longest_wait_s = longest_wait_s

        def evaluate(
            self,
            exception: BaseException,
            try_number: int,
            max_tries: int,  # noqa: ARG002 - Airflow counts the tries itself
            context: Mapping[str, Any] | None = None,
        ) -> RetryDecision:
            """Decide what follows a failure.

            :param try_number: the try that failed, counted from 1.
            """
            if isinstance(exception, PermanentError | AirflowFailException):
                return RetryDecision.fail("a retry would fail alike")
            if not isinstance(exception, TransientError) or exception.retry_after_s is None:
                return RetryDecision.default()
            wait_s = min(exception.retry_after_s, self.longest_wait_s)
            if wait_s <= _backoff_s(context["task"] if context else None, try_number):
                return RetryDecision.default()
            return RetryDecision.retry(
                timedelta(seconds=wait_s), f"the other side asks to wait {wait_s:.0f} s"
            )

        def serialize(self) -> dict[str, Any]:
            """Return the policy as plain JSON."""
            return {"longest_wait_s": self.longest_wait_s}

        @classmethod
        def deserialize(cls, data: dict[str, Any]) -> LookerSegmentRetryPolicy:
            """Read back what :meth:`serialize` wrote."""
            return cls(**data)

    POLICY = {"retry_policy": LookerSegmentRetryPolicy()}


def _backoff_s(task: Any, try_number: int) -> float:
    """Return the seconds that Airflow itself would wait at least."""
    if task is None:
        return 0.0
    delay_s = float(task.retry_delay.total_seconds())
    # Airflow 3.3 reads the older `True` as a doubling.
    factor = 2.0 if task.retry_exponential_backoff is True else task.retry_exponential_backoff
    longest_s = task.max_retry_delay.total_seconds() if task.max_retry_delay else float("inf")
    while try_number > 1 and factor > 1 and delay_s < longest_s:
        delay_s *= factor
        try_number -= 1
    return min(delay_s, float(longest_s))
