"""Fixtures: one running Airflow for all live tests, and the record of what arrived."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.live.airflow import LiveAirflow
from tests.operators.conftest import sent, summary

DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="package")
def _airflow(_sandbox: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveAirflow]:
    with LiveAirflow(
        tmp_path_factory.mktemp("airflow"),
        dags=DAGS.glob("*.py"),
        connections=_sandbox.connections(),
    ) as running:
        yield running


@pytest.fixture
def airflow(_airflow: LiveAirflow, sandbox: Any) -> LiveAirflow:
    """A running Airflow, and a sandbox that is empty and without faults."""
    return _airflow


def has_store() -> bool:
    """Say whether this Airflow keeps state of a task across its tries, as 3.3 does."""
    return find_spec("airflow.sdk.definitions.retry_policy") is not None


@dataclasses.dataclass(frozen=True)
class Arrived:
    """What the Segment stand-in holds.

    :param ids: how many messages were accepted under each id.
    :param profiles: the traits of each user, as JSON.
    """

    ids: Counter[str]
    profiles: dict[str, str]
    accepted: int
    duplicates: int
    requests: int

    @classmethod
    def at(cls, sandbox: Any) -> Arrived:
        """Ask the stand-in."""
        record = summary(sandbox)
        users = requests.get(
            f"{sandbox.segment_url}/_sandbox/users", params={"limit": 100_000}, timeout=60
        ).json()["users"]
        return cls(
            ids=Counter(message["messageId"] for message in sent(sandbox)),
            profiles={user["id"]: json.dumps(user["traits"], sort_keys=True) for user in users},
            accepted=record["accepted"],
            duplicates=record["duplicates"],
            requests=record["requests"],
        )
