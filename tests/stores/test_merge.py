"""What a commit says in SQL is what the core says of each user."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.history import (
    SENDING,
    Action,
    Fates,
    Run,
    ShardFates,
    Step,
    Told,
    UserState,
    settle,
)
from airflow_provider_looker_segment.stores import snapshot_database as tables
from airflow_provider_looker_segment.stores.merge import merge

GENERATION = 7
WINDOW = 3
NAMES = ["a", "b", "c"]

bits = st.integers(0, 7)
windows = st.integers(1, 5)
sealed = st.none() | st.sampled_from([b"one", b"two"])
prints = st.none() | st.sampled_from([b"old", b"new"])
tolds = st.sampled_from([int(told) for told in Told])
states = st.builds(
    UserState,
    fingerprint=prints,
    names=bits,
    window=st.none() | windows,
    seen=windows,
    told=tolds,
    dirty=st.booleans(),
    origin=st.integers(0, GENERATION),
    ordinal=bits,
    touched=st.integers(1, GENERATION),
    skeleton=sealed,
    body=sealed,
)
steps = st.builds(
    Step,
    action=st.sampled_from([int(action) for action in Action if action != Action.NOTHING]),
    fingerprint=prints,
    names=bits,
    window=windows,
    told=tolds,
    ordinal=bits,
    position=st.none(),
    skeleton=sealed,
)
ORDINARY = [
    (
        UserState(b"new", 1, 2, 2, Told.UNSURE, True, 1, 1, 1, b"one", b"two"),
        Step(Action.UNCHANGED, b"old", 4, 5, Told.IN, 9, None, b"two"),
    ),
    (
        UserState(b"old", 1, 2, 5, Told.LEFT, True, 1, 1, 1, b"one", b"two"),
        Step(Action.SEND, b"new", 2, 4, Told.IN, 9, None, None),
    ),
    (None, Step(Action.SEND, b"new", 2, 3, Told.IN, 9, None, b"two")),
    (None, Step(Action.UNCHANGED, b"new", 2, 3, Told.IN, 9, None, None)),
    (
        UserState(None, 1, None, 2, Told.NEVER, False, 0, 0, 1),
        Step(Action.UNCHANGED, b"old", 4, 5, Told.IN, 9, None, None),
    ),
]
TOLD = UserState(b"old", 3, 2, 2, Told.IN, False, 1, 1, 1, b"one")
SETTLED = [
    *ORDINARY[:3],
    (TOLD, Step(Action.LEAVE, b"old", 4, 2, Told.LEFT, 0, None, None)),
    (None, Step(Action.LEAVE, b"old", 4, 2, Told.LEFT, 0, None, None)),
    (TOLD, Step(Action.SUPERSEDED, b"new", 4, 3, Told.IN, 9, None, None)),
    (None, Step(Action.SUPERSEDED, b"new", 4, 3, Told.IN, 9, None, None)),
    (TOLD._replace(seen=5), Step(Action.OBSERVE, None, 0, 3, Told.IN, 0, None, None)),
    (None, Step(Action.OBSERVE, None, 0, 3, Told.IN, 0, None, None)),
]
"""Nothing of these is left for Python."""
MIXED = [*SETTLED, (TOLD, Step(Action.RESEND, b"old", 5, 2, Told.IN, 1, None, b"two"))]
"""Of these, one action."""
UNSEEN = [
    (TOLD._replace(seen=3), Step(Action.LEAVE, b"old", 4, 2, Told.LEFT, 0, None, None)),
    (TOLD._replace(seen=3), Step(Action.RESEND, b"old", 5, 2, Told.IN, 1, None, b"two")),
    (TOLD._replace(seen=3), Step(Action.OBSERVE, None, 0, 3, Told.IN, 0, None, None)),
    (TOLD._replace(seen=4), Step(Action.LEAVE, b"old", 4, 2, Told.LEFT, 0, None, None)),
]
"""Users whom a run saw or did not see in the window in which they were seen before."""
NOT_SEEN = {Action.RESEND, Action.LEAVE}
OTHER = UserState(b"old", 1, None, 2, Told.IN, True, 1, 1, 1, b"one", b"two")


def placed(found: list[tuple[UserState | None, Step]]) -> list[tuple[UserState | None, Step]]:
    """Give each step that sends a position."""
    position = -1
    again = []
    for state, step in found:
        if step.action in SENDING:
            position += 1
            again.append((state, step._replace(position=position)))
        else:
            again.append((state, step))
    return again


def among(
    found: list[tuple[UserState | None, Step]],
    shard: ShardFates,
    *,
    others: int = 0,
    forgotten: Collection[int] = (),
    mirrors: bool = True,
    newest: int = WINDOW + 1,
    complete: bool = False,
) -> example:
    """Return an example of a run that no other one overlaps."""
    return example(
        found=placed(found),
        overlapped=set(),
        shard=shard,
        others=others,
        forgotten=set(forgotten),
        mirrors=mirrors,
        newest=newest,
        complete=complete,
    )


@given(
    found=st.lists(st.tuples(st.none() | states, steps), max_size=12).map(placed),
    overlapped=st.sets(st.integers(1, GENERATION), max_size=2),
    shard=st.builds(
        ShardFates,
        first=st.just(0),
        messages=st.just(12),
        decided=st.integers(0, 12),
        refused=st.sets(st.integers(0, 11), max_size=2).map(tuple),
        maybe=st.integers(0, 3),
    ),
    others=st.integers(0, 3),
    forgotten=st.sets(st.integers(0, 11), max_size=2),
    mirrors=st.booleans(),
    newest=st.none() | windows,
    complete=st.booleans(),
)
@among(ORDINARY, ShardFates(0, 12, 12))
@among(ORDINARY, ShardFates(0, 9, 0), mirrors=False)
@among(ORDINARY, ShardFates(0, 9, 9), others=1, forgotten={2, 3})
@among(SETTLED, ShardFates(0, 9, 9), others=1)
@among(MIXED, ShardFates(0, 9, 9), others=1)
@among(MIXED, ShardFates(0, 9, 9, (1,)), forgotten={0})
@among(UNSEEN, ShardFates(0, 9, 9), others=3, newest=WINDOW - 1, complete=True)
@among(UNSEEN, ShardFates(0, 9, 9), others=3, newest=WINDOW, complete=True)
def test_each_user_becomes_what_the_core_says(
    found: list[tuple[UserState | None, Step]],
    overlapped: set[int],
    shard: ShardFates,
    others: int,
    forgotten: set[int],
    *,
    mirrors: bool,
    newest: int | None,
    complete: bool,
) -> None:
    """Whatever is stored, whatever the run did and whatever became of its messages.

    The run did nothing about some ``others``, who are stored and stay, but that a complete run
    which is the newest says that they were seen before it.
    """
    run = Run.after(newest, window=WINDOW, complete=complete, mirrors=mirrors)
    fates = Fates([shard])
    found = [(None if at in forgotten else state, step) for at, (state, step) in enumerate(found)]
    with TemporaryDirectory() as folder:
        target, candidate = Path(folder, "target"), Path(folder, "candidate")
        said = {"complete": complete, "mirrors": mirrors}
        write(Path(folder), [step for _, step in found], overlapped, newest, said)
        stay = {key_of(100 + at): OTHER._replace(seen=WINDOW + 1 - at) for at in range(others)}
        known = {key_of(at): state for at, (state, _) in enumerate(found) if state is not None}
        add(target, known | stay, [key_of(at) for at in forgotten])

        merge(target, candidate, fates)

        with closing(tables.connect(target)) as database:
            rows = database.execute(f"SELECT key, {tables.USER_COLUMNS} FROM users")
            stored = {row[0]: tables.user_state(row[1:]) for row in rows}
            assert (run.newest if complete else newest) == tables.facts(database)["newest"]
    stay = {key: unseen(state, run) for key, state in stay.items()}
    expected = {
        key_of(at): settle(
            unseen(state, run) if state is not None and step.action in NOT_SEEN else state,
            *(step, fates.of(step.position), run),
            serial=GENERATION + 1,
            overlaps=state is not None and state.touched in overlapped,
        )
        for at, (state, step) in enumerate(found)
        if at not in forgotten
    }
    assert expected | stay == stored


def unseen(state: UserState, run: Run) -> UserState:
    """Return what the core makes of somebody whom a run did not see."""
    return state._replace(seen=run.unseen(state.seen))


def key_of(at: int) -> bytes:
    """Return what stands for one of the users."""
    return bytes([at]) * 16


def add(target: Path, states: dict[bytes, UserState], forgotten: list[bytes]) -> None:
    """Add users to a snapshot, and tombstones."""
    database = tables.connect(target)
    marks = ", ".join("?" * 12)
    rows = [tables.user_row(key, state) for key, state in states.items()]
    database.executemany(f"INSERT INTO users VALUES ({marks})", rows)
    database.executemany("INSERT INTO forgotten VALUES (?)", [(key,) for key in forgotten])
    tables.close(database)


def write(
    folder: Path,
    decided: list[Step],
    overlapped: set[int],
    newest: int | None,
    about: Mapping[str, Any],
) -> None:
    """Write a snapshot of nobody, and what a run decided that did not know of some commits.

    :param newest: the newest window of a complete pull before it.
    :param about: what else the run says of itself.
    """
    target, candidate = folder / "target", folder / "candidate"
    commits = [(serial, f"run {serial}") for serial in range(1, GENERATION + 1)]
    tables.create_snapshot(target)
    database = tables.connect(target)
    database.executemany("INSERT INTO commits VALUES (?, ?)", commits)
    now = {"generation": GENERATION, "newest": newest, "names": NAMES}
    tables.write_facts(database, now)
    tables.close(database)
    tables.create_candidate(candidate)
    database = tables.connect(candidate)
    tables.add_steps(
        database, [tables.step_row(key_of(at), step) for at, step in enumerate(decided)]
    )
    said = {
        "run": "run",
        "window": WINDOW,
        **about,
        "names": NAMES,
        "known_runs": [run for serial, run in commits if serial not in overlapped],
    }
    tables.write_facts(database, said)
    tables.close(database)
