"""``look_to_segment()``: the tasks of a run, wired.

Choices enter, a task group leaves; nothing is fetched while a DAG file is read.
"""

from __future__ import annotations

from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import TaskGroup, TriggerRule

from airflow_provider_looker_segment.assets import create_asset
from airflow_provider_looker_segment.core.pacing import messages_per_second
from airflow_provider_looker_segment.core.query_task import DEFAULT_TIMEOUT_S
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.operators.report import SegmentReportOperator
from airflow_provider_looker_segment.operators.segment import (
    DEFAULT_MESSAGES_PER_SECOND,
    SegmentIdentifyOperator,
)
from airflow_provider_looker_segment.retry import POLICY

if TYPE_CHECKING:
    from airflow.sdk import Asset, BaseOperator

    from airflow_provider_looker_segment.core.guards import Guards
    from airflow_provider_looker_segment.core.mapping import Mapping

RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=15),
    **POLICY,
}
"""How often and when tasks are tried again, unless the DAG says otherwise."""

_BACK_OFF = frozenset({"retry_delay", "retry_exponential_backoff", "max_retry_delay"})
"""Of :data:`RETRIES` what goes together: a delay of the DAG's own must not be cut short by ours."""

_ASK_SETTINGS = frozenset({"response_timeout", "notifiers", "assigned_users"})


def look_to_segment(
    look_id: str | int,
    *,
    as_of: bool | str = True,
    filters: AbstractMapping[str, str] | str | None = None,
    row_limit: int | str | None = None,
    mapping: Mapping | AbstractMapping[str, Any] | str | None = None,
    destinations: Sequence[str] | str | None = None,
    only: bool | str = False,
    unmet: Literal["mute", "reject", "warn"] = "mute",
    destination_rules: Literal["both", "table", "current"] = "both",
    sync_id: str | None = None,
    guards: Guards | AbstractMapping[str, Any] | str | None = None,
    rejects: str | None = None,
    mode: Literal["full", "changed", "mirror"] | str = "full",  # noqa: PYI051 - or a template
    snapshot: AbstractMapping[str, Any] | str | None = None,
    on_leave: Literal["membership", "clear"] = "membership",
    membership_trait: str | None = None,
    allow_older: bool | str = False,
    accept_changes: bool | str = False,
    approve: str | None = None,
    ask: bool | AbstractMapping[str, Any] = False,
    dry_run: bool | str = False,
    show_values: bool | str = False,
    query_task: bool = False,
    deferrable: bool = False,
    query_timeout_s: float = DEFAULT_TIMEOUT_S,
    max_messages_per_second: float = DEFAULT_MESSAGES_PER_SECOND,
    looker_conn_id: str = "looker_default",
    segment_conn_id: str = "segment_default",
    **task_kwargs: Any,
) -> TaskGroup:
    """Send each row of a Look to Segment as one ``identify`` call.

    Three tasks: *extract* runs the Look, maps and checks every row; *identify*, mapped, delivers
    one shard each; *report* closes the books and fails unless every row is accounted for.
    Nothing is sent until every row has been read, mapped and checked.

    :param look_id: the number in the Look's address in Looker.
    :param ask: let a person decide about a run that a guard stops, in a fourth task, *approve*,
        between extract and identify: true, or settings of Airflow's ``HITLOperator``, such as
        ``{"response_timeout": timedelta(hours=8)}``; also ``notifiers`` and ``assigned_users``.
    :param task_kwargs: given to all tasks, but for ``trigger_rule``, which says when the first one
        begins; three retries with back-off, unless they or ``default_args`` say something else.

    The other parameters are those of :class:`LookerRunLookOperator` and
    :class:`SegmentIdentifyOperator`.

    :raises PermanentError: where the Look's id is empty or an address, where this Airflow has no
        human approval, or knows no such setting.
    """
    inlets = list(task_kwargs.get("inlets") or ())
    if "{" not in str(look_id):
        # Airflow's graph of assets then shows where the cohort comes from.
        inlets.append(_look(look_id, conn_id=looker_conn_id))
    asking = _asking(ask)
    with TaskGroup("look_to_segment", add_suffix_on_collision=True) as group:
        task_kwargs = {**_retries(group, task_kwargs), **task_kwargs}
        beginning = dict(task_kwargs)
        # The others follow their own, also where `default_args` have one for all tasks: report
        # must run whatever became of those before it, and they not before there is work.
        task_kwargs.pop("trigger_rule", None)
        following = {**task_kwargs, "trigger_rule": TriggerRule.ALL_SUCCESS}
        extract = LookerRunLookOperator(
            task_id="extract",
            look_id=look_id,
            as_of=as_of,
            filters=filters,
            row_limit=row_limit,
            mapping=mapping,
            destinations=destinations,
            only=only,
            unmet=unmet,
            destination_rules=destination_rules,
            sync_id=sync_id,
            guards=guards,
            rejects=rejects,
            mode=mode,
            snapshot=snapshot,
            on_leave=on_leave,
            membership_trait=membership_trait,
            allow_older=allow_older,
            accept_changes=accept_changes,
            approve=approve,
            ask=asking is not None,
            dry_run=dry_run,
            show_values=show_values,
            query_task=query_task,
            deferrable=deferrable,
            query_timeout_s=query_timeout_s,
            looker_conn_id=looker_conn_id,
            segment_conn_id=segment_conn_id,
            **{**beginning, "inlets": inlets},
        )
        sender: BaseOperator = extract
        approve_task_id = None
        if asking is not None:
            settings = {**following, **asking}
            sender = _approval_task(
                extract_task_id=extract.task_id, allow_older=allow_older, **settings
            )
            approve_task_id = sender.task_id
            extract >> sender
        identify = SegmentIdentifyOperator.partial(
            task_id="identify",
            max_messages_per_second=messages_per_second(max_messages_per_second),
            segment_conn_id=segment_conn_id,
            map_index_template="rows {{ task.shard['rows'] }}",
            **following,
        ).expand(shard=sender.output)
        report = SegmentReportOperator(
            task_id="report",
            extract_task_id=extract.task_id,
            identify_task_id=identify.task_id,
            approve_task_id=approve_task_id,
            guards=guards,
            segment_conn_id=segment_conn_id,
            **task_kwargs,
        )
        [extract, identify] >> report
    return group


def _look(look_id: str | int, *, conn_id: str) -> Asset:
    try:
        return create_asset("looker", conn_id=conn_id, look_id=look_id)
    except ValueError:
        # Most DAG files need no more of it; it names the argument.
        from airflow_provider_looker_segment.operators import arguments  # noqa: PLC0415

        arguments.look_id(look_id)
        raise


def _retries(group: TaskGroup, said: AbstractMapping[str, Any]) -> dict[str, Any]:
    """Return of :data:`RETRIES` what neither the call says nor the DAG, or a group around it."""
    ours = said.get("default_args") or {}
    given = {*group.dag.default_args, *group.default_args, *ours, *said}
    given |= _BACK_OFF if given & _BACK_OFF else set()
    return {name: value for name, value in RETRIES.items() if name not in given}


def _asking(ask: bool | AbstractMapping[str, Any]) -> dict[str, Any] | None:
    """Read `ask`; ``None`` where nobody is asked."""
    if isinstance(ask, bool):
        return {} if ask else None
    settings = dict(ask) if isinstance(ask, AbstractMapping) else {repr(ask): None}
    unknown = sorted(set(settings) - _ASK_SETTINGS)
    if unknown:
        raise PermanentError(
            "Argument `ask`:",
            should=f"be true, or have settings among {', '.join(sorted(_ASK_SETTINGS))}",
            but=f"it has {', '.join(unknown)}",
            do="Correct it.",
        )
    return settings


def _approval_task(**kwargs: Any) -> BaseOperator:
    try:
        # Not before it is asked for: it loads what most DAG files have no use for.
        from airflow_provider_looker_segment.operators.ask import (  # noqa: PLC0415
            SegmentApprovalOperator,
        )
    except ImportError as error:
        raise PermanentError(
            "Argument `ask`:",
            should="be used where Airflow can ask a person",
            but="the package apache-airflow-providers-standard is missing here, or has no human "
            "approval (`operators.hitl`)",
            do="Install a newer one, or leave `ask` out and use `approve`.",
        ) from error
    return SegmentApprovalOperator(task_id="approve", **kwargs)
