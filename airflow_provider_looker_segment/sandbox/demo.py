"""``make demo``: the example DAG in a real Airflow, between the two stand-ins.

Enters nothing but the checkout; leaves a page of text, and Airflow's database and log in ``.demo``.
No process outlives it, and nothing is written anywhere else.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self
from urllib.request import ProxyHandler, build_opener

from airflow_provider_looker_segment.exceptions import LookerSegmentError

from .demo_page import TaskRow, errors_in, next_steps, report_table, task_table

CHECKOUT: Final = Path(__file__).resolve().parents[2]
DAG_ID: Final = "daily_cohort"
STOPPED_EXIT_CODE: Final = 130

_MIGRATE_S: Final = 120.0
_RUN_S: Final = 180.0
_TERMINATE_S: Final = 5.0
_POLL_S: Final = 0.05
_ANSWER_S: Final = 10.0

_TEMPLATES: Final = "template"
_LOCK: Final = "lock"

_AIRFLOW_CFG: Final = """\
[core]
dags_folder = {dags}
load_examples = False
simple_auth_manager_all_admins = True

[api]
host = 127.0.0.1
"""


class DemoError(Exception):
    """The demo can't go on; the text says why and where to look."""


class StopError(Exception):
    """Somebody asked the demo to stop."""


class StopSignal:
    """Remembers that Ctrl-C was pressed, or that a TERM or a HUP signal came.

    The handler only takes a note, so that no child is ever started and then forgotten.
    """

    def __init__(self) -> None:
        self._came = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True

    def check(self) -> None:
        """Return unless a signal came.

        :raises StopError: when one did.
        """
        if self._came:
            raise StopError


class AirflowCommand:
    """One Airflow command in a session of its own, so that Ctrl-C reaches only the demo.

    :param arguments: of the ``airflow`` command.
    :param environment: all of the command's environment.
    :param log: receives what the command prints; its folder is the working directory.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the arguments are our own
                [sys.executable, "-m", "airflow", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env=dict(environment),
                start_new_session=True,
            )

    def wait(self, stop: StopSignal, timeout_s: float) -> int | None:
        """Return the exit code, or ``None`` when time is up.

        :raises StopError: when a signal came.
        """
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None:
            stop.check()
            if time.monotonic() > deadline:
                return None
            time.sleep(_POLL_S)
        return self._process.returncode

    def close(self) -> None:
        """End the command and everything it started. May be called again."""
        if self._process.poll() is None:
            self._signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERMINATE_S)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: int) -> None:
        # When nobody is left in the group, Linux finds no process, and macOS denies permission.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def step(text: str) -> Iterator[None]:
    """Print what goes on, and when it is over, whether it went well and how long it took."""
    live = sys.stdout.isatty()
    started = time.monotonic()
    if live:
        print(f"  … {text}", end="", flush=True)
    mark = "✗"
    try:
        yield
        mark = "✓"
    except StopError:
        mark = "-"
        raise
    finally:
        back = "\r" if live else ""
        seconds = time.monotonic() - started
        print(f"{back}  {mark} {text:<60}{seconds:6.1f} s", flush=True)


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo.

    :param dags: folder with the DAG ``daily_cohort``.
    :param home: folder for everything that is written; it must exist.
    """

    dags: Path
    home: Path

    @property
    def log(self) -> Path:
        """The file for everything that Airflow says."""
        return self.home / "airflow.log"

    @property
    def _database(self) -> Path:
        return self.home / "airflow.db"

    @property
    def _template(self) -> Path:
        """A migrated and otherwise empty database; making one takes seconds, copying it none."""
        return self.home / _TEMPLATES / f"airflow-{version('apache-airflow-core')}.db"

    def clear(self) -> None:
        """Remove what an earlier demo left behind, but for the template."""
        for path in self.home.iterdir():
            if path.name not in {_TEMPLATES, _LOCK}:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def run(self, stop: StopSignal) -> bool:
        """Run the DAG and print what became of it; return whether all went well.

        :raises DemoError: when something did not come to its end.
        :raises StopError: when a signal came.
        """
        self.clear()
        # Percent signs are doubled because Airflow interpolates its configuration.
        settings = _AIRFLOW_CFG.format(dags=str(self.dags).replace("%", "%%"))
        (self.home / "airflow.cfg").write_text(settings, encoding="utf-8")
        end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        print(f"From Looker to Segment through Airflow {version('apache-airflow-core')}\n")
        with ExitStack() as stack:
            migration = self._start_migration(stack)
            with step("stand-ins for Looker and Segment on 127.0.0.1"):
                # Imported here, where a signal is already noticed.
                from .server import Sandbox  # noqa: PLC0415

                sandbox = stack.enter_context(Sandbox(today=end.date()))
                stop.check()
            with step("Airflow's database, in .demo"):
                self._finish_migration(migration, stop)
            environment = self._environment() | sandbox.connections()
            try:
                with step(f"DAG {DAG_ID} as of {end:%Y-%m-%d %H:%M} UTC"):
                    self._test_dag(end, environment, stop)
            except DemoError:
                self._print_books()
                raise
            accepted = self._print_books()
            arrived = self._print_arrivals(sandbox.segment_url)
            print(f"\nWhat to try next\n{next_steps()}")
            return arrived == accepted

    def _environment(self) -> dict[str, str]:
        """Return the shell's environment without the Airflow that may be configured in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return kept | {
            "AIRFLOW_HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
        }

    def _start_migration(self, stack: ExitStack) -> AirflowCommand | None:
        if self._template.exists():
            return None
        return stack.enter_context(AirflowCommand(["db", "migrate"], self._environment(), self.log))

    def _finish_migration(self, migration: AirflowCommand | None, stop: StopSignal) -> None:
        if migration is None:
            _copy_database(self._template, self._database)
            return
        if migration.wait(stop, _MIGRATE_S) != 0:
            raise DemoError(f"Airflow could not make its database: see {self.log}")
        self._template.parent.mkdir(exist_ok=True)
        # Written aside first: an interrupted copy must never pass for a template.
        aside = self._template.with_suffix(".new")
        _copy_database(self._database, aside)
        aside.replace(self._template)

    def _test_dag(self, end: datetime, environment: Mapping[str, str], stop: StopSignal) -> None:
        arguments = ["dags", "test", DAG_ID, end.isoformat()]
        with AirflowCommand(arguments, environment, self.log) as command:
            code = command.wait(stop, _RUN_S)
        if code is None:
            raise DemoError(f"The run did not end within {_RUN_S:.0f} s.\nSee {self.log}")
        if code != 0:
            said = errors_in(self.log.read_text(encoding="utf-8", errors="replace"))
            raise DemoError("\n".join(["The run failed.", *said, f"See {self.log}"]))

    def _print_books(self) -> int | None:
        """Print the tasks and the report; return how many messages it counts as accepted."""
        print(f"\nTasks\n{task_table(self._tasks())}")
        for (value,) in self._query("SELECT value FROM xcom WHERE key = 'report'"):
            report = json.loads(value)
            print(f"\nReport\n{report_table(report)}")
            return int(report["accepted"])
        return None

    def _print_arrivals(self, segment_url: str) -> int:
        """Print the first message that the stand-in for Segment holds; return how many it does."""
        arrived = int(_get(f"{segment_url}/_sandbox/summary")["accepted"])
        for first in _get(f"{segment_url}/_sandbox/messages?limit=1")["messages"]:
            call = json.dumps(first["message"], indent=2, ensure_ascii=False)
            print(f"\nThe first of {arrived:,} identify calls that reached Segment\n{call}")
        return arrived

    def _tasks(self) -> list[TaskRow]:
        found = self._query(
            "SELECT task_id, rendered_map_index, state, duration FROM task_instance"
            " ORDER BY min(id) OVER (PARTITION BY task_id), map_index"
        )
        return [TaskRow(*row) for row in found]

    def _query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(sql).fetchall()


def _copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database with what still rests in its write-ahead log."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _get(url: str) -> Any:
    with build_opener(ProxyHandler({})).open(url, timeout=_ANSWER_S) as answer:
        return json.load(answer)


@contextmanager
def _alone(demo: Demo) -> Iterator[None]:
    """Make the demo's folder and keep other demos out of it."""
    if not (demo.dags / f"{DAG_ID}.py").is_file():
        raise DemoError(f"The demo runs in a checkout: there is no {DAG_ID}.py in {demo.dags}.")
    demo.home.mkdir(exist_ok=True)
    with (demo.home / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DemoError("Another demo is running in this checkout; wait for it.") from error
        yield


def main(dags: Path = CHECKOUT / "dags", home: Path = CHECKOUT / ".demo") -> int:
    """Run the demo; return 0 when it went well, 130 when it was stopped, else 1."""
    stop = StopSignal()
    # A terminal that can't show a name or a mark shows a question mark instead.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    demo = Demo(dags=dags, home=home)
    try:
        with _alone(demo):
            try:
                return 0 if demo.run(stop) else 1
            except StopError:
                demo.clear()
                print("Stopped; nothing is left running.", flush=True)
                return STOPPED_EXIT_CODE
    except (DemoError, LookerSegmentError) as error:
        print(f"\n{error}", flush=True)
    except Exception as error:  # noqa: BLE001 - whoever tries a demo is not shown a traceback
        with demo.log.open("a", encoding="utf-8") as log:
            traceback.print_exc(file=log)
        print(f"\nThe demo failed ({type(error).__name__}): see {demo.log}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
