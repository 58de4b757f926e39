"""What a guard stopped waits for somebody, and is sent as it is or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.hazards.cohorts import (
    MODES,
    Open,
    green,
    maintain,
    users,
)
from tests.hazards.conftest import BATCH
from tests.hazards.flow import MOMENT, connect

SYNC = "adhoc_airflow/1"
"""What a sync is called where nobody names it or its DAG."""


@pytest.mark.parametrize("mode", ["full", "membership"])
def test_a_stopped_run_can_be_approved(begin: Open, mode: str) -> None:
    """Exactly what it would have sent is sent, whatever the Look says by then."""
    choices = MODES.get(mode, {"mode": "full"})
    green(begin(0, users(1, 2, 3, 4), **choices))
    limits = {"max_leavers": 0, "max_messages": 1}
    held = begin(1, users(1, 2, note="new"), **{**choices, "guards": limits}).run()
    assert "failed" == held.states["extract"]
    assert held.xcoms.chunks()

    flow = green(begin(2, users(9), **choices, approve=held.run_id))

    assert ["new", "n"] == [flow.profiles[user]["note"] for user in ("u-1", "u-3")]
    assert "u-9" not in flow.profiles
    assert mode == "full" or flow.profiles["u-3"]["in_cohort"] is False
    assert held.xcoms.chunks() == []
    (warning,) = [one for one in flow.books["warnings"] if "overruled" in one]
    assert warning.endswith(("but they are 4.", "but they are 2."))
    assert (MOMENT + timedelta(days=1)).isoformat() == flow.books["window"]["end"]
    again = begin(2, users(9), **choices, approve=held.run_id).run()
    assert "approved already" in str(again.errors["extract"])
    after = green(begin(1, users(1, 2, note="new"), **{**choices, "guards": {}}))
    assert mode == "full" or 0 == after.books["messages"]


@pytest.mark.parametrize("switch", ["argument", "connection"])
def test_an_approval_that_may_not_send_is_refused(
    begin: Open, sandbox: Any, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    """Neither is anything sent, nor is what waits used up."""
    held = begin(1, users(1), guards={"min_rows": 2}).run()
    with monkeypatch.context() as patch:
        if switch == "connection":
            connect(patch, sandbox, extra={"send": False})
        dry = begin(2, {}, approve=held.run_id, dry_run=switch == "argument").run()

    assert "still waits" in str(dry.errors["extract"])
    assert 0 == dry.record["requests"]
    assert held.xcoms.chunks()
    assert {"u-1"} == set(green(begin(2, {}, approve=held.run_id)).profiles)


def test_an_approval_does_not_go_back_in_time(begin: Open, sandbox: Any) -> None:
    """What a newer window has said meanwhile, even in a red run, is not overwritten unasked."""
    full = {"mode": "full"}
    held = begin(1, users(1, note="old"), **full, guards={"min_rows": 2}).run()
    sandbox.segment_faults.add("poison", pattern='"u-2"', path=BATCH, times=-1)
    assert {"report"} == set(begin(2, users(1, 2, note="new"), **full).run().errors)
    late = begin(3, {}, **full, approve=held.run_id).run()

    assert "would overwrite newer traits" in str(late.errors["extract"])
    assert "new" == late.profiles["u-1"]["note"]
    insisted = green(begin(3, {}, **full, approve=held.run_id, allow_older=True))
    assert "old" == insisted.profiles["u-1"]["note"]


@pytest.mark.parametrize("is_reported", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_an_approval_does_not_undo_a_newer_run_that_is_red(
    begin: Open, sandbox: Any, mode: str, *, is_reported: bool
) -> None:
    """Who is in the Look again is not told to have left by what was stopped before."""
    choices = MODES[mode]
    green(begin(0, users(1, 2, 3), **choices))
    limits = {"max_leavers": 0, "max_messages": 1}
    held = begin(1, users(1, note="old"), **{**choices, "guards": {**limits, "min_rows": 2}}).run()
    sandbox.segment_faults.add("poison", pattern='"u-3"', path=BATCH, times=-1)
    newer = begin(2, users(1, 2, 3, note="new"), **choices).extract().identify()
    newer.is_over = True
    assert not is_reported or newer.report().errors
    before = newer.profiles

    late = begin(3, {}, **choices, approve=held.run_id).run()

    assert "was sent since it was stopped" in str(late.errors["extract"])
    assert before == late.profiles
    insisted = begin(3, {}, **choices, approve=held.run_id, allow_older=True).extract()
    assert {} == insisted.errors


def test_full_does_not_go_back_behind_what_was_never_reported(begin: Open, sandbox: Any) -> None:
    """What a run has sent counts, also when Airflow ends it before its report."""
    waiting = begin(0, users(1, note="0"), mode="full").extract()
    begin(2, users(1, note="2"), mode="full").extract().identify().is_over = True

    older = begin(1, users(1, note="1"), mode="full").run()
    waiting.identify().report()

    assert "would overwrite newer traits" in str(older.errors["extract"])
    assert "was sent while this run" in str(waiting.errors["identify[0]"])
    assert "2" == older.profiles["u-1"]["note"]
    sandbox.segment_faults.add("status", status=401, path=BATCH, times=1)
    # What never arrived is not newer.
    begin(4, users(1, note="4"), mode="full").run()
    assert "3" == green(begin(3, users(1, note="3"), mode="full")).profiles["u-1"]["note"]


def test_an_approval_does_not_pass_a_snapshot_by(begin: Open, sandbox: Any) -> None:
    """A full run that waited while the sync was given a snapshot is not delivered."""
    held = begin(2, users(1, note="full"), mode="full", guards={"min_rows": 2}).run()
    sandbox.segment_faults.add("poison", pattern='"u-2"', path=BATCH, times=-1)
    assert {"report"} == set(begin(1, users(1, 2)).run().errors)
    late = begin(3, {}, mode="full", approve=held.run_id).run()

    assert "sync_id of their own" in str(late.errors["extract"])
    assert "n" == late.profiles["u-1"]["note"]


def test_a_green_run_ends_the_wait_for_approval(begin: Open) -> None:
    """What a later run has sent is not to be undone by an earlier one's chunks."""
    held = begin(1, users(1), guards={"min_rows": 2}).run()
    assert held.xcoms.chunks()
    green(begin(2, users(1, 2)))

    assert [] == held.xcoms.chunks()
    late = begin(3, users(1), approve=held.run_id).run()
    assert "later run was green" in str(late.errors["extract"])


def test_another_stopped_run_takes_its_place(begin: Open) -> None:
    """Only the last one waits, and the chunks of the one before are gone."""
    first = begin(1, users(1), guards={"min_rows": 2}).run()
    second = begin(2, users(2), guards={"min_rows": 2}).run()

    assert [] == first.xcoms.chunks()
    assert second.xcoms.chunks()
    flow = green(begin(3, {}, approve=second.run_id))
    assert {"u-2"} == set(flow.profiles)


def test_a_stopped_run_that_was_cleared_is_another(begin: Open) -> None:
    """Whoever approves means what they have seen."""
    held = begin(1, users(1), guards={"min_rows": 2}).run()
    held.clear("extract")
    held.choices["guards"] = {}
    held.run()
    late = begin(2, {}, approve=held.run_id).run()

    assert "approve" in str(late.errors["extract"])


def test_a_run_that_was_stopped_during_another_still_waits(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who began before does not sweep it up."""
    from airflow.sdk import Variable

    held = begin(1, users(1), guards={"min_rows": 2})
    other = begin(2, users(1))
    read = Variable.get

    def stopped_meanwhile(key: str, default: Any = None) -> Any:
        found = read(key, default)
        if "_sync_" in key and not held.states:
            held.run()
        return found

    monkeypatch.setattr(Variable, "get", stopped_meanwhile)
    other.extract()
    assert "success" == other.states["extract"]

    green(begin(3, {}, approve=held.run_id))


@pytest.mark.parametrize("mode", ["full", "changed"])
def test_what_is_being_delivered_is_not_taken_away(begin: Open, mode: str) -> None:
    """Neither by a green run nor by one that a guard stops."""
    held = begin(1, users(1, note="old"), mode=mode, guards={"min_rows": 2}).run()
    assert held.run_id == maintain(held, "show", sync_id=SYNC)["waits_for_approval"]
    late = begin(3, {}, mode=mode, approve=held.run_id).extract()
    assert maintain(held, "show", sync_id=SYNC)["waits_for_approval"] is None
    green(begin(1, users(2, 3), mode=mode))
    begin(2, users(4), mode=mode, guards={"min_rows": 2}).run()
    late.identify().report()

    assert {} == late.errors
    assert "old" == late.profiles["u-1"]["note"]
    assert [] == held.xcoms.chunks()


def test_a_run_that_is_stopped_twice_still_waits(begin: Open) -> None:
    """A try that was killed after the guard had spoken is followed by another."""
    held = begin(1, users(1), guards={"min_rows": 2}).extract()
    held.run()

    assert {"u-1"} == set(green(begin(2, {}, approve=held.run_id)).profiles)


def test_a_stopped_run_that_reads_anew_no_longer_waits(begin: Open) -> None:
    """Its chunks are gone, and what it had decided has not been sent."""
    first = green(begin(0, users(1)))
    held = begin(1, users(1, 2), guards={"min_rows": 3}).run()
    assert held.run_id == maintain(first, "show")["waits_for_approval"]
    held.clear("extract")
    held.choices["guards"] = {}
    held.extract()
    assert "success" == held.states["extract"], held.errors

    said = maintain(first, "show")
    assert (None, 1) == (said["waits_for_approval"], said["snapshot"]["open_runs"])
    held.identify().report()
    assert 1 == held.books["messages"]
    assert 0 == green(begin(2, users(1, 2))).books["messages"]
