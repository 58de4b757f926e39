"""``make demo``: the example DAG in a real Airflow, between the two stand-ins.

Enters nothing but the checkout; leaves a page of text, and Airflow's database and log in ``.demo``.
No process outlives it, and nothing is written anywhere else.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from urllib.request import ProxyHandler, build_opener

from .airflow_commands import AirflowCommand, GivenUpError, StopSignal, step
from .airflow_home import CHECKOUT, DAG_ID, AirflowHome
from .demo_page import TaskRow, errors_in, next_steps, report_table, task_table

_RUN_S: Final = 180.0
_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo.

    :param home: where it runs.
    """

    home: AirflowHome

    def run(self, stop: StopSignal) -> bool:
        """Run the DAG and print what became of it; return whether all went well.

        :raises GivenUpError: when something did not come to its end.
        :raises StopError: when a signal came.
        """
        self.home.clear()
        self.home.configure(
            {
                "core": {
                    "dags_folder": str(self.home.dags),
                    "load_examples": "False",
                    "simple_auth_manager_all_admins": "True",
                },
                "api": {"host": "127.0.0.1"},
            }
        )
        end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        print(f"From Looker to Segment through Airflow {version('apache-airflow-core')}\n")
        with ExitStack() as stack:
            migration = self.home.start_migration(stack)
            with step("stand-ins for Looker and Segment on 127.0.0.1"):
                # Imported here, where a signal is already noticed.
                from .server import Sandbox  # noqa: PLC0415

                sandbox = stack.enter_context(Sandbox(today=end.date()))
                stop.check()
            with step("Airflow's database, in .demo"):
                self.home.finish_migration(migration, stop)
            environment = self.home.environment() | sandbox.connections()
            try:
                with step(f"DAG {DAG_ID} as of {end:%Y-%m-%d %H:%M} UTC"):
                    self._test_dag(end, environment, stop)
            except GivenUpError:
                self._print_books()
                raise
            accepted = self._print_books()
            arrived = self._print_arrivals(sandbox.segment_url)
            print(f"\nWhat to try next\n{next_steps()}")
            return arrived == accepted

    def _test_dag(self, end: datetime, environment: Mapping[str, str], stop: StopSignal) -> None:
        arguments = ["dags", "test", DAG_ID, end.isoformat()]
        with AirflowCommand(arguments, environment, self.home.log) as command:
            code = command.wait(stop, _RUN_S)
        if code is None:
            raise GivenUpError(f"The run did not end within {_RUN_S:.0f} s.\nSee {self.home.log}")
        if code != 0:
            said = errors_in(self.home.log.read_text(encoding="utf-8", errors="replace"))
            raise GivenUpError("\n".join(["The run failed.", *said, f"See {self.home.log}"]))

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
        with closing(sqlite3.connect(self.home.database)) as connection:
            return connection.execute(sql).fetchall()


def _get(url: str) -> Any:
    with build_opener(ProxyHandler({})).open(url, timeout=_ANSWER_S) as answer:
        return json.load(answer)


def main(dags: Path = CHECKOUT / "dags", home: Path = CHECKOUT / ".demo") -> int:
    """Run the demo; return 0 when it went well, 130 when it was stopped, else 1."""
    folder = AirflowHome("demo", dags=dags, folder=home)
    return folder.run(Demo(folder).run)


if __name__ == "__main__":
    sys.exit(main())
