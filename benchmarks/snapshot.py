"""What a mode with a snapshot costs beside extract itself: ``python -m benchmarks.snapshot``.

Each line is a process of its own over the same rows: extract without a snapshot, extract with one,
and the commit that report makes of it. The snapshot is a folder of this machine, so that no
network is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Measured, Server, finish, machine, serving, start, table
from benchmarks.ways import TaskInstance

STEPS = {
    "full": "extract, full",
    "first": "extract, nobody known",
    "commit_first": "its commit",
    "same": "extract, everybody known and unchanged",
    "commit_same": "its commit",
    "other": "extract, every message another",
    "commit_other": "its commit",
}


class RunningTask(TaskInstance):
    """A task instance of a run that has a name."""

    dag_id = "benchmark"

    def __init__(self, run_id: str) -> None:
        super().__init__(None)
        self.run_id = run_id
        self.kept: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Encode a value, and keep the manifest."""
        super().xcom_push(key, value)
        if key == "manifest":
            self.kept[key] = value


def play_variables(folder: Path) -> None:
    """Keep Airflow's variables in a folder."""
    from airflow.sdk import Variable

    def read(key: str, default: Any = None) -> Any:
        return (folder / key).read_text() if (folder / key).exists() else default

    def write(key: str, value: str, **_: Any) -> None:
        (folder / key).write_text(value)

    Variable.get = read
    Variable.set = write


def extract(folder: Path, step: str) -> int:
    """Run the extract operator; keep its manifest. Return the rows."""
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    choices: dict[str, Any] = {}
    if step != "full":
        place = {"path": f"file://{folder}/snapshots", "local": True}
        choices = {"mode": "mirror", "snapshot": place, "sync_id": "benchmark"}
    if step == "other":
        choices |= {"mapping": {"rename": {"users.plan": "tier"}}, "accept_changes": True}
    ti = RunningTask(step)
    operator = LookerRunLookOperator(task_id="extract", look_id="1", **choices)
    operator.execute(ti.context())
    (folder / f"{step}.manifest").write_text(json.dumps(ti.kept["manifest"]))
    return int(ti.kept["manifest"]["rows"])


def commit(folder: Path, step: str) -> int:
    """Commit a run of which every message was accepted. Return the rows."""
    from airflow_provider_looker_segment.core.history import Fates, ShardFates
    from airflow_provider_looker_segment.core.manifest import Manifest
    from airflow_provider_looker_segment.operators import history
    from airflow_provider_looker_segment.stores.syncs import SyncStore

    said = json.loads((folder / f"{step}.manifest").read_text())
    manifest = Manifest.from_dict(said, task_id="extract")
    fates = Fates([ShardFates(0, manifest.messages, manifest.messages)])
    history.commit(manifest, fates, SyncStore(manifest.sync_id))
    return manifest.rows


def one(step: str, place: str) -> None:
    """Import what every step needs, then run and time one."""
    import looker_sdk  # noqa: F401

    import airflow_provider_looker_segment.operators.extract_task
    import airflow_provider_looker_segment.operators.report_task  # noqa: F401

    folder = Path(place)
    play_variables(folder)
    is_commit = step.startswith("commit_")
    work: Callable[[Path, str], int] = commit if is_commit else extract
    idle_mb = psutil.Process().memory_info().rss / 2**20
    began, cpu_began = time.perf_counter(), time.process_time()
    items = work(folder, step.removeprefix("commit_"))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    print()
    said = {"items": items, "seconds": seconds, "cpu_s": cpu_s, "idle_mb": idle_mb, "facts": {}}
    print(json.dumps(said))


def measure(rows: int) -> dict[str, Measured]:
    """Run every step once, in their order."""

    def run(step: str, server: Server) -> Measured:
        return finish(start("benchmarks.snapshot", ["--step", step, str(server.folder)], server))

    with serving(rows) as server:
        return {step: run(step, server) for step in STEPS}


def as_table(rows: int, found: dict[str, Measured]) -> str:
    """Return the figures for people; the ratios are to extract without a snapshot."""
    full = found["full"]
    lines = []
    for step, title in STEPS.items():
        measured = found[step]
        lines.append(
            (
                title,
                f"{measured.seconds:,.1f}",
                f"{measured.cpu_s:,.1f}",
                f"{measured.cpu_s / full.cpu_s:.2f}",
                f"{measured.peak_mb:,.0f}",
                f"{measured.peak_mb / full.peak_mb:.2f}",
            )
        )
    heads = (f"{rows:,} rows", "seconds", "cpu s", "cpu / full", "peak MB", "peak / full")
    return table(heads, lines)


def main() -> None:
    """Read what is asked for from the command line, measure it and tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshot", description=__doc__)
    parser.add_argument("--rows", type=int, action="append", help="may be repeated")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        one(*chosen.step)
        return
    print(" · ".join(f"{key} {value}" for key, value in machine().items()), flush=True)
    for rows in chosen.rows or [120_000, 1_000_000]:
        print(f"\n{as_table(rows, measure(rows))}", flush=True)


if __name__ == "__main__":
    main()
