"""Time that passes only when somebody sleeps, for code that waits for minutes or hours."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


class Clock:
    """Stands for the module ``time`` where a module of ours uses it.

    :ivar slept: every wait, in seconds.
    :ivar meanwhile: what happens during the next waits, one of them each.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.meanwhile: list[Callable[[], object]] = []

    @property
    def passed(self) -> float:
        """Seconds that were slept."""
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def time(self) -> float:
        """Seconds since 1970, later by all sleep."""
        return time.time() + self.passed

    def monotonic(self) -> float:
        """Seconds of a clock, later by all sleep."""
        return time.monotonic() + self.passed


def simulate(monkeypatch: pytest.MonkeyPatch, *modules: Any) -> Clock:
    """Replace the clock of some modules, and what they sleep with in a loop."""
    import asyncio

    clock = Clock()

    async def sleep(seconds: float) -> None:
        """Let the time pass at once."""
        clock.sleep(seconds)
        await asyncio.sleep(0)

    for module in modules:
        monkeypatch.setattr(module, "time", clock)
        if hasattr(module, "asyncio"):
            loop = SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread)
            monkeypatch.setattr(module, "asyncio", loop)
    return clock
