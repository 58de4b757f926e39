"""The work of extract: everything that is known before the query, the query, the shards.

An operator and Airflow's context enter, references to shards leave. Nothing is sent here, and
nothing half-read, half-mapped or above a guard is left behind.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_looker_segment import __version__, window
from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.guards import Guards
from airflow_provider_looker_segment.core.look import Look
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.mapping import Plan, plan
from airflow_provider_looker_segment.core.preflight import possibilities
from airflow_provider_looker_segment.core.query import RunQuery, run_query
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.lineage import LINEAGE_KEY
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.approval import take_over
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.operators.extraction import Extraction
from airflow_provider_looker_segment.operators.history_plan import check_limit, plan_history
from airflow_provider_looker_segment.operators.long_query import LongQuery
from airflow_provider_looker_segment.stores.chunks import ChunkStore, Seal
from airflow_provider_looker_segment.stores.rejects import RejectWriter
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

_FOLLOWERS = frozenset(
    {"SegmentApprovalOperator", "SegmentIdentifyOperator", "SegmentReportOperator"}
)
_DONE = frozenset({"success", "failed"})


def run(operator: LookerRunLookOperator, context: Context) -> list[dict[str, Any]]:
    """Run the Look; return the shards."""
    with airflow_errors():
        _refuse_alone(operator, context["ti"])
        approve = arguments.text_of("approve", operator.approve)
    if approve:
        with airflow_errors():
            _refuse_dry(operator)
            sync = SyncStore(_sync_id(operator, arguments.look_id(operator.look_id)))
            allow_older = arguments.flag("allow_older", operator.allow_older)
            return take_over(context["ti"], sync, approve, allow_older=allow_older)
    with airflow_errors(), closing(LookerHook(operator.looker_conn_id)) as hook:
        extraction = _extraction(operator, context, hook)
        if operator.query_task or operator.deferrable:
            operator.long_query = LongQuery(operator, context, hook, extraction)
            return operator.long_query.run()
        with hook.run(extraction.query_id, extraction.query, where=extraction.where) as answer:
            return extraction.take(answer)


def resume(
    operator: LookerRunLookOperator, context: Context, event: dict[str, Any]
) -> list[dict[str, Any]]:
    """Go on after the trigger's event; return the shards."""
    with airflow_errors(), closing(LookerHook(operator.looker_conn_id)) as hook:
        extraction = _extraction(operator, context, hook)
        operator.long_query = LongQuery(operator, context, hook, extraction)
        return operator.long_query.resume(event)


def _refuse_alone(operator: LookerRunLookOperator, ti: Any) -> None:
    """Refuse to run behind the tasks that send and report: nothing of it would be sent."""
    followers = [
        task.task_id
        for task in (operator.downstream_list if operator.has_dag() else ())  # type: ignore[no-untyped-call]
        if task.task_type in _FOLLOWERS
    ]
    if not followers:
        return
    found = ti.get_task_states(dag_id=ti.dag_id, task_ids=followers, run_ids=[ti.run_id])
    done = sorted(name for name, state in found.get(ti.run_id, {}).items() if state in _DONE)
    if done:
        raise PermanentError(
            f"Task {operator.task_id!r}",
            should="run before the tasks that send and report",
            but=f"in this run these are done: {', '.join(done)}",
            do="Nothing was read or sent. Clear this task together with its downstream tasks.",
        )


def _refuse_dry(operator: LookerRunLookOperator) -> None:
    """Refuse to use up what waits for approval where nothing may be sent."""
    if arguments.flag("dry_run", operator.is_dry_run):
        why = "this is a dry run"
    elif not SegmentSettings.read(operator.segment_conn_id).send:
        why = f"`send` is off in connection {operator.segment_conn_id!r}"
    else:
        return
    raise PermanentError(
        "Argument `approve`:",
        should="be used where messages are sent",
        but=why,
        do="Nothing was sent, and the stopped run still waits. Approve it in a run that sends.",
    )


def _shows_values(operator: LookerRunLookOperator, *, dry_run: bool) -> bool:
    """Whether the samples show values; a run that sends never does."""
    asked = arguments.flag("show_values", operator.show_values)
    if asked and not dry_run:
        raise PermanentError(
            "Argument `show_values`:",
            should="be used in a dry run only",
            but="this run would send",
            do="Nothing was queried or sent. Make it a dry run, or leave the argument out.",
        )
    return asked


def _extraction(operator: LookerRunLookOperator, context: Context, hook: LookerHook) -> Extraction:
    """Find out everything that is known before the query runs, and create the query.

    It is the same at every call for one run: nothing of it need survive a deferral.
    """
    run_window = window.resolve(context)
    operator.log.info("The run stands for %s.", run_window)
    look_id = arguments.look_id(operator.look_id)
    operator.lineage.note_look(hook.settings, look_id)
    operator.lineage.note_source_of(operator.segment_conn_id)
    # The report's links lead there too when nothing else of this task comes about.
    context["ti"].xcom_push(key=LINEAGE_KEY, value=operator.lineage.as_dict())
    look = hook.look(look_id)
    planned = plan(look, arguments.mapping(operator.mapping))
    operator.lineage.note_plan(planned)
    requirements = _requirements(operator, planned)
    check_limit(operator, planned, sync_id=_sync_id(operator, look.id))
    query = _query(operator, look, run_window)
    guards = Guards.of(arguments.settings("guards", operator.guards))
    segment = SegmentSettings.read(operator.segment_conn_id)
    dry_run = arguments.flag("dry_run", operator.is_dry_run) or not segment.send
    manifest = Manifest.begin(
        look_id=look.id,
        look_title=look.title,
        window_start=run_window.start,
        window_end=run_window.end,
        window_source=run_window.source,
        sync_id=_sync_id(operator, look.id),
        generation=context["ti"].max_tries,
        edition=f"{context['ti'].max_tries}.{context['ti'].try_number}",
        seal=segment.write_key_fingerprint,
        dry_run=dry_run,
        shows_values=_shows_values(operator, dry_run=dry_run),
        version=__version__,
        warnings=[*planned.warnings, *_warnings(planned, requirements)],
    )
    seal = Seal(segment)
    manifest.rejects_folder = arguments.text_of("rejects", operator.rejects)
    history = plan_history(
        operator, context["ti"], planned=planned, query=query, manifest=manifest, segment=segment
    )
    query_id = hook.create_query(query, where=look.where)
    manifest.query_id = query_id
    operator.lineage.note_query(hook.query_url)
    context["ti"].xcom_push(key=LINEAGE_KEY, value=operator.lineage.as_dict())
    return Extraction(
        ti=context["ti"],
        plan=planned,
        requirements=requirements,
        query=query,
        query_id=query_id,
        guards=guards,
        manifest=manifest,
        store=ChunkStore(context["ti"], seal, task_id=operator.task_id),
        history=history,
        rejects=RejectWriter.of_task(
            context["ti"], seal, folder=manifest.rejects_folder, generation=manifest.generation
        ),
        asks=operator.ask,
        log=operator.log,
    )


def _sync_id(operator: LookerRunLookOperator, look_id: str) -> str:
    return arguments.text_of("sync_id", operator.sync_id) or f"{operator.dag_id}/{look_id}"


def _requirements(operator: LookerRunLookOperator, planned: Plan) -> Requirements | None:
    """Check the columns against the chosen destinations, before any query runs."""
    chosen = arguments.names("destinations", operator.destinations)
    only = arguments.flag("only", operator.only)
    if not chosen and not only:
        return None
    requirements = Requirements(
        chosen,
        unmet=operator.unmet,
        only=only,
        rules=operator.destination_rules,
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


def _query(operator: LookerRunLookOperator, look: Look, run_window: window.Window) -> RunQuery:
    query = run_query(
        look,
        filters=arguments.expressions("filters", operator.filters),
        as_of=run_window.end if arguments.flag("as_of", operator.as_of, unless_said=True) else None,
        row_limit=arguments.row_limit(operator.row_limit),
    )
    for note in query.notes:
        operator.log.info("%s: %s", look.where, note)
    return query


def _warnings(planned: Plan, requirements: Requirements | None) -> list[str]:
    if requirements is None:
        return []
    return requirements.warnings([name for name, _ in planned.traits])
