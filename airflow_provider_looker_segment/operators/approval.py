"""The run that a guard stopped and somebody has approved: the same chunks, delivered by another.

The id of the stopped DAG run enters, its shards leave; neither Looker nor the rows are asked again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators.history import about_of, approve, open_store, waiting
from airflow_provider_looker_segment.operators.history_plan import check_full
from airflow_provider_looker_segment.stores.chunks import MANIFEST_KEY, STOPPED_SHARDS_KEY
from airflow_provider_looker_segment.stores.syncs import SyncStore


def take_over(ti: Any, sync: SyncStore, run_id: str, *, allow_older: bool) -> list[dict[str, Any]]:
    """Deliver what a stopped run would have sent.

    :param ti: the extract task of the run that delivers.
    :param run_id: of the DAG run that a guard stopped.
    :param allow_older: whether a full run may overwrite what a newer window has said.
    :return: its shards.
    :raises PermanentError: when there is no such run, it is not what it was, or it is out of date.
    """
    stopped = waiting(sync, run_id, ti)
    asked = {"task_ids": stopped.task_id, "map_indexes": stopped.map_index, "run_id": run_id}
    said = ti.xcom_pull(key=MANIFEST_KEY, **asked)
    manifest = Manifest.from_dict(said, task_id=stopped.task_id)
    shards = ti.xcom_pull(key=STOPPED_SHARDS_KEY, **asked)
    if manifest.mode == "full":
        record = sync.read()
        check_full(
            record,
            datetime.fromisoformat(str(manifest.window["end"])),
            where=f"Look {manifest.look['id']}",
            sync_id=sync.sync_id,
            allow_older=allow_older,
        )
        # What was reported while it waited is no overlap.
        manifest.newest = record.newest
    approve(sync, stopped, ti)
    is_there = manifest.generation == stopped.generation and isinstance(shards, list)
    if is_there and manifest.history:
        record = sync.read()
        store = open_store(
            sync,
            manifest.history["snapshot"],
            look_id=manifest.look["id"],
            source=manifest.history["source"],
            remembered=record.generation,
        )
        is_there = store.adopt(stopped.run, about_of(ti))
    if not is_there:
        raise PermanentError(
            f"Argument `approve`, run {run_id!r}:",
            should="be as it was when the guard stopped it",
            but="it was cleared, or what it decided is gone",
            do="Run the Look again without `approve`.",
        )
    manifest.warnings.append(f"A guard was overruled. {manifest.stopped}")
    manifest.stopped = ""
    manifest.chunks_run_id = run_id
    ti.xcom_push(key=MANIFEST_KEY, value=manifest.as_dict())
    return [{**shard, "run_id": run_id} for shard in shards]
