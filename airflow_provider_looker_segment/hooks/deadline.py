"""A limit for calls that have none: the libraries limit each read, not the whole answer.

A call and its seconds enter, its result or its error leaves, or word that it took too long.
A server that sends one byte now and then would otherwise hold a task for days.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")


class DeadlineError(Exception):
    """A call that took too long; it may go on, but nobody waits for it."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Make a call, and wait for it so long and no longer.

    :param seconds: to wait.
    :raises DeadlineError: when they are over; whatever the call raises is raised as it is.
    """
    outcome: queue.SimpleQueue[tuple[Result, None] | tuple[None, BaseException]]
    outcome = queue.SimpleQueue()

    def work() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - it is raised again where somebody waits
            outcome.put((None, error))

    context = copy_context()
    # A daemon: a call that never ends must not keep the process from ending.
    threading.Thread(target=context.run, args=(work,), name="within", daemon=True).start()
    try:
        result, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise DeadlineError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
