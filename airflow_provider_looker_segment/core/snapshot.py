"""What a snapshot compares and what a run of a sync sends: fingerprints, names, composed messages.

A mapped message enters, its fingerprint or the message to send leaves. A trait that Segment holds
and the message lacks is sent as null, and no trait outside this sync is ever touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal

from airflow_provider_looker_segment.core.encoding import encode_sorted
from airflow_provider_looker_segment.core.history import Told
from airflow_provider_looker_segment.core.mapping import EMAIL_TRAIT, PROTECTED_NAMES
from airflow_provider_looker_segment.core.traits import RESERVED_TYPES
from airflow_provider_looker_segment.exceptions import PermanentError

Mode = Literal["changed", "mirror"]
OnLeave = Literal["membership", "clear"]

TRAITS_BEGIN = ',"traits":{'
"""Of a message as text, after its ids."""

_USER = '{"userId":'
_ANONYMOUS = ',"anonymousId":'
_SKELETON = ("userId", "anonymousId", "context", "integrations")
_MOST_KNOWN_SETS = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a sync tells Segment who is in its Look.

    :param on_leave: ``"membership"`` keeps a trait that is true in the Look and false after,
        ``"clear"`` makes null what this sync sent, but for reserved traits such as ``name``.
    :param membership_trait: the name of that trait; unused with ``"clear"``.
    """

    mode: Mode
    on_leave: OnLeave = "membership"
    membership_trait: str = ""

    @property
    def mirrors(self) -> bool:
        """Whether leaving the Look is told."""
        return self.mode == "mirror"

    @property
    def trait(self) -> str:
        """The membership trait, or nothing where messages have none."""
        return self.membership_trait if self.mirrors and self.on_leave == "membership" else ""

    @property
    def salt(self) -> str:
        """What makes a message under other rules another message."""
        return f"{self.on_leave}/{self.trait}" if self.mirrors else ""

    def check(self, traits: Iterable[str], *, where: str) -> None:
        """Refuse a membership trait that a column of the Look would be too.

        :param traits: names of the traits that the Look's columns become.
        :raises PermanentError: when it has no name of its own.
        """
        if self.mirrors and self.on_leave == "membership" and not self.trait.strip():
            but = "it has no name"
        elif self.trait and self.trait in traits:
            but = f"a column of the Look is already sent as `{self.trait}`"
        elif self.trait in RESERVED_TYPES:
            but = f"Segment fixes what `{self.trait}` means"
        elif self.trait in PROTECTED_NAMES:
            but = f"`{self.trait}` would shadow a part of the message"
        else:
            return
        raise PermanentError(
            f"{where}: its membership trait",
            should="be a trait of its own",
            but=but,
            do="Choose another membership_trait, or rename the column with mapping.rename.",
        )


class Names:
    """The names of a sync's traits, each with a bit, so that a set of them is a number.

    :param known: in the order of their bits.
    """

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._names: list[str] = []
        self._bits: dict[str, int] = {}
        # Most messages of a sync have the same few sets of names.
        self._known_sets: dict[tuple[str, ...], int] = {}
        self._known_lists: dict[int, list[str]] = {}
        for name in known:
            self.bit(name)

    def bit(self, name: str) -> int:
        """Return the bit of a name; a new name gets the next one."""
        bit = self._bits.get(name)
        if bit is None:
            bit = self._bits[name] = 1 << len(self._names)
            self._names.append(name)
        return bit

    def of(self, traits: Mapping[str, Any]) -> int:
        """Return the bits of the traits that have a value."""
        names = tuple(traits)
        if None in traits.values():
            names = tuple(name for name in names if traits[name] is not None)
        bits = self._known_sets.get(names)
        if bits is None:
            if len(self._known_sets) >= _MOST_KNOWN_SETS:
                self._known_sets.clear()
            bits = self._known_sets[names] = sum({self.bit(name) for name in names})
        return bits

    def listed(self, bits: int) -> list[str]:
        """Return the names of bits, in the order of their bits.

        >>> names = Names(["plan", "city"])
        >>> names.listed(names.of({"city": "Oslo"}))
        ['city']
        """
        found = self._known_lists.get(bits)
        if found is None:
            if len(self._known_lists) >= _MOST_KNOWN_SETS:
                self._known_lists.clear()
            found = [name for name in self._names if bits & self._bits[name]]
            self._known_lists[bits] = found
        return found

    def translated(self, bits: int, other: Names) -> int:
        """Return the bits that ``other`` has for the same names."""
        found = 0
        for name in self.listed(bits):
            found |= other.bit(name)
        return found

    def as_list(self) -> list[str]:
        """Return all names in the order of their bits."""
        return list(self._names)


class Composer:
    """Builds what a sync sends.

    :param names: of the snapshot; new names are added to it.
    """

    def __init__(self, rules: Rules, names: Names) -> None:
        self._rules = rules
        self._names = names
        salt = rules.salt.encode("utf-8", "surrogatepass")
        self._salted = blake2b(digest_size=16, key=salt[:64])

    def fingerprint(self, body: Mapping[str, Any]) -> bytes:
        """Sixteen bytes that stand for a mapped message, whatever the order of its columns."""
        digest = self._salted.copy()
        digest.update(encode_sorted(body))
        return digest.digest()

    def fingerprint_of_text(self, text: str) -> bytes:
        """Return the same of a message that is text.

        :param text: of ids and traits alone, the traits in the order of their names.
        """
        # No quote within an id is without a backslash: this is where the traits begin.
        ids, begin, traits = text.partition(TRAITS_BEGIN)
        user, _, anonymous = ids.partition(_ANONYMOUS)
        if anonymous:
            text = f'{{"anonymousId":{anonymous}{begin}{traits[:-1]},{user[1:]}}}'
        elif ids.startswith(_USER):
            text = f"{{{begin[1:]}{traits[:-1]},{user[1:]}}}"
        digest = self._salted.copy()
        digest.update(text.encode())
        return digest.digest()

    def message(self, body: dict[str, Any], told: Told, known: int) -> tuple[dict[str, Any], int]:
        """Build the message about a user whose row, or whose stored body, is at hand.

        :param body: as mapped.
        :param told: whether it says that they are in or have left.
        :param known: bits of the traits that Segment may hold.
        :return: the message, which is the body where there is nothing to add, and the bits of the
            traits that Segment holds after it.
        """
        traits = body["traits"]
        if not self._rules.mirrors:
            after = self._names.of(traits)
            if not known & ~after:
                return body, after
        traits = dict(traits)
        if self._rules.trait:
            traits[self._rules.trait] = told == Told.IN
        elif told == Told.LEFT:
            traits = {name: value for name, value in traits.items() if name in RESERVED_TYPES}
        after = self._names.of(traits)
        if gone := known & ~after:
            traits |= dict.fromkeys(self._names.listed(gone))
        return {**body, "traits": traits}, after

    def leave(self, skeleton: Mapping[str, Any], known: int) -> tuple[dict[str, Any], int]:
        """Build the message about a user of whom only the skeleton is left.

        :return: the message, and the bits of the traits that Segment holds after it.
        """
        traits: dict[str, Any] = dict(skeleton["traits"])
        if self._rules.trait:
            traits[self._rules.trait] = False
            return {**skeleton, "traits": traits}, known | self._names.of(traits)
        for name in self._names.listed(known):
            if name not in RESERVED_TYPES:
                traits[name] = None
        stays = {name: True for name in self._names.listed(known) if name in RESERVED_TYPES}
        return {**skeleton, "traits": traits}, self._names.of(stays)


def skeleton(body: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a mapped message what a leave message needs."""
    kept: dict[str, Any] = {key: body[key] for key in _SKELETON if key in body}
    email = body["traits"].get(EMAIL_TRAIT)
    return {**kept, "traits": {} if email is None else {EMAIL_TRAIT: email}}


def identity(body: Mapping[str, Any]) -> tuple[str, str]:
    """Say whom a message is about: the kind of id, and the id."""
    kind = "userId" if "userId" in body else "anonymousId"
    return kind, body[kind]


def microseconds(moment: datetime) -> int:
    """Return a moment as the history counts them.

    >>> microseconds(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (moment - _EPOCH) // timedelta(microseconds=1)


def timestamp(window: int) -> str:
    """Return the end of a window as a message's timestamp says it.

    >>> timestamp(86_400_000_000)
    '1970-01-02T00:00:00+00:00'
    """
    return (_EPOCH + timedelta(microseconds=window)).isoformat()
