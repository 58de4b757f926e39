"""What ``make demo`` prints."""

from __future__ import annotations

from typing import Any

from airflow_provider_looker_segment.sandbox.demo_page import (
    TaskRow,
    errors_in,
    report_table,
    task_table,
)

REPORT: dict[str, Any] = {
    "look": {"id": "42", "title": "Active"},
    "window": {"end": "2026-01-15T00:00:00+00:00"},
    "dry_run": False,
    "rows": 12_345,
    "duplicates": 1,
    "rejected": 2,
    "messages": 12_342,
    "accepted": 12_340,
    "refused": 2,
    "unknown": 0,
    "not_sent": 0,
    "problems": [{"code": "id_missing", "count": 2}],
    "warnings": ["no e-mail column"],
}


def test_tasks_are_aligned() -> None:
    """Tasks stand in columns, also those that never started or never ended."""
    tasks = [
        TaskRow("extract", None, "success", 12.345),
        TaskRow("identify", "rows 1 to 9", "upstream_failed", None),
        TaskRow("report", None, None, None),
    ]

    assert task_table(tasks).splitlines() == [
        "  task      state            seconds",
        "  extract   success             12.3",
        "  identify  upstream_failed           rows 1 to 9",
        "  report    none",
    ]


def test_report_counts_and_warns() -> None:
    """A report is its Look, its counts, its problems and its warnings."""
    assert report_table(REPORT).splitlines() == [
        '  Look 42, "Active", as of 2026-01-15 00:00 UTC',
        "  rows           12,345  that Looker gave",
        "  duplicates          1  repeats of a user, left out",
        "  rejected            2  rows that can't be sent, left out",
        "  messages       12,342  identify calls, one a user",
        "  accepted       12,340  by Segment",
        "  refused             2  by Segment, one by one",
        "  unknown             0  sent, but without an answer",
        "  not sent            0  because something failed before",
        "  problem: 2 rows id_missing",
        "  warning: no e-mail column",
    ]


def test_dry_run_is_called_so() -> None:
    """The report of a dry run says under its title that nothing was sent."""
    table = report_table(REPORT | {"dry_run": True})

    assert table.splitlines()[1] == "  A dry run: nothing was sent."


def test_errors_are_said_once() -> None:
    """An error that Airflow logs with its cause is printed once, without the traceback."""
    log = (
        "Traceback (most recent call last):\n"
        "airflow_provider_looker_segment.exceptions.PermanentError: Look 7 should exist.\n"
        "airflow.sdk.exceptions.AirflowFailException: Look 7\n  should exist.\n"
        "airflow_provider_looker_segment.exceptions.TransientError: Looker should answer.\n"
    )

    assert errors_in(log) == ["Look 7 should exist.", "Looker should answer."]
