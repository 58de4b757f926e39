"""The rate is kept in every second, and used."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.pacing import Pace

rates = st.one_of(st.integers(1, 1_000), st.floats(0.5, 1_000, allow_nan=False))


def sent(pace: Pace, sizes: list[int], late_s: list[float]) -> list[tuple[float, int]]:
    """Send batches of these sizes, each request taking a while; return when each left."""
    now = 1000.0
    leaving = []
    for size, late in zip(sizes, late_s, strict=True):
        wait = pace.wait_s(size, now=now)
        assert wait >= 0
        now += wait
        leaving.append((now, size))
        now += late
    return leaving


@given(
    rate=rates,
    parts=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=40),
)
def test_no_second_exceeds_the_rate(rate: float, parts: list[tuple[float, float]]) -> None:
    """However large batches are and long requests take, no second holds more than the rate."""
    pace = Pace(rate)
    sizes = [max(1, int(share * int(rate))) for share, _ in parts]
    leaving = sent(pace, sizes, [late for _, late in parts])
    for start, _ in leaving:
        within = sum(size for at, size in leaving if start <= at < start + 1)
        assert within <= max(rate, 1)


@given(
    rate=rates,
    way_s=st.floats(0, 0.2),
    back_s=st.floats(0.001, 0.2),
    parts=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5)), min_size=1, max_size=40),
)
def test_no_second_exceeds_the_rate_where_batches_arrive(
    rate: float, way_s: float, back_s: float, parts: list[tuple[float, float]]
) -> None:
    """Also where some batches are held up on their way, the rate holds where they arrive."""
    pace = Pace(rate)
    now = 1000.0
    arrived = []
    # The first one meets no obstacle, so that the pace learns how quick a request can be.
    for share, held_up_s in [(1.0, 0.0), *parts]:
        size = max(1, int(share * int(rate)))
        now += pace.wait_s(size, now=now)
        sent_at = now
        arrived.append((sent_at + way_s + held_up_s, size))
        now = sent_at + way_s + held_up_s + back_s
        pace.answered(sent_at=sent_at, now=now)
    for start, _ in arrived:
        within = sum(size for at, size in arrived if start <= at < start + 1)
        assert within <= max(rate, 1)


@pytest.mark.parametrize("latency_s", [0.0, 0.06, 0.3])
def test_latency_does_not_slow_it_down(latency_s: float) -> None:
    """Where every request takes as long, the rate is used."""
    pace = Pace(1_000)
    now = 0.0
    for _ in range(1_000):
        now += pace.wait_s(pace.max_messages, now=now)
        sent_at, now = now, now + latency_s
        pace.answered(sent_at=sent_at, now=now)
    # Two batches fill a second, so that the count has a fence post too many.
    assert 0.98 <= 1_000 * pace.max_messages / 1_000 / now <= 1.005


@pytest.mark.parametrize("rate", [2, 10, 100, 166, 500, 1_000])
def test_full_batches_use_the_rate(rate: int) -> None:
    """Full batches reach 98 % of the rate."""
    pace = Pace(rate)
    size = pace.max_messages
    leaving = sent(pace, [size] * 1_000, [0.0] * 1_000)
    took_s = leaving[-1][0] - 1000.0
    assert 0.98 * rate <= 1_000 * size / took_s <= rate


@given(rate=rates)
def test_a_full_batch_fits(rate: float) -> None:
    """A batch is never larger than what may leave within a second, and holds a message."""
    assert 1 <= Pace(rate).max_messages <= max(1, rate)


def test_it_starts_empty() -> None:
    """The first batch waits its turn: whoever sent last may have filled this very second."""
    assert Pace(500).wait_s(500, now=7.0) == pytest.approx(1.006)
    assert Pace(500).wait_s(50, now=7.0) == pytest.approx(0.1006)


def test_a_pause_saves_nothing_up() -> None:
    """After a long pause no more leaves at once than ever."""
    pace = Pace(100)
    pace.wait_s(100, now=0.0)
    assert pace.wait_s(100, now=60.0) == 0
    assert pace.wait_s(1, now=60.0) == pytest.approx(1.006)


def test_slower_than_one_a_second() -> None:
    """A rate below one a second spaces single messages."""
    pace = Pace(0.5)
    leaving = sent(pace, [1] * 4, [0.0] * 4)
    gaps = [after[0] - before[0] for before, after in pairwise(leaving)]
    assert gaps == pytest.approx([2.012] * 3)
