"""The query task of a run, kept where a killed worker cannot take it along.

It enters when Looker begins the query, and leaves for a retry, which then waits for the same query
instead of running it again. The store outlives a Clear too, so the record carries the generation.
Airflow 3.3 has such a store; before that a retry runs the query again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_looker_segment.core.query_task import QueryTask

_KEY = "looker_query_task"


class QueryTaskRecord:
    """The record of one task instance.

    :param context: Airflow's context; ``task_state_store`` is in it since 3.3.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store = context.get("task_state_store")
        # A Clear raises `max_tries`, a retry does not.
        self._generation = context["ti"].max_tries

    @property
    def lasts(self) -> bool:
        """Whether a retry will find what is written."""
        return self._store is not None

    def read(self, *, query_id: str) -> QueryTask | None:
        """Return the task that an earlier try of this generation began.

        :param query_id: of the query that is wanted now; a task of another one is of no use.
        """
        record = None if self._store is None else self._store.get(_KEY)
        if not isinstance(record, dict) or record.get("generation") != self._generation:
            return None
        task = QueryTask.from_dict(record.get("task"))
        return task if task is not None and task.query_id == query_id else None

    def write(self, task: QueryTask) -> None:
        """Note that Looker runs a query for this task instance."""
        if self._store is not None:
            self._store.set(_KEY, {"generation": self._generation, "task": task.as_dict()})

    def clear(self) -> None:
        """Note that no retry shall wait for that query."""
        if self._store is not None:
            self._store.delete(_KEY)
