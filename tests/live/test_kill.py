"""Workers that are killed at random moments of a run, again and again, until it is through."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from typing import Any

import psutil
import pytest
import requests

from tests.live.airflow import OVER, LiveAirflow, Run
from tests.live.conftest import Arrived, has_store

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(900)]

LATEST = 0.5
"""When a worker is killed at the latest, as a share of the life of one that is left alone."""

LATEST_S = 2.5
"""When it is killed at the latest, so that those that send die several times."""

BATCH_MESSAGES = 200
"""Half of what the DAG ``killed`` sends in a second."""


@pytest.fixture(scope="module")
def lives(_airflow: LiveAirflow, _sandbox: Any) -> dict[str, float]:
    """For how many seconds the worker of each task lives when nobody is killed."""
    # The first run is slow, for nothing of Airflow has been read yet.
    assert "success" == _airflow.wait(_airflow.trigger("killed"))
    forget(_sandbox)
    run, found = _airflow.trigger("killed"), {}
    while (state := _airflow.state(run)) not in OVER:
        names = {task.id: task.name for task in _airflow.tasks(run)}
        for id_, process in _airflow.task_processes().items():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[names[id_]] = time.time() - process.create_time()
        time.sleep(0.05)
    assert "success" == state
    return found


@pytest.fixture(scope="module")
def undisturbed(lives: dict[str, float], _sandbox: Any) -> Arrived:
    """What that run leaves in Segment."""
    found = Arrived.at(_sandbox)
    assert {"extract", "identify[0]", "report"} <= lives.keys()
    assert 0 == found.duplicates
    assert found.accepted > 10 * BATCH_MESSAGES
    return found


@pytest.mark.parametrize("seed", range(4 if has_store() else 2))
def test_a_run_survives_kills_at_random_moments(
    airflow: LiveAirflow,
    sandbox: Any,
    lives: dict[str, float],
    undisturbed: Arrived,
    seed: int,
) -> None:
    """The same profiles arrive, each message once; each kill repeats at most one batch."""
    forget(sandbox)
    run = airflow.trigger("killed")

    kills = kill_at_random(airflow, run, lives, random.Random(seed))

    assert "success" == airflow.wait(run)
    arrived, report = Arrived.at(sandbox), airflow.xcom(run, "report", "report")
    assert kills.total() >= 3
    assert kills["identify[0]"] >= 2
    # Each run has ids of its own; within it every user has one, whatever was sent again.
    assert len(undisturbed.ids) == len(arrived.ids) == len(arrived.profiles)
    assert {1} == set(arrived.ids.values())
    assert undisturbed.profiles == arrived.profiles
    repeated = BATCH_MESSAGES if has_store() else undisturbed.accepted
    assert arrived.duplicates <= kills["identify[0]"] * repeated
    assert (undisturbed.accepted, undisturbed.accepted, 0, 0) == (
        report["messages"],
        report["accepted"],
        report["unknown"],
        report["not_sent"],
    )
    assert not [key for key in airflow.xcom_keys(run) if key.startswith("chunk_")]


def kill_at_random(
    airflow: LiveAirflow, run: Run, lives: dict[str, float], chance: random.Random
) -> Counter[str]:
    """Kill workers until enough have died; return how many of each task.

    Most die alone, as when memory runs out. Once in a run the worker's supervisor dies with it,
    or before it, as when a machine is lost: Airflow notices that by the missing heartbeat.
    """
    wanted = Counter({"extract": chance.randint(1, 3), "report": chance.randint(1, 3)})
    wanted["identify[0]"] = chance.randint(4, 6) if has_store() else chance.randint(2, 4)
    lost = chance.randrange(wanted.total())
    kills: Counter[str] = Counter()
    seen: set[str] = set()
    while airflow.state(run) not in OVER:
        for id_, process in airflow.task_processes().items():
            name = {task.id: task.name for task in airflow.tasks(run)}.get(id_)
            if name is None or id_ in seen or kills[name] == wanted[name]:
                continue
            seen.add(id_)
            after_s = chance.uniform(0, min(LATEST_S, LATEST * lives[name]))
            time.sleep(max(0.0, process.create_time() + after_s - time.time()))
            try:
                if kills.total() == lost:
                    supervisor = process.parent()
                    assert supervisor is not None
                    supervisor.kill()
                    if chance.random() < 0.5:
                        process.kill()
                else:
                    process.kill()
            except psutil.NoSuchProcess:
                continue
            kills[name] += 1
        time.sleep(0.05)
    return kills


def forget(sandbox: Any) -> None:
    """Empty the Segment stand-in; it forgets the ids of messages too."""
    requests.post(f"{sandbox.segment_url}/_sandbox/reset", timeout=10).raise_for_status()
