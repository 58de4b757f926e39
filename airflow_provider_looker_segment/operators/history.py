"""A run's part in the history of its sync: what it may send, what it decides, what it commits.

Mapped lines enter, lines to send leave; fates enter, the next snapshot is written.
In ``full`` there is no snapshot, and only those who were forgotten are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.encoding import decode, may_exceed, sent_bytes
from airflow_provider_looker_segment.core.history import Fates
from airflow_provider_looker_segment.core.limits import MAX_TRAITS
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.prepare import Mapped, Preparation
from airflow_provider_looker_segment.core.snapshot import Rules, identity
from airflow_provider_looker_segment.core.sync import StoppedRun, SyncRecord
from airflow_provider_looker_segment.stores import chunks
from airflow_provider_looker_segment.stores.diff import Diff
from airflow_provider_looker_segment.stores.forgotten import Forgotten
from airflow_provider_looker_segment.stores.generations import Identity
from airflow_provider_looker_segment.stores.scratch import scratch_folder
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder, storage
from airflow_provider_looker_segment.stores.snapshots import SnapshotStore, run_name
from airflow_provider_looker_segment.stores.syncs import SyncStore

GOING_ON = ["queued", "running"]
"""States of DAG runs."""

_STOPPED = "stopped"


@dataclass(slots=True)
class RunHistory:
    """One run's comparison with what its sync has sent, as a context manager.

    :param sync: what the sync remembers.
    :param record: of it, as it was when the run began.
    :param rules: of the mode; ``None`` in ``full``.
    :param store: the snapshot; ``None`` in ``full``.
    :param place: where that is and whose, as the record says it; empty in ``full``.
    :param window: its end, in microseconds since 1970.
    :param complete: whether it asks for everything that the sync is about.
    :param filters: what the sync is about, if this is the first run that says so.
    :param is_dry_run: whether nothing may be written.
    :param ti: the task instance that extracts.
    """

    sync: SyncStore
    record: SyncRecord
    rules: Rules | None
    store: SnapshotStore | None
    place: Mapping[str, Any]
    window: int
    complete: bool
    filters: Mapping[str, Any] | None
    is_dry_run: bool
    ti: Any
    counts: Counter[str] = field(default_factory=Counter, init=False)
    pinned: Mapping[str, Any] = field(default_factory=dict, init=False)
    """What the sync is about after all, where another first run has said so meanwhile."""
    _stack: ExitStack = field(default_factory=ExitStack, init=False)
    _base: Path | None = field(default=None, init=False)
    _diff: Diff | None = field(default=None, init=False)
    _users_in: int = field(default=0, init=False)
    _forgotten: frozenset[bytes] = field(default=frozenset(), init=False)
    _tombstones: Forgotten = field(init=False)

    @property
    def run(self) -> str:
        """What the snapshot calls this run; empty where there is none."""
        return "" if self.store is None else run_of(self.ti)

    def __enter__(self) -> Self:
        if not self.is_dry_run:
            # Before it is asked who was forgotten: whoever forgets somebody later finds the chunks.
            self.sync.note_chunks(about_of(self.ti))
        self._tombstones = Forgotten(self.sync)
        self._forgotten = self._tombstones.keys
        if not self.is_dry_run:
            self._drop_own_stopped()
        if self.store is not None:
            reading = self.store.read() if self.is_dry_run else self._begin(self.store)
            self._base = self._stack.enter_context(reading)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def lines(self, mapped: Iterable[Mapped], preparation: Preparation) -> Iterator[Line]:
        """Choose what is sent of what was mapped, and add what else must be sent.

        :param mapped: the rows that are messages.
        """
        if self.rules is None or self.store is None or self._base is None:
            sent = 0
            for line, body, _ in mapped:
                if self.is_forgotten(body):
                    self.counts["forgotten"] += 1
                    continue
                sent += 1
                yield line
            self.counts["sent"] = sent
            return
        folder = self._stack.enter_context(scratch_folder())

        def refusal(text: str, traits: int) -> str:
            limit = preparation.max_body_bytes
            if may_exceed(text, limit) and sent_bytes(decode(text)) > limit:
                return "message_too_large"
            return "too_many_traits" if traits > MAX_TRAITS else ""

        self._diff = Diff(
            self._base,
            folder,
            seal=self.store.seal,
            rules=self.rules,
            run=self.run,
            window=self.window,
            complete=self.complete,
            forgotten=self._forgotten,
            refusal=refusal,
            on_refused=preparation.tally.add_unsendable,
            on_repeated=preparation.add_repeated,
        )
        yield from self._diff.lines(mapped)
        self._heed_others()
        if not self.complete:
            self._diff.narrow()
        self.counts.update(self._diff.counts)

    def observe(self, body: Mapping[str, Any]) -> None:
        """Note that the Look holds a user whose row is no message.

        :param body: with their ids.
        """
        if self._diff is not None:
            self._diff.observe(*identity(body))

    def is_forgotten(self, body: Mapping[str, Any]) -> bool:
        """Whether nothing may be sent about a user, nor kept of them.

        :param body: with their ids.
        """
        # In `full` it is asked about each row, and mostly nobody was.
        return bool(self._forgotten) and self._tombstones.has(body)

    @property
    def compares(self) -> bool:
        """Whether the mode has a snapshot."""
        return self.store is not None

    @property
    def users_in(self) -> int:
        """How many users Segment was last told to be in the Look."""
        return self._users_in

    def warnings(self, where: str) -> list[str]:
        """Say what the run could not tell.

        :param where: how messages name the Look.
        """
        said = []
        if self.rules is not None and self.rules.mirrors and not self.complete:
            said.append(
                f"{where}: nobody leaves by this run, for it does not ask for everything that its "
                "sync is about"
            )
        if self.counts["resent_as_left"]:
            said.append(
                f"{where}: {self.counts['resent_as_left']:,} of the users whose message is sent "
                "again leave by it"
            )
        if self.counts["unreachable"]:
            said.append(
                f"{where}: of {self.counts['unreachable']:,} users nothing is known that a message "
                "could be made of, or it would be too large"
            )
        return said

    def push(self) -> None:
        """Store what was decided, before anything of it is sent."""
        if not self.is_dry_run:
            # Another run may have noted itself at the same moment; by now both can be noted.
            self.sync.note_chunks(about_of(self.ti))
        if self._diff is not None and self.store is not None:
            self._users_in = self._diff.users_in
            self._diff.close()
            if not self.is_dry_run:
                self.store.push(self.run, self._diff)

    def discard(self) -> None:
        """Take back what was stored, because nothing of it will be sent."""
        if self.is_dry_run:
            return
        if self.store is not None:
            self.store.discard(self.run)
        self.sync.note_no_chunks(about_of(self.ti))

    def stop(self, manifest: Manifest) -> None:
        """Remember a run that a guard stopped, in place of an earlier one."""
        delete_stopped(self.sync, self.ti, self.store)
        if self.store is not None:
            # Whoever closes it one day need not ask whether it was sent.
            self.store.adopt(self.run, {**about_of(self.ti), _STOPPED: True})
        stopped = StoppedRun(
            dag_id=self.ti.dag_id,
            run_id=self.ti.run_id,
            task_id=self.ti.task_id,
            map_index=self.ti.map_index,
            generation=manifest.generation,
            chunks=manifest.chunks,
            run=self.run,
        )
        self.sync.update(lambda record: replace(record, stopped=stopped))
        # The record knows of them now.
        self.sync.note_no_chunks(about_of(self.ti))

    def _drop_own_stopped(self) -> None:
        """Forget what an earlier try of this very task left for approval: its chunks are gone."""
        stopped = self.sync.read().stopped
        if stopped is None or not stopped.is_of(self.ti) or _is_being_delivered(stopped, self.ti):
            return
        if self.store is not None and not stopped.approved_by and stopped.run not in ("", self.run):
            self.store.discard(stopped.run)
        _drop(self.sync, stopped)

    def _begin(self, store: SnapshotStore) -> Any:
        for run, about in store.open_runs().items():
            if run != self.run and about:
                self._sweep(store, run, about)

        def noted(record: SyncRecord) -> SyncRecord:
            if not record.generation:
                # Whoever forgets or resets finds what this run leaves, though it is never reported.
                record = replace(record, **self.place)
            if record.about is None:
                # Whoever this run tells of may leave by no other one than asks for the same.
                record = replace(record, filters=self.filters)
            return record

        self._heed(self.sync.update(noted))
        return store.begin(self.run, about_of(self.ti))

    def _heed_others(self) -> None:
        """Ask for everything no more where another first run asks for something else."""
        self._heed(self.sync.read())

    def _heed(self, record: SyncRecord) -> None:
        about = record.about
        if self.filters is not None and about not in (None, self.filters):
            self.pinned, self.complete = about, False

    def _sweep(self, store: SnapshotStore, run: str, about: Mapping[str, Any]) -> None:
        """Close a run whose report will never come."""
        # One may have been stopped since this run began.
        stopped = self.sync.read().stopped
        if stopped is not None and stopped.run == run and not stopped.approved_by:
            return
        dag_id, run_id, task_id = (about.get(name) for name in ("dag_id", "run_id", "task_id"))
        mine = about_of(self.ti)
        is_cleared = {name: about.get(name) for name in mine} == mine
        if not is_cleared and self.ti.get_dr_count(
            dag_id=dag_id, run_ids=[run_id], states=GOING_ON
        ):
            return
        name = task_id if about["map_index"] < 0 else f"{task_id}_{about['map_index']}"
        states = self.ti.get_task_states(dag_id=dag_id, task_ids=[task_id], run_ids=[run_id])
        # Of a run that was deleted nothing is known, so it may have sent everything.
        state = str(states.get(run_id, {}).get(name, "success"))
        # Where a guard stopped it, or extract failed, identify never began.
        may_have_sent = is_cleared or state == "success"
        if may_have_sent and not about.get(_STOPPED):
            store.abandon(run)
        else:
            store.discard(run)


def run_of(ti: Any) -> str:
    """Name the run of an extract task: another one for each of its generations."""
    return run_name(ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index), str(ti.max_tries))


def about_of(ti: Any) -> dict[str, Any]:
    """Say which extract task decided a run, for whoever asks whether it still goes on."""
    names = ("dag_id", "run_id", "task_id", "map_index")
    return {name: getattr(ti, name) for name in names}


def open_store(
    sync: SyncStore, snapshot: Mapping[str, Any], *, look_id: str, source: str, remembered: int
) -> SnapshotStore:
    """Open a sync's snapshot.

    :param snapshot: where it is; see :func:`~.stores.snapshot_folder.storage`.
    :param remembered: the generation that it has at least.
    """
    folder = SnapshotFolder(storage(snapshot), sync.sync_id)
    own = Identity(sync.sync_id, look_id, source)
    return SnapshotStore(folder, own, secret=sync.secret(), remembered=remembered)


def store_of(manifest: Manifest, sync: SyncStore) -> SnapshotStore:
    """Open the snapshot that a run was compared with."""
    return open_store(
        sync,
        manifest.history["snapshot"],
        look_id=manifest.look["id"],
        source=manifest.history["source"],
        # The record may be another source's by now; the pointer says whose the snapshot is.
        remembered=sync.read().generation,
    )


def commit(manifest: Manifest, fates: Fates, sync: SyncStore) -> None:
    """Make what a run sent part of its sync's snapshot, where it has one.

    :param fates: of its messages.
    """
    said = manifest.history
    if not said or manifest.dry_run:
        return
    generation = store_of(manifest, sync).commit(said["run"], fates)
    sync.update(
        lambda record: replace(
            record,
            look_id=manifest.look["id"],
            source=said["source"],
            snapshot=said["snapshot"],
            generation=max(generation, record.generation),
        )
    )


def remember(manifest: Manifest, sync: SyncStore, ti: Any, *, sent: bool, green: bool) -> None:
    """Note in the sync's record what a run has done.

    :param sent: whether Segment has, or may have, anything of it.
    :param green: whether it did all that it promised.
    """
    if manifest.dry_run:
        return

    def noted(record: SyncRecord) -> SyncRecord:
        if sent or green:
            record = replace(record, look_id=manifest.look["id"])
            record = record.reported(str(manifest.window["end"]))
            record = record.keeping(manifest.rejects_folder, manifest.segment_conn_id)
        if green:
            pinned = manifest.contract or record.contract
            record = replace(record, rows=manifest.rows, contract=pinned)
        return record

    sync.update(noted)
    if green:
        # Whatever was stopped before it is out of date now.
        delete_stopped(sync, ti, None)


def delete_stopped(sync: SyncStore, ti: Any, store: SnapshotStore | None) -> None:
    """Delete the chunks of a run that waits for approval, if there is one."""
    stopped = sync.read().stopped
    if stopped is None or _is_being_delivered(stopped, ti):
        # Whoever delivers it deletes it.
        return
    if not stopped.is_of(ti):
        # Airflow itself deletes what an earlier try of this very task has left.
        chunks.delete_stopped(ti, stopped)
    if store is not None and not stopped.approved_by and stopped.run not in ("", run_of(ti)):
        store.discard(stopped.run)
    _drop(sync, stopped)


def _drop(sync: SyncStore, stopped: StoppedRun) -> None:
    """Note that a run waits no longer, and leave alone what somebody else has put in its place."""
    sync.update(
        lambda record: replace(record, stopped=None) if record.stopped == stopped else record
    )


def _is_being_delivered(stopped: StoppedRun, ti: Any) -> bool:
    """Whether another DAG run than a task's own has been approved to deliver it, and goes on."""
    deliverer = stopped.approved_by
    if not deliverer or (stopped.dag_id, deliverer) == (ti.dag_id, ti.run_id):
        return False
    count = ti.get_dr_count(dag_id=stopped.dag_id, run_ids=[deliverer], states=GOING_ON)
    return bool(count)
