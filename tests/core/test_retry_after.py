"""How long the other side asks to wait."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.retry_after import retry_after_s

NOW = datetime(2019, 6, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Sat, 01 Jun 2019 12:00:30 GMT", 30.0),
        ("Sat, 01 Jun 2019 12:00:30 -0000", 30.0),
        ("Sat, 01 Jun 2019 14:00:30 +0200", 30.0),
        ("Sat, 01 Jun 2019 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("9" * 400, None),
        ("Sat, 01 Jun 99999999999999999999 12:00:30 GMT", None),
    ],
)
def test_values(text: str, expected: float | None) -> None:
    """Seconds and dates are understood, what is in the past is now, the rest says nothing."""
    assert expected == retry_after_s({"Retry-After": text}, now=NOW)


def test_no_header() -> None:
    """Without the header, or with a date and no clock, nothing is known."""
    assert retry_after_s({}) is None
    assert retry_after_s({"Retry-After": "Sat, 01 Jun 2019 12:00:30 GMT"}) is None


@given(text=st.one_of(st.text(), st.from_regex(r"\w{3}, \d+ Jun \d+ \d+:\d+:\d+ [+-]\d+")))
def test_anything(text: str) -> None:
    """Whatever the header says, the answer is a wait that can be waited, or none."""
    found = retry_after_s({"Retry-After": text}, now=NOW)
    assert found is None or (math.isfinite(found) and found >= 0)
