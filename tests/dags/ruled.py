"""The DAG that tests run where one rule decides: the three operators, wired by hand."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from airflow.sdk import DAG

from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.operators.report import SegmentReportOperator
from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator

with DAG("ruled", schedule=None, start_date=datetime(2020, 1, 1, tzinfo=UTC)) as dag:
    extract = LookerRunLookOperator(
        task_id="extract", **json.loads(os.environ.get("RULED_CHOICES", '{"look_id": "1"}'))
    )
    identify = SegmentIdentifyOperator.partial(
        task_id="identify", max_messages_per_second=1e6
    ).expand(shard=extract.output)
    report = SegmentReportOperator(
        task_id="report", extract_task_id="extract", identify_task_id="identify"
    )
    [extract, identify] >> report
