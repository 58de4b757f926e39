"""Write the table of hazards for the documentation, from the tests that show each of them.

``docs/conf.py`` calls :func:`generate` before each build. The tests are read, not run, and not
even imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "generated"
TESTS = Path(__file__).parent.parent / "tests" / "hazards"

BORDERS = {
    "L": "From Looker",
    "R": "In a row",
    "S": "From Segment",
    "A": "From Airflow",
}
"""The borders that hazards come from, in the order of the way of the data."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One hazard.

    :param case: its letter and number.
    :param enters: the hostile input.
    :param happens: what a run does about it.
    :param test: the function that shows it.
    """

    case: str
    enters: str
    happens: str
    test: str


def hazards() -> list[Hazard]:
    """Read every ``@hazard(...)`` of the tests, in the order of the cases."""
    found = [one for file in sorted(TESTS.glob("test_*.py")) for one in _decorated(file)]
    order = list(BORDERS)
    return sorted(found, key=lambda one: (order.index(one.case[0]), int(one.case[1:])))


def generate(folder: Path = FOLDER) -> None:
    """Write the table; ``delivery.md`` includes it."""
    folder.mkdir(exist_ok=True)
    (folder / "hazards.md").write_text("\n".join(_lines()) + "\n", encoding="utf-8")


def _decorated(file: Path) -> Iterator[Hazard]:
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "hazard":
                    case, enters, happens = (ast.literal_eval(argument) for argument in call.args)
                    yield Hazard(case, enters, happens, node.name)


def _lines() -> Iterator[str]:
    found = hazards()
    for letter, title in BORDERS.items():
        yield f"**{title}**"
        yield ""
        yield "| | input | what happens |"
        yield "|---|---|---|"
        for one in found:
            if one.case.startswith(letter):
                yield f"| {one.case} | {_cell(one.enters)} | {_cell(one.happens)} |"
        yield ""


def _cell(text: str) -> str:
    return (text[0].upper() + text[1:]).replace("|", r"\|")


if __name__ == "__main__":
    generate()
