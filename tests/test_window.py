"""The window of a run, from each of the dates Airflow may have."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.window import Window, resolve

D1, D2, D3 = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))
RUN = SimpleNamespace(run_after=D3)


@pytest.mark.parametrize(
    ("context", "window"),
    [
        (
            {"params": {"window_start": "2026-01-01", "window_end": "2026-01-02"}},
            Window(D1, D2, "params"),
        ),
        ({"params": {"window_end": D2}, "logical_date": D1}, Window(None, D2, "params")),
        ({"partition_date": D2, "logical_date": D1}, Window(None, D2, "partition date")),
        (
            {"data_interval_start": D1, "data_interval_end": D2, "logical_date": D1},
            Window(D1, D2, "data interval"),
        ),
        (
            {"data_interval_start": D1, "data_interval_end": D1, "logical_date": D1},
            Window(None, D1, "logical date"),
        ),
        ({"logical_date": D1}, Window(None, D1, "logical date")),
        ({"params": {"window_end": ""}}, Window(None, D3, "run_after of the run")),
        ({}, Window(None, D3, "run_after of the run")),
    ],
)
def test_the_first_date_that_is_there_decides(context: dict[str, Any], window: Window) -> None:
    """Params win over the partition, the interval, the logical date and the due time."""
    assert window == resolve({"dag_run": RUN, **context})


def test_every_moment_is_in_utc() -> None:
    """An offset is converted, so that a moment is written in one way only."""
    berlin = timezone(timedelta(hours=1))
    local = datetime(2026, 1, 2, 1, tzinfo=berlin)

    assert Window(None, D2, "logical date") == resolve({"dag_run": RUN, "logical_date": local})


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"window_end": "soon"}, "`window_end`"),
        ({"window_end": "0001-01-01T00:00:00+14:00"}, "`window_end`"),
        ({"window_end": "0001-01-01"}, "`window_end`"),
        ({"window_end": "9999-12-31T23:59:59-10:00"}, "`window_end`"),
        ({"window_start": "x", "window_end": "2026-01-02"}, "`window_start`"),
        ({"window_start": "2026-01-02", "window_end": "2026-01-02"}, "before `window_end`"),
    ],
)
def test_params_that_are_no_window_are_refused(params: dict[str, str], complaint: str) -> None:
    """A typing error never becomes another window."""
    with pytest.raises(PermanentError, match=complaint):
        resolve({"dag_run": RUN, "params": params})


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (Window(D1, D2, "params"), "2026-01-01 00:00 to 2026-01-02 00:00 UTC (from params)"),
        (
            Window(None, D2 + timedelta(seconds=7), "logical date"),
            "2026-01-02 00:00:07 UTC (from logical date)",
        ),
    ],
)
def test_a_window_is_written_short(window: Window, text: str) -> None:
    """Airflow's log page shows the line whole; seconds that are not zero stay."""
    assert text == str(window)
