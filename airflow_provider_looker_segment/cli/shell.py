"""What commands need of Airflow where no task runs: its connections.

The id of a connection enters; inside the block hooks and settings find it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_looker_segment.exceptions import PermanentError

_ROLE = "_AIRFLOW_PROCESS_CONTEXT"
"""Without it Airflow looks for connections in the environment and in secrets backends only.

Source: https://github.com/apache/airflow/blob/main/airflow-core/src/airflow/cli/commands/connection_command.py
"""


@contextmanager
def connections(conn_id: str) -> Iterator[None]:
    """Find connections where ``airflow connections`` does, and keep the log out of the answer.

    Inside the block the output stream is the error stream: Airflow 3.1 warns on the former, of
    its own start and of connection types with an underscore. Keep ``sys.stdout`` from before.

    :param conn_id: the connection that will be asked for.
    :raises PermanentError: when there is no such connection.
    """
    role, was_disabled = os.environ.get(_ROLE), logging.root.manager.disable
    os.environ[_ROLE] = "server"
    logging.disable(logging.INFO)
    try:
        with redirect_stdout(sys.stderr):
            yield
    except AirflowNotFoundException as error:
        raise PermanentError(
            f"Connection {conn_id!r}",
            should="exist in Airflow",
            but="it does not",
            do="Add it, or name another one.",
        ) from error
    finally:
        logging.disable(was_disabled)
        del os.environ[_ROLE]
        if role is not None:
            os.environ[_ROLE] = role
