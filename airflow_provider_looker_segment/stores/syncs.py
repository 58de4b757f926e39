"""What syncs remember, in Airflow's variables: records, secrets, and who was forgotten.

Records enter and leave. A secret leaves only towards the snapshot's seal, and of a forgotten user
only a keyed hash is kept.
"""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from airflow_provider_looker_segment.core.identity import fingerprint
from airflow_provider_looker_segment.core.sync import SyncRecord
from airflow_provider_looker_segment.exceptions import TransientError
from airflow_provider_looker_segment.stores.snapshot_seal import SECRET_BYTES, SnapshotSeal

_PREFIX = "looker_segment"
_SLUG_CHARS = 60
SETTLE_S = 0.5
"""Seconds between writing tombstones and reading them again: variables know no locks, and whoever
read them before this write has written by then."""

_SETTLE_TIMES = 60
_MOST_UNREPORTED = 100
"""Runs whose chunks may be there: a DAG without a report leaves those of each of its runs."""

_Known = TypeVar("_Known")


class Variables(Protocol):
    """Airflow's variables, as a task or as a command reaches them."""

    def get(self, key: str) -> str | None:
        """Return a variable's text; ``None`` where there is none."""

    def set(self, key: str, text: str, description: str) -> None:
        """Write a variable's text."""


class TaskVariables:
    """Airflow's variables, from within a task."""

    def get(self, key: str) -> str | None:
        """Return a variable's text; ``None`` where there is none.

        :raises TransientError: when Airflow does not say whether there is one.
        """
        from airflow.sdk import Variable  # noqa: PLC0415 - as late as the other SDK calls

        found = Variable.get(key, default=None)
        return _asked_again(key) if found is None else str(found)

    def set(self, key: str, text: str, description: str) -> None:
        """Write a variable's text."""
        from airflow.sdk import Variable  # noqa: PLC0415

        Variable.set(key, text, description=description)


def _asked_again(key: str) -> str | None:
    """Tell a variable that is absent from one that could not be read: ``Variable.get`` does not."""
    from airflow.sdk.exceptions import ErrorType  # noqa: PLC0415
    from airflow.sdk.execution_time import task_runner  # noqa: PLC0415
    from airflow.sdk.execution_time.comms import (  # noqa: PLC0415
        ErrorResponse,
        GetVariable,
        VariableResult,
    )

    supervisor = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if supervisor is None:
        # Outside of Airflow's task runner nothing stands between the variable and its reader.
        return None
    try:
        answer = supervisor.send(GetVariable(key=key))
    except Exception as error:
        raise _unread(key, type(error).__name__) from error
    if isinstance(answer, VariableResult):
        return answer.value
    if isinstance(answer, ErrorResponse) and answer.error == ErrorType.VARIABLE_NOT_FOUND:
        return None
    error_name = answer.error.name if isinstance(answer, ErrorResponse) else "no answer"
    raise _unread(key, error_name)


def _unread(key: str, error_name: str) -> TransientError:
    return TransientError(
        f"Airflow's variable {key!r}",
        should="be read, or be known to be absent",
        but=f"Airflow's API did neither ({error_name})",
        do="The task is retried; if that does not help, see the API server's log.",
    )


class SyncStore:
    """What one sync remembers.

    :param variables: where.
    """

    def __init__(self, sync_id: str, variables: Variables | None = None) -> None:
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", sync_id)[:_SLUG_CHARS]
        self.sync_id = sync_id
        self._name = f"{slug}-{fingerprint(sync_id).hex()[:8]}"
        self._variables = variables or TaskVariables()

    def read(self) -> SyncRecord:
        """Return what is known; an empty record before the first run."""
        text = self._variables.get(self._key("sync"))
        return SyncRecord.from_dict(json.loads(text)) if text else SyncRecord()

    def write(self, record: SyncRecord) -> None:
        """Remember a record."""
        text = json.dumps(record.as_dict())
        self._variables.set(self._key("sync"), text, f"What the sync {self.sync_id} remembers")

    def update(
        self, change: Callable[[SyncRecord], SyncRecord], *, settle_s: float = 0.0
    ) -> SyncRecord:
        """Change the record as it is now, once more where somebody else wrote meanwhile.

        :param change: makes of a record what it should be, and leaves one alone that is so.
        :param settle_s: seconds in which somebody else's writing may still arrive.
        :return: the record as it is then.
        :raises TransientError: when others overwrite it again and again.
        """
        return self._settle(self.read, change, self.write, settle_s=settle_s)

    def seal(self) -> SnapshotSeal:
        """Return what hides this sync's users; the first call makes its secret."""
        return SnapshotSeal(self.secret())

    def secret(self) -> bytes:
        """Return the sync's secret; the first call makes it."""
        text = self._variables.get(self._key("secret"))
        if not text:
            made = base64.b64encode(os.urandom(SECRET_BYTES)).decode("ascii")
            description = f"Hides the users in the snapshot of the sync {self.sync_id}"
            self._variables.set(self._key("secret"), made, description)
            # Another run may have made one at the same moment: what is read is what counts.
            text = self._variables.get(self._key("secret")) or made
        return base64.b64decode(text)

    def forgotten(self) -> frozenset[bytes]:
        """Return the keys of the users who get no message any more."""
        text = self._variables.get(self._key("forgotten"))
        return frozenset(bytes.fromhex(key) for key in json.loads(text)) if text else frozenset()

    def forget(self, keys: Iterable[bytes]) -> None:
        """Add users who get no message any more.

        Of two that are added at one moment none is lost: what was written is read again after
        :data:`SETTLE_S` seconds, and written again where somebody else has overwritten it.

        :raises TransientError: when others overwrite it again and again.
        """
        wanted = frozenset(keys)
        description = f"Keyed hashes of users whom the sync {self.sync_id} must not send"

        def write(known: frozenset[bytes]) -> None:
            text = json.dumps(sorted(key.hex() for key in known))
            self._variables.set(self._key("forgotten"), text, description)

        self._settle(self.forgotten, lambda known: known | wanted, write, settle_s=SETTLE_S)

    def unreported(self) -> list[dict[str, Any]]:
        """Return the extract tasks whose chunks no report has deleted yet, the latest last."""
        text = self._variables.get(self._key("unreported"))
        found: list[dict[str, Any]] = json.loads(text) if text else []
        return found

    def note_chunks(self, about: Mapping[str, Any]) -> None:
        """Note that there may be chunks from now on, before the first is stored.

        :param about: which extract task stores them.
        """
        own = dict(about)
        self._change_unreported(
            lambda runs: runs if own in runs else [*runs, own][-_MOST_UNREPORTED:]
        )

    def note_no_chunks(self, about: Mapping[str, Any]) -> None:
        """Note that an extract task has no chunks any more."""
        self._change_unreported(lambda runs: [known for known in runs if known != about])

    def _change_unreported(
        self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
    ) -> None:
        description = f"Runs of the sync {self.sync_id} whose chunks may be there"

        def write(runs: list[dict[str, Any]]) -> None:
            self._variables.set(self._key("unreported"), json.dumps(runs), description)

        self._settle(self.unreported, change, write)

    def _settle(
        self,
        read: Callable[[], _Known],
        change: Callable[[_Known], _Known],
        write: Callable[[_Known], None],
        *,
        settle_s: float = 0.0,
    ) -> _Known:
        """Change what a variable says, once more where somebody else wrote meanwhile."""
        known = read()
        for _ in range(_SETTLE_TIMES):
            changed = change(known)
            if changed == known:
                return known
            write(changed)
            time.sleep(settle_s)
            known = read()
        raise TransientError(
            f"Sync {self.sync_id!r}:",
            should="remember what is noted of it",
            but="others overwrite it again and again",
            do="Try again when they are done; in a DAG, max_active_runs=1 avoids it.",
        )

    def _key(self, what: str) -> str:
        return f"{_PREFIX}_{what}_{self._name}"
