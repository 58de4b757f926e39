"""The work of identify: one shard of messages, delivered until each fate is known.

An operator and Airflow's context enter, a receipt leaves, also when the task fails: what was
accepted is recorded before the next batch leaves, so that a retry goes on where this try stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.limits import MAX_BATCH_MESSAGES
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.message_id import MessageIds
from airflow_provider_looker_segment.core.pacing import Pace, messages_per_second
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.delivery import Delivery, Message, messages
from airflow_provider_looker_segment.hooks.segment import SegmentHook
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.operators.lateness import Sending, refuse_late
from airflow_provider_looker_segment.operators.progress_log import ProgressLog
from airflow_provider_looker_segment.stores.chunks import (
    MANIFEST_KEY,
    RECEIPT_KEY,
    ChunkStore,
    Seal,
)
from airflow_provider_looker_segment.stores.forgotten import Forgotten
from airflow_provider_looker_segment.stores.progress import Progress
from airflow_provider_looker_segment.stores.rejects import Reject, RejectWriter
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator

_LOOK_AGAIN_S = 10.0
"""Seconds after which a task that goes on asks again who was forgotten."""


def run(operator: SegmentIdentifyOperator, context: Context) -> None:
    """Deliver the shard; the receipt is pushed whatever happens."""
    operator.lineage.note_source_of(operator.segment_conn_id)
    with airflow_errors():
        _Try(operator, context).run()


class _Try:
    """One try to deliver a shard."""

    def __init__(self, operator: SegmentIdentifyOperator, context: Context) -> None:
        self._operator = operator
        self._ti: Any = context["ti"]
        self._shard = shard = operator.shard
        self._task_id: str = shard["task_id"]
        said = self._ti.xcom_pull(
            task_ids=self._task_id, key=MANIFEST_KEY, map_indexes=shard["map_index"]
        )
        self._manifest = Manifest.from_dict(said, task_id=self._task_id)
        per_second = messages_per_second(operator.max_messages_per_second)
        self._pace = Pace(per_second / shard["of"])
        self._progress = Progress(
            context,
            generation=f"{self._manifest.edition}.{self._ti.max_tries}",
            under_way=min(self._pace.max_messages, MAX_BATCH_MESSAGES),
        )
        self._receipt = self._progress.resume(messages=shard["messages"])
        self._done = self._receipt.decided
        self._told = ProgressLog(
            operator.log, "messages", total=self._receipt.messages, done=self._done
        )
        self._sending = Sending(self._manifest)
        self._rejects: RejectWriter | None = None

    def run(self) -> None:
        """Deliver what no earlier try has delivered."""
        try:
            self._deliver()
        finally:
            self._close()

    def _deliver(self) -> None:
        manifest = self._manifest
        hook = SegmentHook(self._operator.segment_conn_id)
        self._refuse_dry_run(hook)
        self._refuse_stopped()
        refuse_late(manifest, task_id=self._operator.task_id)
        store = self._chunks(hook)
        self._rejects = RejectWriter.of_task(
            self._ti,
            store.seal,
            folder=manifest.rejects_folder,
            generation=self._progress.generation,
            resumes=self._receipt.refused,
        )
        if self._done:
            self._operator.log.info(
                "An earlier try has delivered %s messages; going on there.", self._done
            )
        self._on_progress(self._receipt)
        ids = MessageIds(
            write_key_fingerprint=manifest.seal,
            sync_id=manifest.sync_id,
            run=(str(manifest.window["end"]), self._ti.run_id),
            generation=self._progress.generation,
        )
        lines = islice(self._lines(store), self._done, None)
        forgotten = Forgotten(SyncStore(manifest.sync_id), again_s=_LOOK_AGAIN_S)
        delivery = Delivery(
            hook,
            self._pace,
            receipt=self._receipt,
            on_progress=self._on_progress,
            on_refused=self._on_refused,
        )
        delivery.run(messages(lines, shared=manifest.shared, ids=ids, is_forgotten=forgotten.has))

    def _close(self) -> None:
        """Leave the receipt, whatever became of the try."""
        outcome = self._progress.certain(self._receipt, sending=False)
        self._push(outcome, rejects=None)
        self._operator.log.info("%s", outcome)
        if self._rejects:
            self._keep(self._rejects.close)
            self._push(outcome, rejects=self._rejects)
        if outcome.unknown:
            self._sending.note()

    def _on_refused(self, message: Message) -> None:
        if self._rejects:
            self._rejects.add(Reject(message.row_number, "refused_by_segment", "", message.body))
            # Before it counts as done: no later try sees this message again.
            self._keep(self._rejects.save)

    def _on_progress(self, receipt: Receipt) -> None:
        self._progress.record(receipt)
        self._told.at(receipt.decided)
        # Said before more leaves, because a killed worker says nothing afterwards.
        self._push(self._progress.certain(receipt, sending=True), rejects=self._rejects)
        if receipt.accepted:
            self._sending.note()

    def _push(self, receipt: Receipt, *, rejects: RejectWriter | None) -> None:
        value = {
            "manifest": self._manifest.edition,
            "receipt": receipt.as_dict(),
            # What was sent before a Clear had other ids, and no receipt tells of it any more.
            "cleared": self._ti.max_tries > self._operator.retries,
            "rejects": (rejects and rejects.saved) or {},
        }
        self._ti.xcom_push(key=RECEIPT_KEY, value=value)

    def _keep(self, write: Callable[[], object]) -> None:
        """Write the messages that Segment refused; what has been sent counts whatever happens."""
        try:
            write()
        except TransientError as error:
            self._operator.log.warning(
                "The messages that Segment refused could not be kept. %s", error
            )

    def _chunks(self, hook: SegmentHook) -> ChunkStore:
        return ChunkStore(
            self._ti,
            Seal(hook.settings),
            task_id=self._task_id,
            map_index=self._shard["map_index"],
            run_id=self._shard.get("run_id"),
        )

    def _lines(self, store: ChunkStore) -> Iterator[Line]:
        first = self._shard["first_chunk"]
        for index in range(first, first + self._shard["chunks"]):
            yield from store.lines(index)

    def _refuse_stopped(self) -> None:
        if not self._manifest.stopped or self._shard.get("approved") == self._manifest.edition:
            return
        raise PermanentError(
            f"Task {self._operator.task_id!r}",
            should="send what a guard stopped only when somebody has approved it",
            but="nobody has",
            do="Nothing was sent. Map this task over what a SegmentApprovalOperator returns.",
        )

    def _refuse_dry_run(self, hook: SegmentHook) -> None:
        if hook.settings.send and not self._manifest.dry_run:
            return
        raise PermanentError(
            f"Task {self._operator.task_id!r}",
            should="send nothing",
            but="it was given messages, although this is a dry run or the connection has `send` "
            "off",
            do="Use the same segment_conn_id in all tasks.",
        )
