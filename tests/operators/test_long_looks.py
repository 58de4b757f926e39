"""Long Looks: the query runs as a Looker query task, and the worker may be free meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.operators.conftest import Outcome, summary

RunLook = Callable[..., Outcome]

pytestmark = pytest.mark.airflow


def paths(sandbox: Any) -> list[str]:
    """Return what Looker's stand-in was asked for, in order."""
    found = requests.get(f"{sandbox.looker_url}/_sandbox/requests", timeout=10).json()
    entries = found if isinstance(found, list) else found["requests"]
    return [f"{entry['method']} {entry['path']}" for entry in entries]


@pytest.mark.parametrize("choice", ["query_task", "deferrable"])
def test_a_query_task_brings_the_same_rows(run_look: RunLook, choice: str) -> None:
    """Both ways run one query task, stream its result, and deliver everybody."""
    outcome = run_look("42", **{choice: True})
    asked = paths(outcome.sandbox)

    assert "success" == outcome.states["report"]
    assert outcome.report["accepted"] == summary(outcome.sandbox)["users"] > 2_000
    assert 1 == len([path for path in asked if path == "POST /api/4.0/query_tasks"])
    assert not [path for path in asked if "/queries/" in path and "/run/" in path]


@pytest.mark.parametrize("choice", ["query_task", "deferrable"])
def test_a_query_task_that_fails_sends_nothing(
    run_look: RunLook, sandbox: Any, choice: str
) -> None:
    """The run is red, and Segment has not seen a single request."""
    url = f"{sandbox.looker_url}/_sandbox/query_tasks"
    requests.post(url, json={"polls": 1, "outcome": "error"}, timeout=10).raise_for_status()
    outcome = run_look("42", **{choice: True})

    assert "failed" == outcome.states["extract"] == outcome.states["report"]
    assert 0 == summary(sandbox)["requests"]
