"""Identify: deliver one shard of messages to Segment.

What a DAG says enters and is kept; the work is in :mod:`.identify_task`, which is imported when it
is done: Airflow imports this module again at every parse of a DAG file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_looker_segment.core.limits import MAX_MESSAGES_PER_SECOND
from airflow_provider_looker_segment.lineage import Lineage
from airflow_provider_looker_segment.links import ProblemsLink, SourceLink

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
        segment_conn_id: str = "segment_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shard = shard
        self.max_messages_per_second = max_messages_per_second
        self.segment_conn_id = segment_conn_id
        self.lineage = Lineage()

    def execute(self, context: Context) -> None:
        """Deliver the shard; the receipt is pushed whatever happens."""
        from airflow_provider_looker_segment.operators import identify_task  # noqa: PLC0415

        identify_task.run(self, context)
