"""Lines become batches, batches become answers, answers become a receipt.

The lines of a shard enter in their order; each message's fate is decided before the next batch
leaves. No message is dropped: it is accepted, refused alone, of unknown fate, or not sent.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.encoding import sent_bytes
from airflow_provider_looker_segment.core.limits import (
    MAX_BATCH_BYTES,
    MAX_BATCH_MESSAGES,
    MESSAGE_ID_CHARS,
)
from airflow_provider_looker_segment.core.message_id import MessageIds
from airflow_provider_looker_segment.core.pacing import Pace
from airflow_provider_looker_segment.core.prepare import complete
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.segment import Answer, SegmentHook, exhausted, stopped

PATIENCE_S = 300.0
"""Seconds one batch may wait for Segment before the task leaves the rest to Airflow's retries."""

_ENVELOPE_BYTES = 500
"""What the client adds to a batch: the write key, the time it was sent, and their names."""

_LONGEST_BACKOFF_S = 60.0
_REFUSALS_WITHOUT_SUCCESS = 10
"""Messages refused one after the other, before any was accepted, that tell it is not they."""

_REFUSALS_IN_A_ROW = 50
"""The same where some were accepted before: bad rows may well stand together."""

_SHORTEST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to send.

    :param size_bytes: of its JSON, as the client encodes it.
    :param is_forgotten: whether it must not be sent.
    """

    row_number: int
    body: dict[str, Any]
    size_bytes: int
    is_forgotten: bool = False


def messages(
    lines: Iterable[Line],
    *,
    shared: dict[str, Any],
    ids: MessageIds,
    is_forgotten: Callable[[dict[str, Any]], bool],
) -> Iterator[Message]:
    """Complete the messages of a shard.

    :param shared: what all messages of the run have in common.
    :param is_forgotten: whether nothing may be sent about the user of a message's own part.
    """
    frame = sent_bytes(complete(shared, {}, "0" * MESSAGE_ID_CHARS))
    for line in lines:
        own = json.loads(line.body)
        body = complete(shared, own, ids.of(line.body))
        yield Message(line.row_number, body, frame + sent_bytes(own), is_forgotten(own))


def batches(found: Iterable[Message], *, max_messages: int) -> Iterator[list[Message]]:
    """Group messages into batches that fit one request each, in their order.

    One that must not be sent is a batch of its own, so that what is decided has no gaps.
    """
    batch: list[Message] = []
    size = _ENVELOPE_BYTES
    limit = min(max_messages, MAX_BATCH_MESSAGES)
    for message in found:
        added = message.size_bytes + len(", ")
        alone = message.is_forgotten or (bool(batch) and batch[-1].is_forgotten)
        if batch and (alone or size + added > MAX_BATCH_BYTES or len(batch) >= limit):
            yield batch
            batch, size = [], _ENVELOPE_BYTES
        batch.append(message)
        size += added
    if batch:
        yield batch


class Delivery:
    """Delivers the messages of one shard.

    :param hook: where they go.
    :param pace: when they may.
    :param receipt: what an earlier try has delivered already; it goes on from there.
    :param on_progress: called with the receipt whenever the fate of messages is decided.
    :param on_refused: called with each message that Segment refused by itself.
    """

    def __init__(
        self,
        hook: SegmentHook,
        pace: Pace,
        *,
        receipt: Receipt,
        on_progress: Callable[[Receipt], None],
        on_refused: Callable[[Message], None],
    ) -> None:
        self.receipt = receipt
        self._on_refused = on_refused
        self._hook = hook
        self._pace = pace
        self._on_progress = on_progress
        self._refused_in_a_row = 0
        self._last_refusal: Answer | None = None

    def run(self, found: Iterable[Message]) -> Receipt:
        """Deliver messages that no earlier try has delivered.

        :raises PermanentError: when Segment will take none of them.
        :raises TransientError: when Segment takes none for longer than :data:`PATIENCE_S`.
        """
        started = time.monotonic()
        before_s = self.receipt.seconds
        told = self.receipt.forgotten
        try:
            for batch in batches(found, max_messages=self._pace.max_messages):
                if batch[0].is_forgotten:
                    self.receipt.forgotten += 1
                    continue
                if told != self.receipt.forgotten:
                    # What may be under way is counted from what is decided.
                    told = self.receipt.forgotten
                    self._on_progress(self.receipt)
                self._deliver(batch)
            if self._last_refusal and self.receipt.refused > 1 and not self.receipt.accepted:
                # Different messages and not one accepted: it is not the messages.
                raise stopped(self._last_refusal, self._hook.settings)
        finally:
            self.receipt.seconds = before_s + time.monotonic() - started
        return self.receipt

    def _deliver(self, batch: list[Message]) -> None:
        parts = [_Part(batch)]
        try:
            while parts:
                part = parts[0]
                answer = self._post(part)
                if answer.kind == "accepted":
                    self.receipt.accepted += len(part.messages)
                    parts.pop(0)
                    self._refused_in_a_row = 0
                    self._on_progress(self.receipt)
                elif len(part.messages) > 1:
                    # Somewhere in it is the message at fault; the others must not suffer for it.
                    parts[:1] = part.halves()
                else:
                    parts.pop(0)
                    self._refuse(part.messages[0], answer)
        except BaseException:
            # Also where Airflow ends the task: what was under way may have arrived.
            self.receipt.unknown += sum(len(part.messages) for part in parts if part.maybe_accepted)
            raise

    def _refuse(self, message: Message, answer: Answer) -> None:
        self.receipt.refuse(message.row_number)
        self._on_refused(message)
        self._on_progress(self.receipt)
        self._last_refusal = answer
        self._refused_in_a_row += 1
        most = _REFUSALS_IN_A_ROW if self.receipt.accepted else _REFUSALS_WITHOUT_SUCCESS
        if self._refused_in_a_row >= most:
            # Each of them costs requests, and the rest would only cost more.
            raise stopped(answer, self._hook.settings)

    def _post(self, part: _Part) -> Answer:
        """Post a part of a batch until its fate is known, waiting as told."""
        give_up_at: float | None = None
        bodies = [message.body for message in part.messages]
        for attempt in itertools.count():
            time.sleep(self._pace.wait_s(len(bodies), now=time.monotonic()))
            earlier, part.maybe_accepted = part.maybe_accepted, True
            sent_at = time.monotonic()
            try:
                answer = self._hook.post(bodies)
            except PermanentError:
                # Raised before anything leaves, where there is no token to send it with.
                part.maybe_accepted = earlier
                raise
            self._pace.answered(sent_at=sent_at, now=time.monotonic())
            # Also what was accepted, until it is counted: Airflow may end the task in between.
            part.maybe_accepted = earlier or answer.maybe_accepted or answer.kind == "accepted"
            self.receipt.requests += 1
            self.receipt.sent_bytes += sum(message.size_bytes for message in part.messages)
            if answer.kind in ("accepted", "bad_content", "too_large"):
                return answer
            if answer.kind == "stop":
                raise stopped(answer, self._hook.settings)
            delay_s = _delay_s(answer, attempt)
            # Answers that take their time count too, not only the pauses between them.
            now = time.monotonic()
            give_up_at = sent_at + PATIENCE_S if give_up_at is None else give_up_at
            if now + delay_s > give_up_at:
                raise exhausted(answer, self._hook.settings)
            time.sleep(delay_s)
        raise AssertionError  # pragma: no cover - the loop has no other end


class _Part:
    """A batch, or what is left of one that was too large or refused as a whole.

    :param maybe_accepted: an attempt to send it had no answer that says so, or none at all.
    """

    def __init__(self, messages: list[Message], *, maybe_accepted: bool = False) -> None:
        self.messages = messages
        self.maybe_accepted = maybe_accepted

    def halves(self) -> tuple[_Part, _Part]:
        """Cut it in two; what may have arrived of the whole may have arrived of each."""
        middle = len(self.messages) // 2
        first, second = self.messages[:middle], self.messages[middle:]
        return (
            _Part(first, maybe_accepted=self.maybe_accepted),
            _Part(second, maybe_accepted=self.maybe_accepted),
        )


def _delay_s(answer: Answer, attempt: int) -> float:
    if answer.retry_after_s is not None:
        return max(answer.retry_after_s, _SHORTEST_WAIT_S)
    backoff = min(2.0**attempt, _LONGEST_BACKOFF_S)
    return max(_SHORTEST_WAIT_S, backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
