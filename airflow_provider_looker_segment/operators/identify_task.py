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
        ti = context["ti"]
        task_id, map_index = operator.shard["task_id"], operator.shard["map_index"]
        said = ti.xcom_pull(task_ids=task_id, key=MANIFEST_KEY, map_indexes=map_index)
        manifest = Manifest.from_dict(said, task_id=task_id)
        per_second = messages_per_second(operator.max_messages_per_second)
        pace = Pace(per_second / operator.shard["of"])
        progress = Progress(
            context,
            generation=f"{manifest.edition}.{ti.max_tries}",
            under_way=min(pace.max_messages, MAX_BATCH_MESSAGES),
        )
        receipt = progress.resume(messages=operator.shard["messages"])
        done = receipt.decided
        told = ProgressLog(operator.log, "messages", total=receipt.messages, done=done)
        rejects: RejectWriter | None = None
        sending = Sending(manifest)

        def on_refused(message: Message) -> None:
            if rejects:
                rejects.add(Reject(message.row_number, "refused_by_segment", "", message.body))
                # Before it counts as done: no later try sees this message again.
                _keep(operator, rejects.save)

        def on_progress(receipt: Receipt) -> None:
            progress.record(receipt)
            told.at(receipt.decided)
            # Said before more leaves, because a killed worker says nothing afterwards.
            _push(operator, ti, manifest, progress.certain(receipt, sending=True), rejects=rejects)
            if receipt.accepted:
                sending.note()

        try:
            hook = SegmentHook(operator.segment_conn_id)
            _refuse_dry_run(operator, manifest, hook)
            _refuse_stopped(operator, manifest)
            refuse_late(manifest, task_id=operator.task_id)
            store = ChunkStore(
                ti,
                Seal(hook.settings),
                task_id=task_id,
                map_index=map_index,
                run_id=operator.shard.get("run_id"),
            )
            rejects = RejectWriter.of_task(
                ti,
                store.seal,
                folder=manifest.rejects_folder,
                generation=progress.generation,
                resumes=receipt.refused,
            )
            if done:
                operator.log.info("An earlier try has delivered %s messages; going on there.", done)
            on_progress(receipt)
            ids = MessageIds(
                write_key_fingerprint=manifest.seal,
                sync_id=manifest.sync_id,
                run=(str(manifest.window["end"]), ti.run_id),
                generation=progress.generation,
            )
            lines = islice(_lines(operator, store), done, None)
            delivery = Delivery(
                hook, pace, receipt=receipt, on_progress=on_progress, on_refused=on_refused
            )
            forgotten = Forgotten(SyncStore(manifest.sync_id), again_s=_LOOK_AGAIN_S)
            delivery.run(
                messages(lines, shared=manifest.shared, ids=ids, is_forgotten=forgotten.has)
            )
        finally:
            outcome = progress.certain(receipt, sending=False)
            _push(operator, ti, manifest, outcome)
            operator.log.info("%s", outcome)
            if rejects:
                _keep(operator, rejects.close)
                _push(operator, ti, manifest, outcome, rejects=rejects)
            if outcome.unknown:
                sending.note()


def _push(
    operator: SegmentIdentifyOperator,
    ti: Any,
    manifest: Manifest,
    receipt: Receipt,
    *,
    rejects: RejectWriter | None = None,
) -> None:
    value = {
        "manifest": manifest.edition,
        "receipt": receipt.as_dict(),
        # What was sent before a Clear had other ids, and no receipt tells of it any more.
        "cleared": ti.max_tries > operator.retries,
        "rejects": (rejects and rejects.saved) or {},
    }
    ti.xcom_push(key=RECEIPT_KEY, value=value)


def _keep(operator: SegmentIdentifyOperator, write: Callable[[], object]) -> None:
    """Write the messages that Segment refused; what has been sent counts whatever happens."""
    try:
        write()
    except TransientError as error:
        operator.log.warning("The messages that Segment refused could not be kept. %s", error)


def _lines(operator: SegmentIdentifyOperator, store: ChunkStore) -> Iterator[Line]:
    first = operator.shard["first_chunk"]
    for index in range(first, first + operator.shard["chunks"]):
        yield from store.lines(index)


def _refuse_stopped(operator: SegmentIdentifyOperator, manifest: Manifest) -> None:
    if not manifest.stopped or operator.shard.get("approved") == manifest.edition:
        return
    raise PermanentError(
        f"Task {operator.task_id!r}",
        should="send what a guard stopped only when somebody has approved it",
        but="nobody has",
        do="Nothing was sent. Map this task over what a SegmentApprovalOperator returns.",
    )


def _refuse_dry_run(
    operator: SegmentIdentifyOperator, manifest: Manifest, hook: SegmentHook
) -> None:
    if hook.settings.send and not manifest.dry_run:
        return
    raise PermanentError(
        f"Task {operator.task_id!r}",
        should="send nothing",
        but="it was given messages, although this is a dry run or the connection has `send` off",
        do="Use the same segment_conn_id in all tasks.",
    )
