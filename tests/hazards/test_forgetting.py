"""Forgetting a user, of whom nothing may stay, and to whom nothing is sent any more."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_looker_segment.stores.syncs import SyncStore
from tests.hazards.cohorts import (
    MODES,
    Cohort,
    Open,
    green,
    maintain,
    users,
)
from tests.hazards.conftest import BATCH, SMALL_BATCHES
from tests.hazards.flow import MOMENT, Flow, XComs, connect


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
    """What is in the chunks of a run that goes on is left out, and counted."""
    choices = MODES.get(mode, {"mode": "full"})
    first = green(begin(0, users(1, 2, 3, 4), **choices))
    later = begin(1, users(1, 2, 4, 5, note="new"), **choices).extract()
    for user in ("u-2", "u-3"):
        maintain(first, "forget", user)
    before = len(first.sent)
    assert {} == later.identify().report().errors

    about = [message["userId"] for message in first.sent[before:]]
    assert ["u-1", "u-4", "u-5"] == sorted(about)
    left = 1 if choices["mode"] == "mirror" else 0
    names = ("messages", "accepted", "not_sent", "forgotten")
    assert (3, 3, 0, 1 + left) == tuple(later.books[name] for name in names)
    after = green(begin(2, users(1, 2, 4, 5, note="newer"), **choices))
    assert (3, 1) == tuple(after.books[name] for name in ("messages", "forgotten"))


@pytest.mark.parametrize("mode", ["full", "membership"])
@pytest.mark.parametrize(
    ("before", "accepted", "note"), [("identify", 2, "n"), ("report", 3, "new")]
)
def test_what_an_approved_run_sends_of_others_is_kept(
    begin: Open, mode: str, before: str, accepted: int, note: str
) -> None:
    """It waits no longer, so it is delivered and reported, and whoever it told of may leave."""
    choices = MODES.get(mode, {"mode": "full"})
    first = green(begin(0, users(1, 2), **choices))
    held = begin(1, users(1, 2, 3, note="new"), **{**choices, "guards": {"max_messages": 1}}).run()
    flow = begin(2, {}, **choices, approve=held.run_id).extract()
    if before == "report":
        flow.identify()

    maintain(first, "forget", "u-2")

    assert {} == flow.identify().report().errors
    assert (accepted, 3 - accepted) == (flow.books["accepted"], flow.books["forgotten"])
    assert [note, "new"] == [flow.profiles[user]["note"] for user in ("u-2", "u-3")]
    assert [] == held.xcoms.chunks()
    after = green(begin(3, users(1, note="new"), **choices))
    assert mode == "full" or after.profiles["u-3"]["in_cohort"] is False


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


def test_a_worker_may_be_killed_behind_messages_that_were_left_out(
    begin: Open, sandbox: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way is behind them, and the next run makes sure of it."""
    first = green(begin(0, users(*range(40), note="old")))
    in_order_of_keys = [message["userId"] for message in first.sent]
    before = len(first.sent)
    flow = begin(1, users(*range(40), note="new"), max_messages_per_second=SMALL_BATCHES).extract()
    # Nobody has cleared it, so that what it says counts.
    flow.max_tries["identify", 0] = 0
    for user in in_order_of_keys[:8]:
        maintain(first, "forget", user)
    sandbox.segment_faults.add("lost_answer", path=BATCH, times=1)
    at_death: list[XComs] = []

    def sleep(_seconds: float) -> None:
        if len(flow.sent) > before:
            # What a killed worker leaves is what it has said so far.
            at_death.append(copy.deepcopy(flow.xcoms))
            raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(clock, "sleep", sleep)
        flow.identify()
    flow.xcoms = at_death[0]
    flow.report()
    assert in_order_of_keys[8:13] == [message["userId"] for message in flow.sent[before:]]

    green(begin(2, users(*range(40), note="old")))
    held = {message["userId"]: message["traits"]["note"] for message in first.sent}
    assert {"old"} == set(held.values())
    assert (8, 5, 27) == tuple(flow.books[name] for name in ("forgotten", "unknown", "not_sent"))


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
