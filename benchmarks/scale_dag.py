"""The DAG of ``make scale``: one Look in several shards. Airflow reads it, not the benchmarks."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from airflow_provider_looker_segment.core import limits
from airflow_provider_looker_segment.core.chunking import shard
from airflow_provider_looker_segment.task_groups import look_to_segment

# A shard takes half a million messages, and a chunk 4 MB; fewer rows are to be spread over workers
# too, and every shard is to have several chunks.
assert shard.__kwdefaults__
shard.__kwdefaults__["max_messages"] = int(os.environ["SCALE_SHARD_MESSAGES"])
limits.MAX_STORED_CHUNK_BYTES = int(os.environ["SCALE_CHUNK_BYTES"])

with DAG(
    "scale",
    schedule=None,
    start_date=datetime(2020, 1, 1, tzinfo=UTC),
    params={"window_end": "2026-01-15"},
) as dag:
    look_to_segment(
        look_id="1",
        row_limit=10**9,
        max_messages_per_second=float(os.environ["SCALE_PER_SECOND"]),
        retries=5,
        retry_delay=timedelta(seconds=2),
        retry_exponential_backoff=False,
    )
