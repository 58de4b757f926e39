"""Whole runs in a real Airflow, beside a DAG of the same shape whose tasks do nothing."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import serving, table
from tests.live.airflow import LiveAirflow

DAGS = Path(__file__).with_name("whole_dags.py")
COHORT_ROWS = 2_113
"""As many users as the demo's cohort has."""

# Chunks are deleted when a run is reported: what was written must be counted as it is written.
BOOK = """
CREATE TABLE written (dag_id TEXT, bytes INTEGER);
CREATE TRIGGER book AFTER INSERT ON xcom
BEGIN INSERT INTO written VALUES (new.dag_id, length(new.value)); END;
"""


def measure(rows: int, turns: int) -> dict[str, Any]:
    """Run both DAGs in turn, on the command line and by the scheduler."""
    with serving(rows) as server:
        with tempfile.TemporaryDirectory() as home:
            airflow = LiveAirflow(Path(home), dags=[DAGS], connections=server.environment)
            airflow.command("db", "migrate")
            airflow.command("dags", "reserialize")
            ways = {"dags test": _turns(partial(_tested_s, airflow), turns)}
        with (
            tempfile.TemporaryDirectory() as home,
            LiveAirflow(Path(home), dags=[DAGS], connections=server.environment) as airflow,
            closing(sqlite3.connect(airflow.home / "airflow.db", timeout=60)) as database,
        ):
            database.executescript(BOOK)
            ways["LocalExecutor"] = _turns(partial(_scheduled_s, airflow), turns)
            xcom = _written(database, turns + 1)
    return {"rows": rows, "turns": turns, "ways": ways, "xcom": xcom}


def _written(database: sqlite3.Connection, runs: int) -> dict[str, dict[str, float]]:
    found = database.execute("SELECT dag_id, count(*), sum(bytes) FROM written GROUP BY dag_id")
    return {dag_id: {"rows": rows / runs, "bytes": size / runs} for dag_id, rows, size in found}


def _turns(run: Callable[[str], float], turns: int) -> dict[str, float]:
    # The first run of a DAG writes it into the database.
    run("empty")
    run("cohort")
    pairs = [(run("empty"), run("cohort")) for _ in range(turns)]
    return {
        "empty_s": median(empty for empty, _ in pairs),
        "cohort_s": median(cohort for _, cohort in pairs),
        "ratio": median(cohort / empty for empty, cohort in pairs),
    }


def _tested_s(airflow: LiveAirflow, dag_id: str) -> float:
    began = time.perf_counter()
    airflow.command("dags", "test", dag_id)
    return time.perf_counter() - began


def _scheduled_s(airflow: LiveAirflow, dag_id: str) -> float:
    started = airflow.trigger(dag_id)
    assert airflow.wait(started) == "success"
    said = airflow.dag_run(started)
    start, end = (datetime.fromisoformat(said[key]) for key in ("start_date", "end_date"))
    return (end - start).total_seconds()


def as_table(results: list[dict[str, Any]]) -> str:
    """Return the figures for people."""
    times = [
        (
            f"{result['rows']:,} rows, {way}",
            f"{found['empty_s']:.1f}",
            f"{found['cohort_s']:.1f}",
            f"{found['ratio']:.2f}",
        )
        for result in results
        for way, found in result["ways"].items()
    ]
    xcoms = [
        (f"{result['rows']:,} rows, {dag_id}", f"{found['rows']:,.0f}", f"{found['bytes']:,.0f}")
        for result in results
        for dag_id, found in result["xcom"].items()
    ]
    return "\n\n".join(
        (
            table(("a whole run", "empty DAG, s", "with a Look, s", "times as long"), times),
            table(("XCom of a run", "values", "bytes"), xcoms),
        )
    )
