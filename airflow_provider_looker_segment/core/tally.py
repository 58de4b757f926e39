"""What became of a run's rows: numbers that add up, and problems by code.

Outcomes enter one row at a time, figures for the manifest leave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_looker_segment.core.destinations import Outcome
from airflow_provider_looker_segment.core.problems import Problems


class Verdicts:
    """How many messages each destination can take, by its slug."""

    def __init__(self) -> None:
        # Equal messages share one outcome object, so that counting costs next to nothing.
        self._counts: dict[int, list[Any]] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one message."""
        counted = self._counts.get(id(outcome))
        if counted is None:
            self._counts[id(outcome)] = [outcome, 1]
        else:
            counted[1] += 1

    def remove(self, outcome: Outcome) -> None:
        """Count one message less."""
        self._counts[id(outcome)][1] -= 1

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Return met, doubtful and unmet messages and the reasons, by destination."""
        summed: dict[str, dict[str, Any]] = {}
        for outcome, count in self._counts.values():
            if not count:
                # All its messages were repeated: nobody is left who is told of for its reasons.
                continue
            for finding in outcome.findings:
                entry = summed.setdefault(
                    finding.destination, {"met": 0, "doubtful": 0, "unmet": 0, "reasons": {}}
                )
                entry[finding.verdict.value] += count
                for reason in finding.reasons:
                    entry["reasons"][reason] = entry["reasons"].get(reason, 0) + count
        return summed


@dataclass(slots=True)
class Tally:
    """What became of the rows: ``rows = messages + duplicates + rejected``.

    :param unsendable: rejected rows that were the first about their user, but whose message cannot
        be sent as it must be.
    """

    rows: int = 0
    messages: int = 0
    duplicates: int = 0
    unsendable: int = 0
    problems: Problems = field(default_factory=Problems)
    verdicts: Verdicts = field(default_factory=Verdicts)

    def add_repeated(self, row_number: int, says_the_same: bool) -> None:
        """Count a row, so far taken for a message, whose user has an earlier one."""
        self.messages -= 1
        if says_the_same:
            self.duplicates += 1
        else:
            self.problems.add("conflicting_duplicate", "", row_number)

    def add_unsendable(self, code: str, row_number: int) -> None:
        """Count a row, so far taken for a message, whose message cannot be sent."""
        self.messages -= 1
        self.unsendable += 1
        self.problems.add(code, "", row_number)

    @property
    def rejected(self) -> int:
        """Rows that are no message."""
        return self.problems.count
