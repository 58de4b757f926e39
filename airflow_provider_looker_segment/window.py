"""The window a run stands for; its end is the run's moment.

Airflow's context enters, a :class:`Window` leaves. "Now" is never used, so that a retry a day
later still stands for the same moment.
Source: https://airflow.apache.org/docs/apache-airflow/stable/authoring-and-scheduling/timetable.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any

from airflow_provider_looker_segment.core.moments import short
from airflow_provider_looker_segment.exceptions import PermanentError


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time.

    :param start: where it begins; ``None`` where the run only has a moment.
    :param end: where it ends, exclusive: the run's moment.
    :param source: which of Airflow's dates decided.
    """

    start: datetime | None
    end: datetime
    source: str

    def __str__(self) -> str:
        # The log page cuts long lines off.
        start = f"{short(self.start)} to " if self.start else ""
        return f"{start}{short(self.end)} UTC (from {self.source})"


def resolve(context: Mapping[str, Any]) -> Window:
    """Find the window of a run.

    The order is: the params ``window_start`` and ``window_end``, the partition date, a data
    interval that is not empty, the logical date, and last the moment the run became due.

    :raises PermanentError: when a param is no date.
    """
    params = context.get("params") or {}
    end = _moment(params.get("window_end"), name="window_end")
    if end is not None:
        start = _moment(params.get("window_start"), name="window_start")
        return _ordered(Window(start, end, "params"))
    partition = _moment(context.get("partition_date"), name="partition_date")
    if partition is not None:
        return Window(None, partition, "partition date")
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    if start is not None and end is not None and start < end:
        return Window(_utc(start), _utc(end), "data interval")
    logical_date = context.get("logical_date")
    if logical_date is not None:
        return Window(None, _utc(logical_date), "logical date")
    return Window(None, _utc(context["dag_run"].run_after), "run_after of the run")


def moment(said: datetime | str, *, where: str) -> datetime:
    """Read a moment, in UTC where it names no offset.

    :param where: how messages name what was read.
    :raises PermanentError: when it is none, or so near to an end of the calendar that another
        timezone's clocks have no such date.
    """
    try:
        read = _utc(said if isinstance(said, datetime) else datetime.fromisoformat(said))
    except (ValueError, OverflowError):
        read = None
    if read is not None and MINYEAR < read.year < MAXYEAR:
        return read
    raise PermanentError(
        where,
        should="be a date or a date and time in ISO 8601",
        but="it is not",
        do="Write it like 2019-06-01 or 2019-06-01T06:00:00+02:00.",
    )


def _moment(said: Any, *, name: str) -> datetime | None:
    if said is None or said == "":
        return None
    is_read = isinstance(said, datetime)
    return moment(said if is_read else str(said), where=f"Param `{name}`:")


def _utc(when: datetime) -> datetime:
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return aware.astimezone(UTC)


def _ordered(window: Window) -> Window:
    if window.start is not None and window.start >= window.end:
        raise PermanentError(
            "Param `window_start`:",
            should="be before `window_end`",
            but="it is not",
            do="Mend one of them.",
        )
    return window
