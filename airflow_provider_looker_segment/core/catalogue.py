"""The destinations this package knows, as data.

The catalogue's JSON enters, frozen :class:`Destination` objects leave; names are found in any
usual spelling. Nothing here is about a single destination: a new one is one more JSON object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from airflow_provider_looker_segment.core.rules import Rule, parse, path_of
from airflow_provider_looker_segment.exceptions import PermanentError


@dataclass(frozen=True, slots=True)
class Successor:
    """What Segment offers in a destination's place or beside it.

    :param keys: its names in the ``integrations`` object; the classic ones do not reach it.
    """

    slug: str
    name: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a rule needs to know from the user.

    :param meaning: what its value is, for people.
    :param fills: path that gets the value of the trait which the parameter names; empty where
        the parameter names traits that must be there.
    """

    name: str
    meaning: str
    fills: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """A tool behind Segment and what it requires of an identify call.

    :param slug: as in the table of Segment's Looker Source page; reports call it by this name.
    :param table: what that table asks for; ``None`` where nothing is known.
    :param current: what the destination's own documentation asks for, where it differs.
    :param keys: its names in the ``integrations`` object, as Segment spells them.
    :param off_by_default: whether Segment leaves ``keys`` off unless a message switches them on.
    :param retired: why Segment no longer offers it; empty where it does.
    :param server_identify: whether it takes identify calls from servers.
    :param special_note: what the page's table says beside the row, for people.
    :param custom_traits: what must be done for traits beyond Segment's standard ones.
    :param source: link to what ``current`` and the notes rest on.
    :param as_of: the day of that source, ISO 8601.
    """

    slug: str
    name: str
    table: Rule | None = None
    current: Rule | None = None
    aliases: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    successor: Successor | None = None
    off_by_default: bool = False
    retired: str = ""
    server_identify: bool = True
    parameters: tuple[Parameter, ...] = ()
    special_note: str = ""
    notes: tuple[str, ...] = ()
    custom_traits: str = ""
    source: str = ""
    as_of: str = ""

    @property
    def all_keys(self) -> tuple[str, ...]:
        """Every name that must be false to keep a message away: the classic and newer ones."""
        return self.keys + (self.successor.keys if self.successor else ())

    @property
    def names(self) -> tuple[str, ...]:
        """Everything it may be called, in the order of preference."""
        newer = (self.successor.slug, self.successor.name) if self.successor else ()
        return (self.slug, self.name, *self.aliases, *newer, *self.all_keys)

    @property
    def differs(self) -> bool:
        """Whether more, or something else, is true today than the page's table says."""
        return self.current is not None or self.off_by_default


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All destinations, in the order of the page's table.

    :param page: link to the page whose table is the ``table`` rule of each destination.
    :param page_as_of: the day since which that table reads as it does here, ISO 8601.
    """

    destinations: tuple[Destination, ...]
    page: str = ""
    page_as_of: str = ""
    _by_name: Mapping[str, Destination] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[str, Destination] = {}
        for destination in self.destinations:
            for name in destination.names:
                owner = by_name.setdefault(_plain(name), destination)
                if owner is not destination:
                    raise _shared(name, owner, destination)
        object.__setattr__(self, "_by_name", by_name)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Catalogue:
        """Read a catalogue that meets ``destinations.schema.json``.

        :raises PermanentError: when a rule has no known form, or two destinations share a name.
        """
        return cls(
            tuple(_destination(entry) for entry in data["destinations"]),
            page=data["page"],
            page_as_of=data["page_as_of"],
        )

    def find(self, name: str) -> Destination:
        """Find a destination by its name, whatever its case and punctuation.

        :param name: a slug, a name, an alias, or a name within double quotes that stands
            in Segment exactly so: then only this name is switched, by the rules of the
            destination that owns it, or by none where nobody does.
        :raises PermanentError: when nobody goes by the name; the message offers the nearest.

        >>> load_catalogue().find("Customer.IO").slug
        'customer.io'
        >>> load_catalogue().find('"HubSpot Cloud Mode (Actions)"').all_keys
        ('HubSpot Cloud Mode (Actions)',)
        """
        text = name.strip()
        if len(text) > 2 and text[0] == text[-1] == '"':
            return self._with_key(text[1:-1])
        found = self._by_name.get(_plain(text))
        if found is None:
            raise self._unknown(text)
        return found

    def search(self, text: str) -> list[Destination]:
        """List the destinations one of whose names holds the text; all of them for no text."""
        plain = _plain(text)
        return [
            destination
            for destination in self.destinations
            if any(plain in _plain(name) for name in destination.names)
        ]

    def _with_key(self, key: str) -> Destination:
        for owner in self.destinations:
            if key in owner.all_keys:
                off = owner.off_by_default and key in owner.keys
                return replace(
                    owner, slug=key, name=key, keys=(key,), successor=None, off_by_default=off
                )
        return Destination(slug=key, name=key, keys=(key,))

    def _unknown(self, name: str) -> PermanentError:
        near = get_close_matches(_plain(name), self._by_name, n=1, cutoff=0.01)
        hint = f"The nearest name is `{self._by_name[near[0]].slug}`. " if near else ""
        return PermanentError(
            f"The destination {name!r}",
            should="be one that the catalogue knows",
            but="none goes by that name",
            do=f"{hint}A destination outside the catalogue can be named within double quotes, "
            "exactly as it stands in Segment.",
        )


@cache
def load_catalogue() -> Catalogue:
    """Read the catalogue that comes with this package, once."""
    source = files("airflow_provider_looker_segment") / "data" / "destinations.json"
    return Catalogue.from_json(json.loads(source.read_text(encoding="utf-8")))


def example(
    destination: Destination, parameters: Mapping[str, str | Sequence[str]] | None = None
) -> dict[str, Any]:
    """Build an identify call that the destination takes, from its rules alone.

    :param parameters: as in :class:`~.destinations.Requirements`.
    :return: a message that meets the ``table`` and the ``current`` rule; without any rule,
        a message with nothing but the identifier that Segment itself requires.

    >>> example(load_catalogue().find("zendesk"))["traits"]
    {'email': 'ada@example.com', 'name': 'example name'}
    """
    message: dict[str, Any] = {"type": "identify", "traits": {}}
    for rule in bound_rules(destination, parameters or {}).values():
        rule.fill(message)
    if "userId" not in message and "anonymousId" not in message:
        message["userId"] = "example userId"
    return message


def bound_rules(
    destination: Destination, parameters: Mapping[str, str | Sequence[str]]
) -> dict[str, Rule]:
    """Return the destination's rules, ``"table"`` and ``"current"``, with the parameters in them.

    :param parameters: parameter → a trait's name, or several.
    """
    named = {name: traits_of(parameters, name) for name in parameters}
    filled = {
        path_of(parameter.fills): trait
        for parameter in destination.parameters
        if parameter.fills
        for trait in named.get(parameter.name, ())
    }
    rules = {"table": destination.table, "current": destination.current}
    return {which: rule.bound(named, filled) for which, rule in rules.items() if rule}


def traits_of(parameters: Mapping[str, str | Sequence[str]], name: str) -> tuple[str, ...]:
    """Return the traits that a parameter names: none, one or several."""
    value = parameters.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _shared(name: str, one: Destination, other: Destination) -> PermanentError:
    return PermanentError(
        f"The name {name!r} of the destination catalogue",
        should="mean one destination",
        but=f"both {one.slug!r} and {other.slug!r} go by it",
        do="Take it from one of them.",
    )


def _plain(name: str) -> str:
    """Leave letters and digits only, in lower case."""
    return re.sub(r"[\W_]+", "", name).lower()


def _destination(entry: Mapping[str, Any]) -> Destination:
    successor = entry.get("successor")
    return Destination(
        slug=entry["slug"],
        name=entry["name"],
        table=parse(entry["table"]),
        current=parse(entry["current"]) if "current" in entry else None,
        aliases=tuple(entry.get("aliases", ())),
        keys=tuple(entry["keys"]),
        successor=successor
        and Successor(successor["slug"], successor["name"], tuple(successor["keys"])),
        off_by_default=entry.get("off_by_default", False),
        retired=entry.get("retired", ""),
        server_identify=entry.get("server_identify", True),
        parameters=tuple(
            Parameter(name, **about) for name, about in entry.get("parameters", {}).items()
        ),
        special_note=entry.get("special_note", ""),
        notes=tuple(entry.get("notes", ())),
        custom_traits=entry.get("custom_traits", ""),
        source=entry["source"],
        as_of=entry["as_of"],
    )
