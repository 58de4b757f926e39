"""A DAG whose runs nobody reports, so that their chunks stay."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

with DAG("unreported", schedule=None):
    LookerRunLookOperator(task_id="extract", look_id="42", sync_id="unreported")
