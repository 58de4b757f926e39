"""The hazards that tests are named for: what enters, and what the run promises to do about it.

``docs/generate_hazards.py`` reads these decorators from the source, without running anything, so
both texts are plain literals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

CASES = {"L": 37, "R": 25, "S": 18, "A": 12}
"""How many cases each border has: Looker, rows, Segment, Airflow."""

BORDERS: dict[str, tuple[str, str]] = {}
"""Case to what enters and what happens."""

Test = Callable[..., Any]


def hazard(case: str, enters: str, happens: str) -> Callable[[Test], Test]:
    """Say which case a test is about.

    :param case: a letter of :data:`CASES` and a number.
    :param enters: the hostile input, in a few words.
    :param happens: what the run does about it.
    """

    def note(test: Test) -> Test:
        BORDERS[case] = (enters, happens)
        return test

    return note
