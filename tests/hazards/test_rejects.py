"""What was left out can be found again, by who holds the write key, and by nobody else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_looker_segment import cli
from tests.hazards.conftest import BATCH, SMALL_BATCHES
from tests.hazards.flow import Flow, row, stopped
from tests.hazards.planted import NEEDLES, SECRETS, Everything, assert_private, planted

Start = Callable[..., Flow]
Answer = Callable[..., None]

GUARDS = {"max_rejected": 1}


def fetch(command: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Type a command as the report shows it, and read what it prints."""
    capsys.readouterr()
    words = shlex.split(command)
    assert ["python", "-m", "airflow_provider_looker_segment"] == words[:3]
    assert 0 == cli.main(words[3:])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_bad_row_of_an_unsorted_look_is_found(
    start: Start, answer: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row number says nothing where the order changes; the row itself does."""
    answer(row(), row(id="null", name='"Zoë 名"', email="null", note='"the one"'))
    flow = start(guards=GUARDS, rejects=f"file://{tmp_path}").run()
    (kept,) = flow.books["rejects"]
    (found,) = fetch(kept["command"], capsys)

    assert {} == flow.errors
    assert (2, "id_missing", "people.id") == (found["row"], found["code"], found["column"])
    assert found["content"] == {
        "people.id": None,
        "people.email": None,
        "people.name": "Zoë 名",
        "people.note": "the one",
    }


def test_rows_that_a_guard_stopped_at_are_found(
    start: Start, answer: Answer, tmp_path: Path, everything: Everything
) -> None:
    """Where too many rows are bad there is no report, so extract's log says how to see them."""
    answer(row(), row(id="null"))
    flow = start(rejects=f"file://{tmp_path}").run()
    said = everything.text(flow)

    stopped(flow, "permanent", "rejected", kept=True)
    (file,) = tmp_path.iterdir()
    assert f"python -m airflow_provider_looker_segment rejects file://{file} --show-values" in said


def test_messages_that_segment_refuses_are_found(
    start: Start,
    answer: Answer,
    sandbox: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are kept whole, through a try that stops and one that goes on."""
    answer(*(row(id=f'"u-{number}"') for number in range(20)))
    for number in (3, 17):
        sandbox.segment_faults.add("poison", pattern=f'"u-{number}"', path=BATCH, times=-1)
    sandbox.segment_faults.add("status", status=401, path=BATCH, after=4)
    flow = start(guards=GUARDS, rejects=f"file://{tmp_path}", max_messages_per_second=SMALL_BATCHES)
    flow.extract().identify()
    assert "identify[0]" in flow.errors
    flow.identify().report()
    (kept,) = flow.books["rejects"]
    found = fetch(kept["command"], capsys)

    assert {} == flow.errors
    assert ["u-3", "u-17"] == [one["content"]["userId"] for one in found]
    assert {"refused_by_segment"} == {one["code"] for one in found}
    assert [4, 18] == [one["row"] for one in found]


def test_what_is_kept_is_private(
    start: Start, answer: Answer, sandbox: Any, tmp_path: Path, everything: Everything
) -> None:
    """Neither the file nor anything that is said about it holds a value."""
    cells = [planted(number, id="null", email="null") for number in range(3)]
    answer(*(planted(number) for number in range(5)), *cells)
    sandbox.segment_faults.add("poison", pattern="x7 3", path=BATCH, times=-1)
    flow = start(guards=GUARDS, rejects=f"file://{tmp_path}").run()
    files = [file.read_text("ascii") for file in tmp_path.iterdir()]

    assert 2 == len(flow.books["rejects"]) == len(files)
    assert 3 + 1 == sum(kept["rows"] for kept in flow.books["rejects"])
    assert_private(everything.text(flow) + "".join(files))


def test_values_are_masked_unless_asked_for(
    start: Start, answer: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever only wants to know which columns are empty sees nothing else."""
    answer(planted(), planted(id="null", email="null"), planted(2, note="[1]"))
    flow = start(guards=GUARDS, rejects=f"file://{tmp_path}").run()
    (kept,) = flow.books["rejects"]
    capsys.readouterr()
    assert 0 == cli.main(["rejects", kept["path"], "--code", "id_missing"])
    said = capsys.readouterr()
    (found,) = [json.loads(line) for line in said.out.splitlines()]

    assert "null" == found["content"]["people.id"]
    assert found["content"]["people.note"].startswith("text of")
    assert [] == [one for one in (*NEEDLES, *SECRETS) if one in said.out + said.err]
    assert 1 == cli.main(["rejects", kept["path"], "--code", "no_such_code"])


def test_without_a_folder_nothing_is_kept(start: Start, answer: Answer, tmp_path: Path) -> None:
    """Personal data rests nowhere unless somebody asked for it."""
    answer(row(), row(id="null"))
    flow = start(guards=GUARDS).run()

    assert [] == flow.books["rejects"]


@pytest.mark.parametrize("folder", ["no-such-scheme://bucket/rejects"])
def test_an_address_that_is_none_stops_the_run(
    start: Start, answer: Answer, sandbox: Any, folder: str
) -> None:
    """It is said before the query, not when the first row is bad."""
    answer(row())
    flow = start(rejects=folder).run()

    stopped(flow, "permanent", "`rejects`")
    assert [] == [one for one in flow.asked if one["path"].endswith("json_detail")]


def test_a_full_disk_does_not_undo_what_was_sent(
    start: Start, answer: Answer, sandbox: Any, tmp_path: Path
) -> None:
    """Messages that were accepted are accounted for, whether or not the refused one is kept."""
    answer(*(row(id=f'"u-{number}"') for number in range(5)))
    sandbox.segment_faults.add("poison", pattern='"u-3"', path=BATCH, times=-1)
    folder = tmp_path / "rejects"
    flow = start(guards=GUARDS, rejects=f"file://{folder}").extract()
    folder.write_text("in the way")
    flow.identify().report()

    assert {} == flow.errors
    assert (4, 1, []) == (flow.books["accepted"], flow.books["refused"], flow.books["rejects"])
