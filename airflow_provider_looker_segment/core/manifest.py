"""What extract knows of its chunks and of the Look, for the tasks after it.

Facts enter while extract runs, plain JSON leaves; no value of a row is among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.guards import NOTHING_SENT
from airflow_provider_looker_segment.core.prepare import envelope
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.exceptions import PermanentError

FORMAT = 1
_SAMPLES = 3


@dataclass(slots=True)
class Manifest:
    """The facts of one extract.

    :param generation: raised by a Clear, the same in every retry.
    :param edition: which reading of the Look this is: another one for each try that reads it.
    :param shared: what all messages have in common.
    :param seal: fingerprint of the write key that seals the chunks.
    :param shows_values: whether somebody asked to see values in the samples of a dry run.
    :param rejects_folder: where rejected rows and messages are kept; empty where they are not.
    :param rejects: where this extract's rejected rows are, and how to see them; empty where there
        are none, or none are kept.
    :param messages: all that are sent: about rows, again, and about leavers.
    :param unchanged: rows that say what Segment has already.
    :param superseded: rows about users of whom a newer window has spoken.
    :param forgotten: rows about users who must not be sent.
    :param resent: messages of earlier runs that are sent again.
    :param left: messages about users who left the Look.
    :param new_users: row messages about users who were never sent; ``None`` where nobody knows.
    :param history: where the snapshot is, whose it is, and what it calls this run.
    :param contract: what the Look was, for the sync to rely on.
    :param stopped: why a guard stopped the run; empty where none did.
    :param segment_conn_id: where the messages go.
    :param newest: in ``full``, the newest window that its sync had reported when the run began,
        empty where there was none; ``None`` where nobody noted it.
    :param latest: the newest window that its sync had reported or sent when the run began, or was
        approved; ``None`` where nobody noted it.
    :param allow_older: in ``full``, whether it may overwrite what newer windows have said.
    :param chunks_run_id: the DAG run whose chunks are delivered; empty is this one.
    """

    look: dict[str, str]
    window: dict[str, str | None]
    sync_id: str
    generation: int
    shared: dict[str, Any]
    seal: str
    dry_run: bool
    warnings: list[str]
    query_id: str = ""
    rows: int = 0
    messages: int = 0
    duplicates: int = 0
    rejected: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)
    destinations: dict[str, Any] = field(default_factory=dict)
    chunks: int = 0
    shards: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)
    shows_values: bool = False
    rejects_folder: str = ""
    rejects: dict[str, Any] = field(default_factory=dict)
    mode: str = "full"
    unchanged: int = 0
    superseded: int = 0
    forgotten: int = 0
    resent: int = 0
    left: int = 0
    new_users: int | None = None
    history: dict[str, Any] = field(default_factory=dict)
    contract: dict[str, Any] = field(default_factory=dict)
    stopped: str = ""
    segment_conn_id: str = ""
    newest: str | None = None
    latest: str | None = None
    allow_older: bool = False
    chunks_run_id: str = ""
    edition: str = ""
    format: int = FORMAT

    @classmethod
    def begin(
        cls,
        *,
        look_id: str,
        look_title: str,
        window_start: datetime | None,
        window_end: datetime,
        window_source: str,
        sync_id: str,
        generation: int,
        edition: str,
        seal: str,
        dry_run: bool,
        shows_values: bool = False,
        version: str,
        warnings: Iterable[str],
    ) -> Manifest:
        """Note what is known before the first row."""
        end = window_end.isoformat()
        return cls(
            look={"id": look_id, "title": look_title},
            window={
                "start": window_start.isoformat() if window_start else None,
                "end": end,
                "source": window_source,
            },
            sync_id=sync_id,
            generation=generation,
            edition=edition,
            shared=envelope(timestamp=end, version=version),
            seal=seal,
            dry_run=dry_run,
            shows_values=shows_values,
            warnings=list(warnings),
        )

    def close(
        self,
        tally: Tally,
        *,
        counts: Mapping[str, int],
        chunks: int,
        shards: int,
        samples: list[dict[str, Any]],
    ) -> None:
        """Note what the rows became.

        :param counts: of what is sent and of what is not, by this manifest's own names; ``sent``
            are the messages about rows.
        """
        self.rows = tally.rows
        self.unchanged = counts.get("unchanged", 0)
        self.superseded = counts.get("superseded", 0)
        self.forgotten = counts.get("forgotten", 0)
        self.resent = counts.get("resent", 0)
        self.left = counts.get("left", 0)
        self.messages = counts.get("sent", 0) + self.resent + self.left
        if self.history:
            self.new_users = counts.get("new", 0)
        self.duplicates = tally.duplicates
        self.rejected = tally.rejected
        self.problems = tally.problems.as_list()
        self.destinations = tally.verdicts.as_dict()
        self.chunks = chunks
        self.shards = shards
        self.samples = samples

    def overrule(self, by: str = "") -> None:
        """Note that somebody approved what a guard stopped.

        :param by: who that was; empty where nobody knows.
        """
        # What the guard said then goes on with what is not true any more, and with what to do.
        found = self.stopped.partition(NOTHING_SENT)[0].strip()
        self.warnings.append(f"A guard was overruled{by and f' by {by}'}. {found}")
        self.stopped = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as plain JSON, for XCom."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Any, *, task_id: str) -> Manifest:
        """Read back what :meth:`as_dict` wrote.

        :param task_id: the task that should have written it.
        :raises PermanentError: when there is none, or it is of another format.
        """
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            found = said.get("format") if isinstance(said, dict) else "gone"
            raise PermanentError(
                f"The manifest of task {task_id!r}",
                should=f"be there, in format {FORMAT}",
                but=f"it is {found!r}",
                do=f"Clear the task {task_id!r} with its downstream tasks.",
            )
        return cls(**said)


class Samples:
    """The first messages of a run, kept with their values masked unless somebody asked for them."""

    def __init__(self) -> None:
        self._lines: list[Line] = []

    def watch(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Hand lines through and remember the first few."""
        for line in lines:
            if len(self._lines) < _SAMPLES:
                self._lines.append(line)
            yield line

    def masked(self, pivot_names: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the remembered messages: every key, and for each value only its kind.

        :param pivot_names: as in :func:`masked`.
        """
        return [masked(body, pivot_names) for body in self.whole()]

    def whole(self) -> list[dict[str, Any]]:
        """Return the remembered messages with their values, for a dry run that asks for them."""
        return [json.loads(line.body) for line in self._lines]


def masked(body: Mapping[str, Any], pivot_names: Mapping[str, str]) -> dict[str, Any]:
    """Return a message's own part with every key, and for each value only its kind.

    Which destinations are on or off is nobody's secret, so that stays.

    :param pivot_names: what stands for the names of traits that hold a pivot's value.
    """
    switches = {
        key: switch if isinstance(switch, bool) else _masked(switch)
        for key, switch in body.get("integrations", {}).items()
    }
    shown = {key: _masked(value) for key, value in body.items()}
    traits = body.get("traits", {})
    shown["traits"] = {pivot_names.get(key, key): _masked(value) for key, value in traits.items()}
    return {**shown, "integrations": switches} if switches else shown


def masked_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's columns, and for each value only its kind.

    Pivots, and the keys of a cell that is an object, are values too: they are numbered.
    """
    return {
        column: {f"({number})": _masked(one) for number, one in enumerate(value.values(), start=1)}
        if isinstance(value, Mapping)
        else _masked(value)
        for column, value in row.items()
    }


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _masked(entry) for key, entry in value.items()}
    if isinstance(value, str):
        return f"text of {len(value)}"
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    return "list" if isinstance(value, list) else "number"
