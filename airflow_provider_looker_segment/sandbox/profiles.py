"""How accepted messages change what is known of a user.

Pure: a profile and a message in, a new profile out; nothing is edited in place. Traits rest as
JSON text, because a million users of a few hundred bytes fit in memory as text and not as dicts,
and unescaped, so that the text can be searched as it is.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

_ENCODE: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Arrival(NamedTuple):
    """What a profile needs to know of a message beside its body.

    :param received_at: when it arrived, ISO 8601.
    :param timestamp: when it happened, corrected for the sender's clock, ISO 8601.
    :param original_timestamp: its ``timestamp`` as sent, if it had one.
    :param destinations: the destinations it reaches, as bits of a router.
    """

    received_at: str
    timestamp: str
    original_timestamp: str | None
    destinations: int


class Profile(NamedTuple):
    """One user: by ``userId``, else by ``anonymousId``."""

    user_id: str | None
    anonymous_id: str | None
    traits_json: str
    group_id: str | None
    timestamp: str
    original_timestamp: str | None
    first_seen: str
    last_seen: str
    messages: int
    destinations: int

    @property
    def traits(self) -> dict[str, Any]:
        """The traits as they stand after every message so far."""
        traits: dict[str, Any] = json.loads(self.traits_json)
        return traits


def profile_key(message: dict[str, Any]) -> tuple[bool, str]:
    """Say whose profile a message changes: ``(known by userId, the id)``."""
    user_id = message.get("userId")
    return (False, message["anonymousId"]) if user_id is None else (True, user_id)


def changed(profile: Profile | None, message: dict[str, Any], arrival: Arrival) -> Profile:
    """Return the profile after one more message, in order of arrival.

    An identify call merges its traits, a null removes the trait. ``context.groupId`` (of any
    call) and the ``groupId`` of a group call set the group.
    """
    is_identify = message["type"] == "identify"
    traits = message.get("traits") if is_identify else None
    anonymous_id = message.get("anonymousId")
    group_id = _group_id(message)
    if profile is None:
        return Profile(
            message.get("userId"),
            anonymous_id,
            _merged("{}", traits) if traits else "{}",
            group_id,
            arrival.timestamp,
            arrival.original_timestamp,
            arrival.received_at,
            arrival.received_at,
            1,
            arrival.destinations,
        )
    return Profile(
        profile.user_id,
        anonymous_id or profile.anonymous_id,
        _merged(profile.traits_json, traits) if traits else profile.traits_json,
        group_id or profile.group_id,
        arrival.timestamp,
        arrival.original_timestamp,
        profile.first_seen,
        arrival.received_at,
        profile.messages + 1,
        profile.destinations | arrival.destinations,
    )


def _merged(traits_json: str, news: dict[str, Any]) -> str:
    if traits_json == "{}" and None not in news.values():
        return _ENCODE(news)
    traits = json.loads(traits_json)
    for name, value in news.items():
        if value is None:
            traits.pop(name, None)
        else:
            traits[name] = value
    return _ENCODE(traits)


def _group_id(message: dict[str, Any]) -> str | None:
    context = message.get("context")
    found = context.get("groupId") if isinstance(context, dict) else None
    if found is None and message["type"] == "group":
        found = message.get("groupId")
    return found if isinstance(found, str) and found else None
