"""One reading of a Look: the rows of its result become sealed chunks and a manifest.

What is known before the query enters first, the result second, references to shards leave.
Whatever stops the reading also takes back what it has stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_looker_segment.core import prepare
from airflow_provider_looker_segment.core.chunking import Line, pack, shard
from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.guards import Cohort, Guards
from airflow_provider_looker_segment.core.limits import MAX_DATABASE_BYTES
from airflow_provider_looker_segment.core.manifest import Manifest, Samples
from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.plain_rows import PlainRows
from airflow_provider_looker_segment.core.problems import RejectedRow
from airflow_provider_looker_segment.core.query import RunQuery
from airflow_provider_looker_segment.core.rows import Row, RowStream
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.exceptions import GuardError, PermanentError
from airflow_provider_looker_segment.hooks.looker import Answer
from airflow_provider_looker_segment.operators.history import RunHistory
from airflow_provider_looker_segment.operators.progress_log import ProgressLog
from airflow_provider_looker_segment.stores import rejects
from airflow_provider_looker_segment.stores.chunks import (
    MANIFEST_KEY,
    STOPPED_SHARDS_KEY,
    ChunkStore,
    in_object_storage,
    max_packed_bytes,
)


@dataclass(slots=True)
class Extraction:
    """One reading of a Look.

    :param ti: the task instance that reads.
    :param plan: what each column becomes.
    :param requirements: what the chosen destinations need, if any are chosen.
    :param query: what Looker is asked for.
    :param query_id: Looker's id of it.
    :param guards: when to stop.
    :param manifest: what is known before the first row; closed after the last.
    :param store: where chunks go.
    :param history: what the sync has sent before.
    :param rejects: keeps rejected rows, where they are kept.
    :param asks: whether a person is asked about what a guard stopped, instead of failing.
    :param log: the task's log.
    """

    ti: Any
    plan: Plan
    requirements: Requirements | None
    query: RunQuery
    query_id: str
    guards: Guards
    manifest: Manifest
    store: ChunkStore
    history: RunHistory
    rejects: rejects.RejectWriter | None
    asks: bool
    log: Any
    _counts: list[int] = field(default_factory=list, init=False)
    _borders: list[tuple[int, int]] = field(default_factory=list, init=False)
    _stored_bytes: int = field(default=0, init=False)
    _preparation: prepare.Preparation = field(init=False)
    _plain: PlainRows | None = field(default=None, init=False)

    @property
    def where(self) -> str:
        """How messages name the Look."""
        return self.plan.look.where

    def take(self, answer: Answer) -> list[dict[str, Any]]:
        """Read a result to its end, store it and return the shards.

        :raises PermanentError: when the result forbids to send anything, or a guard does and nobody
            is asked.
        :raises TransientError: when the result stops in the middle.
        """
        if PlainRows.suits(self.plan):
            self._plain = PlainRows(self.plan, by_name=self.history.compares)
        rows = RowStream(
            answer.pieces,
            look=self.where,
            content_type=answer.content_type,
            names=self.plan.look.names,
            plain=self._plain.decode if self._plain else None,
        )
        try:
            with self.history:
                tally = self._read(ProgressLog(self.log, "rows").watch(rows))
                self.history.push()
            self._guard(tally)
            self.ti.xcom_push(key=MANIFEST_KEY, value=self.manifest.as_dict())
        except GuardError:
            raise
        except BaseException:
            self._take_back()
            raise
        return self._shards()

    def _take_back(self) -> None:
        """Delete what has been stored; where that fails, the report deletes it."""
        try:
            self.store.delete(len(self._counts))
            self.history.discard()
        except Exception as error:  # noqa: BLE001 - it must not hide what stopped the reading
            self.log.warning(
                "What was stored could not be deleted (%s); the report tries again.",
                type(error).__name__,
            )

    def _read(self, rows: Iterable[Row]) -> Tally:
        """Map, check and store every row, then close the books of this side."""
        samples = Samples()
        # Whoever compares sorts the rows by their users anyway; but whoever keeps rejected rows
        # must know at once whether one is.
        sorts = self.history.compares and not self.rejects
        with SeenUsers() as seen:
            self._preparation = prepare.Preparation(
                self.plan,
                shared=self.manifest.shared,
                seen=None if sorts else seen,
                requirements=self.requirements,
                on_rejected=self._reject,
                plain=self._plain,
            )
            mapped = self._preparation.messages(rows)
            lines = samples.watch(self.history.lines(mapped, self._preparation))
            if self.manifest.dry_run:
                for _ in lines:
                    pass
            else:
                self._store_all(lines)
        tally = self._preparation.tally
        # Before the guards: who is stopped by one needs to see the rows most.
        self._close_rejects()
        self.query.check_row_count(tally.rows, look=self.where)
        self.manifest.close(
            tally,
            counts=self.history.counts,
            chunks=len(self._counts),
            shards=len(shard(self._counts)),
            samples=samples.whole()
            if self.manifest.shows_values
            else samples.masked(self._preparation.pivot_names),
        )
        self.manifest.contract |= self.history.pinned
        self.manifest.warnings += self.history.warnings(self.where)
        self.log.info(
            "%s: %s, %s, %s, %s rejected, %s of %s bytes.",
            self.where,
            counted(tally.rows, "row"),
            counted(self.manifest.messages, "message"),
            counted(tally.duplicates, "duplicate"),
            f"{tally.rejected:,}",
            counted(len(self._counts), "chunk"),
            f"{self._stored_bytes:,}",
        )
        return tally

    def _guard(self, tally: Tally) -> None:
        """Stop a run that breaks a guard; what it would send waits for somebody's approval."""
        cohort = Cohort(
            messages=self.manifest.messages,
            leavers=self.manifest.left + self.history.counts["resent_as_left"],
            users_in=self.history.users_in,
            last_rows=self.history.record.rows,
        )
        try:
            self.guards.check(tally, look=self.where, cohort=cohort)
        except GuardError as error:
            if self.manifest.dry_run:
                raise
            self.manifest.stopped = str(error)
            self.ti.xcom_push(key=MANIFEST_KEY, value=self.manifest.as_dict())
            self.ti.xcom_push(key=STOPPED_SHARDS_KEY, value=self._shards())
            self.history.stop(self.manifest)
            if self.asks:
                self.log.warning("A guard stops this run unless somebody approves it. %s", error)
                return
            self.log.warning(
                "What this run would have sent is kept until the next green run of the sync. To "
                'send exactly that, run the DAG with approve="%s".',
                self.ti.run_id,
            )
            raise

    def _reject(self, number: int, rejected: RejectedRow, row: Row) -> None:
        body = self._preparation.who(row)
        if body and self.history.is_forgotten(body):
            return
        # Whoever has a row is in the Look, whatever is wrong with it.
        if body and self.history.compares:
            self.history.observe(body)
        if self.rejects:
            found = rejects.Reject(number, rejected.code, rejected.column, rejects.cells(row))
            self.rejects.add(found)

    def _close_rejects(self) -> None:
        kept = self.rejects.close() if self.rejects else None
        if kept:
            self.manifest.rejects = kept
            self.log.warning(
                "%s: %s rejected rows are kept for %s days. To see them: %s",
                self.where,
                f"{kept['rows']:,}",
                rejects.TIME_TO_LIVE.days,
                kept["command"],
            )

    def _store_all(self, lines: Iterable[Line]) -> None:
        unlimited = in_object_storage()
        for index, chunk in enumerate(pack(lines, max_bytes=max_packed_bytes())):
            self._counts.append(chunk.messages)
            self._borders.append((chunk.first_row, chunk.last_row))
            self._stored_bytes += self.store.push(index, chunk)
            if not unlimited and self._stored_bytes > MAX_DATABASE_BYTES:
                raise PermanentError(
                    f"{self.where}: its chunks",
                    should=f"take at most {MAX_DATABASE_BYTES:,} bytes of Airflow's database",
                    but=f"{sum(self._counts):,} messages take {self._stored_bytes:,} bytes, "
                    "and there are more",
                    do="Keep XCom values in object storage (docs/scale.md), or narrow the Look.",
                )

    def _shards(self) -> list[dict[str, Any]]:
        """Return references to what each identify task delivers."""
        ranges = shard(self._counts)
        return [
            {
                "task_id": self.ti.task_id,
                "map_index": self.ti.map_index,
                "index": index,
                "of": len(ranges),
                "first_chunk": chunks.start,
                "chunks": len(chunks),
                "messages": sum(self._counts[chunks.start : chunks.stop]),
                "rows": self._rows_of(chunks),
            }
            for index, chunks in enumerate(ranges)
        ]

    def _rows_of(self, chunks: range) -> str:
        first, last = self._borders[chunks.start][0], self._borders[chunks.stop - 1][1]
        return f"{first:,} to {last:,}"
