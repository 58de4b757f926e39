"""Which generation of a snapshot is current, and whose it is.

A pointer is read and checked before anything is believed, and written last.
A snapshot that is gone, damaged or another sync's is never taken for an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment.core.sync import how_to_reset
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

FORMAT = 1
ATTEMPTS = 8
"""How often one begins again because a commit was faster."""

_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """What a snapshot belongs to.

    :param source: see :func:`source_of`.
    """

    sync_id: str
    look_id: str
    source: str


def source_of(host: str, conn_id: str, slug: str) -> str:
    """Name a Segment source: not by its write key, for a rotated one is the same source.

    :param slug: the extra ``source`` of its connection; empty where it has none.
    """
    return f"{host} {conn_id} {slug}".strip()


def _is_same_source(one: str, other: str) -> bool:
    """Compare slugs where both have one, else the ids of the connections."""
    mine, theirs = one.split(), other.split()
    full = 3
    if len(mine) == len(theirs) == full:
        return (mine[0], mine[2]) == (theirs[0], theirs[2])
    return mine[:2] == theirs[:2]


class MovedError(Exception):
    """Another commit was faster."""


class Generations:
    """The generations of one sync's snapshot.

    :param remembered: the generation that the sync remembers outside the folder; 0 is none.
    """

    def __init__(
        self, folder: SnapshotFolder, identity: Identity, seal: SnapshotSeal, *, remembered: int
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._seal = seal
        self._remembered = remembered

    def pointer(self) -> dict[str, Any] | None:
        """Read which generation is current; ``None`` before the first commit.

        :raises PermanentError: when the pointer is gone, or is another sync's.
        """
        pointer = self._folder.pointer()
        generation = 0 if pointer is None else int(pointer["generation"])
        is_lost = pointer is None and (self._remembered > 0 or self._was_there())
        if is_lost or self._is_outdated(generation):
            raise PermanentError(
                self._folder.where,
                should=f"be there, at generation {max(self._remembered, 1)} or later",
                but=f"it is at {generation}" if pointer else "its pointer is gone",
                do="Nothing was sent. Restore it, or mend `snapshot` if it was moved. "
                f"Or send everything again. {how_to_reset(self._identity.sync_id)}",
            )
        if pointer is not None:
            self._check(pointer)
        return pointer

    def _is_outdated(self, generation: int) -> bool:
        """Whether more is missing than what is committed once more.

        Where two commits point at one moment, the later one undoes the other's: its files are kept
        until a commit that knows of it.
        """
        if generation >= self._remembered:
            return False
        return generation + self._waiting() < self._remembered

    def _waiting(self) -> int:
        """Count what is, or would be, part of the next generation."""
        return sum(bool({"fates", "forget"} & kinds) for kinds in self._folder.runs().values())

    def _was_there(self) -> bool:
        """Whether there are generations that a killed first commit does not explain."""
        names = self._folder.generations()
        if not names:
            return False
        return int(names[-1][:_DIGITS]) > self._waiting()

    def _check(self, pointer: Mapping[str, Any]) -> None:
        mine = {
            "format": FORMAT,
            "look_id": self._identity.look_id,
            "source": self._identity.source,
            "secret": self._seal.fingerprint,
        }
        remedies = {
            "format": "Use the version of this package that wrote it, or reset the snapshot.",
            "look_id": "Give each Look a sync_id of its own, or reset the snapshot if this Look "
            "replaces the other.",
            "source": "Give each Segment source a sync_id of its own. If it is the same source, "
            "write the same text into the extra `source` of its connections; if this one replaces "
            "the other, reset the snapshot.",
            "secret": "Restore the sync's secret, or reset the snapshot.",
        }
        for name, expected in mine.items():
            alike = _is_same_source if name == "source" else str.__eq__
            if not alike(str(pointer.get(name)), str(expected)):
                raise PermanentError(
                    f"{self._folder.where} of sync {self._identity.sync_id!r}",
                    should=f"be for {name} {expected!r}",
                    but=f"it is for {pointer.get(name)!r}",
                    do=f"Nothing was sent. {remedies[name]} "
                    + how_to_reset(self._identity.sync_id),
                )

    def read(self, target: Path) -> dict[str, Any] | None:
        """Download the current generation, or make an empty one; return the pointer to it.

        :raises PermanentError: when it is gone, damaged, or another sync's.
        """
        for _ in range(ATTEMPTS):
            pointer = self.pointer()
            if pointer is None:
                _create(target)
                return None
            digest = self._folder.read_generation(pointer["file"], target)
            if digest is None:
                if self._folder.pointer() != pointer:
                    continue
                raise self._broken(pointer, "it is gone")
            if digest != pointer["digest"]:
                raise self._broken(pointer, "it is damaged")
            return pointer
        raise self.restless()

    def publish(self, source: Path, *, over: Mapping[str, Any] | None, purge: bool) -> int:
        """Make a file the current generation.

        :param over: the pointer to what the file was made from.
        :param purge: delete all earlier generations, not only those before the previous one.
        :raises MovedError: when another generation became current meanwhile.
        """
        with closing(tables.connect(source)) as database:
            generation = int(tables.facts(database)["generation"])
        name = f"{generation:0{_DIGITS}d}-{os.urandom(4).hex()}.sqlite"
        written = self._folder.write_generation(name, source)
        if self.pointer() != over:
            self._folder.delete_generation(name)
            raise MovedError
        before = None if over is None or purge else str(over["file"])
        self._folder.point(
            {
                "format": FORMAT,
                "generation": generation,
                "file": name,
                "digest": written,
                "sync_id": self._identity.sync_id,
                "look_id": self._identity.look_id,
                "source": self._identity.source,
                "secret": self._seal.fingerprint,
            }
        )
        # A later one may be what a slower commit, made from the same one, is about to point at.
        oldest_kept = 0 if over is None else int(over["generation"]) + 1
        for other in self._folder.generations():
            if other not in (name, before) and int(other[:_DIGITS]) < oldest_kept:
                self._folder.delete_generation(other)
        return generation

    def purge(self, pointer: Mapping[str, Any]) -> None:
        """Delete all generations before the current one."""
        for name in self._folder.generations():
            if int(name[:_DIGITS]) < int(pointer["generation"]):
                self._folder.delete_generation(name)

    def restless(self) -> TransientError:
        """Return the error of somebody for whom others are always faster."""
        return TransientError(
            self._folder.where,
            should="stand still for a moment",
            but=f"other runs committed {ATTEMPTS} times meanwhile",
            do="The task is retried; max_active_runs=1 avoids it.",
        )

    def _broken(self, pointer: Mapping[str, Any], but: str) -> PermanentError:
        return PermanentError(
            f"{self._folder.where}, generation {pointer['generation']}",
            should="be whole",
            but=but,
            do="Nothing was sent. Restore it, or reset the sync. "
            + how_to_reset(self._identity.sync_id),
        )


def _create(path: Path) -> None:
    tables.create_snapshot(path)
    database = tables.connect(path)
    tables.write_facts(database, {"generation": 0, "newest": None, "names": []})
    tables.close(database)
