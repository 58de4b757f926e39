"""Whether what a run has extracted may still be sent: not when later runs count it as over.

A manifest and what the sync remembers enter; nothing leaves, or an error that says what to clear.
"""

from __future__ import annotations

from datetime import datetime

from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder, storage
from airflow_provider_looker_segment.stores.syncs import SyncStore

_ONCE_MORE = "Nothing more was sent. Clear the extract task with its downstream tasks"


class Sending:
    """Notes, once in a task, that Segment has something of its run's window.

    Later runs know it then, though the run may never be reported.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._is_noted = manifest.dry_run

    def note(self) -> None:
        """Note it in the sync's record."""
        if not self._is_noted:
            end = str(self._manifest.window["end"])
            SyncStore(self._manifest.sync_id).update(lambda record: record.sending(end))
            self._is_noted = True


def refuse_late(manifest: Manifest, *, task_id: str) -> None:
    """Refuse to deliver for a run that later runs of its sync have taken for over.

    A DAG run that ended without its report, by its timeout or by hand, is closed by the next
    extract of the sync. Whoever clears its identify tasks then would send what no later run
    expects, and no later run would mend it.

    :param task_id: of the identify task, for the messages.
    :raises PermanentError: when the run is closed, or would go back in time in ``full``.
    """
    if manifest.dry_run:
        return
    if manifest.history:
        folder = SnapshotFolder(storage(manifest.history["snapshot"]), manifest.sync_id)
        if manifest.history["run"] not in folder.open_runs():
            raise PermanentError(
                f"Task {task_id!r}, sync {manifest.sync_id!r}:",
                should="deliver what its run has extracted while that run goes on",
                but="a later run has closed it, because its DAG run had ended without a report",
                do=f"{_ONCE_MORE}, so that the Look is compared with what Segment has now.",
            )
    # Whoever approved what a guard had stopped was told then.
    elif manifest.newest is not None and not manifest.allow_older and not manifest.stopped:
        end, record = str(manifest.window["end"]), SyncStore(manifest.sync_id).read()
        known = manifest.newest if manifest.latest is None else manifest.latest
        if record.overtakes(datetime.fromisoformat(end), known=known):
            raise PermanentError(
                f"Task {task_id!r}, sync {manifest.sync_id!r}:",
                should="send no window older than one that was sent",
                but=f"{record.latest} was sent while this run of {end} waited, and would be "
                "overwritten",
                do=f"{_ONCE_MORE} and allow_older=True if that is meant; or use "
                'mode="changed", and max_active_runs=1.',
            )
