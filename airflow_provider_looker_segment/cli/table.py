"""Rows of text become an aligned table for a terminal.

Nothing but text enters and leaves; long cells are wrapped, none is ever cut.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

_GAP = "  "
_NARROWEST = 30


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, width: int) -> str:
    """Lay out a table.

    :param heads: one for each column; the columns after the first share what the first leaves.
    :param width: characters of a line of the terminal.
    """
    lines = [heads, *rows]
    longest = [max(map(len, column)) for column in zip(*lines, strict=True)]
    first, *others = longest
    share = (width - first) // max(len(others), 1) - len(_GAP)
    room = [first, *(min(size, max(share, _NARROWEST)) for size in others)]
    text = []
    for line in lines:
        parts = [textwrap.wrap(cell, size or 1) for cell, size in zip(line, room, strict=True)]
        for pieces in zip_longest(*parts, fillvalue=""):
            padded = (piece.ljust(size) for piece, size in zip(pieces, room, strict=True))
            text.append(_GAP.join(padded).rstrip())
    return "\n".join(text)
