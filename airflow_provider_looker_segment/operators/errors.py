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
        cause = _cause(error)
        # Airflow writes its text into the log as it is.
        error.has_lines = True
        raise error from cause


def _cause(error: LookerSegmentError) -> BaseException | None:
    cause = error.__cause__
    return None if cause is None or str(cause) in str(error) else cause


def undefined(argument: str, what: str) -> PermanentError:
    """Say what to write instead of a template that names what its run does not have.

    :param what: the template engine's own words, which name variables and never a value.
    """
    return PermanentError(
        f"Argument `{argument}`:",
        should="come from a template that finds its value",
        but=f"the template names something that this run does not have ({what})",
        do="Runs without a date have no data_interval_start, data_interval_end, logical_date or "
        "ds. Write dag_run.run_after instead, or data_interval_end | default(dag_run.run_after) "
        "for runs of both kinds, or leave the dates to as_of.",
    )
