"""Extract: from Looker's answer to sealed chunks, beside what a user would write instead."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks import look
from benchmarks.measure import Measured, compare, run_way, serving, table, take_turns

WAYS = {
    "extract_ours": "extract",
    "extract_unsealed": "extract, unsealed",
    "extract_stored": "extract, chunks in object storage",
    "extract_checked": "extract, 10 destinations",
    "extract_schema": "extract, `traits_schema`",
    "extract_parse": "(a) `run_look`, `json.loads`",
    "extract_loop": "(b) the same and a loop",
}
ALTERNATIVES = ("extract_parse", "extract_loop")
CHECKED_ROWS = 2_000
SCHEMA_ROWS = 100_000
"""Beyond them extract is measured without a `traits_schema`."""


def check() -> None:
    """See that every way makes of each row what must become of it. It also is the warm-up turn.

    :raises AssertionError: naming the first row that differs.
    """
    expected = list(look.messages(CHECKED_ROWS))
    cells = [
        {column: {"value": value} for column, value in look.row(number).items()}
        for number in range(CHECKED_ROWS)
    ]
    with serving(CHECKED_ROWS) as server:
        for way in WAYS:
            lines = server.folder / f"{way}.lines"
            if way in ALTERNATIVES:
                run_way(way, server, str(lines))
            else:
                chunks = server.folder / way
                chunks.mkdir()
                run_way(way, server, str(chunks))
                run_way("unseal", server, str(chunks), str(lines), way)
            if way == "extract_checked":
                _all_checked(json.loads((server.folder / way / "manifest").read_text()))
            if way == "extract_stored":
                objects = (server.folder / "objects").rglob("*")
                assert any(path.is_file() for path in objects), "no chunk was stored"
            _same(lines, cells if way == "extract_parse" else expected, way)


def _same(lines: Path, expected: list[dict[str, Any]], way: str) -> None:
    for number, (text, right) in enumerate(zip_longest(lines.open(), expected), start=1):
        found = None if text is None else json.loads(text)
        assert found == right, f"{way}: row {number} is {found}, not {right}"


def _all_checked(manifest: dict[str, Any]) -> None:
    """See that every destination has a verdict about every row, here always the same one."""
    met = {slug: verdicts["met"] for slug, verdicts in manifest["destinations"].items()}
    assert met == dict.fromkeys(met, CHECKED_ROWS), met
    assert len(met) == 10, met


def ways_for(rows: int) -> list[str]:
    """Return the ways to measure; a schema takes minutes for a million rows."""
    return [way for way in WAYS if way != "extract_schema" or rows <= SCHEMA_ROWS]


def measure(rows: int, turns: int) -> dict[str, Any]:
    """Let all ways take turns with so many rows."""
    with serving(rows) as server:
        size = (server.folder / "document.json").stat().st_size

        def once(way: str) -> Measured:
            measured = run_way(way, server)
            assert measured.items == rows, f"{way}: {measured.items} of {rows} rows"
            return measured

        found = take_turns(ways_for(rows), turns, once)
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
