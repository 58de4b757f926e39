"""The buttons that lead from a task to Looker, to Segment, and to what a problem means.

Airflow asks for their addresses in the worker when a task ends, however it ends; an operator has
noted in its ``lineage`` whatever it knew by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.providers.common.compat.sdk import conf
from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

PROBLEMS_PATH = "looker-segment/problems"
"""Where :mod:`.plugin` shows what problems mean, below Airflow's own address."""


class _NotedLink(BaseOperatorLink):
    """A link whose address the operator has noted."""

    noted: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the address, or nothing where the task ended before it knew."""
        return str(getattr(operator.lineage, self.noted))  # type: ignore[attr-defined]


class LookLink(_NotedLink):
    """To the Look in Looker."""

    name = "Look in Looker"
    noted = "look_url"


class QueryLink(_NotedLink):
    """To the query of this run, with its absolute dates, in Looker."""

    name = "Query of this run in Looker"
    noted = "query_url"


class SourceLink(_NotedLink):
    """To the source's debugger, which shows calls as they arrive."""

    name = "Source in Segment"
    noted = "source_url"


class ProblemsLink(BaseOperatorLink):
    """To what each problem means and what helps, within this Airflow."""

    name = "What problems mean"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Return the page's address, the same for every task."""
        base = str(conf.get("api", "base_url", fallback="")).rstrip("/")
        return f"{base}/{PROBLEMS_PATH}"
