"""The snapshot's storage: what is refused, what is kept, what is gone."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.io import attach

from airflow_provider_looker_segment.core.history import Fates, ShardFates
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder, storage
from airflow_provider_looker_segment.stores.snapshots import run_name
from tests.histories import CHANGED, MEMBERSHIP, Storage, Sync, killed_after
from tests.object_store import ObjectStore
from tests.stores.planted import MARK, begun, files, key_of, store

MANY = 2_600
"""Users: more than fit ten blocks of messages, or two batches of a commit."""


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"look_id": "43"}, "sync_id of its own"),
        ({"source": "another"}, "extra `source`"),
        ({"secret": b"x" * 32}, "secret"),
        ({"remembered": 2}, "generation 2"),
    ],
)
def test_another_syncs_snapshot_is_refused(other: Any, complaint: str) -> None:
    """Another Look, source or secret, or an older state, fails and says what to do."""
    sync = begun()

    with pytest.raises(PermanentError, match=complaint), store(sync, **other).read():
        pass


def test_a_lost_pointer_never_means_that_all_are_new() -> None:
    """Generations without a pointer are a loss, remembered or not."""
    sync = begun()
    sync.run(2, {"w": {"a": 1}})
    del Storage.store[next(name for name in Storage.store if name.endswith("current.json"))]

    with pytest.raises(PermanentError, match="pointer is gone"), store(sync).read():
        pass


def test_a_lost_folder_never_means_that_all_are_new() -> None:
    """The sync remembers that there was something."""
    sync = begun()
    Storage.store.clear()

    with pytest.raises(PermanentError, match="pointer is gone"), store(sync, remembered=1).read():
        pass


def test_what_is_in_doubt_is_found_among_many_messages() -> None:
    """Each user gets their own message again, whichever block of messages holds it."""
    sync = Sync(MEMBERSHIP)
    cohort = {f"u{number}": {"n": number} for number in range(MANY)}
    lost = sync.extract(1, cohort)
    sync.deliver(lost, lost=3)
    sync.report(lost)
    with sync.store.read() as path, closing(sqlite3.connect(path)) as database:
        in_doubt = database.execute("SELECT count(*) FROM users WHERE dirty AND body NOT NULL")
        assert (MANY,) == in_doubt.fetchone()

    again = sync.run(2, {"another": {"n": -1}})

    bodies = [json.loads(line.body) for line in again.lines]
    sent = {body["userId"]: body["traits"] for body in bodies}
    due = {user: {**said, "in_cohort": False} for user, said in cohort.items()}
    assert [] == [user for user, traits in due.items() if sent.get(user) != traits]
    assert {} == sync.wrong()


@pytest.mark.parametrize("damage", [b"", b"nonsense"])
def test_a_damaged_generation_is_refused(damage: bytes) -> None:
    """A file that is not what the pointer says is never read."""
    sync = begun()
    name = next(name for name in Storage.store if name.endswith(".sqlite"))
    sync.store._folder._files.pipe_file(name, damage)

    with pytest.raises(PermanentError, match="damaged"), store(sync).read():
        pass


def test_a_damaged_pointer_is_refused() -> None:
    """Half a pointer is no pointer."""
    sync = begun()
    name = next(name for name in Storage.store if name.endswith("current.json"))
    sync.store._folder._files.pipe_file(name, b'{"format": 1')

    with pytest.raises(PermanentError, match="damaged"), store(sync).read():
        pass


def test_an_unknown_format_is_refused() -> None:
    """A snapshot of a later version is not read by this one."""
    sync = begun()
    name = next(name for name in Storage.store if name.endswith("current.json"))
    pointer = {**json.loads(files()[name]), "format": 99}
    sync.store._folder._files.pipe_file(name, json.dumps(pointer).encode())

    with pytest.raises(PermanentError, match="version of this package that wrote it"):
        store(sync).user(b"")


def test_no_file_shows_who_is_in_it() -> None:
    """Ids are hashed, and what must be read again is sealed."""
    sync = begun(MEMBERSHIP)
    run = sync.extract(2, {f"{MARK}-w": {"a": MARK}})
    sync.deliver(run, lost=1)
    sync.report(run)

    assert 0 < sum(name.endswith(".sqlite") for name in files())
    assert not [name for name, data in files().items() if MARK.encode() in data]


def test_a_reset_deletes_everything() -> None:
    """The next run finds nobody and sends everything."""
    sync = begun()
    sync.reset()

    assert {} == Storage.store
    assert 2 == len(sync.extract(1, sync.known[next(iter(sync.known))].cohort).lines)


def test_what_is_known_of_a_user() -> None:
    """The window, the names and what Segment was told; never a value."""
    sync = begun(MEMBERSHIP)
    said = sync.store.user(key_of(sync, f"{MARK}-u"))

    assert said is not None
    assert (["a", "in_cohort"], 1, 1, "in", False) == tuple(
        said[name] for name in ("names", "window", "seen", "told", "dirty")
    )
    assert MARK not in json.dumps(said)
    assert sync.store.user(key_of(sync, "nobody")) is None


def test_a_run_of_another_secret_is_refused_and_holds_nobody_up() -> None:
    """Two first runs that each made a secret: the second to report begins anew."""
    sync = Sync(CHANGED)
    lost = sync.extract(1, {"u": {"a": 1}})
    sync.deliver(lost)
    others = store(sync, secret=b"x" * 32)

    with pytest.raises(PermanentError, match="Clear the extract task"):
        others.commit(lost.name, lost.fates())

    assert {} == others.open_runs()


def test_a_run_that_sent_nothing_is_discarded() -> None:
    """What was decided and never sent leaves no trace."""
    sync = begun()
    before = set(files())
    run = sync.extract(2, {"w": {"a": 1}})
    sync.store.discard(run.name)

    assert before == set(files())


def test_a_run_can_be_delivered_by_another() -> None:
    """What a stopped run decided is found until somebody knows what became of it."""
    sync = begun()
    run = sync.extract(2, {"w": {"a": 1}})

    assert sync.store.adopt(run.name, {"run_id": "later"})
    assert {"run_id": "later"} == sync.store.open_runs()[run.name]
    sync.deliver(run)
    sync.report(run)
    assert not sync.store.adopt(run.name, {"run_id": "too late"})


def test_a_read_of_a_snapshot_writes_nothing() -> None:
    """A dry run leaves no trace."""
    sync = begun()
    before = files()
    with killed_after(0), sync.store.read():
        pass

    assert before == files()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("/mnt/x", "every worker"),
        ({"path": "file:///mnt/x"}, "local"),
        ({"path": "s3://x", "locl": True}, "locl"),
        ({"local": True}, "no path"),
        ("", "no path"),
        ("memory://bucket/x", "memory of one process"),
        ("s3://key:hidden@bucket/x", "Airflow connection"),
        ("https://bucket/x?sig=hidden", "Airflow connection"),
        ("nosuch://bucket/x", "understands, but it is not \\("),
    ],
)
def test_storage_is_named_in_full(said: Any, complaint: str) -> None:
    """A path of one machine is only taken where somebody says that it is meant."""
    with pytest.raises(PermanentError, match=complaint) as caught:
        storage(said)

    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "expected"), [(PermissionError, TransientError), (FileNotFoundError, PermanentError)]
)
def test_what_a_storage_says_is_not_repeated(
    error: type[Exception], expected: type[Exception]
) -> None:
    """It may hold a signed address; its kind says enough."""

    class Refusing(ObjectStore):
        def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
            raise error("403 for https://bucket/?X-Amz-Credential=hidden")

    attach("memory", f"refusing-{error.__name__}", fs=Refusing())
    address = f"memory://refusing-{error.__name__}@bucket/x"
    folder = SnapshotFolder(storage({"path": address, "local": True}), "sync")

    with pytest.raises(expected, match=error.__name__) as caught:
        folder.point({})

    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_snapshot_on_disk_is_whole_or_not_there(tmp_path: Path) -> None:
    """A mounted folder does as well as object storage."""
    sync = Sync(CHANGED)
    sync.path = {"path": f"file://{tmp_path}", "local": True}
    sync.run(1, {"u": {"a": 1}})
    sync.run(2, {"u": {"a": 2}})

    assert {"u": {"a": 2}} == sync.segment.profiles
    (folder,) = tmp_path.iterdir()
    assert {"current.json", "generations", "runs"} == {path.name for path in folder.iterdir()}
    assert [] == list((folder / "runs").iterdir())


def test_what_is_deleted_while_it_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgetting somebody must not end a report for good that is writing just then."""
    sync = Sync(CHANGED)
    sync.path = {"path": f"file://{tmp_path}", "local": True}
    sync.run(1, {"u": {"a": 1}})
    flush = os.fsync

    def meanwhile(file: int) -> None:
        flush(file)
        monkeypatch.setattr(os, "fsync", flush)
        SnapshotFolder(storage(sync.path), "sync").delete_partial()

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(TransientError, match="deleted meanwhile"):
        sync.store.forget([key_of(sync, "u")])

    sync.store.forget([key_of(sync, "u")])
    assert {"forgotten": True} == sync.store.user(key_of(sync, "u"))


def test_a_snapshot_that_an_earlier_version_wrote_is_carried_on(tmp_path: Path) -> None:
    """It is compared and committed like one of today.

    When the tables change the format's number must too, and this file stays as it is.
    """
    kept = Path(__file__).parents[1] / "cases" / "snapshots" / "format-1.sql"
    with closing(sqlite3.connect(tmp_path / "kept")) as earlier:
        earlier.executescript(kept.read_text("utf-8"))
    sync = Sync(MEMBERSHIP)
    folder = sync.store._folder
    pointer = {"format": 1, "generation": 1, "file": "00000001-kept.sqlite", "look_id": "42"}
    pointer |= {"source": "source", "secret": sync.store.seal.fingerprint, "sync_id": "sync"}
    written = folder.write_generation("00000001-kept.sqlite", tmp_path / "kept")
    folder.point({**pointer, "digest": written})

    (leave,) = sync.run(2, {"u": {"a": 1}}).lines

    expected = {"userId": "v", "traits": {"email": "v@example.com", "in_cohort": False}}
    assert expected == json.loads(leave.body)
    assert {"generation": 2, "users": 2, "left": 1} == {
        name: sync.store.facts()[name] for name in ("generation", "users", "left")
    }


def test_names_of_runs_differ_by_generation() -> None:
    """A Clear of extract is another run."""
    assert run_name("dag", "run", "extract", "0") != run_name("dag", "run", "extract", "1")


def test_fates_survive_their_file() -> None:
    """What is written as JSON is read back alike."""
    fates = Fates([ShardFates(0, 3, 2, (1,), 1), ShardFates(3, 2, 0)])
    again = Fates.from_list(json.loads(json.dumps(fates.as_list())))

    expected = [1, 3, 2, 0, 0, 0]
    assert expected == [int(fates.of(position)) for position in range(6)]
    assert expected == [int(again.of(position)) for position in range(6)]
    assert 2 == Fates.unknown().of(10**9)
