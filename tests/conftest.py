"""Fixtures: a private Airflow, the sandbox, and a network that ends at this machine."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

HOME = Path(tempfile.mkdtemp(prefix="looker-segment-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
DAGS = HOME / "dags"
DAGS.mkdir()
for folder in (Path(__file__).parent.parent / "dags", Path(__file__).parent / "dags"):
    for file in folder.glob("*.py"):
        (DAGS / file.name).symlink_to(file)

# Airflow reads these when it is first imported.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}

TODAY = date(2026, 1, 15)
"""The sandbox's day in all tests, so that its generated data never changes."""


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
            assert loopback, f"a test tried to reach {host}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Any]:
    from airflow_provider_looker_segment.sandbox.server import Sandbox

    with Sandbox(today=TODAY) as running:
        yield running


@pytest.fixture
def sandbox(_sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The sandbox, empty and without faults, with its two connections in the environment."""
    import requests

    for name, value in _sandbox.connections().items():
        monkeypatch.setenv(name, value)
    for url in (_sandbox.looker_url, _sandbox.segment_url):
        requests.delete(f"{url}/_sandbox/faults", timeout=10).raise_for_status()
        requests.post(f"{url}/_sandbox/reset", timeout=10).raise_for_status()
    yield _sandbox
    for url in (_sandbox.looker_url, _sandbox.segment_url):
        requests.delete(f"{url}/_sandbox/faults", timeout=10).raise_for_status()


@pytest.fixture(scope="session")
def _airflow_db() -> None:
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def airflow_db(_airflow_db: None) -> None:
    """A migrated metadata database, made once, in which no sync remembers anything."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(Variable))
