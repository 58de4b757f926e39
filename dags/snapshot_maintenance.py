"""Look into a sync, reset it, or forget a user, from the form behind "Trigger"."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from airflow_provider_looker_segment.operators.maintenance import (
    ACTIONS,
    SnapshotMaintenanceOperator,
)

with DAG(
    "snapshot_maintenance",
    description="Look into a sync, reset it, or forget a user",
    schedule=None,
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    tags=["looker", "segment"],
    params={
        "action": Param(
            "show",
            type="string",
            enum=list(ACTIONS),
            title="What to do",
            description="Show the sync, say why a user was sent or not, reset the sync so that "
            "its next run sends everything, or forget a user for good.",
        ),
        "sync_id": Param(
            "daily_cohort/42",
            type="string",
            minLength=1,
            title="Sync",
            description="As the report shows it: by default the DAG's id and the Look's.",
        ),
        "user": Param(
            None,
            type=["null", "string"],
            title="User",
            description="For why and forget: a userId, an anonymousId, or the e-mail address of "
            "somebody without either. It stays in this run's configuration: delete the run.",
        ),
    },
) as dag:
    SnapshotMaintenanceOperator(
        task_id="maintain",
        action="{{ params.action }}",
        sync_id="{{ params.sync_id }}",
        user="{{ params.user or '' }}",
    )
