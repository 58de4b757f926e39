"""How accepted messages change a user."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.sandbox.profiles import (
    Arrival,
    Profile,
    changed,
    profile_key,
)

FIRST = Arrival("2026-01-01T00:00:00.000Z", "2025-12-31T00:00:00.000Z", "2025-12-31", 0b01)
LATER = Arrival("2026-01-02T00:00:00.000Z", "2026-01-01T00:00:00.000Z", "2026-01-01", 0b10)


def identify(traits: Any = None, **members: Any) -> dict[str, Any]:
    """Build an identify call of user 7."""
    return {"type": "identify", "userId": "7", "traits": traits, **members}


def test_traits_merge_in_order_of_arrival_and_null_clears() -> None:
    """A later identify call wins, keeps what it does not name, and removes what it nulls."""
    profile = changed(None, identify({"a": 1, "b": 2, "c": None}), FIRST)

    profile = changed(profile, identify({"a": 3, "b": None, "d": "x"}), LATER)

    assert {"a": 3, "d": "x"} == profile.traits


def test_times_counts_and_destinations_add_up() -> None:
    """The first arrival stays, the last one moves, destinations only grow."""
    profile = changed(changed(None, identify(), FIRST), identify(), LATER)

    assert (
        Profile("7", None, "{}", None, LATER.timestamp, "2026-01-01", FIRST[0], LATER[0], 2, 0b11)
        == profile
    )


@pytest.mark.parametrize("type_", ["track", "page", "screen", "group", "alias"])
def test_only_identify_changes_traits(type_: str) -> None:
    """Other calls count, but their traits are not the user's."""
    before = changed(None, identify({"a": 1}), FIRST)

    after = changed(before, {"type": type_, "userId": "7", "traits": {"a": 9}}, LATER)

    assert {"a": 1} == after.traits
    assert 2 == after.messages


@pytest.mark.parametrize(
    ("message", "group_id"),
    [
        (identify(context={"groupId": "g"}), "g"),
        (identify(groupId="g"), None),
        (identify(context={"groupId": 5}), None),
        (identify(context="none"), None),
        ({"type": "group", "userId": "7", "groupId": "g"}, "g"),
    ],
)
def test_the_group_comes_from_the_context(message: dict[str, Any], group_id: str | None) -> None:
    """A top-level groupId belongs to group calls alone."""
    assert group_id == changed(None, message, FIRST).group_id


def test_the_user_id_names_the_profile_before_the_anonymous_id() -> None:
    """An anonymousId equal to somebody's userId is another profile."""
    assert (True, "7") == profile_key(identify(anonymousId="a"))
    assert (False, "7") == profile_key({"type": "identify", "anonymousId": "7"})


@settings(deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"), st.none() | st.integers() | st.text() | st.booleans()
        )
    )
)
def test_a_profile_is_always_the_fold_of_its_messages(calls: list[dict[str, Any]]) -> None:
    """Merging calls one by one equals folding them into a dict and dropping nulls."""
    profile: Profile | None = None
    expected: dict[str, Any] = {}
    for traits in calls:
        profile = changed(profile, identify(traits), FIRST)
        expected.update(traits)

    kept = {name: value for name, value in expected.items() if value is not None}
    assert kept == (profile.traits if profile else {})
