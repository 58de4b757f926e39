"""What a sync remembers between its runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_looker_segment.core.sync import (
    MOST_FORMER_FOLDERS,
    StoppedRun,
    SyncRecord,
    how_to_reset,
)
from airflow_provider_looker_segment.exceptions import PermanentError

MAY, JUNE = (datetime(2019, month, 1, tzinfo=UTC) for month in (5, 6))


def test_plain_json_and_back() -> None:
    """A record survives its way through a variable; what another version noted is no error."""
    stopped = StoppedRun("dag", "run", "extract", -1, 3, 2, run="r")
    record = SyncRecord(look_id="42", rows=5, contract={"ids": {}}, stopped=stopped)
    said = json.loads(json.dumps(record.as_dict()))

    assert record == SyncRecord.from_dict(said)
    assert record == SyncRecord.from_dict({**said, "later": 1})
    assert SyncRecord(rows=5) == SyncRecord.from_dict({"rows": 5})


def test_the_newest_window_stays_the_newest() -> None:
    """An older run does not make the sync forget a newer one."""
    newest = SyncRecord().reported(JUNE.isoformat())

    assert newest == newest.reported(MAY.isoformat())
    assert (
        JUNE.isoformat() == SyncRecord().reported(MAY.isoformat()).reported(JUNE.isoformat()).newest
    )


def test_an_older_window_is_refused() -> None:
    """The same one, and a newer one, are not."""
    record = SyncRecord().reported(JUNE.isoformat())
    record.check_window(JUNE, where="Look 42", sync_id="s")
    SyncRecord().check_window(MAY, where="Look 42", sync_id="s")

    with pytest.raises(PermanentError, match="allow_older=True"):
        record.check_window(MAY, where="Look 42", sync_id="s")


@pytest.mark.parametrize(
    ("known", "end", "expected"),
    [
        ("", MAY, True),
        (MAY.isoformat(), MAY, True),
        (JUNE.isoformat(), MAY, False),
        ("", JUNE, False),
        (None, MAY, False),
    ],
    ids=["first", "another", "known before", "not newer", "nobody noted it"],
)
@pytest.mark.parametrize("how", ["reported", "sending"])
def test_who_is_overtaken_meanwhile(
    known: str | None, end: datetime, *, expected: bool, how: str
) -> None:
    """By a newer window that was reported or sent since somebody asked, and by no other."""
    record = getattr(SyncRecord(), how)(JUNE.isoformat())

    assert expected is record.overtakes(end, known=known)


def test_whoever_must_reset_learns_how() -> None:
    """With a shell, where a sync's id may need quotes, and from a form without one."""
    said = how_to_reset("my dag/42")

    assert "snapshot_maintenance with action reset and sync_id my dag/42" in said
    assert "--sync 'my dag/42'" in said


def test_former_folders_are_few_and_the_latest_last() -> None:
    """A template may name another folder each day; one that is named again is no former one."""
    record = SyncRecord()
    for day in (*range(60), 30, 31):
        record = record.keeping(f"s3://bucket/{day}", "segment_default")
    back = SyncRecord.from_dict(json.loads(json.dumps(record.as_dict())))

    assert back == record
    assert MOST_FORMER_FOLDERS == len(record.former_rejects)
    assert ("s3://bucket/31", "s3://bucket/30") == (record.rejects, record.former_rejects[-1])
    assert record.keeping("", "other").former_rejects[-1] == "s3://bucket/31"
