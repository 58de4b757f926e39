"""Extract: from Looker's answer to sealed chunks, beside what a user would write instead."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks import look
from benchmarks.measure import (
    Measured,
    Server,
    compare,
    finish,
    serving,
    start,
    table,
    take_turns,
)

WAYS = {
    "extract_ours": "extract",
    "extract_unsealed": "extract, unsealed",
    "extract_checked": "extract, 10 destinations",
    "extract_schema": "extract, `traits_schema`",
    "extract_parse": "(a) `run_look`, `json.loads`",
    "extract_loop": "(b) the same and a loop",
}
CHECKED_ROWS = 2_000


def run(way: str, server: Server, *arguments: str) -> Measured:
    """Run one way once."""
    return finish(start("benchmarks.ways", [way, *arguments], server))


def check() -> None:
    """See that every way makes of each row what must become of it.

    :raises AssertionError: naming the first row that differs.
    """
    expected = list(look.messages(CHECKED_ROWS))
    cells = [
        {column: {"value": value} for column, value in look.row(number).items()}
        for number in range(CHECKED_ROWS)
    ]
    with serving(CHECKED_ROWS) as server:
        chunks, lines = server.folder / "chunks", server.folder / "lines"
        chunks.mkdir()
        run("extract_ours", server, str(chunks))
        run("unseal", server, str(chunks), str(lines))
        _same(lines, expected, "extract")
        for way, right in (("extract_parse", cells), ("extract_loop", expected)):
            run(way, server, str(lines))
            _same(lines, right, way)


def _same(lines: Path, expected: list[dict[str, Any]], way: str) -> None:
    found = map(json.loads, lines.read_text().splitlines())
    for number, (one, other) in enumerate(zip_longest(found, expected), start=1):
        assert one == other, f"{way}: row {number} is {one}, not {other}"


def measure(rows: int, turns: int) -> dict[str, Any]:
    """Let all ways take turns with so many rows."""
    with serving(rows) as server:
        size = (server.folder / "document.json").stat().st_size

        def once(way: str) -> Measured:
            measured = run(way, server)
            assert measured.items == rows, f"{way}: {measured.items} of {rows} rows"
            return measured

        found = take_turns(list(WAYS), turns, once)
    return {
        "rows": rows,
        "bytes": size,
        "turns": turns,
        "ways": compare(found, "extract_ours"),
    }


def as_table(result: dict[str, Any]) -> str:
    """Return the figures for people."""
    rows = []
    for way, measured in result["ways"].items():
        rows.append(
            (
                WAYS[way],
                f"{measured['items'] / measured['seconds']:,.0f}",
                f"{measured['cpu_s']:,.1f}",
                f"{measured['peak_mb']:,.0f}",
                f"{measured['peak_mb'] - measured['idle_mb']:,.0f}",
                f"{measured['speed_of_ours']:.2f}",
                f"{measured['cpu_of_ours']:.2f}",
            )
        )
    title = f"{result['rows']:,} rows of 13 columns, {result['bytes'] / 1e6:,.0f} MB"
    head = (
        title,
        "rows/s",
        "CPU s",
        "peak MB",
        "above idle",
        "extract is faster by",
        "extract's CPU time / its",
    )
    return table(head, rows)
