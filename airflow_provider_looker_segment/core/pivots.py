"""How Looker writes the cells of a pivot: keys of its answer enter, words for people leave."""

from __future__ import annotations

from typing import Any

ROW_TOTAL = "$$$_row_total_$$$"
_SEPARATOR = "|FIELD|"
_NULL = "___null"


def pivot_name(key: str) -> str:
    """Name a pivot for people.

    >>> pivot_name("complete"), pivot_name("orders.status___null"), pivot_name("a|FIELD|b")
    ('complete', 'null', 'a b')
    """
    if key == ROW_TOTAL:
        return "row total"
    parts = key.split(_SEPARATOR)
    return " ".join("null" if part.endswith(_NULL) else part for part in parts)


def is_pivoted(cell: Any) -> bool:
    """Whether a cell holds one cell for each pivot."""
    return isinstance(cell, dict) and all(isinstance(value, dict) for value in cell.values())
