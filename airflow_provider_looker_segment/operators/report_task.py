"""The work of report: the receipts of a run added up, its snapshot committed, its chunks deleted.

A manifest and receipts enter, a report leaves. It is the last task of a run and runs whatever
became of the others: a run that could not do what it promised ends red.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_looker_segment import metrics
from airflow_provider_looker_segment.assets import announce
from airflow_provider_looker_segment.core.guards import Guards
from airflow_provider_looker_segment.core.history import Fates, ShardFates, shard_fates
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.core.report import Report
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.lineage import LINEAGE_KEY, Lineage
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.operators.history import commit, remember
from airflow_provider_looker_segment.stores import chunks
from airflow_provider_looker_segment.stores.chunks import APPROVAL_KEY, MANIFEST_KEY, RECEIPT_KEY
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_looker_segment.operators.report import SegmentReportOperator

_RAN = frozenset({"success", "failed"})
"""States of tasks that may have sent something."""


class _ShardSaid(NamedTuple):
    """What one shard says of its messages.

    :param rejects: where those are kept that Segment refused.
    """

    receipt: Receipt
    fates: ShardFates
    rejects: dict[str, Any]


def run(operator: SegmentReportOperator, context: Context) -> dict[str, Any]:
    """Add up, clean up, check; return the report."""
    ti = context["ti"]
    said = ti.xcom_pull(task_ids=operator.extract_task_id, key=LINEAGE_KEY, map_indexes=-1)
    operator.lineage = Lineage.from_dict(said)
    with airflow_errors():
        state = str(_states(ti, operator.extract_task_id).get(operator.extract_task_id))
        if state == "skipped":
            raise AirflowSkipException(
                "The extract task was skipped, so there is nothing to report."
            )
        said = ti.xcom_pull(task_ids=operator.extract_task_id, key=MANIFEST_KEY, map_indexes=-1)
        said = _overruled(operator, ti, said)
        try:
            manifest = _manifest(operator, ti, state, said)
            shards = list(_said(operator, ti, manifest))
            sync = SyncStore(manifest.sync_id)
            if manifest.newest is not None:
                _warn_of_overlap(operator, manifest, sync)
            report = Report.of(
                manifest.as_dict(),
                (shard.receipt for shard in shards),
                rejects=[manifest.rejects, *(shard.rejects for shard in shards)],
            )
            operator.log.info("%s", report)
            # First of all: whatever fails from here on, somebody can see what was sent.
            ti.xcom_push(key="report", value=report.as_dict())
            commit(manifest, Fates(shard.fates for shard in shards), sync)
        finally:
            trouble = _delete_chunks(operator, ti, said)
        if trouble is None:
            extract = {"task_id": operator.extract_task_id, "map_index": -1}
            sync.note_no_chunks({"dag_id": ti.dag_id, "run_id": ti.run_id, **extract})
        guards = Guards.of(arguments.settings("guards", operator.guards))
        metrics.count(report.as_dict(), dag_id=operator.dag_id)
        try:
            report.check(max_rejected=guards.max_rejected)
        except PermanentError:
            remember(manifest, sync, ti, sent=report.may_have_sent, green=False)
            raise
        if trouble is not None:
            remember(manifest, sync, ti, sent=report.may_have_sent, green=False)
            raise trouble
        remember(manifest, sync, ti, sent=report.may_have_sent, green=True)
        if not manifest.dry_run:
            operator.accepted = report.receipt.accepted
        announce(context, conn_id=operator.segment_conn_id, report=report.as_dict())
        return report.as_dict()


def _warn_of_overlap(operator: SegmentReportOperator, manifest: Manifest, sync: SyncStore) -> None:
    overlap = sync.read().overlap(manifest.newest, str(manifest.window["end"]))
    if overlap:
        operator.log.warning("Sync %r: %s.", sync.sync_id, overlap)
        manifest.warnings.append(f"sync {sync.sync_id!r}: {overlap}")


def _approval(operator: SegmentReportOperator, ti: Any, manifest: Any) -> dict[str, Any]:
    """Find what a person has said about what a guard stopped; empty where nobody did."""
    if operator.approve_task_id is None or not isinstance(manifest, dict):
        return {}
    said = ti.xcom_pull(task_ids=operator.approve_task_id, key=APPROVAL_KEY, map_indexes=-1)
    is_of_it = isinstance(said, dict) and said.get("edition") == manifest.get("edition")
    return said if is_of_it else {}


def _overruled(operator: SegmentReportOperator, ti: Any, said: Any) -> Any:
    """Return the manifest of extract, in which a guard that somebody overruled stops nothing."""
    approval = _approval(operator, ti, said)
    if not _is_stopped(said) or not approval.get("approved"):
        return said
    manifest = Manifest.from_dict(said, task_id=operator.extract_task_id)
    manifest.overrule(approval["by"])
    manifest.newest = approval["newest"]
    return manifest.as_dict()


def _manifest(operator: SegmentReportOperator, ti: Any, state: str, said: Any) -> Manifest:
    if _is_stopped(said) and operator.approve_task_id is not None:
        approval = _approval(operator, ti, said)
        why = f"{approval['by'] or 'somebody'} rejected it" if approval else "nobody has"
        raise PermanentError(
            f"Task {operator.approve_task_id!r}",
            should="be approved",
            but=f"{why}, and a guard stopped the run: {said['stopped'].removesuffix('.')}",
            do="To be asked again, clear that task with its downstream tasks, before the next "
            "green run of the sync.",
        )
    if _is_stopped(said):
        raise PermanentError(
            f"Task {operator.extract_task_id!r}",
            should="succeed",
            but=f"a guard stopped it: {said['stopped'].removesuffix('.')}",
            do="What it would have sent is kept until the next green run of the sync; to send "
            f'exactly that, run the DAG with approve="{ti.run_id}".',
        )
    if state != "success":
        raise PermanentError(
            f"Task {operator.extract_task_id!r}",
            should="succeed",
            but=f"its state is {state!r}; nothing was sent",
            do="See its log, then clear it with its downstream tasks.",
        )
    return Manifest.from_dict(said, task_id=operator.extract_task_id)


def _delete_chunks(
    operator: SegmentReportOperator, ti: Any, manifest: Any
) -> TransientError | None:
    """Delete the chunks; return why that failed, for it must not hide how the run went."""
    if _is_stopped(manifest):
        return None
    try:
        _delete(operator, ti, manifest)
    except Exception as error:  # noqa: BLE001 - each XCom backend has errors of its own
        operator.log.warning("The chunks could not be deleted (%s).", type(error).__name__)
        return TransientError(
            f"The chunks of task {operator.extract_task_id!r}",
            should="be gone when a run ends",
            but=f"they could not be deleted ({type(error).__name__})",
            do="They are encrypted; a retry of this task deletes them.",
        )
    return None


def _delete(operator: SegmentReportOperator, ti: Any, manifest: Any) -> None:
    # A killed extract leaves chunks and no manifest, a storage that lost it an address.
    said = manifest if isinstance(manifest, dict) else {}
    known = said.get("chunks")
    count = known if isinstance(known, int) else chunks.count(ti, task_id=operator.extract_task_id)
    run_id = said.get("chunks_run_id") or ti.run_id
    chunks.delete(ti, count, task_id=operator.extract_task_id, of=(ti.dag_id, run_id))


def _said(operator: SegmentReportOperator, ti: Any, manifest: Manifest) -> Iterator[_ShardSaid]:
    """Find what each shard says of its messages.

    A shard without a receipt sent nothing that anybody knows of.
    Receipts of removed tasks are not looked for, those of other readings are left out.
    """
    states = _states(ti, operator.identify_task_id)
    shards = ti.xcom_pull(task_ids=operator.extract_task_id, map_indexes=-1) or []
    first = 0
    for index, shard in enumerate(shards):
        said = ti.xcom_pull(task_ids=operator.identify_task_id, key=RECEIPT_KEY, map_indexes=index)
        receipt: Receipt | None = None
        cleared, rejects = False, dict[str, Any]()
        if said is None:
            if states.get(f"{operator.identify_task_id}_{index}") in _RAN:
                # Killed before it said anything; an earlier try may have sent all of it.
                receipt = Receipt(messages=shard["messages"], unknown=shard["messages"])
        elif not isinstance(said, dict) or said.get("manifest") == manifest.edition:
            receipt = _receipt(operator, said, shard, index)
            if isinstance(said, dict):
                cleared, rejects = bool(said.get("cleared")), said.get("rejects") or {}
        if receipt is not None:
            yield _ShardSaid(receipt, shard_fates(first, receipt, cleared=cleared), rejects)
        first += shard["messages"]


def _receipt(
    operator: SegmentReportOperator, said: Any, shard: Mapping[str, Any], index: int
) -> Receipt:
    """Read a shard's receipt; what nobody can read leaves all its messages unknown."""
    try:
        receipt = Receipt.from_dict(said["receipt"])
        if receipt.is_possible and receipt.messages == shard["messages"]:
            return receipt
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    operator.log.warning(
        "The receipt of task %r, map index %s, is none: the fate of its messages is unknown.",
        operator.identify_task_id,
        index,
    )
    return Receipt(messages=shard["messages"], unknown=shard["messages"])


def _states(ti: Any, task_id: str) -> Mapping[str, Any]:
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id])
    found: Mapping[str, Any] = states.get(ti.run_id, {})
    return found


def _is_stopped(manifest: Any) -> bool:
    """Whether a guard stopped the extract, and its chunks wait for somebody's approval."""
    return isinstance(manifest, dict) and bool(manifest.get("stopped"))
