"""Rows of plain values become what they become when each cell is looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.encoding import decode, encode_sorted
from airflow_provider_looker_segment.core.history import Told
from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.plain_rows import PlainRows
from airflow_provider_looker_segment.core.prepare import Mapped, Preparation
from airflow_provider_looker_segment.core.rows import Row, RowStream
from airflow_provider_looker_segment.core.snapshot import Composer, Names, Rules, identity
from airflow_provider_looker_segment.core.splicing import Splicer
from tests.core.test_prepare import CASES, SHARED, planned, simple_plan

N = "null"
NAMES = ("userId", "email", "age", "name", "plan", "note")
TEXTS = ["", " ", "Zoë", "山", "a\nb", "é", '"\\', "\\u0000", "n/a", "a@b.co", " a@b.co", "1" * 17]
NUMBERS = [
    *("0", "-0", "7", "-7", "9007199254740991", "9007199254740992", "-9007199254740993", "1" * 30),
    *("0.0", "-0.0", "7.0", "79.5", "0.1", "1e2", "1E5", "1.5e-7", "1e-400", "1.25E-320", "2e-310"),
    *("0.1000000000000000055", "123456789.123456789", "12345678901234567.0", "1234567890123456e5"),
    *("123456789012345", "12345678901234.5", "1e308", "1e999", "-1e999", "17850.0", "5e-324"),
]
literals = st.one_of(
    st.sampled_from(NUMBERS),
    st.sampled_from(["null", "true", "false", "[1]", '["a"]', "{}", r'"\u0000"', r'"\ud800"']),
    st.sampled_from(TEXTS).map(json.dumps),
    st.text(max_size=8).map(json.dumps),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers().map(str),
)
rows_of_literals = st.lists(
    st.tuples(*(literals | st.just("null") for _ in NAMES)), min_size=1, max_size=6
)


def came_to(
    the_plan: Plan,
    pieces: Sequence[str],
    *,
    is_plain: bool,
    by_name: bool = False,
    requirements: Requirements | None = None,
) -> Any:
    """Return what becomes of rows, and who counts them."""
    rejected: list[tuple[int, str, str, Row]] = []
    plain = PlainRows(the_plan, by_name=by_name) if is_plain else None
    rows: list[Any] = []
    for piece in pieces:
        found: Any = plain.decode(piece) if plain else None
        rows += found or RowStream([b'{"data":[' + piece.encode() + b"]}"], look="Look 1")
    with SeenUsers() as seen:
        preparation = Preparation(
            the_plan,
            shared=SHARED,
            seen=seen,
            on_rejected=lambda number, why, row: rejected.append(
                (number, why.code, why.column, row)
            ),
            requirements=requirements,
            plain=plain,
        )
        messages = list(preparation.messages(rows))
    tally = preparation.tally
    counts = (tally.rows, tally.messages, tally.duplicates, tally.problems.as_list())
    shown = compared(the_plan, messages) if by_name else [line for line, *_ in messages]
    return shown, counts, tally.verdicts.as_dict(), repr(rejected)


def compared(the_plan: Plan, messages: list[Mapped]) -> list[Any]:
    """Return what a snapshot makes of messages: it does not care for the order of traits."""
    rules = Rules("mirror", membership_trait="in")
    names = Names(sorted({name for name, _ in the_plan.traits} | {"in"}))
    composer, splicer = Composer(rules, names), Splicer(rules, names)
    found = []
    for (number, text), body, told in messages:
        if told is None:
            fingerprint, shape = composer.fingerprint(body), splicer.shape(body)
        else:
            fingerprint, shape = composer.fingerprint_of_text(text), splicer.shape_of(told)
        ending = splicer.ending(shape, Told.IN, 0)
        sent = encode_sorted(decode(ending.after(text) if ending else text))
        about = ending and ending[1:], splicer.skeleton(text, shape)
        found.append((number, sent, fingerprint, identity(body), *about))
    return found


def assert_same(the_plan: Plan, pieces: Sequence[str], **choices: Any) -> None:
    """See that nobody can tell from the outcome how it came about."""
    slowly, at_once = (
        came_to(the_plan, pieces, is_plain=is_plain, **choices) for is_plain in (False, True)
    )
    assert slowly == at_once


def as_text(rows: list[tuple[str, ...]]) -> str:
    """Write rows of literals as Looker does."""
    return ",".join(map(as_object, rows))


def as_object(row: Sequence[str], names: Sequence[str] = NAMES) -> str:
    """Write a row of literals as Looker does."""
    cells = (f'"users.{name}":{{"value":{cell}}}' for name, cell in zip(names, row, strict=True))
    return f"{{{','.join(cells)}}}"


@settings(deadline=None)
@given(rows=rows_of_literals, nulls=st.sampled_from(["omit", "send"]), by_name=st.booleans())
@example(rows=[('"u1"', '"a@b.co"', "7", '"Zoë"', "79.5", "true")], nulls="omit", by_name=True)
@example(rows=[("17850.0", N, N, "1e-400", N, N)], nulls="send", by_name=True)
@example(rows=[('"u1"', '""', N, '"x"', N, N)], nulls="omit", by_name=True)
@example(rows=[('"u1"', '"a@b.co "', N, '"x"', N, N)], nulls="omit", by_name=True)
@example(rows=[('"n/a"', N, N, '"x"', N, N)], nulls="omit", by_name=True)
@example(rows=[("null", '"a@b.co"', "null", '"x"', "null", "null")] * 2, nulls="omit", by_name=True)
@example(rows=[('"u1"', N, N, r'"\u0000"', N, N)], nulls="omit", by_name=True)
@example(
    rows=[('"u1"', "null", "true", "0.1000000000000000055", "1", "null")],
    nulls="omit",
    by_name=False,
)
def test_plain_rows_become_the_same(
    rows: list[tuple[str, ...]], nulls: str, *, by_name: bool
) -> None:
    """Whatever the values, a plain row becomes what it would become cell by cell.

    Rows that are not plain may stand beside others that are, and repeat them.
    """
    pieces = list(map(as_object, rows))
    the_plan = simple_plan(*NAMES, nulls=nulls)
    assert_same(the_plan, pieces, by_name=by_name)
    assert_same(the_plan, pieces * 2, by_name=by_name)


@settings(deadline=None)
@given(
    rows=rows_of_literals,
    unmet=st.sampled_from(["mute", "reject", "warn"]),
    by_name=st.booleans(),
)
@example(rows=[('"u1"', N, N, '"Zoë"', N, N)], unmet="mute", by_name=False)
@example(rows=[('"u1"', N, N, '"Zoë"', N, '"too long"')], unmet="mute", by_name=True)
def test_plain_rows_are_judged_the_same(
    rows: list[tuple[str, ...]], unmet: Any, *, by_name: bool
) -> None:
    """Destinations and a schema of traits say of a plain row what they say of any other."""
    schema = {"properties": {"plan": {"type": ["string", "number"]}, "note": {"maxLength": 5}}}
    assert_same(
        simple_plan(*NAMES, traits_schema=schema),
        [as_text(rows)],
        requirements=Requirements(["braze", "zendesk", "salesforce"], unmet=unmet),
        by_name=by_name,
    )


@pytest.mark.parametrize(
    ("literal", "is_plain"),
    [
        *(('"Zoë"', True), ("7", True), ("79.5", True), ("1e-307", False), ("1.5e-7", True)),
        *(("true", True), ("null", True), ('"u3e-4000"', True), ('"3e-4000"', True)),
        *((r'"\u0000"', False), (r'"\ud800"', False), ("9007199254740992", False)),
        *(("1e-400", False), ("0.1000000000000000055", False), ("1e999", False), ("[]", False)),
        *(('"1234567890123456"', False), ('"123456789012345"', True), ("NaN", False)),
    ],
)
def test_what_is_plain(literal: str, *, is_plain: bool) -> None:
    """Anything that another reader might read differently, or that is no trait, is not plain."""
    rows = PlainRows(simple_plan(*NAMES)).decode(
        as_text([('"u1"', "null", "null", '"Ty"', literal, "null")])
    )
    assert is_plain == (rows is not None)


def test_a_row_has_the_columns_of_its_look() -> None:
    """Looker says in a column of its own that something went wrong; a lacking one is no null."""
    usual = as_text([('"u1"', "null", "null", '"Ty"', "1", "null")])
    assert PlainRows(simple_plan(*NAMES)).decode(usual)
    for odd in (usual[:-1] + ',"looker_error":"broken"}', usual.replace("note", "other")):
        assert PlainRows(simple_plan(*NAMES)).decode(odd) is None
    assert PlainRows(simple_plan(*NAMES, "more")).decode(usual) is None


def test_what_is_odd_too_often_is_not_tried_again() -> None:
    """Whoever has one odd value in each piece does not pay for two attempts at every row."""
    plain = PlainRows(simple_plan(*NAMES))
    usual = as_text([('"u1"', "null", "null", '"Ty"', "1", "null")])
    odd = as_text([('"u1"', "null", "null", '"Ty"', "[]", "null")])
    assert [None] * 10 == [plain.decode(odd) for _ in range(10)]
    assert plain.decode(usual) is None


@pytest.mark.parametrize(
    "choices",
    [
        {"nulls": "reject"},
        {"group_id": "users.plan"},
        {"exclude": [f"users.{name}" for name in NAMES[2:]]},
    ],
)
def test_what_depends_on_more_than_values_is_not_plain(choices: dict[str, Any]) -> None:
    """A group, and rules about missing values, need each cell."""
    assert PlainRows.suits(simple_plan(*NAMES))
    assert not PlainRows.suits(simple_plan(*NAMES, **choices))


@pytest.mark.parametrize("name", ['Size "XL"', "Home\\Office", "Two\nlines", "Tab\tbed", "a\x1fb"])
def test_names_may_hold_what_json_escapes(name: str) -> None:
    """Whoever labels a column with a quote gets its trait like any other."""
    renamed = simple_plan(*NAMES, rename={"users.plan": name})
    assert not PlainRows.suits(renamed)
    assert not PlainRows.suits(simple_plan(*NAMES, name, rename={f"users.{name}": "other"}))
    assert PlainRows(simple_plan(*NAMES, rename={"users.plan": "Größe 'L'\x7f"}))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases_of_the_mapping_come_to_the_same(path: Path) -> None:
    """Every law of the mapping holds for plain rows, too."""
    case = json.loads(path.read_text("utf-8"))
    rows = case.get("rows", [])
    if "error" in case or not PlainRows.suits(the_plan := planned(case)):
        return
    text = rows[1:-1] if isinstance(rows, str) else json.dumps(rows)[1:-1]
    for by_name in (False, True):
        assert_same(the_plan, [text], by_name=by_name)
