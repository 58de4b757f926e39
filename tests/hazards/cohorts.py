"""Cohorts as Looks answer with, and what several runs of a sync must leave of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from airflow_provider_looker_segment.core.traits import RESERVED_TYPES
from tests.hazards.flow import Flow

Start = Callable[..., Flow]
Cohort = dict[str | float, dict[str, Any]]
Open = Callable[..., Flow]

MODES: dict[str, dict[str, Any]] = {
    "changed": {"mode": "changed"},
    "membership": {"mode": "mirror", "membership_trait": "in_cohort"},
    "clear": {"mode": "mirror", "on_leave": "clear"},
}
ALL_MAY_LEAVE = {"max_leavers": 1}


def green(flow: Flow) -> Flow:
    """Run a flow that goes well."""
    assert {} == {name: str(error) for name, error in flow.run().errors.items()}
    return flow


def users(*numbers: int, **traits: Any) -> Cohort:
    """Return some users with the same traits."""
    return {f"u-{number}": {"note": "n", **traits} for number in numbers}


def text(user: str | float) -> str:
    """How an id is sent."""
    return user if isinstance(user, str) else f"{user:.0f}"


def in_order(cohorts: dict[int, Cohort], mode: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the windows would have left in their order."""
    profiles: dict[str, dict[str, Any]] = {}
    trait = mode.get("membership_trait")
    for _, cohort in sorted(cohorts.items()):
        for user, cells in cohort.items():
            traits = {"name": "Ty", **cells}
            traits = {name: value for name, value in traits.items() if value is not None}
            profiles[text(user)] = {**traits, trait: True} if trait else traits
        left = profiles.keys() - {text(user) for user in cohort}
        for user in left if mode["mode"] == "mirror" else ():
            if trait:
                profiles[user][trait] = False
            else:
                kept = {n: v for n, v in profiles[user].items() if n in RESERVED_TYPES}
                profiles[user] = kept
    return profiles


def forget_fields(flow: Flow, place: tuple[str, int, str], *names: str) -> None:
    """Let a value in XCom be as if it were of a version that did not know these fields."""
    said = json.loads(flow.xcoms.texts[place])
    flow.xcoms.texts[place] = json.dumps({k: v for k, v in said.items() if k not in names})


def maintain(flow: Flow, action: str, user: str = "", *, sync_id: str = "") -> dict[str, Any]:
    """Run the maintenance task about a flow's sync."""
    from airflow_provider_looker_segment.operators.maintenance import SnapshotMaintenanceOperator

    operator = SnapshotMaintenanceOperator(
        task_id="maintain",
        sync_id=sync_id or flow.books["sync_id"],
        action=action,
        user=user,
    )
    return operator.execute(flow.context("maintain"))
