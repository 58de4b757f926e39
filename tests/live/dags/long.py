"""DAGs for a running Airflow whose Looks take long: a worker waits, or the triggerer does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_looker_segment.task_groups import look_to_segment

CHOICES: dict[str, dict[str, Any]] = {
    "long_waiting": {"query_task": True},
    "long_deferred": {"deferrable": True},
}
"""What is said to ``look_to_segment()``, by DAG."""

for dag_id, choices in CHOICES.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2020, 1, 1, tzinfo=UTC),
        params={"window_end": Param("2026-01-15", type="string")},
    ) as dag:
        look_to_segment(
            "42",
            retries=3,
            retry_delay=timedelta(seconds=1),
            retry_exponential_backoff=False,
            **choices,
        )
    globals()[dag_id] = dag
