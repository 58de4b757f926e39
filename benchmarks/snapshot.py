"""What a mode with a snapshot costs beside extract itself: a part of ``make bench``.

Each line is a process of its own over the same rows: extract without a snapshot, extract with one,
and the commit that report makes of it. The snapshot is a folder of this machine, so that no
network is measured.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from airflow_provider_looker_segment.core.limits import SILENT_ROW_CAPS
from benchmarks import look
from benchmarks.measure import Measured, Server, finish, median_of, run_way, serving, start, table
from benchmarks.ways import TaskInstance, play_variables

STEPS = {
    "full": "extract, full",
    "first": "extract, nobody known",
    "commit_first": "its commit",
    "same": "extract, everybody known and unchanged",
    "commit_same": "its commit",
    "other": "extract, every message another",
    "commit_other": "its commit",
}
COMPARED = ("first", "same", "other")
"""Steps with a snapshot: diff is what extract takes longer than without one."""


COUNTED = ("rows", "messages", "unchanged", "new_users", "left", "resent")
EXPECTED = {
    "full": (1, 1, 0, 0, 0, 0),
    "first": (1, 1, 0, 1, 0, 0),
    "same": (1, 0, 1, 0, 0, 0),
    "other": (1, 1, 0, 0, 0, 0),
    "again": (1, 0, 1, 0, 0, 0),
}
"""What each step counts, in users: all of them, or nobody. "again" is "other" once more."""
CHECKED_ROWS = 2_000


class RunningTask(TaskInstance):
    """A task instance of a run that has a name.

    :param folder: where its XCom values are kept, if they are.
    """

    dag_id = "benchmark"

    def __init__(self, run_id: str, folder: Path | None) -> None:
        super().__init__(folder)
        self.run_id = run_id
        self.kept: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Encode a value, and keep the manifest."""
        super().xcom_push(key, value)
        if key == "manifest":
            self.kept[key] = value


def extract(folder: Path, step: str) -> int:
    """Run the extract operator; keep its manifest. Return the rows."""
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    choices: dict[str, Any] = {}
    if step != "full":
        place = {"path": f"file://{folder}/snapshots", "local": True}
        choices = {"mode": "mirror", "snapshot": place, "sync_id": "benchmark"}
    if step in ("other", "again"):
        choices |= {"mapping": {"rename": {"users.plan": "tier"}}, "accept_changes": True}
    kept = folder / step
    ti = RunningTask(step, kept if kept.exists() else None)
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
    run_id = step.removeprefix("commit_")
    work: Callable[[Path, str], int] = commit if is_commit else extract
    idle_mb = psutil.Process().memory_info().rss / 2**20
    began, cpu_began = time.perf_counter(), time.process_time()
    items = work(folder, run_id)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    print()
    manifest = json.loads((folder / f"{run_id}.manifest").read_text())
    said = {"items": items, "seconds": seconds, "cpu_s": cpu_s, "idle_mb": idle_mb}
    print(json.dumps({**said, "facts": {key: manifest[key] for key in COUNTED}}))


def run(step: str, server: Server) -> Measured:
    """Run one step.

    :raises AssertionError: where it did not tell each user apart as it must.
    """
    measured = finish(start("benchmarks.snapshot", [step, str(server.folder)], server))
    expected = dict(zip(COUNTED, EXPECTED[step.removeprefix("commit_")], strict=True))
    found = {key: (count or 0) / server.rows for key, count in measured.facts.items()}
    assert found == expected, f"{step}: of {server.rows} rows {measured.facts}"
    return measured


def check() -> None:
    """See who is sent what, and that a run finds what the one before it has committed.

    It also is the turn to warm up.

    :raises AssertionError: where anybody is sent anything else.
    """
    with serving(CHECKED_ROWS) as server:
        for step in (*STEPS, "again"):
            if step.startswith("commit_"):
                run(step, server)
                continue
            kept, lines = server.folder / step, server.folder / f"{step}.lines"
            kept.mkdir()
            run(step, server)
            run_way("unseal", server, str(kept), str(lines), "extract_ours")
            sent = sorted(map(json.loads, lines.read_text().splitlines()), key=_user)
            assert sent == sorted(expected(step), key=_user), f"{step}: other messages"


def _user(message: dict[str, Any]) -> str:
    return str(message["userId"])


def expected(step: str) -> Iterator[dict[str, Any]]:
    """Yield what a step must send."""
    if step in ("same", "again"):
        return
    for message in look.messages(CHECKED_ROWS):
        traits = message["traits"]
        if step != "full":
            traits["in_cohort_1"] = True
        if step == "other":
            # What a trait was called before is taken back.
            traits |= {"tier": traits["plan"], "plan": None}
        yield message


def measure(rows: int, turns: int) -> dict[str, Any]:
    """Let all steps take turns, each turn with a snapshot of its own."""
    # A pull of all that has exactly as many rows as a cap of Looker is refused.
    rows += rows in SILENT_ROW_CAPS
    found: dict[str, list[Measured]] = {step: [] for step in STEPS}
    for turn in range(turns):
        with serving(rows) as server:
            for step in in_order(turn):
                found[step].append(run(step, server))
    return {
        "rows": rows,
        "turns": turns,
        "steps": {
            step: {
                **asdict(median_of(measured)),
                "each_turn": [asdict(turn) for turn in measured],
            }
            for step, measured in found.items()
        },
        "of_extract": {
            unit: {step: _of_extract(found, step, unit) for step in COMPARED}
            for unit in ("cpu_s", "seconds")
        },
    }


def in_order(turn: int) -> list[str]:
    """Return the steps of a turn: each needs the one before it, but extract without a snapshot.

    >>> in_order(1)[:3]
    ['first', 'commit_first', 'full']
    """
    steps = [step for step in STEPS if step != "full"]
    steps.insert(turn % (len(COMPARED) + 1) * 2, "full")
    return steps


def _of_extract(found: Mapping[str, Sequence[Measured]], step: str, unit: str) -> float:
    """Return diff and commit as a share of extract without them."""
    turns = zip(found[step], found[f"commit_{step}"], found["full"], strict=True)
    return median(
        (getattr(diff, unit) + getattr(commit, unit)) / getattr(full, unit) - 1
        for diff, commit, full in turns
    )


def as_table(result: dict[str, Any]) -> str:
    """Return the figures for people."""
    steps = result["steps"]
    full = steps["full"]
    lines = []
    for step, title in STEPS.items():
        measured = steps[step]
        more, longer = (result["of_extract"][unit].get(step) for unit in ("cpu_s", "seconds"))
        lines.append(
            (
                title,
                f"{measured['seconds']:,.1f}",
                f"{measured['cpu_s']:,.1f}",
                "" if more is None else f"{more:.2f}",
                "" if longer is None else f"{longer:.2f}",
                f"{measured['peak_mb']:,.0f}",
                f"{measured['peak_mb'] / full['peak_mb']:.2f}",
            )
        )
    title = f"{result['rows']:,} rows"
    heads = (
        title,
        "seconds",
        "CPU s",
        "diff and commit / full, CPU",
        "the same, wall clock",
        "peak MB",
        "peak / full",
    )
    return table(heads, lines)


if __name__ == "__main__":
    one(*sys.argv[1:])
