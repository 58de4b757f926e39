"""Errors of this package become what Airflow acts upon, and what people read in its logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_looker_segment.exceptions import LookerSegmentError, PermanentError


@contextmanager
def airflow_errors() -> Iterator[None]:
    """Fail for good where a retry would fail alike; let everything else be retried.

    Airflow logs each error of a chain with all its frames, so the chain is as short as it can be:
    frames are kept, and of the causes only one that says something else.
    """
    try:
        yield
    except PermanentError as error:
        failed = AirflowFailException(error.in_lines())
        raise failed.with_traceback(error.__traceback__) from _cause(error)
    except LookerSegmentError as error:
        raise error from _cause(error)


def _cause(error: LookerSegmentError) -> BaseException | None:
    cause = error.__cause__
    return None if cause is None or str(cause) in str(error) else cause
