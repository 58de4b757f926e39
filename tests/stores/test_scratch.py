"""Folders in which somebody works: nobody else deletes them, and nothing of them stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from airflow_provider_looker_segment.stores.scratch import scratch_folder

WORKER = """
from airflow_provider_looker_segment.stores.scratch import scratch_folder

with scratch_folder() as folder:
    (folder / "snapshot").touch()
    print(folder, flush=True)
    input()
"""
LONG_AGO = 1_000_000_000


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's temporary folders are."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_gone_when_its_work_ends(place: Path) -> None:
    """Whether that succeeds or not."""

    def fails() -> None:
        with scratch_folder() as folder:
            assert 0o700 == folder.stat().st_mode & 0o777
            (folder / "snapshot").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert [] == [*place.iterdir()]


def test_what_a_killed_process_leaves_is_deleted_by_the_next(place: Path) -> None:
    """As long as it lives nobody touches its folder, however old that is."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env={**os.environ, "TMPDIR": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        os.utime(left, (LONG_AGO, LONG_AGO))
        with scratch_folder():
            assert (left / "snapshot").exists()
        process.kill()
    assert (left / "snapshot").exists()

    with scratch_folder() as folder:
        assert [folder] == [*place.iterdir()]


def test_two_folders_of_one_process_leave_each_other_alone() -> None:
    """A run has the snapshot in one and what it decides in another."""
    with scratch_folder() as first:
        os.utime(first, (LONG_AGO, LONG_AGO))
        with scratch_folder() as second:
            assert first.exists()
            assert second.exists()


def test_a_folder_that_may_not_be_locked_yet_is_left_alone(place: Path) -> None:
    """Somebody may have made it this very moment."""
    made = place / "looker-segment-scratch-new"
    made.mkdir()
    (made / "lock").touch()
    with scratch_folder():
        assert made.exists()


def test_the_lock_is_that_of_a_file() -> None:
    """Machines that share a folder over NFS know of each other's locks of files only."""
    with (
        scratch_folder() as folder,
        (folder / "lock").open("r+b") as file,
        pytest.raises(BlockingIOError),
    ):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("within", [False, True])
def test_nobody_is_held_up_by_what_is_no_folder_of_ours(place: Path, within: bool) -> None:
    """Anybody may put a pipe there, and whoever opens one to read waits for its writer."""
    pipe = place / "looker-segment-scratch-pipe"
    if within:
        pipe.mkdir()
        os.mkfifo(pipe / "lock")
    else:
        os.mkfifo(pipe)
    os.utime(pipe, (LONG_AGO, LONG_AGO))
    work = "from airflow_provider_looker_segment.stores import scratch\n"
    work += "with scratch.scratch_folder(): print('done')"
    done = subprocess.run(
        [sys.executable, "-c", work],
        env={**os.environ, "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "done\n" == done.stdout, done.stderr


def test_other_folders_of_this_project_are_left_alone(place: Path) -> None:
    """The sandbox and the tests lock none of theirs."""
    other = place / "looker-segment-demo-x"
    other.mkdir()
    os.utime(other, (LONG_AGO, LONG_AGO))
    with scratch_folder():
        assert other.exists()


def test_nothing_is_deleted_through_a_link(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Temporary folders are everybody's, and anybody may put a link there."""
    others = tmp_path_factory.mktemp("others")
    (others / "file").touch()
    (others / "lock").touch()
    (place / "looker-segment-scratch-link").symlink_to(others)
    os.utime(others, (LONG_AGO, LONG_AGO))
    with scratch_folder():
        assert (others / "file").exists()
