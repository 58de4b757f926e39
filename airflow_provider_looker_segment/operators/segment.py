"""Identify: deliver one shard of messages to Segment.

A shard's reference enters, a receipt leaves, also when the task fails: what was accepted is
recorded before the next batch leaves, so that a retry goes on where this try stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.limits import (
    MAX_BATCH_MESSAGES,
    MAX_MESSAGES_PER_SECOND,
)
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.message_id import MessageIds
from airflow_provider_looker_segment.core.pacing import Pace
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.delivery import Delivery, Message, messages
from airflow_provider_looker_segment.hooks.segment import SegmentHook
from airflow_provider_looker_segment.lineage import Lineage
from airflow_provider_looker_segment.links import ProblemsLink, SourceLink
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.operators.progress_log import ProgressLog
from airflow_provider_looker_segment.stores.chunks import (
    MANIFEST_KEY,
    RECEIPT_KEY,
    ChunkStore,
    Seal,
)
from airflow_provider_looker_segment.stores.progress import Progress
from airflow_provider_looker_segment.stores.rejects import Reject, RejectWriter

if TYPE_CHECKING:
    from airflow.sdk import Context

DEFAULT_MESSAGES_PER_SECOND = MAX_MESSAGES_PER_SECOND // 2
"""Half of what a whole workspace may send, so that live traffic keeps room."""


class SegmentIdentifyOperator(BaseOperator):
    """Send the messages of one shard to Segment as ``identify`` calls.

    Map it over what :class:`LookerRunLookOperator` returns:
    ``SegmentIdentifyOperator.partial(task_id="identify").expand(shard=extract.output)``.

    :param shard: the reference to what this task delivers. (templated)
    :param max_messages_per_second: of all shards of the run together. The 1,000 a second that
        Segment allows are the whole workspace's.
    :param segment_conn_id: an Airflow connection of type ``segment_source`` or ``segment``.
    """

    template_fields: Sequence[str] = ("shard",)
    template_fields_renderers = {"shard": "json"}  # noqa: RUF012 - as Airflow has it
    operator_extra_links = (SourceLink(), ProblemsLink())
    ui_color = "#e3f5ea"

    def __init__(
        self,
        *,
        shard: Mapping[str, Any],
        max_messages_per_second: float = DEFAULT_MESSAGES_PER_SECOND,
        segment_conn_id: str = SegmentHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shard = shard
        self.max_messages_per_second = max_messages_per_second
        self.segment_conn_id = segment_conn_id
        self.lineage = Lineage()

    def execute(self, context: Context) -> None:
        """Deliver the shard; the receipt is pushed whatever happens."""
        self.lineage.note_source_of(self.segment_conn_id)
        with airflow_errors():
            ti = context["ti"]
            task_id, map_index = self.shard["task_id"], self.shard["map_index"]
            said = ti.xcom_pull(task_ids=task_id, key=MANIFEST_KEY, map_indexes=map_index)
            manifest = Manifest.from_dict(said, task_id=task_id)
            per_second = arguments.messages_per_second(self.max_messages_per_second)
            pace = Pace(per_second / self.shard["of"])
            progress = Progress(
                context,
                generation=f"{manifest.edition}.{ti.max_tries}",
                under_way=min(pace.max_messages, MAX_BATCH_MESSAGES),
            )
            receipt = progress.resume(messages=self.shard["messages"])
            done = receipt.accepted + receipt.refused
            told = ProgressLog(self.log, "messages", total=receipt.messages, done=done)
            rejects: RejectWriter | None = None

            def on_refused(message: Message) -> None:
                if rejects:
                    rejects.add(Reject(message.row_number, "refused_by_segment", "", message.body))
                    # Before it counts as done: no later try sees this message again.
                    self._keep(rejects.save)

            def on_progress(receipt: Receipt) -> None:
                progress.record(receipt)
                told.at(receipt.accepted + receipt.refused)
                # Said before more leaves, because a killed worker says nothing afterwards.
                self._push(ti, manifest, progress.certain(receipt, sending=True), rejects=rejects)

            try:
                hook = SegmentHook(self.segment_conn_id)
                self._refuse_dry_run(manifest, hook)
                store = ChunkStore(
                    ti,
                    Seal(hook.settings),
                    task_id=task_id,
                    map_index=map_index,
                    run_id=self.shard.get("run_id"),
                )
                rejects = RejectWriter.of_task(
                    ti,
                    store.seal,
                    folder=manifest.rejects_folder,
                    generation=progress.generation,
                    resumes=receipt.refused,
                )
                if done:
                    self.log.info("An earlier try has delivered %s messages; going on there.", done)
                self._push(ti, manifest, progress.certain(receipt, sending=True))
                ids = MessageIds(
                    write_key_fingerprint=manifest.seal,
                    sync_id=manifest.sync_id,
                    run=(str(manifest.window["end"]), ti.run_id),
                    generation=progress.generation,
                )
                lines = islice(self._lines(store), done, None)
                delivery = Delivery(
                    hook, pace, receipt=receipt, on_progress=on_progress, on_refused=on_refused
                )
                delivery.run(messages(lines, shared=manifest.shared, ids=ids))
            finally:
                outcome = progress.certain(receipt, sending=False)
                self._push(ti, manifest, outcome)
                self.log.info("%s", outcome)
                if rejects:
                    self._keep(rejects.close)
                    self._push(ti, manifest, outcome, rejects=rejects)

    def _push(
        self, ti: Any, manifest: Manifest, receipt: Receipt, *, rejects: RejectWriter | None = None
    ) -> None:
        value = {
            "manifest": manifest.edition,
            "receipt": receipt.as_dict(),
            # What was sent before a Clear had other ids, and no receipt tells of it any more.
            "cleared": ti.max_tries > self.retries,
            "rejects": (rejects and rejects.saved) or {},
        }
        ti.xcom_push(key=RECEIPT_KEY, value=value)

    def _keep(self, write: Callable[[], object]) -> None:
        """Write the messages that Segment refused; what has been sent counts whatever happens."""
        try:
            write()
        except TransientError as error:
            self.log.warning("The messages that Segment refused could not be kept. %s", error)

    def _lines(self, store: ChunkStore) -> Iterator[Line]:
        first = self.shard["first_chunk"]
        for index in range(first, first + self.shard["chunks"]):
            yield from store.lines(index)

    def _refuse_dry_run(self, manifest: Manifest, hook: SegmentHook) -> None:
        if hook.settings.send and not manifest.dry_run:
            return
        raise PermanentError(
            f"Task {self.task_id!r}",
            should="send nothing",
            but="it was given messages, although this is a dry run or the connection has "
            "`send` off",
            do="Use the same segment_conn_id in all tasks.",
        )
