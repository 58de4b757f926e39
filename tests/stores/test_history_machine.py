"""The law of history: whatever the order of windows, failures and kills, profiles are the fold.

Longer than 400 lines, for it is one machine: each of its rules may follow any other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_provider_looker_segment.core.history import Fates
from airflow_provider_looker_segment.core.snapshot import Rules
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.stores import snapshot_database as tables
from tests.histories import (
    BAD,
    CHANGED,
    CLEAR,
    HUGE,
    MEMBERSHIP,
    MUTED,
    POINTING,
    POISON,
    SHARD,
    Cohort,
    Run,
    Storage,
    Sync,
    killed_after,
    new_name,
)


def both(*rules: Rules) -> Any:
    """Run a test under several rules."""
    return pytest.mark.parametrize("rules", rules, ids=lambda one: one.on_leave + one.mode)


@both(CHANGED, MEMBERSHIP, CLEAR)
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_trait_that_vanished(rules: Rules, order: Sequence[int]) -> None:
    """A trait that the newest window lacks is gone, whichever window ran first."""
    cohorts = {1: {"u": {"a": 1, "b": 2}}, 2: {"u": {"a": 1}}}
    sync = Sync(rules)
    for window in order:
        sync.run(window, cohorts[window])

    assert "b" not in sync.segment.profiles["u"]
    assert sync.fold() == sync.segment.profiles


@both(MEMBERSHIP, CLEAR)
@pytest.mark.parametrize("order", [(1, 2, 3), (1, 3, 2), (3, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_a_leaver_seen_again_by_an_older_window(rules: Rules, order: Sequence[int]) -> None:
    """Who is missing from the newest window has left, with what the newest row about them said."""
    cohorts = {
        1: {"u": {"a": 1, "name": "old"}},
        2: {"u": {"b": 2, "name": "new"}, "v": {"a": 1}},
        3: {"v": {"a": 1}},
    }
    sync = Sync(rules)
    for window in order:
        sync.run(window, cohorts[window])
    sync.run(3, cohorts[3])

    expected = {"name": "new"} if rules is CLEAR else {"b": 2, "name": "new", "in_cohort": False}
    assert expected == sync.segment.profiles["u"]
    assert sync.fold() == sync.segment.profiles


@both(CHANGED, MEMBERSHIP, CLEAR)
@pytest.mark.parametrize("delivery", [(1, 2), (2, 1)])
@pytest.mark.parametrize("commit", [(1, 2), (2, 1)])
def test_two_runs_that_read_the_same_snapshot(
    rules: Rules, delivery: Sequence[int], commit: Sequence[int]
) -> None:
    """What both sent is sent again by the next run, although it sees neither user."""
    sync = Sync(rules)
    sync.run(0, {"u": {"z": 0}})
    runs = {
        1: sync.extract(1, {"u": {"a": 1, "b": 2}, "v": {"a": 1}}),
        2: sync.extract(2, {"u": {"a": 2}, "v": {"a": 1}}),
    }
    for window in delivery:
        sync.deliver(runs[window])
    for window in commit:
        sync.report(runs[window])
    sync.run(3, {"w": {"a": 1}})

    assert sync.fold() == sync.segment.profiles


@both(CHANGED, MEMBERSHIP)
def test_an_unchanged_row_counts_as_sent(rules: Rules) -> None:
    """A run that had nothing to send for a user is still the newest that saw them."""
    sync = Sync(rules)
    sync.run(1, {"u": {"a": 1}})
    sync.run(3, {"u": {"a": 1}})
    calls = sync.segment.calls
    sync.run(2, {"u": {"a": 2}})

    assert calls == sync.segment.calls
    assert sync.fold() == sync.segment.profiles


@both(CHANGED, MEMBERSHIP, CLEAR)
@pytest.mark.parametrize("writes", range(12))
def test_a_commit_killed_anywhere_is_made_up_for(rules: Rules, writes: int) -> None:
    """Nothing that was accepted is forgotten, wherever the report was killed."""
    sync = Sync(rules)
    sync.run(1, {"u": {"a": 1, "b": 1}, "v": {"a": 1}})
    run = sync.extract(2, {"u": {"a": 2}, "w": {"a": 1}})
    sync.deliver(run)
    with killed_after(writes):
        sync.report(run)
    # What the second window said of `u` must be known to have an effect on the third.
    sync.store.commit(run.name, run.fates())
    sync.run(3, {"u": {"c": 3}, "w": {"a": 1}})

    assert {"c": 3} == {n: v for n, v in sync.segment.profiles["u"].items() if n != "in_cohort"}
    assert sync.fold() == sync.segment.profiles
    assert {} == sync.store.open_runs()


@both(MEMBERSHIP, CLEAR)
def test_a_part_of_a_newer_window_keeps_its_users_in(rules: Rules) -> None:
    """A complete pull says nothing about who was seen after it, though it is the newest one."""
    sync = Sync(rules)
    sync.run(1, {"u": {"a": 1}, "v": {"a": 1}})
    sync.run(3, {"u": {"a": 1}}, complete=False)
    run = sync.run(2, {})

    assert {"v"} == run.users
    assert {} == sync.wrong()


@both(CHANGED, MEMBERSHIP, CLEAR)
def test_what_is_in_doubt_is_sent_again_though_the_row_is_bad(rules: Rules) -> None:
    """A row that is no message does not keep a user wrong, and keeps them in."""
    sync = Sync(rules)
    sync.run(1, {"u": {"a": 1}})
    runs = [sync.extract(2, {"u": {"a": 2}}), sync.extract(1, {"u": {"a": 3}})]
    for run in runs:
        sync.deliver(run)
        sync.report(run)
    assert {"u"} == sync.wrong().keys()
    sync.run(3, {"u": {BAD: 1}})

    assert {} == sync.wrong()
    assert set() == sync.run(3, {"u": {BAD: 1}}).users


@both(CHANGED, MEMBERSHIP, CLEAR)
@pytest.mark.parametrize("others", [1, 2])
def test_who_is_unchanged_while_others_say_another_thing(rules: Rules, others: int) -> None:
    """The next run restores what a run had nothing to send for, although it does not see them."""
    sync = Sync(rules)
    sync.run(1, {"u": {"a": 1}})
    run = sync.extract(3, {"u": {"a": 1}})
    assert set() == run.users
    # Two of them overlap each other, too: the user is in doubt already.
    for other in [sync.extract(2, {"u": {"b": number}}) for number in range(others)]:
        sync.deliver(other)
        sync.report(other)
    sync.report(run)
    assert {"u"} == sync.wrong().keys()
    sync.run(4, {"v": {"a": 1}}, complete=False)

    assert {} == sync.wrong()


def test_who_is_in_doubt_is_sent_though_they_were_told_of() -> None:
    """Where the messages of an old commit are gone, a leave message leaves the content in doubt."""
    sync = Sync(MEMBERSHIP)
    newer, older = sync.extract(2, {"u": {"a": 1}}), sync.extract(1, {"u": {"b": 1}})
    for run in (newer, older):
        sync.deliver(run)
    sync.report(newer)
    sync.folder.delete_run(newer.name, "bodies")
    sync.report(older)
    assert {"u"} == sync.run(3, {}).users
    assert {"u"} == sync.wrong().keys()
    sync.run(2, {"u": {"a": 1}})

    assert {} == sync.wrong()


@pytest.mark.parametrize("writes", range(8))
def test_a_forgetting_that_was_killed_leaves_nothing_when_repeated(writes: int) -> None:
    """The generations before it have the user too."""
    sync = Sync(CHANGED)
    sync.run(1, {"u": {"a": 1}})
    with killed_after(writes):
        sync.forget("u")
    sync.forget("u")

    assert {"2"} == {name[:8].lstrip("0") for name in sync.folder.generations()}
    assert {} == sync.folder.runs()


def test_forgetting_comes_before_any_history() -> None:
    """A request is honoured by a sync of which nothing was ever committed."""
    sync = Sync(CHANGED)
    sync.forget("u")

    assert {"v"} == sync.run(1, {"u": {"a": 1}, "v": {"a": 1}}).users


users = st.sampled_from(["u1", "u2", "u3", "u4", "u5"])
values = st.sampled_from([1, 2, None])
traits_of = st.dictionaries(st.sampled_from(["a", "b", "name", "email"]), values, max_size=4)
oddities = st.sampled_from([{}, {}, {}, {}, {MUTED: 1}, {BAD: 1}, {HUGE: 1}])
rows = st.builds(lambda traits, odd: {**traits, **odd}, traits_of, oddities)
cohorts = st.dictionaries(users, rows, max_size=5)
windows = st.integers(1, 5)
mostly = st.sampled_from([True, True, True, False])


class History(RuleBasedStateMachine):
    """Runs of one sync in any order: overlapping, failing, killed, repeated, or stopped."""

    rules = CHANGED

    def __init__(self) -> None:
        super().__init__()
        Storage.store.clear()
        Storage.meanwhile = None
        self.sync = Sync(type(self).rules)
        self.live: list[Run] = []
        self.held: list[Run] = []
        self.last: dict[tuple[int, bool], Cohort] = {}

    @initialize(cohort=cohorts)
    def first(self, cohort: Cohort) -> None:
        """The sync has a history."""
        self.whole(1, cohort, complete=True)

    def extract(
        self, window: int, cohort: Cohort, *, complete: bool, name: str | None = None
    ) -> Run:
        """Begin a run, and see that it respects who may not be told of."""
        run = self.sync.extract(window, cohort, complete=complete, name=name)
        assert not run.users & self.sync.forgotten
        return run

    @rule(window=windows, cohort=cohorts, complete=mostly)
    def whole(self, window: int, cohort: Cohort, *, complete: bool) -> None:
        """A run that goes well."""
        run = self.extract(window, cohort, complete=complete)
        self.sync.deliver(run)
        self.sync.report(run)
        self.last[window, complete] = cohort

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """The same window again, with the same rows."""
        window, complete = data.draw(st.sampled_from(sorted(self.last)))
        self.whole(window, self.last[window, complete], complete=complete)

    @rule(window=windows, cohort=cohorts, complete=mostly, poisoned=st.none() | users)
    def begin(self, window: int, cohort: Cohort, poisoned: str | None, *, complete: bool) -> None:
        """A run that will overlap others."""
        if poisoned in cohort:
            cohort = {**cohort, poisoned: {**cohort[poisoned], POISON: 1}}
        self.live.append(self.extract(window, cohort, complete=complete))

    @precondition(lambda self: self.last)
    @rule(data=st.data(), window=windows, complete=mostly)
    def begin_alike(self, data: st.DataObject, window: int, *, complete: bool) -> None:
        """A run that will overlap others, and has nothing to send for most of its users."""
        cohort = self.last[data.draw(st.sampled_from(sorted(self.last)))]
        self.live.append(self.extract(window, cohort, complete=complete))

    @precondition(lambda self: self.last)
    @rule(data=st.data(), later=windows, window=windows, cohort=cohorts)
    def overtaken(self, data: st.DataObject, later: int, window: int, cohort: Cohort) -> None:
        """Another run goes well between the extract and the report of one that is like the last."""
        alike = self.last[data.draw(st.sampled_from(sorted(self.last)))]
        run = self.extract(later, alike, complete=False)
        self.whole(window, cohort, complete=False)
        self.live.append(run)
        self.sync.deliver(run)
        self.sync.report(run)
        self.close(run)

    @rule(window=windows, cohort=cohorts, writes=st.integers(0, 6), retried=st.booleans())
    def begin_and_die(self, window: int, cohort: Cohort, writes: int, *, retried: bool) -> None:
        """An extract that is killed sends nothing; Airflow may try again, as the same run."""
        name = new_name()
        with killed_after(writes):
            self.live.append(self.extract(window, cohort, complete=True, name=name))
            return
        if retried:
            self.live.append(self.extract(window, cohort, complete=True, name=name))

    @rule(window=windows, cohort=cohorts, complete=mostly)
    def stop(self, window: int, cohort: Cohort, *, complete: bool) -> None:
        """A guard stops a run: nothing is sent, and somebody may approve it."""
        self.held.append(self.extract(window, cohort, complete=complete))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        """Another DAG run delivers what a guard stopped, whatever has happened meanwhile."""
        run = data.draw(st.sampled_from(self.held))
        self.held.remove(run)
        assert self.sync.store.adopt(run.name, {})
        self.live.append(run)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), writes=st.none() | st.integers(0, 3))
    def discard(self, data: st.DataObject, writes: int | None) -> None:
        """Nobody approves it."""
        run = data.draw(st.sampled_from(self.held))
        self.held.remove(run)
        if writes is not None:
            with killed_after(writes):
                self.sync.store.discard(run.name)
        self.sync.store.discard(run.name)

    @precondition(lambda self: any(not run.reported for run in self.live))
    @rule(data=st.data(), upto=st.none() | st.integers(0, SHARD), lost=st.integers(0, 2))
    def deliver(self, data: st.DataObject, upto: int | None, lost: int) -> None:
        """Some or all messages are sent, and some answers are lost; a report is the end of it."""
        run = data.draw(st.sampled_from([run for run in self.live if not run.reported]))
        if run.is_poisoned:
            # Segment refuses a message only in an answer, so there is one.
            upto, lost = None, 0
        self.sync.deliver(run, upto=upto, lost=lost)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), writes=st.none() | st.integers(0, 12), repeats=st.integers(1, 2))
    def report(self, data: st.DataObject, writes: int | None, repeats: int) -> None:
        """A report commits, or is killed and tried again later."""
        run = data.draw(st.sampled_from(self.live))
        if writes is not None:
            with killed_after(writes):
                self.sync.report(run)
            return
        for _ in range(repeats):
            self.sync.report(run)
        self.close(run)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), user=st.none() | users)
    def meanwhile(self, data: st.DataObject, user: str | None) -> None:
        """Between a report's last look at the pointer and its writing of it, another commits."""
        run = data.draw(st.sampled_from(self.live))
        others = [other for other in self.live if other is not run]
        other = data.draw(st.sampled_from(others)) if others else None
        if other is not None:
            Storage.meanwhile = POINTING, lambda: self.sync.report(other)
        elif user is not None:
            Storage.meanwhile = POINTING, lambda: self.sync.forget(user)
        self.sync.report(run)
        Storage.meanwhile = None
        self.close(run)

    @precondition(lambda self: any(run.may_be_abandoned for run in self.live))
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        """A run whose report never comes."""
        run = data.draw(st.sampled_from([run for run in self.live if run.may_be_abandoned]))
        if run.name not in {one.name for one in self.sync.commits()}:
            self.sync.counted[run.name] = run.contributes(Fates.unknown())
            self.sync.store.abandon(run.name)
        self.close(run)

    @rule(user=users, writes=st.none() | st.integers(0, 8))
    def forget(self, user: str, writes: int | None) -> None:
        """Somebody wants to be forgotten, and the request is repeated where it was killed."""
        before = self.sync.folder.pointer()
        if writes is not None:
            with killed_after(writes):
                self.sync.forget(user)
        self.sync.forget(user)
        pointer = self.sync.folder.pointer()
        assert pointer is not None
        # Of what another commit was about to make current, the next commit takes care: it has the
        # number of one that may be pointed at, so that a request which changes nothing leaves it.
        last = min(int(before["generation"]) if before else 0, int(pointer["generation"]) - 1)
        names = [name for name in self.sync.folder.generations() if int(name[:8]) <= last]
        self.untraced([*names, pointer["file"]])

    @precondition(lambda self: len(self.last) > 1)
    @rule(writes=st.none() | st.integers(0, 6))
    def reset(self, writes: int | None) -> None:
        """The snapshot is given up, and with it whatever is under way."""
        if writes is not None:
            with killed_after(writes):
                self.sync.reset()
        self.sync.reset()
        for run in self.live:
            with pytest.raises(PermanentError, match="it is gone"):
                self.sync.store.commit(run.name, run.fates())
        assert [] == self.sync.folder.generations()
        self.live, self.held, self.last = [], [], {}

    def close(self, run: Run) -> None:
        """Note what a window held last; what Segment refused somebody mends before the next run."""
        self.live.remove(run)
        self.last[run.window, run.complete] = {
            user: {name: value for name, value in traits.items() if name != POISON}
            for user, traits in run.cohort.items()
        }

    def untraced(self, generations: list[str]) -> None:
        """None of these generations has anything of a forgotten user."""
        for name in generations:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "snapshot"
                self.sync.folder.read_generation(name, path)
                with closing(tables.connect(path)) as database:
                    found = {key for (key,) in database.execute("SELECT key FROM users")}
            assert not found & {self.sync.key(user) for user in self.sync.forgotten}

    @invariant()
    def no_open_end(self) -> None:
        """Each profile that Segment has is of a user whom a run sent."""
        sent = set[str]().union(*(run.users for run in self.sync.known.values()))
        assert self.sync.segment.profiles.keys() <= sent

    def teardown(self) -> None:
        """After one more run of the newest window, every profile is the in-order fold."""
        for run in list(self.live):
            self.sync.report(run)
            self.close(run)
        for name in {run.name for run in self.held} | self.sync.store.open_runs().keys():
            self.sync.store.discard(name)
        # Only a complete pull says who has left.
        newest = max((window for window, complete in self.last if complete), default=1)
        self.whole(newest, self.last.get((newest, True), {}), complete=True)
        later = max(window for window, _ in self.last)
        if later > newest:
            self.whole(later, self.last[later, False], complete=False)
        assert {} == self.sync.wrong()
        self.untraced(self.sync.folder.generations())
        assert {} == self.sync.folder.runs()


class MembershipHistory(History):
    """The same with a trait that says who is in."""

    rules = MEMBERSHIP


class ClearHistory(History):
    """The same with traits that are cleared."""

    rules = CLEAR


@pytest.mark.parametrize("machine", [History, MembershipHistory, ClearHistory])
def test_profiles_are_the_fold(machine: Callable[[], RuleBasedStateMachine]) -> None:
    """Any history, in any order, leaves what the runs say in the order of their windows."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None,
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
        ),
    )


EXAMPLES = int(os.environ.get("LOOKER_SEGMENT_HISTORIES", "60"))
"""More of them look longer: 10,000 of each kind take about 40 minutes."""

STEPS = 14
