"""``make demo``: what it prints, what it leaves behind, and how it stops."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

CHECKOUT = Path(__file__).parents[1]
DAGS = CHECKOUT / "dags"
LEFT_AFTER_STOP = {"lock", "template"}
RUN = """\
import sys
from pathlib import Path
from airflow_provider_looker_segment.sandbox.demo import main
sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""

pytestmark = [pytest.mark.slow, pytest.mark.airflow]


def start(home: Path, dags: Path = DAGS) -> subprocess.Popen[str]:
    """Start a demo in a session of its own, with an empty home folder for its user."""
    user_home = home.with_name(f"{home.name}-user")
    user_home.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(dags), str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=CHECKOUT,
        env=os.environ | {"HOME": str(user_home), "PYTHONIOENCODING": "utf-8"},
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all demos of this module, so that the database is migrated once."""
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="module")
def finished(home: Path) -> tuple[int, str]:
    """The exit code and the page of a demo that went well."""
    demo = start(home)
    page, _ = demo.communicate(timeout=200)
    return demo.returncode, page


@pytest.fixture
def running(home: Path, finished: tuple[int, str]) -> Iterator[subprocess.Popen[str]]:
    """A demo whose Airflow run is under way."""
    assert finished[0] == 0
    demo = start(home)
    wait_for_child(demo)
    yield demo
    demo.kill()
    demo.wait()


def wait_for_child(demo: subprocess.Popen[str]) -> None:
    """Wait until the demo has started Airflow."""
    deadline = time.monotonic() + 60
    while not psutil.Process(demo.pid).children():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_page_shows_tasks_report_and_call(finished: tuple[int, str]) -> None:
    """A demo that goes well prints its tasks, the report and the first call, and exits with 0."""
    code, page = finished
    headings = [line.split(" of ")[0] for line in page.splitlines() if line[:1].isalpha()]

    assert code == 0, page
    assert headings == [
        headings[0],
        "Tasks",
        "Report",
        "The first",
        "What to try next",
    ]
    for task in ("extract", "identify", "report"):
        assert f"look_to_segment.{task} " in page
    assert page.count("  success  ") == 3


def test_first_call_is_the_documented_one(finished: tuple[int, str]) -> None:
    """The first identify call is the example of Segment's documentation."""
    _, page = finished
    call, _ = json.JSONDecoder().raw_decode(page[page.index("\n{") + 1 :])

    assert {key: call[key] for key in ("type", "userId", "traits")} == {
        "type": "identify",
        "userId": "00MWWFOLRcETcTCf",
        "traits": {"name": "Ty Arthur", "email": "ty.arthur@segment.com", "sessions count": 2},
    }


def test_nothing_is_written_elsewhere(home: Path, finished: tuple[int, str]) -> None:
    """The demo leaves nothing in the user's home folder."""
    assert finished[0] == 0
    assert list(home.with_name("home-user").iterdir()) == []


def test_failed_run_is_red_without_traceback(
    home: Path, finished: tuple[int, str], tmp_path: Path
) -> None:
    """A run that fails ends with exit code 1, its reason and the log's path, and no traceback."""
    assert finished[0] == 0
    source = (DAGS / "daily_cohort.py").read_text(encoding="utf-8")
    (tmp_path / "daily_cohort.py").write_text(source.replace('"42"', '"999"'), encoding="utf-8")

    demo = start(home, tmp_path)
    page, _ = demo.communicate(timeout=200)

    assert demo.returncode == 1
    assert "Look 999 should" in page
    assert page.splitlines()[-1] == f"See {home / 'airflow.log'}"
    assert "Traceback" not in page


@pytest.mark.parametrize(
    ("number", "to_group"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False)],
)
def test_stops_without_a_trace(
    home: Path, running: subprocess.Popen[str], number: signal.Signals, *, to_group: bool
) -> None:
    """Ctrl-C and TERM end the demo with 130, one line, no child and no file of the run."""
    children = psutil.Process(running.pid).children(recursive=True)

    if to_group:
        os.killpg(running.pid, number)
    else:
        running.send_signal(number)
    page, _ = running.communicate(timeout=20)

    assert running.returncode == 130
    assert page.splitlines()[-1] == "Stopped; nothing is left running."
    assert "Traceback" not in page
    assert [child for child in children if child.is_running()] == []
    assert {path.name for path in home.iterdir()} == LEFT_AFTER_STOP


def test_stop_while_the_database_is_made(tmp_path: Path) -> None:
    """A demo that is stopped while it migrates leaves no half-made template."""
    home = tmp_path / "home"
    demo = start(home)
    wait_for_child(demo)

    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=20)

    assert demo.returncode == 130
    assert {path.name for path in home.iterdir()} == {"lock"}


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    """A second demo in one folder says so and touches nothing."""
    home = tmp_path / "home"
    home.mkdir()
    kept = home / "airflow.log"
    kept.touch()

    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        demo = start(home)
        page, _ = demo.communicate(timeout=20)

    assert (demo.returncode, page.strip()) == (
        1,
        "Another demo is running in this checkout; wait for it.",
    )
    assert kept.exists()
