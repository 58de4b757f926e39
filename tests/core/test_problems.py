"""Problems add up without holding a value."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core import problems as problems_module
from airflow_provider_looker_segment.core.problems import (
    MAX_ROW_NUMBERS,
    MEANINGS,
    Problem,
    Problems,
    RejectedRow,
)

found = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["", "x"]), st.integers(1, 99))
)


def problems(entries: list[tuple[str, str, int]]) -> Problems:
    """Problems of these codes, columns and rows, in the order of the rows."""
    result = Problems()
    for code, column, number in sorted(entries, key=lambda entry: entry[2]):
        result.add(code, column, number)
    return result


@given(one=found, two=found, three=found)
def test_problems_add(
    one: list[tuple[str, str, int]],
    two: list[tuple[str, str, int]],
    three: list[tuple[str, str, int]],
) -> None:
    """Adding is associative and changes nothing but the sum."""
    left, right, rest = problems(one), problems(two), problems(three)
    before = right.as_list()
    left += right
    left += rest
    right += rest
    other = problems(one)
    other += right
    assert left.as_list() == other.as_list()
    assert left.count == len(one) + len(two) + len(three)
    assert before == problems(two).as_list()


@given(entries=found)
def test_plain_json_and_back(entries: list[tuple[str, str, int]]) -> None:
    """Problems survive the way through XCom, and neither side shares lists with it."""
    original = problems(entries)
    plain = original.as_list()
    kept = json.dumps(plain)
    copy = Problems(plain)
    assert copy.as_list() == plain
    for problem in (original, copy):
        for code, column, _ in entries:
            problem.add(code, column, 100)
    assert json.dumps(plain) == kept


def test_most_frequent_first() -> None:
    """The most frequent problem comes first; equals are ordered by code and column."""
    result = problems([("b", "", 1), ("a", "x", 2), ("a", "", 3), ("c", "", 4), ("c", "", 5)])
    assert [(one.code, one.column) for one in result] == [
        ("c", ""),
        ("a", ""),
        ("a", "x"),
        ("b", ""),
    ]


def test_few_row_numbers() -> None:
    """All rows are counted, the first ten are named, whenever they are added."""
    result = Problems()
    for number in (*range(50, 100), *range(49, 0, -1)):
        result.add("a", "x", number)
    assert result.as_list() == [
        Problem("a", "x", 99, list(range(1, MAX_ROW_NUMBERS + 1))).as_dict()
    ]


def test_rejected_row_names_no_value() -> None:
    """A rejected row knows its code and column."""
    rejected = RejectedRow("array_value", "users.x")
    assert (str(rejected), rejected.code, rejected.column) == (
        "array_value",
        "array_value",
        "users.x",
    )


def test_every_code_has_a_meaning() -> None:
    """Each code that the core gives to a row is explained, and none is explained for nothing."""
    given_codes = set()
    for path in Path(problems_module.__file__).parent.glob("*.py"):
        if path.name == "problems.py":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in MEANINGS:
                given_codes.add(node.value)
            is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if is_call and node.func.id in ("RejectedRow", "Unsendable"):
                code = node.args[0]
                if isinstance(code, ast.Constant):
                    assert code.value in MEANINGS
    assert set(MEANINGS) == given_codes
