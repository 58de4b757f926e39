"""How messages say how many."""

from __future__ import annotations

import pytest

from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.receipts import Receipt


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_000_000, "1,000,000 rows")]
)
def test_one_is_singular(count: int, said: str) -> None:
    """One is one, and large numbers can be read."""
    assert said == counted(count, "row")


def test_a_receipt_of_one_message_says_so() -> None:
    """The line of a task that sent one message is English."""
    said = str(Receipt(messages=1, accepted=1, requests=1))

    assert said.startswith("1 message: 1 accepted by Segment")
    assert "(1 request, " in said
