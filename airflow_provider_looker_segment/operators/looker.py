"""Extract: run a Look, map and check every row, leave sealed chunks in XCom.

A Look's id enters, a short list of shards leaves. Nothing is sent here, and nothing half-read,
half-mapped or above a guard is left behind.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from airflow_provider_looker_segment import __version__, window
from airflow_provider_looker_segment.connections import SegmentSettings, refuse_secret
from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.guards import Guards
from airflow_provider_looker_segment.core.look import Look
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.mapping import Mapping, Plan, plan
from airflow_provider_looker_segment.core.preflight import possibilities
from airflow_provider_looker_segment.core.query import RunQuery, run_query
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.hooks.query_tasks import DEFAULT_TIMEOUT_S
from airflow_provider_looker_segment.lineage import LINEAGE_KEY, Lineage
from airflow_provider_looker_segment.links import LookLink, ProblemsLink, QueryLink, SourceLink
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.approval import take_over
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.operators.extraction import Extraction
from airflow_provider_looker_segment.operators.history_plan import plan_history
from airflow_provider_looker_segment.operators.long_query import LongQuery
from airflow_provider_looker_segment.stores.chunks import ChunkStore, Seal
from airflow_provider_looker_segment.stores.rejects import RejectWriter
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

_FOLLOWERS = frozenset({"SegmentIdentifyOperator", "SegmentReportOperator"})
_DONE = frozenset({"success", "failed"})


class LookerRunLookOperator(BaseOperator):
    """Run a Look as of the run's window and leave its rows as messages in XCom.

    Returns a list of shards: references for :class:`SegmentIdentifyOperator` to be mapped over.

    :param look_id: the number in the Look's address in Looker. (templated)
    :param as_of: anchor the Look's relative date filters at the end of the run's window;
        false leaves them to Looker's clock. (templated)
    :param filters: filter expressions by field; each replaces the Look's own. (templated)
    :param row_limit: ``None`` fetches everything unless somebody chose the Look's limit,
        ``"look"`` keeps that limit, ``"all"`` fetches everything, or a number. (templated)
    :param mapping: who a row is about and what is sent; a :class:`Mapping`, a dict, or the path
        of a YAML file. (templated)
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
    :param dry_run: check everything and send nothing. (templated)
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
        dry_run: bool | str = False,
        query_task: bool = False,
        deferrable: bool = False,
        query_timeout_s: float = DEFAULT_TIMEOUT_S,
        looker_conn_id: str = LookerHook.default_conn_name,
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
        if isinstance(rejects, str) and "{{" not in rejects:
            # Airflow keeps this argument with the DAG and shows it, so execute() would be too late.
            refuse_secret("Argument `rejects`:", rejects)
        self.rejects = rejects
        self.mode = mode
        self.snapshot = snapshot
        self.on_leave = on_leave
        self.membership_trait = membership_trait
        self.allow_older = allow_older
        self.accept_changes = accept_changes
        self.approve = approve
        # `dry_run` is a method of every operator.
        self.is_dry_run = dry_run
        self.query_task = query_task
        self.deferrable = deferrable
        self.query_timeout_s = query_timeout_s
        self.looker_conn_id = looker_conn_id
        self.segment_conn_id = segment_conn_id
        self.lineage = Lineage()
        self._long_query: LongQuery | None = None

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Run the Look; return the shards."""
        with airflow_errors():
            self._refuse_alone(context["ti"])
        approve = arguments.address("approve", self.approve)
        if approve:
            with airflow_errors():
                sync = SyncStore(self._sync_id(arguments.look_id(self.look_id)))
                return take_over(context["ti"], sync, approve)
        with airflow_errors(), closing(LookerHook(self.looker_conn_id)) as hook:
            extraction = self._extraction(context, hook)
            if self.query_task or self.deferrable:
                self._long_query = LongQuery(self, context, hook, extraction)
                return self._long_query.run()
            with hook.run(extraction.query_id, extraction.query, where=extraction.where) as answer:
                return extraction.take(answer)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Go on after the trigger's event; return the shards."""
        with airflow_errors(), closing(LookerHook(self.looker_conn_id)) as hook:
            extraction = self._extraction(context, hook)
            self._long_query = LongQuery(self, context, hook, extraction)
            return self._long_query.resume(event)

    def on_kill(self) -> None:
        """Cancel the query in Looker, if it is one that goes on without this process."""
        if self._long_query is not None:
            self._long_query.cancel()

    def get_openlineage_facets_on_complete(self, _: Any) -> OperatorLineage | None:
        """Tell OpenLineage, where it is installed, which Look was read."""
        return self.lineage.open_lineage(with_output=False)

    def _refuse_alone(self, ti: Any) -> None:
        """Refuse to run behind the tasks that send and report: nothing of it would be sent."""
        followers = [
            task.task_id
            for task in (self.downstream_list if self.has_dag() else ())  # type: ignore[no-untyped-call]
            if task.task_type in _FOLLOWERS
        ]
        if not followers:
            return
        found = ti.get_task_states(dag_id=ti.dag_id, task_ids=followers, run_ids=[ti.run_id])
        done = sorted(name for name, state in found.get(ti.run_id, {}).items() if state in _DONE)
        if done:
            raise PermanentError(
                f"Task {self.task_id!r}",
                should="run before the tasks that send and report",
                but=f"in this run these are done: {', '.join(done)}",
                do="Nothing was read or sent. Clear this task together with its downstream tasks.",
            )

    def _extraction(self, context: Context, hook: LookerHook) -> Extraction:
        """Find out everything that is known before the query runs, and create the query.

        It is the same at every call for one run: nothing of it need survive a deferral.
        """
        run_window = window.resolve(context)
        self.log.info("The run stands for %s.", run_window)
        look_id = arguments.look_id(self.look_id)
        self.lineage.note_look(hook.settings, look_id)
        self.lineage.note_source_of(self.segment_conn_id)
        look = hook.look(look_id)
        planned = plan(look, arguments.mapping(self.mapping))
        self.lineage.note_plan(planned)
        requirements = self._requirements(planned)
        query = self._query(look, run_window)
        guards = Guards.of(arguments.settings("guards", self.guards))
        segment = SegmentSettings.read(self.segment_conn_id)
        manifest = Manifest.begin(
            look_id=look.id,
            look_title=look.title,
            window_start=run_window.start,
            window_end=run_window.end,
            window_source=run_window.source,
            sync_id=self._sync_id(look.id),
            generation=context["ti"].max_tries,
            edition=f"{context['ti'].max_tries}.{context['ti'].try_number}",
            seal=segment.write_key_fingerprint,
            dry_run=arguments.flag("dry_run", self.is_dry_run) or not segment.send,
            version=__version__,
            warnings=[*planned.warnings, *_warnings(planned, requirements)],
        )
        seal = Seal(segment)
        manifest.rejects_folder = arguments.address("rejects", self.rejects)
        history = plan_history(
            self, context["ti"], planned=planned, query=query, manifest=manifest, segment=segment
        )
        query_id = hook.create_query(query, where=look.where)
        manifest.query_id = query_id
        self.lineage.note_query(hook.query_url)
        context["ti"].xcom_push(key=LINEAGE_KEY, value=self.lineage.as_dict())
        return Extraction(
            ti=context["ti"],
            plan=planned,
            requirements=requirements,
            query=query,
            query_id=query_id,
            guards=guards,
            manifest=manifest,
            store=ChunkStore(context["ti"], seal, task_id=self.task_id),
            history=history,
            rejects=RejectWriter.of_task(
                context["ti"], seal, folder=manifest.rejects_folder, generation=manifest.generation
            ),
            log=self.log,
        )

    def _sync_id(self, look_id: str) -> str:
        return arguments.address("sync_id", self.sync_id) or f"{self.dag_id}/{look_id}"

    def _requirements(self, planned: Plan) -> Requirements | None:
        """Check the columns against the chosen destinations, before any query runs."""
        chosen = arguments.names("destinations", self.destinations)
        only = arguments.flag("only", self.only)
        if not chosen and not only:
            return None
        requirements = Requirements(
            chosen,
            unmet=self.unmet,
            only=only,
            rules=self.destination_rules,
            parameters=planned.mapping.parameters,
        )
        impossible = requirements.preflight(**possibilities(planned))
        if impossible:
            raise PermanentError(
                planned.look.where,
                should="have what its destinations need",
                but="it has not: " + " ".join(impossible).removesuffix("."),
                do="Nothing was queried. Add the columns, map them, or leave the destination out.",
            )
        return requirements

    def _query(self, look: Look, run_window: window.Window) -> RunQuery:
        query = run_query(
            look,
            filters=arguments.expressions("filters", self.filters),
            as_of=run_window.end if arguments.flag("as_of", self.as_of) else None,
            row_limit=arguments.row_limit(self.row_limit),
        )
        for note in query.notes:
            self.log.info("%s: %s", look.where, note)
        return query


def _warnings(planned: Plan, requirements: Requirements | None) -> list[str]:
    if requirements is None:
        return []
    return requirements.warnings([name for name, _ in planned.traits])
