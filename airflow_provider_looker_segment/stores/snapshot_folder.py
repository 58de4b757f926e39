"""The files of a sync's snapshot in object storage: names, atomic writes, listings.

Bytes and local files enter and leave. What was written is there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_looker_segment.addresses import refuse_secret
from airflow_provider_looker_segment.core.identity import fingerprint
from airflow_provider_looker_segment.exceptions import (
    LookerSegmentError,
    PermanentError,
    TransientError,
)

_POINTER = "current.json"
_GENERATIONS = "generations"
_RUNS = "runs"
_DISK = frozenset({"", "file", "local"})
_ONE_MACHINE = _DISK | {"memory"}
_SLUG_CHARS = 60
_COPY_BYTES = 1 << 18
"""A piece that the processor's cache holds until it is written."""

_DIGEST_BYTES = 16
_PARTIAL = "partial-"

Seen = Callable[[bytes], object]
"""Told of each piece that is copied."""


def storage(said: str | Mapping[str, Any]) -> ObjectStoragePath:
    """Read the argument ``snapshot``.

    :param said: an address such as ``s3://conn_id@bucket/folder``; a path that only exists on
        this worker, or is mounted on all of them, as ``{"path": …, "local": True}``.
    :raises PermanentError: when it is such a path and nobody said so, when it holds a secret, or
        when Airflow cannot use that storage.
    """
    settings = {"path": said} if isinstance(said, str) else dict(said)
    unknown = sorted(settings.keys() - {"path", "local"})
    if unknown or not settings.get("path"):
        raise PermanentError(
            "Argument `snapshot`:",
            should="be an address, or have the keys `path` and `local`",
            but=f"it has {', '.join(unknown)}" if unknown else "it has no path",
            do='Write "s3://conn_id@bucket/folder" or {"path": "file:///mnt/x", "local": True}.',
        )
    address = str(settings["path"])
    refuse_secret("Argument `snapshot`:", address)
    path = _usable(address)
    if path.protocol in _ONE_MACHINE and settings.get("local") is not True:
        raise PermanentError(
            f"Argument `snapshot`, {address!r}:",
            should="be storage that every worker reaches",
            but="it is in the memory of one process"
            if path.protocol == "memory"
            else "it is a path of one machine",
            do="Use object storage. If the path is mounted on every worker, or there is only one, "
            f'write {{"path": {address!r}, "local": True}}.',
        )
    return path


def _usable(address: str) -> ObjectStoragePath:
    """Find the storage of an address."""
    kind = ""
    try:
        path = ObjectStoragePath(address)
        _ = path.fs
    except (ValueError, ImportError, LookupError, FileNotFoundError) as error:
        kind = type(error).__name__
    if kind:
        # Not within the handler: what a storage says may hold more than its address.
        raise PermanentError(
            f"Argument `snapshot`, {address!r}:",
            should="be an address that Airflow's object storage understands",
            but=f"it is not ({kind})",
            do="Write it like s3://conn_id@bucket/folder, see that the connection exists, and "
            "install the provider package of that storage.",
        )
    return path


class SnapshotFolder:
    """The folder of one sync.

    :param root: of all syncs; see :func:`storage`.
    """

    def __init__(self, root: ObjectStoragePath, sync_id: str) -> None:
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", sync_id)[:_SLUG_CHARS]
        path = root / f"{slug}-{fingerprint(sync_id).hex()[:8]}"
        self.where = f"Snapshot {path}"
        # The path's own methods would not all go through Airflow's connection.
        self._files = path.fs
        self._root = path.path.rstrip("/")
        self._is_disk = path.protocol in _DISK

    def pointer(self) -> dict[str, Any] | None:
        """Read which generation is current; ``None`` where there is none.

        :raises PermanentError: when the pointer is damaged.
        """
        data = self._read(_POINTER)
        if data is None:
            return None
        said = _parsed(data)
        if said is None:
            raise PermanentError(
                self.where,
                should=f"have a pointer {_POINTER} in JSON",
                but="it is damaged",
                do="Restore that file, or reset the snapshot: everything is sent again.",
            )
        return said

    def point(self, said: Mapping[str, Any]) -> None:
        """Make another generation current."""
        self._write(_POINTER, json.dumps(said).encode("ascii"))

    def generations(self) -> list[str]:
        """List the names of all generations, the oldest first."""
        return self._names(_GENERATIONS)

    def write_generation(self, name: str, file: Path) -> str:
        """Upload a generation; return its digest, 32 hex digits."""
        found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._upload(f"{_GENERATIONS}/{name}", file, seen=found.update)
        return found.hexdigest()

    def read_generation(self, name: str, target: Path) -> str | None:
        """Download a generation; return its digest, or ``None`` where it is gone."""
        found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        is_there = self._download(f"{_GENERATIONS}/{name}", target, seen=found.update)
        return found.hexdigest() if is_there else None

    def delete_generation(self, name: str) -> None:
        """Delete a generation; one that is gone already is no error."""
        self._remove(f"{_GENERATIONS}/{name}")

    def runs(self) -> dict[str, set[str]]:
        """List the files of runs: for each run, their kinds."""
        found: dict[str, set[str]] = {}
        for name in self._names(_RUNS):
            run, _, kind = name.partition(".")
            found.setdefault(run, set()).add(kind)
        return found

    def open_runs(self) -> list[str]:
        """List the runs that began and of whose messages nothing is known yet."""
        return [
            run for run, kinds in self.runs().items() if "open" in kinds and "fates" not in kinds
        ]

    def write_run(self, run: str, kind: str, said: Any) -> None:
        """Write a small file of a run."""
        self._write(f"{_RUNS}/{run}.{kind}", json.dumps(said).encode("ascii"))

    def read_run(self, run: str, kind: str) -> Any:
        """Read a small file of a run; ``None`` where there is none."""
        data = self._read(f"{_RUNS}/{run}.{kind}")
        return None if data is None else json.loads(data)

    def upload_run(self, run: str, kind: str, file: Path) -> None:
        """Upload a large file of a run."""
        self._upload(f"{_RUNS}/{run}.{kind}", file)

    def download_run(self, run: str, kind: str, target: Path) -> bool:
        """Download a large file of a run; tell whether it is there."""
        return self._download(f"{_RUNS}/{run}.{kind}", target)

    def delete_run(self, run: str, kind: str) -> None:
        """Delete a file of a run; one that is gone already is no error."""
        self._remove(f"{_RUNS}/{run}.{kind}")

    def delete_all(self) -> None:
        """Delete everything; the pointer first, for it must never name what is gone."""
        self._remove(_POINTER)
        for folder in (_GENERATIONS, _RUNS):
            for name in self._names(folder):
                self._remove(f"{folder}/{name}")
        self.delete_partial()

    def delete_partial(self) -> None:
        """Delete what a killed task has written in part; one that still writes it tries again."""
        for folder in (_GENERATIONS, _RUNS):
            for name in self._listed(folder):
                if name.startswith(_PARTIAL):
                    self._remove(f"{folder}/{name}")

    def _names(self, folder: str) -> list[str]:
        return [name for name in self._listed(folder) if not name.startswith(_PARTIAL)]

    def _listed(self, folder: str) -> list[str]:
        # Some stores answer from a listing they made before.
        with self._storage():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(f"{self._root}/{folder}", detail=False)
            except FileNotFoundError:
                return []
        names = (str(path).rpartition("/")[2] for path in found)
        return sorted(name for name in names if name)

    def _upload(self, name: str, file: Path, *, seen: Seen | None = None) -> None:
        with self._storage(), file.open("rb") as source, self._writing(name) as target:
            _copy(source, target, seen)

    def _download(self, name: str, target: Path, *, seen: Seen | None = None) -> bool:
        with self._storage():
            try:
                source = self._files.open(f"{self._root}/{name}", "rb")
            except FileNotFoundError:
                return False
            with source, target.open("wb") as file:
                _copy(source, file, seen)
        return True

    def _remove(self, name: str) -> None:
        with self._storage(), contextlib.suppress(FileNotFoundError):
            self._files.rm_file(f"{self._root}/{name}")

    def _read(self, name: str) -> bytes | None:
        with self._storage():
            try:
                with self._files.open(f"{self._root}/{name}", "rb") as file:
                    data: bytes = file.read()
            except FileNotFoundError:
                return None
        return data

    def _write(self, name: str, data: bytes) -> None:
        with self._storage(), self._writing(name) as target:
            target.write(data)

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """Turn what storages raise into this package's errors; each has kinds of its own."""
        kind = ""
        is_missing = False
        try:
            yield
        except LookerSegmentError:
            raise
        except Exception as error:  # noqa: BLE001 - see above
            kind, is_missing = type(error).__name__, isinstance(error, FileNotFoundError)
        if kind:
            # What a storage says may hold more than its address.
            raise (PermanentError if is_missing else TransientError)(
                self.where,
                should="be read and written",
                but=f"the storage does not do it ({kind})",
                do="Check that the bucket or folder exists, and that the worker may list, read, "
                "write and delete there.",
            ) from None

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Any]:
        path = f"{self._root}/{name}"
        self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        if not self._is_disk:
            with self._files.open(path, "wb") as target:
                yield target
            return
        # Object stores show a file when it is whole; a disk does so only by renaming.
        final = Path(path)
        partial = final.with_name(f"{_PARTIAL}{os.urandom(4).hex()}-{final.name}")
        try:
            with partial.open("wb") as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            _rename(partial, final, where=self.where)
        finally:
            partial.unlink(missing_ok=True)


def _rename(partial: Path, final: Path, *, where: str) -> None:
    is_gone = False
    try:
        partial.replace(final)
    except FileNotFoundError:
        is_gone = True
    if is_gone:
        raise TransientError(
            where,
            should=f"have {final.name} written",
            but="what was written in part was deleted meanwhile, as forgetting a user does",
            do="The task is retried.",
        )


def _copy(source: IO[bytes], target: IO[bytes], seen: Seen | None) -> None:
    while piece := source.read(_COPY_BYTES):
        if seen is not None:
            seen(piece)
        target.write(piece)


def _parsed(data: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(data)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
