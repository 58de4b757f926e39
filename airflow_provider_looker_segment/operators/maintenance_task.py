"""The work of maintenance: what can be asked of a sync, and done to it, between its runs.

A sync's id and an action enter, an answer of plain JSON leaves. Nothing is ever sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core.identity import anonymous_id_of, trimmed
from airflow_provider_looker_segment.core.snapshot import timestamp
from airflow_provider_looker_segment.core.sync import StoppedRun, SyncRecord
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.errors import airflow_errors
from airflow_provider_looker_segment.operators.history import GOING_ON, open_store
from airflow_provider_looker_segment.stores import chunks, rejects
from airflow_provider_looker_segment.stores.chunks import Seal
from airflow_provider_looker_segment.stores.snapshots import SnapshotStore
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_looker_segment.operators.maintenance import SnapshotMaintenanceOperator

_ABOUT_A_USER = frozenset({"why", "forget"})

_SAYINGS = {
    "forgotten": "was forgotten, so no run sends anything about them",
    "unknown": "no run of this sync had a row about them, or Segment accepted none",
    "dirty": "what Segment holds is uncertain, because an answer was lost or runs overlapped; the "
    "next run sends it again",
    "left": "left the Look: its newest complete pull has no row about them",
    "never": "the Look has a row about them, and Segment has accepted none yet",
    "in": "Segment has what the Look said; a run sends again when a newer row differs",
    "unsure": "was told to Segment without an answer; the next run tells again",
}

_FORGOTTEN_UNKNOWN = (
    "No run that was reported has told Segment anything about them: if the id is misspelt, or is "
    "the e-mail address of somebody with an id, forget them by the userId that Segment shows"
)
_FORGOTTEN_WITHOUT_SNAPSHOT = (
    "The sync has no snapshot, so nobody can tell whether it has sent anything about them: see "
    "that the id is spelt as Segment shows it"
)

_REJECTS_UNREAD = (
    "Some files of rejected rows could not be read, and may hold them: `unread_rejects` says how "
    "many in which folder, and null where the folder itself could not be. Another write key has "
    "sealed them, as before a rotation or for another sync. They can be deleted by hand; each is "
    f"deleted once it is {rejects.TIME_TO_LIVE.days} days old, by the next run that keeps rows "
    "there or by forgetting once more"
)

_OPEN_RUNS = (
    "The chunks of the runs in `open_runs`, which go on, may hold them: nothing of it is sent, and "
    "a run's report deletes its chunks. Where Airflow ends one without its report, or a guard "
    "stops it, forget the user once more"
)
_DELETED_CHUNKS = (
    "The chunks of the runs in `deleted_chunks`, which Airflow ended without a report, are deleted"
)


class Runs(Protocol):
    """What is in Airflow of a sync's runs, as a task or as a command reaches it.

    A run is told by its extract task: ``dag_id``, ``run_id``, ``task_id`` and ``map_index``.
    """

    def goes_on(self, about: Mapping[str, Any]) -> bool:
        """Whether Airflow has not ended the DAG run."""

    def delete_chunks(self, about: Mapping[str, Any]) -> bool:
        """Delete a run's chunks; tell whether there were any."""


class TaskRuns:
    """A sync's runs, from within a task.

    :param ti: any task instance.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def goes_on(self, about: Mapping[str, Any]) -> bool:
        """Whether Airflow has not ended the DAG run."""
        dag_id, run_ids = about["dag_id"], [about["run_id"]]
        return bool(self._ti.get_dr_count(dag_id=dag_id, run_ids=run_ids, states=GOING_ON))

    def delete_chunks(self, about: Mapping[str, Any]) -> bool:
        """Delete a run's chunks; tell whether there were any."""
        place: dict[str, Any] = {name: about[name] for name in ("task_id", "map_index")}
        place["of"] = about["dag_id"], about["run_id"]
        count = chunks.count(self._ti, **place)
        chunks.delete(self._ti, count, **place)
        return bool(count)


class Maintenance:
    """One sync, between its runs.

    :param runs: its runs in Airflow.
    :param show_values: whether ``why`` may name a user's traits: a pivot's value is in such names.
    """

    def __init__(
        self,
        sync: SyncStore,
        runs: Runs,
        *,
        show_values: bool = False,
    ) -> None:
        self._sync = sync
        self._runs = runs
        self._show_values = show_values

    def do(self, action: str, user: str = "") -> dict[str, Any]:
        """Do one of :data:`.maintenance.ACTIONS`.

        :param user: a ``userId``, an ``anonymousId``, or the e-mail address of somebody without
            either; for ``why`` and ``forget``.
        :raises PermanentError: when the sync is unknown, or a user is missing.
        """
        record = self._sync.read()
        # The first run of a sync in `full` has nothing in its record before it sends.
        is_known = record != SyncRecord() or self._sync.unreported() or self._sync.forgotten()
        if not is_known:
            raise PermanentError(
                f"Sync {self._sync.sync_id!r}:",
                should="have had a run",
                but="nothing is known of it",
                do="See the report of a run for its sync_id; by default it is the DAG's and the "
                "Look's id, such as daily_cohort/42.",
            )
        user = trimmed(user)
        if action in _ABOUT_A_USER and not user:
            raise PermanentError(
                f"Action {action!r}:",
                should="be told a user",
                but="there is none",
                do="Give a userId, an anonymousId, or the e-mail address of somebody without one.",
            )
        if action == "show":
            return self._show(record)
        if action == "why":
            return self._why(record, user)
        return self._reset(record) if action == "reset" else self._forget(record, user)

    def _show(self, record: SyncRecord) -> dict[str, Any]:
        waits = record.stopped
        said: dict[str, Any] = {
            "sync_id": self._sync.sync_id,
            "look_id": record.look_id,
            "newest": record.newest or None,
            "rows": record.rows,
            "forgotten_ids": len(self._sync.forgotten()),
            "waits_for_approval": waits.run_id if waits and not _is_approved(waits) else None,
            "snapshot": None,
        }
        store = self._store(record)
        if store is not None:
            facts = store.facts()
            newest = facts.pop("newest")
            del facts["forgotten"]
            facts["newest"] = None if newest is None else timestamp(newest)
            facts["open_runs"] = len(store.open_runs())
            said["snapshot"] = {**dict(record.snapshot or {}), **facts}
        return said

    def _why(self, record: SyncRecord, user: str) -> dict[str, Any]:
        forgotten, store = self._sync.forgotten(), self._store(record)
        for kind, key in self._keys(user).items():
            if key in forgotten:
                return {"id": kind, "state": "forgotten", "says": _SAYINGS["forgotten"]}
            known = None if store is None else store.user(key)
            if known is None:
                continue
            state = "dirty" if known["dirty"] else str(known["told"])
            known["traits"] = len(known["names"])
            if not self._show_values:
                del known["names"]
            for name in ("window", "seen"):
                known[name] = None if known[name] is None else timestamp(known[name])
            return {"id": kind, "state": state, "says": _SAYINGS[state], **known}
        if store is None:
            says = "the sync has no snapshot; a full run sends every row"
            return {"id": None, "state": "unknown", "says": says}
        return {"id": None, "state": "unknown", "says": _SAYINGS["unknown"]}

    def _reset(self, record: SyncRecord) -> dict[str, Any]:
        self._clear(record)
        # Runs may have been reported, or stopped, meanwhile.
        now = self._sync.read()
        if now != record:
            self._clear(now)
        self._sync.write(
            SyncRecord(
                rejects=now.rejects,
                segment_conn_id=now.segment_conn_id,
                former_rejects=now.former_rejects,
            )
        )
        return {"sync_id": self._sync.sync_id, "says": "the next run sends everything"}

    def _clear(self, record: SyncRecord) -> None:
        if record.stopped is not None:
            self._runs.delete_chunks(record.stopped.about)
        store = self._store(record)
        if store is not None:
            store.reset()

    def _forget(self, record: SyncRecord, user: str) -> dict[str, Any]:
        keys = self._keys(user)
        was_forgotten = not self._sync.forgotten().isdisjoint(keys.values())
        # First of all, so that no run that begins from now on sends them.
        self._sync.forget(keys.values())
        self._drop(record.stopped, record)
        store = self._store(record)
        is_known = was_forgotten
        generation = 0
        if store is not None:
            is_known = is_known or any(store.user(key) is not None for key in keys.values())
            generation = store.forget(keys.values())
        # Before the record: a run that is stopped goes from here to there.
        unreported = self._sync.unreported()
        # Runs may have been reported, or stopped, meanwhile.
        now = self._sync.read()
        if now.stopped != record.stopped:
            self._drop(now.stopped, now)
        dropped = [one for one in (record.stopped, now.stopped) if not _is_approved(one)]
        self._sync.update(
            lambda known: replace(
                known,
                stopped=None if known.stopped in dropped else known.stopped,
                generation=max(generation, known.generation),
            )
        )
        open_runs, deleted_chunks = self._forget_chunks(unreported, now.stopped)
        kept = self._forget_rejects(now, user)
        files = sum(found.deleted for found in kept.values())
        says = "no run sends them any more; one that is sending now may for ten seconds"
        if store is None:
            says += ". " + _FORGOTTEN_WITHOUT_SNAPSHOT
        elif not is_known and not files:
            says += ". " + _FORGOTTEN_UNKNOWN
        if deleted_chunks:
            says += ". " + _DELETED_CHUNKS
        if open_runs:
            says += ". " + _OPEN_RUNS
        unread = {place: found.unread for place, found in kept.items() if found.unread != 0}
        if unread:
            says += ". " + _REJECTS_UNREAD
        return {
            "sync_id": self._sync.sync_id,
            "says": says,
            "deleted_rejects": files,
            "unread_rejects": unread,
            "deleted_chunks": deleted_chunks,
            "open_runs": open_runs,
        }

    def _forget_chunks(
        self, unreported: Sequence[Mapping[str, Any]], stopped: StoppedRun | None
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Delete the chunks of runs that Airflow has ended, whoever is in them.

        :param unreported: the extract tasks whose chunks may be there.
        :param stopped: what another run delivers, if somebody has approved it.
        :return: the runs that go on, and those whose chunks were deleted.
        """
        open_runs, deleted = [], []
        for about in unreported:
            run = {name: about[name] for name in ("dag_id", "run_id")}
            if stopped is not None and _is_approved(stopped) and stopped.about == about:
                # A note that another one has brought back: whoever delivers it needs its chunks.
                self._sync.note_no_chunks(about)
                continue
            if self._runs.goes_on(about):
                open_runs.append(run)
                continue
            if self._runs.delete_chunks(about):
                deleted.append(run)
            self._sync.note_no_chunks(about)
        if stopped is not None and _is_approved(stopped):
            deliverer = {"dag_id": stopped.dag_id, "run_id": stopped.approved_by}
            if self._runs.goes_on(deliverer):
                open_runs.append(deliverer)
            elif self._runs.delete_chunks(stopped.about):
                deleted.append({"dag_id": stopped.dag_id, "run_id": stopped.run_id})
        return open_runs, deleted

    @staticmethod
    def _forget_rejects(record: SyncRecord, user: str) -> dict[str, rejects.Forgetting]:
        """Delete what is kept of somebody's rejected rows, wherever runs have kept any."""
        folders = [folder for folder in (record.rejects, *record.former_rejects) if folder]
        if not folders:
            return {}
        seal = Seal(SegmentSettings.read(record.segment_conn_id))
        now = datetime.now(UTC)
        return {folder: rejects.forget(folder, seal, {user}, now=now) for folder in folders}

    def _drop(self, stopped: StoppedRun | None, record: SyncRecord) -> None:
        """Delete a run that waits: they may be in it, and it cannot be approved without them.

        One that was approved waits no longer: *identify* leaves them out of it, and what it has
        sent about others must not be lost.
        """
        if stopped is None or _is_approved(stopped):
            return
        self._runs.delete_chunks(stopped.about)
        store = self._store(record)
        if store is not None and stopped.run:
            store.discard(stopped.run)

    def _keys(self, user: str) -> dict[str, bytes]:
        seal = self._sync.seal()
        keys = {kind: seal.key(kind, user) for kind in ("userId", "anonymousId")}
        if "@" in user:
            keys["email"] = seal.key("anonymousId", anonymous_id_of(user))
        return keys

    def _store(self, record: SyncRecord) -> SnapshotStore | None:
        if not record.snapshot:
            return None
        return open_store(
            self._sync,
            record.snapshot,
            look_id=record.look_id,
            source=record.source,
            remembered=record.generation,
        )


def _is_approved(stopped: StoppedRun | None) -> bool:
    return stopped is not None and bool(stopped.approved_by)


def run(
    operator: SnapshotMaintenanceOperator, context: Context, actions: Sequence[str]
) -> dict[str, Any]:
    """Do one of some actions; return what was found."""
    with airflow_errors():
        action = arguments.choice("action", operator.action, actions)
        sync = SyncStore(arguments.text_of("sync_id", operator.sync_id))
        user = arguments.text_of("user", operator.user)
        said = Maintenance(sync, TaskRuns(context["ti"])).do(action, user)
        operator.log.info("%s", json.dumps(said, indent=2))
        return said
