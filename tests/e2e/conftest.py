"""Fixtures: ``make ui`` without connections, and Debian's Chromium before it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.airflow_ui import CHECKOUT, RunningUi

pytest.importorskip("playwright", reason="`make e2e` installs it")

from playwright.sync_api import Browser, sync_playwright

from tests.e2e.browser import Person

PICTURES = Path(os.environ.get("E2E_PICTURES") or CHECKOUT / ".ui" / "pictures")


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningUi]:
    """A running ``make ui`` that leaves the connections to the person, with one DAG more."""
    folder = tmp_path_factory.mktemp("ui")
    dags = folder / "dags"
    for source in (CHECKOUT / "dags", Path(__file__).parent / "dags"):
        shutil.copytree(source, dags, dirs_exist_ok=True)
    with RunningUi(folder / "home", dags=dags, make_connections=False) as running:
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("there is no Chromium; `make e2e` says how to install it")
    with sync_playwright() as playwright:
        # Root, as in containers, has no sandbox; the pages are our own.
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def person(chromium: Browser, ui: RunningUi) -> Iterator[Person]:
    """Somebody who has signed in and has the pages open."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, locale="en-GB", timezone_id="UTC"
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    someone = Person(page, ui, PICTURES)
    someone.sign_in()
    yield someone
    context.close()
