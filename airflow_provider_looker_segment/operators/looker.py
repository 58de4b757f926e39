"""Extract: run a Look, map and check every row, leave sealed chunks in XCom.

What a DAG says enters and is kept; the work is in :mod:`.extract_task`, which is imported when it
is done: Airflow imports this module again at every parse of a DAG file.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from airflow_provider_looker_segment.core.query_task import DEFAULT_TIMEOUT_S
from airflow_provider_looker_segment.lineage import Lineage
from airflow_provider_looker_segment.links import LookLink, ProblemsLink, QueryLink, SourceLink

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from airflow_provider_looker_segment.core.guards import Guards
    from airflow_provider_looker_segment.core.mapping import Mapping
    from airflow_provider_looker_segment.operators.long_query import LongQuery


def _refuse_secrets(**said_of: AbstractMapping[str, Any] | str | None) -> None:
    """Refuse addresses that hold a secret, unless a template has yet to say what they are.

    Airflow keeps these arguments with the DAG and shows them, so execute() would be too late.
    """
    for name, said in said_of.items():
        if isinstance(said, str | AbstractMapping) and "{{" not in str(said):
            # Most DAG files have no address, or a template for one.
            from airflow_provider_looker_segment import addresses  # noqa: PLC0415
            from airflow_provider_looker_segment.operators import arguments  # noqa: PLC0415

            address = arguments.snapshot(said).get("path", "")
            addresses.refuse_secret(f"Argument `{name}`:", str(address))


class LookerRunLookOperator(BaseOperator):
    """Run a Look as of the run's window and leave its rows as messages in XCom.

    Returns a list of shards: references for :class:`SegmentIdentifyOperator` to be mapped over.

    :param look_id: the number in the Look's address in Looker. (templated)
    :param as_of: anchor the Look's relative date filters at the end of the run's window;
        false leaves them to Looker's clock. (templated)
    :param filters: filter expressions by field; each replaces the Look's own. (templated)
    :param row_limit: ``None`` fetches everything unless somebody chose the Look's limit,
        ``"look"`` keeps that limit, ``"all"`` fetches everything, or a number. (templated)
    :param mapping: who a row is about and what is sent; a :class:`Mapping`, a dict, its JSON, or
        the path of a YAML file. (templated)
    :param destinations: the tools that must be able to use the rows. (templated)
    :param only: send to these destinations and to no others. (templated)
    :param unmet: what becomes of a row that a destination cannot use: ``"mute"`` keeps it from
        that destination, ``"reject"`` leaves it out, ``"warn"`` only counts it.
    :param destination_rules: ``"table"``, ``"current"``, or ``"both"`` to accept what either does.
    :param sync_id: what names this Look's way into Segment; the DAG's and the Look's id by default.
        (templated)
    :param guards: when to stop; :class:`Guards`, a dict, or the path of a YAML file.
    :param rejects: where rejected rows are kept, sealed, for a week: an address that Airflow's
        object storage understands, such as ``s3://bucket/rejects``. (templated)
    :param mode: ``"full"`` sends every row, ``"changed"`` the rows whose message differs from what
        Segment last accepted, ``"mirror"`` also tells Segment who left the Look. (templated)
    :param snapshot: where ``"changed"`` and ``"mirror"`` keep what Segment accepted: an address
        such as ``s3://conn_id@bucket/folder``, or ``{"path": …, "local": True}`` for a folder that
        every worker has. (templated)
    :param on_leave: what ``"mirror"`` tells of who left: ``"membership"`` makes
        ``membership_trait`` false, ``"clear"`` makes null what this sync sent.
    :param membership_trait: true for users in the Look; ``in_cohort_`` and the Look's id by
        default. (templated)
    :param allow_older: let a ``"full"`` run overwrite what a newer window has said. (templated)
    :param accept_changes: rely on the Look as it is now, whatever its columns, filters and limit
        were at the sync's first green run. (templated)
    :param approve: id of the DAG run that a guard stopped: deliver exactly what it would have sent.
        (templated)
    :param ask: succeed although a guard stops the run, for a :class:`SegmentApprovalOperator` that
        asks a person; nothing is sent unless they approve.
    :param dry_run: check everything and send nothing. (templated)
    :param show_values: show the first three messages of a dry run with their values. The values
        then rest in XCom, in the log, and wherever logs are kept, until Airflow deletes them.
        Refused in a run that sends. (templated)
    :param query_task: let Looker run the query on its own and ask now and then whether it is done,
        for a Look that takes minutes.
    :param deferrable: do that asking in the triggerer, so that no worker waits. It implies
        ``query_task`` and needs a running triggerer; Airflow's ``default_deferrable`` is not asked.
    :param query_timeout_s: seconds that such a query may take; then it is cancelled.
    :param looker_conn_id: an Airflow connection of type ``looker`` or ``gcp_looker``.
    :param segment_conn_id: where the messages will go; its write key seals the chunks.
    """

    template_fields: Sequence[str] = (
        "look_id",
        "as_of",
        "filters",
        "row_limit",
        "mapping",
        "destinations",
        "only",
        "sync_id",
        "rejects",
        "mode",
        "snapshot",
        "membership_trait",
        "allow_older",
        "accept_changes",
        "approve",
        "is_dry_run",
        "show_values",
    )
    template_fields_renderers = {"filters": "json", "mapping": "json"}  # noqa: RUF012 - as Airflow has it
    operator_extra_links = (LookLink(), QueryLink(), SourceLink(), ProblemsLink())
    ui_color = "#e8e6ff"

    def __init__(
        self,
        *,
        look_id: str | int,
        as_of: bool | str = True,
        filters: AbstractMapping[str, str] | str | None = None,
        row_limit: int | str | None = None,
        mapping: Mapping | AbstractMapping[str, Any] | str | None = None,
        destinations: Sequence[str] | str | None = None,
        only: bool | str = False,
        unmet: Literal["mute", "reject", "warn"] = "mute",
        destination_rules: Literal["both", "table", "current"] = "both",
        sync_id: str | None = None,
        guards: Guards | AbstractMapping[str, Any] | str | None = None,
        rejects: str | None = None,
        mode: Literal["full", "changed", "mirror"] | str = "full",  # noqa: PYI051 - or a template
        snapshot: AbstractMapping[str, Any] | str | None = None,
        on_leave: Literal["membership", "clear"] = "membership",
        membership_trait: str | None = None,
        allow_older: bool | str = False,
        accept_changes: bool | str = False,
        approve: str | None = None,
        ask: bool = False,
        dry_run: bool | str = False,
        show_values: bool | str = False,
        query_task: bool = False,
        deferrable: bool = False,
        query_timeout_s: float = DEFAULT_TIMEOUT_S,
        looker_conn_id: str = "looker_default",
        segment_conn_id: str = "segment_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.look_id = look_id
        self.as_of = as_of
        self.filters = filters
        self.row_limit = row_limit
        self.mapping = mapping
        self.destinations = destinations
        self.only = only
        self.unmet = unmet
        self.destination_rules = destination_rules
        self.sync_id = sync_id
        self.guards = guards
        _refuse_secrets(rejects=rejects, snapshot=snapshot)
        self.rejects = rejects
        self.mode = mode
        self.snapshot = snapshot
        self.on_leave = on_leave
        self.membership_trait = membership_trait
        self.allow_older = allow_older
        self.accept_changes = accept_changes
        self.approve = approve
        self.ask = ask
        # `dry_run` is a method of every operator.
        self.is_dry_run = dry_run
        self.show_values = show_values
        self.query_task = query_task
        self.deferrable = deferrable
        self.query_timeout_s = query_timeout_s
        self.looker_conn_id = looker_conn_id
        self.segment_conn_id = segment_conn_id
        self.lineage = Lineage()
        self.long_query: LongQuery | None = None

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render an argument; fail for good where it names what the run does not have."""
        from jinja2 import UndefinedError  # noqa: PLC0415 - Airflow has it loaded by then

        try:
            return super().render_template(content, *args, **kwargs)
        except (UndefinedError, TypeError) as error:
            # Macros such as ds_add take what is undefined for a value of the wrong type.
            if isinstance(error, TypeError) and "Undefined" not in str(error):
                raise
            from airflow_provider_looker_segment.operators import errors  # noqa: PLC0415

            argument = next(
                (name for name in self.template_fields if getattr(self, name) is content), None
            )
            if argument is None:
                # It is a part of an argument; the call for the whole one knows its name.
                raise
            with errors.airflow_errors():
                raise errors.undefined(argument, str(error)) from error

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Run the Look; return the shards."""
        from airflow_provider_looker_segment.operators import extract_task  # noqa: PLC0415

        return extract_task.run(self, context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Go on after the trigger's event; return the shards."""
        from airflow_provider_looker_segment.operators import extract_task  # noqa: PLC0415

        return extract_task.resume(self, context, event)

    def on_kill(self) -> None:
        """Cancel the query in Looker, if it is one that goes on without this process."""
        if self.long_query is not None:
            self.long_query.cancel()

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage | None:
        """Tell OpenLineage, where it is installed, which Look was read."""
        return self.lineage.open_lineage(with_output=False)
