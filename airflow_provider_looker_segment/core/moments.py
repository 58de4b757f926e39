"""Moments as people read them.

Moments in UTC enter, short text leaves; fields for programs keep ISO 8601.
"""

from __future__ import annotations

from datetime import datetime


def short(when: datetime) -> str:
    """Write a moment in UTC without its offset, and without zero seconds.

    >>> short(datetime.fromisoformat("2026-01-15T00:00:00+00:00"))
    '2026-01-15 00:00'
    """
    return when.replace(tzinfo=None).isoformat(" ").removesuffix(":00")
