"""Date filters as of a moment: what Looker would have read in them, had the Look run then.

Filter expressions and a moment enter, expressions with absolute dates leave; what has no exact
rewriting is refused by name, never guessed, and what is absolute stays as it is, to the byte.

The present is the last instant before the moment: as of midnight, ``today`` is the day that just
ended. A range that is counted back to the present (``30 days``, ``this month``, ``today``,
``2 days ago for 3 days``) ends at the moment at the latest: a run at that moment saw no later
rows, so a backfill must not either. What the expression itself places beyond the present period
(``next week``, ``3 days from now``, ``today for 7 days``) keeps its whole range, and ``after``
stays open: rows dated in the future, such as renewals, existed for the run at that moment too.

Grammar: https://cloud.google.com/looker/docs/filter-expressions#date_and_time and
https://github.com/looker-open-source/components/tree/main/packages/filter-expressions
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from airflow_provider_looker_segment.core.calendars import (
    UNITS,
    WEEKDAYS,
    Calendar,
    Clock,
    InexactError,
)
from airflow_provider_looker_segment.exceptions import PermanentError

__all__ = ["Calendar", "as_of", "is_relative", "now_functions", "shown"]

_NAMED_DAYS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_THIS_LAST_NEXT = {"last": -1, "this": 0, "next": 1}

_UNIT = "(?:" + "|".join(UNITS) + ")"
_NUMBER = r"[0-9]{1,9}"
_LENGTH = rf"{_NUMBER} {_UNIT}s?"
_POINT = (
    rf"(?:now|{'|'.join((*_NAMED_DAYS, *WEEKDAYS))}|(?:this|last|next) {_UNIT}"
    rf"|{_LENGTH} (?:ago|from now))"
)
_DATE_TIME = (
    r"(?:[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}"
    r"(?: [0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?)"
)
_DATE = (
    rf"(?:{_DATE_TIME}|[0-9]{{4}}[-/]q[1-4]|[0-9]{{4}}[-/][0-9]{{1,2}}|[0-9]{{4}}"
    r"|fy[0-9]{4}(?:-q[1-4])?)"
)
_ABSOLUTE = re.compile(
    rf"(?:not |- ?)?(?:null|{_DATE}(?: to {_DATE}| for {_LENGTH})?|(?:before|after) {_DATE})"
)
_SEEMS_RELATIVE = re.compile(
    rf"\b(?:ago|now|last|this|next|{'|'.join((*_NAMED_DAYS, *WEEKDAYS))}|{_LENGTH})\b"
)

_WORDS = frozenset(
    {*UNITS, *(f"{unit}s" for unit in UNITS), *_NAMED_DAYS, *WEEKDAYS, *_THIS_LAST_NEXT}
    | {"after", "ago", "before", "for", "from", "not", "now", "null", "to"}
)
_DIGITS = re.compile(r"-?(?:fy|q)?[0-9]{1,4}(?:[-/:.][q0-9]{1,5}){0,4}", re.IGNORECASE)

_NOW_FUNCTIONS = frozenset({"now", "today"})
_EXPRESSION_TOKEN = re.compile(
    r"""
    (?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\$\{[^}]*\}|\#[^\n]*)   # strings, fields, comments
    |`(?P<filter>[^`]*)`                                           # matches_filter(field, `…`)
    |(?P<function>[a-z_][a-z_0-9]*)\s*\(
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def as_of(
    filters: Mapping[str, str],
    *,
    calendars: Mapping[str, Calendar],
    moment: datetime,
    timezone: str,
    look: str = "Look",
) -> dict[str, str]:
    """Rewrite the relative dates in filters to the dates they meant at a moment.

    Fractions of the moment's second are left to the next window: Looker's dates have none.

    :param filters: filter expressions by field name.
    :param calendars: the date filters among them and their calendars; others pass unchanged.
    :param moment: the end of the run's window, exclusive, with a timezone.
    :param timezone: IANA name of the query's timezone, in which Looker reads the dates.
    :param look: what an error message calls the Look.
    :return: the filters in their order; ``START to END`` includes its start and not its end.
    :raises PermanentError: when a date filter cannot be rewritten exactly, or the timezone is
        unknown.

    >>> from datetime import UTC, datetime
    >>> as_of(
    ...     {"orders.created_date": "30 days", "users.state": "Oregon"},
    ...     calendars={"orders.created_date": Calendar()},
    ...     moment=datetime(2019, 6, 1, tzinfo=UTC),
    ...     timezone="UTC",
    ... )
    {'orders.created_date': '2019-05-02 to 2019-06-01', 'users.state': 'Oregon'}
    """
    if moment.tzinfo is None:
        raise PermanentError(
            f"{look}: the moment it is run as of",
            should="say its timezone",
            but="it is a wall-clock time without one",
            do="Pass an aware datetime.",
        )
    rewritten = dict(filters)
    for field, expression in filters.items():
        if field not in calendars:
            continue
        try:
            if _is_absolute(expression):
                continue
            clock = Clock(
                moment=moment.astimezone(UTC).replace(microsecond=0),
                zone=_zone(timezone),
                calendar=calendars[field],
            )
            parts = [_rewritten(part, clock) for part in expression.split(",")]
        except InexactError as error:
            raise PermanentError(
                f"{look}, filter `{field}`:",
                should="mean exact dates as of the run's moment",
                but=f"`{shown(expression)}` does not: {error}",
                do="Give the filter of this run with "
                f"filters={{{field!r}: '…'}}, or say as_of=False to leave all dates to Looker.",
            ) from None
        rewritten[field] = ",".join(parts)
    return rewritten


def is_relative(expression: str) -> bool:
    """Tell whether a filter expression may mean other dates at another moment.

    An expression that is no date filter is not relative, unless it speaks of time or holds a
    template, such as a user attribute, whose value is not known here.

    >>> is_relative("2019-05-01, last month"), is_relative("2019"), is_relative("Oregon")
    (True, False, False)
    """
    if "{" in expression:
        return True
    parts = [_normal(part) for part in expression.split(",")]
    return any(not _ABSOLUTE.fullmatch(part) and _SEEMS_RELATIVE.search(part) for part in parts)


def shown(expression: str) -> str:
    """Return a filter expression for people, with ``…`` for every word that no date has.

    >>> shown("2019-05-01 to today"), shown("ty@example.com")
    ('2019-05-01 to today', '…')
    """
    return re.sub(
        r"[^\s,]+",
        lambda found: (
            found[0] if _DIGITS.fullmatch(found[0]) or found[0].lower() in _WORDS else "…"
        ),
        expression,
    )


def now_functions(filter_expression: str) -> tuple[str, ...]:
    """List what in a Look's custom filter depends on when the query runs.

    :param filter_expression: a Looker expression, such as ``${users.created_date} < now()``.
    :return: function names in order, each once; strings, fields and comments are not read.

    Source: https://cloud.google.com/looker/docs/functions-and-operators and
    https://cloud.google.com/looker/docs/matches-filter

    >>> now_functions("matches_filter(${users.created_date}, `30 days`) AND ${users.x} < now()")
    ('matches_filter', 'now')
    """
    found: dict[str, None] = {}
    for token in _EXPRESSION_TOKEN.finditer(filter_expression):
        function = (token["function"] or "").lower()
        if function in _NOW_FUNCTIONS:
            found[function] = None
        elif token["filter"] and is_relative(token["filter"]):
            found["matches_filter"] = None
    return tuple(found)


def _normal(part: str) -> str:
    return " ".join(part.lower().split())


def _is_absolute(expression: str) -> bool:
    if "{" in expression:
        raise InexactError("it holds a template, such as a user attribute, known to Looker only")
    return not expression.strip() or all(
        _ABSOLUTE.fullmatch(_normal(part)) for part in expression.split(",")
    )


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise InexactError(
            f"the query's timezone `{timezone}` is not in the IANA database"
        ) from None


def _rewritten(part: str, clock: Clock) -> str:
    text = _normal(part)
    if _ABSOLUTE.fullmatch(text):
        return part
    for form, rewrite in _RELATIVE_FORMS.items():
        match = form.fullmatch(text)
        if match:
            blanks = len(part) - len(part.lstrip()), len(part.rstrip())
            return part[: blanks[0]] + rewrite(match, clock) + part[blanks[1] :]
    raise InexactError(
        f"`{shown(part.strip())}` is none of the date expressions that Looker documents a "
        "meaning for"
    )


def _counted_back(match: re.Match[str], clock: Clock) -> str:
    count, unit = _length(match["count"], match["unit"])
    first = -count if match["complete"] else 1 - count
    return clock.span(clock.begin(unit, first), count, unit, counted_in=unit)


def _period(match: re.Match[str], clock: Clock) -> str:
    start, counted_in = _point(match["point"], clock)
    if counted_in is None:
        raise InexactError("`now` has no length; say `1 second`, `today` or `before now`")
    count, unit = _length(match["count"], match["unit"]) if match["unit"] else (1, counted_in)
    return clock.span(start, count, unit, counted_in=counted_in)


def _open_ended(match: re.Match[str], clock: Clock) -> str:
    return f"{match['side']} {clock.text(_point(match['point'], clock)[0])}"


def _between(match: re.Match[str], clock: Clock) -> str:
    return clock.between(_end(match["start"], clock), _end(match["end"], clock))


def _period_to_date(match: re.Match[str], clock: Clock) -> str:
    # The current second is Looker's way to say "now", and now ends at the moment.
    end = clock.end if match["finer"] == "second" else clock.begin(match["finer"])
    return clock.between(clock.begin(match["unit"]), end)


def _length(count: str, unit: str) -> tuple[int, str]:
    if int(count) == 0:
        raise InexactError(f"a length of 0 {unit}s holds no rows")
    return int(count), unit


def _end(text: str, clock: Clock) -> datetime:
    if not re.fullmatch(_DATE_TIME, text):
        return _point(text, clock)[0]
    try:
        return datetime.fromisoformat(text.replace("/", "-"))
    except ValueError as error:
        raise InexactError(f"`{text}` is no date of the calendar") from error


def _point(text: str, clock: Clock) -> tuple[datetime, str | None]:
    """Find where the period that ``text`` names begins, and the unit it is counted in."""
    words = text.split()
    if text == "now":
        return clock.end, None
    if text in _NAMED_DAYS:
        return clock.begin("day", _NAMED_DAYS[text]), "day"
    if text in WEEKDAYS:
        return clock.weekday(text), "day"
    if words[0] in _THIS_LAST_NEXT:
        unit = " ".join(words[1:])
        return clock.begin(unit, _THIS_LAST_NEXT[words[0]]), unit
    count = int(words[0])
    ago = words[-1] == "ago"
    unit = " ".join(words[1 : -1 if ago else -2]).removesuffix("s")
    return clock.begin(unit, -count if ago else count), unit


_RELATIVE_FORMS: Mapping[re.Pattern[str], Callable[[re.Match[str], Clock], str]] = {
    re.compile(
        rf"(?:last )?(?P<count>{_NUMBER})(?P<complete> complete| full)? (?P<unit>{_UNIT})s?"
    ): _counted_back,
    re.compile(rf"(?P<point>{_POINT})(?: for (?P<count>{_NUMBER}) (?P<unit>{_UNIT})s?)?"): _period,
    re.compile(rf"(?P<side>before|after) (?P<point>{_POINT})"): _open_ended,
    re.compile(rf"(?P<start>{_POINT}|{_DATE_TIME}) to (?P<end>{_POINT}|{_DATE_TIME})"): _between,
    re.compile(rf"this (?P<unit>{_UNIT}) to (?P<finer>{_UNIT})"): _period_to_date,
}
