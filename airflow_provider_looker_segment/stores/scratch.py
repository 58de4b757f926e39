"""Scratch folders: where a process has a snapshot and its rows at hand while it works on them.

A folder is there for as long as somebody works in it. What a killed process has left is deleted by
whoever needs a folder next on the same machine.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

_PREFIX = "looker-segment-scratch-"
"""Of no other folders: the sandbox and the tests have some, too."""

_LOCK = "lock"
"""A file in each: machines that share a place, as over NFS, share the locks of files only."""

_LOCKED_WITHIN_S = 60
"""Seconds after which whoever has made a folder has locked it, too."""


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder that only this user can read, and delete it when the context ends."""
    for folder in Path(gettempdir()).glob(f"{_PREFIX}*"):
        # One may be gone by now, or be another user's.
        with suppress(OSError):
            _delete_if_left(folder)
    with TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with _opened(folder / _LOCK, os.O_CREAT) as descriptor:
            # Where there are no locks nobody deletes what is left.
            with suppress(OSError):
                _lock(descriptor)
            yield folder


def _delete_if_left(folder: Path) -> None:
    if time.time() - folder.stat().st_mtime < _LOCKED_WITHIN_S:
        return
    with _opened(folder / _LOCK) as descriptor:
        _lock(descriptor)
        shutil.rmtree(folder)


@contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    # Some systems lock only what may be written.
    descriptor = os.open(path, os.O_RDWR | flags, mode=0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a file until it is closed, also by the death of the process."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
