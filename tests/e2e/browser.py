"""A person before Airflow's pages: opens, fills in, presses, reads, takes pictures.

Nothing is waited for by the clock alone; each step waits for what it needs to see.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from playwright.sync_api import Locator, Page, expect

from tests.airflow_ui import RunningUi

expect.set_options(timeout=30_000)

RUN_S = 240.0
"""How long a run may take, on a machine that does other things too."""


class Person:
    """Somebody who is signed in.

    :param pictures: folder for screenshots.
    """

    def __init__(self, page: Page, ui: RunningUi, pictures: Path) -> None:
        self.page = page
        self.ui = ui
        self.url = ui.printed("Airflow")
        self._pictures = pictures

    def sign_in(self) -> None:
        """Use what ``make ui`` has printed."""
        self.page.goto(self.url)
        self.page.get_by_label("Username").fill(self.ui.printed("user"))
        self.page.get_by_label("Password").fill(self.ui.printed("password"))
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("link", name="Dags").first).to_be_visible()

    def picture(self, name: str, *, height: int = 900) -> None:
        """Take a screenshot of the window.

        :param height: of the window, in pixels.
        """
        self.page.mouse.move(2, 2)
        self.page.set_viewport_size({"width": 1280, "height": height})
        # Toasts and transitions come to rest.
        self.page.wait_for_timeout(600)
        self._pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._pictures / f"{name}.png")
        self.page.set_viewport_size({"width": 1280, "height": 900})

    @property
    def dialog(self) -> Locator:
        """The open dialog."""
        return self.page.get_by_role("dialog")

    def open_connection_form(self, kind: str) -> Locator:
        """Begin a new connection of a type."""
        self.page.goto(f"{self.url}/connections")
        self.page.get_by_role("button", name="Add Connection").click()
        self.dialog.get_by_role("combobox").fill(kind)
        self.page.get_by_role("option", name=kind, exact=True).click()
        expect(self.dialog.locator("input[name=password]")).to_be_visible()
        return self.dialog

    def fill(self, fields: dict[str, str]) -> None:
        """Fill in fields of the open form, by their names."""
        for name, value in fields.items():
            self.dialog.locator(f"[name={name}]").fill(value)

    def save(self) -> None:
        """Save the open form."""
        self.dialog.get_by_role("button", name="Save").click()
        expect(self.dialog).to_be_hidden()

    def test_connection(self, conn_id: str) -> dict[str, Any]:
        """Press "Test Connection" in a connection's row; return the server's answer."""
        row = self.page.get_by_role("row").filter(has_text=conn_id)
        with self.page.expect_response(re.compile("connections/test$"), timeout=60_000) as answer:
            row.get_by_label("Test Connection").click()
        self.page.mouse.move(2, 2)
        found: dict[str, Any] = answer.value.json()
        return found

    def open_trigger_form(self, dag_id: str = "daily_cohort") -> Locator:
        """Open the form behind "Trigger"."""
        self.page.goto(f"{self.url}/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").first.click()
        expect(self.dialog.locator("[name=element_look_id]")).to_be_visible()
        return self.dialog

    def choose(self, field: str, word: str) -> None:
        """Choose from a list of the open form, by a part of the entry."""
        group = self.dialog.get_by_role("group").filter(has_text=re.compile(f"^{field}"))
        group.get_by_role("combobox").fill(word)
        self.page.get_by_role("option").filter(has_text=word).first.click()

    def trigger(self) -> str:
        """Press the form's own "Trigger"; return the id of the run."""
        self.dialog.get_by_role("button", name="Trigger", exact=True).click()
        self.page.wait_for_url(re.compile("/runs/"))
        return self.page.url.rpartition("/runs/")[2]

    def wait_for_run(self, run_id: str, dag_id: str = "daily_cohort") -> str:
        """Wait until a run has come to its end; return its state, with the run's page open."""
        run_id = unquote(run_id)
        run = self.ui.wait_for_run(dag_id, prefix=run_id, timeout_s=RUN_S)
        self.page.reload()
        expect(self.page.get_by_text(run_id).first).to_be_visible()
        return str(run["state"])

    def pick_date(self, date: str) -> None:
        """Fill in the first date of the open form that is still empty.

        :param date: like ``2026/01/31``; it is its midnight.
        """
        self.dialog.get_by_text("Select date and time").first.click()
        for field, value in (("YYYY/MM/DD", date), ("HH:mm", "00:00")):
            self.page.get_by_placeholder(field).fill(value)
            self.page.keyboard.press("Enter")
        self.dialog.get_by_text("Date Range").click()
        expect(self.page.get_by_placeholder("HH:mm")).to_be_hidden()

    def open_task(self, task_id: str) -> None:
        """Open a task of the run that is open."""
        self.page.get_by_role("link", name=task_id, exact=True).last.click()
        self.page.wait_for_url(re.compile("/tasks/"))

    def open_tab(self, name: str) -> None:
        """Open a tab of the page."""
        self.page.get_by_role("link", name=name, exact=True).click()
