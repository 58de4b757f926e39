"""A DAG for a running Airflow that can be started in every way, and remembers what it sent."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG, Asset
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "stepping",
    schedule=AssetOrTimeSchedule(
        timetable=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
        assets=[Asset("stepping_may_go")],
    ),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"window_end": ""},
) as dag:
    look_to_segment(
        "42",
        mode="changed",
        snapshot={"path": f"file://{os.environ['AIRFLOW_HOME']}/snapshots", "local": True},
        max_messages_per_second=1e6,
    )
