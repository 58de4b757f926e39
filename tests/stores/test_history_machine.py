"""The law of history: whatever the order of windows, failures and kills, profiles are the fold."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from tests.histories import (
    CHANGED,
    CLEAR,
    MEMBERSHIP,
    SHARD,
    Cohort,
    Run,
    Storage,
    Sync,
    killed_after,
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


users = st.sampled_from(["u1", "u2", "u3", "u4", "u5"])
values = st.sampled_from([1, 2, None])
traits_of = st.dictionaries(st.sampled_from(["a", "b", "name", "email"]), values, max_size=4)
cohorts = st.dictionaries(users, traits_of, max_size=5)
windows = st.integers(1, 5)


class History(RuleBasedStateMachine):
    """Runs of one sync in any order, overlapping, failing, killed and repeated."""

    rules = CHANGED

    def __init__(self) -> None:
        super().__init__()
        Storage.store.clear()
        self.sync = Sync(type(self).rules)
        self.live: list[Run] = []
        self.unfinished: dict[int, Cohort] = {}
        self.last: dict[int, Cohort] = {}

    @initialize(cohort=cohorts)
    def first(self, cohort: Cohort) -> None:
        """The sync has a history."""
        self.whole(1, cohort, complete=True)

    @rule(window=windows, cohort=cohorts, complete=st.booleans())
    def whole(self, window: int, cohort: Cohort, *, complete: bool) -> None:
        """A run that goes well."""
        self.sync.run(window, cohort, complete=complete)
        self.finished(window, cohort)

    @precondition(lambda self: self.last)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        """The same window again, with the same rows."""
        window = data.draw(st.sampled_from(sorted(self.last)))
        self.sync.run(window, self.last[window])
        self.finished(window, self.last[window])

    @rule(window=windows, cohort=cohorts, poisoned=st.none() | users)
    def begin(self, window: int, cohort: Cohort, poisoned: str | None) -> None:
        """A run that will overlap others."""
        if poisoned in cohort and not self.sync.rules.mirrors:
            cohort = {**cohort, poisoned: {**cohort[poisoned], "poison": 1}}
        self.live.append(self.sync.extract(window, cohort))

    @rule(window=windows, cohort=cohorts, writes=st.integers(0, 6))
    def begin_and_die(self, window: int, cohort: Cohort, writes: int) -> None:
        """An extract that is killed sends nothing."""
        with killed_after(writes):
            self.live.append(self.sync.extract(window, cohort))

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

    @precondition(lambda self: any(run.may_be_abandoned for run in self.live))
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        """A run whose report never comes."""
        run = data.draw(st.sampled_from([run for run in self.live if run.may_be_abandoned]))
        if run.name not in {one.name for one in self.sync.commits()}:
            self.sync.counted[run.name] = run.contributes(Fates.unknown())
            self.sync.store.abandon(run.name)
        self.close(run)

    def close(self, run: Run) -> None:
        """Note what a run leaves to be done again."""
        self.live.remove(run)
        if run.answered >= set(range(len(run.lines))):
            self.finished(run.window, run.cohort)
        else:
            self.unfinished[run.window] = run.cohort
            self.last[run.window] = run.cohort

    def finished(self, window: int, cohort: Cohort) -> None:
        """Note the newest rows of a window."""
        self.last[window] = cohort
        self.unfinished.pop(window, None)

    @invariant()
    def no_open_end(self) -> None:
        """Each profile that Segment has is of a user whom a run sent."""
        sent = {
            json.loads(line.body)["userId"]
            for run in self.sync.known.values()
            for line in run.lines
        }
        assert self.sync.segment.profiles.keys() <= sent

    def teardown(self) -> None:
        """After one more run of the newest window, every profile is the in-order fold."""
        for run in list(self.live):
            self.sync.report(run)
            self.close(run)
        for window, cohort in list(self.unfinished.items()):
            self.sync.run(window, cohort)
        if not self.last:
            return
        newest = max(self.last)
        self.sync.run(newest, self.last[newest])
        assert self.sync.fold() == self.sync.segment.profiles


class MembershipHistory(History):
    """The same with a trait that says who is in."""

    rules = MEMBERSHIP


class ClearHistory(History):
    """The same with traits that are cleared."""

    rules = CLEAR


@pytest.mark.parametrize("machine", [History, MembershipHistory, ClearHistory])
def test_profiles_are_the_fold(machine: type[History]) -> None:
    """Any history, in any order, leaves what the runs say in the order of their windows."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            deadline=None,
            max_examples=EXAMPLES,
            stateful_step_count=14,
            suppress_health_check=list(HealthCheck),
        ),
    )


EXAMPLES = 40
