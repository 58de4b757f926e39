"""Query tasks: Looker runs a query on its own and is asked now and then whether it is done.

The query of a run enters, its result leaves in pieces, as it does without a task. Waiting is
bounded, and what is not waited for any longer is cancelled.
Source: https://cloud.google.com/looker/docs/reference/looker-api/latest/methods/Query/create_query_task
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from airflow_provider_looker_segment.core.query import RunQuery
from airflow_provider_looker_segment.core.query_task import (
    ENDINGS,
    EXPIRED,
    FAILED,
    KILLED,
    TIMEOUT,
    QueryTask,
    poll_intervals,
)
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.exceptions import (
    LookerSegmentError,
    PermanentError,
    TransientError,
)
from airflow_provider_looker_segment.hooks.looker import Answer, LookerHook
from airflow_provider_looker_segment.hooks.looker_metadata import result_parameters
from airflow_provider_looker_segment.hooks.refusal import is_missing

_POLL_TIMEOUT_S = 60
_CANCEL_TIMEOUT_S = 10


class QueryTasks:
    """The query tasks of one Look.

    :param hook: how to reach Looker.
    :param where: how messages name the Look.
    """

    def __init__(self, hook: LookerHook, *, where: str) -> None:
        self._hook = hook
        self._where = where

    def close(self) -> None:
        """Sign out, if the hook ever signed in."""
        self._hook.close()

    def begin(
        self, query_id: str, query: RunQuery, *, timeout_s: float, is_second: bool = False
    ) -> QueryTask:
        """Let Looker begin to run a query.

        A request that a proxy leaves unanswered is repeated, although Looker may have begun: then
        the database runs the query twice, and the result is that of the second.

        :param timeout_s: seconds after which nobody waits any longer.
        :param is_second: whether it replaces one that expired.
        """
        body = {"query_id": query_id, "result_format": "json_detail"}
        created = self._hook.ask(
            f"{self._where}: its query task",
            lambda: self._hook.sdk.create_query_task(
                # The SDK's own class takes no plain text for the format, which it then sends.
                body,  # type: ignore[arg-type]
                **result_parameters(query),
                fields="id,status",
            ),
        )
        return QueryTask(str(created.id), query_id, time.time() + timeout_s, is_second)

    def status(self, task: QueryTask) -> str:
        """Ask what has become of a task; one that Looker does not know any more has expired."""
        try:
            found = self._hook.ask(
                f"{self._where}: its query task",
                lambda: self._hook.sdk.query_task(
                    task.id, fields="id,status", transport_options={"timeout": _POLL_TIMEOUT_S}
                ),
            )
        except PermanentError as error:
            if is_missing(error):
                return EXPIRED
            raise
        return str(found.status)

    def wait(self, task: QueryTask) -> str:
        """Ask, at growing intervals, until the task has ended.

        :return: one of the endings, or ``TIMEOUT``.
        """
        for interval_s in poll_intervals():
            left_s = task.give_up_at - time.time()
            if left_s <= 0:
                break
            time.sleep(min(interval_s, left_s))
            status = self.status(task)
            if status in ENDINGS:
                return status
        return TIMEOUT

    @contextlib.contextmanager
    def results(self, task: QueryTask) -> Iterator[Answer]:
        """Hand over the result of a task that is complete.

        :raises PermanentError: when Looker refuses it, or has it no more.
        :raises TransientError: when it cannot answer now, or stops in the middle.
        """
        path = f"/query_tasks/{task.id}/results"
        with self._hook.stream(path, {}, where=self._where) as answer:
            yield answer

    def cancel(self, task: QueryTask) -> None:
        """Stop the query in Looker; that this fails changes nothing for the caller.

        It may be called from a signal handler or from another thread.
        """
        with contextlib.closing(self._hook.twin(patience_s=0)) as hook:
            try:
                hook.ask(
                    f"{self._where}: its query task",
                    lambda: hook.sdk.kill_query(
                        task.id, transport_options={"timeout": _CANCEL_TIMEOUT_S}
                    ),
                )
            except LookerSegmentError as error:
                if is_missing(error):
                    return
                self._hook.log.warning("The query could not be cancelled in Looker. %s", error)
            else:
                self._hook.log.info("%s: its query is cancelled in Looker.", self._where)

    def failure(self, task: QueryTask, status: str) -> LookerSegmentError:
        """Return the error that tells why a task brought no result.

        :param status: what became of it.
        """
        if status in FAILED:
            return self._complaint(task) or PermanentError(
                f"{self._where}: its query",
                should="return rows",
                but=f"Looker ended its query task with the status {status!r} and gives no reason",
                do="Nothing was sent. Run the Look in Looker and mend what it complains about.",
            )
        but = {
            KILLED: "it was killed in Looker or in the database",
            EXPIRED: "Looker has dropped it as expired, and so it has with the one before",
            TIMEOUT: "its time was up first, so it was cancelled",
        }.get(status, f"Looker says {status!r}")
        do = "Nothing was sent; the run can be tried again."
        if status == TIMEOUT:
            do += " If it needs longer, give it a larger query_timeout_s, or narrow the Look."
        return TransientError(f"{self._where}: its query", should="run to its end", but=but, do=do)

    def _complaint(self, task: QueryTask) -> LookerSegmentError | None:
        """Read what Looker says in place of a result."""
        try:
            with self.results(task) as answer:
                rows = RowStream(answer.pieces, look=self._where, content_type=answer.content_type)
                for _ in rows:
                    pass
        except LookerSegmentError as error:
            return None if is_missing(error) else error
        return None
