"""What a sync remembers between its runs, outside its snapshot.

Plain JSON enters and leaves; no id and no trait value is among it. Records of earlier versions,
which lack what later ones note, stay readable.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from airflow_provider_looker_segment.exceptions import PermanentError

MOST_FORMER_FOLDERS = 50
"""Folders of rejected rows that a sync remembers: a template may name another one each day."""


def how_to_reset(sync_id: str) -> str:
    """Say how a sync is reset, with and without a shell."""
    return (
        "To reset it, so that its next run sends everything, run the DAG snapshot_maintenance "
        f"with action reset and sync_id {sync_id}, or `python -m airflow_provider_looker_segment "
        f"snapshot reset --yes --sync {shlex.quote(sync_id)}`."
    )


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A run that a guard stopped, whose chunks wait for somebody's approval.

    :param generation: of its extract.
    :param chunks: how many there are.
    :param run: its name in the snapshot; empty where the sync has none.
    :param approved_by: the DAG run that delivers it, once somebody has approved it.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    generation: int
    chunks: int
    run: str = ""
    approved_by: str = ""

    @property
    def about(self) -> dict[str, Any]:
        """Which extract task decided it."""
        return {name: getattr(self, name) for name in ("dag_id", "run_id", "task_id", "map_index")}

    def is_of(self, ti: Any) -> bool:
        """Whether this task instance extracted it."""
        mine = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        return mine == (self.dag_id, self.run_id, self.task_id, self.map_index)


@dataclass(frozen=True, slots=True)
class SyncRecord:
    """What is known of a sync before a run of it begins.

    :param look_id: of the last run that was reported.
    :param source: the Segment source of that run.
    :param snapshot: where the snapshot is: ``path`` and ``local``; empty where there is none.
    :param generation: of the snapshot after the last commit; 0 before the first.
    :param newest: the newest window that was reported, ISO 8601 in UTC.
    :param sent: the newest window of which something was sent, whether it was reported or not.
    :param rows: rows of the last green run.
    :param contract: what the Look was at the first green run, or when it was accepted.
    :param filters: of the first run that read the snapshot, as the contract pins them; they count
        until there is one.
    :param stopped: the run that waits for approval.
    :param rejects: the folder of rejected rows.
    :param former_rejects: other folders that runs have kept them in, the latest last.
    :param segment_conn_id: the connection whose write key seals chunks and rejected rows.
    """

    look_id: str = ""
    source: str = ""
    snapshot: Mapping[str, Any] | None = None
    generation: int = 0
    newest: str = ""
    rows: int | None = None
    contract: Mapping[str, Any] | None = None
    filters: Mapping[str, Any] | None = None
    stopped: StoppedRun | None = None
    rejects: str = ""
    segment_conn_id: str = ""
    former_rejects: tuple[str, ...] = ()
    sent: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> SyncRecord:
        """Read back what :meth:`as_dict` wrote, in this version or another."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in said.items() if name in known}
        stopped = values.get("stopped")
        if stopped is not None:
            values["stopped"] = StoppedRun(**stopped)
        values["former_rejects"] = tuple(values.get("former_rejects", ()))
        return cls(**values)

    @property
    def about(self) -> dict[str, Any] | None:
        """The filters of its own runs that the sync is about; ``None`` before its first run."""
        said = self.filters if self.contract is None else self.contract
        if said is None:
            return None
        # A contract of an earlier version has no digest: its names alone are compared.
        return {name: said.get(name) for name in ("run_filters", "run_filters_digest")}

    def keeping(self, folder: str, segment_conn_id: str) -> SyncRecord:
        """Note where a run keeps rejected rows, and whose write key seals them.

        :param folder: empty where none are kept.
        """
        former = [known for known in (*self.former_rejects, self.rejects) if known != folder]
        # A folder that was named again is no former one, and the latest come last.
        former = list(dict.fromkeys(reversed([known for known in former if known])))
        return replace(
            self,
            rejects=folder,
            segment_conn_id=segment_conn_id,
            former_rejects=tuple(reversed(former[:MOST_FORMER_FOLDERS])),
        )

    @property
    def latest(self) -> str:
        """The newest window that was reported or sent; empty where none was."""
        return self.sent if _is_later(self.sent, than=self.newest) else self.newest

    def is_beyond(self, end: datetime) -> bool:
        """Whether a newer window than one that ends so was reported or sent."""
        return _is_later(self.latest, than=end.isoformat())

    def overtakes(self, end: datetime, *, known: str | None) -> bool:
        """Whether a newer window than one that ends so was reported or sent meanwhile.

        :param known: the latest window when somebody last asked; ``None`` where nobody noted it.
        """
        return known not in (None, self.latest) and self.is_beyond(end)

    def sending(self, end: str) -> SyncRecord:
        """Note that Segment has, or may have, something of a run.

        :param end: of its window.
        """
        return replace(self, sent=end) if _is_later(end, than=self.latest) else self

    def check_window(self, end: datetime, *, where: str, sync_id: str) -> None:
        """Refuse to overwrite what a newer window has said of its users.

        :param end: of the run's window.
        :raises PermanentError: when a newer window was reported, or sent by a run without a report.
        """
        if not self.is_beyond(end):
            return
        raise PermanentError(
            f"{where}: a full run of sync {sync_id!r}",
            should=f"stand for {self.latest} or later",
            but=f"it stands for {end.isoformat()}, and would overwrite newer traits",
            do='Nothing was sent. mode="changed" sends an older window only where nothing newer '
            "is known; allow_older=True sends it all the same.",
        )

    def overlap(self, newest: str | None, end: str) -> str:
        """Say whether a full run of another window was reported while one was under way.

        Runs that knowingly go back in time leave the newest window as it is, and are not seen.

        :param newest: the newest window that was reported when the run began.
        :param end: of the run's window.
        """
        if newest is None or self.newest in (newest, end):
            return ""
        return (
            f"the window {self.newest} was reported while this run of {end} was under way, and "
            "Segment keeps no order among their messages: whoever is in both may have the older "
            "traits now. Run the newest window again, and set max_active_runs=1"
        )

    def reported(self, end: str) -> SyncRecord:
        """Note that a run has sent something.

        :param end: of its window.
        """
        return self if _is_later(self.newest, than=end) else replace(self, newest=end)


def _is_later(end: str, *, than: str) -> bool:
    if not end or not than:
        return bool(end)
    return datetime.fromisoformat(end) > datetime.fromisoformat(than)
