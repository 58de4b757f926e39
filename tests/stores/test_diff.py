"""What a run decides about each user is what the core says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.encoding import encode
from airflow_provider_looker_segment.core.history import (
    Action,
    Run,
    Told,
    UserState,
    decide_seen,
)
from airflow_provider_looker_segment.core.prepare import Mapped
from airflow_provider_looker_segment.core.snapshot import Composer, Names, Rules
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.diff import Diff
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal

SEAL = SnapshotSeal(b"s" * 32)
BODY = SEAL.close(encode({"userId": "u", "traits": {}}))
WINDOW = 3

windows = st.integers(1, 5)
states = st.builds(
    UserState,
    fingerprint=st.sampled_from([None, b"same", b"another"]),
    names=st.just(0),
    window=st.none() | windows,
    seen=windows,
    told=st.sampled_from([int(told) for told in Told]),
    dirty=st.booleans(),
    origin=st.just(1),
    ordinal=st.just(0),
    touched=st.just(1),
    skeleton=st.none(),
    body=st.sampled_from([None, BODY]),
)
SAME = UserState(b"same", 0, 2, 2, Told.IN, False, 1, 0, 1, None, None)


@settings(deadline=None)
@given(
    known=st.lists(st.none() | states, max_size=12),
    newest=st.none() | windows,
    rules=st.sampled_from([Rules("changed"), Rules("mirror", "membership", "in")]),
    complete=st.booleans(),
)
@example(
    known=[SAME, SAME._replace(told=Told.LEFT), SAME._replace(window=5), SAME._replace(dirty=True)],
    newest=2,
    rules=Rules("mirror", "membership", "in"),
    complete=True,
)
@example(
    known=[SAME, SAME._replace(told=Told.LEFT)],
    newest=5,
    rules=Rules("mirror", "membership", "in"),
    complete=True,
)
def test_each_row_is_decided_as_the_core_says(
    known: list[UserState | None], newest: int | None, *, rules: Rules, complete: bool
) -> None:
    """Whatever is known of its user, whatever the window."""
    run = Run.after(newest, window=WINDOW, complete=complete, mirrors=rules.mirrors)
    composer = Composer(rules, Names())
    bodies = [{"userId": f"u{at}", "traits": {"a": at}} for at in range(len(known))]
    prints = [composer.fingerprint(body) for body in bodies]
    states = [
        state._replace(fingerprint=own) if state and state.fingerprint == b"same" else state
        for state, own in zip(known, prints, strict=True)
    ]
    keys = [SEAL.key("userId", body["userId"]) for body in bodies]
    with TemporaryDirectory() as folder:
        base = Path(folder, "base")
        write(base, newest, dict(zip(keys, states, strict=True)))
        diff = Diff(
            *(base, Path(folder)),
            seal=SEAL,
            rules=rules,
            run="run",
            window=WINDOW,
            complete=complete,
        )
        lines = list(diff.lines(rows(bodies)))
        diff.close()
        with closing(tables.connect(diff.candidate)) as database:
            found = database.execute(f"SELECT key, {tables.STEP_COLUMNS} FROM steps")
            steps = {key: tables.step_of(columns) for key, *columns in found}

    decided = [decide_seen(*pair, run) for pair in zip(states, prints, strict=True)]
    assert [(action, told) for action, told in decided] == [
        (steps[key].action, steps[key].told) for key in keys
    ]
    sent = sum(action in (Action.SEND, Action.RESEND) for action, _ in decided)
    assert (sent, sent) == (len(lines), diff.messages)
    unchanged = sum(action == Action.UNCHANGED for action, _ in decided)
    assert unchanged == diff.counts["unchanged"]


@pytest.mark.parametrize(
    ("known", "is_too_large", "counted"),
    [
        (SAME._replace(skeleton=BODY), False, "left"),
        (SAME._replace(skeleton=BODY), True, "unreachable"),
        (SAME, False, "unreachable"),
        (SAME._replace(dirty=True, body=BODY), False, "resent"),
        (SAME._replace(dirty=True, body=BODY), True, "unreachable"),
    ],
)
def test_who_has_no_row_is_told_of_or_counted(
    known: UserState, counted: str, tmp_path: Path, *, is_too_large: bool
) -> None:
    """Of whom nothing can be said nothing is stored either, so that a later run tries again."""
    base = tmp_path / "base"
    write(base, 2, {SEAL.key("userId", "u"): known})
    diff = Diff(
        *(base, tmp_path),
        seal=SEAL,
        rules=Rules("mirror", "membership", "in"),
        run="run",
        window=WINDOW,
        complete=True,
        refusal=lambda _text, _traits: "message_too_large" if is_too_large else "",
    )
    lines = list(diff.lines([]))
    diff.close()
    with closing(tables.connect(diff.candidate)) as database:
        (steps,) = database.execute("SELECT count(*) FROM steps").fetchone()

    sent = int(counted != "unreachable")
    assert (1, sent, sent, sent) == (diff.counts[counted], len(lines), diff.messages, steps)
    assert 1 == sum(diff.counts[name] for name in ("left", "resent", "unreachable"))


def rows(bodies: list[dict[str, Any]]) -> Iterator[Mapped]:
    """Return the rows as mapping does."""
    return ((Line(number, encode(body)), body, None) for number, body in enumerate(bodies, start=1))


def write(base: Path, newest: int | None, states: dict[bytes, UserState | None]) -> None:
    """Write a snapshot."""
    tables.create_snapshot(base)
    database = tables.connect(base)
    tables.write_facts(database, {"generation": 1, "newest": newest, "names": []})
    database.executemany(
        "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [tables.user_row(key, state) for key, state in states.items() if state is not None],
    )
    tables.close(database)
