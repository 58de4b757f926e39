"""Rejected rows are kept sealed, and only for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.stores.chunks import Seal
from airflow_provider_looker_segment.stores.rejects import (
    MAX_KEPT,
    MAX_KEPT_BYTES,
    TIME_TO_LIVE,
    Reject,
    RejectWriter,
    cells,
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

    with pytest.raises(PermanentError, match="gone"):
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
    writer = RejectWriter(f"file://{tmp_path}", SEAL, name="run", now=NOW, resumes=True)
    writer.add(Reject(7, "refused_by_segment", "", {}))
    kept = writer.close()

    assert kept is not None
    assert [1, 7] == [reject.row_number for reject in read(kept["path"], SEAL, now=NOW)]


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
