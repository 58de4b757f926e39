"""A run stops before anything is sent when a guard is broken."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.guards import Cohort, Guards
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.exceptions import PermanentError


def tally(rows: int = 100, rejected: int = 0) -> Tally:
    """What became of some rows."""
    result = Tally(rows=rows, messages=rows - rejected)
    for number in range(1, rejected + 1):
        result.problems.add("array_value", "users.x", number)
    return result


def stops(guards: Guards, found: Tally, cohort: Cohort | None = None) -> str:
    """The message of the stopped run."""
    with pytest.raises(PermanentError) as caught:
        guards.check(found, look="Look 1", cohort=cohort)
    assert "Nothing was sent." in str(caught.value)
    return str(caught.value)


def test_defaults_let_a_good_run_pass() -> None:
    """A run without problems passes, and one without rows too."""
    Guards().check(tally(), look="Look 1")
    Guards().check(tally(rows=0), look="Look 1")


@pytest.mark.parametrize("percent", range(101))
def test_max_rejected_is_exact(percent: int) -> None:
    """Exactly the allowed share passes, one row more stops; no rounding is in the way."""
    guards = Guards(max_rejected=percent / 100)
    guards.check(tally(rejected=percent), look="Look 1")
    if percent < 100:
        stops(guards, tally(rejected=percent + 1))


def test_max_rejected_in_words() -> None:
    """The message holds the arithmetic, the codes, the columns and the first rows."""
    assert stops(Guards(), tally(rows=1000, rejected=20)) == (
        "Look 1: its rows that are no message should be at most 1.00% of 1,000 "
        "(guards.max_rejected), but they are 20: 20 rows array_value in `users.x` "
        "(first rows 1, 2, 3). Nothing was sent. "
        "Mend the Look, change the mapping, or raise the guard."
    )


def test_problems_without_a_column() -> None:
    """A problem of the row as a whole names no column."""
    found = tally()
    for number in (4, 9):
        found.problems.add("conflicting_duplicate", "", number)
    assert "2 rows conflicting_duplicate (first rows 4, 9)" in stops(Guards(), found)


def test_min_rows() -> None:
    """A Look that returns fewer rows than it must stops the run."""
    Guards(min_rows=100).check(tally(), look="Look 1")
    assert "at least 101 (guards.min_rows), but they are 100" in stops(
        Guards(min_rows=101), tally()
    )


def test_max_messages() -> None:
    """More messages than allowed stop the run."""
    Guards(max_messages=100).check(tally(), look="Look 1")
    assert "at most 99 (guards.max_messages)" in stops(Guards(max_messages=99), tally())


def test_max_messages_counts_what_would_be_sent() -> None:
    """In a mode that sends less than all rows, or more, the rows do not matter."""
    guards = Guards(max_messages=5)

    guards.check(tally(rows=100), look="Look 1", cohort=Cohort(messages=5))
    assert "they are 6" in stops(guards, tally(rows=1), Cohort(messages=6))


@pytest.mark.parametrize(
    ("rows", "last", "share", "is_stopped"),
    [
        (150, 100, 0.5, False),
        (50, 100, 0.5, False),
        (151, 100, 0.5, True),
        (49, 100, 0.5, True),
        (129, 100, 0.29, False),
        (100, 100, 0, False),
        (101, 100, 0, True),
        (0, 0, 0, False),
        (1, 0, 1000, True),
        (1, None, 0, False),
        (1_000, 1, None, False),
    ],
)
def test_max_change_is_exact(
    rows: int, last: int | None, share: float | None, *, is_stopped: bool
) -> None:
    """Exactly the allowed share more or fewer passes; after none, any row is too many."""
    guards, found = Guards(max_change=share), tally(rows=rows)
    cohort = Cohort(messages=rows, last_rows=last)
    if is_stopped:
        assert "(guards.max_change)" in stops(guards, found, cohort)
    else:
        guards.check(found, look="Look 1", cohort=cohort)


@pytest.mark.parametrize(("leavers", "users_in"), [(20, 100), (2, 10), (0, 0), (0, 10)])
def test_as_many_as_the_guard_says_may_leave(leavers: int, users_in: int) -> None:
    """Exactly the allowed share passes, one user more stops."""
    found = tally()
    cohort = Cohort(messages=100, leavers=leavers, users_in=users_in)

    Guards().check(found, look="Look 1", cohort=cohort)
    if leavers:
        more = Cohort(messages=100, leavers=leavers + 1, users_in=users_in)
        said = stops(Guards(), found, more)
        assert f"at most 20.00% of {users_in} (guards.max_leavers)" in said


def test_max_unmet() -> None:
    """A destination that can take too few of the messages stops the run and says what it needs."""
    requirements = Requirements(["mailchimp"], rules="table")
    found = tally(rows=3)
    met = {"userId": "u", "traits": {"email": "a@b.c"}}
    for message in (met, {"userId": "u", "traits": {}}, {"userId": "u", "traits": {}}):
        found.verdicts.add(requirements.check(message))
    Guards(max_unmet=2 / 3).check(found, look="Look 1")
    said = stops(Guards(), found)
    assert "the messages that mailchimp cannot take" in said
    assert "at most 50.00% of 3 (guards.max_unmet), but they are 2: 2 needs_email" in said


@pytest.mark.parametrize("name", ["max_rejected", "max_unmet", "max_change", "max_leavers"])
def test_a_guard_that_is_no_number_is_none(name: str) -> None:
    """Nothing is above NaN, which a YAML file may hold: it would stop no run."""
    with pytest.raises(PermanentError, match=rf"guards\.{name} should be a number"):
        Guards.of({name: float("nan")})


def test_a_guard_may_be_as_large_as_anybody_likes() -> None:
    """A number that no float can be is one all the same."""
    assert 10**400 == Guards.of({"max_messages": 10**400}).max_messages


def test_a_guard_that_nobody_set_is_the_default() -> None:
    """As in a mapping, what is null was not said."""
    names = ("max_rejected", "max_unmet", "min_rows", "max_change", "max_leavers", "max_messages")

    assert Guards() == Guards.of(dict.fromkeys(names))


def test_guards_from_plain_data() -> None:
    """Guards read like the dict a user writes."""
    assert Guards.of(None) == Guards()
    assert Guards.of({"min_rows": 5, "max_messages": None}) == Guards(min_rows=5)
    assert Guards.of(Guards(min_rows=5)) == Guards(min_rows=5)


@pytest.mark.parametrize(
    "said",
    [
        {"max_rejected": 2},
        {"min_rows": -1},
        {"max_messages": 0},
        {"max_rejected": "1%"},
        {"min_row": 1},
        Guards(max_unmet=-1),
    ],
    ids=str,
)
def test_guards_are_checked(said: Any) -> None:
    """A guard that makes no sense is refused when it is read."""
    with pytest.raises(PermanentError, match="guards"):
        Guards.of(said)


@pytest.mark.parametrize(("repeats", "is_stopped"), [(9, False), (10, True)])
def test_a_few_repeats_of_the_only_user_pass(repeats: int, *, is_stopped: bool) -> None:
    """A join may repeat a row a few times, and a Look may hold one user."""
    found = Tally(rows=1 + repeats, messages=1 + repeats)
    for number in range(2, 2 + repeats):
        found.add_repeated(number, True)
    if is_stopped:
        assert f"but {repeats + 1} of {repeats + 1} say the same" in stops(Guards(), found)
    else:
        Guards().check(found, look="Look 1")


@pytest.mark.parametrize(
    ("others", "is_unsendable"), [(0, False), (0, True), (1, False), (1, True)]
)
def test_repeats_of_one_user_stop_a_run(others: int, *, is_unsendable: bool) -> None:
    """Rows about nobody else stop a run, whether their message could be sent or not."""
    found = Tally(rows=12 + others, messages=12 + others)
    for number in range(2, 13):
        found.add_repeated(number, True)
    if is_unsendable:
        found.add_unsendable("message_too_large", 1)
    assert found.rows == found.messages + found.duplicates + found.rejected
    guards = Guards(max_rejected=1.0)
    if others:
        guards.check(found, look="Look 1")
    else:
        assert "masks the id" in stops(guards, found)
