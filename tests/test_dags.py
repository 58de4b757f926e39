"""Every example DAG is read as Airflow reads it, and run."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.operators.conftest import Outcome, load_dag, sent, summary

ALL = sorted(path.stem for path in (Path(__file__).parent.parent / "dags").glob("*.py"))
EXAMPLES = [dag_id for dag_id in ALL if dag_id not in ("cohort_arrived", "snapshot_maintenance")]
"""Those that send something; the others wait for a cohort, which a live Airflow shows, or look
into a sync.
"""

DAY = datetime(2026, 1, 14, tzinfo=UTC)

pytestmark = pytest.mark.airflow


@pytest.mark.parametrize("dag_id", EXAMPLES)
def test_every_example_runs(sandbox: Any, airflow_db: None, dag_id: str) -> None:
    """Each example ends green, and what it reports is what arrived."""
    outcome = Outcome(load_dag(dag_id).test(logical_date=DAY), sandbox)

    assert "success" == outcome.states["report"]
    assert outcome.report["accepted"] == summary(sandbox)["users"] > 2_000


@pytest.mark.parametrize("dag_id", EXAMPLES)
def test_every_example_runs_without_a_date(sandbox: Any, airflow_db: None, dag_id: str) -> None:
    """A run from the REST API or an asset has no dates at all, and is as of its due time."""
    run = load_dag(dag_id).test(logical_date=None)
    outcome = Outcome(run, sandbox)

    assert "success" == outcome.states["report"]
    assert "run_after of the run" == outcome.report["window"]["source"]


def test_the_window_is_the_runs_interval(sandbox: Any, airflow_db: None) -> None:
    """The run due on the 15th stands for the 14th, and its messages carry its end."""
    due = datetime(2026, 1, 15, tzinfo=UTC)
    outcome = Outcome(load_dag("daily_cohort").test(logical_date=due), sandbox)

    assert {
        "start": "2026-01-14T00:00:00+00:00",
        "end": "2026-01-15T00:00:00+00:00",
        "source": "data interval",
    } == outcome.report["window"]
    assert {"2026-01-15T00:00:00+00:00"} == {message["timestamp"] for message in sent(sandbox)}


def test_the_form_decides(sandbox: Any, airflow_db: None) -> None:
    """What the form says reaches the run, although templates render it to text."""
    conf = {
        "look_id": "47",
        "destinations": ["zendesk", "customer.io"],
        "filters": ["users.country: -EMPTY"],
        "row_limit": "all",
        "dry_run": True,
    }
    outcome = Outcome(load_dag("daily_cohort").test(logical_date=DAY, run_conf=conf), sandbox)
    report = outcome.report

    assert ("47", True) == (report["look"]["id"], report["dry_run"])
    assert {"zendesk", "customer.io"} == set(report["destinations"])
    assert 0 == summary(sandbox)["requests"]


@pytest.mark.parametrize(
    "conf",
    [
        {"look_id": "not a number"},
        {"dry_run": "perhaps"},
        {"row_limit": "many"},
        {"destinations": ["a tool that nobody knows"]},
        {"filters": ["no expression"]},
        {"only": "perhaps"},
        {"mode": "some"},
    ],
)
def test_the_form_refuses_wrong_input(sandbox: Any, airflow_db: None, conf: dict[str, Any]) -> None:
    """Typed params stop a run before its first task."""
    from airflow.providers.common.compat.sdk import ParamValidationError

    with pytest.raises((ParamValidationError, ValueError)):
        load_dag("daily_cohort").test(logical_date=DAY, run_conf=conf)
