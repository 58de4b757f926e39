"""A json_detail document becomes rows while it arrives, or an error of ours; never half of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core import rows as rows_module
from airflow_provider_looker_segment.core.rows import (
    NumberText,
    Row,
    RowStream,
    parse_float,
)
from airflow_provider_looker_segment.exceptions import (
    LookerSegmentError,
    PermanentError,
    TransientError,
)

MARKER = "zq7marker"

DOCUMENT = (
    '{"fields": {"dimensions": [{"name": "users.name"}]}, "drill_menu_build_time": -0.0392e+2,'
    ' "n": 12, "has_totals": false, "ran_at": null,\n "data": [\n'
    '{"users.name": {"value": "\u00c5sa \U0001f600 \\"q\\" \\ud83d\\ude00"}'
    ', "n": {"value": 1.5}},\n'
    '{"users.name": {"value": null}, "n": {"value": 123456789012345678901234567890}} ,'
    '{"users.name": {"value": "x"}, "n": {"value": 0.1000000000000000055}}\n]'
    ', "errors": [], "timezone": "UTC", "last": 1e5 } \n'
).encode()
ROWS = [
    {"users.name": {"value": '\u00c5sa \U0001f600 "q" \U0001f600'}, "n": {"value": 1.5}},
    {"users.name": {"value": None}, "n": {"value": 123456789012345678901234567890}},
    {"users.name": {"value": "x"}, "n": {"value": "0.1000000000000000055"}},
]


def read(*pieces: bytes, content_type: str = "application/json") -> list[Row]:
    """Read a whole document."""
    return list(RowStream(pieces, look="Look 1", content_type=content_type))


def said_of(body: bytes) -> str:
    """What our error says of a document; its subject alone where there is no error."""
    try:
        read(body)
    except LookerSegmentError as error:
        return str(error)
    return "Look 1:"


def document(rows: Any, **rest: Any) -> bytes:
    """A complete json_detail document."""
    return json.dumps({"data": rows, **rest}).encode()


def test_rows_and_rest() -> None:
    """Rows come in Looker's order; every other key is there when the document has ended."""
    stream = RowStream([DOCUMENT], look="Look 1")
    assert ROWS == list(stream)
    assert stream.rest == {
        "fields": {"dimensions": [{"name": "users.name"}]},
        "drill_menu_build_time": -3.92,
        "n": 12,
        "has_totals": False,
        "ran_at": None,
        "errors": [],
        "timezone": "UTC",
        "last": 100000.0,
    }


@given(borders=st.lists(st.integers(0, len(DOCUMENT)), max_size=30))
def test_any_split_gives_the_same(borders: list[int]) -> None:
    """Wherever the pieces of a body end, also within a character or a number, rows are the same."""
    edges = [0, *sorted(borders), len(DOCUMENT)]
    pieces = [DOCUMENT[a:b] for a, b in pairwise(edges)]
    stream = RowStream(pieces, look="Look 1")
    assert ROWS == list(stream)
    assert stream.rest["drill_menu_build_time"] == -3.92
    assert stream.rest["n"] == 12


def test_single_bytes_give_the_same() -> None:
    """A body that drips byte by byte is read like any other."""
    assert ROWS == read(*(bytes([byte]) for byte in DOCUMENT))


@pytest.mark.parametrize("end", range(len(DOCUMENT.rstrip())))
def test_any_truncation_is_noticed(end: int) -> None:
    """A document that is cut anywhere never ends like a complete one, and may be tried again."""
    with pytest.raises(TransientError):
        read(DOCUMENT[:end])


@settings(max_examples=300)
@given(junk=st.binary(max_size=80), at=st.integers(0, len(DOCUMENT)), cut=st.integers(0, 40))
def test_junk_raises_only_our_errors(junk: bytes, at: int, cut: int) -> None:
    """Whatever bytes arrive, rows or one of our errors come of them."""
    for body in (junk, DOCUMENT[:at] + junk + DOCUMENT[at + cut :]):
        assert said_of(body).startswith("Look 1:")


@given(at=st.integers(0, 300), cut=st.integers(0, 3), junk=st.sampled_from([b"", b'"', b"}", b"x"]))
def test_messages_hold_no_value(at: int, cut: int, junk: bytes) -> None:
    """However a document is damaged, no message quotes a cell of it."""
    cell = {"users.name": {"value": f'{MARKER} said "{MARKER}" at {MARKER}'}, "n": {"value": 5}}
    body = document([cell] * 6)
    assert MARKER not in said_of(body[:at] + junk + body[at + cut :])


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", " : ")])
def test_rows_are_read_many_at_once(
    separators: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However Looker sets its blanks, few rows of a piece are parsed alone."""
    rows = [{"users.id": {"value": f"}}, {{ {n}"}, "n": {"value": n / 7}} for n in range(1_000)]
    body = json.dumps({"data": rows}, separators=separators).encode()
    alone: list[Row] = []
    one = RowStream._row

    def counted(stream: RowStream) -> Row:
        alone.append(one(stream))
        return alone[-1]

    monkeypatch.setattr(RowStream, "_row", counted)
    middle = len(body) // 2

    assert rows == read(body[:middle], body[middle:])
    assert len(alone) <= 4


def test_long_cells_are_not_quoted() -> None:
    """A cell that is longer than an excerpt is hidden as well."""
    body = b'{"data": [' + json.dumps({"a": {"value": MARKER * 100}}).encode() + b" oops]}"
    with pytest.raises(PermanentError) as caught:
        read(body)
    assert MARKER not in str(caught.value)


def test_rows_arrive_before_the_end() -> None:
    """A row leaves as soon as it is complete: nothing waits for the end of the body."""

    def pieces() -> Iterator[bytes]:
        yield b'{"data": [{"a": {"value": 1}},'
        raise AssertionError

    assert next(iter(RowStream(pieces(), look="Look 1"))) == {"a": {"value": 1}}


def test_memory_stays_flat() -> None:
    """What has been read is forgotten: the buffer holds no more than a piece and a row."""
    piece = (",".join(['{"a": {"value": 1}}'] * 100) + ",").encode()

    def pieces() -> Iterator[bytes]:
        yield b'{"data": ['
        for _ in range(50):
            yield piece
        yield b'{"a": {"value": 2}}]}'

    stream = RowStream(pieces(), look="Look 1")
    longest = max(len(stream._text) for _ in stream)
    assert longest < 2 * len(piece)


def test_no_rows() -> None:
    """A result without rows is a result."""
    assert read(b'{"data":[],"errors":null}') == []


def test_error_text_among_rows() -> None:
    """Text of the database among the rows fails and is shown, without literals and numbers."""
    body = b'{"data": [{"a": {"value": 1}},\nSQL Error: ERROR: table 806669 dropped by \'Ty\']}'
    with pytest.raises(PermanentError) as caught:
        read(body)
    assert "SQL Error: ERROR: table … dropped by …" in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"data": [{"looker_error": "SQL Error: no \'x\'"}]}', "SQL Error: no …"),
        (b'[{"looker_error": "SQL Error"}]', "answered with an error: SQL Error"),
        (
            b'{"data": [], "errors": [{"message": "Query", "message_details": "failed"}]}',
            "error: Query failed",
        ),
        (b'{"data": [], "errors": "broken"}', "error: broken"),
        (b'{"data": [{"a": {"value": 1}}], "errors": ["timeout"]}', "error: timeout"),
        (b'[{"a": {"value": 1}}]', "should be a json_detail document"),
        (b"[]", "should be a json_detail document"),
        (b"<html>Sign in</html>", "it is an HTML page (content type text/html"),
        (b"oops", "it is something else"),
        (b"{}", "it has no such key"),
        (b'{"rows": []}', "it has no such key"),
        (b'{"data": null}', "should be JSON"),
        (b'{"data": [1]}', "should be JSON"),
        (b'{"data": [],}', "should be JSON"),
        (b'{"data": [{"a": 1},]}', "should be JSON"),
        (b'{"data": [{"a": 1} {"a": 1}]}', "should be JSON"),
        (b'{"data" []}', "should be JSON"),
        (b'{1: 2, "data": []}', "should be JSON"),
        (b'{"data": []} {"data": []}', "should be JSON"),
        (b'{"data": [{"a": "\x01"}' + b" " * 40 + b"]}", "should be JSON"),
        (b'{"data": [{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}]}", "should be JSON"),
        (b'{"data": [{"a": ' + b"9" * 5000 + b"}]}", "should be JSON"),
        ('{"data": [{"a": "\u00e9"}]}'.encode("latin-1"), "should be UTF-8"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_result(body: bytes, said: str) -> None:
    """What is not a complete json_detail document without errors fails for good."""
    with pytest.raises(PermanentError) as caught:
        read(body, content_type="text/html" if body[:1] == b"<" else "")
    assert said in str(caught.value)


@pytest.mark.parametrize("body", [b"", b" \n ", b"\xc3"])
def test_nothing_is_not_zero_rows(body: bytes) -> None:
    """An empty body may be tried again; it is not a result of zero rows."""
    with pytest.raises(TransientError, match="it is empty"):
        read(body)


def test_endless_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value without end fails when it is larger than any row, instead of filling the memory."""
    monkeypatch.setattr(rows_module, "MAX_ROW_CHARS", 1000)

    def pieces() -> Iterator[bytes]:
        yield b'{"data": [{"a": "'
        while True:
            yield b"x" * 100

    with pytest.raises(PermanentError, match="should be JSON"):
        list(RowStream(pieces(), look="Look 1"))


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("79.50", 79.5),
        ("1e3", 1000.0),
        ("-0.0", -0.0),
        ("1e400", float("inf")),
        ("0.1000000000000000055", NumberText("0.1000000000000000055")),
        ("1e-400", NumberText("1e-400")),
        ("1e-99999999999999999999", NumberText("1e-99999999999999999999")),
    ],
)
def test_decimals(literal: str, expected: Any) -> None:
    """A decimal is a double where that loses nothing, else its digits."""
    found = parse_float(literal)
    assert (expected, type(expected)) == (found, type(found))


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_stay_numbers(number: float) -> None:
    """A number that a double holds is never text."""
    assert parse_float(repr(number)) == number
    assert isinstance(parse_float(repr(number)), float)


def test_a_short_fuzz_finds_nothing() -> None:
    """Mutated documents give the standard library's rows or this package's errors."""
    from tests.fuzz_rows import fuzz

    assert fuzz(1.0, seed=7) > 100
