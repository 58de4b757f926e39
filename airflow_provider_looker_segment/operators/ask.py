"""Approve: let a person decide about a run that a guard stopped, before anything of it is sent.

It stands on Airflow's own human-in-the-loop operator, so this module is imported only where a DAG
asks for it; what it does is in :mod:`.ask_task`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"


class SegmentApprovalOperator(HITLOperator):
    """Wait for a person where a guard stopped the extract, and only there.

    Returns the shards that :class:`SegmentIdentifyOperator` is to be mapped over: at once where no
    guard stopped the run, and once a person approved where one did. Who rejects, or nobody's answer
    in time, fails it.

    :param extract_task_id: the :class:`LookerRunLookOperator`'s full task id; it has ``ask=True``.
    :param allow_older: as in extract. (templated)
    :param kwargs: of Airflow's ``HITLOperator``, such as ``response_timeout``, ``notifiers`` and
        ``assigned_users``.
    """

    # Without the question: a Look's title is no template.
    template_fields: Sequence[str] = ("allow_older",)
    ui_color = "#ffe0d6"

    def __init__(
        self, *, extract_task_id: str, allow_older: bool | str = False, **kwargs: Any
    ) -> None:
        # A limit for the work is none for the person; Airflow would take it for one.
        kwargs["execution_timeout"] = None
        super().__init__(subject="A guard stopped a run", options=[APPROVE, REJECT], **kwargs)
        self.extract_task_id = extract_task_id
        self.allow_older = allow_older

    def execute(self, context: Context) -> list[dict[str, Any]] | None:
        """Return the shards where nobody need be asked; ask where a guard stopped the run."""
        from airflow_provider_looker_segment.operators import ask_task  # noqa: PLC0415

        shards = ask_task.ask(self, context)
        if shards is None:
            super().execute(context)  # It does not return: the task waits.
        return shards

    def execute_complete(self, context: Context, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Go on after the answer; return the shards."""
        from airflow_provider_looker_segment.operators import ask_task  # noqa: PLC0415

        return ask_task.go_on(self, context, event)
