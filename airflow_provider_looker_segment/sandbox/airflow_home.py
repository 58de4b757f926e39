"""One folder for everything that an Airflow between the stand-ins writes.

Enters a folder of the checkout; leaves a database, settings and an environment in it. Nothing is
written anywhere else, and one process at a time has the folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from airflow_provider_looker_segment.exceptions import LookerSegmentError

from .airflow_commands import (
    STOPPED_EXIT_CODE,
    AirflowCommand,
    GivenUpError,
    StopError,
    StopSignal,
)

CHECKOUT: Final = Path(__file__).resolve().parents[2]
DAG_ID: Final = "daily_cohort"

_MIGRATE_S: Final = 120.0
_TEMPLATES: Final = "template"
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True)
class AirflowHome:
    """A folder for Airflow's database, settings and logs.

    :param name: of what runs in it, as messages say it.
    :param dags: folder with the DAG ``daily_cohort``.
    :param folder: for everything that is written.
    """

    name: str
    dags: Path
    folder: Path

    @property
    def log(self) -> Path:
        """The file for everything that Airflow says."""
        return self.folder / "airflow.log"

    @property
    def database(self) -> Path:
        """Airflow's metadata, in SQLite."""
        return self.folder / "airflow.db"

    @property
    def _template(self) -> Path:
        """A migrated and otherwise empty database; making one takes seconds, copying it none."""
        return self.folder / _TEMPLATES / f"airflow-{version('apache-airflow-core')}.db"

    def environment(self) -> dict[str, str]:
        """Return the shell's environment without the Airflow that may be configured in it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return kept | {
            "AIRFLOW_HOME": str(self.folder),
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
        }

    def clear(self) -> None:
        """Remove what an earlier run left behind, but for the template."""
        for path in self.folder.iterdir():
            if path.name not in {_TEMPLATES, _LOCK}:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def configure(self, settings: Mapping[str, Mapping[str, str]]) -> None:
        """Write ``airflow.cfg``.

        :param settings: values by name, by section.
        """
        # Percent signs are doubled because Airflow interpolates its configuration.
        lines = [
            line
            for section, values in settings.items()
            for line in (
                f"[{section}]",
                *(f"{name} = {value.replace('%', '%%')}" for name, value in values.items()),
                "",
            )
        ]
        (self.folder / "airflow.cfg").write_text("\n".join(lines), encoding="utf-8")

    def start_migration(self, stack: ExitStack) -> AirflowCommand | None:
        """Begin to make the database, unless there is one to copy."""
        if self._template.exists():
            return None
        return stack.enter_context(AirflowCommand(["db", "migrate"], self.environment(), self.log))

    def finish_migration(self, migration: AirflowCommand | None, stop: StopSignal) -> None:
        """Wait until the database is there.

        :raises GivenUpError: when Airflow can't make it.
        :raises StopError: when a signal came.
        """
        if migration is None:
            _copy_database(self._template, self.database)
            return
        if migration.wait(stop, _MIGRATE_S) != 0:
            raise GivenUpError(f"Airflow could not make its database: see {self.log}")
        self._template.parent.mkdir(exist_ok=True)
        # Written aside first: an interrupted copy must never pass for a template.
        aside = self._template.with_suffix(".new")
        _copy_database(self.database, aside)
        aside.replace(self._template)

    def run(self, work: Callable[[StopSignal], bool]) -> int:
        """Do some work alone in the folder; return 0 when it went well, 130 when stopped, else 1.

        :param work: returns whether all went well.
        """
        stop = StopSignal()
        # A terminal that can't show a name or a mark shows a question mark instead.
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        try:
            with self._alone():
                try:
                    return 0 if work(stop) else 1
                except StopError:
                    self.clear()
                    print("Stopped; nothing is left running.", flush=True)
                    return STOPPED_EXIT_CODE
        except (GivenUpError, LookerSegmentError) as error:
            print(f"\n{error}", flush=True)
        except Exception as error:  # noqa: BLE001 - whoever tries this is not shown a traceback
            with self.log.open("a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            print(f"\nThe {self.name} failed ({type(error).__name__}): see {self.log}", flush=True)
        return 1

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Make the folder and keep others out of it."""
        if not (self.dags / f"{DAG_ID}.py").is_file():
            raise GivenUpError(
                f"The {self.name} runs in a checkout: there is no {DAG_ID}.py in {self.dags}."
            )
        self.folder.mkdir(exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise GivenUpError(
                    f"Another {self.name} is running in this checkout; wait for it."
                ) from error
            yield


def _copy_database(source: Path, target: Path) -> None:
    """Copy a SQLite database with what still rests in its write-ahead log."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
