"""What commands need of Airflow where no task runs: its connections and variables.

Inside the block hooks and settings find them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

_ROLE = "_AIRFLOW_PROCESS_CONTEXT"
"""Without it Airflow looks for connections in the environment and in secrets backends only.

Source: https://github.com/apache/airflow/blob/main/airflow-core/src/airflow/cli/commands/connection_command.py
"""


@contextmanager
def connections() -> Iterator[None]:
    """Find connections where ``airflow connections`` does, and keep the log out of the answer.

    Inside the block the output stream is the error stream: Airflow 3.1 warns on the former, of
    its own start and of connection types with an underscore. Keep ``sys.stdout`` from before.
    What is logged, at warning or above, goes there too, without tracebacks.
    """
    role, was_disabled = os.environ.get(_ROLE), logging.root.manager.disable
    os.environ[_ROLE] = "server"
    logging.disable(logging.INFO)
    try:
        with _logs_on(sys.stderr), redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(was_disabled)
        del os.environ[_ROLE]
        if role is not None:
            os.environ[_ROLE] = role


@contextmanager
def _logs_on(stream: TextIO) -> Iterator[None]:
    """Let Airflow's log, which it binds to the output stream when it starts, go elsewhere."""
    moved = [
        handler
        for handler in logging.root.handlers
        if isinstance(handler, logging.StreamHandler)
        and handler.stream in (sys.stdout, sys.__stdout__)
    ]
    was = [handler.setStream(stream) for handler in moved]
    factory = logging.getLogRecordFactory()

    def without_traceback(*args: Any, **words: Any) -> logging.LogRecord:
        # It quotes what the terminal need not show, such as a statement with its parameters.
        record = factory(*args, **words)
        record.exc_info = None
        return record

    # Not a filter: Airflow 3.1 starts, with handlers of its own, only when it is asked.
    logging.setLogRecordFactory(without_traceback)
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
        for handler, before in zip(moved, was, strict=True):
            handler.setStream(before)
