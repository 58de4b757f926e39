"""No value of a row and no secret is anywhere but in sealed chunks and in Segment.

Planted values are looked for in everything that a run leaves: logs of every level, output,
exceptions with their chains, XCom, rendered templates, the whole metadata database, the report.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.hooks.segment import SegmentHook
from airflow_provider_looker_segment.stores.chunks import Seal
from tests.conftest import HOME
from tests.hazards.conftest import BATCH, RESULT
from tests.hazards.flow import Flow, document, row, stopped, succeeded
from tests.hazards.planted import PLANTED, Everything, assert_private, planted
from tests.hazards.registry import hazard

Start = Callable[..., Flow]

Answer = Callable[..., None]


def opened(value: dict[str, Any]) -> str:
    """Return what a chunk holds, as only the holder of the write key can."""
    seal = Seal(SegmentSettings.read("segment_default"))
    return zlib.decompress(seal.open(value["data"], where="")).decode()


ENDS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "success": ([], {}),
    "dry run": ([], {"dry_run": True}),
    "poison": ([{"kind": "poison", "pattern": "planted-id-x7 3", "times": -1}], {}),
    "400 with an echo": (
        [{"kind": "status", "status": 400, "body": {"message": PLANTED["name"]}, "times": -1}],
        {},
    ),
    "413": ([{"kind": "too_large", "max_messages": 2, "times": -1}], {}),
    "401": ([{"kind": "status", "status": 401, "body": PLANTED["email"], "times": -1}], {}),
    "503 with an echo": (
        [{"kind": "status", "status": 503, "body": PLANTED["note"], "times": -1}],
        {},
    ),
    "html": ([{"kind": "body", "body": f"<html>{PLANTED['name']}"}], {}),
    "redirect": (
        [{"kind": "status", "status": 302, "headers": {"Location": "/planted.mail"}}],
        {},
    ),
    "reset": ([{"kind": "reset", "times": -1}], {}),
    "lost answer": ([{"kind": "lost_answer", "times": 2}], {}),
    "schema": (
        [],
        {"mapping": {"traits_schema": {"properties": {"name": {"maxLength": 3}}}}},
    ),
    "guard": ([], {"guards": {"max_rejected": 0}}),
    "forbidden list": ([], {"mapping": {"nulls": "reject"}}),
    "destination": ([], {"destinations": ["totango"]}),
}


@hazard(
    "A10",
    "debug logging of the SDKs, error answers that echo what was sent",
    "no value and no secret in any log, message, template or report, at any level",
)
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("end", ENDS)
def test_a10_whatever_the_end(
    start: Start, answer: Answer, everything: Everything, sandbox: Any, end: str
) -> None:
    """Rows of every kind, ends of every kind: nothing is told.

    No chunk is left but of a run that a guard stopped, which somebody may approve.
    """
    faults, choices = ENDS[end]
    rows = [planted(number) for number in range(8)]
    rows += [rows[0], planted(1, note='"planted other"'), planted(9, note='["planted"]')]
    rows += [planted(10, id="null", email='"planted"'), planted(11, id="8054321.5")]
    answer(*rows)
    for fault in faults:
        sandbox.segment_faults.add(path=BATCH, **fault)
    flow = start(**{"guards": {"max_rejected": 0.9}, **choices}).extract()
    assert_private(everything.text(flow))
    chunk = flow.xcoms.texts.get(("extract", -1, "chunk_00000"))
    assert (chunk is None) == (end != "guard" and (flow.errors != {} or end == "dry run"))
    assert chunk is None or "lanted O'Name" in opened(json.loads(chunk))
    flow.identify().report()

    assert_private(everything.text(flow))
    assert (end == "guard") == (flow.xcoms.chunks() != [])
    assert end != "success" or 8 == flow.record["accepted"]


QUOTED = "ERROR: value 'planted-id-x7' and \"planted note\" of planted.mail@secret.example"

QUOTES = [
    QUOTED,
    "Bad int64 value: Planted O'Name",
    "ERROR: not unique. DETAIL: Key (name)=(planted note) already exists.",
    "could not convert string to float: 'planted-id-x7",
    'invalid input syntax for type integer: "planted"',
    "Duplicate entry 'planted-id-x7' for key 'PRIMARY'",
    "Numeric value 'planted' is not recognized, row 8054321",
    "Value Error: Bad double value: planted note, 8054321; while executing",
    "Conversion failed when converting the varchar value 'O'Brien Planted' to data type int.",
    "Failing row contains (1, Planted, null).",
    "Cannot cast value Planted to bigint",
    "Numeric value \u201cPlanted\u201d is not recognized",
    r"Duplicate entry 'O\'Brien Planted' for key 'users.email'",
    "While executing: SELECT * FROM users WHERE name = $$Planted$$",
    "Planted note 4711-0815 of planted.mail@secret.example",
]
"""What databases say about a value, each in its own way."""

BARE: dict[str, Callable[[str], str]] = {
    "text in place of a cell": lambda said: (
        '{"data":[{"people.id":{"value":"u-1"},"people.email":' + said + "}]}"
    ),
    "text after a row": lambda said: '{"data":[' + f"{row()} {said}]}}",
    "a page": lambda said: f"<html><body>{said}</body></html>",
    "text": lambda said: f"{said} in row {said}",
    "message": lambda said: json.dumps({"message": said}),
    "nested errors": lambda said: json.dumps({"data": [], "errors": [[said]]}),
    "errors of another shape": lambda said: json.dumps({"data": [], "errors": [{"x": said}]}),
    "an object for a message": lambda said: json.dumps(
        {"data": [], "errors": [{"message": {"value": said}}]}
    ),
}
"""Ways to come instead of a result in which nothing stands between the reader and a value."""


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("said", "shape"),
    [(said, shape) for said in QUOTES for shape in ("errors", "400")]
    + [(QUOTED, "looker_error"), (QUOTED, "text among rows"), (QUOTED, "422")]
    + [
        (said, shape)
        for said in ("Hello Planted, you", "Planted value, there and at every place")
        for shape in BARE
    ],
)
def test_what_looker_quotes_is_not_repeated(
    start: Start, everything: Everything, sandbox: Any, said: str, shape: str
) -> None:
    """A database's words are shown, the values in them are not."""
    body: Any = document(planted(), errors=[{"message": "Query failed", "message_details": said}])
    if shape == "looker_error":
        body = json.dumps([{"looker_error": said}])
    elif shape == "text among rows":
        body = document(planted())[:-2] + f",\nSQL Error: {said}]}}"
    elif shape == "422":
        body = json.dumps({"message": said, "errors": [{"field": said, "message": said}]})
    elif shape in BARE:
        body = BARE[shape](said)
    elif shape == "400":
        body = json.dumps({"message": said})
    if shape in ("400", "422"):
        sandbox.looker_faults.add("status", status=int(shape), body=body, path=RESULT)
        sandbox.looker_faults.add("status", status=int(shape), body=body, path="/queries$", after=1)
    else:
        sandbox.looker_faults.add("body", body=body, path=RESULT)
    flow = start().run()
    stopped(flow, "permanent")
    second = start().run()

    assert_private(everything.text(flow, second))


@pytest.mark.parametrize("size", [1_500, 2_000, 2_300])
@pytest.mark.parametrize("tail", ["", "}", "\udcff"], ids=["cut", "closed", "not UTF-8"])
def test_a_broken_result_is_not_quoted(
    start: Start, everything: Everything, sandbox: Any, size: int, tail: str
) -> None:
    """Neither the parser nor the HTTP library tells what it last read."""
    body = document(*(planted(number) for number in range(40)))
    sandbox.looker_faults.add(
        "rewrite",
        pattern="(?s)^.*$",
        replacement=(body[:size] + tail).replace("\\", "\\\\"),
        path=RESULT,
    )
    flow = start().run()

    assert "extract" in flow.errors
    assert_private(everything.text(flow))


def test_the_names_of_pivots_are_told_to_segment_only(
    start: Start, everything: Everything, sandbox: Any
) -> None:
    """They are values of the pivoted column: neither XCom, report nor a refusal holds one."""
    sandbox.looker_faults.add(
        "rewrite", path=RESULT, pattern="paid", replacement="planted.mail@secret.example", times=-1
    )
    flow = start("4").run()
    assert "orders planted.mail@secret.example" in flow.sent[0]["traits"]
    assert {"email", "orders (pivot 1)"} <= set(flow.books["samples"][0]["traits"])
    schema = {"properties": {"orders planted.mail@secret.example": {"maximum": 0}}}
    second = start("4", mapping={"traits_schema": schema}, guards={"max_rejected": 1}).run()
    assert "$['orders (pivot 2)'] maximum" == second.books["problems"][0]["column"]

    assert_private(everything.text(flow, second))


def test_pivots_that_collide_are_not_named(
    start: Start, everything: Everything, sandbox: Any
) -> None:
    """Two pivots of one name stop the run, which says of which column they are."""
    sandbox.looker_faults.add(
        "rewrite",
        path=RESULT,
        pattern=r'"paid":',
        replacement='"planted a|FIELD|b":{"value":1},"planted a b":',
        times=-1,
    )
    flow = start("4").run()

    stopped(flow, "permanent", "its trait `orders (pivot")
    assert_private(everything.text(flow))


def test_what_filters_compare_with_is_not_logged(
    start: Start, everything: Everything, sandbox: Any
) -> None:
    """A filter of the run is told by its field, and by its dates."""
    said = PLANTED["email"]
    flow = start(filters={"people.email": said, "people.joined_date": "last 2 days"}).run()
    dated = start(filters={"people.joined_date": f"{said},last week,{said} ago"}).run()
    text = everything.text(flow, dated)

    assert "filter people.email: '…'" in text
    assert "filter people.joined_date: 'last 2 days'" in text
    assert_private(text)


def test_the_connection_tests_tell_no_secret(sandbox: Any, everything: Everything) -> None:
    """The write key is part of an address; the HTTP library would log it."""
    assert SegmentHook().test_connection()[0]
    assert LookerHook().test_connection()[0]

    assert_private(everything.text())


def _dump() -> str:
    with sqlite3.connect(f"file:{HOME}/airflow.db?mode=ro", uri=True) as database:
        return "\n".join(database.iterdump())


@pytest.mark.airflow
def test_airflow_keeps_nothing_either(
    run_look: Any, sandbox: Any, answer: Answer, everything: Everything
) -> None:
    """The whole metadata database, within a run and after it, holds sealed values only."""
    answer(*(planted(number) for number in range(8)), planted(9, id="true"))
    sandbox.segment_faults.add("latency", seconds=1.5, path=BATCH)
    between: list[str] = []

    def watch() -> None:
        while not sandbox.segment_faults.as_list()[0]["fired"]:
            time.sleep(0.02)
        between.append(_dump())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    outcome = run_look("1", guards={"max_rejected": 0.5}, max_messages_per_second=1e6)
    watcher.join(10)
    (dump,) = between

    assert "success" == outcome.states["report"]
    assert 8 == outcome.report["accepted"]
    assert "rendered_task_instance_fields" in dump
    start = dump.index('"data": "gAAAA') if '"data": "gAAAA' in dump else -1
    assert start > 0
    sealed = dump[start + len('"data": "') :].split('"')[0]
    assert "lanted O'Name" in opened({"data": sealed})
    assert_private(dump)
    assert_private(_dump())
    assert "gAAAA" not in "".join(
        line for line in _dump().splitlines() if outcome.run.run_id in line
    )
    assert_private(everything.text())


def test_the_planted_values_reach_segment(start: Start, answer: Answer) -> None:
    """What is looked for everywhere else really is in the rows."""
    answer(planted())
    flow = start().run()

    succeeded(flow, 1)
    assert all(part in json.dumps(flow.sent) for part in ("lanted", "secret.example", "O'Name"))
