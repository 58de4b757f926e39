"""What Looker may answer: nothing half-read, false or foreign is ever sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hazards.conftest import EXPLORE, RESULT, Clock
from tests.hazards.flow import (
    PEOPLE,
    Flow,
    document,
    result_query,
    row,
    stopped,
    succeeded,
)
from tests.hazards.registry import hazard

Start = Callable[..., Flow]

Answer = Callable[..., None]

LOOK = r"/looks/1$"


SQL_ERROR = "SQL Error: ERROR: table 806669 dropped by concurrent transaction"


def fails_then_succeeds(flow: Flow, complaint: str, rows: int = PEOPLE) -> None:
    """The first try sends nothing; the next one, without the fault, sends everything once."""
    flow.extract().report()
    stopped(flow, "transient", complaint)
    succeeded(flow.run(), rows)


def with_timeout(sandbox: Any, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Give the Looker connection a time limit."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    said["extra"] = {"timeout": seconds}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))


@hazard(
    "L1",
    "a result that is shorter than its Content-Length",
    "nothing is sent; a retry reads it anew and succeeds",
)
@pytest.mark.parametrize("size", [0, 900])
def test_l01_cut_below_its_length(start: Start, sandbox: Any, size: int) -> None:
    """A body with fewer bytes than announced is no result."""
    sandbox.looker_faults.add("cut", bytes=size, path=RESULT)

    fails_then_succeeds(start(), "")


@hazard(
    "L2",
    "a chunked result without its last chunk",
    "nothing is sent; a retry reads it anew and succeeds",
)
@pytest.mark.parametrize("size", [0, 900, 10_000_000])
def test_l02_chunks_without_an_end(start: Start, sandbox: Any, size: int) -> None:
    """A body whose end is not marked is no result, even if every byte came."""
    sandbox.looker_faults.add("cut", bytes=size, framing="chunked", path=RESULT)

    fails_then_succeeds(start(), "")


@hazard(
    "L3",
    "a result without a length, cut anywhere, also inside a character",
    "nothing is sent, for its JSON does not end; a retry succeeds",
)
@pytest.mark.parametrize("place", ["between rows", "inside a character", "before the last brace"])
def test_l03_cut_without_a_length(start: Start, sandbox: Any, place: str) -> None:
    """Only the document itself can tell that a close-delimited body was cut."""
    rows = [row(id=f'"u-{number}"', name='"Zoë"') for number in range(200)]
    body = document(*rows).encode()
    size = {
        "between rows": body.index(b",{", 5_000) + 1,
        "inside a character": body.index("ë".encode(), 5_000) + 1,
        "before the last brace": len(body) - 1,
    }[place]
    flow = start()
    served = body[:size].decode("utf-8", "surrogateescape")
    sandbox.looker_faults.add(
        "rewrite", pattern=r"(?s)^.*$", replacement=served.replace("\\", r"\\"), path=RESULT
    )

    fails_then_succeeds(flow, "ends before its last row")


@hazard(
    "L4",
    "a connection that is reset in the middle of a result",
    "nothing is sent; a retry reads it anew and succeeds",
)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_l04_reset_in_the_middle(start: Start, sandbox: Any, framing: str) -> None:
    """A reset after some rows sends none of them."""
    sandbox.looker_faults.add("reset", bytes=2_500, framing=framing, path=RESULT)

    fails_then_succeeds(start(), "broke off")


@hazard(
    "L5",
    "a database error as text among or after the rows",
    "fails for good with the database's words; none of the rows before it is sent",
)
@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"\},\n\{", "},\n" + SQL_ERROR + "{"),
        (r'\],"errors"', ",\n" + SQL_ERROR + '],"errors"'),
        (r"\}$", "}\n" + SQL_ERROR),
    ],
    ids=["between rows", "after the last row", "at the end"],
)
def test_l05_database_error_among_rows(
    start: Start, sandbox: Any, pattern: str, replacement: str
) -> None:
    """The text is shown without its numbers, and whole rows before it are not sent."""
    sandbox.looker_faults.add("rewrite", pattern=pattern, replacement=replacement, path=RESULT)
    flow = start().run()

    stopped(flow, "permanent", "SQL Error: ERROR: table … dropped by concurrent transaction")


@hazard(
    "L6",
    "a 200 whose rows are `looker_error`",
    "fails for good with Looker's words; it is never a row",
)
@pytest.mark.parametrize(
    "body",
    [
        '[{"looker_error": "View not found"}]',
        '{"looker_error": "View not found"}',
        document('{"looker_error": "View not found"}'),
        document(row(), '{"looker_error": "View not found"}'),
        '{"message": "View not found", "documentation_url": "https://cloud.google.com/looker"}',
    ],
    ids=["array", "object", "first row", "later row", "error document"],
)
def test_l06_looker_error_as_a_row(start: Start, sandbox: Any, body: str) -> None:
    """Each shape of the error is one."""
    sandbox.looker_faults.add("body", body=body, path=RESULT)
    flow = start().run()

    stopped(flow, "permanent", "View not found")


@hazard(
    "L7",
    "`errors` beside empty or partial rows",
    "fails for good with Looker's words; the rows beside them are not sent",
)
@pytest.mark.parametrize("rows", [(), (row(), row(id='"u-2"'))], ids=["no rows", "some rows"])
@pytest.mark.parametrize(
    "errors",
    [
        [{"message": "Query failed", "message_details": "division by zero"}],
        [{"message": "Query failed: division by zero"}],
        ["division by zero"],
        {"message": "division by zero"},
        "division by zero",
    ],
    ids=["details", "message", "texts", "object", "text"],
)
def test_l07_errors_beside_rows(
    start: Start, answer: Answer, rows: tuple[str, ...], errors: Any
) -> None:
    """A document that reports an error is no result, whatever else it holds."""
    answer(*rows, errors=errors)
    flow = start().run()

    stopped(flow, "permanent", "division by zero")


@hazard(
    "L8",
    "a 200 with an HTML page: a sign-in page or a proxy",
    "fails for good with the content type and the page's first words",
)
@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json"])
def test_l08_html_with_200(start: Start, sandbox: Any, content_type: str) -> None:
    """A page of another system is no result."""
    sandbox.looker_faults.add(
        "body", body="<html><title>Sign in</title>", content_type=content_type, path=RESULT
    )
    flow = start().run()

    stopped(flow, "permanent", "an HTML page (content type")
    assert "Sign in" in str(flow.errors["extract"])


@hazard(
    "L9",
    "502, 503 or 504 with a load balancer's page",
    "waits longer and longer and asks again; after two minutes a retry of the task applies",
)
@pytest.mark.parametrize(
    ("status", "path"),
    [(502, "/login$"), (503, LOOK), (504, EXPLORE), (502, "/queries$"), (503, RESULT)],
)
def test_l09_load_balancer_errors(
    start: Start, sandbox: Any, clock: Clock, status: int, path: str
) -> None:
    """Twice is waited out, whichever request it hits."""
    sandbox.looker_faults.add(
        "status", status=status, body="<h1>Bad Gateway</h1>", path=path, times=2
    )

    succeeded(start().run(), PEOPLE)
    assert 2 <= len([wait for wait in clock.slept if wait > 0.4])


def test_a_load_balancer_that_goes_on_is_left_to_retries(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """The task ends with an error that Airflow retries, after a bounded wait."""
    sandbox.looker_faults.add("status", status=503, body="<h1>busy</h1>", path=RESULT, times=-1)
    flow = start().run()

    stopped(flow, "transient", "503")
    assert 60 < sum(clock.slept) <= 120


@hazard(
    "L10",
    "a 200 without a body",
    "fails, and is not taken for a Look without rows; a retry succeeds",
)
@pytest.mark.parametrize("body", ["", " \n"])
def test_l10_empty_body(start: Start, sandbox: Any, body: str) -> None:
    """Nothing is not the same as no rows."""
    sandbox.looker_faults.add("body", body=body, path=RESULT, content_type="application/json")

    fails_then_succeeds(start(), "it is empty")


@hazard(
    "L29",
    "a body in Latin-1, or UTF-8 labelled as something else",
    "read as UTF-8; what is not fails for good",
)
def test_l29_latin_1(start: Start, sandbox: Any) -> None:
    """The label is not believed, the bytes are."""
    sandbox.looker_faults.add("content_type", value="text/plain", path=RESULT)
    flow = start().run()
    succeeded(flow, PEOPLE)
    assert "Zoë 1" == flow.traits("u-001")["name"]
    sandbox.looker_faults.add("rewrite", pattern="ë", replacement="\udceb", path=RESULT)
    sandbox.segment_app.state.arrivals.reset()

    stopped(start().run(), "permanent", "UTF-8")


@hazard("L30", "bytes that are no UTF-8", "fails for good; nothing is sent")
@pytest.mark.parametrize("bytes_", ["\udcff\udcfe", "\udcc3(", "\udced\udca0\udc80"])
def test_l30_invalid_utf_8(start: Start, sandbox: Any, bytes_: str) -> None:
    """Rows before the damage are not sent either."""
    sandbox.looker_faults.add("rewrite", pattern="Zoë 9", replacement=bytes_, path=RESULT)

    stopped(start().run(), "permanent", "should be UTF-8")


@hazard(
    "L31",
    "an error document of an unexpected shape",
    "an error of this package with the status; the SDK's own never escapes",
)
@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"message":"Failed","errors":[{"field":"fields","code":"invalid"}]}', "/queries$"),
        ('{"message":"Failed","errors":[{"field":"fields","code":"invalid"}]}', RESULT),
        ('{"message":{"nested":1},"documentation_url":7}', LOOK),
        ("[1, 2]", "/queries$"),
        ("[1, 2]", RESULT),
        ("null", LOOK),
        ("null", RESULT),
        ("not json", "/queries$"),
        ("", LOOK),
        ("", RESULT),
    ],
)
def test_l31_odd_error_documents(start: Start, sandbox: Any, path: str, body: str) -> None:
    """A 422 is a 422, whatever stands in it."""
    sandbox.looker_faults.add(
        "status", status=422, body=body, content_type="application/json", path=path
    )

    stopped(start().run(), "permanent", "422")


@hazard("L32", "429 from Looker", "waits as long as `Retry-After` says and asks again")
@pytest.mark.parametrize("path", [LOOK, "/queries$", RESULT])
def test_l32_too_many_requests(start: Start, sandbox: Any, clock: Clock, path: str) -> None:
    """The wait is the one that was asked for."""
    sandbox.looker_faults.add(
        "status",
        status=429,
        body={"message": "Too many requests", "documentation_url": ""},
        headers={"Retry-After": "7"},
        path=path,
    )

    succeeded(start().run(), PEOPLE)
    assert [7] == clock.waits


@hazard(
    "L33",
    "a token that expires or is revoked in the middle of the run",
    "signs in again once and goes on; a second 401 fails for good",
)
@pytest.mark.parametrize("path", [LOOK, EXPLORE, "/queries$", RESULT])
def test_l33_token_expires(start: Start, sandbox: Any, path: str) -> None:
    """One new token is asked for, not one after the other."""
    sandbox.looker_faults.add("status", status=401, body={"message": "Requires auth"}, path=path)
    flow = start().run()

    succeeded(flow, PEOPLE)
    assert 2 == len([entry for entry in flow.asked if entry["path"].endswith("/login")])


def test_a_token_that_is_never_good_fails_at_once(start: Start, sandbox: Any, clock: Clock) -> None:
    """Two sign-ins are enough to know."""
    sandbox.looker_faults.add(
        "status", status=401, body={"message": "Requires auth"}, path=RESULT, times=-1
    )
    flow = start().run()

    stopped(flow, "permanent", "401")
    assert [] == clock.waits


@hazard(
    "L34",
    "a result that stalls, or drips byte by byte",
    "64 KB or the end must come within the connection's `timeout`; else fails, and is retried",
)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drip", "chunk_bytes": 1, "interval_seconds": 0.05},
        {"kind": "stall", "bytes": 1_000, "seconds": 5},
    ],
    ids=["drip", "stall"],
)
def test_l34_drip(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    """Slowness has an end, although each byte comes in time."""
    with_timeout(sandbox, monkeypatch, 1)
    sandbox.looker_faults.add(path=RESULT, **fault)
    started = time.monotonic()

    fails_then_succeeds(start(), "")
    assert time.monotonic() - started < 4


@hazard(
    "L35",
    "an error while the internet cannot be reached",
    "fails as fast as with it: no error index is looked up elsewhere",
)
def test_l35_no_way_out(start: Start) -> None:
    """The SDK's look-up of a public address would hang; here it would fail the test."""
    started = time.monotonic()
    flow = start("4711").run()

    stopped(flow, "permanent", "404")
    assert time.monotonic() - started < 3


@hazard("L36", "a cached result", "never asked for")
def test_l36_cache(start: Start) -> None:
    """A run of today is not answered with yesterday's rows."""
    flow = start().run()

    succeeded(flow, PEOPLE)
    assert "cache=false" in result_query(flow)
