"""``make ui``: what it offers, what it leaves behind, and how it stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests

from tests.airflow_ui import RunningUi

pytestmark = [pytest.mark.slow, pytest.mark.airflow]


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUi]:
    """A running ``make ui`` with connections."""
    with RunningUi(tmp_path_factory.mktemp("ui") / "home") as running:
        yield running


def body_of(connection: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return what the form sends for a connection."""
    return {"connection_id": "tested", **connection, **changes}


@pytest.fixture
def looker(ui: RunningUi) -> dict[str, Any]:
    """The Looker connection, as the form sends it."""
    return body_of(
        {
            "conn_type": "looker",
            "host": ui.printed("Looker"),
            "login": ui.printed("client id"),
            "password": ui.printed("client secret"),
        }
    )


@pytest.fixture
def segment(ui: RunningUi) -> dict[str, Any]:
    """The Segment connection, as the form sends it."""
    return body_of(
        {
            "conn_type": "segment_source",
            "host": ui.printed("Segment"),
            "password": ui.printed("write key"),
        }
    )


def test_everything_is_there(ui: RunningUi) -> None:
    """The pages answer, the connections are made and the example DAGs are on."""
    page = requests.get(ui.printed("Airflow"), timeout=60)
    connections = ui.ask("/api/v2/connections")["connections"]
    paused = {dag["dag_id"]: dag["is_paused"] for dag in ui.ask("/api/v2/dags")["dags"]}

    assert "<html" in page.text
    assert {"looker_default", "segment_default"} == {one["connection_id"] for one in connections}
    assert {"daily_cohort", "two_operators"} <= paused.keys()
    assert not any(paused.values())


def test_no_import_errors(ui: RunningUi) -> None:
    """Airflow can read every example."""
    assert 0 == ui.ask("/api/v2/importErrors")["total_entries"]


def test_the_scheduled_run_arrives(ui: RunningUi) -> None:
    """The run of the day ends well without a hand."""
    assert "success" == ui.wait_for_run("daily_cohort", prefix="scheduled__")["state"]


def test_a_good_connection_says_what_it_proved(
    ui: RunningUi, looker: dict[str, Any], segment: dict[str, Any]
) -> None:
    """The test button of both forms is green."""
    said = [ui.ask("/api/v2/connections/test", body) for body in (looker, segment)]

    assert [True, True] == [one["status"] for one in said], said


def test_a_bad_connection_says_what_to_do(ui: RunningUi, looker: dict[str, Any]) -> None:
    """The test button of a wrong secret is red, and names neither of them."""
    said = ui.ask("/api/v2/connections/test", {**looker, "password": "another-secret"})

    assert not said["status"]
    assert "client" in said["message"]
    assert "another-secret" not in said["message"]


def test_it_stops_without_a_trace(ui: RunningUi) -> None:
    """Ctrl-C ends it with 0, no process and no file outside its folder."""
    code = ui.stop()

    assert 0 == code
    assert "Stopped; nothing is left running." == ui.page.splitlines()[-1]
    assert "Traceback" not in ui.page
    assert len(ui.children) >= 4
    psutil.wait_procs(ui.children, timeout=5)
    assert [] == [child for child in ui.children if child.is_running()]
    assert [] == list(ui.user_home.iterdir())
