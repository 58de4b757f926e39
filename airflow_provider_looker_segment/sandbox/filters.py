"""Looker's filter expressions: an expression enters, an SQL condition leaves.

Written apart from the product's own reading of the same grammar on purpose: a stand-in that shared
its parser would hide its mistakes. What is not understood raises, it is never dropped.
Source: https://docs.cloud.google.com/looker/docs/filter-expressions
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.date_filters import Calendar, Span, read_span

_NUMBER: Final = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"
_COMPARISON: Final = re.compile(rf"(<>|!=|<=|>=|<|>|=)\s*({_NUMBER})", re.IGNORECASE)
_INTERVAL: Final = re.compile(
    rf"([(\[])\s*(-?inf|{_NUMBER})?\s*,\s*(inf|{_NUMBER})?\s*([)\]])", re.IGNORECASE
)
_RANGE: Final = re.compile(rf"({_NUMBER})?\s*\bto\b\s*({_NUMBER})?", re.IGNORECASE)
_NEGATION: Final = re.compile(r"(?:not\b|<>|!=)\s*(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Clock:
    """The moment and the timezones in which filters are understood.

    :param now: aware.
    :param timezone: IANA name, of the query.
    :param database_timezone: IANA name, of the stored values.
    """

    now: datetime
    timezone: str = "UTC"
    database_timezone: str = "UTC"
    week_start_day: int = 0
    fiscal_month_offset: int = 0

    @property
    def calendar(self) -> Calendar:
        """What relative expressions are relative to."""
        local = self.now.astimezone(ZoneInfo(self.timezone)).replace(tzinfo=None)
        return Calendar(local, self.week_start_day, self.fiscal_month_offset)


def condition(
    kind: Literal["string", "number", "yesno", "date"],
    sql: str,
    expression: str,
    clock: Clock,
    *,
    convert_tz: bool = True,
    case_sensitive: bool = True,
) -> str:
    """Translate a filter expression into an SQL condition.

    :param kind: which grammar the expression follows.
    :param sql: the expression of the filtered field; for dates, in the database's timezone.
    :param expression: as in a query's ``filters``; blank means any value.
    :param convert_tz: whether the query's timezone shifts the field's values.
    :return: SQL that is never NULL.
    :raises PermanentError: when the expression is not understood.
    """
    if not expression.strip():
        return "1"
    sql = f"({sql})"
    if kind == "date":
        return _dates(sql, expression, clock, convert_tz=convert_tz)
    if kind == "number":
        return _numbers(sql, expression)
    if kind == "yesno":
        return _yesno(sql, expression)
    return _strings(sql, expression, case_sensitive=case_sensitive)


def quote(text: str) -> str:
    """Return text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _combine(positive: list[str], negative: list[str]) -> str:
    """Any of the positive terms, and all of the negative ones."""
    parts = [f"({' OR '.join(positive)})"] if positive else []
    return f"({' AND '.join([*parts, *negative])})"


def _not_understood(what: str, expression: str) -> PermanentError:
    return PermanentError(
        f"A {what} filter",
        should="be a filter expression of Looker's",
        but=f"`{expression.strip()}` is none",
        do="See https://docs.cloud.google.com/looker/docs/filter-expressions.",
    )


def _dates(sql: str, expression: str, clock: Clock, *, convert_tz: bool) -> str:
    positive: list[str] = []
    negative: list[str] = []
    terms = [term.strip() for term in expression.split(",") if term.strip()]
    if not terms:
        raise _not_understood("date", expression)
    for term in terms:
        if term.lower() in ("not null", "-null"):
            negative.append(f"{sql} IS NOT NULL")
        elif term.lower() == "null":
            positive.append(f"{sql} IS NULL")
        else:
            span = read_span(term, clock.calendar)
            positive.append(_in_span(sql, span, clock, convert_tz=convert_tz))
    return _combine(positive, negative)


def _in_span(sql: str, span: Span, clock: Clock, *, convert_tz: bool) -> str:
    # A stored date counts as its midnight; what SQLite can't read as a date must not pass unseen.
    moment = f"COALESCE(datetime({sql}), looker_moment({sql}))"
    parts = [f"{sql} IS NOT NULL"]
    for sign, bound in ((">=", span.start), ("<", span.end)):
        if bound is not None:
            parts.append(f"{moment} {sign} {_bound(bound, clock, convert_tz=convert_tz)}")
    return f"({' AND '.join(parts)})"


def _bound(bound: datetime, clock: Clock, *, convert_tz: bool) -> str:
    if convert_tz:
        local = bound.replace(tzinfo=ZoneInfo(clock.timezone))
        bound = local.astimezone(ZoneInfo(clock.database_timezone))
    return quote(bound.strftime("%Y-%m-%d %H:%M:%S"))


def _yesno(sql: str, expression: str) -> str:
    found = []
    for term in expression.split(","):
        word = term.strip().lower()
        if word in ("yes", "true"):
            found.append(f"COALESCE({sql}, 0)")
        elif word in ("no", "false"):
            found.append(f"NOT COALESCE({sql}, 0)")
        else:
            raise _not_understood("yes/no", expression)
    return _combine(found, [])


def _strings(sql: str, expression: str, *, case_sensitive: bool) -> str:
    collate = "" if case_sensitive else " COLLATE NOCASE"
    positive: list[str] = []
    negative: list[str] = []
    for pattern, negated, quoted in _string_terms(expression):
        word = "" if quoted else pattern.upper()
        if word == "NULL":
            test = f"{sql} IS NULL"
        elif word == "EMPTY":
            test = f"({sql} IS NULL OR {sql} = '')"
        elif re.search(r"(?<!\^)(?:\^\^)*[%_]", pattern):
            test = f"COALESCE({sql} LIKE {quote(pattern)} ESCAPE '^', 0)"
        else:
            literal = re.sub(r"\^(.)", r"\1", pattern)
            test = f"COALESCE({sql} = {quote(literal)}{collate}, 0)"
        (negative if negated else positive).append(f"NOT {test}" if negated else test)
    if not positive and not negative:
        raise _not_understood("text", expression)
    return _combine(positive, negative)


def _string_terms(expression: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield (pattern with ``^`` escapes, negated, quoted) for each term of a comma list."""
    term = re.compile(
        r"\s*(?P<minus>-)?\s*(?:\"(?P<quoted>(?:\^.|\"\"|[^\"^])*)\""
        r"|(?P<bare>(?!-?\s*\")(?:[\^\\].|[^,\\])*?))"
        r"\s*(?:,|$)",
        re.DOTALL,
    )
    position = 0
    while position < len(expression):
        match = term.match(expression, position)
        if match is None:
            raise _not_understood("text", expression)
        position = match.end()
        if match["quoted"] is not None:
            yield match["quoted"].replace('""', '"'), bool(match["minus"]), True
        elif match["bare"]:
            yield re.sub(r"\\(.)", r"^\1", match["bare"]), bool(match["minus"]), False
        elif match["minus"]:
            yield "-", False, False


def _numbers(sql: str, expression: str) -> str:
    terms = [
        part
        for term in re.split(r",(?![^(\[]*[)\]])", expression)
        for part in re.split(r"\bor\b", term, flags=re.IGNORECASE)
    ]
    tests = [_number_test(sql, term, expression) for term in terms]
    if tests[0][1] and not any(negated for _, negated in tests[1:]):
        # `NOT 66, 99, 4`: a NOT that only the first term has counts for all of them.
        tests = [(test, True) for test, _ in tests]
    positive = [test for test, negated in tests if not negated]
    return _combine(positive, [f"NOT {test}" for test, negated in tests if negated])


def _number_test(sql: str, term: str, expression: str) -> tuple[str, bool]:
    text = term.strip()
    match = _NEGATION.fullmatch(text)
    if match is not None:
        return _number_test(sql, match[1], expression)[0], True
    if text.lower() == "null":
        return f"({sql} IS NULL)", False
    parts = re.split(r"\band\b", text, flags=re.IGNORECASE)
    tests = [_bounds(part.strip()) for part in parts]
    if not all(tests) or (len(parts) > 1 and not all(map(_is_comparison, parts))):
        raise _not_understood("number", expression)
    joined = " AND ".join(f"{sql} {test}" for bounds in tests for test in bounds)
    return f"COALESCE({joined}, 0)", False


def _is_comparison(part: str) -> bool:
    return _COMPARISON.fullmatch(part.strip()) is not None


def _bounds(text: str) -> list[str]:
    """Read one number, comparison or interval as comparisons that must all hold."""
    if re.fullmatch(_NUMBER, text, re.IGNORECASE):
        return [f"= {text}"]
    if (match := _COMPARISON.fullmatch(text)) is not None:
        return [f"{match[1]} {match[2]}"]
    if (match := _RANGE.fullmatch(text)) is not None and (match[1] or match[2]):
        return [f"{sign} {end}" for sign, end in ((">=", match[1]), ("<=", match[2])) if end]
    if (match := _INTERVAL.fullmatch(text)) is not None:
        low, high = (end if end and "inf" not in end.lower() else "" for end in match.groups()[1:3])
        signs = (">=" if match[1] == "[" else ">", "<=" if match[4] == "]" else "<")
        return [f"{sign} {end}" for sign, end in zip(signs, (low, high), strict=True) if end] or [
            "IS NOT NULL"
        ]
    return []
