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

from benchmarks.measure import in_turn, serving, table
from tests.live.airflow import LiveAirflow

DAG_IDS = ("empty", "cohort")
DAGS = {dag_id: Path(__file__).with_name(f"whole_{dag_id}.py") for dag_id in DAG_IDS}
TASKS = ("extract", "identify", "report")
COHORT_ROWS = 2_113
"""As many users as the demo's cohort has."""

# Chunks are deleted when a run is reported: what was written must be counted as it is written.
BOOK = """
CREATE TABLE written (dag_id TEXT, bytes INTEGER);
CREATE TRIGGER book AFTER INSERT ON xcom
BEGIN INSERT INTO written VALUES (new.dag_id, length(new.value)); END;
"""


DURATIONS = """
SELECT task.dag_id, run.id, task.task_id, sum(task.duration)
FROM task_instance task JOIN dag_run run USING (dag_id, run_id)
GROUP BY task.dag_id, run.id, task.task_id ORDER BY run.id
"""


def measure(rows: int, turns: int) -> dict[str, Any]:
    """Run both DAGs in turn, on the command line and by the scheduler."""
    files = list(DAGS.values())
    with serving(rows) as server:
        with tempfile.TemporaryDirectory() as home:
            airflow = LiveAirflow(Path(home), dags=files, connections=server.environment)
            airflow.command("db", "migrate")
            airflow.command("dags", "reserialize")
            tested = _turns(partial(_tested_s, airflow), turns)
            with closing(sqlite3.connect(airflow.home / "airflow.db")) as database:
                tested["tasks"] = _tasks(database)
        with (
            tempfile.TemporaryDirectory() as home,
            LiveAirflow(Path(home), dags=files, connections=server.environment) as airflow,
            closing(sqlite3.connect(airflow.home / "airflow.db", timeout=60)) as database,
        ):
            database.executescript(BOOK)
            scheduled = _turns(partial(_scheduled_s, airflow), turns)
            scheduled["tasks"] = _tasks(database)
            xcom = _written(database, turns + 1)
    ways = {"dags test": tested, "LocalExecutor": scheduled}
    return {"rows": rows, "turns": turns, "ways": ways, "xcom": xcom}


def _tasks(database: sqlite3.Connection) -> dict[str, dict[str, float]]:
    """Return how long each task took, as Airflow has noted it: the median of the turns.

    The first run of each DAG warmed up. What the empty task takes is Airflow's, the rest is ours.
    """
    turns: dict[tuple[str, str], list[float]] = {}
    for dag_id, _, task_id, duration_s in database.execute(DURATIONS):
        turns.setdefault((dag_id, task_id.rpartition(".")[2]), []).append(duration_s)
    taken = {key: median(seconds[1:]) for key, seconds in turns.items()}
    return {
        task: {
            "empty_s": taken["empty", task],
            "cohort_s": taken["cohort", task],
            "ours_s": taken["cohort", task] - taken["empty", task],
        }
        for task in TASKS
    }


def _written(database: sqlite3.Connection, runs: int) -> dict[str, dict[str, float]]:
    found = database.execute("SELECT dag_id, count(*), sum(bytes) FROM written GROUP BY dag_id")
    return {dag_id: {"rows": rows / runs, "bytes": size / runs} for dag_id, rows, size in found}


def _turns(run: Callable[[str], float], turns: int) -> dict[str, Any]:
    # The first run of a DAG writes it into the database, and warms up.
    for dag_id in DAG_IDS:
        run(dag_id)
    found: dict[str, list[float]] = {dag_id: [] for dag_id in DAG_IDS}
    for turn in range(turns):
        for dag_id in in_turn(DAG_IDS, turn):
            found[dag_id].append(run(dag_id))
    pairs = zip(found["cohort"], found["empty"], strict=True)
    return {
        "empty_s": median(found["empty"]),
        "cohort_s": median(found["cohort"]),
        "ratio": median(cohort / empty for cohort, empty in pairs),
        "each_turn": found,
    }


def _tested_s(airflow: LiveAirflow, dag_id: str) -> float:
    file = airflow.home / "dags" / DAGS[dag_id].name
    began = time.perf_counter()
    airflow.command("dags", "test", "--dagfile-path", str(file), dag_id)
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
    tasks = [
        (
            f"{result['rows']:,} rows, {way}: {task}",
            *(f"{found['tasks'][task][key]:.2f}" for key in ("empty_s", "cohort_s", "ours_s")),
        )
        for result in results
        for way, found in result["ways"].items()
        for task in TASKS
    ]
    xcoms = [
        (f"{result['rows']:,} rows, {dag_id}", f"{found['rows']:,.0f}", f"{found['bytes']:,.0f}")
        for result in results
        for dag_id, found in result["xcom"].items()
    ]
    return "\n\n".join(
        (
            table(("a whole run", "empty DAG, s", "with a Look, s", "times as long"), times),
            table(("of these runs", "Airflow's, s", "with a Look, s", "ours, s"), tasks),
            table(("XCom of a run", "values", "bytes"), xcoms),
        )
    )
