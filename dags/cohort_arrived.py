"""Wait for a cohort, and do something when it has reached Segment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_looker_segment.assets import create_asset

COHORT = create_asset("segment", conn_id="segment_default", look_id="42")

with DAG(
    "cohort_arrived",
    description="Runs when the cohort of Look 42 has reached Segment",
    schedule=[COHORT],
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["looker", "segment"],
) as dag:

    @task
    def tell(triggering_asset_events: Any = None) -> list[str]:
        """Say how many users arrived; the event's extra is the run's whole report."""
        said = [
            f"{event.extra['accepted']:,} of {event.extra['rows']:,} rows of Look "
            f"{event.extra['look']['id']} reached Segment as of {event.extra['window']['end']}."
            for event in triggering_asset_events[COHORT]
            # An event that somebody made by hand has no report.
            if "accepted" in event.extra
        ]
        for sentence in said:
            print(sentence)  # noqa: T201 - what a task prints is its log
        return said

    tell()
