"""What a sync refuses: older windows, other sources, other Looks, and modes without a place."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.hazards.cohorts import (
    MODES,
    Open,
    green,
    in_order,
    users,
)
from tests.hazards.conftest import BATCH
from tests.hazards.flow import connect, stopped


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
