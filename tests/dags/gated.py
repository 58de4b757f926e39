"""A DAG that leaves ``look_to_segment()`` out, as a branch does."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import AirflowSkipException
from airflow.sdk import DAG, task

from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG("gated", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)) as dag:

    @task
    def gate() -> None:
        """Skip what follows."""
        raise AirflowSkipException

    gate() >> look_to_segment("42")
