"""What can be said about a Look and its destinations before the query runs.

Which columns a Look has enters; the best message it can lead to, and sentences for people, leave.
No row is needed, and none is seen.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from airflow_provider_looker_segment.core.rules import Condition

MAX_COLUMNS_SHOWN = 20
"""Columns that a sentence lists before it only counts the rest."""

ANYTHING = "a" * 500 + "@example.com"
"""A value of every length and shape that a rule may ask for."""


def best_message(
    *,
    has_user_id: bool,
    has_email: bool,
    has_anonymous_id: bool,
    has_group_id: bool,
    traits: Collection[str],
) -> dict[str, Any]:
    """Build the most complete message that a Look can lead to."""
    message: dict[str, Any] = {"traits": dict.fromkeys(traits, ANYTHING)}
    if has_user_id:
        message["userId"] = ANYTHING
    if has_anonymous_id:
        message["anonymousId"] = ANYTHING
    if has_email:
        message["traits"]["email"] = ANYTHING
    if has_group_id:
        message["context"] = {"groupId": ANYTHING}
    return message


def misspelt(needs: Condition, traits: Collection[str]) -> dict[str, str]:
    """Find traits that lack nothing but the spelling a rule asks for.

    :return: the trait as it is → the name it should have, the rule's first choice.
    """
    spelt = {_letters(trait): trait for trait in traits}
    found: dict[str, str] = {}
    for leaf in needs.leaves():
        name = leaf.path[-1]
        if leaf.path[0] == "traits" and _letters(name) in spelt and name not in traits:
            found.setdefault(spelt[_letters(name)], name)
    return found


def listed(names: Collection[str]) -> str:
    """Write names as a list for a sentence, the first of them only where there are many."""
    shown = [f"`{name}`" for name in list(names)[:MAX_COLUMNS_SHOWN]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "no column"


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()
