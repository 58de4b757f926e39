"""Syncs with a history, in whole runs: what a run sends after others, whatever happened to them."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_looker_segment.core.sync import StoppedRun, SyncRecord
from airflow_provider_looker_segment.core.traits import RESERVED_TYPES
from airflow_provider_looker_segment.operators.maintenance_task import Maintenance
from airflow_provider_looker_segment.stores.syncs import SyncStore
from tests.hazards.conftest import BATCH, SMALL_BATCHES
from tests.hazards.flow import MOMENT, Flow, connect, row, stopped

Start = Callable[..., Flow]
Answer = Callable[..., None]
Cohort = dict[str | float, dict[str, Any]]
Open = Callable[..., Flow]

MODES: dict[str, dict[str, Any]] = {
    "changed": {"mode": "changed"},
    "membership": {"mode": "mirror", "membership_trait": "in_cohort"},
    "clear": {"mode": "mirror", "on_leave": "clear"},
}
ALL_MAY_LEAVE = {"max_leavers": 1}


@pytest.fixture
def snapshot(tmp_path: Path) -> dict[str, Any]:
    """A folder for snapshots that every worker has."""
    return {"path": f"file://{tmp_path}/snapshots", "local": True}


@pytest.fixture
def begin(start: Start, sandbox: Any, snapshot: dict[str, Any]) -> Open:
    """Return a function that prepares the run of one window's cohort."""

    def prepare(day: int, cohort: Cohort, **choices: Any) -> Flow:
        sandbox.looker_faults.clear()
        rows = [
            row(id=json.dumps(user), **{name: json.dumps(v) for name, v in traits.items()})
            for user, traits in cohort.items()
        ]
        body = f'{{"status":"complete","data":[{",".join(rows)}]}}'
        sandbox.looker_faults.add(
            "body",
            body=body,
            path="/run/json_detail$",
            content_type="application/json",
            times=-1,
        )
        settings = {"extra": {"logical_date": MOMENT + timedelta(days=day)}}
        given = {"snapshot": snapshot, "guards": ALL_MAY_LEAVE, "mode": "changed", **choices}
        return start(settings=settings, **given)

    return prepare


def green(flow: Flow) -> Flow:
    """Run a flow that goes well."""
    assert {} == {name: str(error) for name, error in flow.run().errors.items()}
    return flow


def users(*numbers: int, **traits: Any) -> Cohort:
    """Return some users with the same traits."""
    return {f"u-{number}": {"note": "n", **traits} for number in numbers}


def text(user: str | float) -> str:
    """How an id is sent."""
    return user if isinstance(user, str) else f"{user:.0f}"


def in_order(cohorts: dict[int, Cohort], mode: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the windows would have left in their order."""
    profiles: dict[str, dict[str, Any]] = {}
    trait = mode.get("membership_trait")
    for _, cohort in sorted(cohorts.items()):
        for user, cells in cohort.items():
            traits = {"name": "Ty", **cells}
            traits = {name: value for name, value in traits.items() if value is not None}
            profiles[text(user)] = {**traits, trait: True} if trait else traits
        left = profiles.keys() - {text(user) for user in cohort}
        for user in left if mode["mode"] == "mirror" else ():
            if trait:
                profiles[user][trait] = False
            else:
                kept = {n: v for n, v in profiles[user].items() if n in RESERVED_TYPES}
                profiles[user] = kept
    return profiles


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
    assert "overruled" in flow.books["warnings"][-1]
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
    late = begin(3, {}, mode=mode, approve=held.run_id).extract()
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


@pytest.mark.parametrize(
    ("guards", "complaint"),
    [
        ({"min_rows": 3}, "min_rows"),
        ({"max_change": 0.5}, "max_change"),
        ({"max_messages": 1}, "max_messages"),
    ],
)
@pytest.mark.parametrize("mode", ["full", "changed", "mirror"])
def test_guards_hold_in_every_mode(
    begin: Open, mode: str, guards: dict[str, Any], complaint: str
) -> None:
    """Too few rows, too different a number, too many messages: nothing is sent."""
    first = green(begin(0, users(1, 2, 3, 4, 5, 6), mode=mode))
    flow = begin(1, users(1, 2, note="new"), mode=mode, guards=guards).run()

    assert complaint in str(flow.errors["extract"])
    assert 6 == first.record["accepted"]


def test_messages_that_are_not_sent_do_not_count(begin: Open) -> None:
    """`max_messages` is about calls, and an unchanged row is none."""
    green(begin(0, users(1, 2, 3)))

    green(begin(1, users(1, 2, 3), guards={"max_messages": 1}))


def test_full_never_goes_back_in_time(begin: Open) -> None:
    """An older window is refused before its query, unless somebody insists."""
    green(begin(1, users(1, note="new"), mode="full"))
    green(begin(1, users(1, note="newer"), mode="full"))
    before = len(begin(0, {}).asked)
    older = begin(0, users(1, note="old"), mode="full").run()

    assert 'mode="changed"' in str(older.errors["extract"])
    assert "newer" == older.profiles["u-1"]["note"]
    asked = [entry["path"] for entry in older.asked[before:]]
    assert not [path for path in asked if "queries" in path]
    green(begin(0, users(1), mode="full", dry_run=True))
    insisted = green(begin(0, users(1, note="old"), mode="full", allow_older="yes"))
    assert "old" == insisted.profiles["u-1"]["note"]


@pytest.mark.parametrize("last", [0, 1])
def test_full_runs_of_two_windows_at_once_say_so(begin: Open, last: int) -> None:
    """Whichever ends last warns that older traits may be what remains."""
    green(begin(-1, users(1), mode="full"))
    runs = [begin(day, users(1, note=f"{day}"), mode="full").extract() for day in (0, 1)]
    sent = [run.identify() for run in runs]
    first = sent[1 - last].report()
    second = sent[last].report()

    assert ({}, {}) == (first.errors, second.errors)
    assert [] == first.books["warnings"]
    (warning,) = second.books["warnings"]
    assert "Run the newest window again" in warning
    assert first.books["window"]["end"] in warning
    assert [] == green(begin(1, users(1), mode="full")).books["warnings"]


def test_full_sends_nothing_that_has_become_older(begin: Open) -> None:
    """A run that waited while a newer one was reported sends nothing, unless that is meant."""
    late, meant = (
        begin(0, users(1, note="0"), mode="full", **how).extract()
        for how in ({}, {"allow_older": True})
    )
    green(begin(1, users(1, note="1"), mode="full"))

    assert "was sent while this run" in str(late.identify().report().errors["identify[0]"])
    assert 0 == late.books["accepted"]
    assert {} == meant.identify().report().errors


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("began", [False, True])
def test_what_a_later_run_has_closed_is_not_sent(
    begin: Open, sandbox: Any, clock: Any, mode: str, began: bool
) -> None:
    """A run that ended after extract, or in an outage, is over; a Clear of identify is too late."""
    choices = MODES[mode]
    green(begin(0, users(1, 2, note="w0"), **choices))
    dead = begin(1, users(1, 2, 3, note="w1"), **choices).extract()
    if began:
        sandbox.segment_faults.add("status", status=503, path=BATCH, times=-1)
        dead.identify()
        sandbox.segment_faults.clear()
    dead.is_over = True
    for _ in range(2):
        last = green(begin(2, users(1, note="w2"), **choices))

    dead.is_over = False
    if began:
        dead.clear("identify", 0)
    dead.identify().report()

    assert "a later run has closed it" in str(dead.errors["identify[0]"])
    assert 0 == dead.books["accepted"]
    assert last.profiles == green(begin(2, users(1, note="w2"), **choices)).profiles


def test_what_was_sent_is_noted_though_chunks_stay(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A red report has sent its window all the same."""
    from airflow_provider_looker_segment.stores import chunks

    def fail(**_: Any) -> None:
        raise OSError

    flow = begin(1, users(1, note="new"), mode="full").extract().identify()
    with monkeypatch.context() as patch:
        patch.setattr(chunks.XCom, "delete", staticmethod(fail))
        flow.report()
    assert "could not be deleted" in str(flow.errors["report"])

    older = begin(0, users(1, note="old"), mode="full").run()
    assert "would overwrite newer traits" in str(older.errors["extract"])


def test_full_does_not_pass_a_snapshot_by(begin: Open) -> None:
    """A snapshot that says what Segment no longer holds would be worse than none."""
    green(begin(0, users(1)))
    full = begin(1, users(1), mode="full").run()

    assert "sync_id of their own" in str(full.errors["extract"])
    green(begin(1, users(1), mode="full", sync_id="another"))


def test_a_mode_needs_a_snapshot(begin: Open) -> None:
    """It is not made up somewhere on a worker."""
    stopped(begin(0, users(1), snapshot=None).run(), "permanent", "`snapshot`")


def test_a_mode_is_one_of_three(begin: Open) -> None:
    """A word that a form has wrong is no mode."""
    stopped(begin(0, users(1), mode="delta").run(), "permanent", "full, changed, mirror")


def test_a_rotated_key_sends_nothing_again(
    begin: Open, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write key says nothing about the source."""
    green(begin(0, users(1)))
    connect(monkeypatch, sandbox, password="rotated")

    assert 1 == green(begin(1, users(1))).books["unchanged"]


def test_another_source_is_refused(
    begin: Open, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its users have never been sent there."""
    connect(monkeypatch, sandbox, extra={"source": "production"})
    green(begin(0, users(1)))
    connect(monkeypatch, sandbox, extra={"source": "staging"})
    flow = begin(1, users(1)).run()

    assert "sync_id of its own" in str(flow.errors["extract"])
    green(begin(1, users(1), sync_id="staging"))


def test_another_look_is_refused(begin: Open) -> None:
    """Two Looks would make each other's users leave."""
    green(begin(0, users(1), sync_id="one"))
    other = begin(1, users(1), sync_id="one", accept_changes=True)
    other.look_id = "2"

    assert "Look" in str(other.run().errors["extract"])


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_two_dags_over_one_look_and_source(begin: Open, mode: dict[str, Any]) -> None:
    """Side by side each is a sync of its own: it sends, and remembers, what it has sent itself."""
    one, two = ({"dag_id": name, **mode} for name in ("one", "two"))
    first = begin(0, users(1, 2), **one).extract()
    second = begin(0, users(1, 2), **two).extract()
    for flow in (second, first):
        flow.identify().report()
        assert {} == flow.errors
        assert (2, 2) == (flow.books["accepted"], flow.books["new_users"])
    assert (4, 0) == (first.record["accepted"], first.record["duplicates"])

    # Who left is told by each, and whoever comes last says what the Look says.
    left = mode["mode"] == "mirror"
    for choices in (one, two):
        assert 1 + left == green(begin(1, users(2, note="m"), **choices)).books["accepted"]
    for choices in (two, one):
        again = green(begin(2, users(2, note="m"), **choices))
        assert (0, 1) == (again.books["messages"], again.books["unchanged"])
    cohorts = {0: users(1, 2), 1: users(2, note="m"), 2: users(2, note="m")}
    assert in_order(cohorts, mode) == again.profiles


def test_two_dags_may_share_a_sync(begin: Open) -> None:
    """With one `sync_id` they share a snapshot: what one has sent the other does not send."""
    first = begin(0, users(1, 2), dag_id="one", sync_id="shared").extract()
    second = begin(1, users(1, 2, note="m"), dag_id="two", sync_id="shared").extract()
    for flow in (second, first):
        flow.identify().report()
        assert {} == flow.errors
    # The two overlapped, so the next run sends again what is in doubt.
    third = green(begin(1, users(1, 2, note="m"), dag_id="one", sync_id="shared"))
    assert in_order({0: users(1, 2), 1: users(1, 2, note="m")}, {"mode": "changed"}) == (
        third.profiles
    )

    last = green(begin(2, users(1, 2, note="m"), dag_id="two", sync_id="shared"))
    assert (0, 2) == (last.books["messages"], last.books["unchanged"])


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_two_sources_over_one_look(
    begin: Open, sandbox: Any, monkeypatch: pytest.MonkeyPatch, mode: dict[str, Any]
) -> None:
    """Each source is a sync of its own, and gets everything, whatever the other has."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
    keys = {"one": said["password"], "two": "second-write-key"}
    sources = sandbox.segment_app.state.arrivals.write_keys
    monkeypatch.setitem(sources, keys["two"], "two")
    choices = {}
    for name, key in keys.items():
        connection = json.dumps({**said, "password": key})
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", connection)
        choices[name] = {"segment_conn_id": name, "sync_id": name, **mode}

    for name in keys:
        green(begin(0, users(1, 2), **choices[name]))
    refused = begin(1, users(2), **{**choices["two"], "sync_id": "one"}).run()
    assert "sync_id of its own" in str(refused.errors["extract"])
    flow = green(begin(1, users(2), **choices["one"]))

    left = mode["mode"] == "mirror"
    by_source = Counter(entry["source"] for entry in flow.entries)
    assert {"two": 2, sources[keys["one"]]: 2 + left} == by_source
    ids = [entry["message"]["messageId"] for entry in flow.entries]
    assert len(ids) == len(set(ids))


def test_a_relabelled_column_stops_the_run(begin: Open) -> None:
    """Nobody notices otherwise that a trait has another name from now on."""
    green(begin(0, users(1)))
    renamed = {"mapping": {"rename": {"people.note": "remark"}}}
    flow = begin(1, users(1), **renamed).run()

    assert "`people.note` was sent as `note` and would be sent as `remark`" in (
        str(flow.errors["extract"])
    )
    assert "give each a sync_id of its own" in str(flow.errors["extract"])
    after = green(begin(1, users(1), **renamed, accept_changes=True))
    assert {"name": "Ty", "remark": "n"} == after.profiles["u-1"]
    green(begin(2, users(1), **renamed))


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


def forget_fields(flow: Flow, place: tuple[str, int, str], *names: str) -> None:
    """Let a value in XCom be as if it were of a version that did not know these fields."""
    said = json.loads(flow.xcoms.texts[place])
    flow.xcoms.texts[place] = json.dumps({k: v for k, v in said.items() if k not in names})


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


def maintain(flow: Flow, action: str, user: str = "", *, sync_id: str = "") -> dict[str, Any]:
    """Run the maintenance task about a flow's sync."""
    from airflow_provider_looker_segment.operators.maintenance import SnapshotMaintenanceOperator

    operator = SnapshotMaintenanceOperator(
        task_id="maintain",
        sync_id=sync_id or flow.books["sync_id"],
        action=action,
        user=user,
    )
    return operator.execute(flow.context("maintain"))


def test_a_sync_can_be_looked_into(begin: Open) -> None:
    """What it knows of everybody, and of each user."""
    flow = green(begin(0, users(1, 2, 3), **MODES["membership"]))
    green(begin(1, users(1, 2), **MODES["membership"]))
    said = maintain(flow, "show")

    assert (3, 2, 1, 0) == tuple(
        said["snapshot"][name] for name in ("users", "in", "left", "dirty")
    )
    assert (MOMENT + timedelta(days=1)).isoformat() == said["newest"] == said["snapshot"]["newest"]
    assert ["in", "left", "unknown"] == [
        maintain(flow, "why", user)["state"] for user in ("u-1", "u-3", "u-9")
    ]
    assert 3 == maintain(flow, "why", "u-1")["traits"]
    assert "note" not in json.dumps(maintain(flow, "why", "u-1"))
    named = Maintenance(SyncStore(flow.books["sync_id"]), _no_chunks, show_values=True)
    assert ["name", "note", "in_cohort"] == named.do("why", "u-1")["names"]


def test_a_reset_forgets_what_came_about_meanwhile(begin: Open) -> None:
    """A run that is stopped while a sync is reset does not wait for approval after it."""
    flow = green(begin(0, users(1)))
    sync = SyncStore(flow.books["sync_id"])
    held = begin(1, users(*range(9)), guards={"max_messages": 1}).extract()
    first = sync.read()
    assert first.stopped is not None
    later = replace(first.stopped, run_id="later")
    deleted = []

    def stopped_meanwhile(stopped: StoppedRun) -> None:
        deleted.append(stopped.run_id)
        if len(deleted) == 1:
            sync.write(replace(first, stopped=later, rejects="file:///elsewhere"))

    Maintenance(sync, stopped_meanwhile).do("reset")

    assert [held.run_id, "later"] == deleted
    assert SyncRecord(rejects="file:///elsewhere", segment_conn_id=first.segment_conn_id) == (
        sync.read()
    )


def _no_chunks(stopped: StoppedRun) -> None:
    raise AssertionError(stopped)


def test_what_a_full_sync_knows(begin: Open) -> None:
    """Nothing about its users."""
    flow = green(begin(0, users(1), mode="full"))

    assert maintain(flow, "show")["snapshot"] is None
    assert "no snapshot" in maintain(flow, "why", "u-1")["says"]


@pytest.mark.parametrize(
    ("action", "user", "sync_id", "complaint"),
    [
        ("show", "", "nobody's", "nothing is known of it"),
        ("why", " ", "", "be told a user"),
        ("drop", "", "", "show, why, reset, forget"),
    ],
)
def test_what_cannot_be_maintained(
    begin: Open, action: str, user: str, sync_id: str, complaint: str
) -> None:
    """An unknown sync, nobody, an unknown action: each says what is missing."""
    flow = green(begin(0, users(1)))

    with pytest.raises(Exception, match=complaint):
        maintain(flow, action, user, sync_id=sync_id)


def test_a_reset_sync_sends_everything(begin: Open) -> None:
    """Another Look may follow, and who was forgotten stays so."""
    flow = green(begin(1, users(1, 2, 3)))
    maintain(flow, "forget", "u-2")
    maintain(flow, "reset")
    after = green(begin(0, users(1, 2, 3)))

    assert (2, 1) == tuple(after.books[name] for name in ("messages", "forgotten"))


@pytest.mark.parametrize("mode", ["full", "changed", "membership", "clear"])
def test_a_forgotten_user_gets_no_message(
    begin: Open, sandbox: Any, tmp_path: Path, mode: str
) -> None:
    """Neither in the Look, nor newly left, nor when what is in doubt is sent again."""
    choices = MODES.get(mode, {"mode": "full"})
    first = green(begin(0, users(1, 2, 3, 4), **choices))
    if mode != "full":
        # What is known of them is in doubt, so that the next run would send it again.
        sandbox.segment_faults.add("lost_answer", path=BATCH, times=1)
        begin(1, users(1, 2, 3, 4, note="new"), **choices).extract().identify().report()
    for user in ("u-1", "u-2"):
        maintain(first, "forget", user)
    before = len(first.sent)
    stays = green(begin(2, users(1, 3, 4, note="newer"), **choices))
    older = begin(1, users(1, 2, 3), **choices, allow_older=True)
    green(older)

    about = [message["userId"] for message in first.sent[before:]]
    assert about
    assert not {"u-1", "u-2"} & set(about)
    assert (1, 2) == (stays.books["forgotten"], older.books["forgotten"])
    assert "forgotten" == maintain(first, "why", "u-1")["state"]


def test_nothing_of_a_forgotten_user_is_left(begin: Open, tmp_path: Path) -> None:
    """Not in snapshots, not in rejected rows, not in chunks that wait for approval."""
    kept = {**MODES["membership"], "rejects": f"file://{tmp_path}/rejects"}
    lenient = {"guards": {"max_rejected": 1, "max_leavers": 1}}
    bad = {"u-2": {"note": ["a", "list"], "email": "two@example.com"}}
    flow = green(begin(0, {**users(1), **bad}, **{**kept, **lenient}))
    green(begin(1, users(1, 2), **kept))
    held = begin(2, users(1), **{**kept, "guards": {"max_leavers": 0}}).run()
    assert held.xcoms.chunks()
    assert [*(tmp_path / "rejects").iterdir()]

    said = maintain(flow, "forget", "u-2")

    assert 1 == said["deleted_rejects"]
    assert [] == [*(tmp_path / "rejects").iterdir()]
    assert [] == held.xcoms.chunks()
    # A request that names them by their hash may stay until the next commit.
    assert {".forget"} >= {path.suffix for path in (tmp_path / "snapshots").glob("*/runs/*")}
    left = maintain(flow, "show")
    # Nobody knows which kind of id it was.
    assert (1, 2) == (left["snapshot"]["users"], left["forgotten_ids"])
    late = begin(3, {}, **kept, approve=held.run_id).run()
    assert "approve" in str(late.errors["extract"])


@pytest.mark.parametrize("mode", ["full", *MODES])
def test_who_was_forgotten_after_extract_gets_no_message(begin: Open, mode: str) -> None:
    """What is in the chunks about them is left out, also in a run that was over, and counted."""
    choices = MODES.get(mode, {"mode": "full"})
    first = green(begin(0, users(1, 2, 3, 4), **choices))
    dead = begin(1, users(1, 2, 4, 5, note="new"), **choices).extract()
    dead.is_over = True
    for user in ("u-2", "u-3"):
        maintain(first, "forget", user)
    before = len(first.sent)
    # Airflow ended the run; somebody clears what comes after extract.
    dead.is_over = False
    assert {} == dead.identify().report().errors

    about = [message["userId"] for message in first.sent[before:]]
    assert ["u-1", "u-4", "u-5"] == sorted(about)
    left = 1 if choices["mode"] == "mirror" else 0
    names = ("messages", "accepted", "not_sent", "forgotten")
    assert (3, 3, 0, 1 + left) == tuple(dead.books[name] for name in names)
    after = green(begin(2, users(1, 2, 4, 5, note="newer"), **choices))
    assert (3, 1) == tuple(after.books[name] for name in ("messages", "forgotten"))


@pytest.mark.parametrize("has_state_store", [True, False])
def test_who_is_forgotten_while_identify_goes_on_gets_no_message(
    begin: Open, sandbox: Any, clock: Any, *, has_state_store: bool
) -> None:
    """Neither by a retry, which goes on behind what was left out."""
    first = green(begin(-1, users(0, note="before"), mode="full"))
    cohort = users(*range(60), note="n")
    flow = begin(0, cohort, mode="full", max_messages_per_second=SMALL_BATCHES)
    flow.has_state_store = has_state_store
    flow.extract()
    sandbox.segment_faults.add("status", status=401, path=BATCH, after=2, times=1)
    flow.identify()
    assert 0 < len(flow.sent) < 40
    for user in ("u-59", "u-58", "u-40"):
        maintain(first, "forget", user)

    assert {} == flow.identify().report().errors

    assert set(cohort) - {"u-59", "u-58", "u-40"} == {m["userId"] for m in flow.sent}
    assert (57, 57, 0, 3) == tuple(
        flow.books[name] for name in ("messages", "accepted", "unknown", "forgotten")
    )


def test_a_bad_row_of_a_forgotten_user_is_kept_nowhere(begin: Open, tmp_path: Path) -> None:
    """Their row is no message; it is counted, and not put aside for people to look at."""
    kept = {"rejects": f"file://{tmp_path}/rejects", "guards": {"max_rejected": 1}}
    maintain(green(begin(0, users(1, 2), **kept)), "forget", "u-1")
    bad = {"note": ["a", "list"]}

    flow = green(begin(1, {"u-1": bad, "u-2": bad, "u-3": {"note": "n"}}, **kept))

    assert (2, 1) == (flow.books["rejected"], flow.books["rejects"][0]["rows"])


def test_rejects_in_former_folders_are_forgotten_too(begin: Open, tmp_path: Path) -> None:
    """Whether a run was reported or stopped there, before a reset, and where none are kept now."""
    folders = [tmp_path / name for name in ("stopped", "green", "none")]
    bad = {**users(1), "u-2": {"note": ["a", "list"]}}
    begin(0, bad, sync_id="one", rejects=f"file://{folders[0]}", guards={"max_rejected": 0}).run()
    lenient = {"guards": {"max_rejected": 1}, "sync_id": "one"}
    green(begin(0, bad, rejects=f"file://{folders[1]}", **lenient))
    flow = green(begin(1, bad, **lenient))
    maintain(flow, "reset")
    assert [1, 1] == [len([*folder.iterdir()]) for folder in folders[:2]]

    said = maintain(flow, "forget", "u-2")

    assert (2, {}) == (said["deleted_rejects"], said["unread_rejects"])
    assert [0, 0] == [len([*folder.iterdir()]) for folder in folders[:2]]


def test_rejects_that_cannot_be_read_are_told_of(
    begin: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Any
) -> None:
    """Files of before a rotation, and folders whose storage is gone, are counted by their place."""
    folders = [f"file://{tmp_path}/rejects", "gone://bucket/rejects"]
    bad = {**users(1), "u-2": {"note": ["a", "list"]}}
    lenient = {"guards": {"max_rejected": 1}}
    flow = green(begin(0, bad, rejects=folders[0], **lenient))
    sync = SyncStore(flow.books["sync_id"])
    sync.write(replace(sync.read(), former_rejects=(folders[1],)))
    connect(monkeypatch, sandbox, password="rotated-write-key")

    said = maintain(flow, "forget", "u-2")

    assert (0, {folders[0]: 1, folders[1]: None}) == (
        said["deleted_rejects"],
        said["unread_rejects"],
    )
    assert "could not be read" in said["says"]
    assert "u-2" not in json.dumps(said)
    # Once their time is over, nobody need read them.
    (file,) = (tmp_path / "rejects").iterdir()
    head, _, rest = file.read_text().partition("\n")
    past = {**json.loads(head), "expires": "2020-01-01T00:00:00+00:00"}
    file.write_text(json.dumps(past) + "\n" + rest)
    assert {folders[1]: None} == maintain(flow, "forget", "u-2")["unread_rejects"]
    assert not file.exists()


@pytest.mark.parametrize("action", [("forget", "u-1"), ("reset",)])
def test_what_a_killed_task_has_written_in_part_is_deleted(
    begin: Open, tmp_path: Path, action: tuple[str, ...]
) -> None:
    """A report that is killed in a write leaves a part of a snapshot, with users in it."""
    flow = green(begin(0, users(1, 2)))
    (generation,) = (tmp_path / "snapshots").glob("*/generations/*")
    partial = generation.with_name(f"partial-1-{generation.name}")
    partial.write_bytes(generation.read_bytes())

    maintain(flow, *action)

    assert not partial.exists()


@pytest.mark.parametrize("action", [("forget", "u-1"), ("reset",)])
@pytest.mark.parametrize("is_reset_before", [False, True])
def test_a_first_run_that_a_guard_stopped_leaves_nothing(
    begin: Open, tmp_path: Path, action: tuple[str, ...], *, is_reset_before: bool
) -> None:
    """What it decided about its users is found, though no run was ever reported."""
    if is_reset_before:
        maintain(green(begin(0, users(1, 2), sync_id="one")), "reset")
    held = begin(1, users(1, 2), sync_id="one", guards={"max_messages": 1}).run()
    assert [*(tmp_path / "snapshots").glob("*/runs/*.candidate")]

    maintain(held, *action, sync_id="one")

    left = {path.suffix for path in (tmp_path / "snapshots").glob("*/runs/*")}
    assert {".forget"} >= left
    assert [] == held.xcoms.chunks()
    after = green(begin(2, users(1, 2, 3), sync_id="one"))
    assert (2 if action[0] == "forget" else 3) == after.books["messages"]


def test_a_sync_whose_variables_are_lost_can_be_reset(begin: Open) -> None:
    """The run that is refused for it has noted where the snapshot is that must go."""
    from airflow.sdk import Variable

    green(begin(0, users(1, 2), sync_id="one"))
    name = SyncStore("one")._key("sync")
    for key in (name, name.replace("_sync_", "_secret_")):
        # An empty one reads like one that is gone.
        Variable.set(key, "")
    refused = begin(1, users(1, 2), sync_id="one").run()
    assert "be for secret" in str(refused.errors["extract"])

    maintain(refused, "reset", sync_id="one")

    assert 2 == green(begin(2, users(1, 2), sync_id="one")).books["messages"]


def test_what_happens_while_a_user_is_forgotten_is_kept(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was reported is; one that was stopped, and may hold them, is not."""
    from airflow.sdk import Variable

    flow = green(begin(0, users(1, 2)))
    write = Variable.set
    held: list[Flow] = []

    def meanwhile(key: str, value: Any, **rest: Any) -> None:
        write(key, value, **rest)
        if "_forgotten_" in key and not held:
            held.append(begin(6, users(1, 2, 3), guards={"min_rows": 4}))
            green(begin(5, users(1, 2, 3)))
            held[0].run()

    monkeypatch.setattr(Variable, "set", meanwhile)
    maintain(flow, "forget", "u-2")

    said = maintain(flow, "show")
    assert ((MOMENT + timedelta(days=5)).isoformat(), 3) == (said["newest"], said["rows"])
    assert said["waits_for_approval"] is None
    assert [] == held[0].xcoms.chunks()


@pytest.mark.parametrize("user", ["u-9", "12345.0", "one@example.com"])
def test_forgetting_somebody_who_is_not_known_says_so(begin: Open, user: str) -> None:
    """A typing error can be told from a user who was there; the id is not repeated."""
    cohort = {**users(1), 12345: {"email": "one@example.com"}}
    flow = green(begin(0, cohort))

    missed, hit, again = (maintain(flow, "forget", name)["says"] for name in (user, "12345", user))

    assert "has told Segment anything" in missed
    assert user not in missed
    assert "has told Segment anything" not in hit
    assert "has told Segment anything" not in again


def test_nobody_can_tell_whom_a_full_sync_has_sent(begin: Open) -> None:
    """Forgetting works, and says that it cannot know whether the id is right."""
    flow = green(begin(0, users(1), mode="full"))

    assert "has no snapshot" in maintain(flow, "forget", "u-1")["says"]


def test_a_user_without_an_id_is_forgotten_by_e_mail(begin: Open) -> None:
    """The anonymous id that stands for them is made of it."""
    cohort: Cohort = {"": {"email": "Two@Example.com"}}
    flow = green(begin(0, cohort, mapping={"user_id": "people.id"}))
    maintain(flow, "forget", " two@example.com ")
    after = green(begin(1, {"": {"email": "two@example.com", "note": "new"}}))

    assert (0, 1) == tuple(after.books[name] for name in ("messages", "forgotten"))
