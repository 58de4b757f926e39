"""Rejected rows, kept whole for somebody who wants to find them: sealed, and only for a while.

Rows enter with why they were left out; the same leave when they are asked for by their path.
Nothing unsealed is ever written, and what has outlived its time is deleted and never shown.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import ObjectStoragePath

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.stores.chunks import Seal

if TYPE_CHECKING:
    from airflow_provider_looker_segment.core.rows import Row

FORMAT = "looker-segment-rejects-1"
TIME_TO_LIVE = timedelta(days=7)
"""How long rejected rows are kept; a Look can be run again after that."""

MAX_KEPT = 10_000
"""Rejected rows kept for one task: above the guard a run sends nothing anyway."""

MAX_KEPT_BYTES = 16_000_000
"""Bytes kept for one task, sealed: they wait in memory until the task ends."""

_ENDING = ".rejects"
_BLOCK_ROWS = 500


@dataclass(frozen=True, slots=True)
class Reject:
    """One row, or one message, that was left out.

    :param row_number: counted from 1 in the order Looker sent the rows.
    :param code: why; one of ``core.problems.MEANINGS``.
    :param column: the column or path it is about, or empty.
    :param content: the row's cells, or the message that Segment refused.
    """

    row_number: int
    code: str
    column: str
    content: dict[str, Any]


class RejectWriter:
    """Writes the rejects of one task.

    :param folder: where rejects are kept: any address that ``ObjectStoragePath`` understands.
    :param name: of the file: the same in every try, so that a retry replaces it.
    :param now: the moment the time to live is counted from.
    :param resumes: keep what an earlier try wrote, because this one goes on where it stopped.
    """

    def __init__(
        self, folder: str, seal: Seal, *, name: str, now: datetime, resumes: bool = False
    ) -> None:
        self.path = ObjectStoragePath(folder) / f"{name}{_ENDING}"
        self.kept = 0
        self._seal = seal
        self._expires = now + TIME_TO_LIVE
        self._now = now
        self._blocks: list[str] = []
        self._bytes = 0
        self._waiting: list[dict[str, Any]] = []
        if resumes and self.path.is_file():
            for reject in _read(self.path, seal):
                self.add(reject)

    @classmethod
    def of_task(
        cls, ti: Any, seal: Seal, *, folder: str, generation: int | str, resumes: bool = False
    ) -> RejectWriter | None:
        """Return the writer of a task instance; ``None`` where no folder is named.

        :param generation: raised by a Clear, after which there is another file.
        :raises PermanentError: when the folder's address is none.
        """
        if not folder:
            return None
        try:
            _ = ObjectStoragePath(folder).fs
        except (ValueError, ImportError) as error:
            raise PermanentError(
                "Argument `rejects`:",
                should="be an address that Airflow's object storage understands",
                but=f"it is not ({type(error).__name__})",
                do="Write it like s3://bucket/rejects or file:///shared/rejects, and install the "
                "provider package of that storage.",
            ) from None
        place = json.dumps([ti.run_id, ti.task_id, ti.map_index, generation])
        name = f"{ti.dag_id}-{hashlib.blake2b(place.encode(), digest_size=8).hexdigest()}"
        return cls(folder, seal, name=name, now=datetime.now(UTC), resumes=resumes)

    def add(self, reject: Reject) -> None:
        """Keep one reject, up to :data:`MAX_KEPT` of them and :data:`MAX_KEPT_BYTES`."""
        if self.kept >= MAX_KEPT or self._bytes >= MAX_KEPT_BYTES:
            return
        self.kept += 1
        self._waiting.append(
            {
                "row_number": reject.row_number,
                "code": reject.code,
                "column": reject.column,
                "content": reject.content,
            }
        )
        if len(self._waiting) >= _BLOCK_ROWS:
            self._seal_block()

    def close(self) -> dict[str, Any] | None:
        """Write what was kept; return where it is, or ``None`` where there was nothing.

        :return: the file's ``path``, how many ``rows`` it keeps, and the ``command`` to see them.
        """
        self._delete_expired()
        if not self.kept:
            self.path.unlink(missing_ok=True)
            return None
        self._seal_block()
        head = {"format": FORMAT, "expires": self._expires.isoformat()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join([json.dumps(head), *self._blocks]) + "\n"
        self.path.write_text(text, encoding="ascii")
        return {
            "path": str(self.path),
            "rows": self.kept,
            "command": _command(str(self.path), conn_id=self._seal.conn_id),
        }

    def _seal_block(self) -> None:
        if self._waiting:
            block = self._seal.close(json.dumps(self._waiting).encode())
            self._blocks.append(block)
            self._bytes += len(block)
            self._waiting = []

    def _delete_expired(self) -> None:
        if not self.path.parent.is_dir():
            return
        for path in self.path.parent.iterdir():
            if path.name.endswith(_ENDING) and _expires(path) <= self._now:
                path.unlink(missing_ok=True)


def read(path: str, seal: Seal, *, now: datetime) -> Iterator[Reject]:
    """Read the rejects of one task.

    :param path: as the report shows it.
    :raises PermanentError: when there is no such file, its time is over, or another write key
        sealed it.
    """
    file = ObjectStoragePath(path)
    where = f"Rejects {path}"
    if not file.is_file() or _expires(file) <= now:
        raise PermanentError(
            where,
            should=f"be there for {TIME_TO_LIVE.days} days",
            but="they are gone",
            do="Run the Look again: the report of that run says where its rejects are.",
        )
    yield from _read(file, seal)


def _read(file: ObjectStoragePath, seal: Seal) -> Iterator[Reject]:
    for block in file.read_text(encoding="ascii").splitlines()[1:]:
        for entry in json.loads(seal.open(block, where=f"Rejects {file}")):
            yield Reject(**entry)


def cells(row: Row) -> dict[str, Any]:
    """Return what a row's cells hold, by column and, where there are pivots, by pivot."""
    return {name: _value(cell) for name, cell in row.items()}


def _value(cell: Any) -> Any:
    if not isinstance(cell, dict):
        return cell
    if "value" in cell:
        return cell["value"]
    return {key: _value(one) for key, one in cell.items()}


def _command(path: str, *, conn_id: str) -> str:
    words = ["python", "-m", "airflow_provider_looker_segment", "rejects", path, "--show-values"]
    if conn_id != "segment_default":
        words += ["--segment-conn-id", conn_id]
    return shlex.join(words)


def _expires(path: ObjectStoragePath) -> datetime:
    """Return when a file's time is over; never, where it is none of ours."""
    with path.open("r", encoding="ascii") as file:  # type: ignore[no-untyped-call]
        try:
            head = json.loads(file.readline())
            return datetime.fromisoformat(head["expires"])
        except (ValueError, KeyError, TypeError):
            return datetime.max.replace(tzinfo=UTC)
