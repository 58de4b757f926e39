"""How messages say how many: a number and a noun enter, words leave."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, in the singular where it is one.

    :param noun: one whose plural takes an s.

    >>> counted(1, "row"), counted(0, "row"), counted(1200, "message")
    ('1 row', '0 rows', '1,200 messages')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
