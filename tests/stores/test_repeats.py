"""Whoever sorts rows by their users finds the same repeated rows as whoever remembers all users."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.encoding import decode
from airflow_provider_looker_segment.core.mapping import Plan
from airflow_provider_looker_segment.core.plain_rows import PlainRows
from airflow_provider_looker_segment.core.prepare import Preparation
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.core.snapshot import Rules
from airflow_provider_looker_segment.stores import sorter
from airflow_provider_looker_segment.stores.diff import Diff
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal
from tests.core.test_plain_rows import as_object
from tests.core.test_prepare import CASES, SHARED, planned, simple_plan
from tests.stores.test_diff import write

SEAL = SnapshotSeal(b"s" * 32)
NAMES = ("userId", "email", "note", "age")
PLAN = simple_plan(*NAMES)
PIVOTED = planned(json.loads((CASES[0].parent / "pivots_flatten.json").read_text("utf-8")))
USERS = ['"u1"', '"u2"', '"u3"', "4", "null"]
ADDRESSES = ["null", '"a@b.co"', '"c@d.co"', '"none"']
NOTES = ["null", '"x"', '"y"', "7", "1e-400", "[]"]
AGES = ["null", "7", '"old"']


def came_to(
    plan: Plan,
    texts: Sequence[str],
    forgotten: frozenset[bytes],
    requirements: Requirements | None,
    *,
    sorts: bool,
) -> Any:
    """Return what is sent of rows, and how they are counted."""
    plain = PlainRows(plan, by_name=True) if PlainRows.suits(plan) else None
    read: list[Any] = []
    for text in texts:
        found: Any = plain.decode(text) if plain else None
        read += found or RowStream([b'{"data":[' + text.encode() + b"]}"], look="Look 1")
    with TemporaryDirectory() as folder, SeenUsers() as seen:
        base = Path(folder, "base")
        write(base, None, {})
        preparation = Preparation(
            plan,
            shared=SHARED,
            seen=None if sorts else seen,
            requirements=requirements,
            plain=plain,
        )
        diff = Diff(
            *(base, Path(folder)),
            seal=SEAL,
            rules=Rules("mirror", membership_trait="in"),
            run="run",
            window=1,
            complete=True,
            forgotten=forgotten,
            on_refused=preparation.tally.add_unsendable,
            on_repeated=preparation.add_repeated,
        )
        lines = [(number, decode(text)) for number, text in diff.lines(preparation.messages(read))]
        diff.close()
    tally = preparation.tally
    assert tally.rows == tally.messages + tally.duplicates + tally.rejected
    assert tally.messages == diff.counts["sent"] + diff.counts["forgotten"]
    verdicts = tally.verdicts.as_dict()
    for verdict in verdicts.values():
        judged = verdict["met"] + verdict["doubtful"] + verdict["unmet"]
        assert judged == tally.messages + tally.unsendable
    return lines, tally.messages, tally.duplicates, tally.problems.as_list(), verdicts, diff.counts


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(*map(st.sampled_from, (USERS, ADDRESSES, NOTES, AGES))), max_size=40),
    forgotten=st.sets(st.sampled_from(["u1", "u2", "4"])),
    requirements=st.sampled_from([None, *map(Requirements, (["braze"], ["iterable", "zendesk"]))]),
    held_bytes=st.sampled_from([0, 500, 1 << 20]),
)
@example(
    rows=[(user, "null", note, "null") for user in USERS[:2] for note in NOTES[1:3] for _ in "ab"],
    forgotten={"u1"},
    requirements=Requirements(["zendesk"]),
    held_bytes=0,
)
@example(
    rows=[('"u1"', '"a@b.co"', "null", "null"), ('"u1"', "null", "null", "null")],
    forgotten=set(),
    requirements=Requirements(["iterable", "zendesk"]),
    held_bytes=0,
)
@example(
    rows=[('"u1"', "null", '"x"', "null"), ('"u1"', "null", "1e-400", "null")] * 8,
    forgotten=set(),
    requirements=None,
    held_bytes=0,
)
def test_repeated_rows_are_the_same_however_they_are_found(
    rows: list[tuple[str, ...]],
    forgotten: set[str],
    requirements: Requirements | None,
    held_bytes: int,
) -> None:
    """Every row is counted once, and the first row about a user is theirs."""
    keys = frozenset(SEAL.key("userId", user) for user in forgotten)
    texts = [as_object(row, NAMES) for row in rows]
    with patch.object(sorter, "_HELD_BYTES", held_bytes):
        by_memory, by_sorting = (
            came_to(PLAN, texts, keys, requirements, sorts=sorts) for sorts in (False, True)
        )
    assert by_memory == by_sorting


def pivoted_row(user: str, cells: Sequence[tuple[str, int | None]]) -> str:
    """Write a row of the pivoted Look; its cells come in the order in which they are given."""
    counts = {pivot: {"value": value} for pivot, value in cells}
    return json.dumps({"users.user_id": {"value": user}, "orders.count": counts})


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["u1", "u2"]),
            st.permutations(["paid", "open", "late"]),
            st.lists(st.sampled_from([None, 1, 2]), min_size=3, max_size=3),
        ),
        max_size=12,
    ),
    forgotten=st.sets(st.just("u1")),
)
@example(
    rows=[("u1", ["paid", "open", "late"], [1, 2, 1]), ("u1", ["open", "late", "paid"], [2, 1, 1])],
    forgotten=set(),
)
def test_the_order_of_a_pivots_cells_makes_no_other_row(
    rows: list[tuple[str, list[str], list[int | None]]], forgotten: set[str]
) -> None:
    """Neither for whoever sorts rows nor for whoever remembers all users."""
    keys = frozenset(SEAL.key("userId", user) for user in forgotten)
    as_given, in_order = (
        [
            pivoted_row(user, order(zip(pivots, counts, strict=True)))
            for user, pivots, counts in rows
        ]
        for order in (list, sorted)
    )
    ways = [(texts, sorts) for texts in (as_given, in_order) for sorts in (False, True)]
    first, *others = (came_to(PIVOTED, texts, keys, None, sorts=sorts) for texts, sorts in ways)
    assert [first] * 3 == others
