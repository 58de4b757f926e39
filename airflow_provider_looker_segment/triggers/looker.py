"""Wait for a query task without a worker.

What identifies the task enters, one small event leaves: the same, and what became of it. No row
passes here, and a triggerer that is restarted goes on asking: the query is cancelled only when
somebody kills the Airflow task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_looker_segment.core.query_task import (
    ENDINGS,
    TIMEOUT,
    UNKNOWN,
    QueryTask,
    poll_intervals,
)
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.hooks.query_tasks import QueryTasks
from airflow_provider_looker_segment.hooks.refusal import PATIENCE_S


class LookerQueryTaskTrigger(BaseTrigger):
    """Ask Looker at growing intervals until a query task has ended.

    The event is ``{"status": …, "query_task": …}``: Looker's own last word, ``timeout``, or
    ``unknown`` where Looker would not say.

    :param looker_conn_id: an Airflow connection of type ``looker`` or ``gcp_looker``.
    :param where: how messages name the Look.
    :param query_task: what :meth:`QueryTask.as_dict` returned.
    """

    def __init__(self, *, looker_conn_id: str, where: str, query_task: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.looker_conn_id = looker_conn_id
        self.where = where
        self.query_task = query_task
        self._tasks: QueryTasks | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return everything that another triggerer needs to go on."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "looker_conn_id": self.looker_conn_id,
            "where": self.where,
            "query_task": self.query_task,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event when the query task has ended, or nobody waits any longer."""
        try:
            status = await self._ending()
        except (PermanentError, TransientError):
            # The worker asks again, and tells the user what Looker refuses or what is out of reach.
            status = UNKNOWN
        # Whoever gave no answer gives none to this either.
        if self._tasks is not None and status != UNKNOWN:
            await asyncio.to_thread(self._tasks.close)
        event = {"status": status, "query_task": self.query_task}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Cancel the query in Looker: somebody killed the task. Airflow calls this since 3.3."""
        tasks = await self._connected()
        await asyncio.to_thread(tasks.cancel, self._task)

    @property
    def _task(self) -> QueryTask:
        return QueryTask(**self.query_task)

    async def _connected(self) -> QueryTasks:
        if self._tasks is None:
            hook = LookerHook(self.looker_conn_id, patience_s=0)
            # Not `to_thread`: before Airflow 3.3 a connection can only be asked for in this loop,
            # and this bridge leads back to it.
            await sync_to_async(lambda: hook.settings)()
            self._tasks = QueryTasks(hook, where=self.where)
        return self._tasks

    async def _ending(self) -> str:
        tasks = await self._connected()
        unanswered_s = 0.0
        asked_to_wait_s = 0.0
        for interval_s in poll_intervals():
            left_s = self._task.give_up_at - time.time()
            if left_s <= 0:
                break
            pause_s = min(max(interval_s, asked_to_wait_s), left_s)
            await asyncio.sleep(pause_s)
            try:
                status = await asyncio.to_thread(tasks.status, self._task)
            except TransientError as error:
                unanswered_s += pause_s
                asked_to_wait_s = error.retry_after_s or 0.0
                if unanswered_s > PATIENCE_S:
                    return UNKNOWN
                continue
            unanswered_s = asked_to_wait_s = 0.0
            if status in ENDINGS:
                return status
        return TIMEOUT
