"""Messages of a sync made from text: what core.snapshot adds to a mapped message, put at its end.

The text of a mapped message enters, that of the message to send leaves, and nothing is parsed. A
message whose text is not plain enough is left to core.snapshot; where both apply they agree.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from airflow_provider_looker_segment.core.encoding import encode
from airflow_provider_looker_segment.core.history import Told
from airflow_provider_looker_segment.core.mapping import EMAIL_TRAIT
from airflow_provider_looker_segment.core.plain_rows import TraitNames
from airflow_provider_looker_segment.core.snapshot import TRAITS_BEGIN, Names, Rules

UNKNOWN = 0
"""The shape of a message that is not plain enough."""

_MOST_SHAPES = 4_000
_MOST_ENDINGS = 4_000
_EMAIL = f'"{EMAIL_TRAIT}":"'


class _Shape(NamedTuple):
    """The names that a message has traits of.

    :param names: bits of those that have a value.
    :param nulls: the others.
    """

    names: int
    nulls: tuple[str, ...]
    traits: int
    has_email: bool


class Ending(NamedTuple):
    """What makes a mapped message one that is sent.

    :param text: takes the place of the last two characters; empty where the message stays.
    :param traits: how many the message has.
    :param names: bits of those that Segment holds once it has accepted the message.
    """

    text: str
    traits: int
    names: int

    def after(self, text: str) -> str:
        """Return the message to send.

        :param text: of the mapped message.
        """
        return text[:-2] + self.text if self.text else text


class Splicer:
    """Makes messages from text.

    :param names: of the snapshot; new names are added to it.
    """

    def __init__(self, rules: Rules, names: Names) -> None:
        self._rules = rules
        self._names = names
        self._shapes: list[_Shape | None] = [None]
        self._numbers: dict[TraitNames, int] = {}
        self._endings: dict[tuple[int, int, int], Ending | None] = {}

    def shape(self, body: dict[str, Any]) -> int:
        """Return the number of a message's shape, which :meth:`ending` needs.

        :param body: as mapped.
        """
        # Other parts of a message, after its traits, are seldom there.
        if next(reversed(body)) != "traits":
            return UNKNOWN
        traits = body["traits"]
        nulls: tuple[str, ...] = ()
        if None in traits.values():
            nulls = tuple(name for name, value in traits.items() if value is None)
        return self.shape_of((tuple(traits), nulls))

    def shape_of(self, names: TraitNames) -> int:
        """Return the same for the names of a message that ends with its traits."""
        number = self._numbers.get(names)
        if number is None:
            if len(self._shapes) >= _MOST_SHAPES:
                return UNKNOWN
            number = self._numbers[names] = self._new_shape(*names)
        return number

    def _new_shape(self, names: tuple[str, ...], nulls: tuple[str, ...]) -> int:
        if not names or self._rules.trait in names:
            return UNKNOWN
        bits = self._names.of({name: None if name in nulls else True for name in names})
        has_email = EMAIL_TRAIT in names and EMAIL_TRAIT not in nulls
        self._shapes.append(_Shape(bits, nulls, len(names), has_email))
        return len(self._shapes) - 1

    def ending(self, shape: int, told: Told, known: int) -> Ending | None:
        """Say how the message about a user whose row is at hand ends.

        :return: ``None`` where the message is not plain.
        :param told: whether it says that they are in or have left.
        :param known: bits of the traits that Segment may hold.
        """
        asked = shape, told, known
        try:
            return self._endings[asked]
        except KeyError:
            pass
        if len(self._endings) >= _MOST_ENDINGS:
            self._endings.clear()
        return self._endings.setdefault(asked, self._new_ending(shape, told, known))

    def _new_ending(self, number: int, told: Told, known: int) -> Ending | None:
        shape = self._shapes[number]
        if shape is None:
            return None
        added: dict[str, bool | None] = {}
        if self._rules.trait:
            added[self._rules.trait] = told == Told.IN
        elif told == Told.LEFT:
            return None
        names = shape.names | self._names.of(added)
        for name in self._names.listed(known & ~names):
            if name not in shape.nulls:
                added[name] = None
        text = f",{encode(added)[1:]}}}" if added else ""
        return Ending(text, shape.traits + len(added), names)

    def skeleton(self, text: str, shape: int) -> str | None:
        """Return the text of a message's skeleton; ``None`` where the message is not plain.

        :param text: of the mapped message.
        """
        known = self._shapes[shape]
        if known is None:
            return None
        # No quote within a name or a value is without a backslash: this is where the traits begin.
        begin = text.find(TRAITS_BEGIN) + len(TRAITS_BEGIN)
        if not known.has_email:
            return f"{text[:begin]}}}}}"
        # And this is the name of a trait, for traits are not nested. It is not the end of a longer
        # name, whose own quote would follow a backslash.
        email = begin if text.startswith(_EMAIL, begin) else text.find(f",{_EMAIL}", begin) + 1
        end = text.find('"', email + len(_EMAIL))
        if not email or text[end - 1] == "\\":
            return None
        return f"{text[:begin]}{text[email : end + 1]}}}}}"
