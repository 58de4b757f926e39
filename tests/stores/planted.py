"""Snapshots for tests, which hold a word to be searched for."""

from __future__ import annotations

from airflow_provider_looker_segment.core.snapshot import Rules
from airflow_provider_looker_segment.stores.generations import Identity
from airflow_provider_looker_segment.stores.snapshot_folder import SnapshotFolder, storage
from airflow_provider_looker_segment.stores.snapshots import SnapshotStore
from tests.histories import CHANGED, SECRET, Storage, Sync

MARK = "planted-7f3a"
"""Part of every id and value in these tests, so that it can be searched for."""


def store(
    sync: Sync, *, remembered: int = 0, secret: bytes = SECRET, **other: str
) -> SnapshotStore:
    """Open a sync's snapshot as somebody else would."""
    identity = Identity(**{"sync_id": "sync", "look_id": "42", "source": "source", **other})
    folder = SnapshotFolder(storage(sync.path), "sync")
    return SnapshotStore(folder, identity, secret=secret, remembered=remembered)


def begun(rules: Rules = CHANGED) -> Sync:
    """Return a sync with one committed run of two users."""
    sync = Sync(rules)
    sync.run(1, {f"{MARK}-u": {"a": MARK}, f"{MARK}-v": {"a": 1}})
    return sync


def key_of(sync: Sync, user: str) -> bytes:
    """Return what stands for a user in a sync's snapshot."""
    return sync.store.seal.key("userId", user)


def files() -> dict[str, bytes]:
    """Return every file of the storage with what it holds."""
    return {name: bytes(file.getvalue()) for name, file in Storage.store.items()}
