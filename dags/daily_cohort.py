"""Every night, send the cohort of a Look to Segment; also from the form behind "Trigger"."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_looker_segment.task_groups import look_to_segment

with DAG(
    "daily_cohort",
    description="Send a Look's cohort to Segment, every night or at the press of a button",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["looker", "segment"],
    params={
        "look_id": Param(
            "42",
            type="string",
            pattern="^[0-9]+$",
            title="Look",
            description="The number in the Look's address in Looker.",
        ),
        "destinations": Param(
            [],
            type="array",
            items={"type": "string"},
            title="Destinations",
            description="Tools behind Segment that must be able to use the rows, one per line.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Dry run",
            description="Check everything and send nothing.",
        ),
        "filters": Param(
            {},
            type="object",
            title="Filters",
            description='Filter expressions by field, for example {"users.state": "CA"}.',
            section="More",
        ),
        "row_limit": Param(
            "",
            type=["string", "null"],
            pattern="^(|look|all|[1-9][0-9]*)$",
            title="Row limit",
            description='Empty for every row, "look" for the Look\'s own limit, or a number.',
            section="More",
        ),
    },
) as dag:
    look_to_segment(
        look_id="{{ params.look_id }}",
        destinations="{{ params.destinations }}",
        filters="{{ params.filters }}",
        row_limit="{{ params.row_limit }}",
        dry_run="{{ params.dry_run }}",
    )
