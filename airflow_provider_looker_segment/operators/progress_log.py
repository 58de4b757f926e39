"""A long task says now and then how far it is, at a pace for people.

Counts enter, a line of the log leaves: how many, how fast, and how long it will still take where
the end is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")

_FIRST_S = 10.0
_LONGEST_S = 60.0
_LOOK_EVERY = 1_000
"""Items between two looks at the clock, so that counting costs next to nothing."""


class ProgressLog:
    """Lines after 10 seconds, then 20, 40, and every minute.

    :param log: where they go.
    :param what: is counted, such as ``rows``.
    :param total: how many there will be; ``None`` where nobody knows.
    :param done: how many an earlier try has done; they do not count for the rate.
    :param clock: seconds that never go back.
    """

    def __init__(
        self,
        log: Any,
        what: str,
        *,
        total: int | None = None,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._what = what
        self._total = total
        self._before = done
        self._clock = clock
        self._started_at = clock()
        self._pause_s = _FIRST_S
        self._next_at = self._started_at + self._pause_s

    def at(self, done: int) -> None:
        """Note how many are done; say so if it is time."""
        now = self._clock()
        if now < self._next_at:
            return
        self._pause_s = min(self._pause_s * 2, _LONGEST_S)
        self._next_at = now + self._pause_s
        rate = (done - self._before) / (now - self._started_at)
        if self._total is None:
            self._log.info("%s %s so far, %s a second.", f"{done:,}", self._what, f"{rate:,.0f}")
            return
        left = duration((self._total - done) / rate) if rate else "an unknown time"
        self._log.info(
            "%s of %s %s, %s a second, about %s left.",
            f"{done:,}",
            f"{self._total:,}",
            self._what,
            f"{rate:,.0f}",
            left,
        )

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """Hand items through and count them."""
        for number, item in enumerate(items, start=1):
            yield item
            if number % _LOOK_EVERY == 0:
                self.at(number)


def duration(seconds: float) -> str:
    """Say how long something takes, as people would.

    >>> duration(7.2), duration(95), duration(7_300)
    ('7 s', '2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3_600 else f"{seconds / 3_600:.1f} h"
