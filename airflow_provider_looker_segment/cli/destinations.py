"""The commands about the catalogue of destinations.

A name or a text enters, the catalogue's words are printed. Nothing is asked of any service.
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence

from airflow_provider_looker_segment.cli.table import table
from airflow_provider_looker_segment.core.catalogue import Destination, example, load_catalogue
from airflow_provider_looker_segment.core.explanation import facts, today


def list_all(_: argparse.Namespace) -> int:
    """Print every destination."""
    return _print(load_catalogue().destinations)


def search(options: argparse.Namespace) -> int:
    """Print the destinations one of whose names holds a text."""
    found = load_catalogue().search(options.text)
    if not found:
        print(f"No destination has {options.text!r} in a name.", file=sys.stderr)
        return 1
    return _print(found)


def explain(options: argparse.Namespace) -> int:
    """Print what is known about one destination, and a message that it takes."""
    destination = load_catalogue().find(options.name)
    print(f"{destination.name} ({destination.slug})\n")
    width = shutil.get_terminal_size().columns
    for fact in facts(destination):
        wrapped = textwrap.wrap(fact, max(width - 4, 30), break_long_words=False)
        print(
            "\n".join(f"{'    ' if index else '  - '}{line}" for index, line in enumerate(wrapped))
        )
    print("\nA message that it takes:\n")
    print(textwrap.indent(json.dumps(example(destination), indent=2), "  "))
    return 0


def _print(destinations: Sequence[Destination]) -> int:
    rows = [(one.slug, one.table.words() if one.table else "", today(one)) for one in destinations]
    heads = ("DESTINATION", "SEGMENT'S TABLE ASKS FOR", "TODAY")
    print(table(heads, rows, width=shutil.get_terminal_size().columns))
    return 0
