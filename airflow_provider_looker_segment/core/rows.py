"""A ``json_detail`` document becomes rows while it arrives.

Bytes enter, rows leave (column name → cell), then :attr:`RowStream.rest` holds the other keys.
A document that is cut, is not JSON, or reports an error never ends like a complete one.
Source: https://cloud.google.com/looker/docs/reference/looker-api/latest/methods/Query/run_query
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any, NoReturn

from airflow_provider_looker_segment.core.limits import MAX_ROW_CHARS
from airflow_provider_looker_segment.core.wording import without_values
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

Row = dict[str, Any]

_BLANKS = " \t\n\r"
_LONGEST_LITERAL = 16
_KNOWN_KEYS = frozenset({"data", "errors", "fields", "status"})
_UNFINISHED_STATUSES = frozenset({"added", "running", "error", "failure", "killed", "expired"})
"""Statuses of a query whose rows are not all there."""

_LONGEST_BORDER = 16
_NUMBER = re.compile(r"-?[\d.eE+-]*")
_JSON = re.compile(r'\{|\]\s*[,}]|"\s*[:,}\]]')


class NumberText(str):
    """A number that a double cannot hold, kept as the digits Looker sent."""

    __slots__ = ()


def parse_float(literal: str) -> float | NumberText:
    """Keep a decimal as a float where that loses nothing, else as its digits.

    >>> parse_float("79.5"), parse_float("0.1000000000000000055")
    (79.5, '0.1000000000000000055')
    """
    number = float(literal)
    shortest = repr(number)
    if shortest == literal or isinf(number):
        return number
    try:
        is_exact = Decimal(shortest) == Decimal(literal)
    except InvalidOperation:
        is_exact = False
    return number if is_exact else NumberText(literal)


def _decoder_of_many_rows() -> Callable[[str], list[Row]]:
    """Return a parser that agrees with the standard library's, or refuses; several times as fast.

    It refuses with a ``ValueError`` what only the standard library takes: ``NaN``, halves of
    characters, and anything that is not an object.
    """
    import msgspec  # noqa: PLC0415 - nobody needs it to parse a DAG file

    return msgspec.json.Decoder(list[dict[str, Any]], float_hook=parse_float).decode


class RowStream:
    """Rows of one document, in the order in which Looker sent them.

    :param chunks: the body, in pieces of any size.
    :param look: how messages name the Look.
    :param content_type: the answer's content type, for the message about an answer of another kind.
    :param names: words of the query, in small letters, which messages about an error may repeat.
    :param plain: parses many rows into something else than :data:`Row`, or into nothing.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        *,
        look: str,
        content_type: str = "",
        names: AbstractSet[str] = frozenset(),
        plain: Callable[[str], list[Any] | None] | None = None,
    ) -> None:
        self.rest: dict[str, Any] = {}
        self._chunks = iter(chunks)
        self._look = look
        self._content_type = content_type
        self._names = names
        self._decoder = json.JSONDecoder(parse_float=parse_float)
        self._plain = plain
        self._many = _decoder_of_many_rows()
        self._border = ""
        self._may_take_many = False
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._ended = False
        self._is_empty = True

    def __iter__(self) -> Iterator[Any]:
        """Read the document to its very end; only then is it known to be complete.

        :raises TransientError: when the document ends too early.
        :raises PermanentError: when it is not a ``json_detail`` document, or reports an error.
        """
        opening = self._next_character()
        if opening == "[":
            self._refuse_array()
        if opening != "{":
            self._refuse_other_kind(opening)
        self._at += 1
        seen_data = False
        closing = self._next_character()
        while closing != "}":
            if closing != '"':
                self._malformed()
            key = self._value()
            self._expect(":")
            if key == "data":
                if seen_data:
                    self._refuse_repeated(key)
                seen_data = True
                yield from self._rows()
            else:
                if key in self.rest:
                    self._refuse_repeated(key)
                self.rest[key] = self._value()
            closing = self._separator("}")
        self._at += 1
        self._refuse_trailing_text()
        self._refuse_errors()
        if not seen_data:
            raise PermanentError(
                f"{self._look}: the result",
                should="hold its rows under the key `data`",
                but="it has no such key",
                do="Run the Look in Looker to see what it answers.",
            )

    def _rows(self) -> Iterator[Any]:
        self._expect("[")
        closing = self._next_character()
        while closing != "]":
            if closing != "{":
                self._malformed()
            for row in self._many_rows() or (self._row(),):
                if type(row) is dict and "looker_error" in row:
                    self._refuse_looker_error(row["looker_error"])
                yield row
            closing = self._separator("]")
        self._at += 1

    def _row(self) -> Row:
        """Parse one row, and note what stands between it and the next one."""
        row: Row = self._value()
        end = self._at
        between = self._text[end : end + _LONGEST_BORDER].partition("{")
        if between[1] and not between[0].strip(_BLANKS + ","):
            self._border = self._text[max(0, end - 2) : end] + between[0] + "{"
        return row

    def _many_rows(self) -> list[Any]:
        """Parse all whole rows that are here at once, or none.

        What parses as a list of objects up to the end of one is the same rows one by one, for a
        parser reads from the left. Where it does not, in whatever way, :meth:`_row` decides.
        """
        if not self._may_take_many or not self._border:
            return []
        self._may_take_many = False
        end = self._text.rfind(self._border, self._at)
        if end < 0:
            return []
        # Blanks and the comma belong to the separator.
        end += 2
        text = self._text[self._at : end]
        rows: list[Any] | None = self._plain(text) if self._plain else None
        try:
            rows = self._many(f"[{text}]") if rows is None else rows
        except (ValueError, RecursionError):
            return []
        self._at = end
        return rows

    def _separator(self, closing: str) -> str:
        """Move past a comma to what follows it, or stop before ``closing``."""
        character = self._next_character()
        if character == ",":
            self._at += 1
            following = self._next_character()
            if following == closing:
                self._malformed()
            return following
        if character != closing:
            self._malformed()
        return character

    def _expect(self, character: str) -> None:
        if self._next_character() != character:
            self._malformed()
        self._at += 1

    def _next_character(self) -> str:
        """Return the next character that is not blank, without moving past it."""
        while True:
            text, at = self._text, self._at
            length = len(text)
            while at < length and text[at] in _BLANKS:
                at += 1
            self._at = at
            if at < length:
                return text[at]
            if not self._more():
                self._cut()

    def _value(self) -> Any:
        """Parse one complete value, reading on while it is not complete."""
        self._next_character()
        while True:
            start = self._at
            try:
                value, self._at = self._decoder.raw_decode(self._text, start)
            except json.JSONDecodeError as error:
                left = len(self._text) - self._at
                unfinished = error.msg.startswith("Unterminated string") or (
                    error.pos >= len(self._text) - _LONGEST_LITERAL
                )
                if not unfinished or left > MAX_ROW_CHARS:
                    self._malformed()
                # Reading as much again keeps a huge value linear instead of quadratic.
                self._read_at_least(max(left, 1))
            except (RecursionError, ValueError):
                # Too deep, or an integer with more digits than Python reads.
                self._malformed()
            else:
                if isinstance(value, dict) or not _NUMBER.fullmatch(self._text, start):
                    return value
                # A number may go on in the next piece.
                self._at = start
                if not self._more():
                    self._cut()

    def _read_at_least(self, chars: int) -> None:
        wanted = len(self._text) - self._at + chars
        if not self._more():
            self._cut()
        while len(self._text) - self._at < wanted and self._more():
            pass

    def _more(self) -> bool:
        """Append the next piece of the body; return whether there was one."""
        if self._ended:
            return False
        try:
            piece = next(self._chunks, None)
            if piece is None:
                self._ended = True
                added = self._utf8.decode(b"", final=True)
            else:
                added = self._utf8.decode(piece)
        except UnicodeDecodeError:
            added = None
        if added is None:
            # Not within the handler, whose error holds the bytes.
            self._refuse_encoding()
        self._is_empty = self._is_empty and not added.strip()
        self._text = self._text[self._at :] + added
        self._at = 0
        self._may_take_many = True
        return not self._ended

    def _refuse_encoding(self) -> NoReturn:
        if self._ended:
            self._cut()
        raise PermanentError(
            f"{self._look}: the result",
            should="be UTF-8",
            but="it holds bytes that are not",
            do="Check the encoding of the database connection in Looker.",
        )

    def _cut(self) -> NoReturn:
        but = "it is empty" if self._is_empty else "it ends before its last row"
        raise TransientError(
            f"{self._look}: the result",
            should="be a complete document",
            but=but,
            do="Nothing of it was sent; the run can be tried again.",
        )

    def _malformed(self) -> NoReturn:
        excerpt = self._excerpt(200)
        raise PermanentError(
            f"{self._look}: the result",
            should="be JSON from the first byte to the last",
            but=f"it goes on with: {excerpt}" if excerpt else "it is not",
            do="Nothing of it was sent. Run the Look in Looker: such text is usually an error "
            "of the database.",
        )

    def _refuse_other_kind(self, opening: str) -> NoReturn:
        kind = "an HTML page" if opening == "<" else "something else"
        raise PermanentError(
            f"{self._look}: the answer",
            should="be a json_detail document",
            but=f"it is {kind} (content type {self._content_type or 'not given'}, beginning with: "
            f"{self._excerpt(80) or 'JSON'})",
            do="Check that the connection's host is the Looker API itself, "
            "not a sign-in page or a proxy.",
        )

    def _refuse_array(self) -> NoReturn:
        self._at += 1
        if self._next_character() == "{":
            row = self._value()
            if "looker_error" in row:
                self._refuse_looker_error(row["looker_error"])
        self._refuse_other_kind("[")

    def _refuse_looker_error(self, said: Any) -> NoReturn:
        raise PermanentError(
            f"{self._look}: the query",
            should="return rows",
            but=f"Looker answered with an error: {without_values(str(said), names=self._names)}",
            do="Nothing was sent. Run the Look in Looker and mend what it complains about.",
        )

    def _excerpt(self, max_chars: int) -> str:
        """Show the words of a database or of a proxy; broken JSON is not shown, it holds values."""
        text = self._text[self._at : self._at + max_chars].lstrip(_BLANKS)
        if not text[:1].isalpha() and text[:1] != "<":
            return ""
        return without_values(_JSON.split(text, maxsplit=1)[0], names=self._names)

    def _refuse_errors(self) -> None:
        rest = self.rest
        # `message` and `error` are what Looker's API and what stands before it answer instead of a
        # result; beside one they still say that something went wrong.
        said_so = (rest.get(key) for key in ("errors", "looker_error", "message", "error"))
        errors = next((said for said in said_so if said), None)
        if errors is None and str(rest.get("status")) in _UNFINISHED_STATUSES:
            errors = f"its status is {rest['status']}"
        if errors is None:
            return
        first = errors[0] if isinstance(errors, list) else errors
        said = first
        if isinstance(first, dict):
            parts = (first.get("message"), first.get("message_details"))
            said = " ".join(str(part) for part in parts if part)
        self._refuse_looker_error(said)

    def _refuse_repeated(self, key: str) -> NoReturn:
        # Parsers disagree about which of the two counts, so neither does.
        raise PermanentError(
            f"{self._look}: the result",
            should="hold each of its keys once",
            but=f"it holds {key if key in _KNOWN_KEYS else 'a key'!r} twice",
            do="Nothing of it was sent. Check what stands between this worker and Looker.",
        )

    def _refuse_trailing_text(self) -> None:
        while True:
            left = self._text[self._at :].lstrip(_BLANKS)
            self._at = len(self._text) - len(left)
            if left:
                self._malformed()
            if not self._more():
                return
