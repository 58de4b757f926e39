"""The DAG beside ``whole_cohort.py``: tasks of the same shape that do nothing. Airflow reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, BaseOperator, TaskGroup, TriggerRule


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


with (
    DAG(
        "empty",
        schedule=None,
        start_date=datetime(2020, 1, 1, tzinfo=UTC),
        params={"window_end": "2026-01-15"},
    ) as empty,
    TaskGroup("look_to_segment"),
):
    extract = Empty(task_id="extract")
    identify = Empty.partial(task_id="identify").expand(shard=extract.output)
    report = Empty(task_id="report", trigger_rule=TriggerRule.ALL_DONE)
    [extract, identify] >> report
