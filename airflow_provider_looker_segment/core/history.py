"""What a run decides about a user, and what a commit makes of it: the tables of docs/history.md.

A user's state and what a run saw enter, an action leaves; a state and a message's fate enter, the
next state leaves. Whatever the order of the runs, the state is their fold in window order.
Windows are their ends in microseconds since 1970; an equal window counts as newer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from itertools import zip_longest
from typing import Any, NamedTuple

from airflow_provider_looker_segment.core.receipts import Receipt


class Told(IntEnum):
    """What Segment was last told of a user."""

    NEVER = 0
    IN = 1
    LEFT = 2
    UNSURE = 3


class Action(IntEnum):
    """What a run does about a user."""

    SEND = 1
    UNCHANGED = 2
    SUPERSEDED = 3
    RESEND = 4
    LEAVE = 5
    OBSERVE = 6
    """The Look holds the user, and the row is no message."""
    NOTHING = 7
    RESTORE = 8
    """The same as :attr:`OBSERVE`, and what is in doubt is sent again."""


class Fate(IntEnum):
    """What became of a message."""

    NOT_SENT = 0
    ACCEPTED = 1
    MAYBE = 2
    REFUSED = 3


SENDING = frozenset({Action.SEND, Action.RESEND, Action.LEAVE, Action.RESTORE})
"""Actions that lead to a message."""

_MORE_THAN_ANY_RUN = 2**62

AGAIN = frozenset({Action.RESEND, Action.RESTORE})
"""Actions that send a stored message."""

_SEES = frozenset(
    {Action.SEND, Action.UNCHANGED, Action.SUPERSEDED, Action.OBSERVE, Action.RESTORE}
)


class UserState(NamedTuple):
    """What is stored for a user.

    :param fingerprint: of the content; ``None`` where nothing was accepted.
    :param names: bits of the traits that Segment may hold from this sync.
    :param window: of the content.
    :param seen: the newest window in which the Look held the user.
    :param origin: serial of the commit whose run holds the content's message.
    :param ordinal: which of that run's messages it is.
    :param touched: serial of the commit that last changed the state.
    :param skeleton: sealed; what a leave message needs.
    :param body: sealed; the message that restores a dirty user's content.
    """

    fingerprint: bytes | None
    names: int
    window: int | None
    seen: int
    told: int
    dirty: bool
    origin: int
    ordinal: int
    touched: int
    skeleton: bytes | None = None
    body: bytes | None = None


class Step(NamedTuple):
    """What a run did about a user, as its candidate keeps it.

    :param fingerprint: of the content that is sent, or that a leave message ends.
    :param names: bits of the traits that Segment holds once it has accepted the message.
    :param window: of the content.
    :param told: what the message says of membership.
    :param ordinal: which of the run's messages it is.
    :param position: among the messages that are sent, from 0; ``None`` where nothing is.
    """

    action: int
    fingerprint: bytes | None
    names: int
    window: int
    told: int
    ordinal: int
    position: int | None
    skeleton: bytes | None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run is to the history of its sync.

    :param window: its end.
    :param newest: the newest window of a complete pull, this run's own included.
    :param complete: whether it asked for everything.
    :param mirrors: whether leaving the Look is told.
    """

    window: int
    newest: int
    complete: bool
    mirrors: bool

    @classmethod
    def after(cls, newest: int | None, *, window: int, complete: bool, mirrors: bool) -> Run:
        """Place a run after what was committed before it.

        :param newest: the newest window of a complete pull so far.
        """
        known = [window] if newest is None else [newest]
        return cls(window, max(*known, window) if complete else known[0], complete, mirrors)

    @property
    def is_newest(self) -> bool:
        """Whether who is missing from this run has left."""
        return self.complete and self.window == self.newest

    def due(self, seen: int) -> Told:
        """Say what Segment should be told of a user last seen in this window."""
        return Told.IN if not self.mirrors or seen >= self.newest else Told.LEFT

    def unseen(self, seen: int) -> int:
        """Return when a user was last seen whom this run did not see."""
        return seen - 1 if self.is_newest and seen == self.window else seen


def decide_seen(known: UserState | None, fingerprint: bytes, run: Run) -> tuple[Action, Told]:
    """Decide about a user whom the run saw.

    :param fingerprint: of the message.
    :return: what to do, and what the message says of membership.
    """
    if known is None:
        return Action.SEND, run.due(run.window)
    due = run.due(max(known.seen, run.window))
    if known.window is None:
        return Action.SEND, due
    if run.window < known.window:
        return (Action.SUPERSEDED if known.body is None else Action.RESEND), due
    if known.dirty or known.told != due or known.fingerprint != fingerprint:
        return Action.SEND, due
    return Action.UNCHANGED, due


def decide_rejected(known: UserState, run: Run) -> tuple[Action, Told]:
    """Decide about a user whose row is no message.

    :return: what to do, and what the message says of membership.
    """
    due = run.due(max(known.seen, run.window))
    return (Action.OBSERVE if known.body is None else Action.RESTORE), due


def decide_unseen(known: UserState, run: Run) -> tuple[Action, Told]:
    """Decide about a user whom the run did not see.

    :return: what to do, and what the message says of membership.
    """
    due = run.due(run.unseen(known.seen))
    if known.body is not None:
        return Action.RESEND, due
    if run.is_newest and due == Told.LEFT and known.told in (Told.IN, Told.UNSURE):
        return Action.LEAVE, due
    return Action.NOTHING, due


def settle(
    now: UserState | None, step: Step, fate: Fate, run: Run, *, serial: int, overlaps: bool
) -> UserState:
    """Fold what a run did about a user into what is stored.

    :param now: the state at the commit.
    :param fate: of the message, where there was one.
    :param serial: of this commit.
    :param overlaps: whether ``now`` was touched by a commit that the run did not know of.
    """
    sees = step.action in _SEES
    if now is None:
        now = UserState(None, 0, None, run.window, Told.NEVER, False, 0, 0, serial)
    elif sees and now.seen < run.window:
        now = now._replace(seen=run.window)
    if step.action in SENDING:
        if fate == Fate.REFUSED and step.action in AGAIN and not overlaps:
            return now._replace(fingerprint=None, origin=0, body=None, touched=serial)
        if fate in (Fate.REFUSED, Fate.NOT_SENT):
            return now
    elif step.action != Action.UNCHANGED or now.window is None:
        return now
    fold = _overlapping if overlaps else _following
    return fold(now, step, fate, run, serial)


def _following(now: UserState, step: Step, fate: Fate, run: Run, serial: int) -> UserState:
    if step.action == Action.UNCHANGED:
        return now._replace(window=run.window, origin=serial, ordinal=step.ordinal, touched=serial)
    if step.action == Action.LEAVE:
        if fate == Fate.ACCEPTED:
            return now._replace(names=step.names, told=Told.LEFT, touched=serial)
        return now._replace(names=now.names | step.names, told=Told.UNSURE, touched=serial)
    if fate == Fate.ACCEPTED:
        return _content(now, step, serial)
    return _mine(now, step, serial)


def _overlapping(now: UserState, step: Step, fate: Fate, run: Run, serial: int) -> UserState:
    is_newer = now.window is None or step.window >= now.window
    is_same = now.fingerprint == step.fingerprint and not now.dirty
    if step.action == Action.UNCHANGED:
        if not is_newer:
            return now
        if is_same and now.told == run.due(now.seen):
            return _following(now, step, fate, run, serial)
        return _mine(now, step, serial)
    agrees = is_same and fate == Fate.ACCEPTED and now.told == step.told == run.due(now.seen)
    if step.action == Action.LEAVE:
        return now._replace(touched=serial) if agrees else _theirs(now, step, serial)
    if agrees:
        window = step.window if now.window is None else max(now.window, step.window)
        return _content(now, step, serial)._replace(names=now.names | step.names, window=window)
    if step.action in AGAIN and step.window == now.window:
        is_newer = now.fingerprint == step.fingerprint
    return _mine(now, step, serial) if is_newer else _theirs(now, step, serial)


def _content(now: UserState, step: Step, serial: int) -> UserState:
    """The message is what Segment holds."""
    return UserState(
        fingerprint=step.fingerprint,
        names=step.names,
        window=step.window,
        seen=now.seen,
        told=step.told,
        dirty=False,
        origin=serial,
        ordinal=step.ordinal,
        touched=serial,
        skeleton=step.skeleton or now.skeleton,
    )


def _mine(now: UserState, step: Step, serial: int) -> UserState:
    """The message is what Segment should hold, and the next run makes sure of it."""
    return _content(now, step, serial)._replace(
        names=now.names | step.names, told=Told.UNSURE, dirty=True
    )


def _theirs(now: UserState, step: Step, serial: int) -> UserState:
    """What is stored is what Segment should hold, and the next run makes sure of it."""
    return now._replace(names=now.names | step.names, told=Told.UNSURE, dirty=True, touched=serial)


@dataclass(frozen=True, slots=True)
class ShardFates:
    """What became of the messages of one shard, which are delivered in their order.

    :param first: position of the shard's first message among those of the run.
    :param messages: how many it holds.
    :param decided: how many of them, from the first one on, have their answer.
    :param refused: positions within the shard of those that Segment refused.
    :param maybe: how many after those may have been sent; the rest never was.
    """

    first: int
    messages: int
    decided: int
    refused: tuple[int, ...] = ()
    maybe: int = 0


def shard_fates(first: int, receipt: Receipt, *, cleared: bool) -> ShardFates:
    """Read a shard's receipt.

    :param first: position of its first message among those of the run.
    :param cleared: whether the task was cleared, so that an earlier receipt may be lost.
    """
    # Of those who were forgotten a commit keeps nothing, whatever it is told of their messages.
    decided = receipt.decided
    if receipt.refused > len(receipt.refused_at):
        # Beyond the last that is known, nobody knows which.
        decided = receipt.refused_at[-1] + 1 if receipt.refused_at else 0
    is_unsure = cleared or decided < receipt.decided
    return ShardFates(
        first=first,
        messages=receipt.messages,
        decided=decided,
        refused=tuple(receipt.refused_at),
        maybe=receipt.messages - decided if is_unsure else receipt.unknown,
    )


class Fates:
    """What became of the messages of a run.

    A message that no shard knows of was never sent.
    """

    def __init__(self, shards: Iterable[ShardFates]) -> None:
        self._shards = sorted(shards, key=lambda shard: shard.first)
        self._firsts = [shard.first for shard in self._shards]
        self._refused = {shard.first + at for shard in self._shards for at in shard.refused}

    @classmethod
    def unknown(cls) -> Fates:
        """Return the fates of a run of which nothing is known but that it may have sent."""
        return cls([ShardFates(0, _MORE_THAN_ANY_RUN, 0, maybe=_MORE_THAN_ANY_RUN)])

    def of(self, position: int | None) -> Fate:
        """Return what became of one message."""
        if position is None:
            return Fate.NOT_SENT
        index = bisect_right(self._firsts, position) - 1
        if index < 0:
            return Fate.NOT_SENT
        shard = self._shards[index]
        at = position - shard.first
        if at >= shard.messages:
            return Fate.NOT_SENT
        if at < shard.decided:
            return Fate.REFUSED if position in self._refused else Fate.ACCEPTED
        return Fate.MAYBE if at < shard.decided + shard.maybe else Fate.NOT_SENT

    def accepted(self) -> Iterator[range]:
        """Return the positions of all accepted messages, in ascending ranges."""
        refused = sorted(self._refused)
        for shard, following in zip_longest(self._shards, self._firsts[1:]):
            first = shard.first
            end = _MORE_THAN_ANY_RUN if following is None else following
            after = min(first + min(shard.decided, shard.messages), end)
            for at in refused[bisect_left(refused, first) : bisect_left(refused, after)]:
                yield range(first, at)
                first = at + 1
            yield range(first, after)

    def as_list(self) -> list[dict[str, Any]]:
        """Return the fates as plain JSON."""
        return [asdict(shard) for shard in self._shards]

    @classmethod
    def from_list(cls, said: Iterable[Mapping[str, Any]]) -> Fates:
        """Read back what :meth:`as_list` wrote."""
        return cls(ShardFates(**{**entry, "refused": tuple(entry["refused"])}) for entry in said)
