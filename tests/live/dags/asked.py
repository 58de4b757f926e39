"""DAGs of one sync: two that ask a person about what a guard stops, and one that no guard stops."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_looker_segment.task_groups import look_to_segment

SNAPSHOT = {"path": f"file://{os.environ['AIRFLOW_HOME']}/asked", "local": True}
GUARDS = {"max_messages": 10}
CHOICES: dict[str, dict[str, Any]] = {
    "asked": {"ask": True, "guards": GUARDS},
    "asked_in_time": {"ask": {"response_timeout": timedelta(seconds=3)}, "guards": GUARDS},
    "unguarded": {},
}
"""What is said to ``look_to_segment()``, by DAG."""

for dag_id, choices in CHOICES.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2020, 1, 1, tzinfo=UTC),
        params={
            "sync_id": Param("asked", type="string"),
            "window_end": Param("2026-01-15", type="string"),
        },
    ) as dag:
        look_to_segment(
            "42",
            sync_id="{{ params.sync_id }}",
            mode="changed",
            snapshot=SNAPSHOT,
            max_messages_per_second=1e6,
            retries=1,
            retry_delay=timedelta(seconds=1),
            **choices,
        )
    globals()[dag_id] = dag
