"""What is sent about a user: trait names and trait values.

Cells enter, strings and numbers leave, for Segment takes nothing else from this source.
A value is never repaired: what cannot be sent as it is becomes a problem.
Source: https://segment.com/docs/connections/sources/catalog/cloud-apps/looker/
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Literal

from airflow_provider_looker_segment.core.limits import MAX_SAFE_INTEGER
from airflow_provider_looker_segment.core.rows import NumberText

Nulls = Literal["omit", "send", "reject"]
Arrays = Literal["reject", "join"]

ENVELOPE_NAMES = frozenset({"id", "userId", "anonymousId", "messageId", "traits", "context"})
"""Names that mean something else in a message; a trait of that name would overwrite it."""

POISONOUS_NAMES = frozenset({"__proto__", "constructor", "prototype"})
"""Names that break receivers written in JavaScript."""

RESERVED_TYPES: dict[str, tuple[type, ...]] = {
    "address": (dict,),
    "age": (int, float),
    "avatar": (str,),
    "birthday": (str,),
    "company": (dict,),
    "createdAt": (str,),
    "description": (str,),
    "email": (str,),
    "firstName": (str,),
    "gender": (str,),
    "lastName": (str,),
    "name": (str,),
    "phone": (str,),
    "title": (str,),
    "username": (str,),
    "website": (str,),
}
"""Traits whose meaning and type Segment fixes.

Source: https://segment.com/docs/connections/spec/identify/#traits
"""

UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and halves of characters: receivers refuse them, or store something else."""


class Unsendable(Exception):  # noqa: N818 - it names a value, not a failure of the program
    """A value that cannot be a trait; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Omitted:
    """The type of :data:`OMITTED`."""

    def __repr__(self) -> str:
        return "OMITTED"


OMITTED = _Omitted()
"""Stands for a trait that is left out of the message."""

Converter = Callable[[Any], Any]


def converter(trait: str, *, nulls: Nulls, arrays: Arrays) -> Converter:
    """Build the function that turns cells of one column into values of one trait.

    :param trait: the trait's name; reserved names have a fixed type.
    :return: value → string, number, boolean, ``None`` or :data:`OMITTED`;
        it raises :class:`Unsendable` for anything else.
    """
    reserved = RESERVED_TYPES.get(trait)

    def convert(value: Any) -> Any:
        kind = type(value)
        if kind is str:
            # Most text is printable, and telling that is faster than searching it.
            if not value.isprintable() and UNSENDABLE.search(value):
                raise Unsendable("unsendable_text")
            result = value
        elif value is None:
            return _null(nulls)
        else:
            result = _other(value, kind, arrays)
        if reserved and (not isinstance(result, reserved) or kind is bool):
            raise Unsendable("reserved_trait_type")
        return result

    return convert


def plain_kinds(trait: str) -> frozenset[type]:
    """Return the types whose values may be a trait of this name as they are.

    Text must be printable, or else free of what :data:`UNSENDABLE` finds; integers be safe.
    """
    return frozenset(RESERVED_TYPES.get(trait, (str, int))) & {str, int}


def is_safe(number: int) -> bool:
    """Whether every reader of JSON keeps all digits of an integer."""
    return -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER


def _null(nulls: Nulls) -> Any:
    if nulls == "reject":
        raise Unsendable("null_value")
    return None if nulls == "send" else OMITTED


def _other(value: Any, kind: type, arrays: Arrays) -> Any:
    if kind is int:
        return value if is_safe(value) else str(value)
    if kind is float:
        if not math.isfinite(value):
            raise Unsendable("not_finite")
        return value
    if kind is bool:
        return value
    if kind is NumberText:
        return str(value)
    if kind is list:
        return _joined(value, arrays)
    raise Unsendable("nested_value")


def _joined(values: list[Any], arrays: Arrays) -> str:
    if arrays == "reject":
        raise Unsendable("array_value")
    if not all(isinstance(value, str | int | float) for value in values):
        raise Unsendable("nested_value")
    if not all(math.isfinite(value) for value in values if isinstance(value, float)):
        raise Unsendable("not_finite")
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    text = ", ".join(texts)
    if UNSENDABLE.search(text):
        raise Unsendable("unsendable_text")
    return text
