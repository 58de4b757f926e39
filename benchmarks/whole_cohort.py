"""The DAG of whole runs: a Look, sent as fast as it can be. Airflow reads it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "cohort",
    schedule=None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    params={"window_end": "2026-01-15"},
) as cohort:
    # Segment's rate is not what is measured.
    look_to_segment(
        look_id="1",
        row_limit=int(os.environ["BENCHMARK_ROWS"]),
        max_messages_per_second=1e9,
    )
