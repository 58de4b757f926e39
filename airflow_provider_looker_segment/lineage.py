"""Where a run's data comes from and goes to: for links, and for OpenLineage.

Settings, a plan and ids enter, addresses and column names leave; no value of a row is among them.
It travels from extract to report as plain JSON.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

from airflow_provider_looker_segment.exceptions import LookerSegmentError

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_looker_segment.connections import LookerSettings, SegmentSettings
    from airflow_provider_looker_segment.core.mapping import Plan

LINEAGE_KEY = "lineage"
"""The XCom key under which extract leaves it."""

_API_PORT = 19999
"""Of older Looker instances; people reach those without it."""


@dataclass(slots=True)
class Lineage:
    """What is known of a run's way so far; empty where it is not.

    :param look_url: of the Look in Looker.
    :param query_url: of the exact query of this run in Looker.
    :param source_url: of the Segment source's debugger.
    :param looker: OpenLineage's namespace of the Looker instance.
    :param segment: OpenLineage's namespace of the Segment workspace.
    :param source: the source's name within it.
    :param fields: for each column its ``name``, ``type`` and ``label``, and under ``sent_as`` what
        it becomes in a message; empty for one that is not sent.
    """

    look_id: str = ""
    look_url: str = ""
    query_url: str = ""
    source_url: str = ""
    looker: str = ""
    segment: str = ""
    source: str = ""
    fields: list[dict[str, str]] = field(default_factory=list)

    def note_look(self, settings: LookerSettings, look_id: str) -> None:
        """Note where the Look is."""
        web = _web(settings.base_url)
        self.look_id = look_id
        self.look_url = f"{web}/looks/{quote(look_id, safe='')}"
        self.looker = f"looker://{urlsplit(web).netloc}"

    def note_plan(self, plan: Plan) -> None:
        """Note what each column becomes."""
        sent_as = {column.name: f"traits.{name}" for name, column in plan.traits}
        ids = (("userId", plan.user_id), ("anonymousId", plan.anonymous_id))
        sent_as |= {column.name: key for key, column in ids if column is not None}
        if plan.group_id is not None:
            sent_as[plan.group_id.name] = "context.groupId"
        self.fields = [
            {
                "name": column.name,
                "type": column.type,
                "label": column.label,
                "sent_as": sent_as.get(column.name, ""),
            }
            for column in plan.look.columns
        ]

    def note_query(self, url: str) -> None:
        """Note where the query is, and with it under which address people use Looker."""
        parts = urlsplit(url)
        if parts.netloc:
            self.query_url = url
            self.look_url = f"{parts.scheme}://{parts.netloc}{urlsplit(self.look_url).path}"

    def note_source(self, settings: SegmentSettings) -> None:
        """Note where messages go."""
        workspace, source = settings.workspace, settings.source
        host = urlsplit(settings.host).netloc
        self.segment = f"segment://{workspace or host}"
        # Without its slug a source is told from others by its key's fingerprint.
        self.source = source or settings.write_key_fingerprint
        if workspace and source:
            app = settings.app
            path = f"{quote(workspace, safe='')}/sources/{quote(source, safe='')}"
            self.source_url = f"{app}/{path}/debugger"
        elif settings.is_on_this_machine:
            # A stand-in shows what arrived itself; a proxy would not.
            self.source_url = f"{settings.host}/"

    def note_source_of(self, conn_id: str) -> None:
        """Note where messages would go, if the connection can be read.

        One that cannot be read fails the task elsewhere, with a better message.
        """
        # Operators hold a lineage from the parse of a DAG file on, when nothing reads connections.
        from airflow_provider_looker_segment.connections import (  # noqa: PLC0415
            SegmentSettings,
        )

        try:
            self.note_source(SegmentSettings.read(conn_id))
        except LookerSegmentError:
            return

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON, for XCom."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Any) -> Self:
        """Read back what :meth:`as_dict` wrote; anything else is an empty one."""
        return cls(**said) if isinstance(said, dict) else cls()

    def open_lineage(self, *, with_output: bool, rows: int | None = None) -> OperatorLineage | None:
        """Return OpenLineage's facets; ``None`` while nothing is known.

        Needs ``apache-airflow-providers-openlineage``, and is asked for by it alone.

        :param with_output: whether this task's messages reach the source.
        :param rows: how many messages were accepted.
        """
        from airflow.providers.openlineage.extractors import (  # noqa: PLC0415 - it is optional
            OperatorLineage,
        )
        from openlineage.client.event_v2 import (  # noqa: PLC0415
            InputDataset,
            OutputDataset,
        )
        from openlineage.client.facet_v2 import (  # noqa: PLC0415
            column_lineage_dataset as lineage,
        )
        from openlineage.client.facet_v2 import (  # noqa: PLC0415
            output_statistics_output_dataset,
            schema_dataset,
        )

        if not self.looker:
            return None
        name = f"looks/{self.look_id}"
        schema = schema_dataset.SchemaDatasetFacet(
            fields=[
                schema_dataset.SchemaDatasetFacetFields(
                    name=one["name"], type=one["type"], description=one["label"]
                )
                for one in self.fields
            ]
        )
        looked = InputDataset(namespace=self.looker, name=name, facets={"schema": schema})
        if not with_output:
            return OperatorLineage(inputs=[looked])
        sent = [one for one in self.fields if one["sent_as"]]
        reached = OutputDataset(
            namespace=self.segment,
            name=self.source,
            facets={
                "schema": schema_dataset.SchemaDatasetFacet(
                    fields=[
                        schema_dataset.SchemaDatasetFacetFields(
                            name=one["sent_as"], type=one["type"]
                        )
                        for one in sent
                    ]
                ),
                "columnLineage": lineage.ColumnLineageDatasetFacet(
                    fields={
                        one["sent_as"]: lineage.Fields(
                            inputFields=[
                                lineage.InputField(
                                    namespace=self.looker, name=name, field=one["name"]
                                )
                            ]
                        )
                        for one in sent
                    }
                ),
            },
            outputFacets=(
                {}
                if rows is None
                else {
                    "outputStatistics": (
                        output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                            rowCount=rows
                        )
                    )
                }
            ),
        )
        return OperatorLineage(inputs=[looked], outputs=[reached])


def _web(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.port == _API_PORT:
        # Its `hostname` lacks the brackets of IPv6.
        return f"{parts.scheme}://{parts.netloc.removesuffix(f':{_API_PORT}')}"
    return base_url
