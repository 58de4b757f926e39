"""What a DAG file costs to read: the imports and the constructors, beyond Airflow's own.

Each measurement is a process of its own that has imported what Airflow's DAG processor has.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import ROOT, in_turn, table

BUDGET_MS = 30.0
SDKS = ("looker_sdk", "segment")

_PROGRAM = """
import json, runpy, sys, time
import airflow.dag_processing.processor
import airflow.timetables.interval
from airflow.sdk import DAG, Asset, BaseHook, BaseOperator, Context, Param, TaskGroup, TriggerRule
before = set(sys.modules)
began = time.process_time()
if sys.argv[1].endswith(".py"):
    runpy.run_path(sys.argv[1])
else:
    import airflow_provider_looker_segment
    airflow_provider_looker_segment.get_provider_info()
took_s = time.process_time() - began
print(json.dumps([took_s, sorted(set(sys.modules) - before)]))
"""

_BUILDING = """
import json, sys, time
import airflow.dag_processing.processor
from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule

if sys.argv[1] == "ours":
    from airflow_provider_looker_segment.task_groups import look_to_segment

    def tasks():
        look_to_segment(look_id="1")
else:
    class Task(BaseOperator):
        def __init__(self, *, shard=None, **kwargs):
            super().__init__(**kwargs)
            self.shard = shard

        def execute(self, context):
            return [0]

    def tasks():
        with TaskGroup("look_to_segment"):
            extract = Task(task_id="extract", retries=3)
            identify = Task.partial(task_id="identify", retries=3).expand(shard=extract.output)
            report = Task(task_id="report", retries=3, trigger_rule=TriggerRule.ALL_DONE)
            [extract, identify] >> report

took_s = []
for number in range(int(sys.argv[2])):
    began = time.process_time()
    with DAG(f"dag_{number}", schedule=None):
        tasks()
    took_s.append(time.process_time() - began)
print(json.dumps(took_s))
"""
BUILT = 50
"""DAGs that one process builds; the first one pays for what is loaded late."""


def read(what: str) -> tuple[float, list[str]]:
    """Read one DAG file, or the provider's info; return processor seconds and new modules."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, what], check=True, capture_output=True, text=True, cwd=ROOT
    )
    took_s, modules = json.loads(done.stdout.splitlines()[-1])
    return took_s, modules


def build(whose: str) -> tuple[float, float]:
    """Build the three tasks of a run, "ours", or as many of Airflow's own, "empty".

    The imports are over before.

    :return: processor seconds of the first DAG, and of a later one.
    """
    words = [sys.executable, "-c", _BUILDING, whose, str(BUILT)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT)
    first_s, *later_s = json.loads(done.stdout.splitlines()[-1])
    return first_s, median(later_s)


def measure(turns: int) -> dict[str, Any]:
    """Read the provider's info and every example, and build tasks; the least of the turns counts.

    One reading before all of them warms up.
    """
    subjects = ["provider info", *map(str, sorted((ROOT / "dags").glob("*.py")))]
    found: dict[str, list[tuple[float, list[str]]]] = {what: [] for what in subjects}
    built: dict[str, list[tuple[float, float]]] = {"ours": [], "empty": []}
    read(subjects[0])
    for turn in range(turns):
        for what in in_turn(subjects, turn):
            found[what].append(read(what))
        for whose in in_turn(list(built), turn):
            built[whose].append(build(whose))
    return {
        "files": {Path(what).name: _file(turns) for what, turns in found.items()},
        "building": {
            whose: {
                "first_ms": min(first for first, _ in turns) * 1_000,
                "later_ms": min(later for _, later in turns) * 1_000,
                "each_turn": turns,
            }
            for whose, turns in built.items()
        },
    }


def _file(turns: list[tuple[float, list[str]]]) -> dict[str, Any]:
    took_s, modules = min(turns)
    return {
        "ms": took_s * 1_000,
        "modules": len(modules),
        "sdks": [name for name in SDKS if name in modules],
        "each_turn": [one_s for one_s, _ in turns],
    }


def as_table(found: dict[str, Any]) -> str:
    """Return the figures for people."""
    rows = [
        (name, f"{one['ms']:.0f}", str(one["modules"]), ", ".join(one["sdks"]) or "none")
        for name, one in found["files"].items()
    ]
    title = f"start-up (budget {BUDGET_MS:.0f} ms)"
    ours, empty = (found["building"][whose] for whose in ("ours", "empty"))
    tasks = [
        (when, f"{ours[key]:.1f}", f"{empty[key]:.1f}", f"{ours[key] - empty[key]:.1f}")
        for when, key in (("the first DAG", "first_ms"), ("another one", "later_ms"))
    ]
    heads = ("building three tasks, processor ms", "ours", "Airflow's own", "beyond them")
    return "\n\n".join(
        (table((title, "processor ms", "modules", "SDKs imported"), rows), table(heads, tasks))
    )
