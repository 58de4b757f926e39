"""What became of messages: receipts that add, and the books that must balance.

Counts enter, counts leave; no message and no value is kept.
A message is accepted, refused, of unknown fate, or not sent, unless its user was forgotten since
it was made: then it is no message any more.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.problems import Problems

MAX_REFUSED_AT = 2_000
"""Refused messages of a shard that a receipt knows one by one: more are far above every guard."""


@dataclass(slots=True)
class Receipt:
    """What became of some messages.

    :param messages: how many there were to send.
    :param accepted: Segment answered that it took them.
    :param refused: Segment refused each of them by itself, for what it says.
    :param unknown: they were sent and no answer came; Segment may or may not have them.
    :param forgotten: left out, because their users were forgotten since they were made.
    :param requests: requests made, repeats included.
    :param sent_bytes: bytes of the request bodies.
    :param refused_at: which of a shard's messages were refused, from 0: the first
        :data:`MAX_REFUSED_AT`; empty where receipts were added.
    :param seconds: time from the first request to the last answer, waiting included.
    """

    messages: int = 0
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    forgotten: int = 0
    requests: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    problems: Problems = field(default_factory=Problems)
    refused_at: list[int] = field(default_factory=list)

    def refuse(self, row_number: int) -> None:
        """Note that Segment refused the next message by itself."""
        if len(self.refused_at) < MAX_REFUSED_AT:
            self.refused_at.append(self.decided)
        self.refused += 1
        self.problems.add("refused_by_segment", "", row_number)

    @property
    def decided(self) -> int:
        """Messages of which nothing more is to be heard."""
        return self.accepted + self.refused + self.forgotten

    @property
    def not_sent(self) -> int:
        """Messages that never left, and should have."""
        return self.messages - self.decided - self.unknown

    @property
    def is_complete(self) -> bool:
        """Whether every message has its answer."""
        return self.unknown == 0 and self.not_sent == 0

    @property
    def is_possible(self) -> bool:
        """Whether no figure is negative, so that nothing is counted that is not there."""
        counts = (self.accepted, self.refused, self.unknown, self.forgotten, self.not_sent)
        return min(counts) >= 0

    def __add__(self, other: Receipt) -> Receipt:
        problems = Problems()
        problems += self.problems
        problems += other.problems
        return Receipt(
            messages=self.messages + other.messages,
            accepted=self.accepted + other.accepted,
            refused=self.refused + other.refused,
            unknown=self.unknown + other.unknown,
            forgotten=self.forgotten + other.forgotten,
            requests=self.requests + other.requests,
            sent_bytes=self.sent_bytes + other.sent_bytes,
            seconds=max(self.seconds, other.seconds),
            problems=problems,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the receipt as plain JSON, for XCom."""
        counts = asdict(self)
        counts["problems"] = self.problems.as_list()
        return counts

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> Receipt:
        """Read back what :meth:`as_dict` wrote."""
        return cls(**{**said, "problems": Problems(said["problems"])})

    def __str__(self) -> str:
        forgotten = f", {self.forgotten:,} forgotten" if self.forgotten else ""
        return (
            f"{counted(self.messages, 'message')}: {self.accepted:,} accepted by Segment, "
            f"{self.refused:,} refused, {self.unknown:,} unknown, {self.not_sent:,} not sent"
            f"{forgotten} ({counted(self.requests, 'request')}, {self.sent_bytes:,} bytes, "
            f"{self.seconds:.1f} s)"
        )
