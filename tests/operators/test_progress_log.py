"""Lines of progress: when they come, and what they say."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_looker_segment.operators.progress_log import ProgressLog, duration


class Seconds:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Say the time."""
        return self.now


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged."""
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    """A logger that the test reads."""
    caplog.set_level(logging.INFO)
    return logging.getLogger("tested")


def test_a_short_task_says_nothing(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Below ten seconds nobody waits for a line."""
    clock = Seconds()
    progress = ProgressLog(log, "rows", clock=clock)
    clock.now = 9.9
    progress.at(5)

    assert [] == lines(caplog)


def test_lines_come_at_a_pace_for_people(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """An hour is about sixty lines, however many rows it reads."""
    clock = Seconds()
    progress = ProgressLog(log, "rows", clock=clock)
    said_at = []
    for second in range(1, 3_601):
        clock.now = float(second)
        before = len(caplog.records)
        progress.at(second * 100)
        said_at += [second] if len(caplog.records) > before else []

    assert [10, 30, 70, 130, 190] == said_at[:5]
    assert 60 <= len(said_at) <= 63
    assert "1,000 rows so far, 100 a second." == lines(caplog)[0]


def test_the_time_left_counts_this_try_only(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """What an earlier try has done makes this one no faster."""
    clock = Seconds()
    progress = ProgressLog(log, "messages", total=10_000, done=4_000, clock=clock)
    clock.now = 10.0
    progress.at(5_000)

    assert ["5,000 of 10,000 messages, 100 a second, about 50 s left."] == lines(caplog)


def test_nothing_done_leaves_the_time_open(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can say how long nothing takes."""
    clock = Seconds()
    progress = ProgressLog(log, "messages", total=10, clock=clock)
    clock.now = 10.0
    progress.at(0)

    assert ["0 of 10 messages, 0 a second, about an unknown time left."] == lines(caplog)


def test_watching_hands_everything_through(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """Watched items come out as they went in, and the clock is looked at now and then."""
    clock = Seconds()
    found = []
    for item in ProgressLog(log, "rows", clock=clock).watch(range(2_500)):
        found.append(item)
        clock.now += 0.0125

    assert list(range(2_500)) == found
    assert ["1,000 rows so far, 80 a second."] == lines(caplog)


def test_durations_read_as_people_say_them() -> None:
    """Seconds, minutes and hours, none too exact."""
    assert ["59 s", "1 min", "60 min", "1.5 h"] == [
        duration(seconds) for seconds in (59, 61, 3_599, 5_400)
    ]
