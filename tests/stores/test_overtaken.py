"""Reports and readers that others overtake in the middle."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from airflow_provider_looker_segment.core.history import Fates
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.stores.diff import Diff
from tests.histories import CHANGED, POINTING, Storage, Sync
from tests.stores.planted import begun, files, key_of, store


def raced(at: str = POINTING, *, later: bool = False) -> Sync:
    """Return a sync of two runs of which one reports in the middle of the other's report.

    :param at: when, as what the other report is about to open.
    :param later: whether a third run begins and ends in that moment, too.
    """
    sync = begun()
    slow, fast = (sync.extract(2, {user: {"a": 2}}) for user in ("slow", "fast"))
    sync.deliver(slow)
    sync.deliver(fast)

    def others() -> None:
        sync.report(fast)
        if later:
            sync.run(3, {"w": {"a": 1}})

    Storage.meanwhile = at, others
    sync.report(slow)
    assert Storage.meanwhile is None
    return sync


@pytest.mark.parametrize(
    ("at", "later", "generation"),
    [
        (r"^wb .*/generations/", False, 3),
        (r"^wb .*/generations/", True, 4),
        (r"^rb .*\.candidate$", False, 3),
        (r"^rb .*\.candidate$", True, 4),
    ],
)
def test_a_report_that_another_overtakes_begins_anew(
    at: str, generation: int, *, later: bool
) -> None:
    """What it wrote over an older state is never pointed at, and does not stay."""
    sync = raced(at, later=later)
    remembered = store(sync, remembered=generation)

    assert generation == sync.generation == remembered.facts()["generation"]
    assert ["in", "in"] == [
        (remembered.user(key_of(sync, user)) or {})["told"] for user in ("slow", "fast")
    ]
    names = {name.rpartition("/")[2] for name in files() if name.endswith(".sqlite")}
    assert 2 == len(names)
    assert generation == max(int(name.partition("-")[0]) for name in names)
    assert [] == sync.extract(4, {user: {"a": 2} for user in ("slow", "fast")}).lines


def test_a_reader_whom_commits_overtake_begins_anew() -> None:
    """The generation that the pointer named may be gone before it is opened."""
    sync = begun()

    def two_more() -> None:
        sync.run(sync.generation + 1, {"w": {"a": 1}})
        sync.run(sync.generation + 1, {"w": {"a": 1}})

    Storage.meanwhile = r"^rb .*/generations/", two_more
    assert 3 == sync.store.facts()["generation"]

    def without_end() -> None:
        two_more()
        Storage.meanwhile = r"^rb .*/generations/", without_end

    without_end()
    with pytest.raises(TransientError, match="stand still for a moment"):
        sync.store.facts()


def test_a_run_of_another_secret_stops_nobody_elses() -> None:
    """Two first runs at one moment may make a secret each; the other one fails by itself."""
    sync = Sync(CHANGED)
    stranger = store(sync, secret=b"x" * 32)
    with stranger.begin("stranger", {}) as base, TemporaryDirectory() as folder:
        diff = Diff(
            *(base, Path(folder)),
            seal=stranger.seal,
            rules=CHANGED,
            run="stranger",
            window=1,
            complete=True,
        )
        assert [] == list(diff.lines([]))
        diff.close()
        stranger.push("stranger", diff)
    sync.folder.write_run("stranger", "fates", [])

    sync.run(1, {"u": {"a": 1}})

    assert 1 == sync.store.facts()["generation"]
    with pytest.raises(PermanentError, match="secret"):
        stranger.commit("stranger", Fates([]))


def test_two_reports_that_point_at_one_moment() -> None:
    """The later one undoes the other, whose run is committed once more; nothing is lost."""
    sync = raced()
    assert 2 == sync.store.facts()["generation"]
    remembered = store(sync, remembered=3)

    with remembered.begin("next", {}):
        pass

    assert 3 == remembered.facts()["generation"]
    assert ["in", "in"] == [
        (remembered.user(key_of(sync, user)) or {})["told"] for user in ("slow", "fast")
    ]
    assert [] == sync.extract(3, {user: {"a": 2} for user in ("slow", "fast")}).lines
    with pytest.raises(PermanentError, match="generation 4"), store(sync, remembered=4).read():
        pass


def test_generations_that_were_undone_are_deleted() -> None:
    """Only the current one and the one before stay."""
    sync = raced()
    sync.run(3, {"w": {"a": 1}})
    sync.run(4, {"x": {"a": 1}})

    assert 2 == sum(name.endswith(".sqlite") for name in files())
