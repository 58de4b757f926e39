"""Maintenance: show what a sync knows, say why a user was sent or not, reset it, forget a user.

What a DAG says enters and is kept; the work is in :mod:`.maintenance_task`, which is imported when
it is done: Airflow imports this module again at every parse of a DAG file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

ACTIONS = ("show", "why", "reset", "forget")


class SnapshotMaintenanceOperator(BaseOperator):
    """Show what a sync knows, say why a user was sent or not, reset a sync, or forget a user.

    Returns what it found as plain JSON, and logs it; a user's id is in neither.

    :param sync_id: as the report of a run shows it, such as ``daily_cohort/42``. (templated)
    :param action: ``"show"``, ``"why"``, ``"reset"`` or ``"forget"``. (templated)
    :param user: whom ``"why"`` and ``"forget"`` are about. (templated)
    """

    template_fields: Sequence[str] = ("sync_id", "action", "user")
    ui_color = "#f2e6ff"

    def __init__(
        self, *, sync_id: str, action: str, user: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sync_id = sync_id
        self.action = action
        self.user = user

    def execute(self, context: Context) -> dict[str, Any]:
        """Do it; return what was found."""
        from airflow_provider_looker_segment.operators import maintenance_task  # noqa: PLC0415

        return maintenance_task.run(self, context, ACTIONS)
