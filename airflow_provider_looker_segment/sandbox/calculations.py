"""Looker's expression language, as far as renaming and simple sums need it, as SQL.

An expression enters, an SQL expression leaves; functions outside the list raise. Table
calculations, custom dimensions and custom filters all come through here.
Source: https://docs.cloud.google.com/looker/docs/creating-looker-expressions
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.filters import quote

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<reference>\$\{\s*[\w.]+\s*\})
    | (?P<number>\d+(?:\.\d+)?|\.\d+)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<word>[A-Za-z_]\w*)
    | (?P<sign><=|>=|!=|<>|[-+*/=<>(),])
    )""",
    re.VERBOSE | re.DOTALL,
)
_COMPARISONS: Final = frozenset(["=", "!=", "<>", "<", ">", "<=", ">="])
_CONSTANTS: Final = {"null": "NULL", "yes": "1", "true": "1", "no": "0", "false": "0"}

_FUNCTIONS: Final[dict[str, tuple[int, int, Callable[..., str]]]] = {
    "concat": (1, 99, lambda *parts: "(" + " || ".join(f"({part})" for part in parts) + ")"),
    "if": (3, 3, lambda test, yes, no: f"CASE WHEN {test} THEN {yes} ELSE {no} END"),
    "is_null": (1, 1, lambda value: f"({value} IS NULL)"),
    "coalesce": (2, 99, lambda *values: f"COALESCE({', '.join(values)})"),
    "upper": (1, 1, lambda text: f"UPPER({text})"),
    "lower": (1, 1, lambda text: f"LOWER({text})"),
    "trim": (1, 1, lambda text: f"TRIM({text})"),
    "length": (1, 1, lambda text: f"LENGTH({text})"),
    "contains": (2, 2, lambda text, part: f"(INSTR({text}, {part}) > 0)"),
    "round": (2, 2, lambda number, places: f"ROUND({number}, {places})"),
    "abs": (1, 1, lambda number: f"ABS({number})"),
    "to_string": (1, 1, lambda value: f"CAST({value} AS TEXT)"),
    "to_number": (1, 1, lambda value: f"looker_number({value})"),
}


def references(expression: str) -> list[str]:
    """Return the names between ``${`` and ``}``, in order."""
    return [name.strip() for name in re.findall(r"\$\{([^}]*)\}", expression)]


def to_sql(expression: str, resolve: Callable[[str], str]) -> str:
    """Translate an expression.

    :param expression: as in ``dynamic_fields`` or ``filter_expression``.
    :param resolve: gives the SQL of ``${name}``; raises if there is no such field.
    :raises PermanentError: when the expression is malformed, or needs what is not simulated.
    """
    return _Parser(expression, resolve).whole()


class _Parser:
    """Recursive descent over one expression: or, and, not, comparison, sum, product, atom."""

    def __init__(self, expression: str, resolve: Callable[[str], str]) -> None:
        self._expression = expression
        self._resolve = resolve
        self._tokens = list(self._scan())
        self._position = 0

    def whole(self) -> str:
        sql = self._either()
        if self._position < len(self._tokens):
            raise self._malformed(f"`{self._tokens[self._position][1]}` is left over")
        return sql

    def _scan(self) -> list[tuple[str, str]]:
        tokens, position, text = [], 0, self._expression.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise self._malformed(f"`{text[position:].strip()[:1]}` is not part of one")
            tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        return tokens

    def _malformed(self, but: str) -> PermanentError:
        return PermanentError(
            "An expression",
            should="use the part of Looker's language that the sandbox knows",
            but=but,
            do=f"It knows fields, arithmetic, comparisons, and/or/not, {', '.join(_FUNCTIONS)}.",
        )

    def _next_is(self, *values: str) -> str:
        """Step over the next token if it is one of these signs or words."""
        if self._position < len(self._tokens):
            kind, text = self._tokens[self._position]
            if kind in ("sign", "word") and text.lower() in values:
                self._position += 1
                return text.lower()
        return ""

    def _expect(self, sign: str) -> None:
        if not self._next_is(sign):
            raise self._malformed(f"`{sign}` is missing")

    def _either(self) -> str:
        sql = self._both()
        while self._next_is("or"):
            sql = f"({sql} OR {self._both()})"
        return sql

    def _both(self) -> str:
        sql = self._negated()
        while self._next_is("and"):
            sql = f"({sql} AND {self._negated()})"
        return sql

    def _negated(self) -> str:
        if self._next_is("not"):
            return f"(NOT {self._negated()})"
        sql = self._sum()
        if sign := self._next_is(*_COMPARISONS):
            sql = f"({sql} {sign} {self._sum()})"
        return sql

    def _sum(self) -> str:
        sql = self._product()
        while sign := self._next_is("+", "-"):
            sql = f"({sql} {sign} {self._product()})"
        return sql

    def _product(self) -> str:
        sql = self._atom()
        while sign := self._next_is("*", "/"):
            right = self._atom()
            # Looker divides to a fraction and gives null for a division by zero.
            sql = f"(CAST({sql} AS REAL) / {right})" if sign == "/" else f"({sql} * {right})"
        return sql

    def _atom(self) -> str:  # noqa: PLR0911 - one return for each kind of atom
        if self._next_is("-"):
            return f"(-{self._atom()})"
        if self._next_is("("):
            sql = self._either()
            self._expect(")")
            return f"({sql})"
        if self._position >= len(self._tokens):
            raise self._malformed("it ends too early")
        kind, text = self._tokens[self._position]
        self._position += 1
        if kind == "reference":
            return self._resolve(text[2:-1].strip())
        if kind == "number":
            return text
        if kind == "text":
            return quote(re.sub(r"\\(.)", r"\1", text[1:-1]))
        if kind == "word" and text.lower() in _CONSTANTS:
            return _CONSTANTS[text.lower()]
        if kind == "word" and text.lower() in _FUNCTIONS:
            return self._call(text.lower())
        raise self._malformed(f"`{text}` is unknown")

    def _call(self, name: str) -> str:
        fewest, most, render = _FUNCTIONS[name]
        self._expect("(")
        arguments = [self._either()]
        while self._next_is(","):
            arguments.append(self._either())
        self._expect(")")
        if not fewest <= len(arguments) <= most:
            raise self._malformed(f"`{name}` has {len(arguments)} arguments")
        return render(*arguments)
