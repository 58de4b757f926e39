"""What can be said about a Look and its destinations before the query runs.

Which columns a Look has enters; the best message it can lead to, and sentences for people, leave.
No row is needed, and none is seen.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypedDict, Unpack

from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.rules import Condition

MAX_COLUMNS_SHOWN = 20
"""Columns that a sentence lists before it only counts the rest."""

ANYTHING = "a" * 500 + "@example.com"
"""A value of every length and shape that a rule may ask for."""


class Possibilities(TypedDict):
    """What the messages of a Look can hold.

    :param look: the Look's id, for the sentences.
    :param has_user_id: whether messages can have a ``userId``; likewise the others.
    :param traits: names of the traits that messages can have.
    :param columns: names of the columns that the Look shows, for the sentences.
    """

    look: str
    has_user_id: bool
    has_email: bool
    has_anonymous_id: bool
    has_group_id: bool
    traits: Collection[str]
    columns: Collection[str]


def possibilities(planned: Plan) -> Possibilities:
    """Say what the messages of a Look can hold, from what each of its columns means."""
    return {
        "look": planned.look.id,
        "has_user_id": planned.user_id is not None,
        "has_email": any(column is planned.email for _, column in planned.traits),
        "has_anonymous_id": planned.anonymous_id is not None or planned.derives_anonymous_ids,
        "has_group_id": planned.group_id is not None,
        "traits": [name for name, _ in planned.traits],
        "columns": [column.name for column in planned.look.columns],
    }


def best_message(**possible: Unpack[Possibilities]) -> dict[str, Any]:
    """Build the most complete message that a Look can lead to."""
    message: dict[str, Any] = {"traits": dict.fromkeys(possible["traits"], ANYTHING)}
    if possible["has_user_id"]:
        message["userId"] = ANYTHING
    if possible["has_anonymous_id"]:
        message["anonymousId"] = ANYTHING
    if possible["has_email"]:
        message["traits"]["email"] = ANYTHING
    if possible["has_group_id"]:
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
