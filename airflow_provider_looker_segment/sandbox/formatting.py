"""Values as Looker shows them to people; numbers enter, text leaves.

Only what ``apply_formatting`` and the ``rendered`` key of ``json_detail`` need.
Source: https://docs.cloud.google.com/looker/docs/reference/param-field-value-format-name
"""

from __future__ import annotations

import re
from typing import Any, Final

from airflow_provider_looker_segment.sandbox.model import Field

_SIGNS: Final = {"usd": "$", "eur": "€", "gbp": "£"}
_NAMED: Final = re.compile(r"(usd|eur|gbp|decimal|percent)(?:_(\d))?")
_PATTERN: Final = re.compile(r'"?([$€£])?"?(#,##)?0(?:\.(0+))?(%)?')


def formatted(value: Any, field: Field) -> str:  # noqa: PLR0911 - one return for each format
    """Return a value as text.

    >>> formatted(1234.5, Field("a.b", "measure", "sum", value_format_name="usd"))
    '$1,234.50'
    >>> formatted(0.256, Field("a.b", "measure", "average", value_format="0.0%"))
    '25.6%'
    """
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if (match := _NAMED.fullmatch(field.value_format_name)) is not None:
            places = int(match[2]) if match[2] else 2
            if match[1] == "percent":
                return f"{value:.{places}%}"
            return _SIGNS.get(match[1], "") + f"{value:,.{places}f}"
        if (match := _PATTERN.fullmatch(field.value_format)) is not None:
            places = len(match[3] or "")
            if match[4]:
                return f"{value:.{places}%}"
            return (match[1] or "") + (
                f"{value:,.{places}f}" if match[2] else f"{value:.{places}f}"
            )
        if field.is_measure and isinstance(value, int):
            return f"{value:,}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def has_format(field: Field) -> bool:
    """Whether the model says how the field's values are shown."""
    return bool(field.value_format or field.value_format_name)
