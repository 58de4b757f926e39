"""The next generation of a snapshot: everything that is known and not yet part of it.

Runs whose fates are known and users who asked to be forgotten enter, one generation leaves.
Their files are deleted only when no commit that is overwritten could need them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from airflow_provider_looker_segment.core.history import Fates
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.generations import Generations, MovedError
from airflow_provider_looker_segment.stores.merge import fill_bodies, merge, strip_bodies
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

_KEPT_COMMITS = 100
"""Commits whose messages are kept for runs that overlap them."""

_DECIDED = frozenset({"fates", "candidate"})


class Commit:
    """One attempt to write the next generation.

    :param temporary: a folder of its own.
    :param own: the run that must be part of it, if any; it is merged after all others.
    """

    def __init__(
        self,
        folder: SnapshotFolder,
        generations: Generations,
        seal: SnapshotSeal,
        temporary: Path,
        *,
        own: str | None,
    ) -> None:
        self._folder = folder
        self._generations = generations
        self._seal = seal
        self._temporary = temporary
        self._target = temporary / "snapshot"
        self._own = own

    def run(self) -> int:
        """Write it, unless nothing is new; return the generation that is current now.

        :raises MovedError: when another commit was faster; nothing has changed then.
        :raises PermanentError: when what the own run decided is gone.
        """
        # Listed before the snapshot is read: who writes fates later finds those of this run.
        listed = self._folder.runs()
        self._pointer = self._generations.read(self._target)
        with closing(tables.connect(self._target)) as database:
            done = {run for (run,) in database.execute("SELECT run FROM commits")}
            done |= {key.hex() for (key,) in database.execute("SELECT key FROM forgotten")}
        new = [run for run in sorted(listed) if run not in done]
        leaving = [run for run in new if "forget" in listed[run]]
        waiting = [run for run in new if listed[run] >= _DECIDED and run != self._own]
        if self._own is not None and self._own not in done:
            waiting.append(self._own)
        # Whoever forgot somebody may have been killed before the rest of them was deleted.
        purge = any("forget" in kinds for kinds in listed.values())
        if not waiting and not leaving:
            if purge and self._pointer is not None:
                self._generations.purge(self._pointer)
            self._clean(listed, done, purge=purge)
            return 0 if self._pointer is None else int(self._pointer["generation"])
        merged = {run for run in waiting if self._merge(run)}
        fill_bodies(self._target, self._bodies, self._seal)
        self._forget(leaving)
        generation = self._generations.publish(self._target, over=self._pointer, purge=purge)
        is_alone = len(merged) + len(leaving) <= 1
        finished = done | merged | set(leaving) if is_alone else done
        self._clean(listed, finished, purge=purge)
        return generation

    def _merge(self, run: str) -> bool:
        candidate = self._temporary / "candidate"
        fates = self._folder.read_run(run, "fates")
        if fates is not None and self._folder.download_run(run, "candidate", candidate):
            if not self._is_of_this_sync(candidate):
                return self._refuse(run)
            merge(self._target, candidate, Fates.from_list(fates))
            return True
        # It was listed: whoever deleted it has committed it.
        if self._generations.pointer() != self._pointer:
            raise MovedError
        if run != self._own:
            return False
        raise PermanentError(
            f"{self._folder.where}, run {run}",
            should="have what it decided about each user",
            but="it is gone, and the run was not committed",
            do="Clear the extract task with its downstream tasks: what Segment has already is "
            "sent once more.",
        )

    def _is_of_this_sync(self, candidate: Path) -> bool:
        with closing(tables.connect(candidate)) as database:
            return bool(tables.facts(database)["secret"] == self._seal.fingerprint)

    def _refuse(self, run: str) -> bool:
        """Leave out a run whose users are hashed with another secret than everybody else's."""
        if run != self._own:
            return False
        for kind in ("fates", "candidate", "bodies", "open"):
            self._folder.delete_run(run, kind)
        raise PermanentError(
            f"{self._folder.where}, run {run}",
            should="be hashed with the sync's secret",
            but="it has another one, as when the first two runs of a sync begin at one moment",
            do="Clear the extract task with its downstream tasks.",
        )

    def _bodies(self, run: str) -> Path | None:
        path = self._temporary / "bodies"
        return path if self._folder.download_run(run, "bodies", path) else None

    def _forget(self, users: list[str]) -> None:
        if not users:
            return
        keys = [(bytes.fromhex(user),) for user in users]
        database = tables.connect(self._target)
        database.executemany("DELETE FROM users WHERE key = ?", keys)
        database.executemany("INSERT OR IGNORE INTO forgotten VALUES (?)", keys)
        serial = tables.facts(database)["generation"] + 1
        tables.write_facts(database, {"generation": serial})
        tables.close(database)
        tables.rewrite(self._target)

    def _clean(self, listed: Mapping[str, set[str]], finished: set[str], *, purge: bool) -> None:
        """Delete the files of what is finished, but messages that an open run may need.

        Where several are committed at once, another report may be committing some of them too:
        whatever of it is overwritten is found again by these files.
        """
        open_runs = {run for run, kinds in self._folder.runs().items() if "open" in kinds}
        is_anyone_open = bool(open_runs - finished)
        old = self._old_commits()
        cleaned = set(listed) & finished
        for run in cleaned:
            if "bodies" not in listed[run]:
                continue
            if run in old or not is_anyone_open:
                self._folder.delete_run(run, "bodies")
            elif purge:
                self._strip(run)
        # Who was forgotten is asked again until nothing of them is left above.
        for run in cleaned:
            for kind in ("fates", "candidate", "open", "forget"):
                if kind in listed[run]:
                    self._folder.delete_run(run, kind)

    def _strip(self, run: str) -> None:
        """Leave nothing of forgotten users in the messages that a run which overlaps may need."""
        path = self._bodies(run)
        if path is None:
            return
        with closing(tables.connect(self._target)) as database:
            keys = frozenset(key for (key,) in database.execute("SELECT key FROM forgotten"))
        if strip_bodies(path, keys, self._seal):
            self._folder.upload_run(run, "bodies", path)

    def _old_commits(self) -> set[str]:
        with closing(tables.connect(self._target)) as database:
            found = database.execute(
                "SELECT run FROM commits WHERE serial <= (SELECT max(serial) FROM commits) - ?",
                (_KEPT_COMMITS,),
            )
            return {run for (run,) in found}
