"""Every night, tell Segment who was active in the last 30 days."""

from datetime import UTC, datetime

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "active_users_to_segment",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
):
    look_to_segment(look_id="42", destinations=["braze", "zendesk"])
