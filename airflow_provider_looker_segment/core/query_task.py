"""A query that Looker runs on its own, as everything knows it that waits for it.

Facts enter once, when the query begins; the same leave in a store, a trigger and an event, so
that any process can go on where another stopped. When to ask is decided here, asking is not.
Source: https://cloud.google.com/looker/docs/reference/looker-api/latest/methods/Query/query_task
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

ADDED: Final = "added"
COMPLETE: Final = "complete"
EXPIRED: Final = "expired"
KILLED: Final = "killed"
FAILED: Final = frozenset({"error", "failure"})
ENDINGS: Final = frozenset({COMPLETE, EXPIRED, KILLED}) | FAILED
"""The statuses of Looker's that never change again; any other means that the query goes on."""

TIMEOUT: Final = "timeout"
"""Ours, not Looker's: the query goes on, and nobody waits any longer."""

UNKNOWN: Final = "unknown"
"""Ours, not Looker's: it would not say."""

DEFAULT_TIMEOUT_S = 4 * 3_600.0
"""Seconds that a query may take unless said otherwise; Looker itself sets it no limit."""

_FIRST_INTERVAL_S = 2.0
_LONGEST_INTERVAL_S = 30.0
_GROWTH = 1.5


@dataclass(frozen=True, slots=True)
class QueryTask:
    """One query task.

    :param id: Looker's id of the task.
    :param query_id: Looker's id of the query, which stands for the query's definition.
    :param give_up_at: when nobody waits any longer, in seconds since 1970.
    :param is_second: whether it replaces one that expired.
    """

    id: str
    query_id: str
    give_up_at: float
    is_second: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, said: Any) -> QueryTask | None:
        """Read what :meth:`as_dict` returned; ``None`` where it is something else.

        >>> QueryTask.from_dict({"id": "7"}) is None
        True
        """
        if not isinstance(said, Mapping):
            return None
        match said:
            case {
                "id": str(task_id),
                "query_id": str(query_id),
                "give_up_at": int() | float() as give_up_at,
                "is_second": bool(is_second),
            }:
                return cls(task_id, query_id, give_up_at, is_second)
        return None


def poll_intervals() -> Iterator[float]:
    """Return the seconds between questions: short ones first, for each may count as an API call.

    >>> import itertools
    >>> [round(seconds, 1) for seconds in itertools.islice(poll_intervals(), 9)]
    [2.0, 3.0, 4.5, 6.8, 10.1, 15.2, 22.8, 30.0, 30.0]
    """
    interval_s = _FIRST_INTERVAL_S
    while True:
        yield interval_s
        interval_s = min(interval_s * _GROWTH, _LONGEST_INTERVAL_S)
