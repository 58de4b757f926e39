"""The distribution: what Airflow discovers, what imports cost, which versions are allowed."""

from __future__ import annotations

import configparser
import importlib
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from airflow_provider_looker_segment import __version__, get_provider_info

CHECKOUT = Path(__file__).parents[1]
NAME = "airflow-provider-looker-segment"
CONSTRAINTS = ("constraints.txt", "constraints-3.1.txt")
HEAVY = ("airflow", "jsonschema", "looker_sdk", "segment", "starlette", "yaml")
SDKS = ("jsonschema", "looker_sdk", "segment")
OPERATORS = (
    "airflow_provider_looker_segment.operators.looker",
    "airflow_provider_looker_segment.operators.maintenance",
    "airflow_provider_looker_segment.operators.report",
    "airflow_provider_looker_segment.operators.segment",
    "airflow_provider_looker_segment.task_groups",
)

# Written in parts, so that this file does not name what no file may name.
REGISTRIES = ("pypi." + "org", "python" + "hosted", "--index" + "-url", "--find" + "-links")
MACHINES = tuple(f"/{folder}/" for folder in ("work", "root", "home", "Users", "tmp"))


@pytest.fixture(scope="module")
def setup_cfg() -> configparser.ConfigParser:
    """The distribution's metadata."""
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    return parser


def pins(file: str) -> list[Requirement]:
    """Return the requirements of a constraints file."""
    lines = (CHECKOUT / file).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def shipped_files() -> list[Path]:
    """Return the files that belong to the repository, also those not yet committed."""
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("this is no clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    ).stdout
    paths = [CHECKOUT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def loaded_by(*modules: str, after: str = "sys") -> set[str]:
    """Return the top-level names of what a fresh interpreter loads with modules.

    :param after: a module that is imported first, and whose own imports do not count.
    """
    code = (
        f"import json, sys, {after}; before = set(sys.modules); import {', '.join(modules)};"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=60
    )
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_provider_info_passes_airflows_schema() -> None:
    """What Airflow asks of the provider satisfies Airflow's own schema."""
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text("utf-8"))

    jsonschema.validate(get_provider_info(), schema)


def test_provider_name_is_the_distribution(setup_cfg: configparser.ConfigParser) -> None:
    """The provider is named as its distribution is, in canonical spelling."""
    info = get_provider_info()

    assert info["package-name"] == setup_cfg["metadata"]["name"] == NAME
    assert canonicalize_name(info["package-name"]) == NAME
    assert info["versions"][0] == __version__


def test_entry_point_finds_the_provider() -> None:
    """Airflow's discovery loads ``get_provider_info``."""
    found = [
        entry.load()
        for entry in entry_points(group="apache_airflow_provider")
        if entry.dist is not None and canonicalize_name(entry.dist.name) == NAME
    ]

    assert found == [get_provider_info]


def test_declared_classes_exist() -> None:
    """Each declared hook can be imported and knows the connection type it is declared for."""
    declared = {
        entry["hook-class-name"]: entry["connection-type"]
        for entry in get_provider_info()["connection-types"]
    }
    said = {}
    for path in declared:
        module, _, name = path.rpartition(".")
        said[path] = getattr(importlib.import_module(module), name).conn_type

    assert said == declared


def test_declared_modules_exist() -> None:
    """Each declared module can be imported."""
    info: dict[str, Any] = get_provider_info()
    declared = [
        module
        for kind in ("operators", "hooks")
        for group in info.get(kind, [])
        for module in group["python-modules"]
    ]

    assert declared
    assert [importlib.import_module(module).__name__ for module in declared] == declared


def test_importing_the_package_is_free() -> None:
    """Discovery, which imports the package at every command, loads nothing else."""
    assert loaded_by("airflow_provider_looker_segment").isdisjoint(HEAVY)


def test_importing_operators_loads_no_sdk() -> None:
    """Airflow imports operators at every parse of a DAG, and that loads no SDK."""
    assert loaded_by(*OPERATORS, after="airflow.sdk.bases.operator").isdisjoint(SDKS)


@pytest.mark.parametrize("module", ["task_groups", "operators.maintenance"])
def test_what_dag_files_import_loads_next_to_nothing(module: str) -> None:
    """What DAG files import leaves the work of its tasks to the tasks."""
    loaded = loaded_by(
        f"airflow_provider_looker_segment.{module}", after="airflow.sdk.bases.operator"
    )
    assert loaded.isdisjoint((*SDKS, "cryptography", "requests", "sqlite3", "urllib3"))


@pytest.mark.parametrize(("file", "extra"), list(product(CONSTRAINTS, ("", "dev"))))
def test_pins_are_within_the_declared_ranges(
    setup_cfg: configparser.ConfigParser, file: str, extra: str
) -> None:
    """Everything that setup.cfg asks for is pinned, to a version that it allows."""
    asked = (
        setup_cfg["options.extras_require"][extra]
        if extra
        else setup_cfg["options"]["install_requires"]
    )
    pinned = pins(file)
    outside = []
    for line in asked.strip().splitlines():
        wanted = Requirement(line)
        name = canonicalize_name(wanted.name)
        versions = [
            next(iter(pin.specifier)).version
            for pin in pinned
            if canonicalize_name(pin.name) == name
        ]
        if not versions or not all(version in wanted.specifier for version in versions):
            outside.append((line, versions))

    assert outside == []


@pytest.mark.parametrize("file", CONSTRAINTS)
def test_constraints_hold_exact_pins_only(file: str) -> None:
    """Each line of a constraints file is one exact version."""
    found = {(len(pin.specifier), next(iter(pin.specifier)).operator) for pin in pins(file)}

    assert found == {(1, "==")}


def test_the_newest_and_the_oldest_airflow_are_pinned() -> None:
    """The two constraints files are for Airflow 3.3 and 3.1."""
    found = [
        str(pin.specifier)
        for file in CONSTRAINTS
        for pin in pins(file)
        if pin.name == "apache-airflow"
    ]

    assert [version[:5] for version in found] == ["==3.3", "==3.1"]


def test_every_data_file_is_packaged(setup_cfg: configparser.ConfigParser) -> None:
    """Each file of the package that is not Python is named in the package data."""
    package = CHECKOUT / "airflow_provider_looker_segment"
    patterns = setup_cfg["options.package_data"][package.name].split()
    packaged = {path for pattern in patterns for path in package.glob(pattern)}
    data = {
        path
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }

    assert packaged == data


def test_no_file_names_a_registry_or_a_machine() -> None:
    """No file holds a package registry's address or a path of somebody's machine."""
    forbidden = re.compile(
        rf"{'|'.join(map(re.escape, REGISTRIES))}|(?<![\w.~*>}}-])(?:{'|'.join(MACHINES)})"
    )
    found = []
    for path in shipped_files():
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), start=1):
            if forbidden.search(line):
                found.append(f"{path.relative_to(CHECKOUT)}:{number}")

    assert found == []
