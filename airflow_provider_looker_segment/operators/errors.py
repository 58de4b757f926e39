"""Errors of this package become what Airflow acts upon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_looker_segment.exceptions import PermanentError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Fail for good where a retry would fail alike; let everything else be retried."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error
