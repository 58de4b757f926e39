"""Syncs with a history, in whole runs: what a run sends after others, whatever happened to them."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_looker_segment.stores.syncs import SyncStore
from tests.hazards.cohorts import (
    MODES,
    Open,
    forget_fields,
    green,
    in_order,
    users,
)
from tests.hazards.conftest import BATCH, SMALL_BATCHES
from tests.hazards.flow import Flow


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.usefixtures("clock")
def test_backfills_converge(begin: Open, sandbox: Any, mode: dict[str, Any], seed: int) -> None:
    """In any order, with faults, overlaps and runs that die, profiles are the in-order fold.

    Cohorts burst and vanish, ids are floats, traits come and go.
    """
    chance = random.Random(seed)
    days = list(range(6))
    sizes = [12, 3, 0, 40, 5, chance.choice([0, 8])]
    cohorts = {
        day: {
            float(user) if user % 2 else f"u-{user}": {
                "note": chance.choice(["a", "b", None]),
                "email": chance.choice([f"{user}@example.com", None]),
            }
            for user in chance.sample(range(1, 45), sizes[day])
        }
        for day in days
    }
    work = days + chance.sample(days, 3)
    chance.shuffle(work)
    unfinished: set[int] = set()
    waiting: list[Flow] = []
    for day in work:
        flow = begin(day, cohorts[day], max_messages_per_second=SMALL_BATCHES, **mode)
        kind = chance.choice(["well", "well", "overlaps", "dies", "lost", "fails"])
        if kind == "lost":
            sandbox.segment_faults.add("lost_answer", path=BATCH, after=1, times=1)
        if kind == "fails":
            sandbox.segment_faults.add("status", status=401, path=BATCH, after=1, times=1)
        flow.extract()
        if kind == "overlaps":
            waiting.append(flow)
            continue
        flow.identify()
        if kind == "dies":
            flow.is_over = True
            unfinished.add(day)
            continue
        flow.report()
        if flow.errors:
            unfinished.add(day)
        for late in waiting:
            late.identify().report()
        waiting = []
    for late in waiting:
        late.identify().report()
    sandbox.segment_faults.clear()
    for day in sorted(unfinished, key=lambda _: chance.random()):
        green(begin(day, cohorts[day], **mode))
    last = green(begin(days[-1], cohorts[days[-1]], **mode))

    assert in_order(cohorts, mode) == last.profiles


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_nothing_is_sent_twice_that_is_known(begin: Open, mode: dict[str, Any]) -> None:
    """The same cohort again costs no call, and the report says so."""
    first = green(begin(0, users(1, 2, 3), **mode))
    again = green(begin(1, users(3, 2, 1), **mode))

    assert (3, 3, 0) == tuple(
        first.books[name] for name in ("accepted", "new_users", "saved_calls")
    )
    assert (0, 0, 3, 3) == tuple(
        again.books[name] for name in ("messages", "new_users", "unchanged", "saved_calls")
    )
    assert 1 == first.record["requests"]


def test_an_older_row_is_superseded(begin: Open) -> None:
    """What a newer window has said stays, and the books tell."""
    green(begin(1, users(1, note="new")))
    older = green(begin(0, users(1, 2, note="old")))

    assert (1, 1, 1) == tuple(older.books[name] for name in ("superseded", "messages", "new_users"))
    assert ["new", "old"] == [older.profiles[user]["note"] for user in ("u-1", "u-2")]


def test_a_rejected_row_does_not_leave(begin: Open) -> None:
    """Who has a row is in the Look, whatever is wrong with it."""
    mode = {**MODES["membership"], "guards": {"max_leavers": 0, "max_rejected": 1}}
    green(begin(0, users(1, 2), **mode))
    after = green(begin(1, {**users(1), "u-2": {"note": ["a", "list"]}}, **mode))

    assert (1, 0) == (after.books["rejected"], after.books["left"])
    assert [True, True] == [after.profiles[user]["in_cohort"] for user in ("u-1", "u-2")]


@pytest.mark.parametrize("choice", [{"row_limit": "10"}, {"filters": {"people.name": "Ty"}}])
def test_nobody_leaves_by_a_part_of_the_look(begin: Open, choice: dict[str, Any]) -> None:
    """A limit, or filters that the sync does not have, make a pull that proves nothing."""
    green(begin(0, users(1, 2), **MODES["membership"]))
    after = green(begin(1, users(1), **MODES["membership"], **choice))

    assert 0 == after.books["left"]
    assert any("nobody leaves" in warning for warning in after.books["warnings"])


def test_nobody_leaves_by_another_part_of_the_look(begin: Open) -> None:
    """Another expression on the same field asks for others than those the sync is about."""
    ty, bo = ({**MODES["membership"], "filters": {"people.name": name}} for name in ("Ty", "Bo"))
    green(begin(0, users(1, 2), **ty))

    other = green(begin(1, users(1), **bo))
    assert 0 == other.books["left"]
    assert any("nobody leaves" in warning for warning in other.books["warnings"])
    assert 1 == green(begin(2, users(1), **ty)).books["left"]


@pytest.mark.parametrize("first", ["red", "unreported", "of an earlier version"])
def test_other_filters_make_nobody_leave_before_a_green_run(
    begin: Open, sandbox: Any, first: str
) -> None:
    """What a sync is about is known from its first run on, however that one ends."""
    mode = MODES["membership"]
    flow = begin(0, users(1, 2, 3, 4), **mode)
    if first == "unreported":
        flow.extract().identify()
        flow.is_over = True
    else:
        sandbox.segment_faults.add("poison", pattern='"u-3"', path=BATCH, times=-1)
        assert flow.run().errors
        sandbox.segment_faults.clear()
    if first == "of an earlier version":
        sync = SyncStore(flow.books["sync_id"])
        sync.write(replace(sync.read(), filters=None))

    other = green(begin(1, users(1), **mode, filters={"people.name": "Ty"}))

    assert 0 == other.books["left"]
    assert any("nobody leaves" in warning for warning in other.books["warnings"])
    assert other.profiles["u-2"]["in_cohort"] is True
    after = green(begin(2, users(1, 3, 4), **mode))
    assert 1 == after.books["left"]
    assert after.profiles["u-2"]["in_cohort"] is False


@pytest.mark.parametrize("reading", [1, 2, 3])
def test_of_two_first_runs_at_once_one_is_complete(
    begin: Open, monkeypatch: pytest.MonkeyPatch, reading: int
) -> None:
    """They read what the sync knows at one moment, ask for different users, and one says who."""
    from airflow.sdk import Variable

    mode = {**MODES["membership"], "sync_id": "one"}
    # Of two first runs at once that each make a secret, the report refuses one.
    SyncStore("one").secret()
    read, both_have_read = Variable.get, threading.Barrier(2)
    readings = threading.local()

    def together(key: str, **rest: Any) -> Any:
        found = read(key, **rest)
        if "_sync_" in key:
            readings.count = getattr(readings, "count", 0) + 1
            if readings.count == reading:
                both_have_read.wait(timeout=20)
        return found

    asked = [{"people.name": name} for name in ("Ty", "Bo")]
    flows = [begin(day, users(1, 2), **mode, filters=asked[day]) for day in (0, 1)]
    with monkeypatch.context() as patch:
        patch.setattr(Variable, "get", together)
        threads = [threading.Thread(target=flow.extract) for flow in flows]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for flow in flows:
        assert {} == flow.identify().report().errors

    partial = [
        any("nobody leaves" in warning for warning in flow.books["warnings"]) for flow in flows
    ]
    assert [False, True] == sorted(partial)
    other, first = (asked[partial.index(is_partial)] for is_partial in (True, False))
    assert 0 == green(begin(2, users(1), **mode, filters=other)).books["left"]
    assert 1 == green(begin(3, users(1), **mode, filters=first)).books["left"]


def test_accepted_filters_are_said_to_make_users_leave(begin: Open) -> None:
    """Who accepts a Look's changes in a run with filters of its own should know what it does."""
    mode = MODES["membership"]
    green(begin(0, users(1, 2), **mode))
    kept = green(begin(1, users(1, 2), **mode, accept_changes=True))
    assert not any("accept_changes" in warning for warning in kept.books["warnings"])

    flow = green(begin(2, users(1), **mode, filters={"people.name": "Ty"}, accept_changes=True))

    assert any("whoever they leave out leaves" in said for said in flow.books["warnings"])


def test_how_leaving_is_told_does_not_change_unseen(begin: Open) -> None:
    """The old trait would stay true for everybody who left."""
    green(begin(0, users(1, 2), **MODES["membership"]))
    other = {"mode": "mirror", "membership_trait": "in_it"}
    for changed in (other, MODES["clear"]):
        refused = str(begin(1, users(1), **changed).run().errors["extract"])
        assert "membership_trait in_cohort" in refused
        assert "accept_changes" in refused

    green(begin(1, users(1, 2), **MODES["changed"]))
    assert "extract" in begin(2, users(1, 2), **other).run().errors
    green(begin(2, users(1, 2), **other, accept_changes=True))
    green(begin(3, users(1, 2), **other))


def test_who_left_while_nobody_kept_what_it_takes_is_counted(begin: Open) -> None:
    """A run in ``changed`` stores nothing that a leave message could be made of."""
    green(begin(0, users(1, 2), **MODES["changed"]))
    flow = green(begin(1, users(1), **MODES["membership"]))

    assert (0, 1) == (flow.books["left"], flow.books["messages"])
    assert any("of 1 users nothing is known" in said for said in flow.books["warnings"])
    again = green(begin(2, users(1), **MODES["membership"]))
    assert any("of 1 users nothing is known" in said for said in again.books["warnings"])


def test_too_many_leavers_send_nothing(begin: Open) -> None:
    """Half a cohort does not leave in a day, unless somebody says so."""
    mode = {**MODES["membership"], "guards": {}}
    green(begin(0, users(1, 2, 3, 4), **mode))
    flow = begin(1, users(1, 2, 3, note="new"), **mode).run()

    assert "1" in str(flow.errors["extract"])
    assert "max_leavers" in str(flow.errors["extract"])
    assert f'approve="{flow.run_id}"' in str(flow.errors["report"])
    assert flow.profiles["u-4"]["in_cohort"] is True
    assert "n" == flow.profiles["u-1"]["note"]


def test_an_outage_does_not_open_the_guard_of_leavers(begin: Open) -> None:
    """Whoever must be sent again anyway leaves like everybody else."""
    mode = {**MODES["membership"], "guards": {}}
    green(begin(0, users(1, 2, 3, 4), **mode))
    unreported = begin(1, users(1, 2, 3, 4, note="new"), **mode).extract().identify()
    unreported.is_over = True
    flow = begin(2, {}, **mode).run()

    assert "guards.max_leavers" in str(flow.errors["extract"])
    assert "they are 4." in str(flow.errors["extract"])
    assert flow.profiles["u-4"]["in_cohort"] is True
    after = green(begin(2, {}, **MODES["membership"]))
    assert 4 == after.books["resent"]
    assert any("4 of the users whose message is sent again" in w for w in after.books["warnings"])
    assert after.profiles["u-4"]["in_cohort"] is False


def test_a_killed_extract_is_swept_up(begin: Open, tmp_path: Path) -> None:
    """It has sent nothing, so nothing of it stays."""
    green(begin(0, users(1)))
    dead = begin(1, users(1, 2, note="never")).extract()
    dead.states["extract"] = "failed"
    dead.is_over = True
    flow = green(begin(2, users(1)))

    assert (1, 0) == (flow.books["unchanged"], flow.books["resent"])
    assert [] == list((tmp_path / "snapshots").glob("*/runs/*"))


def test_a_cleared_identify_is_in_doubt(begin: Open, sandbox: Any, clock: Any) -> None:
    """What was sent under other ids before the Clear is sent again by the next run."""
    green(begin(0, users(1, 2)))
    flow = begin(1, users(1, 2, note="new")).extract().identify()
    sandbox.segment_faults.add("status", status=401, path=BATCH, times=1)
    flow.clear("identify", 0)
    flow.identify().report()
    assert "failed" == flow.states["identify[0]"]
    after = green(begin(0, users(1, 2)))

    assert 2 == after.books["resent"]
    assert "new" == after.profiles["u-1"]["note"]


@pytest.mark.parametrize("mode", ["full", "changed"])
@pytest.mark.parametrize("before", ["identify", "report"])
def test_an_upgrade_between_the_tasks(begin: Open, mode: str, before: str) -> None:
    """What an earlier version left in XCom is delivered, reported and remembered."""
    flow = begin(0, users(1, 2), mode=mode).extract()
    new = ["unchanged", "superseded", "forgotten", "resent", "left", "stopped"]
    new += ["chunks_run_id", "segment_conn_id", "newest"]
    new += ["mode", "history", "contract", "new_users"] if mode == "full" else []
    forget_fields(flow, ("extract", -1, "manifest"), *new)
    flow.identify()
    if before == "report":
        said = json.loads(flow.xcoms.texts["identify", 0, "receipt"])
        del said["cleared"], said["receipt"]["refused_at"]
        flow.xcoms.texts["identify", 0, "receipt"] = json.dumps(said)
    flow.report()

    assert {} == flow.errors
    assert 2 == flow.books["accepted"] == flow.record["accepted"]
    after = green(begin(1, users(1, 2), mode=mode))
    assert (2 if mode == "full" else 0) == after.books["messages"]


def test_refused_messages_are_known_one_by_one(begin: Open, sandbox: Any) -> None:
    """The accepted ones are not sent again, the refused one is."""
    many = users(*range(20))
    sandbox.segment_faults.add("poison", pattern='"u-7"', path=BATCH, times=-1)
    first = begin(0, many, guards={"max_rejected": 1}).run()
    assert 1 == first.books["refused"]
    sandbox.segment_faults.clear()

    second = green(begin(1, many))

    assert (1, 19) == tuple(second.books[name] for name in ("messages", "unchanged"))


def test_a_dry_run_leaves_no_trace(begin: Open, tmp_path: Path) -> None:
    """It says what would be sent, and neither commits nor announces anything."""
    green(begin(0, users(1, 2)))
    files = sorted((tmp_path / "snapshots").rglob("*"))
    dry = green(begin(1, users(1, 2, 3), dry_run=True))

    assert (1, 2, 1) == tuple(dry.books[name] for name in ("messages", "unchanged", "new_users"))
    assert files == sorted((tmp_path / "snapshots").rglob("*"))
    assert 1 == green(begin(1, users(1, 2, 3))).books["messages"]
