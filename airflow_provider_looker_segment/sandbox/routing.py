"""Which destinations a message reaches, from its ``integrations`` object.

Pure: a :class:`Router` knows the connected destinations, a :class:`Route` is a set of them as
bits, so that a million users cost one integer each. Names are compared exactly, as Segment does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

#: Segment's own default is ``{"All": true, "Salesforce": false}``; ``All`` does not include these.
#: Source: https://segment.com/docs/connections/spec/common/#integrations
OPT_IN: Final = frozenset({"Salesforce"})

_ALL: Final = frozenset({"All", "all"})


class Route(NamedTuple):
    """Where one message goes.

    :param bits: the destinations it reaches, as :meth:`Router.names` reads them.
    :param unknown: names in ``integrations`` that are no connected destination; Segment counts
        these as ``UNKNOWN_INTEGRATION``.
    """

    bits: int
    unknown: tuple[str, ...] = ()


class Router:
    """The connected destinations of a source, in the spelling of the ``integrations`` object."""

    def __init__(self, destinations: Iterable[str]) -> None:
        self._bit_of = {name: 1 << place for place, name in enumerate(dict.fromkeys(destinations))}
        self._default = sum(bit for name, bit in self._bit_of.items() if name not in OPT_IN)

    @property
    def destinations(self) -> tuple[str, ...]:
        """Every connected destination."""
        return tuple(self._bit_of)

    def route(self, integrations: Any) -> Route:
        """Route one message.

        ``false`` mutes a destination; ``true`` or an object of options enables it, also past
        ``"All": false``; ``All`` speaks for the rest, but for those in :data:`OPT_IN`.

        :param integrations: the message's member; anything but an object counts as absent.
        """
        if not integrations or not isinstance(integrations, dict):
            return Route(self._default)
        muted_by_all = any(integrations.get(name) is False for name in _ALL)
        bits = 0 if muted_by_all else self._default
        unknown = []
        for name, wish in integrations.items():
            bit = self._bit_of.get(name)
            if bit is None:
                if name not in _ALL:
                    unknown.append(name)
            elif wish is False:
                bits &= ~bit
            else:
                bits |= bit
        return Route(bits, tuple(unknown))

    def bit(self, destination: str) -> int | None:
        """Return the bit of one destination, or ``None`` if it is not connected."""
        return self._bit_of.get(destination)

    def names(self, bits: int) -> list[str]:
        """Return the destinations of a set of bits."""
        return [name for name, bit in self._bit_of.items() if bits & bit]
