"""The oldest versions that setup.cfg allows, in an environment of its own."""

from __future__ import annotations

import configparser
import os
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.environments import CHECKOUT, environment

AIRFLOW = "apache-airflow"
TOOLS = ("hypothesis", "pytest", "pytest-timeout")
WHAT_TALKS = ("tests/hooks", "tests/triggers", "tests/operators/test_run.py")

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(1800)]


def floors() -> dict[str, str]:
    """Return the smallest version that is allowed of each requirement but Airflow itself."""
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    lines = parser["options"]["install_requires"].strip().splitlines()
    return {
        canonicalize_name(wanted.name): next(
            one.version for one in wanted.specifier if one.operator == ">="
        )
        for wanted in map(Requirement, lines)
        if wanted.name != AIRFLOW
    }


def test_the_oldest_versions_work(tmp_path: Path) -> None:
    """What is promised in setup.cfg can be installed together, and talks to both services."""
    oldest = floors()
    pins = (CHECKOUT / "constraints-3.1.txt").read_text("utf-8").splitlines()
    # Newer providers of others ask for a newer one of those that are the oldest here.
    kept = [
        line
        for line in pins
        if not line.startswith(f"{AIRFLOW}-providers-") and line.partition("==")[0] not in oldest
    ]
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(kept), "utf-8")
    wanted = [f"{name}=={version}" for name, version in oldest.items()]
    python = environment(tmp_path, *wanted, *TOOLS, AIRFLOW, "--constraint", str(constraints))

    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *WHAT_TALKS],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        env={**inherited, "AIRFLOW_HOME": str(tmp_path)},
    )

    assert 0 == done.returncode, done.stdout[-3_000:] + done.stderr[-3_000:]
