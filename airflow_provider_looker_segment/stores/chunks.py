"""Chunks in XCom: seal, push, pull, delete.

Packed chunks enter and leave; what rests in between is encrypted and smaller than an XCom may be.
Nothing unsealed is ever stored, and a chunk that is not whole is never read as one.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from typing import Any

from airflow.providers.common.compat.sdk import conf
from airflow.sdk.execution_time.xcom import XCom
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core import chunking, limits
from airflow_provider_looker_segment.core.chunking import Chunk, Line
from airflow_provider_looker_segment.core.sync import StoppedRun
from airflow_provider_looker_segment.exceptions import PermanentError

FORMAT = 1
MANIFEST_KEY = "manifest"
RECEIPT_KEY = "receipt"
CHUNK_PREFIX = "chunk_"
STOPPED_SHARDS_KEY = "stopped_shards"
APPROVAL_KEY = "approval"

_SALT = b"airflow-provider-looker-segment/chunks"
_ENVELOPE_BYTES = 200
"""JSON around the sealed data: keys, count, digest."""

_FERNET_BYTES = 57 + 16
"""What Fernet adds before base64: version, time, vector, signature, and padding to 16."""


def chunk_key(index: int) -> str:
    """Return the XCom key of a run's chunk.

    >>> chunk_key(7)
    'chunk_00007'
    """
    return f"{CHUNK_PREFIX}{index:05d}"


class Seal:
    """Encrypts what rests in XCom, with a key that only holders of the write key can derive.

    :param settings: the Segment connection; extract and identify both have it.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        derived = HKDF(SHA256(), length=32, salt=_SALT, info=b"fernet").derive(
            settings.write_key.encode()
        )
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))
        self.fingerprint = settings.write_key_fingerprint
        self.conn_id = settings.conn_id

    def close(self, data: bytes) -> str:
        """Encrypt; the result is ASCII text."""
        return self._fernet.encrypt(data).decode("ascii")

    def open(self, sealed: str, *, where: str) -> bytes:
        """Decrypt.

        :raises PermanentError: when it was sealed with another key, or is damaged.
        """
        try:
            return self._fernet.decrypt(sealed.encode("ascii"))
        except (InvalidToken, UnicodeEncodeError) as error:
            raise PermanentError(
                where,
                should=f"open with the write key of connection {self.conn_id!r}",
                but="it does not; the key was changed, or another one sealed it",
                do="Use the same segment_conn_id in all tasks, and clear the extract task.",
            ) from error


class ChunkStore:
    """The chunks of one extract task's run.

    :param ti: the task instance that pushes, or that reads another's.
    :param task_id: the extract task; its own id when it pushes.
    :param map_index: of the extract task; -1 when it is not mapped.
    :param run_id: of the DAG run that extracted them; ``None`` is this one.
    """

    def __init__(
        self,
        ti: Any,
        seal: Seal,
        *,
        task_id: str,
        map_index: int = -1,
        run_id: str | None = None,
    ) -> None:
        self._ti = ti
        self.seal = seal
        self._task_id = task_id
        self._map_index = map_index
        self._run_id = run_id

    def push(self, index: int, chunk: Chunk) -> int:
        """Seal and store one chunk; return the bytes it takes."""
        sealed = self.seal.close(chunk.data)
        value = {
            "format": FORMAT,
            "messages": chunk.messages,
            "digest": chunk.digest,
            "data": sealed,
        }
        self._ti.xcom_push(key=chunk_key(index), value=value)
        return len(sealed) + _ENVELOPE_BYTES

    def lines(self, index: int) -> Iterator[Line]:
        """Read one chunk.

        :raises PermanentError: when it is gone, damaged, or of an unknown format.
        """
        key = chunk_key(index)
        where = f"XCom {key!r} of task {self._task_id!r}"
        value = self._ti.xcom_pull(
            task_ids=self._task_id, key=key, map_indexes=self._map_index, run_id=self._run_id
        )
        # An object-storage backend answers with the file's path where the file is gone.
        if not isinstance(value, dict):
            raise PermanentError(
                where,
                should="hold messages to send",
                but="it is gone; the report deletes chunks when a run ends",
                do=f"Clear the task {self._task_id!r} with its downstream tasks instead."
                if self._run_id is None
                else "What was approved cannot be sent any more: run the Look again without "
                "`approve`.",
            )
        if value.get("format") != FORMAT:
            raise PermanentError(
                where,
                should=f"be of format {FORMAT}",
                but=f"it is of format {value.get('format')!r}",
                do=f"Clear the task {self._task_id!r}, so that it writes its chunks again.",
            )
        data = self.seal.open(value["data"], where=where)
        if chunking.digest(data) != value["digest"]:
            raise PermanentError(
                where,
                should="be whole",
                but="its digest differs",
                do=f"Clear the task {self._task_id!r}, so that it writes its chunks again.",
            )
        return chunking.unpack(data, where=where)

    def delete(self, count: int) -> None:
        """Delete the first ``count`` chunks; those that are gone already are no error."""
        delete(self._ti, count, task_id=self._task_id, map_index=self._map_index)


def delete(
    ti: Any, count: int, *, task_id: str, map_index: int = -1, of: tuple[str, str] | None = None
) -> None:
    """Delete the first ``count`` chunks of an extract task; no key is needed for that.

    :param ti: any task instance of the run.
    :param of: ids of the DAG and of the DAG run that extracted them; ``None`` is this one.
    """
    dag_id, run_id = of or (ti.dag_id, ti.run_id)
    # From the last to the first: what an interruption leaves is found by counting from zero.
    for index in reversed(range(count)):
        XCom.delete(
            key=chunk_key(index),
            task_id=task_id,
            dag_id=dag_id,
            run_id=run_id,
            map_index=map_index,
        )


def delete_stopped(ti: Any, stopped: StoppedRun) -> None:
    """Delete the chunks of a run that waits for approval.

    :param ti: any task instance; the run may be another one.
    """
    delete(
        ti,
        stopped.chunks,
        task_id=stopped.task_id,
        map_index=stopped.map_index,
        of=(stopped.dag_id, stopped.run_id),
    )


def count(ti: Any, *, task_id: str, map_index: int = -1, of: tuple[str, str] | None = None) -> int:
    """Count the chunks of an extract task, which may have left no manifest.

    :param of: see :func:`delete`.
    """
    dag_id, run_id = of or (ti.dag_id, ti.run_id)
    place = {"dag_id": dag_id, "run_id": run_id, "task_ids": task_id, "map_indexes": map_index}
    for index in itertools.count():
        if ti.xcom_pull(key=chunk_key(index), **place) is None:
            return index
    raise AssertionError  # pragma: no cover - the loop has no other end


def max_packed_bytes() -> int:
    """Return how large a chunk may be before it is sealed, for Airflow's XCom backend."""
    stored = limits.MAX_STORED_CHUNK_BYTES if in_object_storage() else limits.MAX_CHUNK_BYTES
    return (stored - _ENVELOPE_BYTES) * 3 // 4 - _FERNET_BYTES


def in_object_storage() -> bool:
    """Whether XCom values of a chunk's size go to files instead of the database."""
    backend = str(conf.get("core", "xcom_backend", fallback=""))
    threshold = conf.getint("common.io", "xcom_objectstorage_threshold", fallback=-1)
    return backend.endswith("XComObjectStorageBackend") and (
        0 <= threshold <= limits.MAX_CHUNK_BYTES
    )
