"""Why rows were left out, added up without ever holding a value.

Codes, columns and row numbers enter; counts with the first row numbers leave.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

MAX_ROW_NUMBERS = 10
"""Row numbers kept for each kind of problem: enough to find it, few enough for a report."""

MEANINGS: dict[str, str] = {
    "array_value": "the cell is a list; Segment takes strings and numbers",
    "conflicting_duplicate": "an earlier row says something else about the same user",
    "email_invalid": "the cell is no e-mail address",
    "email_not_text": "the e-mail address is not text",
    "email_only": "the row has an e-mail address but no id, and email_only is `reject`",
    "email_unsendable_text": "the e-mail address holds NUL or half a character",
    "id_blocked": "the id is a word that stands for nobody, such as `null` or `0`",
    "id_boolean": "the id is true or false",
    "id_fraction": "the id is a number with a fraction",
    "id_missing": "the row has no id and no e-mail address",
    "id_not_finite": "the id is not a finite number",
    "id_not_text": "the id is a list or an object",
    "id_unsendable_text": "the id holds NUL or half a character",
    "message_too_large": "the message is larger than Segment's 32 KB",
    "nested_value": "the cell is an object; Segment takes strings and numbers",
    "not_finite": "the cell is NaN or infinite",
    "null_value": "the cell is null, and nulls is `reject`",
    "refused_by_segment": "Segment refused the message by itself",
    "reserved_trait_type": "Segment fixes the type of this trait, and the cell has another",
    "too_many_traits": "the message has more than 300 traits",
    "traits_schema": "the traits do not meet traits_schema",
    "unmet_destination": "a chosen destination cannot take the message, and unmet is `reject`",
    "unsendable_text": "the cell holds NUL or half a character",
}
"""Every code with its meaning, as reports and documentation show it."""

REMEDIES: dict[str, str] = {
    "array_value": 'Say `arrays="join"` to send the list as text, or exclude the column.',
    "conflicting_duplicate": "Make the Look return one row for each user.",
    "email_invalid": "Clean the address in the query, or add a column with an id.",
    "email_not_text": "Choose another column for the e-mail address.",
    "email_only": 'Add a column with an id, or leave `email_only` at `"anonymous_id"`.',
    "email_unsendable_text": "Clean the address in the query.",
    "id_blocked": "Filter such rows out of the Look.",
    "id_boolean": "Choose another column for the id.",
    "id_fraction": "Choose another column for the id, or cast it in LookML.",
    "id_missing": "Filter such rows out of the Look, or add a column with an e-mail address.",
    "id_not_finite": "Mend the query.",
    "id_not_text": "Choose another column for the id.",
    "id_unsendable_text": "Clean the id in the query.",
    "message_too_large": "Exclude long columns, or shorten them in the query.",
    "nested_value": "Exclude the column, or take the part you need out of it in LookML.",
    "not_finite": "Mend the calculation behind the column, for example a division by zero.",
    "null_value": 'Fill the gap in the query, or say `nulls="omit"`.',
    "refused_by_segment": "Compare the row with the others: Segment does not say what is wrong.",
    "reserved_trait_type": "Rename the trait, or change the column's type in LookML.",
    "too_many_traits": "Exclude columns, or pivot by a column with fewer values.",
    "traits_schema": "The report names the path and the rule; mend the Look or the schema.",
    "unmet_destination": "Add what the destination needs, or leave the destination out.",
    "unsendable_text": "Clean the text in the query.",
}
"""What helps against each problem, by its code."""


class RejectedRow(Exception):  # noqa: N818 - it names a row, not a failure of the program
    """A row that becomes no message."""

    def __init__(self, code: str, column: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.column = column


@dataclass(slots=True)
class Problem:
    """Rows that were left out for one reason.

    :param column: the column, trait or path it is about; empty for the row as a whole.
    :param rows: the first row numbers, counted from 1 in the order Looker sent them.
    """

    code: str
    column: str = ""
    count: int = 0
    rows: list[int] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the problem as plain JSON."""
        return {
            "code": self.code,
            "column": self.column,
            "count": self.count,
            "rows": list(self.rows),
        }


class Problems:
    """All problems of a run, by code and column. They add."""

    def __init__(self, known: Iterable[dict[str, Any]] = ()) -> None:
        self._by_reason: dict[tuple[str, str], Problem] = {}
        for entry in known:
            problem = Problem(**{**entry, "rows": list(entry["rows"])})
            self._by_reason[problem.code, problem.column] = problem

    def add(self, code: str, column: str, row_number: int) -> None:
        """Count one row; the order of the rows makes no difference."""
        problem = self._by_reason.get((code, column))
        if problem is None:
            problem = self._by_reason[code, column] = Problem(code, column)
        problem.count += 1
        if len(problem.rows) < MAX_ROW_NUMBERS or row_number < problem.rows[-1]:
            insort(problem.rows, row_number)
            del problem.rows[MAX_ROW_NUMBERS:]

    def __iadd__(self, other: Problems) -> Self:
        for reason, problem in other._by_reason.items():
            mine = self._by_reason.setdefault(reason, Problem(*reason))
            mine.count += problem.count
            mine.rows = sorted({*mine.rows, *problem.rows})[:MAX_ROW_NUMBERS]
        return self

    @property
    def count(self) -> int:
        """Rows with a problem."""
        return sum(problem.count for problem in self._by_reason.values())

    def __iter__(self) -> Iterator[Problem]:
        found = self._by_reason.values()
        return iter(sorted(found, key=lambda one: (-one.count, one.code, one.column)))

    def as_list(self) -> list[dict[str, Any]]:
        """Return the problems as plain JSON, the most frequent first."""
        return [problem.as_dict() for problem in self]
