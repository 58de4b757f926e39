"""How long the other side asks to wait.

Headers enter, seconds leave.
Source: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Read ``Retry-After``.

    :param now: the moment a date is compared with.
    :return: seconds, never negative; ``None`` where the header is missing or says nothing usable.

    >>> retry_after_s({"Retry-After": "3"}), retry_after_s({"Retry-After": "soon"})
    (3.0, None)
    """
    text = (headers.get("Retry-After") or "").strip()
    if text.isdecimal():
        seconds = float(text)
        return seconds if isfinite(seconds) else None
    if now is None or not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
