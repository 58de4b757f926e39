"""A run that a guard stopped and somebody approves: the same chunks, delivered after all.

What waits enters, and the leave to deliver it; neither Looker nor the rows are asked again. The
leave is given to another DAG run (``approve=``), or to the very run, where a person is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.sync import StoppedRun
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators.history import about_of, store_of
from airflow_provider_looker_segment.operators.history_plan import check_full
from airflow_provider_looker_segment.stores.chunks import MANIFEST_KEY, STOPPED_SHARDS_KEY
from airflow_provider_looker_segment.stores.syncs import SETTLE_S, SyncStore


@dataclass(frozen=True, slots=True)
class Approval:
    """The leave to deliver what a guard stopped.

    :param where: how messages name it.
    :param do: what to do where it cannot be given.
    :param allow_older: whether a full run may overwrite what a newer window has said.
    """

    sync: SyncStore
    where: str
    do: str
    allow_older: bool

    def refused(self, should: str) -> PermanentError:
        """Say that no such run waits."""
        return PermanentError(
            self.where,
            should=should,
            but="it is not, or a later run was green, or it was approved already",
            do=self.do,
        )

    def give(
        self, ti: Any, stopped: StoppedRun, manifest: Manifest, *, about: Mapping[str, Any]
    ) -> None:
        """Note who delivers it, and that it is under way.

        :param ti: of the DAG run that delivers it.
        :param about: the extract task of that run.
        :raises PermanentError: when it is not what it was, or is out of date.
        """
        check_current(self, manifest)
        record = self.sync.read()
        manifest.latest = record.latest
        if manifest.mode == "full":
            # What was reported while it waited is no overlap.
            manifest.newest = record.newest
        if not approve(self.sync, stopped, ti):
            raise self.refused("still wait for somebody's approval")
        is_there = manifest.generation == stopped.generation
        if is_there and manifest.history:
            is_there = store_of(manifest, self.sync).adopt(stopped.run, about)
        if not is_there:
            raise self.gone()

    def gone(self) -> PermanentError:
        """Say that what waited cannot be delivered any more."""
        return PermanentError(
            self.where,
            should="be as it was when the guard stopped it",
            but="it was cleared, or what it decided is gone",
            do=self.do,
        )


def check_current(approval: Approval, manifest: Manifest) -> None:
    """Refuse a run that is older than what its sync has sent meanwhile.

    What it decided about its users, and who has left, does not hold any more then.
    """
    record = approval.sync.read()
    end = datetime.fromisoformat(str(manifest.window["end"]))
    if manifest.mode == "full":
        check_full(
            record,
            end,
            where=f"Look {manifest.look['id']}",
            sync_id=approval.sync.sync_id,
            allow_older=approval.allow_older,
        )
    elif not approval.allow_older and record.overtakes(end, known=manifest.latest):
        raise PermanentError(
            approval.where,
            should="be of the newest window that was sent",
            but=f"{record.latest} was sent since it was stopped, so others are in the Look now",
            do="Nothing was sent. Run the Look again without `approve`, for whichever window: it "
            "is compared with what Segment has by then.",
        )


def take_over(ti: Any, sync: SyncStore, run_id: str, *, allow_older: bool) -> list[dict[str, Any]]:
    """Deliver what a stopped run would have sent.

    :param ti: the extract task of the run that delivers.
    :param run_id: of the DAG run that a guard stopped.
    :param allow_older: whether a full run may overwrite what a newer window has said.
    :return: its shards.
    :raises PermanentError: when there is no such run, it is not what it was, or it is out of date.
    """
    approval = Approval(
        sync,
        where=f"Argument `approve`, run {run_id!r}:",
        do="Run the Look again without `approve`.",
        allow_older=allow_older,
    )
    stopped = waiting(sync, ti, of=(run_id, ti.task_id))
    if stopped is None:
        raise approval.refused(f"be the run of sync {sync.sync_id!r} that a guard stopped last")
    asked = {"task_ids": stopped.task_id, "map_indexes": stopped.map_index, "run_id": run_id}
    said = ti.xcom_pull(key=MANIFEST_KEY, **asked)
    manifest = Manifest.from_dict(said, task_id=stopped.task_id)
    shards = ti.xcom_pull(key=STOPPED_SHARDS_KEY, **asked)
    approval.give(ti, stopped, manifest, about=about_of(ti))
    if not isinstance(shards, list):
        raise approval.gone()
    manifest.overrule()
    manifest.chunks_run_id = run_id
    ti.xcom_push(key=MANIFEST_KEY, value=manifest.as_dict())
    return [{**shard, "run_id": run_id} for shard in shards]


def waiting(sync: SyncStore, ti: Any, *, of: tuple[str, str]) -> StoppedRun | None:
    """Find the run that somebody has approved; ``None`` where it does not wait.

    :param ti: of the DAG run that is to deliver it.
    :param of: ids of the DAG run that a guard stopped, and of its extract task.
    """
    stopped = sync.read().stopped
    if (
        stopped is None
        or (stopped.dag_id, stopped.run_id, stopped.task_id) != (ti.dag_id, *of)
        or stopped.approved_by not in ("", ti.run_id)
    ):
        return None
    return stopped


def approve(sync: SyncStore, stopped: StoppedRun, ti: Any) -> bool:
    """Note who delivers a run that waited; return whether it still did.

    Of two who do so at one moment the later note counts, and each reads again whose that is.
    """
    mine = replace(stopped, approved_by=ti.run_id)
    record = sync.update(
        lambda known: replace(known, stopped=mine) if known.stopped == stopped else known,
        settle_s=SETTLE_S,
    )
    return record.stopped == mine
