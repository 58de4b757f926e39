"""``make ui`` as a process: started as a user starts it, read from what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import psutil
import requests

CHECKOUT = Path(__file__).parents[1]
START_S = 300.0
STOP_S = 60.0
_RUN = """\
import sys
from pathlib import Path
from airflow_provider_looker_segment.sandbox.ui import main
sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), make_connections=sys.argv[3] == "True"))
"""


class RunningUi:
    """One ``make ui``, as a context manager.

    :param home: a folder for everything that it writes; beside it its user's home folder is made.
    :param make_connections: whether it makes the two connections itself.
    """

    def __init__(
        self, home: Path, *, dags: Path = CHECKOUT / "dags", make_connections: bool = True
    ) -> None:
        self.home = home
        self.user_home = home.with_name(f"{home.name}-user")
        self.user_home.mkdir(exist_ok=True)
        self.children: list[psutil.Process] = []
        self._page = home.with_name(f"{home.name}.txt")
        with self._page.open("w") as page:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, str(dags), str(home), str(make_connections)],
                stdin=subprocess.DEVNULL,
                stdout=page,
                stderr=subprocess.STDOUT,
                cwd=CHECKOUT,
                env=os.environ | {"HOME": str(self.user_home), "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,
            )

    @property
    def page(self) -> str:
        """What it has printed."""
        return self._page.read_text("utf-8")

    def printed(self, name: str) -> str:
        """Return one value of the page, such as ``Airflow`` or ``password``."""
        found = re.search(rf"^  {name} +(\S+)", self.page, re.MULTILINE)
        assert found is not None, self.page
        return found[1]

    def ask(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Ask Airflow's REST API as the printed user."""
        url = self.printed("Airflow")
        with requests.Session() as session:
            session.trust_env = False
            login = {"username": self.printed("user"), "password": self.printed("password")}
            said = session.post(f"{url}/auth/token", json=login, timeout=60)
            said.raise_for_status()
            session.headers["Authorization"] = f"Bearer {said.json()['access_token']}"
            method = method or ("GET" if body is None else "POST")
            answer = session.request(method, url + path, json=body, timeout=60)
            assert answer.ok, answer.text
            return answer.json() if answer.content else None

    def wait_for_run(self, dag_id: str, *, prefix: str = "", timeout_s: float = 180.0) -> Any:
        """Wait until a DAG has a run that is over; return it.

        :param prefix: of the run's id.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            for run in self.ask(f"/api/v2/dags/{dag_id}/dagRuns?limit=100")["dag_runs"]:
                is_over = run["state"] in ("success", "failed")
                if run["dag_run_id"].startswith(prefix) and is_over:
                    return run
            assert time.monotonic() < deadline, f"no run of {dag_id} came to its end"
            time.sleep(0.5)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; return its exit code."""
        self.children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(number)
        return self._process.wait(STOP_S)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_S
        while "Ctrl-C stops everything." not in self.page:
            assert self._process.poll() is None, self.page
            assert time.monotonic() < deadline, self.page
            time.sleep(0.25)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()
