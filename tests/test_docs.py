"""The documentation holds together: listings run, links and commands lead somewhere."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from airflow_provider_looker_segment.connections import LookerSettings, SegmentSettings
from tests.documentation import (
    DOCS,
    EXAMPLES,
    FENCE,
    PACKAGE,
    PAGES,
    ROOT,
    listings,
    prose_of,
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,4} (.+)$", re.MULTILINE)
_TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
_AIRFLOW = re.compile(r"^airflow (\w+) (\w+)(.*)$", re.MULTILINE)


@pytest.mark.parametrize("listing", listings("python"))
def test_every_python_listing_runs(listing: str) -> None:
    """A listing can be pasted into a DAG file, whose imports it may leave out."""
    from airflow.sdk import DAG

    from airflow_provider_looker_segment.task_groups import look_to_segment

    with DAG("listing", schedule=None):
        exec(compile(listing, "listing", "exec"), {"look_to_segment": look_to_segment})


@pytest.mark.parametrize("language", ["yaml", "json"])
def test_every_data_listing_parses(language: str) -> None:
    """JSON is YAML too, so that one parser reads both."""
    for parameter in listings(language):
        assert yaml.safe_load(parameter.values[0]) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_shows_exists(page: Path) -> None:
    """Listings are taken from files, and the files are there."""
    shown = re.findall(r"^```\{(?:literal)?include\} (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    missing = [
        name
        for name in shown
        if not name.startswith("generated/") and not (page.parent / name).is_file()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    """The page exists, and so does the heading or target within it."""
    broken = []
    for link in _LINK.findall(prose_of(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file():
            broken.append(link)
        elif anchor:
            text = target.read_text("utf-8")
            slugs = {
                re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
                for heading in _HEADING.findall(text)
            }
            if anchor not in slugs | set(_TARGET.findall(text)):
                broken.append(link)
    assert broken == []


def test_every_make_target_of_the_pages_exists() -> None:
    """What a reader is told to type is there."""
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    named = {
        target
        for page in PAGES
        for _, kind, body in FENCE.findall(page.read_text("utf-8"))
        if kind in ("", "shell")
        for target in _MAKE.findall(body)
    }
    assert {"demo", "test"} <= named
    assert named - targets == set()


def test_every_airflow_command_of_the_pages_exists() -> None:
    """Group, command and options are ones that this Airflow has."""
    from airflow.cli.cli_config import GroupCommand
    from airflow.cli.cli_parser import ALL_COMMANDS_DICT

    unknown = []
    for parameter in listings("shell"):
        listing = parameter.values[0].replace("\\\n", "")
        for group, name, rest in _AIRFLOW.findall(listing):
            entry = ALL_COMMANDS_DICT.get(group)
            commands = entry.subcommands if isinstance(entry, GroupCommand) else ()
            command = next((one for one in commands if one.name == name), None)
            flags = {flag for argument in getattr(command, "args", ()) for flag in argument.flags}
            options = set(re.findall(r"(?<=\s)(--[\w-]+)", rest))
            if command is None or options - flags:
                unknown.append(f"airflow {group} {name}{rest}")
    assert unknown == []


def test_every_option_of_the_sandbox_on_the_pages_exists() -> None:
    """The sandbox knows each option that a page gives it."""
    from airflow_provider_looker_segment.sandbox.__main__ import _parser

    known = _parser().format_help()
    named = {
        option
        for page in PAGES
        for line in re.findall(
            r"airflow_provider_looker_segment\.sandbox\b(.*)", page.read_text("utf-8")
        )
        for option in re.findall(r"--[\w-]+", line)
    }
    assert [option for option in sorted(named) if option not in known] == []


def test_every_documented_connection_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables of the pages are connections once their gaps are filled in."""
    exports = [
        found
        for page in PAGES
        for found in re.findall(
            r"^export AIRFLOW_CONN_(\w+)_DEFAULT='(.*?)'$",
            page.read_text("utf-8"),
            re.MULTILINE | re.DOTALL,
        )
    ]
    readers = {"LOOKER": LookerSettings, "SEGMENT": SegmentSettings}
    assert set(readers) == {side for side, _ in exports}
    for side, value in exports:
        # A gap holds what no write key may, so that a forgotten one is no key to Segment.
        filled = re.sub(r'"(<[\w ]+>|…)"', '"filled-in"', value)
        assert json.loads(filled) != json.loads(value)
        monkeypatch.setenv("AIRFLOW_CONN_DOCUMENTED", filled)
        assert readers[side].read("documented").conn_id == "documented"


def test_every_document_that_a_message_names_exists() -> None:
    """Error messages and docstrings send readers to pages that are there."""
    named = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"\bdocs/[\w/.]+\.md\b", path.read_text("utf-8"))
    }
    assert "docs/connections.md" in named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_the_dag_of_the_readme_is_the_dag_of_the_tutorial() -> None:
    """One first example, whichever page a reader begins with."""
    example = ast.parse((EXAMPLES / "first_look.py").read_text("utf-8"))
    (listing,) = (
        body
        for _, kind, body in FENCE.findall((ROOT / "README.md").read_text("utf-8"))
        if kind == "python"
    )
    assert ast.dump(ast.Module(example.body[1:], [])) == ast.dump(ast.parse(listing))


@pytest.mark.parametrize("front", ["README.md", "docs/index.md"])
def test_the_front_pages_lead_to_every_page(front: str) -> None:
    """Whoever begins at either finds each page without knowing its name."""
    page = ROOT / front
    linked = {(page.parent / link).resolve().name for link in _LINK.findall(prose_of(page))}
    names = {page.name for page in DOCS.glob("*.md")} - {"index.md", "changelog.md"}

    assert names - linked == set()
    assert {"changelog.md"} & {name.lower() for name in linked}


def test_no_page_needs_anything_from_elsewhere() -> None:
    """Pictures, styles and scripts are files of this repository."""
    loaded = re.compile(r"!\[[^]]*\]\((\w+:)?//|(?:src|href)=\"(\w+:)?//")
    assert [page.name for page in PAGES if loaded.search(prose_of(page))] == []


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    """Every reference resolves, and no built page loads anything from another host."""
    builder = shutil.which("sphinx-build", path=str(Path(sys.executable).parent))
    if builder is None:
        pytest.skip("Sphinx is not installed")
    built = subprocess.run(
        [builder, "-n", "-W", "-T", "-q", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    loaded = {
        address
        for page in tmp_path.glob("*.html")
        for address in re.findall(
            r"<(?:script|img|iframe)[^>]+src=\"(\w+:)?//|<link[^>]+stylesheet[^>]+href=\"(\w+:)?//",
            page.read_text("utf-8"),
        )
    }
    assert loaded == set()
