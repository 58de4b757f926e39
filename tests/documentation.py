"""The pages of the documentation, read for the tests."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from docs import generate_destinations, generate_hazards, generate_reference

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "airflow_provider_looker_segment"
EXAMPLES = DOCS / "examples"
PAGES = sorted([ROOT / "README.md", *DOCS.glob("*.md")])
FENCE = re.compile(r"^(`{3,})(\S*)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


@cache
def text_of(page: Path) -> str:
    """Read a page with what it includes from the generated folder."""
    text = page.read_text("utf-8")
    for name in re.findall(r"^```\{include\} generated/(\w+)\.md$", text, re.MULTILINE):
        text += "\n" + generated()[name]
    return text


@cache
def generated() -> dict[str, str]:
    """Generate what pages include: the name of each part and its text."""
    with TemporaryDirectory() as folder:
        for module in (generate_destinations, generate_hazards, generate_reference):
            module.generate(Path(folder))
        return {part.stem: part.read_text("utf-8") for part in Path(folder).iterdir()}


def listings(language: str) -> list[Any]:
    """Find the fenced listings of one language, as parameters with readable ids."""
    return [
        pytest.param(body, id=f"{page.name}-{number}")
        for page in PAGES
        for number, (_, kind, body) in enumerate(FENCE.findall(page.read_text("utf-8")))
        if kind == language
    ]


def prose_of(page: Path) -> str:
    """Return a page without its listings."""
    return FENCE.sub("", page.read_text("utf-8"))


def section(page: str, heading: str) -> str:
    """Return what is under one heading, up to the next."""
    text = (DOCS / page).read_text("utf-8")
    start = text.index(f"## {heading}\n") + len(heading)
    return text[start : text.find("\n## ", start)]
