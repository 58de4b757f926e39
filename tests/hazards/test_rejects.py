"""What was left out can be found again, by who holds the write key, and by nobody else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_looker_segment import cli
from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.stores.chunks import Seal
from airflow_provider_looker_segment.stores.rejects import read
from tests.hazards.conftest import BATCH, SMALL_BATCHES
from tests.hazards.flow import Flow, States, row, stopped
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


def test_what_a_terminal_would_act_upon_is_escaped(
    start: Start, answer: Answer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value neither moves the cursor nor turns the line around; the JSON means the same."""
    note = "\x1b[31m \x9b31m \u202e \u2028 \x7f Zoë"
    answer(row(), row(id="null", note=json.dumps(note)))
    flow = start(guards=GUARDS, rejects=f"file://{tmp_path}").run()
    (kept,) = flow.books["rejects"]
    capsys.readouterr()
    assert 0 == cli.main(["rejects", kept["path"], "--show-values"])
    said = capsys.readouterr().out

    assert [] == [mark for mark in "\x1b\x9b\u202e\u2028\x7f" if mark in said]
    assert "Zoë" in said
    assert note == json.loads(said)["content"]["people.note"]


@pytest.mark.parametrize(
    ("content", "address"),
    [
        (b"\xff\xfe", ""),
        ('{"format": "é"}'.encode(), ""),
        (b'{"format": "other", "expires": "2999-01-01T00:00:00+00:00"}\n', ""),
        (b'{"format": "looker-segment-rejects-1", "expires": "2999-01-01T00:00:00+00:00"}\nx', ""),
        (b"", "no-such-scheme://x/y"),
        (b"", "http://[bad"),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_a_file_that_is_none_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, address: str
) -> None:
    """No traceback, and the exit status of an error."""
    (tmp_path / "x.rejects").write_bytes(content)
    assert 2 == cli.main(["rejects", address or f"file://{tmp_path}/x.rejects"])
    lines = capsys.readouterr().err.splitlines()
    # Airflow 3.1 itself warns of every connection type with an underscore.
    (said,) = [line for line in lines if "RFC3986" not in line]

    assert "Rejects" in said


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


SECRETIVE = [
    "s3://key:planted-secret@bucket/x",
    "ftp://user:planted-secret@127.0.0.1/x",
    "abfs://box/x?sig=planted-secret",
]


@pytest.mark.parametrize("folder", SECRETIVE)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rejects", str),
        ("snapshot", str),
        ("snapshot", lambda folder: {"path": folder, "local": True}),
        ("snapshot", lambda folder: json.dumps({"path": folder})),
    ],
)
def test_an_address_with_a_secret_never_gets_to_airflow(
    folder: str, name: str, said: Callable[[str], Any]
) -> None:
    """Airflow keeps arguments with the DAG and shows them, so the DAG is refused."""
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    with pytest.raises(PermanentError, match=f"`{name}`") as refusal:
        LookerRunLookOperator(task_id="extract", look_id="1", **{name: said(folder)})
    assert "planted" not in str(refusal.value)


@pytest.mark.parametrize(
    "said", ["{{ var.value.x }}", {"path": "s3://{{ var.value.x }}@b/{{ y }}"}]
)
def test_an_address_that_a_template_makes_waits_for_the_run(said: Any) -> None:
    """Nobody knows it before, and a connection in it is no secret."""
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    operator = LookerRunLookOperator(task_id="extract", look_id="1", snapshot=said)
    assert said == operator.snapshot


def test_a_rendered_address_with_a_secret_stops_the_run(
    start: Start, answer: Answer, everything: Everything
) -> None:
    """What a template becomes is known to the task only, which neither uses nor repeats it."""
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    operator = LookerRunLookOperator(task_id="extract", look_id="1", rejects="{{ var.value.x }}")
    operator.rejects = SECRETIVE[0]
    flow = start()
    with pytest.raises(AirflowFailException, match="`rejects`"):
        operator.execute(flow.context("extract"))
    assert "planted" not in everything.text(flow)


def test_a_connection_in_an_address_is_no_secret() -> None:
    """Airflow's way to say which credentials a storage needs."""
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    address = "s3://conn_id@bucket/folder"
    operator = LookerRunLookOperator(task_id="extract", look_id="1", rejects=address)
    assert address == operator.rejects


def test_a_refused_message_is_kept_before_it_counts_as_done(
    start: Start, answer: Answer, sandbox: Any, tmp_path: Path
) -> None:
    """Whenever the worker is killed, no refused message is done and nowhere."""
    answer(*(row(id=f'"u-{number}"') for number in range(20)))
    sandbox.segment_faults.add("poison", pattern='"u-(3|8|15)"', path=BATCH, times=-1)
    flow = start(
        guards=GUARDS, rejects=f"file://{tmp_path}", max_messages_per_second=SMALL_BATCHES
    ).extract()
    seal = Seal(SegmentSettings.read("segment_default"))
    kept: list[tuple[int, int]] = []

    class Watched(States):
        def set(self, key: str, value: Any) -> None:
            rows = [
                reject.row_number
                for path in tmp_path.glob("*.rejects")
                for reject in read(f"file://{path}", seal, now=datetime.now(UTC))
            ]
            kept.append((value["receipt"]["refused"], len(rows)))
            super().set(key, value)

    flow.stores["identify/0"] = Watched()
    flow.identify()

    assert {0, 1, 2, 3} == {refused for refused, _ in kept}
    assert all(rows == refused for refused, rows in kept)
    told = json.loads(flow.xcoms.texts["identify", 0, "receipt"])
    assert 3 == told["rejects"]["rows"]


@pytest.mark.usefixtures("clock")
def test_a_damaged_file_of_an_earlier_try_does_not_stop_the_delivery(
    start: Start, answer: Answer, sandbox: Any, tmp_path: Path
) -> None:
    """A message refused in the first try is lost with its file; everybody else's arrives."""
    answer(*(row(id=f'"u-{number}"') for number in range(20)))
    poison = {"pattern": '"u-3"', "path": BATCH, "times": -1}
    sandbox.segment_faults.add("poison", **poison)
    flow = start(
        guards=GUARDS, rejects=f"file://{tmp_path}", max_messages_per_second=SMALL_BATCHES
    ).extract()
    sandbox.segment_faults.add("status", status=503, path=BATCH, times=-1, after=4)
    flow.identify()
    assert "TransientError" == type(flow.errors["identify[0]"]).__name__
    (file,) = tmp_path.glob("*.rejects")
    file.write_bytes(file.read_bytes()[:150] + b"\xff")
    sandbox.segment_faults.clear()
    sandbox.segment_faults.add("poison", **poison)
    flow.identify().report()

    assert {} == flow.errors
    assert (19, 1) == (flow.books["accepted"], flow.books["refused"])


def test_a_storage_that_takes_no_rows_is_trouble_that_may_pass(
    start: Start, answer: Answer, tmp_path: Path
) -> None:
    """Nothing is sent of a run whose rejected rows cannot be kept."""
    answer(row(), row(id="null"))
    (tmp_path / "file").write_text("in the way")
    flow = start(guards=GUARDS, rejects=f"file://{tmp_path}/file").run()

    stopped(flow, "transient", "storage does not take them")


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
