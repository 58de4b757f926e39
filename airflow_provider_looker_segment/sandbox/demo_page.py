"""What ``make demo`` prints: tables and hints.

Rows of Airflow's database and the report of a run enter, text leaves; nothing is read or run here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any, Final, NamedTuple

from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.moments import short

_COUNTS: Final = (
    ("rows", "rows", "that Looker gave"),
    ("duplicates", "duplicates", "repeats of a user, left out"),
    ("rejected", "rejected", "rows that can't be sent, left out"),
    ("messages", "messages", "identify calls, one a user"),
    ("accepted", "accepted", "by Segment"),
    ("refused", "refused", "by Segment, one by one"),
    ("unknown", "unknown", "sent, but without an answer"),
    ("not_sent", "not sent", "because something failed before"),
)

_NEXT: Final = (
    ("make ui", "the same in the browser: Airflow's pages, the form behind Trigger"),
    ("make sandbox", "the stand-ins to stay; open the Segment address in a browser"),
    ("make test", "the test-suite"),
    ("dags/daily_cohort.py", "this DAG: another look_id, filters, a dry run"),
    ("docs/tutorial.md", "your own Look and your own Segment source"),
    (".demo/airflow.log", "everything that Airflow said"),
)

_ERROR: Final = re.compile(
    r"\b(?:AirflowFailException|PermanentError|TransientError)\b: (.+(?:\n {2}(?! ).+)*)"
)


class TaskRow(NamedTuple):
    """One task instance.

    :param task_id: with its task group.
    :param rows: of a mapped task, which rows it delivered.
    :param state: Airflow's word, or ``None`` when it never ran.
    :param duration_s: seconds, or ``None`` when it never ended.
    """

    task_id: str
    rows: str | None
    state: str | None
    duration_s: float | None


def task_table(tasks: Sequence[TaskRow]) -> str:
    """Return one line per task instance.

    >>> print(task_table([TaskRow("identify", "rows 1 to 9", "success", 0.31)]))
      task      state    seconds
      identify  success      0.3  rows 1 to 9
    """
    ids = _width([task.task_id for task in tasks], "task")
    states = _width([task.state or "none" for task in tasks], "state")
    lines = [f"  {'task':<{ids}}  {'state':<{states}}  seconds"]
    for task in tasks:
        seconds = "" if task.duration_s is None else f"{task.duration_s:.1f}"
        line = f"  {task.task_id:<{ids}}  {task.state or 'none':<{states}}  {seconds:>7}"
        lines.append(f"{line}  {task.rows or ''}".rstrip())
    return "\n".join(lines)


def report_table(report: Mapping[str, Any]) -> str:
    """Return what the report counts, a line each, under the Look and the window.

    :param report: as the report task leaves it in XCom.
    """
    look = report["look"]
    end = short(datetime.fromisoformat(report["window"]["end"]))
    lines = [f'  Look {look["id"]}, "{look["title"]}", as of {end} UTC']
    lines += ["  A dry run: nothing was sent."] if report["dry_run"] else []
    lines += [f"  {name:<12}{report[key]:>9,}  {meaning}" for key, name, meaning in _COUNTS]
    lines += [
        f"  problem: {counted(found['count'], 'row')} {found['code']}"
        for found in report["problems"]
    ]
    lines += [f"  warning: {warning}" for warning in report["warnings"]]
    return "\n".join(lines)


def next_steps() -> str:
    """Return what a newcomer may do now, a line each."""
    width = _width([name for name, _ in _NEXT])
    return "\n".join(starmap(f"  {{:<{width}}}  {{}}".format, _NEXT))


def errors_in(log: str) -> list[str]:
    """Return what failed tasks said, each once.

    >>> errors_in("PermanentError: Look 7 should exist, but does not.")
    ['Look 7 should exist, but does not.']
    """
    return list(dict.fromkeys(" ".join(error.split()) for error in _ERROR.findall(log)))


def _width(texts: Sequence[str], *more: str) -> int:
    return max(map(len, [*texts, *more]))
