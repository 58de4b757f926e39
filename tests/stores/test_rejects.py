"""Rejected rows are kept sealed, and only for a while."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.stores.chunks import Seal
from airflow_provider_looker_segment.stores.rejects import (
    MAX_KEPT,
    MAX_KEPT_BYTES,
    TIME_TO_LIVE,
    Reject,
    RejectWriter,
    cells,
    forget,
    read,
)

NOW = datetime(2026, 1, 15, tzinfo=UTC)
SEAL = Seal(SegmentSettings("segment_default", "https://api.segment.io", "a write key"))


def write(folder: Path, *rejects: Reject, name: str = "run", now: datetime = NOW) -> str | None:
    """Write rejects and return their path."""
    writer = RejectWriter(f"file://{folder}", SEAL, name=name, now=now)
    for reject in rejects:
        writer.add(reject)
    kept = writer.close()
    return str(kept["path"]) if kept else None


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    """Row number, reason and the whole row are found again."""
    rejects = [
        Reject(number, "id_missing", "users.id", {"users.name": {"value": "Marker é"}})
        for number in range(1, 1_200)
    ]
    path = write(tmp_path, *rejects)

    assert path is not None
    assert rejects == list(read(path, SEAL, now=NOW))


def test_nothing_is_legible_at_rest(tmp_path: Path) -> None:
    """No value, no column and no reason is written in the clear."""
    write(tmp_path, Reject(1, "id_missing", "users.id", {"users.name": {"value": "Marker"}}))
    (file,) = tmp_path.iterdir()
    text = file.read_text("ascii")

    assert not [word for word in ("Marker", "users.id", "id_missing") if word in text]


def test_nothing_to_keep_writes_nothing(tmp_path: Path) -> None:
    """A clean run leaves no file."""
    assert write(tmp_path) is None
    assert [] == list(tmp_path.iterdir())


def test_another_key_does_not_open_it(tmp_path: Path) -> None:
    """Only who holds the write key may read."""
    path = write(tmp_path, Reject(1, "id_missing", "", {}))
    other = Seal(SegmentSettings("other", "https://api.segment.io", "another write key"))

    with pytest.raises(PermanentError, match="'other'"):
        list(read(str(path), other, now=NOW))


def test_after_its_time_it_is_gone(tmp_path: Path) -> None:
    """What has outlived its time is not shown, and the next run deletes it."""
    path = write(tmp_path, Reject(1, "id_missing", "", {}))
    later = NOW + TIME_TO_LIVE

    with pytest.raises(PermanentError, match="their time is over"):
        list(read(str(path), SEAL, now=later))
    write(tmp_path, name="next", now=later + timedelta(seconds=1))
    assert [] == list(tmp_path.iterdir())


def test_a_retry_replaces_what_the_try_before_wrote(tmp_path: Path) -> None:
    """One task leaves one file, whatever its number of tries."""
    write(tmp_path, Reject(1, "id_missing", "", {}))
    path = write(tmp_path, Reject(2, "id_missing", "", {}))

    assert [2] == [reject.row_number for reject in read(str(path), SEAL, now=NOW)]
    assert 1 == len(list(tmp_path.iterdir()))


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """Only what this package wrote is ever deleted."""
    foreign = tmp_path / "mine.rejects"
    foreign.write_text("something else", "ascii")
    write(tmp_path, Reject(1, "id_missing", "", {}), now=NOW + timedelta(days=400))

    assert foreign.exists()


def test_the_number_of_kept_rows_is_bounded(tmp_path: Path) -> None:
    """A Look full of bad rows does not fill the storage."""
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW)
    for number in range(MAX_KEPT + 5):
        writer.add(Reject(number, "id_missing", "", {}))

    assert MAX_KEPT == writer.kept


def test_the_size_of_what_is_kept_is_bounded(tmp_path: Path) -> None:
    """Nor do a few enormous rows."""
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW)
    for number in range(MAX_KEPT):
        writer.add(Reject(number, "message_too_large", "", {"users.note": "x" * 40_000}))
    kept = writer.close()

    assert kept is not None
    assert 300 <= kept["rows"] < MAX_KEPT
    assert (tmp_path / "run.rejects").stat().st_size < 3 * MAX_KEPT_BYTES


def test_a_try_that_goes_on_keeps_what_the_one_before_wrote(tmp_path: Path) -> None:
    """What Segment refused is not sent again, so it would be lost."""
    write(tmp_path, Reject(1, "refused_by_segment", "", {}))
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW, resumes=1)
    writer.add(Reject(7, "refused_by_segment", "", {}))
    kept = writer.close()

    assert kept is not None
    assert [1, 7] == [reject.row_number for reject in read(kept["path"], SEAL, now=NOW)]


def test_what_is_saved_survives_a_kill(tmp_path: Path) -> None:
    """What has been written is there without any end of the task, and says where it is."""
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW)
    assert writer.saved is None
    for number in (1, 2):
        writer.add(Reject(number, "refused_by_segment", "", {}))
        writer.save()
        assert writer.saved is not None
        kept = read(writer.saved["path"], SEAL, now=NOW)
        assert list(range(1, number + 1)) == [reject.row_number for reject in kept]
    assert ["run.rejects"] == [path.name for path in tmp_path.iterdir()]


def test_a_try_that_goes_on_takes_over_what_counts_as_done(tmp_path: Path) -> None:
    """What was written but not yet recorded comes again, and is kept once."""
    write(tmp_path, *(Reject(number, "refused_by_segment", "", {}) for number in (1, 2)))
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW, resumes=1)
    writer.add(Reject(2, "refused_by_segment", "", {}))
    kept = writer.close()

    assert kept is not None
    assert [1, 2] == [reject.row_number for reject in read(kept["path"], SEAL, now=NOW)]


def test_writing_one_by_one_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes the whole file again, so many rejects are written many at a time."""
    from airflow_provider_looker_segment.stores import rejects

    monkeypatch.setattr(rejects, "MAX_SAVED_AT_ONCE", 5)
    monkeypatch.setattr(rejects, "SAVED_TOGETHER", 10)
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW)
    written = []
    for number in range(40):
        writer.add(Reject(number, "refused_by_segment", "", {}))
        writer.save()
        written.append(writer.saved["rows"] if writer.saved else 0)

    assert [1, 2, 3, 4, 5, 15, 25, 35] == sorted(set(written))


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1])
def test_a_damaged_file_does_not_stop_a_try_that_goes_on(tmp_path: Path, cut: int) -> None:
    """There are messages to deliver; what can still be read of the file is kept."""
    path = tmp_path / "run.rejects"
    write(tmp_path, Reject(1, "refused_by_segment", "", {}))
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + (b"\xff\n" if cut < 0 else b""))
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW, resumes=1)
    writer.add(Reject(7, "refused_by_segment", "", {}))
    kept = writer.close()

    assert kept is not None
    assert [7] == [reject.row_number for reject in read(kept["path"], SEAL, now=NOW)]


@pytest.mark.parametrize("more", [0, 1])
def test_what_cannot_be_read_for_a_moment_is_not_replaced(tmp_path: Path, more: int) -> None:
    """A storage that is away when a retry begins may be back when it ends."""
    path = write(tmp_path, Reject(1, "refused_by_segment", "", {}))
    file, aside = tmp_path / "run.rejects", tmp_path / "aside"
    file.rename(aside)
    file.symlink_to(file)
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW, resumes=1)
    file.unlink()
    aside.rename(file)
    for _ in range(more):
        writer.add(Reject(7, "refused_by_segment", "", {}))
    kept = writer.close()

    assert path is not None
    assert [1] == [reject.row_number for reject in read(path, SEAL, now=NOW)]
    later = [] if kept is None else list(read(kept["path"], SEAL, now=NOW))
    assert [7] * more == [reject.row_number for reject in later]


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "no zone": lambda path: path.write_text('{"expires": "2020-01-01T00:00:00"}'),
    "another format": lambda path: path.write_text('{"expires": "2020-01-01T00:00:00+00:00"}'),
    "deep": lambda path: path.write_text("[" * 200_000),
    "a list": lambda path: path.write_text("[]"),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "nothing": lambda path: path.write_bytes(b""),
    "a link to nowhere": lambda path: path.symlink_to("/nonexistent/file"),
    "a link to itself": lambda path: path.symlink_to(path),
}
"""What may lie in a folder that others use too."""


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_lies_in_the_folder_stops_nobody(tmp_path: Path, kind: str) -> None:
    """Housekeeping neither fails nor deletes what is not this package's."""
    FOREIGN[kind](tmp_path / "x.rejects")
    assert write(tmp_path, Reject(1, "id_missing", "", {}), now=NOW + timedelta(days=400))
    assert {"x.rejects", "run.rejects"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_file_of_rejects_is_refused(tmp_path: Path, kind: str) -> None:
    """Whatever a path leads to, the answer is one of this package's errors."""
    FOREIGN[kind](tmp_path / "x.rejects")
    with pytest.raises(PermanentError, match="Rejects"):
        list(read(f"file://{tmp_path}/x.rejects", SEAL, now=NOW))


@pytest.mark.parametrize("name", ["nowhere.rejects", "."])
def test_an_address_without_a_file_is_not_told_to_have_had_one(tmp_path: Path, name: str) -> None:
    """Whoever mistypes it, or gives the folder, is sent to the report."""
    with pytest.raises(PermanentError, match=r"no file is there.*Copy the address of the file"):
        list(read(str(tmp_path / name), SEAL, now=NOW))


@pytest.mark.parametrize("path", ["nope://x/y", "s3://key:secret@bucket/x", "http://[bad"])
def test_an_address_that_is_none_is_refused(path: str) -> None:
    """An unknown kind of storage is no crash, and a secret is not for addresses."""
    with pytest.raises(PermanentError, match="Rejects"):
        list(read(path, SEAL, now=NOW))


def test_many_tasks_delete_at_once(tmp_path: Path) -> None:
    """A file that another task deletes meanwhile is gone, as it should be."""
    for number in range(60):
        write(tmp_path, Reject(1, "id_missing", "", {}), name=f"old-{number}")
    later = NOW + TIME_TO_LIVE + timedelta(seconds=1)
    with ThreadPoolExecutor(6) as pool:
        names = [f"new-{number}" for number in range(6)]
        found = pool.map(
            lambda name: write(tmp_path, Reject(1, "a", "", {}), name=name, now=later), names
        )
        assert all(found)

    assert {f"{name}.rejects" for name in names} == {path.name for path in tmp_path.iterdir()}


def test_a_storage_that_takes_nothing_is_trouble_that_may_pass(tmp_path: Path) -> None:
    """The error is of this package, and names where the rejects should be."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TransientError, match="storage does not take them"):
        write(tmp_path / "file", Reject(1, "id_missing", "", {}))


def test_a_retry_that_rejects_nothing_leaves_nothing(tmp_path: Path) -> None:
    """What an earlier try wrote is not taken for this one's."""
    write(tmp_path, Reject(1, "id_missing", "", {}))

    assert write(tmp_path) is None
    assert [] == list(tmp_path.iterdir())


def test_cells_are_kept_without_their_decoration() -> None:
    """Values stay, by column and pivot; links, rendered texts and markup go."""
    row = {
        "users.id": {"value": None, "rendered": "∅", "links": [{"url": "https://…"}]},
        "orders.count": {"a|FIELD|b": {"value": 2, "html": "<b>2</b>"}, "$$$_row_total_$$$": {}},
    }

    expected = {"users.id": None, "orders.count": {"a|FIELD|b": 2, "$$$_row_total_$$$": {}}}
    assert expected == cells(row)


@pytest.mark.parametrize(
    ("cell", "user"),
    [
        (17850.0, "17850"),
        ("\u200b17850", "17850"),
        ("Ty@Example.com", "ty@example.com"),
        ("ty@example.com", "Ty@example.com"),
    ],
)
def test_forgetting_knows_every_spelling(tmp_path: Path, cell: object, user: str) -> None:
    """A cell holds what Looker sent; a user is whom the mapping made of it."""
    write(tmp_path, Reject(1, "array_value", "", {"users.id": cell}))

    assert (0, 0) == forget(f"file://{tmp_path}", SEAL, ["somebody else"], now=NOW)
    assert (1, 0) == forget(f"file://{tmp_path}", SEAL, [user], now=NOW)
    assert [] == list(tmp_path.iterdir())
