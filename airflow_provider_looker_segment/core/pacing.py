"""When the next batch may leave, so that a rate is kept in every second.

Times enter as arguments, times leave; nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections import deque
from math import inf, nan
from typing import Any

from airflow_provider_looker_segment.exceptions import PermanentError

_SPAN_S = 1.006
"""A little more than a second, for what a request's time does not tell about its way."""

_LEARNING = 8
"""Requests before the quickest of them says how quick a request can be."""


def messages_per_second(said: Any) -> float:
    """Read a rate.

    :raises PermanentError: when it is no number above 0.
    """
    try:
        rate = nan if isinstance(said, bool) else float(said)
    except (TypeError, ValueError, OverflowError):
        rate = nan
    if not 0 < rate < inf:
        raise PermanentError(
            "Argument `max_messages_per_second`:",
            should="be a number above 0",
            but="it is not",
            do="Mend it, or leave it out to send at half of what a workspace may.",
        )
    return rate


class Pace:
    """The places of batches at a given rate. It starts with a full second behind it.

    :param per_second: messages that may leave within any one second.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._leaving: deque[tuple[float, float]] | None = None
        self._messages = 0.0
        self._quickest_s = inf
        self._answers = 0

    @property
    def max_messages(self) -> int:
        """Messages of a full batch: half a second's, so that two fill a second.

        A batch for the whole second would waste what large messages leave of it.
        """
        return max(1, int(self._per_second) // 2)

    def answered(self, *, sent_at: float, now: float) -> None:
        """Note when the batch that left last was answered.

        What it took beyond the quickest request so far may have passed before it arrived, and
        then it arrived within a later second than it left for: its place is kept for as long.
        """
        took_s = now - sent_at
        if self._leaving:
            leaves_at, messages = self._leaving[-1]
            counts_s = max(1.0, messages / self._per_second) * _SPAN_S
            late_s = took_s - (self._quickest_s if self._answers >= _LEARNING else 0.0)
            self._leaving[-1] = max(leaves_at, sent_at + late_s + counts_s), messages
        self._answers += 1
        self._quickest_s = min(self._quickest_s, took_s)

    def wait_s(self, messages: int, *, now: float) -> float:
        """Reserve the next place for a batch.

        :param now: seconds on a clock that never goes back.
        :return: seconds to wait before sending.
        """
        if self._leaving is None:
            # Whoever sent last may have filled this very second.
            full_s = messages / self._per_second * _SPAN_S
            self._leaving = deque([(now + full_s, self._per_second)])
            self._messages = self._per_second
        starts_at = now
        # Batches count for a second; beyond the rate, the next one waits for the first to leave.
        while self._leaving and (
            self._leaving[0][0] <= starts_at or self._messages + messages > self._per_second
        ):
            leaves_at, left = self._leaving.popleft()
            starts_at = max(starts_at, leaves_at)
            self._messages -= left
        # A batch that is larger than the rate itself counts for as long as it takes.
        counts_s = max(1.0, messages / self._per_second) * _SPAN_S
        self._leaving.append((starts_at + counts_s, float(messages)))
        self._messages += messages
        return starts_at - now
