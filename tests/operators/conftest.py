"""Fixtures that run real DAGs in real Airflow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from tests.conftest import DAGS

MOMENT = datetime(2026, 1, 15, tzinfo=UTC)


@dataclasses.dataclass
class Outcome:
    """What a DAG run left behind."""

    run: Any
    sandbox: Any

    @property
    def states(self) -> dict[str, str]:
        """The state of each task, mapped ones as ``identify[0]``."""
        found = {}
        for ti in self.run.get_task_instances():
            name = ti.task_id.rpartition(".")[2]
            name += "" if ti.map_index < 0 else f"[{ti.map_index}]"
            found[name] = str(ti.state)
        return found

    def xcom(self, task: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return one XCom value of the run, or ``None``."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            for row in session.scalars(_query(self.run, key)).all():
                if row.task_id.rpartition(".")[2] == task and row.map_index == map_index:
                    return XComModel.deserialize_value(row)
        return None

    @property
    def xcom_keys(self) -> set[str]:
        """The keys of all XCom values of the run."""
        from airflow.utils.session import create_session

        with create_session() as session:
            return {row.key for row in session.scalars(_query(self.run, None)).all()}

    @property
    def report(self) -> dict[str, Any]:
        """The report, also of a run that failed."""
        found: dict[str, Any] = self.xcom("report", "report")
        return found


def _query(run: Any, key: str | None) -> Any:
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    query = select(XComModel).where(XComModel.dag_id == run.dag_id, XComModel.run_id == run.run_id)
    return query if key is None else query.where(XComModel.key == key)


@pytest.fixture
def run_look(
    sandbox: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run ``look_to_segment(...)`` in a DAG of its own, as of the sandbox's day."""

    def run(
        look_id: str = "42", *, logical_date: datetime | None = None, **choices: Any
    ) -> Outcome:
        choices = {"look_id": look_id, "retries": 0, "max_messages_per_second": 1e6, **choices}
        monkeypatch.setenv("TESTED_CHOICES", json.dumps(choices))
        monkeypatch.setenv("TESTED_WINDOW_END", "" if logical_date else MOMENT.isoformat())
        return Outcome(load_dag("tested").test(logical_date=logical_date), sandbox)

    return run


def load_dag(name: str) -> Any:
    """Read the DAG of a file, as Airflow does."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag

    bag = DagBag(DAGS / f"{name}.py")
    assert {} == bag.import_errors
    (dag,) = bag.dags.values()
    return dag


def summary(sandbox: Any) -> dict[str, Any]:
    """Return the Segment stand-in's own record."""
    found: dict[str, Any] = requests.get(
        f"{sandbox.segment_url}/_sandbox/summary", timeout=10
    ).json()
    return found


def asked(sandbox: Any, method: str, part: str) -> list[str]:
    """Return the paths of Looker's requests with such a method that hold a text."""
    found = requests.get(f"{sandbox.looker_url}/_sandbox/requests", timeout=10).json()
    paths = [entry["path"] for entry in found if entry["method"] == method]
    return [path for path in paths if part in path]


def sent(sandbox: Any, **parameters: Any) -> list[dict[str, Any]]:
    """Return the messages that the Segment stand-in accepted."""
    found = requests.get(
        f"{sandbox.segment_url}/_sandbox/messages",
        params={"limit": 20_000, **parameters},
        timeout=30,
    ).json()
    return [entry["message"] for entry in found["messages"]]
