"""A query that outlives processes: begun once, found again, waited for, read or given up.

An extraction enters, its shards leave, from whichever process is there when the query ends.
A query that nobody will wait for any longer is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_looker_segment.core.query_task import (
    ADDED,
    COMPLETE,
    ENDINGS,
    EXPIRED,
    TIMEOUT,
    UNKNOWN,
    QueryTask,
)
from airflow_provider_looker_segment.exceptions import (
    LookerSegmentError,
    PermanentError,
    TransientError,
)
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.hooks.query_tasks import QueryTasks
from airflow_provider_looker_segment.hooks.refusal import is_missing
from airflow_provider_looker_segment.operators.extraction import Extraction
from airflow_provider_looker_segment.stores.query_tasks import QueryTaskRecord
from airflow_provider_looker_segment.triggers.looker import LookerQueryTaskTrigger

if TYPE_CHECKING:
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

Shards = list[dict[str, Any]]


class LongQuery:
    """The query task of one extraction.

    :param operator: the operator that waits; it is asked to defer where it may.
    :param context: Airflow's context.
    :param hook: how to reach Looker.
    :param extraction: what becomes of the result.
    """

    def __init__(
        self,
        operator: LookerRunLookOperator,
        context: Mapping[str, Any],
        hook: LookerHook,
        extraction: Extraction,
    ) -> None:
        self._operator = operator
        self._extraction = extraction
        self._tasks = QueryTasks(hook, where=extraction.where)
        self._record = QueryTaskRecord(context)
        self._waiting_for: QueryTask | None = None

    def run(self) -> Shards:
        """Wait for the query that an earlier try began, or begin one."""
        task = self._record.read(query_id=self._extraction.query_id)
        if task is not None:
            status = self._tasks.status(task)
            if status == COMPLETE or status not in ENDINGS:
                self._operator.log.info("An earlier try began the query; going on there.")
                return self._finish(task, status)
        return self._finish(self._begin(), ADDED)

    def resume(self, event: Mapping[str, Any]) -> Shards:
        """Go on with what a trigger found out.

        :param event: what the trigger yielded.
        :raises TransientError: when it is about another query than the Look's of now.
        """
        task, status = QueryTask.from_dict(event.get("query_task")), str(event.get("status"))
        if task is None or task.query_id != self._extraction.query_id:
            self._record.clear()
            if task is not None and status not in ENDINGS:
                self._tasks.cancel(task)
            raise TransientError(
                f"{self._extraction.where}: the query that has ended",
                should="be the Look's of now",
                but="it is another one, as if the Look was changed while it ran",
                do="Nothing was sent; the run can be tried again.",
            )
        if status == UNKNOWN:
            status = self._tasks.status(task)
        return self._finish(task, status)

    def cancel(self) -> None:
        """Stop the query that is waited for, if there is one."""
        if self._waiting_for is not None:
            self._tasks.cancel(self._waiting_for)

    def _begin(self, *, is_second: bool = False) -> QueryTask:
        task = self._tasks.begin(
            self._extraction.query_id,
            self._extraction.query,
            timeout_s=self._operator.query_timeout_s,
            is_second=is_second,
        )
        self._waiting_for = task
        self._record.write(task)
        self._operator.log.info("Looker runs the query as query task %s.", task.id)
        return task

    def _finish(self, task: QueryTask, status: str) -> Shards:
        if status not in ENDINGS and status != TIMEOUT:
            status = self._wait(task)
        self._waiting_for = None
        if status == COMPLETE:
            try:
                with self._tasks.results(task) as answer:
                    return self._extraction.take(answer)
            except PermanentError as error:
                if not is_missing(error):
                    raise
                status = EXPIRED
        self._record.clear()
        if status in (EXPIRED, TIMEOUT):
            # Looker says so of queries, too, that are still running.
            self._tasks.cancel(task)
        if status == EXPIRED and not task.is_second:
            self._operator.log.warning("Looker dropped the query as expired; running it again.")
            return self._finish(self._begin(is_second=True), ADDED)
        raise self._tasks.failure(task, status)

    def _wait(self, task: QueryTask) -> str:
        if self._operator.deferrable:
            self._operator.defer(
                trigger=LookerQueryTaskTrigger(
                    looker_conn_id=self._operator.looker_conn_id,
                    where=self._extraction.where,
                    query_task=task.as_dict(),
                ),
                method_name="execute_complete",
            )
        self._waiting_for = task
        try:
            return self._tasks.wait(task)
        except LookerSegmentError as error:
            if isinstance(error, PermanentError) or not self._record.lasts:
                self._tasks.cancel(task)
            raise
