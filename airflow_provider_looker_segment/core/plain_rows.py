"""Rows of plain values, of which most results consist, by types made for their Look.

Text of many rows enters; rows leave whose values need no second look, then the text of a message
for each. Where anything is out of the ordinary, nothing leaves, and
:class:`~airflow_provider_looker_segment.core.prepare.Preparation` looks at each cell instead, which
comes to the same for what is plain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import compress
from operator import attrgetter, itemgetter
from typing import Any

from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.rows import Row, parse_float
from airflow_provider_looker_segment.core.traits import RESERVED_TYPES

TraitNames = tuple[tuple[str, ...], tuple[str, ...]]
"""The names of a message's traits, in their order, and those of them that are null."""

_CHANCES = 10
"""How often text may hold something out of the ordinary before it is no longer tried."""

_PLAIN = (int, float, str, bool)
_ID = int | float | str | bool | None
"""What an identifier may be; whether it identifies anybody is decided elsewhere."""

_ESCAPED = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_NUL = rb"\u0000"
_LARGE = b"0" * 16
_TINY = b"e-000"
_LONGEST_TINY = 32
_AS_ZERO = bytes.maketrans(b"123456789.E", b"0000000000e")
"""Makes alike what is looked for: digits and the point, and both letters of exponents."""


class PlainRows:
    """What becomes of a Look's rows as long as all their values are plain.

    :param plan: one that :meth:`suits`.
    :param by_name: whether traits are written in the order of their names, and those are told.
    """

    def __init__(self, plan: Plan, *, by_name: bool = False) -> None:
        import msgspec  # noqa: PLC0415 - nobody needs it to parse a DAG file

        self._fields = {column.name: f"c{at}" for at, column in enumerate(plan.look.columns)}
        self._identifiers = [(one.name, self._fields[one.name]) for one in plan.identifiers]
        kinds: dict[str, Any] = {one.name: _ID for one in plan.identifiers}
        kinds |= {column.name: _trait_value(name) for name, column in plan.traits}
        cells: dict[str, Any] = {
            name: msgspec.defstruct("Cell", [("value", kind)], gc=False)
            for name, kind in kinds.items()
        }
        self._typed = cells.keys()
        row: Any = msgspec.defstruct(
            "PlainRow",
            [(field, cells.get(name, Any)) for name, field in self._fields.items()],
            rename={field: name for name, field in self._fields.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        rows: Any = list[row]
        self._decode = msgspec.json.Decoder(rows, float_hook=parse_float).decode
        self._chances = _CHANCES
        self._email = next(
            (self._fields[column.name] for _, column in plan.traits if column is plan.email), None
        )
        self.by_name = by_name
        traits = sorted(plan.traits, key=itemgetter(0)) if by_name else plan.traits
        self._values = attrgetter(*(f"{self._fields[one.name]}.value" for _, one in traits))
        self._names = tuple(name for name, _ in traits)
        self._all_there: TraitNames = (self._names, ())
        self._omits_nulls = plan.mapping.nulls == "omit"
        names = {f"t{at}": name for at, name in enumerate(self._names)}
        self._traits = msgspec.defstruct(
            "Traits",
            [(field, Any, None) for field in names],
            rename=names,
            omit_defaults=self._omits_nulls,
            gc=False,
        )
        self._body = msgspec.defstruct(
            "Body",
            [(key, Any, None) for key in ("userId", "anonymousId", "traits")],
            omit_defaults=True,
            gc=False,
        )
        self._encode = msgspec.json.Encoder().encode

    @staticmethod
    def suits(plan: Plan) -> bool:
        """Whether each trait of a message is the value of one column, and all names are writable.

        The types take no names that JSON escapes.
        """
        mapping = plan.mapping
        names = [name for name, _ in plan.traits] + [one.name for one in plan.look.columns]
        return (
            not plan.pivoted
            and not any(map(_ESCAPED.search, names))
            and plan.group_id is None
            and mapping.nulls != "reject"
            and len(plan.traits) > 1
        )

    def decode(self, text: str) -> list[Any] | None:
        """Parse rows, or return nothing when one of them is out of the ordinary.

        :param text: JSON objects with commas between them.
        """
        if not self._chances:
            return None
        data = f"[{text}]".encode()
        if _NUL not in data and not _has_delicate_numbers(data):
            with suppress(ValueError, RecursionError):
                rows: list[Any] = self._decode(data)
                return rows
        self._chances -= 1
        return None

    def identifiers(self, row: Any) -> Row:
        """Return the cells that say who a row is about."""
        return {name: {"value": getattr(row, field).value} for name, field in self._identifiers}

    def message(
        self, row: Any, ids: Mapping[str, str], email: str
    ) -> tuple[str, TraitNames | None] | None:
        """Return a message's own part as text, or nothing when the row needs a closer look.

        :param ids: who the row is about.
        :param email: the address that the row must have for a trait; empty when it has none.
        :return: beside it what its traits are called, if that is told.
        """
        if self._email is not None and getattr(row, self._email).value != (email or None):
            return None
        values = self._values(row)
        body = self._body(ids.get("userId"), ids.get("anonymousId"), self._traits(*values))
        text = self._encode(body).decode()
        if not self.by_name:
            return text, None
        return text, self._trait_names(values) if None in values else self._all_there

    def _trait_names(self, values: Sequence[Any]) -> TraitNames:
        if self._omits_nulls:
            return tuple(compress(self._names, [value is not None for value in values])), ()
        return self._names, tuple(compress(self._names, [value is None for value in values]))

    def traits(self, row: Any) -> dict[str, Any]:
        """Return the traits that :meth:`message` writes."""
        found = dict(zip(self._names, self._values(row), strict=True))
        if self._omits_nulls and None in found.values():
            return {name: value for name, value in found.items() if value is not None}
        return found

    def cells(self, row: Any) -> Row:
        """Return a row as it is without types of its own."""
        found: Row = {}
        for name, field in self._fields.items():
            cell: Any = getattr(row, field)
            found[name] = {"value": cell.value} if name in self._typed else cell
        return found


def _has_delicate_numbers(data: bytes) -> bool:
    """Whether a number may be there of which a double does not keep every digit.

    It keeps fifteen, unless the number is nearer to zero than those with three digits in their
    exponent. Whole numbers of so many digits are safe, and texts of more are taken for numbers.
    """
    alike = data.translate(_AS_ZERO)
    if _LARGE in alike:
        return True
    at = alike.find(_TINY)
    while at >= 0:
        before = alike[max(0, at - _LONGEST_TINY) : at].rstrip(b"0")
        if before[-1:] in b":-[, \t\r\n":
            return True
        at = alike.find(_TINY, at + 1)
    return False


def _trait_value(name: str) -> Any:
    found: Any = type(None)
    for kind in RESERVED_TYPES.get(name, _PLAIN):
        if kind in _PLAIN:
            found |= kind
    return found
