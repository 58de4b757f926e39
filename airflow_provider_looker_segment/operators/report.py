"""Report: add the receipts, delete the chunks, tell the truth.

What a DAG says enters and is kept; the work is in :mod:`.report_task`, which is imported when it is
done: Airflow imports this module again at every parse of a DAG file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TriggerRule

from airflow_provider_looker_segment.assets import any_cohort
from airflow_provider_looker_segment.lineage import Lineage
from airflow_provider_looker_segment.links import LookLink, ProblemsLink, QueryLink, SourceLink

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_looker_segment.core.guards import Guards


class SegmentReportOperator(BaseOperator):
    """Close the books of a run.

    Returns the report as plain JSON. Fails when a message is of unknown fate or was not sent.

    :param extract_task_id: the :class:`LookerRunLookOperator`'s full task id.
    :param identify_task_id: the :class:`SegmentIdentifyOperator`'s full task id.
    :param approve_task_id: the :class:`SegmentApprovalOperator`'s full task id, if there is one.
    :param guards: as in extract; ``max_rejected`` holds for what Segment refuses too.
    :param segment_conn_id: as in identify; names the assets that this task announces.
    """

    operator_extra_links = (LookLink(), QueryLink(), SourceLink(), ProblemsLink())
    ui_color = "#fff3d6"

    def __init__(
        self,
        *,
        extract_task_id: str,
        identify_task_id: str,
        approve_task_id: str | None = None,
        guards: Guards | Mapping[str, Any] | str | None = None,
        segment_conn_id: str = "segment_default",
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("trigger_rule", TriggerRule.ALL_DONE)
        kwargs["outlets"] = [*(kwargs.get("outlets") or ()), any_cohort(segment_conn_id)]
        super().__init__(**kwargs)
        self.extract_task_id = extract_task_id
        self.identify_task_id = identify_task_id
        self.approve_task_id = approve_task_id
        self.guards = guards
        self.segment_conn_id = segment_conn_id
        self.lineage = Lineage()
        self.accepted: int | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Add up, clean up, check; return the report."""
        from airflow_provider_looker_segment.operators import report_task  # noqa: PLC0415

        return report_task.run(self, context)

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage | None:
        """Tell OpenLineage, where it is installed, what reached which source."""
        return self.lineage.open_lineage(with_output=self.accepted is not None, rows=self.accepted)
