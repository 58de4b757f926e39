"""The first ten minutes of somebody who knows Airflow but not this provider, in their order."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.airflow_ui import RunningUi
from tests.e2e.browser import RUN_S, Person

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(420)]


def port_of(url: str) -> str:
    """The port of an address: Airflow 3.3.2 tests no connection without one."""
    return url.rpartition(":")[2]


def test_1_a_looker_connection_is_made_by_hand(person: Person, ui: RunningUi) -> None:
    """The form asks for what an API key has, and the test says as whom it signed in."""
    form = person.open_connection_form("Looker")
    person.fill(
        {
            "connection_id": "looker_default",
            "host": ui.printed("Looker"),
            "port": port_of(ui.printed("Looker")),
            "login": ui.printed("client id"),
            "password": ui.printed("client secret"),
        }
    )
    expect(form.get_by_label("Client ID")).to_be_visible()
    person.picture("connection_looker")
    person.save()

    said = person.test_connection("looker_default")

    assert said["status"], said
    assert "as Sandbox User (user 1). It may run Looks." in said["message"]


def test_2_a_segment_connection_is_made_by_hand(person: Person, ui: RunningUi) -> None:
    """The form speaks of regions, and the test of what it could prove."""
    form = person.open_connection_form("Segment source")
    person.fill(
        {
            "connection_id": "segment_default",
            "host": ui.printed("Segment"),
            "port": port_of(ui.printed("Segment")),
            "password": ui.printed("write key"),
        }
    )
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    expect(form.get_by_text("HTTP API source")).to_be_visible()
    person.picture("connection_segment", height=1300)
    person.save()

    said = person.test_connection("segment_default")

    assert said["status"], said
    assert "Segment knows this write key" in said["message"]
    person.picture("connections_tested")


def test_3_a_wrong_secret_is_explained(person: Person) -> None:
    """A test that fails says what to mend, in the browser."""
    row = person.page.get_by_role("row").filter(has_text="looker_default")
    row.get_by_label("Edit Connection").click()
    person.fill({"password": "not-the-secret"})
    person.save()

    said = person.test_connection("looker_default")

    assert not said["status"]
    # The page shows it for some seconds only, which a busy machine may miss.
    assert "Check the client id and secret" in said["message"]
    person.picture("connection_refused")


def test_4_the_secret_is_mended(person: Person, ui: RunningUi) -> None:
    """Editing asks for nothing but what is wrong."""
    row = person.page.get_by_role("row").filter(has_text="looker_default")
    row.get_by_label("Edit Connection").click()
    person.fill({"password": ui.printed("client secret")})
    person.save()

    assert person.test_connection("looker_default")["status"]


def test_5_a_run_is_triggered_from_the_form(person: Person) -> None:
    """Look and destinations are chosen, nothing else is needed."""
    form = person.open_trigger_form()
    # One line, not the box of six lines that the form makes of a value of several types.
    expect(form.locator("input[name=element_look_id]")).to_be_visible()
    person.fill({"element_look_id": "50"})
    person.choose("Destinations", "Amplitude")
    person.picture("trigger_form", height=1250)

    run_id = person.trigger()

    assert run_id.startswith("manual__")
    assert "success" == person.wait_for_run(run_id)
    person.picture("run")


def test_6_a_bad_row_is_found_from_the_report(person: Person) -> None:
    """The report names code, column and row numbers; the page behind the link explains them."""
    person.open_task("look_to_segment.report")
    log = person.page.get_by_test_id("virtualized-list")
    expect(log).to_contain_text("12 rows id_missing in `users.member`", timeout=60_000)
    expect(log).to_contain_text(re.compile(r"\(rows\s+\d+"))
    person.picture("report_in_log")

    person.open_tab("Details")
    person.page.get_by_text("What problems mean").click()
    row = person.page.get_by_role("row").filter(has_text="id_missing")
    expect(row).to_contain_text("Filter such rows out of the Look")
    person.picture("problems")
    person.page.go_back()


def test_7_links_lead_to_looker_and_segment(person: Person, ui: RunningUi) -> None:
    """The query of this very run is a click away, and so is the source."""
    expect(person.page.get_by_text("Source in Segment")).to_be_visible()
    person.picture("links", height=700)
    for name, host, text in (
        ("Look in Looker", "Looker", "Members, some without a number"),
        ("Query of this run in Looker", "Looker", " to "),
        ("Source in Segment", "Segment", "Segment"),
    ):
        with person.page.expect_popup() as popup:
            person.page.get_by_text(name, exact=True).click()
        assert popup.value.url.startswith(ui.printed(host)), name
        expect(popup.value.locator("body")).to_contain_text(text)
        popup.value.close()


def test_8_a_dry_run_sends_nothing(person: Person) -> None:
    """The same form, one switch more."""
    form = person.open_trigger_form()
    form.locator("label").filter(has=person.page.locator("[name=element_dry_run]")).click()
    assert "success" == person.wait_for_run(person.trigger())

    person.open_task("look_to_segment.report")

    log = person.page.get_by_test_id("virtualized-list")
    expect(log).to_contain_text("dry run: nothing was sent", timeout=60_000)
    expect(log).to_contain_text("1. userId = text of")
    person.picture("dry_run", height=800)


def test_9_a_backfill_is_started(person: Person, ui: RunningUi) -> None:
    """The other half of the dialog, with the same fields, sends past days."""
    form = person.open_trigger_form()
    form.get_by_text("Backfill", exact=True).click()
    person.pick_date("2026/01/01")
    person.pick_date("2026/01/02")
    person.fill({"element_look_id": "47"})
    # Without this, Airflow 3.3.2 sends none of the fields, also to runs that do not exist yet.
    form.get_by_text("Override parameters on existing runs", exact=True).click()
    person.picture("backfill", height=1400)
    form.get_by_role("button", name="Run Backfill").click()
    expect(form).to_be_hidden()

    deadline = time.monotonic() + RUN_S
    while True:
        runs = ui.ask("/api/v2/dags/daily_cohort/dagRuns?limit=100")["dag_runs"]
        states = [run["state"] for run in runs if run["dag_run_id"].startswith("backfill__")]
        if len(states) == 2 and set(states) <= {"success", "failed"}:
            break
        assert time.monotonic() < deadline, states
        person.page.wait_for_timeout(500)

    assert ["success", "success"] == states


def test_10_a_person_decides_about_a_stopped_run(person: Person, ui: RunningUi) -> None:
    """The question names the guard and the numbers; what is approved is sent."""
    run_id = ui.ask("/api/v2/dags/asked_cohort/dagRuns", {"logical_date": None})["dag_run_id"]
    tasks = f"/api/v2/dags/asked_cohort/dagRuns/{quote(run_id)}/taskInstances"
    deadline = time.monotonic() + RUN_S
    while True:
        states = {task["task_id"]: task["state"] for task in ui.ask(tasks)["task_instances"]}
        if states["look_to_segment.approve"] in ("awaiting_input", "deferred"):
            break
        assert time.monotonic() < deadline, states
        person.page.wait_for_timeout(500)

    person.page.goto(f"{person.url}/required_actions")
    person.page.get_by_role("link", name="a guard stopped").click()
    expect(person.page.get_by_text("guards.max_messages")).to_be_visible()
    approve = person.page.get_by_role("button", name="Approve", exact=True)
    expect(approve).to_be_visible()
    person.picture("approval")
    approve.click()

    assert "success" == ui.wait_for_run("asked_cohort", prefix=run_id, timeout_s=RUN_S)["state"]
