"""What a run may do, given the history of its sync: asked before the query runs.

An operator's arguments and the sync's record enter, a :class:`RunHistory` leaves, or an error that
says what to do instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, cast, get_args

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core import contract
from airflow_provider_looker_segment.core.identity import fingerprint
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.query import RunQuery
from airflow_provider_looker_segment.core.snapshot import Mode, OnLeave, Rules, microseconds
from airflow_provider_looker_segment.core.sync import SyncRecord, how_to_reset
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.operators.history import RunHistory, open_store, run_of
from airflow_provider_looker_segment.stores.generations import source_of
from airflow_provider_looker_segment.stores.syncs import SyncStore

if TYPE_CHECKING:
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

_MODES = ("full", *get_args(Mode))


def plan_history(
    operator: LookerRunLookOperator,
    ti: Any,
    *,
    planned: Plan,
    query: RunQuery,
    manifest: Manifest,
    segment: SegmentSettings,
) -> RunHistory:
    """Find out what a run may do, and note it in its manifest.

    :param query: what Looker will be asked for.
    :param manifest: mode, contract and the snapshot's place are written into it.
    :raises PermanentError: when the history of the sync forbids the run.
    """
    sync = SyncStore(manifest.sync_id)
    record = sync.read()
    rules = _rules(operator, planned)
    manifest.segment_conn_id = segment.conn_id
    manifest.mode = rules.mode if rules is not None else "full"
    manifest.latest = record.latest
    asked = arguments.expressions("filters", operator.filters)
    manifest.contract = _contract(operator, record, planned, asked, manifest=manifest, rules=rules)
    end = datetime.fromisoformat(str(manifest.window["end"]))
    if manifest.rejects_folder and not manifest.dry_run:
        # Whoever forgets somebody looks there, though the run is stopped and never reported.
        sync.update(lambda known: known.keeping(manifest.rejects_folder, segment.conn_id))
    store = None
    whose: dict[str, Any] = {}
    if rules is None:
        if not manifest.dry_run:
            manifest.newest = record.newest
            manifest.allow_older = arguments.flag("allow_older", operator.allow_older)
            check_full(
                record,
                end,
                where=planned.look.where,
                sync_id=manifest.sync_id,
                allow_older=manifest.allow_older,
            )
    else:
        place = arguments.snapshot(operator.snapshot)
        if not place:
            raise PermanentError(
                f"Argument `snapshot`, mode {rules.mode!r}:",
                should="say where to keep what Segment accepted",
                but="it is empty",
                do='Write an address such as "s3://conn_id@bucket/folder".',
            )
        source = source_of(segment.host, segment.conn_id, segment.source)
        store = open_store(
            sync,
            place,
            look_id=planned.look.id,
            source=source,
            remembered=record.generation,
        )
        manifest.history = {"snapshot": place, "source": source, "run": run_of(ti)}
        whose = {"look_id": planned.look.id, "source": source, "snapshot": place}
    return RunHistory(
        sync=sync,
        record=record,
        rules=rules,
        store=store,
        place=whose,
        window=microseconds(end),
        complete=query.row_limit == -1 and _asks_for_all(asked, manifest.contract),
        filters=SyncRecord(contract=manifest.contract).about if _is_first(record) else None,
        is_dry_run=manifest.dry_run,
        ti=ti,
    )


def check_limit(operator: LookerRunLookOperator, planned: Plan, *, sync_id: str) -> None:
    """Name the old limit of a Look where somebody chose another one, before it is refused as such.

    :raises PermanentError: when the Look is not what its sync relies on.
    """
    now = _relied_on(operator, planned)
    if not now["limit"] or arguments.flag("accept_changes", operator.accept_changes):
        return
    pinned = SyncStore(sync_id).read().contract
    if pinned is not None:
        contract.check(pinned, now, where=planned.look.where)


def _relied_on(operator: LookerRunLookOperator, planned: Plan) -> dict[str, Any]:
    return contract.contract(planned, row_limit=arguments.row_limit(operator.row_limit))


def _rules(operator: LookerRunLookOperator, planned: Plan) -> Rules | None:
    mode = arguments.choice("mode", operator.mode, _MODES)
    on_leave = arguments.choice("on_leave", operator.on_leave, get_args(OnLeave))
    if mode == "full":
        return None
    trait = arguments.text_of("membership_trait", operator.membership_trait)
    rules = Rules(
        cast("Mode", mode), cast("OnLeave", on_leave), trait or f"in_cohort_{planned.look.id}"
    )
    rules.check([name for name, _ in planned.traits], where=planned.look.where)
    return rules


def _contract(
    operator: LookerRunLookOperator,
    record: SyncRecord,
    planned: Plan,
    asked: dict[str, str],
    *,
    manifest: Manifest,
    rules: Rules | None,
) -> dict[str, Any]:
    """Compare the Look with what the sync relies on; return what it relies on from now on."""
    leaving = (record.contract or {}).get("leaving")
    if rules is not None and rules.mirrors:
        by_trait = rules.on_leave == "membership"
        leaving = f"membership_trait {rules.trait}" if by_trait else "on_leave clear"
    now = {**_relied_on(operator, planned), **_pinned_filters(asked), "leaving": leaving}
    # A filter that somebody chose for one run is no part of what the sync is about.
    pinned = {**now, **_first_filters(record, asked)}
    if arguments.flag("accept_changes", operator.accept_changes):
        if manifest.mode == "mirror" and not _asks_for_all(asked, pinned):
            manifest.warnings.append(
                f"{planned.look.where}: accept_changes=True makes the `filters` of this run those "
                "of its sync: whoever they leave out leaves. If they were meant for one run, run "
                "it again without them, with accept_changes=True"
            )
        return now
    if record.contract is not None:
        manifest.warnings += contract.check(record.contract, now, where=planned.look.where)
    return pinned


def _first_filters(record: SyncRecord, asked: dict[str, str]) -> dict[str, Any]:
    """Return the filters that a sync is about."""
    if record.about is not None:
        return record.about
    # Where an earlier version has sent something and noted no filters, nothing is certain.
    return _pinned_filters(asked if _is_first(record) else {})


def _is_first(record: SyncRecord) -> bool:
    """Whether nobody has noted what the sync is about, and nobody is known."""
    return record.about is None and not record.generation


def _pinned_filters(asked: dict[str, str]) -> dict[str, Any]:
    parts = [part for pair in sorted(asked.items()) for part in pair]
    return {"run_filters": sorted(asked), "run_filters_digest": fingerprint(*parts).hex()}


def _asks_for_all(asked: dict[str, str], pinned: dict[str, Any]) -> bool:
    """Whether a run's own filters are those that its sync is about."""
    mine = _pinned_filters(asked)
    digest = pinned["run_filters_digest"] or mine["run_filters_digest"]
    return mine == {"run_filters": pinned["run_filters"], "run_filters_digest": digest}


def check_full(
    record: SyncRecord, end: datetime, *, where: str, sync_id: str, allow_older: bool
) -> None:
    """Refuse a full run that would contradict what its sync has sent.

    :param end: of the run's window.
    :param allow_older: whether it may overwrite what a newer window has said.
    :raises PermanentError: when the sync has a snapshot, or has reported a newer window.
    """
    if record.generation:
        raise PermanentError(
            f"{where}: the sync {sync_id!r}",
            should='run in mode "changed" or "mirror"',
            but="this run is full, and the snapshot would no longer say what Segment holds",
            do="Nothing was sent. Give full runs a sync_id of their own, or reset the sync. "
            + how_to_reset(sync_id),
        )
    if not allow_older:
        record.check_window(end, where=where, sync_id=sync_id)
