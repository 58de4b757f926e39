"""The tables of docs/history.md, line by line."""

from __future__ import annotations

import pytest

from airflow_provider_looker_segment.core.history import (
    Action,
    Fate,
    Run,
    Step,
    Told,
    UserState,
    decide_seen,
    decide_unseen,
    settle,
)

IN = UserState(b"f", 1, 5, 5, Told.IN, False, 1, 0, 1)
LEFT = IN._replace(seen=4, told=Told.LEFT)
NEVER = UserState(None, 0, None, 5, Told.NEVER, False, 0, 0, 1)
DIRTY = IN._replace(dirty=True, told=Told.UNSURE, body=b"body")

RESENT = {"action": Action.RESEND, "window": 5}
GONE = {"action": Action.LEAVE, "fingerprint": b"f", "window": 5, "told": Told.LEFT}
SAME = {"action": Action.UNCHANGED, "fingerprint": b"f", "position": None}


def run(window: int, *, newest: int | None = 5, complete: bool = True, mirrors: bool = True) -> Run:
    """Return a run after the newest window."""
    return Run.after(newest, window=window, complete=complete, mirrors=mirrors)


@pytest.mark.parametrize(
    ("known", "fingerprint", "now", "expected"),
    [
        (None, b"f", run(6), (Action.SEND, Told.IN)),
        (None, b"f", run(4), (Action.SEND, Told.LEFT)),
        (None, b"f", run(4, mirrors=False), (Action.SEND, Told.IN)),
        (NEVER, b"f", run(4), (Action.SEND, Told.IN)),
        (DIRTY, b"f", run(4), (Action.RESEND, Told.IN)),
        (DIRTY._replace(body=None), b"f", run(4), (Action.SUPERSEDED, Told.IN)),
        (IN, b"g", run(4), (Action.SUPERSEDED, Told.IN)),
        (DIRTY, b"f", run(6), (Action.SEND, Told.IN)),
        (LEFT, b"f", run(6), (Action.SEND, Told.IN)),
        (IN, b"g", run(5), (Action.SEND, Told.IN)),
        (IN, b"f", run(5), (Action.UNCHANGED, Told.IN)),
    ],
)
def test_who_is_seen(
    known: UserState | None, fingerprint: bytes, now: Run, expected: tuple[Action, Told]
) -> None:
    """What a run sends about a user whom it saw."""
    assert expected == decide_seen(known, fingerprint, now)


@pytest.mark.parametrize(
    ("known", "now", "expected"),
    [
        (DIRTY, run(4), (Action.RESEND, Told.IN)),
        (DIRTY, run(6), (Action.RESEND, Told.LEFT)),
        (IN, run(6), (Action.LEAVE, Told.LEFT)),
        (IN, run(5), (Action.LEAVE, Told.LEFT)),
        (IN, run(4), (Action.NOTHING, Told.IN)),
        (IN._replace(seen=4), run(4), (Action.NOTHING, Told.LEFT)),
        (IN, run(6, complete=False), (Action.NOTHING, Told.IN)),
        (IN, run(6, mirrors=False), (Action.NOTHING, Told.IN)),
        (LEFT, run(6), (Action.NOTHING, Told.LEFT)),
    ],
)
def test_who_is_not_seen(known: UserState, now: Run, expected: tuple[Action, Told]) -> None:
    """What a run sends about a user whom it did not see."""
    assert expected == decide_unseen(known, now)


def test_which_run_is_the_newest() -> None:
    """A complete one that is not older than another; who is missing from it was seen before it."""
    newest, older, part = run(6), run(4), run(6, complete=False)

    assert [True, False, False] == [newest.is_newest, older.is_newest, part.is_newest]
    assert [6, 5, 5] == [newest.newest, older.newest, part.newest]
    assert [5, 7, 4] == [newest.unseen(seen) for seen in (6, 7, 4)]
    assert [4, 6] == [older.unseen(4), part.unseen(6)]


def settled(
    now: UserState | None, fate: Fate, *, overlaps: bool = False, **step: object
) -> UserState:
    """Fold one step into a state, in a run of the window 6."""
    values = {"action": Action.SEND, "fingerprint": b"g", "names": 2, "window": 6, "told": Told.IN}
    values |= {"ordinal": 3, "position": 0, "skeleton": None, **step}
    done = Step(**values)  # type: ignore[arg-type]
    return settle(now, done, fate, run(6), serial=9, overlaps=overlaps)


def test_an_accepted_message_is_what_segment_holds() -> None:
    """Its content, its names, what it told."""
    after = settled(DIRTY, Fate.ACCEPTED)

    assert (b"g", 2, 6, 6, Told.IN, False, 9, 3, 9) == after[:9]
    assert after.body is None


@pytest.mark.parametrize("fate", [Fate.ACCEPTED, Fate.MAYBE])
@pytest.mark.parametrize(("said", "kept"), [(None, b"old"), (b"new", b"new")])
def test_what_a_leave_message_needs_outlives_a_run_that_tells_nobody(
    fate: Fate, said: bytes | None, kept: bytes
) -> None:
    """In ``changed`` a run stores none, and a later one in ``mirror`` may need it."""
    after = settled(IN._replace(skeleton=b"old"), fate, skeleton=said)

    assert kept == after.skeleton


def test_a_message_without_an_answer_is_sent_again() -> None:
    """The content counts, and both sets of names may be there."""
    assert (b"g", 3, 6, Told.UNSURE, True) == _part(settled(IN, Fate.MAYBE))


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.NOT_SENT])
def test_what_never_arrived_changes_nothing_but_when_they_were_seen(fate: Fate) -> None:
    """The Look held the user all the same."""
    assert IN._replace(seen=6) == settled(IN, fate)
    assert NEVER._replace(seen=6) == settled(None, fate)._replace(touched=1)


def test_a_refused_resend_is_not_tried_for_ever() -> None:
    """There is no content any more that the next run could send."""
    after = settled(DIRTY, Fate.REFUSED, action=Action.RESEND, fingerprint=b"f", window=5)

    assert (None, True, None, 5) == (after.fingerprint, after.dirty, after.body, after.window)
    # Not even where some commit has a message of that ordinal.
    assert 0 == after.origin


@pytest.mark.parametrize(
    ("fate", "told", "names"), [(Fate.ACCEPTED, Told.LEFT, 2), (Fate.MAYBE, Told.UNSURE, 3)]
)
def test_a_leave_message(fate: Fate, told: Told, names: int) -> None:
    """The content stays; without an answer the next run says it again."""
    after = settled(IN, fate, action=Action.LEAVE, fingerprint=b"f", told=Told.LEFT)

    assert (b"f", names, 5, told, False) == _part(after)


def test_an_unchanged_row_makes_the_content_newer() -> None:
    """An older run after it is superseded."""
    after = settled(IN, Fate.NOT_SENT, action=Action.UNCHANGED, fingerprint=b"f", position=None)

    assert (b"f", 1, 6, Told.IN, False) == _part(after)


def test_an_overlapping_run_that_said_the_same_is_no_doubt() -> None:
    """Whichever of two equal messages came last, the profile is the same."""
    same = settled(IN, Fate.ACCEPTED, overlaps=True, fingerprint=b"f", names=1)

    assert (b"f", 1, 6, Told.IN, False) == _part(same)


def test_an_overlapping_run_that_said_another_thing_leaves_a_doubt() -> None:
    """The newer content counts, and the next run makes sure of it."""
    assert (b"g", 3, 6, Told.UNSURE, True) == _part(settled(IN, Fate.ACCEPTED, overlaps=True))
    older = settled(IN._replace(window=7), Fate.ACCEPTED, overlaps=True)
    assert (b"f", 3, 7, Told.UNSURE, True) == _part(older)


@pytest.mark.parametrize(
    ("now", "fate", "step", "expected", "origin"),
    [
        # Sent: the same content as the other run's, in every respect, or a doubt.
        (IN, Fate.MAYBE, {"fingerprint": b"f"}, (b"f", 3, 6, Told.UNSURE, True), 9),
        (LEFT, Fate.ACCEPTED, {"fingerprint": b"f"}, (b"f", 3, 6, Told.UNSURE, True), 9),
        (DIRTY, Fate.ACCEPTED, {"fingerprint": b"f"}, (b"f", 3, 6, Told.UNSURE, True), 9),
        (
            *(LEFT, Fate.ACCEPTED, {"fingerprint": b"f", "told": Told.LEFT}),
            *((b"f", 3, 6, Told.UNSURE, True), 9),
        ),
        (
            *(IN._replace(window=7), Fate.ACCEPTED, {"fingerprint": b"f"}),
            *((b"f", 3, 7, Told.IN, False), 9),
        ),
        (NEVER, Fate.ACCEPTED, {}, (b"g", 2, 6, Told.UNSURE, True), 9),
        (IN._replace(window=6), Fate.ACCEPTED, {}, (b"g", 3, 6, Told.UNSURE, True), 9),
        (IN, Fate.NOT_SENT, {}, (b"f", 1, 5, Told.IN, False), 1),
        (IN, Fate.REFUSED, {}, (b"f", 1, 5, Told.IN, False), 1),
        # Resent: what the other run said of the same window is the later.
        (
            *(IN._replace(fingerprint=b"h"), Fate.ACCEPTED, {**RESENT, "fingerprint": b"f"}),
            *((b"h", 3, 5, Told.UNSURE, True), 1),
        ),
        (
            *(DIRTY, Fate.ACCEPTED, {**RESENT, "fingerprint": b"f"}),
            *((b"f", 3, 5, Told.UNSURE, True), 9),
        ),
        (
            *(IN._replace(window=4), Fate.ACCEPTED, RESENT),
            *((b"g", 3, 5, Told.UNSURE, True), 9),
        ),
        (DIRTY, Fate.REFUSED, RESENT, (b"f", 1, 5, Told.UNSURE, True), 1),
        # Left.
        (LEFT, Fate.ACCEPTED, GONE, (b"f", 1, 5, Told.LEFT, False), 1),
        (LEFT, Fate.MAYBE, GONE, (b"f", 3, 5, Told.UNSURE, True), 1),
        (IN, Fate.ACCEPTED, GONE, (b"f", 3, 5, Told.UNSURE, True), 1),
        (
            *(LEFT._replace(fingerprint=b"h"), Fate.ACCEPTED, GONE),
            *((b"h", 3, 5, Told.UNSURE, True), 1),
        ),
        (LEFT._replace(seen=6), Fate.ACCEPTED, GONE, (b"f", 3, 5, Told.UNSURE, True), 1),
        # Unchanged.
        (IN, Fate.NOT_SENT, SAME, (b"f", 1, 6, Told.IN, False), 9),
        (IN._replace(window=6), Fate.NOT_SENT, SAME, (b"f", 1, 6, Told.IN, False), 9),
        (IN._replace(window=7), Fate.NOT_SENT, SAME, (b"f", 1, 7, Told.IN, False), 1),
        (LEFT, Fate.NOT_SENT, SAME, (b"f", 3, 6, Told.UNSURE, True), 9),
        (DIRTY, Fate.NOT_SENT, SAME, (b"f", 3, 6, Told.UNSURE, True), 9),
        (
            *(IN._replace(fingerprint=b"h"), Fate.NOT_SENT, SAME),
            *((b"f", 3, 6, Told.UNSURE, True), 9),
        ),
        (NEVER, Fate.NOT_SENT, SAME, (None, 0, None, Told.NEVER, False), 0),
    ],
)
def test_runs_that_overlap(
    now: UserState,
    fate: Fate,
    step: dict[str, object],
    expected: tuple[object, ...],
    origin: int,
) -> None:
    """What is stored once both are committed, and which run holds the message of it."""
    after = settled(now, fate, overlaps=True, **step)

    assert (*expected, origin) == (*_part(after), after.origin)


def _part(state: UserState) -> tuple[object, ...]:
    return state.fingerprint, state.names, state.window, state.told, state.dirty
