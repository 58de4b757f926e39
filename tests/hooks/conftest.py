"""Fixtures: a Looker hook that has not signed in yet, and a clock that never waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_looker_segment.hooks import looker
from airflow_provider_looker_segment.hooks.looker import LookerHook
from tests.simulated import Clock, simulate


@pytest.fixture
def hook(sandbox: Any) -> Iterator[LookerHook]:
    """A hook that has not signed in yet."""
    hook = LookerHook()
    yield hook
    hook.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only sleep moves."""
    return simulate(monkeypatch, looker)
