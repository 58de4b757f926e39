"""What a forgotten user leaves in a snapshot, and what others keep."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.histories import MEMBERSHIP, Sync
from tests.stores.planted import MARK, begun, files, key_of


def test_a_forgotten_user_leaves_a_tombstone_only() -> None:
    """No state, no earlier generation and no message of theirs is left; runs honour it."""
    sync = begun(MEMBERSHIP)
    run = sync.extract(2, {f"{MARK}-u": {"a": 2}, f"{MARK}-v": {"a": 2}})
    sync.deliver(run, lost=2)
    sync.report(run)
    key = key_of(sync, f"{MARK}-u")

    sync.store.forget([key_of(sync, f"{MARK}-u")])

    assert {"forgotten": True} == sync.store.user(key_of(sync, f"{MARK}-u"))
    assert not [name for name in files() if name.endswith(".bodies")]
    (name,) = (name for name in files() if name.endswith(".sqlite"))
    # The one place that the key is left in is the list of tombstones.
    assert 1 == files()[name].count(key)
    calls = sync.segment.calls
    sync.run(3, {f"{MARK}-u": {"a": 3}})
    assert {f"{MARK}-v"} == {
        json.loads(line.body)["userId"]
        for run in list(sync.known.values())[-1:]
        for line in run.lines
    }
    assert calls + 1 == sync.segment.calls


def test_a_run_under_way_commits_nothing_about_the_forgotten() -> None:
    """Whoever was forgotten during a run is unknown after it."""
    sync = begun()
    run = sync.extract(2, {f"{MARK}-u": {"a": 2}, f"{MARK}-v": {"a": 2}})
    sync.store.forget([key_of(sync, f"{MARK}-u")])
    sync.deliver(run)
    sync.report(run)

    assert {"forgotten": True} == sync.store.user(key_of(sync, f"{MARK}-u"))
    assert 1 == sync.store.facts()["users"]


def test_forgetting_leaves_the_messages_of_others_to_runs_that_overlap() -> None:
    """A run under way may leave others in doubt, and only their messages end that."""
    sync = begun()
    late = sync.extract(2, {f"{MARK}-v": {"a": 2}, f"{MARK}-u": {"a": 2}})
    sync.run(3, {f"{MARK}-u": {"a": 3}, f"{MARK}-v": {"a": 3}})

    sync.forget(f"{MARK}-u")

    texts = [
        text
        for name, data in files().items()
        if name.endswith(".bodies") and late.name not in name
        for text in texts_of(sync, data)
    ]
    assert not [text for text in texts if f"{MARK}-u" in text]
    assert [text for text in texts if f"{MARK}-v" in text]
    sync.deliver(late)
    sync.report(late)
    sync.run(4, {})
    assert {} == sync.wrong()
    assert {"a": 3} == sync.segment.profiles[f"{MARK}-v"]


def texts_of(sync: Sync, data: bytes) -> list[str]:
    """Read a file of messages."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "bodies")
        path.write_bytes(data)
        with closing(sqlite3.connect(path)) as database:
            blocks = database.execute("SELECT data FROM blocks").fetchall()
    return [text for (block,) in blocks for text in sync.store.seal.open_block(block, where="")]
