"""The commands about a sync: show it, say why a user was sent or not, reset it, forget a user.

A sync's id enters, what is known of it is printed as JSON. Nothing is ever sent to Segment.
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import contextlib
import json
import sys

from airflow_provider_looker_segment.cli.shell import connections
from airflow_provider_looker_segment.core.sync import StoppedRun
from airflow_provider_looker_segment.exceptions import TransientError
from airflow_provider_looker_segment.operators.maintenance_task import Maintenance
from airflow_provider_looker_segment.stores.syncs import SyncStore


class _Variables:
    """Airflow's variables, where no task runs."""

    def get(self, key: str) -> str | None:
        """Return a variable's text; ``None`` where there is none.

        :raises TransientError: when Airflow cannot say whether there is one.
        """
        from airflow.models.variable import Variable  # noqa: PLC0415 - needs Airflow's database

        found = Variable.get(key, default_var=None)
        return _asked_again(key) if found is None else str(found)

    def set(self, key: str, text: str, description: str) -> None:
        """Write a variable's text."""
        from airflow.models.variable import Variable  # noqa: PLC0415

        Variable.set(key, text, description=description)


def _asked_again(key: str) -> str | None:
    """Tell a variable that is absent from one that could not be read: ``Variable.get`` does not."""
    from airflow.configuration import ensure_secrets_loaded  # noqa: PLC0415 - as late as the others

    for backend in ensure_secrets_loaded():
        try:
            found = backend.get_variable(key=key)
        except Exception as error:  # noqa: BLE001 - each backend has errors of its own
            # Its text may hold the address, and more, of whatever did not answer.
            raise TransientError(
                f"Airflow's variable {key!r}",
                should="be read, or be known to be absent",
                but=f"{type(backend).__name__} did neither ({type(error).__name__})",
                do="Nothing was changed. Run the command again when Airflow's database and its "
                "secrets backend answer.",
            ) from None
        if found is not None:
            return str(found)
    return None


def show(options: argparse.Namespace) -> int:
    """Print what is known of a sync."""
    return _do(options, "show")


def why(options: argparse.Namespace) -> int:
    """Print what is known of a user, and what that means."""
    return _do(options, "why", options.user, show_values=options.show_values)


def forget(options: argparse.Namespace) -> int:
    """Remove every trace of a user."""
    return _do(options, "forget", options.user)


def reset(options: argparse.Namespace) -> int:
    """Delete what a sync knows, once somebody has said that it is meant."""
    if not options.yes:
        print(
            "The next run would send everything again; say --yes if that is meant.", file=sys.stderr
        )
        return 1
    return _do(options, "reset")


def _do(
    options: argparse.Namespace, action: str, user: str = "", *, show_values: bool = False
) -> int:
    with connections():
        sync = SyncStore(options.sync, _Variables())
        maintenance = Maintenance(sync, _delete_chunks, show_values=show_values)
        said = maintenance.do(action, user)
    print(json.dumps(said, indent=2, ensure_ascii=False))
    return 1 if said.get("state") == "unknown" else 0


def _delete_chunks(stopped: StoppedRun) -> None:
    from airflow.models.xcom import XComModel  # noqa: PLC0415 - needs Airflow's database

    place = {"dag_id": stopped.dag_id, "run_id": stopped.run_id, "task_id": stopped.task_id}
    _purge(place, stopped.map_index)
    XComModel.clear(
        dag_id=stopped.dag_id,
        task_id=stopped.task_id,
        run_id=stopped.run_id,
        map_index=stopped.map_index,
    )


def _purge(place: dict[str, str], map_index: int) -> None:
    """Delete what an XCom backend keeps in files."""
    from types import SimpleNamespace  # noqa: PLC0415

    from airflow.models.xcom import XComModel  # noqa: PLC0415
    from airflow.sdk.execution_time.xcom import XCom  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    columns = {**place, "map_index": map_index}
    with create_session() as session:
        for row in session.scalars(select(XComModel).filter_by(**columns)):
            value = row.value
            with contextlib.suppress(TypeError, ValueError):
                # Some versions keep values as JSON texts, others as what these say.
                value = json.loads(value)
            XCom.purge(SimpleNamespace(value=value))
