"""Airflow commands as child processes that never outlive the one who started them.

Arguments and an environment enter, an exit code leaves; Ctrl-C and TERM are only noted, and acted
upon where nothing can be forgotten.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, Self

STOPPED_EXIT_CODE: Final = 130

_TERMINATE_S: Final = 5.0
_POLL_S: Final = 0.05


class GivenUpError(Exception):
    """It can't go on; the text says why and where to look."""


class StopError(Exception):
    """Somebody asked to stop."""


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
    """One Airflow command in a session of its own, so that Ctrl-C never reaches it.

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

    @property
    def is_running(self) -> bool:
        """Whether the command itself has not ended."""
        return self._process.poll() is None

    def ask_to_end(self) -> None:
        """Send TERM to the command, without waiting."""
        if self.is_running:
            self._process.terminate()

    def close(self) -> None:
        """End the command and everything it started. May be called again."""
        self.ask_to_end()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_TERMINATE_S)
        for pid in self._session():
            # A process that has just ended is not there; macOS denies permission for it.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _session(self) -> Iterator[int]:
        """Find the command and all that it started: tasks have process groups of their own."""
        import psutil  # noqa: PLC0415 - Airflow brings it; only the end of a command needs it

        for pid in psutil.pids():
            with suppress(ProcessLookupError, PermissionError):
                if os.getsid(pid) == self._process.pid:
                    yield pid

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
