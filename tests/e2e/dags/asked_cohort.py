"""A guard stops each run of this DAG, so that a person is asked."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "asked_cohort",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
):
    look_to_segment(look_id="42", guards={"max_messages": 1_000}, ask=True)
