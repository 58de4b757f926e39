"""What a DAG file costs to read: the imports and the constructors, beyond Airflow's own.

Each measurement is a process of its own that has imported what Airflow's DAG processor has.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, table

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


def read(what: str) -> tuple[float, list[str]]:
    """Read one DAG file, or the provider's info; return processor seconds and new modules."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, what], check=True, capture_output=True, text=True, cwd=ROOT
    )
    took_s, modules = json.loads(done.stdout.splitlines()[-1])
    return took_s, modules


def measure(turns: int) -> dict[str, Any]:
    """Read the provider's info and every example; the least of the turns counts."""
    found = {}
    for what in ("provider info", *map(str, sorted((ROOT / "dags").glob("*.py")))):
        took_s, modules = min(read(what) for _ in range(turns))
        found[Path(what).name] = {
            "ms": took_s * 1_000,
            "modules": len(modules),
            "sdks": [name for name in SDKS if name in modules],
        }
    return found


def as_table(found: dict[str, Any]) -> str:
    """Return the figures for people."""
    rows = [
        (name, f"{one['ms']:.0f}", str(one["modules"]), ", ".join(one["sdks"]) or "none")
        for name, one in found.items()
    ]
    title = f"start-up (budget {BUDGET_MS:.0f} ms)"
    return table((title, "processor ms", "modules", "SDKs imported"), rows)
