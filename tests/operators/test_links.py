"""The buttons on a task: where they lead, also for mapped tasks and failed ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment import get_provider_info
from airflow_provider_looker_segment.connections import LookerSettings
from airflow_provider_looker_segment.core.problems import MEANINGS, REMEDIES
from airflow_provider_looker_segment.lineage import Lineage
from airflow_provider_looker_segment.links import PROBLEMS_PATH
from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.operators.report import SegmentReportOperator
from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator
from airflow_provider_looker_segment.plugin import LookerSegmentPlugin, problems_page
from tests.operators.conftest import Outcome

OPERATORS = (LookerRunLookOperator, SegmentIdentifyOperator, SegmentReportOperator)


def link(outcome: Outcome, task: str, name: str, map_index: int = -1) -> str:
    """Return a link of a task, as Airflow's pages get it."""
    found = outcome.xcom(task, f"_link_{name}", map_index)
    return "" if found is None else str(found)


def settings(base_url: str) -> LookerSettings:
    """Return a Looker connection with an address."""
    return LookerSettings("c", base_url, "i", "s")


def segment_connection(sandbox: Any, **extra: str) -> str:
    """Return the Segment connection with more in its extra."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
    return json.dumps({**said, "extra": extra})


@pytest.mark.airflow
def test_links_of_a_good_run(run_look: Callable[..., Outcome], sandbox: Any) -> None:
    """Each task leads to what it worked with, and the pages are there."""
    outcome = run_look("42")

    for task in ("extract", "report"):
        assert f"{sandbox.looker_url}/looks/42" == link(outcome, task, "LookLink")
        query = requests.get(link(outcome, task, "QueryLink"), timeout=10)
        assert "2025-12-16 to 2026-01-15" in query.text
    assert "Look 42" in requests.get(link(outcome, "report", "LookLink"), timeout=10).text
    for task, index in (("extract", -1), ("identify", 0), ("report", -1)):
        assert f"{sandbox.segment_url}/" == link(outcome, task, "SourceLink", index)
        assert link(outcome, task, "ProblemsLink", index).endswith(f"/{PROBLEMS_PATH}")


@pytest.mark.airflow
def test_the_source_link_leads_to_the_debugger(
    run_look: Callable[..., Outcome], sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slugs of the connection make the address of the debugger, in the right region."""
    monkeypatch.setenv(
        "AIRFLOW_CONN_SEGMENT_DEFAULT",
        segment_connection(sandbox, workspace="acme", source="looker", region="eu"),
    )

    outcome = run_look("42")

    expected = "https://eu1.app.segment.com/acme/sources/looker/debugger"
    assert expected == link(outcome, "identify", "SourceLink", 0)
    assert expected == link(outcome, "report", "SourceLink")


@pytest.mark.airflow
def test_links_of_a_failed_extract(run_look: Callable[..., Outcome], sandbox: Any) -> None:
    """Whoever looks for a reason gets to the Look, although nothing was queried."""
    outcome = run_look("48")

    assert "failed" == outcome.states["extract"]
    for task in ("extract", "report"):
        assert f"{sandbox.looker_url}/looks/48" == link(outcome, task, "LookLink")
        assert "" == link(outcome, task, "QueryLink")
        assert f"{sandbox.segment_url}/" == link(outcome, task, "SourceLink")


@pytest.mark.airflow
def test_links_where_the_source_has_no_connection(
    run_look: Callable[..., Outcome], sandbox: Any
) -> None:
    """A connection that is missing on one side takes nothing from the other side's links."""
    outcome = run_look("42", segment_conn_id="nobody_made_it")

    assert "failed" == outcome.states["extract"]
    for task in ("extract", "report"):
        assert f"{sandbox.looker_url}/looks/42" == link(outcome, task, "LookLink")
        assert "" == link(outcome, task, "SourceLink")


@pytest.mark.airflow
def test_links_of_a_failed_identify(run_look: Callable[..., Outcome], sandbox: Any) -> None:
    """A mapped task that failed leads to the source, and the report to everything."""
    sandbox.segment_faults.add("status", status=401, path="/v1/batch", body="")

    outcome = run_look("42")

    assert "failed" == outcome.states["identify[0]"] == outcome.states["report"]
    assert f"{sandbox.segment_url}/" == link(outcome, "identify", "SourceLink", 0)
    assert f"{sandbox.looker_url}/looks/42" == link(outcome, "report", "LookLink")


@pytest.mark.airflow
def test_the_querys_page_shows_the_row_that_a_report_names(
    run_look: Callable[..., Outcome],
) -> None:
    """A number in the report leads to its row: here to one without an id."""
    outcome = run_look("50")
    (problem,) = outcome.report["problems"]
    page = requests.get(link(outcome, "report", "QueryLink"), timeout=30).text
    rows = [line.split("<td>")[1:] for line in page.split("<tr>")]
    head = next(cells for cells in rows if cells and cells[0] == "Row")
    shown = {cells[0]: cells for cells in rows if cells}

    assert len(problem["rows"]) > 2
    assert 1 == len(head) - len(outcome.xcom("extract", "lineage")["fields"])
    assert [""] * len(problem["rows"]) == [shown[f"{n:,}"][1] for n in problem["rows"]]
    assert shown["2"][1]


def test_every_link_is_registered() -> None:
    """``airflow providers links`` lists what the operators have."""
    declared = set(get_provider_info()["extra-links"])
    used = {
        f"{type(link).__module__}.{type(link).__name__}"
        for operator in OPERATORS
        for link in operator.operator_extra_links
    }

    assert declared == used


@pytest.mark.parametrize(
    ("base_url", "look"),
    [
        ("https://acme.cloud.looker.com", "https://acme.cloud.looker.com/looks/42"),
        ("https://acme.looker.com:19999", "https://acme.looker.com/looks/42"),
        ("https://[fd00::7]:19999", "https://[fd00::7]/looks/42"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/looks/42"),
    ],
)
def test_people_reach_looker_without_the_apis_port(base_url: str, look: str) -> None:
    """The port of an older API is none that a browser should use."""
    lineage = Lineage()
    lineage.note_look(settings(base_url), "42")

    assert look == lineage.look_url


def test_lookers_own_word_for_its_address_wins() -> None:
    """An API behind a name of its own leads to the address that Looker gives to people."""
    lineage = Lineage()
    lineage.note_look(settings("https://api.acme.internal"), "42")
    lineage.note_query("https://acme.looker.com/x/abc")

    assert "https://acme.looker.com/looks/42" == lineage.look_url
    assert "https://acme.looker.com/x/abc" == lineage.query_url


def test_the_page_explains_every_problem() -> None:
    """Each code can be linked to, with its meaning and what helps."""
    page = problems_page()

    assert MEANINGS.keys() == REMEDIES.keys()
    assert [] == [code for code in MEANINGS if f'<tr id="{code}">' not in page]


def test_the_plugin_serves_the_page() -> None:
    """Airflow mounts the application below its own address."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    app = FastAPI()
    for entry in LookerSegmentPlugin.fastapi_apps:
        app.mount(entry["url_prefix"], entry["app"])
    client = TestClient(app)

    assert "What problems mean" in client.get(f"/{PROBLEMS_PATH}").text
    assert 404 == client.get("/looker-segment/other").status_code
