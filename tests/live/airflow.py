"""A real Airflow for tests: its components as processes, a database in a temporary folder.

DAG files and connections enter, runs with their states, values and logs leave. Nothing listens
beyond 127.0.0.1, and no process outlives :meth:`LiveAirflow.stop`.

Longer than 400 lines, for it is one class: what asks Airflow needs the processes that it started.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Self

import psutil
import requests

COMPONENTS = {
    "api-server": [],
    "scheduler": ["--skip-serve-logs"],
    "dag-processor": [],
    "triggerer": ["--skip-serve-logs"],
}
START_S = 240.0
STOP_S = 30.0
POLL_S = 0.25
OVER = frozenset({"success", "failed"})
TASK_TITLE = re.compile(r"^airflow worker -- (?P<id>[0-9a-f-]{36})$")
"""What the process of one try of a task calls itself."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One DAG run."""

    dag_id: str
    run_id: str


@dataclasses.dataclass(frozen=True)
class Task:
    """One try of a task of a run.

    :param id: of this try; the next one has another.
    :param name: the task's id without its group, mapped ones as ``identify[0]``.
    """

    id: str
    name: str
    state: str | None
    tries: int
    max_tries: int
    task_id: str
    map_index: int


class LiveAirflow:
    """Airflow with a LocalExecutor on SQLite, as a context manager.

    :param home: an empty folder for everything that Airflow writes.
    :param dags: DAG files.
    :param connections: environment variables ``AIRFLOW_CONN_…``.
    :param settings: further environment variables ``AIRFLOW__…``.
    """

    def __init__(
        self,
        home: Path,
        *,
        dags: Iterable[Path],
        connections: Mapping[str, str],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self._components: dict[str, subprocess.Popen[bytes]] = {}
        self._sessions: set[int] = set()
        self._api = requests.Session()
        self._api.trust_env = False
        folder = home / "dags"
        folder.mkdir()
        for file in dags:
            (folder / file.name).symlink_to(file.resolve())
        port = _free_port()
        self._url = f"http://127.0.0.1:{port}"
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")
        }
        self.environment = {
            **inherited,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__API__BASE_URL": self._url,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self._url}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            # SQLite lets one process write at a time; on a busy machine the others wait for long.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=60",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
            **(settings or {}),
            **connections,
        }

    def start(self) -> None:
        """Start every component and wait until Airflow says that all are healthy."""
        try:
            self.command("db", "migrate")
            for name in COMPONENTS:
                self.start_component(name)
            self._until(self._is_healthy, START_S, "become healthy")
            token = requests.get(f"{self._url}/auth/token", timeout=60)
            token.raise_for_status()
            self._api.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            for dag_id in self._dag_ids():
                self._until(lambda dag_id=dag_id: self._unpaused(dag_id), START_S, f"read {dag_id}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop every component and everything they started.

        :raises AssertionError: when a process had to be killed although its parent was gone.
        """
        for process in self._components.values():
            process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_S
        for process in self._components.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        self._api.close()
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        for process in self._components.values():
            process.wait()
        assert [] == self.processes()

    def start_component(self, name: str) -> None:
        """Start one component."""
        self.start_process(name, [name, *COMPONENTS[name]])

    def start_process(self, name: str, words: Iterable[str]) -> None:
        """Start an ``airflow`` command that goes on, in a session of its own.

        :param name: of its log.
        """
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                env=self.environment,
                start_new_session=True,
            )
        self._components[name] = process
        self._sessions.add(process.pid)

    def kill_component(self, name: str) -> None:
        """Kill one component, as the end of its machine would."""
        process = self._components.pop(name)
        process.kill()
        process.wait()

    def command(self, *arguments: str) -> str:
        """Run an ``airflow`` command; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.home,
            env=self.environment,
            timeout=START_S,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """Return every process that a component has started, and the components."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and os.getsid(process.pid) in self._sessions:
                    found.append(process)
        return found

    def task_processes(self) -> dict[str, psutil.Process]:
        """Return the processes that run tasks right now, by the id of the try."""
        found = {}
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                title = TASK_TITLE.match(" ".join(process.cmdline()).strip())
                # Since 3.3 a task's supervisor bears a name of its own, before that the same one.
                if title and not process.children():
                    found[title["id"]] = process
        return found

    def trigger(
        self,
        dag_id: str,
        *,
        conf: Mapping[str, Any] | None = None,
        logical_date: datetime | None = None,
    ) -> Run:
        """Start a run, as the form or the REST API does."""
        body = {
            "logical_date": logical_date.isoformat() if logical_date else None,
            "conf": dict(conf or {}),
        }
        return Run(dag_id, self._post(f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def causes(self, run: Run) -> list[Run]:
        """Return the runs whose asset events have started a run; none before it has begun."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/upstreamAssetEvents"
        answer = self._api.get(f"{self._url}/api/v2/{path}", timeout=60)
        if answer.status_code == 500:
            # Airflow fails to show an event of which one run is still queued.
            return []
        answer.raise_for_status()
        events = answer.json()["asset_events"]
        return [Run(event["source_dag_id"], event["source_run_id"]) for event in events]

    def backfill(
        self,
        dag_id: str,
        *,
        first: date,
        last: date,
        conf: str = "{}",
        arguments: Iterable[str] = (),
    ) -> None:
        """Create a backfill on the command line; both dates are included."""
        dates = ("--from-date", first.isoformat(), "--to-date", last.isoformat())
        self.write(
            "backfill", "create", "--dag-id", dag_id, *dates, "--dag-run-conf", conf, *arguments
        )

    def write(self, *arguments: str) -> None:
        """Run an ``airflow`` command that writes to the database."""
        # SQLite refuses the command at once if another process writes between its reads and writes.
        writers = [name for name in COMPONENTS if name != "api-server"]
        for name in writers:
            self.kill_component(name)
        self.command(*arguments)
        for name in writers:
            self.start_component(name)

    def wait_for_backfill(self, dag_id: str, *, runs: int, timeout_s: float) -> list[str]:
        """Wait until a DAG's backfilled runs are over; return their states.

        :param runs: how many there will be.
        """

        def states() -> list[str]:
            found = self.runs(dag_id).items()
            return [state for run, state in found if run.run_id.startswith("backfill__")]

        def are_over() -> bool:
            return len(states()) == runs and OVER.issuperset(states())

        self._until(are_over, timeout_s, f"backfill {dag_id}")
        # Airflow allows no other one before it has noticed.
        self._until(lambda: self._no_backfill(dag_id), 120, f"end the backfill of {dag_id}")
        return states()

    def _no_backfill(self, dag_id: str) -> bool:
        found = self._get("backfills", dag_id=dag_id)["backfills"]
        return all(backfill["completed_at"] for backfill in found)

    def runs(self, dag_id: str) -> dict[Run, str]:
        """Return the runs of a DAG with their states."""
        found = self._get(f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        return {Run(dag_id, run["dag_run_id"]): run["state"] for run in found}

    def state(self, run: Run) -> str:
        """Return a run's state."""
        return str(self.dag_run(run)["state"])

    def dag_run(self, run: Run) -> dict[str, Any]:
        """Return what the REST API says about a run."""
        said: dict[str, Any] = self._get(f"dags/{run.dag_id}/dagRuns/{run.run_id}")
        return said

    def wait(self, run: Run, *, timeout_s: float = 300.0) -> str:
        """Wait until a run is over; return its state."""
        self._until(lambda: self.state(run) in OVER, timeout_s, f"end {run}")
        return self.state(run)

    def tasks(self, run: Run) -> list[Task]:
        """Return the newest try of each task of a run."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        return [
            Task(
                id=said["id"],
                name=said["task_id"].rpartition(".")[2]
                + ("" if said["map_index"] < 0 else f"[{said['map_index']}]"),
                state=said["state"],
                tries=said["try_number"],
                max_tries=said["max_tries"],
                task_id=said["task_id"],
                map_index=said["map_index"],
            )
            for said in self._get(path, limit=100)["task_instances"]
        ]

    def task(self, run: Run, name: str) -> Task:
        """Return the newest try of one task."""
        return next(task for task in self.tasks(run) if task.name == name)

    def states(self, run: Run) -> dict[str, str | None]:
        """Return the state of each task of a run."""
        return {task.name: task.state for task in self.tasks(run)}

    def clear(self, run: Run, name: str, *, downstream: bool = False) -> None:
        """Clear one task, as "Clear task" does, and let the run go on."""
        task = self.task(run, name)
        which = task.task_id if task.map_index < 0 else [task.task_id, task.map_index]
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": [which],
            "only_failed": False,
            "include_downstream": downstream,
        }
        self._post(f"dags/{run.dag_id}/clearTaskInstances", body)

    def question(self, run: Run, name: str) -> dict[str, Any]:
        """Wait until a task asks a person; return what it asks."""
        waits = {"awaiting_input", "deferred"}
        self._until(lambda: self.states(run).get(name) in waits, 120, f"let {name} ask")
        # A task that goes on before the scheduler has heard that it waits is a lost one to it.
        task, states = self.task(run, name), "|".join(waits)
        heard = re.compile(
            rf"Finished: .*task_id={re.escape(task.task_id)}, run_id={re.escape(run.run_id)}, "
            rf".*state=({states}), .*try_number={task.tries},"
        )
        log = self.home / "scheduler.log"
        self._until(lambda: heard.search(log.read_text()) is not None, 60, "hear that it waits")
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        found: dict[str, Any] = self._get(f"{path}/{self.task(run, name).task_id}/-1/hitlDetails")
        return found

    def answer(self, run: Run, name: str, option: str) -> None:
        """Answer the question of a task, as its buttons do."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        answer = self._api.patch(
            f"{self._url}/api/v2/{path}/{self.task(run, name).task_id}/-1/hitlDetails",
            json={"chosen_options": [option], "params_input": {}},
            timeout=60,
        )
        assert answer.ok, answer.text

    def xcom(self, run: Run, name: str, key: str) -> Any:
        """Return one XCom value of a task, or ``None`` when there is none."""
        task = self.task(run, name)
        answer = self._api.get(
            f"{self._url}/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/"
            f"{task.task_id}/xcomEntries/{key}",
            params={"map_index": task.map_index, "deserialize": "true"},
            timeout=60,
        )
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()["value"]

    def xcom_keys(self, run: Run) -> set[str]:
        """Return the keys of all XCom values of a run."""
        path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/~/xcomEntries"
        return {entry["key"] for entry in self._get(path, limit=1_000)["xcom_entries"]}

    def log(self, run: Run, name: str) -> str:
        """Return everything that the tries of a task have logged, oldest first."""
        task = self.task(run, name)
        folder = self.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}"
        folder /= f"task_id={task.task_id}"
        if task.map_index >= 0:
            folder /= f"map_index={task.map_index}"
        files = sorted(folder.glob("attempt=*.log"), key=lambda file: file.stat().st_mtime)
        return "\n".join(file.read_text("utf-8", "replace") for file in files)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_healthy(self) -> bool:
        for name, process in self._components.items():
            assert process.poll() is None, (self.home / f"{name}.log").read_text()[-5_000:]
        try:
            said = self._api.get(f"{self._url}/api/v2/monitor/health", timeout=10).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(said.get(part, {}).get("status") == "healthy" for part in parts)

    def _dag_ids(self) -> list[str]:
        """Return the DAGs of the folder; waits until the files have been read."""
        files = {file.name for file in (self.home / "dags").glob("*.py")}

        def found() -> list[dict[str, Any]]:
            dags: list[dict[str, Any]] = self._get("dags", limit=100)["dags"]
            return dags

        def is_complete() -> bool:
            return files <= {Path(dag["fileloc"]).name for dag in found()}

        self._until(is_complete, START_S, f"read {', '.join(sorted(files))}")
        return [dag["dag_id"] for dag in found()]

    def _unpaused(self, dag_id: str) -> bool:
        answer = self._api.patch(
            f"{self._url}/api/v2/dags/{dag_id}", json={"is_paused": False}, timeout=60
        )
        return answer.status_code == 200

    def _get(self, path: str, **parameters: Any) -> Any:
        answer = self._api.get(f"{self._url}/api/v2/{path}", params=parameters, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = self._api.post(f"{self._url}/api/v2/{path}", json=body, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def _until(self, is_so: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline, f"Airflow did not {what} in {timeout_s:.0f} s"
            time.sleep(POLL_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
