"""The commands about a sync: show it, say why a user was sent or not, reset it, forget a user.

A sync's id enters, what is known of it is printed as JSON. Nothing is ever sent to Segment.
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from airflow_provider_looker_segment.cli.shell import connections
from airflow_provider_looker_segment.exceptions import TransientError
from airflow_provider_looker_segment.operators.history import GOING_ON
from airflow_provider_looker_segment.operators.maintenance_task import Maintenance
from airflow_provider_looker_segment.stores.chunks import CHUNK_PREFIX
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
        maintenance = Maintenance(sync, _Runs(), show_values=show_values)
        said = maintenance.do(action, user)
    print(json.dumps(said, indent=2, ensure_ascii=False))
    return 1 if said.get("state") == "unknown" else 0


class _Runs:
    """The runs of a sync, where no task runs."""

    def goes_on(self, about: Mapping[str, Any]) -> bool:
        """Whether Airflow has not ended the DAG run."""
        from airflow.models.dagrun import DagRun  # noqa: PLC0415 - needs Airflow's database
        from airflow.utils.session import create_session  # noqa: PLC0415
        from sqlalchemy import select  # noqa: PLC0415

        query = select(DagRun.state).filter_by(dag_id=about["dag_id"], run_id=about["run_id"])
        with create_session() as session:
            return session.scalar(query) in GOING_ON

    def delete_chunks(self, about: Mapping[str, Any]) -> bool:
        """Delete a run's chunks; tell whether there were any."""
        from types import SimpleNamespace  # noqa: PLC0415

        from airflow.models.xcom import XComModel  # noqa: PLC0415
        from airflow.sdk.execution_time.xcom import XCom  # noqa: PLC0415
        from airflow.utils.session import create_session  # noqa: PLC0415
        from sqlalchemy import select  # noqa: PLC0415

        query = select(XComModel).filter_by(**about)
        with create_session() as session:
            # One after the other: together they may be more than there is memory for.
            keys = session.scalars(query.with_only_columns(XComModel.key)).all()
            keys = [key for key in keys if key.startswith(CHUNK_PREFIX)]
            for key in keys:
                row = session.scalars(query.filter_by(key=key)).one()
                value = row.value
                with contextlib.suppress(TypeError, ValueError):
                    # Some versions keep values as JSON texts, others as what these say.
                    value = json.loads(value)
                # An XCom backend may keep it in a file.
                XCom.purge(SimpleNamespace(value=value))
                session.delete(row)
                session.flush()
        return bool(keys)
