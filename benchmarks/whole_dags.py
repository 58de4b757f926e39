"""DAGs for whole runs: a Look, and tasks of the same shape that do nothing. Airflow reads it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule

from airflow_provider_looker_segment.task_groups import look_to_segment

START = datetime(2020, 1, 1, tzinfo=UTC)
PARAMS = {"window_end": "2026-01-15"}
ROWS = int(os.environ["BENCHMARK_ROWS"])


class Empty(BaseOperator):
    """Does nothing, and says that there is one shard.

    :param shard: what a mapped task is mapped over.
    """

    def __init__(self, *, shard: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shard = shard

    def execute(self, context: Any) -> list[dict[str, int]]:  # noqa: ARG002
        """Return what a task is mapped over."""
        return [{"index": 0}]


with DAG("cohort", schedule=None, start_date=START, params=PARAMS) as cohort:
    # Segment's rate is not what is measured.
    look_to_segment(look_id="1", row_limit=ROWS, max_messages_per_second=1e9)

with DAG("empty", schedule=None, start_date=START, params=PARAMS) as empty, TaskGroup("group"):
    extract = Empty(task_id="extract")
    identify = Empty.partial(task_id="identify").expand(shard=extract.output)
    report = Empty(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    [extract, identify] >> report
