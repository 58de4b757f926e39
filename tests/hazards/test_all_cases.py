"""Each documented hazard is one test, and the table in the documentation is made of them."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.hazards.registry import CASES

DOCS = Path(__file__).parents[2] / "docs"


def test_every_case_is_a_test_once() -> None:
    """All ninety-two, none twice, each named for its number."""
    sys.path.insert(0, str(DOCS))
    try:
        from generate_hazards import hazards
    finally:
        sys.path.remove(str(DOCS))
    found = hazards()
    expected = [
        f"{letter}{number}" for letter, last in CASES.items() for number in range(1, last + 1)
    ]

    assert 92 == len(expected)
    assert sorted(expected) == sorted(one.case for one in found)
    for one in found:
        assert one.test.startswith(f"test_{one.case[0].lower()}{int(one.case[1:]):02d}_"), one
        assert one.enters
        assert one.happens
