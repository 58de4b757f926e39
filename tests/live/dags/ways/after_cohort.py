"""A DAG for a running Airflow that looks at a Look whenever another DAG has sent it."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_looker_segment.assets import create_asset
from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "after_cohort",
    schedule=[create_asset("segment", conn_id="segment_default", look_id="42")],
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    max_active_runs=1,
) as dag:
    # A dry run sends nothing, so nobody is told, least of all this DAG.
    look_to_segment("42", dry_run=True)
