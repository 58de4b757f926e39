"""The work of approve: a question, an answer, and the very chunks that the question was about.

A manifest and a person's answer enter, shards leave, or an error that says why nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_looker_segment.core import question
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.sync import StoppedRun
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.lineage import LINEAGE_KEY, Lineage
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.approval import Approval, check_current, waiting
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.stores.chunks import APPROVAL_KEY, MANIFEST_KEY
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_looker_segment.operators.ask import SegmentApprovalOperator

_ASKED_KEY = "asked"


def ask(operator: SegmentApprovalOperator, context: Context) -> list[dict[str, Any]] | None:
    """Return the shards where nobody need be asked; otherwise write the question."""
    ti = context["ti"]
    with airflow_errors():
        manifest = _manifest(operator, ti)
        if not manifest.stopped:
            return _shards(operator, ti)
        stopped, approval = _waiting(operator, ti, manifest)
        if stopped.approved_by:
            operator.log.info("An earlier try was approved; going on there.")
            return _deliver(operator, ti, manifest, stopped, approval, by="")
        check_current(approval, manifest)
        operator.subject = question.subject(manifest)
        said = ti.xcom_pull(task_ids=operator.extract_task_id, key=LINEAGE_KEY, map_indexes=-1)
        operator.body = question.body(manifest, query_url=Lineage.from_dict(said).query_url)
        # While somebody thinks, the extract may be cleared and read other rows.
        ti.xcom_push(key=_ASKED_KEY, value=manifest.edition)
        operator.log.warning("A guard stopped the run: %s", manifest.stopped)
        return None


def go_on(
    operator: SegmentApprovalOperator, context: Context, event: dict[str, Any]
) -> list[dict[str, Any]]:
    """Act upon the answer; return the shards."""
    ti = context["ti"]
    with airflow_errors():
        manifest = _manifest(operator, ti)
        if "error" in event:
            why = "nobody answered in time"
            if event["error_type"] != "timeout":
                why = f"the answer could not be read ({event['error_type']})"
            raise _not_approved(operator, manifest, why)
        by = str((event.get("responded_by_user") or {}).get("name") or "")
        if list(event["chosen_options"]) != ["Approve"]:
            _push(ti, manifest, by=by, approved=False)
            raise _not_approved(operator, manifest, f"{by or 'somebody'} rejected it")
        asked = ti.xcom_pull(task_ids=ti.task_id, key=_ASKED_KEY, map_indexes=ti.map_index)
        if asked != manifest.edition:
            raise PermanentError(
                f"Task {operator.task_id!r}",
                should="be about the rows that somebody was asked about",
                but=f"the task {operator.extract_task_id!r} has read the Look again since",
                do="Nothing was sent. Clear this task with its downstream tasks, to be asked anew.",
            )
        stopped, approval = _waiting(operator, ti, manifest)
        return _deliver(operator, ti, manifest, stopped, approval, by=by)


def _deliver(
    operator: SegmentApprovalOperator,
    ti: Any,
    manifest: Manifest,
    stopped: StoppedRun,
    approval: Approval,
    *,
    by: str,
) -> list[dict[str, Any]]:
    approval.give(ti, stopped, manifest, about=stopped.about)
    _push(ti, manifest, by=by, approved=True)
    operator.log.info("Approved%s: the messages are sent as they are.", f" by {by}" if by else "")
    # Identify sends nothing of a stopped run that lacks this.
    return [{**shard, "approved": manifest.edition} for shard in _shards(operator, ti)]


def _waiting(
    operator: SegmentApprovalOperator, ti: Any, manifest: Manifest
) -> tuple[StoppedRun, Approval]:
    approval = Approval(
        SyncStore(manifest.sync_id),
        where=f"Task {operator.task_id!r}, run {ti.run_id!r}:",
        do="Nothing was sent. To run the Look again, clear the task "
        f"{operator.extract_task_id!r} with its downstream tasks.",
        allow_older=arguments.flag("allow_older", operator.allow_older),
    )
    stopped = waiting(approval.sync, ti, of=(ti.run_id, operator.extract_task_id))
    if stopped is None:
        raise approval.refused("be about the run that a guard of the sync stopped last")
    return stopped, approval


def _manifest(operator: SegmentApprovalOperator, ti: Any) -> Manifest:
    said = ti.xcom_pull(task_ids=operator.extract_task_id, key=MANIFEST_KEY, map_indexes=-1)
    return Manifest.from_dict(said, task_id=operator.extract_task_id)


def _shards(operator: SegmentApprovalOperator, ti: Any) -> list[dict[str, Any]]:
    return list(ti.xcom_pull(task_ids=operator.extract_task_id, map_indexes=-1) or [])


def _push(ti: Any, manifest: Manifest, *, by: str, approved: bool) -> None:
    said = {
        "edition": manifest.edition,
        "by": by,
        "approved": approved,
        "newest": manifest.newest,
    }
    ti.xcom_push(key=APPROVAL_KEY, value=said)


def _not_approved(
    operator: SegmentApprovalOperator, manifest: Manifest, why: str
) -> PermanentError:
    return PermanentError(
        f"Task {operator.task_id!r}",
        should="be approved",
        but=why,
        do=f"{manifest.stopped} To be asked again, clear this task with its downstream tasks.",
    )
