"""When a run stops before anything is sent.

A tally enters; nothing leaves, or a :class:`GuardError` with the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

from airflow_provider_looker_segment.core.configuration import check
from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.exceptions import GuardError, PermanentError

NOTHING_SENT = "Nothing was sent."
"""Stands between what a guard found and what to do about it."""

_MANY_REPEATS = 10
"""Identical rows that no longer look like the repeats of a join, if there are no others."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """What a run would send, and what is known of the runs before it.

    :param messages: all that it would send.
    :param leavers: messages that tell who left, those among what is sent again included.
    :param users_in: users whom Segment was last told to be in the Look.
    :param last_rows: rows of the last green run; ``None`` where there was none.
    """

    messages: int
    leavers: int = 0
    users_in: int = 0
    last_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits that a run must keep, or it sends nothing.

    :param max_rejected: share of rows (0 to 1) that may be no message.
    :param max_unmet: share of messages (0 to 1) that one chosen destination cannot take.
    :param min_rows: rows the Look must return.
    :param max_change: by which share (0 to 1, or more) the rows may be more or fewer than those
        of the last green run; ``None`` is any.
    :param max_leavers: share of the users in the cohort (0 to 1) who may leave it at once.
    :param max_messages: messages a run may send; ``None`` is any number.
    """

    max_rejected: float = 0.01
    max_unmet: float = 0.5
    min_rows: int = 0
    max_change: float | None = None
    max_leavers: float = 0.2
    max_messages: int | None = None

    @classmethod
    def of(cls, said: Guards | Mapping[str, Any] | None) -> Guards:
        """Read guards from what a user wrote.

        :raises PermanentError: when a key is unknown or a value is out of its range.
        """
        if said is None:
            return cls()
        given = asdict(said) if isinstance(said, cls) else dict(said)  # type: ignore[arg-type]
        settings = {name: value for name, value in given.items() if value is not None}
        check(settings, schema="guards", where="guards")
        for name, value in settings.items():
            if isinstance(value, float) and isnan(value):
                # No number is above it, and no schema refuses it.
                raise PermanentError(
                    f"guards.{name}",
                    should="be a number",
                    but="it is NaN, which would stop nothing",
                    do="Mend this value.",
                )
        return cls(**settings)

    def check(self, tally: Tally, *, look: str, cohort: Cohort | None = None) -> None:
        """Stop a run whose rows break a guard.

        :param cohort: what is known of the runs before, where anything is.
        :raises GuardError: naming the guard, its limit and what was found.
        :raises PermanentError: when all rows are about one user.
        """
        cohort = cohort or Cohort(messages=tally.messages)
        if tally.rows < self.min_rows:
            raise _stopped(
                f"{look}: its rows",
                should=f"be at least {self.min_rows:,} (guards.min_rows)",
                but=f"they are {tally.rows:,}",
                do="See in Looker whether the Look's filters or its data are at fault.",
            )
        # A quotient, for 0.29 * 100 is less than 29.
        if tally.rows and tally.rejected / tally.rows > self.max_rejected:
            reasons = "; ".join(
                f"{counted(problem.count, 'row')} {problem.code}"
                + (f" in `{problem.column}`" if problem.column else "")
                + f" (first rows {', '.join(map(str, problem.rows[:3]))})"
                for problem in list(tally.problems)[:5]
            )
            raise _stopped(
                f"{look}: its rows that are no message",
                should=f"be at most {self.max_rejected:.2%} of {tally.rows:,} "
                "(guards.max_rejected)",
                but=f"they are {tally.rejected:,}: {reasons}",
                do="Mend the Look, change the mapping, or raise the guard.",
            )
        if tally.messages + tally.unsendable == 1 and tally.duplicates >= _MANY_REPEATS:
            # Nobody could want to send this, so nobody is asked to approve it.
            raise PermanentError(
                f"{look}: its rows",
                should="be about several users",
                but=f"{tally.duplicates + 1:,} of {tally.rows:,} say the same about one, and no "
                "other row is a message",
                do="Nothing was sent. See whether Looker masks the id for this API user.",
            )
        for name, counts in tally.verdicts.as_dict().items():
            judged = counts["met"] + counts["doubtful"] + counts["unmet"]
            if judged and counts["unmet"] / judged > self.max_unmet:
                raise _stopped(
                    f"{look}: the messages that {name} cannot take",
                    should=f"be at most {self.max_unmet:.2%} of {judged:,} (guards.max_unmet)",
                    but=f"they are {counts['unmet']:,}: {_listed(counts['reasons'])}",
                    do="Add what is missing to the Look, or raise the guard.",
                )
        self._check_cohort(tally, cohort, look=look)

    def _check_cohort(self, tally: Tally, cohort: Cohort, *, look: str) -> None:
        if self.max_messages is not None and cohort.messages > self.max_messages:
            raise _stopped(
                f"{look}: its messages",
                should=f"be at most {self.max_messages:,} (guards.max_messages)",
                but=f"they are {cohort.messages:,}",
                do="Narrow the Look's filters, or raise the guard.",
            )
        last = cohort.last_rows
        if self.max_change is not None and last is not None:
            changed = abs(tally.rows - last)
            if changed and (not last or changed / last > self.max_change):
                raise _stopped(
                    f"{look}: its rows",
                    should=f"be within {self.max_change:.2%} of the {last:,} of the last green run "
                    "(guards.max_change)",
                    but=f"they are {tally.rows:,}",
                    do="See in Looker whether the Look's filters or its data are at fault, or "
                    "raise the guard.",
                )
        if cohort.leavers and cohort.leavers / cohort.users_in > self.max_leavers:
            raise _stopped(
                f"{look}: the users who left it",
                should=f"be at most {self.max_leavers:.2%} of {cohort.users_in:,} "
                "(guards.max_leavers)",
                but=f"they are {cohort.leavers:,}",
                do="See in Looker whether the Look's filters or its data are at fault, or "
                "raise the guard.",
            )


def _stopped(where: str, *, should: str, but: str, do: str) -> GuardError:
    return GuardError(where, should=should, but=but, do=f"{NOTHING_SENT} {do}")


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
