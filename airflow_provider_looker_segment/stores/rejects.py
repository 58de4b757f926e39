"""Rejected rows, kept whole for somebody who wants to find them: sealed, and only for a while.

Rows enter with why they were left out; the same leave when they are asked for by their path.
Nothing unsealed is ever written, and what has outlived its time is deleted and never shown.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import ObjectStoragePath

from airflow_provider_looker_segment.addresses import refuse_secret
from airflow_provider_looker_segment.core.identity import identifier, trimmed
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
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

MAX_SAVED_AT_ONCE = 1_000
"""Rejects that are written one by one as they come; each writes the file anew, so after that many
they are written :data:`SAVED_TOGETHER` at a time."""

SAVED_TOGETHER = 100
"""What a killed worker may lose of more than :data:`MAX_SAVED_AT_ONCE` rejects, at most."""

_ENDING = ".rejects"
_BLOCK_ROWS = 500
_LONGEST_HEAD = 1_000

log = logging.getLogger(__name__)


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
    """Writes the rejects of one task, all at its end or, with :meth:`save`, as they come.

    :param folder: where rejects are kept: any address that ``ObjectStoragePath`` understands.
    :param name: of the file: the same in every try, so that a retry replaces it.
    :param now: the moment the time to live is counted from.
    :param resumes: how many of those that an earlier try wrote to keep, because this one goes on
        behind them.
    """

    def __init__(
        self, folder: str, seal: Seal, *, name: str, now: datetime, resumes: int = 0
    ) -> None:
        self.path = ObjectStoragePath(folder) / f"{name}{_ENDING}"
        self.kept = 0
        self._saved = 0
        self._seal = seal
        self._expires = now + TIME_TO_LIVE
        self._now = now
        self._blocks: list[str] = []
        self._bytes = 0
        self._waiting: list[dict[str, Any]] = []
        if resumes:
            self._go_on(resumes)

    @classmethod
    def of_task(
        cls, ti: Any, seal: Seal, *, folder: str, generation: int | str, resumes: int = 0
    ) -> RejectWriter | None:
        """Return the writer of a task instance; ``None`` where no folder is named.

        :param generation: raised by a Clear, after which there is another file.
        :raises PermanentError: when the folder's address is none.
        """
        if not folder:
            return None
        refuse_secret("Argument `rejects`:", folder)
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

    def save(self) -> None:
        """Write what is kept so far, so that a killed worker does not take it along.

        :raises TransientError: when the storage does not take it.
        """
        unsaved = self.kept - self._saved
        if unsaved and (self.kept <= MAX_SAVED_AT_ONCE or unsaved >= SAVED_TOGETHER):
            self._write()

    def close(self) -> dict[str, Any] | None:
        """Write what was kept; return where it is, or ``None`` where there was nothing.

        :return: the file's ``path``, how many ``rows`` it keeps, and the ``command`` to see them.
        :raises TransientError: when the storage does not take it.
        """
        self._delete_expired()
        if not self.kept:
            with self._storage():
                self.path.unlink(missing_ok=True)
        elif self.kept > self._saved:
            self._write()
        return self.saved

    @property
    def saved(self) -> dict[str, Any] | None:
        """Where the rejects are that have been written, as :meth:`close` returns it."""
        if not self._saved:
            return None
        return {
            "path": str(self.path),
            "rows": self._saved,
            "command": _command(str(self.path), conn_id=self._seal.conn_id),
        }

    def _write(self) -> None:
        self._seal_block()
        head = {"format": FORMAT, "expires": self._expires.isoformat()}
        text = "\n".join([json.dumps(head), *self._blocks]) + "\n"
        # Object storage shows a file when it is whole; a disk does not.
        is_disk = self.path.protocol in ("file", "local", "")
        path = self.path.with_name(f"{self.path.name}.new{_ENDING}") if is_disk else self.path
        with self._storage():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="ascii")
            if is_disk:
                path.replace(self.path)
        self._saved = self.kept

    def _go_on(self, rows: int) -> None:
        """Take over what an earlier try wrote, as far as it can be read."""
        earlier = self.path
        try:
            # It stays where it is while nobody knows what it holds.
            self.path = earlier.with_name(f"{earlier.name.removesuffix(_ENDING)}-later{_ENDING}")
            with contextlib.suppress(FileNotFoundError):
                text = earlier.read_text(encoding="ascii", errors="replace")
                self.path = earlier
                for reject in islice(_read(text, self._seal, where=str(earlier)), rows):
                    self.add(reject)
            self.path = earlier
        except Exception as error:  # noqa: BLE001 - whatever it is, there are messages to deliver
            log.warning(
                "Of what an earlier try of this task has kept at %s only %s rows can be read (%s).",
                earlier,
                f"{self.kept:,}",
                type(error).__name__,
            )

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        """Turn what storages raise into this package's error; each has kinds of its own."""
        kind = ""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - see above
            kind = type(error).__name__
        if kind:
            # What a storage says may hold more than its address.
            raise TransientError(
                f"Rejects {self.path}",
                should="be kept",
                but=f"the storage does not take them ({kind})",
                do="Check that the worker may write there, or leave the argument `rejects` out.",
            ) from None

    def _seal_block(self) -> None:
        if self._waiting:
            block = self._seal.close(json.dumps(self._waiting).encode())
            self._blocks.append(block)
            self._bytes += len(block)
            self._waiting = []

    def _delete_expired(self) -> None:
        """Delete what has outlived its time; what cannot be deleted is left to the next run."""
        # Other tasks delete at the same time, and other people's files may be anything.
        with contextlib.suppress(Exception):
            for path in self.path.parent.iterdir():
                with contextlib.suppress(Exception):
                    expires = _expires(path) if path.name.endswith(_ENDING) else None
                    if expires is not None and expires <= self._now:
                        path.unlink(missing_ok=True)


class Forgetting(NamedTuple):
    """What came of looking for somebody in a folder.

    :param deleted: files that held something of them.
    :param unread: files that could not be read, and stay; ``None`` where the folder could not be.
    """

    deleted: int
    unread: int | None


def forget(folder: str, seal: Seal, values: Collection[str], *, now: datetime) -> Forgetting:
    """Delete the files that hold a row or a message about somebody, or whose time is over.

    :param seal: of this sync; files that it cannot open are another's or older than a rotation of
        the write key, and stay.
    :param values: ids and e-mail addresses, in whatever spelling.
    """
    values = {spelling for value in values for spelling in (value, value.lower())}
    deleted = unread = 0
    try:
        path = ObjectStoragePath(folder)
        files = list(path.iterdir()) if path.is_dir() else []
    except Exception as error:  # noqa: BLE001 - each kind of storage has errors of its own
        log.warning("The rejects in %s could not be looked at (%s).", folder, type(error).__name__)
        return Forgetting(0, None)
    for file in files:
        if not file.name.endswith(_ENDING):
            continue
        try:
            expires = _expires(file)
            is_over = expires is not None and expires <= now
            if is_over or _mentions(file, seal, values):
                file.unlink(missing_ok=True)
                deleted += not is_over
        except FileNotFoundError:
            # Somebody else deletes at the same time.
            continue
        except Exception as error:  # noqa: BLE001 - see above; a damaged file says no more either
            log.warning("Rejects %s could not be looked at (%s).", file, type(error).__name__)
            unread += 1
    return Forgetting(deleted, unread)


def _mentions(file: ObjectStoragePath, seal: Seal, values: Collection[str]) -> bool:
    found = _read(file.read_text(encoding="ascii"), seal, where=f"Rejects {file}")
    return any(_holds(reject.content, values) for reject in found)


def _holds(content: Any, values: Collection[str]) -> bool:
    if isinstance(content, dict):
        return any(_holds(value, values) for value in content.values())
    if isinstance(content, list):
        return any(_holds(value, values) for value in content)
    text = trimmed(str(content))
    return bool({text, text.lower(), identifier(content)[0]} & set(values))


def read(path: str, seal: Seal, *, now: datetime) -> Iterator[Reject]:
    """Read the rejects of one task.

    :param path: as the report shows it.
    :raises PermanentError: when there is no such file, its time is over, or another write key
        sealed it.
    """
    where = f"Rejects {path}"
    refuse_secret(where, path)
    kind = ""
    try:
        file = ObjectStoragePath(path)
        is_there = file.is_file()
        expires = _expires(file) if is_there else None
        text = file.read_text(encoding="ascii", errors="replace") if is_there else ""
    except Exception as error:  # noqa: BLE001 - each kind of storage has errors of its own
        kind = type(error).__name__
    if kind:
        # Not within the handler: what a storage says may hold more than its address.
        raise PermanentError(
            where,
            should="be the address of a file that can be read",
            but=f"it is not ({kind})",
            do="Copy the address from the report, and run this where the storage can be reached "
            "and its provider package is installed.",
        )
    if not is_there or (expires is not None and expires <= now):
        raise PermanentError(
            where,
            should=f"be there for {TIME_TO_LIVE.days} days",
            but="their time is over" if is_there else "no file is there, or not any more",
            do="Copy the address of the file from the report. Where its rows are older than that, "
            "run the Look again: the report of that run says where its rejects are.",
        )
    if expires is None:
        raise PermanentError(
            where,
            should=f"be a file of rejects, of the format {FORMAT}",
            but="it is none",
            do="Copy the address from the report.",
        )
    yield from _read(text, seal, where=where)


def _read(text: str, seal: Seal, *, where: str) -> Iterator[Reject]:
    for block in text.splitlines()[1:]:
        for entry in json.loads(seal.open(block, where=where)):
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


def _expires(path: ObjectStoragePath) -> datetime | None:
    """Return when a file's time is over; ``None`` where it is none of ours.

    :raises OSError: when it cannot be read.
    """
    with path.open("rb") as file:  # type: ignore[no-untyped-call]
        try:
            head = json.loads(file.readline(_LONGEST_HEAD).decode("ascii"))
            expires = datetime.fromisoformat(head["expires"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
    return expires if head.get("format") == FORMAT and expires.tzinfo else None
