"""The DAG that tests run: ``look_to_segment()`` with the choices a test has written down."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_looker_segment.task_groups import look_to_segment

CHOICES = json.loads(os.environ.get("TESTED_CHOICES", '{"look_id": "42"}'))

with DAG(
    # Airflow 3.1 keeps the tasks that it first saw under an id.
    "tested_asking" if CHOICES.get("ask") else "tested",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    catchup=False,
    params={"window_end": os.environ.get("TESTED_WINDOW_END", "")},
) as dag:
    look_to_segment(**CHOICES)
