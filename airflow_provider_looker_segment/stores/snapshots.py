"""The snapshot of a sync on object storage: begin a run, commit it, forget a user.

Candidates and fates enter, generations leave. Killed at any moment, the snapshot is the old one
or the new one, and a run whose fates are known is committed by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.history import Fates, Told
from airflow_provider_looker_segment.core.identity import fingerprint
from airflow_provider_looker_segment.core.snapshot import Names
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.commits import Commit
from airflow_provider_looker_segment.stores.diff import Diff
from airflow_provider_looker_segment.stores.generations import (
    ATTEMPTS,
    Generations,
    Identity,
    MovedError,
)
from airflow_provider_looker_segment.stores.scratch import scratch_folder
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal


class SnapshotStore:
    """The snapshot of one sync.

    :param secret: the sync's own.
    :param remembered: the generation that the sync remembers outside the folder; 0 is none.
    """

    def __init__(
        self, folder: SnapshotFolder, identity: Identity, *, secret: bytes, remembered: int = 0
    ) -> None:
        self.seal = SnapshotSeal(secret)
        self._folder = folder
        self._generations = Generations(folder, identity, self.seal, remembered=remembered)

    @contextmanager
    def begin(self, run: str, about: Mapping[str, Any]) -> Iterator[Path]:
        """Announce a run and read the snapshot for it.

        Runs that were killed before they could commit are committed first.

        :param run: see :func:`run_name`.
        :param about: what tells the run's DAG run, for whoever asks whether it still goes on.
        :return: the snapshot's file, until the context ends.
        :raises PermanentError: when the snapshot is gone, damaged, or another sync's.
        """
        self._generations.pointer()
        # Whoever commits from now on keeps what this run may need.
        self._folder.write_run(run, "open", dict(about))
        if any({"fates", "forget"} & kinds for kinds in self._folder.runs().values()):
            self._commit(None)
        with self.read() as path:
            yield path

    def push(self, run: str, diff: Diff) -> None:
        """Store what a run decided; nothing of it may be sent before.

        :param diff: closed.
        """
        self._folder.upload_run(run, "bodies", diff.bodies)
        self._folder.upload_run(run, "candidate", diff.candidate)

    def open_runs(self) -> dict[str, Any]:
        """List the runs that began and of whose messages nothing is known yet."""
        return {run: self._folder.read_run(run, "open") for run in self._folder.open_runs()}

    def abandon(self, run: str) -> None:
        """Close a run whose report will never come: it may have sent all that it decided."""
        if "candidate" in self._folder.runs().get(run, ()):
            self._folder.write_run(run, "fates", Fates.unknown().as_list())
            return
        self.discard(run)

    def discard(self, run: str) -> None:
        """Delete what a run decided, because nothing of it was or will be sent."""
        for kind in ("candidate", "bodies", "open"):
            self._folder.delete_run(run, kind)

    def adopt(self, run: str, about: Mapping[str, Any]) -> bool:
        """Let another DAG run deliver what a run decided; tell whether that is still there."""
        kinds = self._folder.runs().get(run, set())
        if "candidate" not in kinds or "fates" in kinds:
            return False
        self._folder.write_run(run, "open", dict(about))
        return True

    def commit(self, run: str, fates: Fates) -> int:
        """Make what a run sent part of the snapshot; committing it again changes nothing.

        :return: the generation that is current now, which the sync should remember.
        :raises PermanentError: when the snapshot or what the run decided is gone.
        :raises TransientError: when other runs commit all the time.
        """
        if "candidate" in self._folder.runs().get(run, ()):
            self._folder.write_run(run, "fates", fates.as_list())
        return self._commit(run)

    def forget(self, keys: Iterable[bytes]) -> int:
        """Remove every trace of users but their keyed hashes, which all later runs honour.

        :param keys: as :meth:`SnapshotSeal.key` makes them.
        :return: the generation that is current now.
        """
        for key in keys:
            self._folder.write_run(key.hex(), "forget", {})
        generation = self._commit(None)
        self._folder.delete_partial()
        return generation

    def reset(self) -> None:
        """Delete everything; the next run sends everything. The caller forgets the generation."""
        self._folder.delete_all()

    def facts(self) -> dict[str, Any]:
        """Count what the snapshot holds."""
        with self.read() as path, closing(tables.connect(path)) as database:
            said = tables.facts(database)
            counts = database.execute(
                "SELECT count(*), sum(told = ?), sum(told = ?), sum(dirty) FROM users",
                (Told.IN, Told.LEFT),
            ).fetchone()
            (forgotten,) = database.execute("SELECT count(*) FROM forgotten").fetchone()
        users, users_in, left, dirty = (number or 0 for number in counts)
        return {
            "generation": said["generation"],
            "newest": said["newest"],
            "users": users,
            "in": users_in,
            "left": left,
            "dirty": dirty,
            "forgotten": forgotten,
        }

    def user(self, key: bytes) -> dict[str, Any] | None:
        """Tell what is stored of a user, or ``None`` where nothing is."""
        with self.read() as path, closing(tables.connect(path)) as database:
            names = Names(tables.facts(database)["names"])
            if database.execute("SELECT 1 FROM forgotten WHERE key = ?", (key,)).fetchone():
                return {"forgotten": True}
            query = f"SELECT {tables.USER_COLUMNS} FROM users WHERE key = ?"  # noqa: S608
            row = database.execute(query, (key,)).fetchone()
        if row is None:
            return None
        state = tables.user_state(row)
        return {
            "names": names.listed(state.names),
            "window": state.window,
            "seen": state.seen,
            "told": Told(state.told).name.lower(),
            "dirty": state.dirty,
            "commit": state.touched,
        }

    @contextmanager
    def read(self) -> Iterator[Path]:
        """Read the snapshot and announce nothing.

        :return: the snapshot's file, until the context ends.
        :raises PermanentError: when the snapshot is gone, damaged, or another sync's.
        """
        with scratch_folder() as folder:
            path = folder / "snapshot"
            self._generations.read(path)
            yield path

    def _commit(self, own: str | None) -> int:
        for _ in range(ATTEMPTS):
            with scratch_folder() as folder:
                attempt = Commit(self._folder, self._generations, self.seal, folder, own=own)
                try:
                    return attempt.run()
                except MovedError:
                    continue
        raise self._generations.restless()


def run_name(*parts: str) -> str:
    """Name a run in a snapshot: another one for each Clear of its extract.

    :param parts: the DAG's id, the DAG run's id, the extract task's id, and its generation.
    """
    return fingerprint(*parts).hex()
