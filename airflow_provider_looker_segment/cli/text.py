"""Values become text for a terminal: JSON that no character in it can change the looks of.

A value enters, text leaves that means the same and holds nothing a terminal would act upon.
"""

from __future__ import annotations

import json
import re
from typing import Any

_ACTS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls, which terminals obey, marks that turn the direction of text, halves of characters."""


def printable(text: str) -> str:
    r"""Escape what a terminal would act upon, as JSON writes it.

    >>> printable("a\x9b31m")
    'a\\u009b31m'
    """
    return _ACTS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """Write a value as JSON with its letters as they are."""
    return printable(json.dumps(value, ensure_ascii=False, indent=indent))
