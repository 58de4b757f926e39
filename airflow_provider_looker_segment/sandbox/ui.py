"""``make ui``: a whole Airflow with its web pages, between the two stand-ins, until Ctrl-C.

Enters nothing but the checkout; leaves an address and a password on the terminal, and Airflow's
database and logs in ``.ui``. Every port is a free one of 127.0.0.1, and no process outlives it.
The components are those of ``airflow standalone``, which would serve logs on all addresses.
"""

from __future__ import annotations

import argparse
import json
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from .airflow_commands import AirflowCommand, GivenUpError, StopError, StopSignal, step
from .airflow_home import CHECKOUT, AirflowHome

if TYPE_CHECKING:
    from .server import Sandbox

USER: Final = "admin"

_COMPONENTS: Final = {
    "api-server": (),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
_PARTS: Final = ("metadatabase", "scheduler", "triggerer", "dag_processor")
_START_S: Final = 240.0
_POLL_S: Final = 0.25
_ANSWER_S: Final = 30.0


@dataclass(slots=True)
class AirflowUi:
    """An Airflow with its web pages.

    :param home: where it runs.
    :param make_connections: make ``looker_default`` and ``segment_default``; without them, whoever
        opens the pages makes them by hand.
    """

    home: AirflowHome
    make_connections: bool = True
    url: str = field(default="", init=False)
    password: str = field(default="", init=False)
    _token: str = field(default="", init=False, repr=False)
    _components: dict[str, AirflowCommand] = field(default_factory=dict, init=False)

    def run(self, stop: StopSignal) -> bool:
        """Serve until a signal comes, which is how it ends well.

        :raises GivenUpError: when a component does not start, or ends by itself.
        :raises StopError: when a signal came before the pages could be opened.
        """
        self.home.clear()
        print(f"Airflow {version('apache-airflow-core')} between Looker and Segment\n")
        with ExitStack() as stack:
            migration = self.home.start_migration(stack)
            with step("stand-ins for Looker and Segment on 127.0.0.1"):
                # Imported here, where a signal is already noticed.
                from .server import Sandbox  # noqa: PLC0415

                sandbox = stack.enter_context(Sandbox())
                stop.check()
            with step(f"Airflow's database, in {self.home.folder.name}"):
                self._configure()
                self.home.finish_migration(migration, stop)
            with step(f"Airflow on {self.url}"):
                self._start(stack)
                self._wait_until("become healthy", self._is_healthy, stop)
                self._sign_in()
            with step("connections" if self.make_connections else "DAGs"):
                if self.make_connections:
                    self._make_connections(sandbox.connections())
                self._unpause(stop)
            print(self._welcome(sandbox), flush=True)
            with suppress(StopError):
                self._serve(stop)
        print("\nStopped; nothing is left running.", flush=True)
        return True

    def ask(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Ask Airflow's REST API.

        :param path: of the address, from ``/``.
        :param body: plain JSON; without one it is a GET.
        """
        request = Request(  # noqa: S310 - always http on this machine
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._token}"} if self._token else {}),
        )
        with build_opener(ProxyHandler({})).open(request, timeout=_ANSWER_S) as answer:
            return json.load(answer)

    def _configure(self) -> None:
        from cryptography.fernet import Fernet  # noqa: PLC0415 - see run()

        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.home.configure(
            {
                "core": {
                    "dags_folder": str(self.home.dags),
                    "load_examples": "False",
                    "executor": "LocalExecutor",
                    "parallelism": "4",
                    "fernet_key": Fernet.generate_key().decode(),
                    "execution_api_server_url": f"{self.url}/execution/",
                    "test_connection": "Enabled",
                    # Unpaused only when the connections are there.
                    "dags_are_paused_at_creation": "True",
                },
                "api": {
                    "host": "127.0.0.1",
                    "port": str(port),
                    "base_url": self.url,
                    "workers": "1",
                    "secret_key": secrets.token_hex(32),
                },
                "api_auth": {"jwt_secret": secrets.token_hex(32)},
                "dag_processor": {
                    "refresh_interval": "10",
                    "min_file_process_interval": "30",
                    # On a busy machine a file waits for more than the usual 50 s, and the page
                    # then calls its DAG deactivated.
                    "stale_dag_threshold": "600",
                },
                # SQLite lets one process write at a time, and the others wait.
                "database": {
                    "sql_alchemy_conn": f"sqlite:///{self.home.database}?timeout=60",
                },
                "workers": {"execution_api_timeout": "30"},
            }
        )

    def _start(self, stack: ExitStack) -> None:
        snapshots = {"path": str(self.home.folder / "snapshots"), "local": True}
        environment = self.home.environment() | {
            "AIRFLOW_VAR_COHORT_SNAPSHOTS": json.dumps(snapshots)
        }
        for name, arguments in _COMPONENTS.items():
            log = self.home.folder / f"{name}.log"
            command = AirflowCommand([name, *arguments], environment, log)
            self._components[name] = stack.enter_context(command)
        # All are asked to end before the first one is waited for.
        stack.callback(self._ask_to_end)

    def _ask_to_end(self) -> None:
        for command in self._components.values():
            command.ask_to_end()

    def _is_healthy(self) -> bool:
        with suppress(OSError, HTTPException, ValueError):
            said = self.ask("/api/v2/monitor/health")
            return all((said.get(part) or {}).get("status") == "healthy" for part in _PARTS)
        return False

    def _sign_in(self) -> None:
        passwords = self.home.folder / "simple_auth_manager_passwords.json.generated"
        self.password = json.loads(passwords.read_text(encoding="utf-8"))[USER]
        said = self.ask("/auth/token", {"username": USER, "password": self.password})
        self._token = said["access_token"]

    def _make_connections(self, connections: Mapping[str, str]) -> None:
        for name, value in connections.items():
            said = json.loads(value)
            body = {"connection_id": name.removeprefix("AIRFLOW_CONN_").lower(), **said}
            self.ask("/api/v2/connections", body)

    def _unpause(self, stop: StopSignal) -> None:
        files = {file.name for file in self.home.dags.glob("*.py")}

        def known() -> dict[str, str]:
            dags = self.ask("/api/v2/dags?limit=100")["dags"]
            return {Path(dag["fileloc"]).name: dag["dag_id"] for dag in dags}

        self._wait_until("read its DAGs", lambda: files <= known().keys(), stop)
        for dag in self.ask("/api/v2/dags?limit=100")["dags"]:

            def is_unpaused(dag_id: str = dag["dag_id"]) -> bool:
                # A file that is just being read answers 404 for a moment.
                with suppress(HTTPError):
                    self.ask(f"/api/v2/dags/{dag_id}", {"is_paused": False}, method="PATCH")
                    return True
                return False

            self._wait_until(f"unpause {dag['dag_id']}", is_unpaused, stop)

    def _serve(self, stop: StopSignal) -> None:
        while True:
            stop.check()
            self._check_components()
            time.sleep(_POLL_S)

    def _check_components(self) -> None:
        for name, command in self._components.items():
            if not command.is_running:
                raise GivenUpError(
                    f"Airflow's {name} ended by itself: see {self.home.folder / name}.log"
                )

    def _wait_until(self, what: str, is_so: Callable[[], bool], stop: StopSignal) -> None:
        deadline = time.monotonic() + _START_S
        while not is_so():
            stop.check()
            self._check_components()
            if time.monotonic() > deadline:
                raise GivenUpError(
                    f"Airflow did not {what} within {_START_S:.0f} s: see {self.home.folder}"
                )
            time.sleep(_POLL_S)

    def _welcome(self, sandbox: Sandbox) -> str:
        made = (
            "The connections looker_default and segment_default are made, the example DAGs are on."
            if self.make_connections
            else "The example DAGs are on; the connections looker_default and segment_default are "
            "yours to make."
        )
        looker, segment = (json.loads(value) for value in sandbox.connections().values())
        return f"""
  Airflow        {self.url}
  user           {USER}
  password       {self.password}

  {made}

  Looker         {looker["host"]}
  client id      {looker["login"]}
  client secret  {looker["password"]}

  Segment        {segment["host"]}  (open it to see what arrived)
  write key      {segment["password"]}

Ctrl-C stops everything."""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main(
    dags: Path = CHECKOUT / "dags", home: Path = CHECKOUT / ".ui", *, make_connections: bool = True
) -> int:
    """Serve until a signal comes; return 0 then, 130 before it serves, 1 when something failed."""
    folder = AirflowHome("Airflow", dags=dags, folder=home)
    return folder.run(AirflowUi(folder, make_connections=make_connections).run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_looker_segment.sandbox.ui",
        description="Open a whole Airflow between local stand-ins for Looker and Segment.",
    )
    parser.add_argument(
        "--no-connections",
        action="store_true",
        help="leave it to you to make looker_default and segment_default",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(make_connections=not _parser().parse_args().no_connections))
