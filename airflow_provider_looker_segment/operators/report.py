"""Report: add the receipts, delete the chunks, tell the truth.

A manifest and receipts enter, a report leaves. It is the last task of a run and runs whatever
became of the others: a run that could not do what it promised ends red.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TriggerRule
from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core.guards import Guards
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.core.report import Report
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.stores.chunks import (
    MANIFEST_KEY,
    RECEIPT_KEY,
    ChunkStore,
    Seal,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class SegmentReportOperator(BaseOperator):
    """Close the books of a run.

    Returns the report as plain JSON. Fails when a message is of unknown fate or was not sent.

    :param extract_task_id: the :class:`LookerRunLookOperator`'s full task id.
    :param identify_task_id: the :class:`SegmentIdentifyOperator`'s full task id.
    :param guards: as in extract; ``max_rejected`` holds for what Segment refuses too.
    :param segment_conn_id: as in the other tasks.
    """

    ui_color = "#fff3d6"

    def __init__(
        self,
        *,
        extract_task_id: str,
        identify_task_id: str,
        guards: Guards | Mapping[str, Any] | str | None = None,
        segment_conn_id: str = "segment_default",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        super().__init__(**kwargs)
        self.extract_task_id = extract_task_id
        self.identify_task_id = identify_task_id
        self.guards = guards
        self.segment_conn_id = segment_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Add up, check, clean up; return the report."""
        ti = context["ti"]
        with airflow_errors():
            self._check_extract(ti)
            said = ti.xcom_pull(task_ids=self.extract_task_id, key=MANIFEST_KEY, map_indexes=-1)
            manifest = Manifest.from_dict(said, task_id=self.extract_task_id)
            receipts = self._receipts(ti, manifest)
            report = Report.of(manifest.as_dict(), receipts)
            self.log.info("%s", report)
            store = ChunkStore(
                ti, Seal(SegmentSettings.read(self.segment_conn_id)), task_id=self.extract_task_id
            )
            store.delete(manifest.chunks)
            ti.xcom_push(key="report", value=report.as_dict())
            guards = Guards.of(arguments.settings("guards", self.guards))
            report.check(max_rejected=guards.max_rejected)
            return report.as_dict()

    def _check_extract(self, ti: Any) -> None:
        states = ti.get_task_states(
            dag_id=ti.dag_id, task_ids=[self.extract_task_id], run_ids=[ti.run_id]
        )
        state = str(states.get(ti.run_id, {}).get(self.extract_task_id))
        if state == "skipped":
            raise AirflowSkipException(
                "The extract task was skipped, so there is nothing to report."
            )
        if state != "success":
            raise PermanentError(
                f"Task {self.extract_task_id!r}",
                should="succeed",
                but=f"it is {state}; nothing was sent",
                do="See its log, then clear it with its downstream tasks.",
            )

    def _receipts(self, ti: Any, manifest: Manifest) -> Sequence[Receipt]:
        found = [
            ti.xcom_pull(task_ids=self.identify_task_id, key=RECEIPT_KEY, map_indexes=index)
            for index in range(manifest.shards)
        ]
        # A cleared extract may have left receipts of an earlier generation behind.
        return [
            Receipt.from_dict(said["receipt"])
            for said in found
            if said is not None and said["manifest"] == manifest.generation
        ]
