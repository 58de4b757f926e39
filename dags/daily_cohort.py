"""Every night, send the cohort of a Look to Segment; also from the form behind "Trigger"."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_looker_segment.form import FORM_CHOICES, trigger_form
from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "daily_cohort",
    description="Send a Look's cohort to Segment, every night or at the press of a button",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["looker", "segment"],
    params=trigger_form(look_id="42"),
) as dag:
    # The modes "changed" and "mirror" remember there what Segment accepted.
    look_to_segment(**FORM_CHOICES, snapshot="{{ var.value.get('cohort_snapshots', '') }}")
