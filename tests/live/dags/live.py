"""DAGs for a running Airflow: one to be killed, one to be cleared, one that is told to wait."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider_looker_segment.core.chunking import shard
from airflow_provider_looker_segment.task_groups import look_to_segment

# A shard takes half a million messages, far more than the sandbox has users.
SHARD = Path(os.environ["AIRFLOW_HOME"]) / "max_shard_messages"
if SHARD.exists() and shard.__kwdefaults__:
    shard.__kwdefaults__["max_messages"] = int(SHARD.read_text())

FORM = {"look_id": "{{ params.look_id }}", "filters": "{{ params.filters }}"}
CHOICES: dict[str, dict[str, Any]] = {
    "killed": {
        "retries": 300,
        "retry_delay": timedelta(seconds=1),
        "retry_exponential_backoff": False,
        "max_messages_per_second": 400,
    },
    "without_retries": {"retries": 0, "max_messages_per_second": 400},
    "cleared": {"retries": 0, "max_messages_per_second": 1e6},
    "told_to_wait": {
        "retries": 1,
        "retry_delay": timedelta(seconds=1),
        "retry_exponential_backoff": False,
    },
}
"""What is said to ``look_to_segment()``, by DAG."""

for dag_id, choices in CHOICES.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2020, 1, 1, tzinfo=UTC),
        params={
            "look_id": Param("42", type="string"),
            "filters": Param({}, type="object"),
            "window_end": Param("2026-01-15", type="string"),
        },
    ) as dag:
        look_to_segment(**{**FORM, **choices})
    globals()[dag_id] = dag
