"""Chunks that may hold a forgotten user: those of runs that no report has ended."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment.stores.syncs import SyncStore
from tests.hazards.cohorts import (
    Open,
    green,
    maintain,
    users,
)
from tests.hazards.conftest import RESULT
from tests.hazards.flow import Place


@pytest.mark.parametrize("mode", ["full", "changed"])
@pytest.mark.parametrize("lost", [(), ("manifest",)], ids=["ended", "killed"])
def test_chunks_of_a_run_that_will_not_be_reported_are_deleted(
    begin: Open, mode: str, lost: tuple[str, ...]
) -> None:
    """Airflow has ended it, after extract or within; what it would have sent can be read again."""
    first = green(begin(0, users(1, 2), mode=mode))
    dead = begin(1, users(1, 2, note="new"), mode=mode).extract()
    for key in lost:
        del dead.xcoms.texts["extract", -1, key]
    dead.is_over = True

    said = maintain(first, "forget", "u-2")

    assert [] == dead.xcoms.chunks()
    assert ([{"dag_id": "hazards", "run_id": dead.run_id}], []) == (
        said["deleted_chunks"],
        said["open_runs"],
    )
    assert "`deleted_chunks`" in said["says"]
    assert [] == maintain(first, "forget", "u-1")["deleted_chunks"]
    before = len(first.sent)
    dead.is_over = False
    dead.clear("extract")
    green(dead)
    assert [] == first.sent[before:]
    assert 2 == dead.books["forgotten"]


def test_chunks_of_a_run_that_goes_on_are_told_of_until_it_is_reported(begin: Open) -> None:
    """Others are in them too; whoever forgets somebody learns which runs to look at."""
    first = green(begin(0, users(1, 2), mode="full"))
    flow = begin(1, users(1, 2, note="new"), mode="full").extract()

    said = maintain(first, "forget", "u-2")

    assert [{"dag_id": "hazards", "run_id": flow.run_id}] == said["open_runs"]
    assert "`open_runs`" in said["says"]
    assert flow.xcoms.chunks()
    assert {} == flow.identify().report().errors
    assert [] == SyncStore(first.books["sync_id"]).unreported()
    after = maintain(first, "forget", "u-2")
    assert ([], []) == (after["open_runs"], after["deleted_chunks"])
    assert "_runs`" not in after["says"]


@pytest.mark.parametrize("ends", ["failed", "stopped"])
def test_runs_that_left_no_chunks_are_not_told_of(begin: Open, sandbox: Any, ends: str) -> None:
    """What a failed extract had stored is gone; what waits for approval is deleted as such."""
    first = green(begin(0, users(1, 2), mode="full"))
    if ends == "failed":
        flow = begin(1, users(1, 2), mode="full")
        sandbox.looker_faults.clear()
        sandbox.looker_faults.add("body", body='{"data":[', path=RESULT, times=1)
        flow.extract()
    else:
        flow = begin(1, users(1, 2, 3), mode="full", guards={"max_messages": 1}).extract()
    assert "extract" in flow.errors
    assert [] == SyncStore(first.books["sync_id"]).unreported()

    said = maintain(first, "forget", "u-2")

    assert ([], []) == (said["open_runs"], said["deleted_chunks"])
    assert [] == flow.xcoms.chunks()


def test_chunks_go_when_the_run_that_was_to_deliver_them_is_over(begin: Open) -> None:
    """Until then the answer names that run, which sends nothing about who was forgotten."""
    first = green(begin(0, users(1, 2)))
    held = begin(1, users(1, 2, 3, note="new"), guards={"max_messages": 1}).run()
    flow = begin(2, {}, approve=held.run_id).extract()

    before = maintain(first, "forget", "u-2")
    assert held.xcoms.chunks()
    flow.is_over = True
    after = maintain(first, "forget", "u-1")

    assert [] == held.xcoms.chunks()
    assert ([flow.run_id], []) == ids_of(before)
    assert ([], [held.run_id]) == ids_of(after)
    assert ([], []) == ids_of(maintain(first, "forget", "u-1"))


def test_a_note_that_came_back_takes_no_chunks_from_who_delivers_them(begin: Open) -> None:
    """A run that notes itself while another one is stopped may write the note of that again."""
    first = green(begin(0, users(1, 2)))
    held = begin(1, users(1, 2, 3, note="new"), guards={"max_messages": 1}).run()
    sync = SyncStore(first.books["sync_id"])
    stopped = sync.read().stopped
    assert stopped is not None
    sync.note_chunks(stopped.about)
    flow = begin(2, {}, approve=held.run_id).extract()

    said = maintain(first, "forget", "u-2")

    assert ([flow.run_id], []) == ids_of(said)
    assert [] == sync.unreported()
    assert {} == flow.identify().report().errors
    assert {"u-1": "new", "u-2": "n", "u-3": "new"} == {
        user: traits["note"] for user, traits in flow.profiles.items()
    }


def test_chunks_that_an_approval_waits_for_in_vain_are_told_of(begin: Open) -> None:
    """To clear the task that took them over would find none again."""
    first = green(begin(0, users(1, 2)))
    held = begin(1, users(1, 2, 3, note="new"), guards={"max_messages": 1}).run()
    flow = begin(2, {}, approve=held.run_id).extract()
    flow.is_over = True
    maintain(first, "forget", "u-2")

    flow.identify()

    assert "run the Look again without `approve`" in str(flow.errors["identify[0]"])


@pytest.mark.parametrize("moment", range(4, 10))
def test_a_run_that_is_stopped_while_a_user_is_forgotten_is_found(
    begin: Open, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Whichever variable is read next: its chunks go, or it is told of and goes with the next."""
    from airflow.sdk import Variable

    first = green(begin(0, users(1, 2)))
    sync = SyncStore(first.books["sync_id"])
    held = begin(1, users(1, 2, 3, note="new"), guards={"max_messages": 1})
    # It has noted itself and asked who was forgotten before anybody was.
    about = {"dag_id": "hazards", "task_id": "extract", "map_index": -1}
    sync.note_chunks({**about, "run_id": held.run_id})
    read, reads = Variable.get, []

    def of_before(key: str, default: Any = None) -> Any:
        return default if "_forgotten_" in key else read(key, default)

    def get(key: str, default: Any = None) -> Any:
        reads.append(key)
        if len(reads) == moment + 1:
            with monkeypatch.context() as patch:
                patch.setattr(Variable, "get", of_before)
                held.extract()
        return read(key, default)

    monkeypatch.setattr(Variable, "get", get)
    said = maintain(first, "forget", "u-2")

    assert "guards.max_messages" in str(held.errors["extract"])
    if held.xcoms.chunks():
        assert [held.run_id] == ids_of(said)[0]
        assert "or a guard stops it" in said["says"]
        maintain(first, "forget", "u-2")
    assert [] == held.xcoms.chunks()
    assert sync.read().stopped is None


def ids_of(said: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Which runs go on, and of which the chunks were deleted."""
    open_runs, deleted = (
        [run["run_id"] for run in said[name]] for name in ("open_runs", "deleted_chunks")
    )
    return open_runs, deleted


def test_a_first_run_is_known_before_it_has_sent_anything(begin: Open) -> None:
    """Whoever is forgotten meanwhile gets no message by it."""
    flow = begin(0, users(1, 2), mode="full", sync_id="one").extract()

    said = maintain(flow, "forget", "u-2", sync_id="one")

    assert 1 == len(said["open_runs"])
    assert {} == flow.identify().report().errors
    assert ["u-1"] == [message["userId"] for message in flow.sent]


def test_a_run_is_noted_before_its_first_chunk_is_stored(begin: Open) -> None:
    """Else a worker could be killed in between, and nobody would know of the chunk."""
    noted: list[Any] = []

    class Table(dict[Place, str]):
        """Airflow's table of XComs."""

        def __setitem__(self, place: Place, text: str) -> None:
            if place[-1] == "chunk_00000":
                noted.extend(SyncStore("one").unreported())
            super().__setitem__(place, text)

    flow = begin(0, users(1), mode="full", sync_id="one")
    flow.xcoms.texts = Table()
    flow.extract()

    assert [flow.run_id] == [about["run_id"] for about in noted]


def test_a_dry_run_notes_nothing(begin: Open) -> None:
    """It stores no chunks."""
    flow = begin(0, users(1), mode="full", sync_id="one", is_dry_run=True).extract()

    with pytest.raises(Exception, match="nothing is known of it"):
        maintain(flow, "forget", "u-1", sync_id="one")
