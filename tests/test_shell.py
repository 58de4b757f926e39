"""The commands as people type them: in a shell, and through Airflow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import AIRFLOW_KNOWS_COMMANDS, NAME, messages


def shell(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command as people do."""
    return subprocess.run(
        words,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_from_a_shell(sandbox: Any) -> None:
    """``python -m`` prints messages and nothing else to its output."""
    answer = shell(
        *(sys.executable, "-m", NAME, "preview", "--look", "42", "-n", "2"),
        *("--as-of", "2026-01-15"),
    )

    assert 0 == answer.returncode
    assert 2 == len(messages(answer.stdout))
    assert "Traceback" not in answer.stderr


def test_a_reader_that_has_seen_enough() -> None:
    """Where nobody reads any more, as behind ``| head``, the command ends without a complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    answer = subprocess.run(
        [sys.executable, "-m", NAME, "destinations", "list"],
        check=False,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)

    assert (0, b"") == (answer.returncode, answer.stderr)


@pytest.mark.airflow
@pytest.mark.parametrize(
    "words",
    [("show",), ("why", "nobody"), ("reset", "--yes"), ("forget", "nobody")],
)
def test_without_a_database_of_airflow(tmp_path: Path, words: tuple[str, ...]) -> None:
    """Airflow logs a traceback, with the statement and its parameters, to the output stream."""
    answer = shell(
        *(sys.executable, "-m", NAME, "snapshot", *words, "--sync", "daily/42"),
        AIRFLOW_HOME=str(tmp_path),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path}/nothing.db",
    )

    assert (2, "") == (answer.returncode, answer.stdout)
    assert "Run the command again when Airflow's database" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "SELECT" not in answer.stderr


@pytest.mark.airflow
def test_from_airflow(sandbox: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """``airflow looker-segment`` is the same, and finds connections in Airflow's database.

    Airflow 3.1 asks providers for no commands; there ``python -m`` finds them too.
    """
    airflow = str(Path(sys.executable).with_name("airflow"))
    connection = os.environ["AIRFLOW_CONN_LOOKER_DEFAULT"]
    monkeypatch.delenv("AIRFLOW_CONN_LOOKER_DEFAULT")
    added = shell(airflow, "connections", "add", "kept_looker", "--conn-json", connection)
    assert 0 == added.returncode, added.stderr

    program = (
        (airflow, "looker-segment") if AIRFLOW_KNOWS_COMMANDS else (sys.executable, "-m", NAME)
    )
    words = (*program, "check", "--look", "42", "--destinations", "braze,totango")
    answer = shell(*words, "--looker-conn-id", "kept_looker")
    missing = shell(*words)

    assert 1 == answer.returncode
    assert "Look 42 can never reach Totango" in answer.stdout
    assert 2 == missing.returncode
    assert "Connection 'looker_default' should exist in Airflow" in missing.stderr
    assert "Traceback" not in answer.stderr + missing.stderr
