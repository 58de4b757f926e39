"""The operators wired by hand, for a DAG that does something of its own in between."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.operators.report import SegmentReportOperator
from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator

with DAG(
    "two_operators",
    description="Pull a Look into chunks, push identify calls, report",
    schedule=None,
    start_date=datetime(2017, 1, 1, tzinfo=UTC),
    tags=["looker", "segment"],
) as dag:
    extract = LookerRunLookOperator(task_id="extract", look_id="42", retries=3)
    identify = SegmentIdentifyOperator.partial(task_id="identify", retries=3).expand(
        shard=extract.output
    )
    report = SegmentReportOperator(
        task_id="report", extract_task_id="extract", identify_task_id="identify"
    )
    [extract, identify] >> report
