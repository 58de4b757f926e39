"""What a sync remembers, while several runs of it note something at one moment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_looker_segment.core.sync import StoppedRun, SyncRecord
from airflow_provider_looker_segment.operators.approval import approve
from airflow_provider_looker_segment.stores.syncs import SyncStore
from tests.hazards.cohorts import MODES, Open, green, users

SYNC = {**MODES["membership"], "sync_id": "one"}
TOO_FEW = {"guards": {"min_rows": 9}}


class Others:
    """Other runs of the sync, which note something at the worst moment.

    Each note is another folder of rejected rows, which a forgetting must find.
    """

    def __init__(self, read: Callable[..., Any], write: Callable[..., None]) -> None:
        self._read, self._write = read, write
        self._ours: set[str] = set()
        self.noted: list[str] = []

    def before_a_reading(self, key: str, default: Any = None) -> Any:
        """Note something just before a run reads what is known."""
        if "_sync_" in key:
            self._note(key, self._read(key, default))
        return self._read(key, default)

    def after_a_writing(self, key: str, text: str, **rest: Any) -> None:
        """Overwrite what a run notes, as whoever has read before it does; not when it insists."""
        known = self._read(key, None)
        self._write(key, text, **rest)
        if "_sync_" not in key:
            return
        ours = json.dumps(replace(record_of(text), former_rejects=()).as_dict())
        if ours not in self._ours:
            self._ours.add(ours)
            self._note(key, known)

    def _note(self, key: str, known: str | None) -> None:
        record = record_of(known)
        self.noted.append(f"file:///rejects-{len(self.noted)}")
        record = replace(record, former_rejects=(*record.former_rejects, self.noted[-1]))
        self._write(key, json.dumps(record.as_dict()))


def record_of(text: str | None) -> SyncRecord:
    """Read a record as it is stored."""
    return SyncRecord.from_dict(json.loads(text)) if text else SyncRecord()


def a_first_run(begin: Open) -> Callable[[], None]:
    """It notes what the sync is about, and where its snapshot is."""
    flow = begin(0, users(1, 2), **SYNC, filters={"people.name": "Ty"})

    def work() -> None:
        assert {} == flow.extract().errors
        record = SyncStore("one").read()
        assert record.about is not None
        assert ["people.name"] == record.about["run_filters"]
        assert record.snapshot

    return work


def a_run_that_a_guard_stops(begin: Open) -> Callable[[], None]:
    """It waits in place of an earlier one."""
    green(begin(0, users(1, 2), **SYNC))
    begin(1, users(1, 2), **SYNC, **TOO_FEW).run()
    flow = begin(2, users(1, 2), **SYNC, **TOO_FEW)

    def work() -> None:
        flow.run()
        stopped = SyncStore("one").read().stopped
        assert stopped is not None
        assert stopped.run_id == flow.run_id

    return work


def a_stopped_run_that_reads_anew(begin: Open) -> Callable[[], None]:
    """It no longer waits."""
    green(begin(0, users(1, 2), **SYNC))
    flow = begin(1, users(1, 2), **SYNC, **TOO_FEW).run()
    flow.clear("extract")
    flow.choices["guards"] = {}

    def work() -> None:
        assert "success" == flow.extract().states["extract"]
        assert SyncStore("one").read().stopped is None

    return work


def a_run_that_is_approved(begin: Open) -> Callable[[], None]:
    """It is known who delivers it, and after that it no longer waits."""
    green(begin(0, users(1, 2), **SYNC))
    held = begin(1, users(1, 2, note="new"), **SYNC, **TOO_FEW).run()
    flow = begin(2, {}, **SYNC, approve=held.run_id)

    def work() -> None:
        flow.extract()
        stopped = SyncStore("one").read().stopped
        assert stopped is not None
        assert stopped.approved_by == flow.run_id
        assert {} == flow.identify().report().errors
        assert SyncStore("one").read().stopped is None

    return work


@pytest.mark.parametrize("moment", ["before_a_reading", "after_a_writing"])
@pytest.mark.parametrize(
    "scene",
    [a_first_run, a_run_that_a_guard_stops, a_stopped_run_that_reads_anew, a_run_that_is_approved],
)
def test_notes_of_one_moment_all_stay(
    begin: Open,
    monkeypatch: pytest.MonkeyPatch,
    scene: Callable[[Open], Callable[[], None]],
    moment: str,
) -> None:
    """Neither does a run undo what others note meanwhile, nor is its own note undone."""
    from airflow.sdk import Variable

    work = scene(begin)
    others = Others(Variable.get, Variable.set)
    with monkeypatch.context() as patch:
        patch.setattr(
            Variable, "get" if moment == "before_a_reading" else "set", getattr(others, moment)
        )
        work()

    record = SyncStore("one").read()
    assert others.noted
    assert set(others.noted) <= {record.rejects, *record.former_rejects}


def test_a_run_that_two_approve_at_one_moment_is_delivered_once(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes second is told, and sends nothing."""
    from airflow.sdk import Variable

    held = begin(1, users(1, 2), **SYNC, **TOO_FEW).run()
    first, second = (begin(2, {}, **SYNC, approve=held.run_id) for _ in range(2))
    read, once = Variable.get, [first]

    def meanwhile(key: str, default: Any = None) -> Any:
        found = read(key, default)
        if "_sync_" in key and once:
            once.pop().extract()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Variable, "get", meanwhile)
        second.extract()
    assert "still wait" in str(second.errors["extract"])
    assert {} == first.identify().report().errors
    assert 2 == first.record["accepted"]


class Shared:
    """Airflow's variables, which a run may be slow to write."""

    def __init__(self, texts: dict[str, str], *, slow_s: float) -> None:
        self._texts = texts
        self._slow_s = slow_s

    def get(self, key: str) -> str | None:
        """Return a variable's text."""
        return self._texts.get(key)

    def set(self, key: str, text: str, description: str) -> None:
        """Write a variable's text, once the time has passed."""
        assert description
        time.sleep(self._slow_s)
        self._texts[key] = text


@pytest.mark.parametrize("slow_s", [0.0, 0.1, 0.2])
def test_of_two_who_approve_a_run_one_delivers_it(slow_s: float) -> None:
    """Even where the one has noted it before the other's note arrives."""
    texts: dict[str, str] = {}
    stopped = StoppedRun("dag", "held", "extract", -1, 1, 1, "run")
    SyncStore("one", Shared(texts, slow_s=0)).write(SyncRecord(stopped=stopped))

    def give(run_id: str, slow_s: float) -> bool:
        sync = SyncStore("one", Shared(texts, slow_s=slow_s))
        return approve(sync, stopped, SimpleNamespace(run_id=run_id))

    with ThreadPoolExecutor(2) as pool:
        given = list(pool.map(give, ["first", "second"], [slow_s, 0.0]))
    assert sorted(given) == [False, True]
    approved = SyncStore("one", Shared(texts, slow_s=0)).read().stopped
    assert approved is not None
    assert approved.approved_by == ("first" if given[0] else "second")
