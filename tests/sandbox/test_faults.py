"""Faults on a real socket, as the client's own exceptions show them."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from segment.analytics.request import APIError, post

from airflow_provider_looker_segment.sandbox.faults import (
    FaultMiddleware,
    Faults,
    RuleRefusedError,
)
from airflow_provider_looker_segment.sandbox.segment import create_segment_app
from airflow_provider_looker_segment.sandbox.server import AppServer

ROWS = [{"id": str(number), "name": "Zoë"} for number in range(200)]
BODY = json.dumps(ROWS, ensure_ascii=False, separators=(",", ":")).encode()


class Served:
    """A small application behind faults, which counts what reached it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.faults = Faults()
        app = FastAPI()

        @app.get("/rows")
        def rows() -> JSONResponse:
            self.bodies.append(b"")
            return JSONResponse(ROWS)

        @app.get("/stream")
        def stream() -> StreamingResponse:
            pieces = (BODY[at : at + 1_000] for at in range(0, len(BODY), 1_000))
            return StreamingResponse(pieces, media_type="application/json")

        @app.post("/v1/batch")
        async def batch(request: Request) -> JSONResponse:
            self.bodies.append(await request.body())
            return JSONResponse({"success": True})

        self._server = AppServer("test", FaultMiddleware(app, self.faults))
        self.url = self._server.url
        self.close = self._server.close

    def get(self, path: str = "/rows", **options: Any) -> requests.Response:
        """Read the rows as a fresh client."""
        return requests.get(f"{self.url}{path}", timeout=5, **options)

    def post(self, *ids: str, **options: Any) -> requests.Response:
        """Send a batch as a fresh client."""
        batch = [{"userId": id_} for id_ in ids]
        return requests.post(
            f"{self.url}/v1/batch",
            json={"batch": batch},
            timeout=5,
            allow_redirects=False,
            **options,
        )


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve the small application."""
    served = Served()
    yield served
    served.close()


def test_without_rules_nothing_changes(served: Served) -> None:
    """An answer without a fault is the application's own."""
    assert BODY == served.get().content
    assert BODY == served.get("/stream").content


@pytest.mark.parametrize("path", ["/rows", "/stream"])
@pytest.mark.parametrize("bytes_", [0, 1_500])
def test_a_body_shorter_than_its_length_is_incomplete(
    served: Served, path: str, bytes_: int
) -> None:
    """L1: the client counts bytes and raises IncompleteRead."""
    served.faults.add("cut", bytes=bytes_)

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        served.get(path)

    assert BODY == served.get(path).content


@pytest.mark.parametrize("bytes_", [1_500, 10_000_000])
def test_chunks_without_an_end_are_premature(served: Served, bytes_: int) -> None:
    """L2: a chunked body without its last chunk fails, even if every byte came."""
    served.faults.add("cut", bytes=bytes_, framing="chunked")

    with pytest.raises(
        requests.exceptions.ChunkedEncodingError, match=r"(?i)prematurely|InvalidChunkLength"
    ):
        served.get("/stream")


def test_a_body_that_ends_by_closing_looks_whole(served: Served) -> None:
    """L3: without a length the client can't tell; the cut may fall inside a character."""
    inside_a_character = BODY.index("ë".encode()) + 1
    served.faults.add("cut", bytes=inside_a_character, framing="close")

    content = served.get().content

    assert BODY[:inside_a_character] == content
    with pytest.raises(UnicodeDecodeError):
        content.decode()


@pytest.mark.parametrize("path", ["/rows", "/stream"])
def test_a_reset_after_some_bytes_is_seen_as_a_reset(served: Served, path: str) -> None:
    """L4: the client reads the bytes before the reset, then gets ECONNRESET."""
    served.faults.add("reset", bytes=1_500)

    with served.get(path, stream=True) as answer:
        assert BODY[:1_000] == answer.raw.read(1_000)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="Connection reset"):
            _ = answer.content


def test_a_lost_answer_was_processed(served: Served) -> None:
    """The application did its work; the client sees a reset and no status."""
    served.faults.add("lost_answer", path="/v1/batch")

    with pytest.raises(requests.exceptions.ConnectionError, match="Connection reset"):
        served.post("1")

    assert 1 == len(served.bodies)
    assert {"success": True} == served.post("1").json()


def test_latency_waits_and_lets_the_next_fault_act(served: Served) -> None:
    """A latency delays and composes with one other fault."""
    served.faults.add("latency", seconds=0.3)
    served.faults.add("status", status=503)
    started = time.monotonic()

    assert 503 == served.get().status_code
    assert 0.3 <= time.monotonic() - started
    assert 200 == served.get().status_code


def test_a_stall_meets_the_clients_read_timeout(served: Served) -> None:
    """The head and some bytes come, then nothing for longer than the client waits."""
    served.faults.add("stall", bytes=100, seconds=1.5)

    with pytest.raises(requests.exceptions.ConnectionError, match="Read timed out"):
        requests.get(f"{served.url}/rows", timeout=0.5)


@pytest.mark.parametrize("path", ["/rows", "/stream"])
@pytest.mark.parametrize("bytes_", [0, 1_500, 10_000_000])
def test_a_short_stall_loses_nothing(served: Served, path: str, bytes_: int) -> None:
    """After the pause the rest arrives."""
    served.faults.add("stall", bytes=bytes_, seconds=0.2)
    started = time.monotonic()

    assert BODY == served.get(path).content
    assert 0.2 <= time.monotonic() - started


def test_a_drip_defeats_a_read_timeout(served: Served) -> None:
    """L34: each piece arrives in time, so only a total deadline notices."""
    served.faults.add("drip", chunk_bytes=len(BODY) // 5, interval_seconds=0.2)
    started = time.monotonic()

    answer = requests.get(f"{served.url}/rows", timeout=0.5)

    assert BODY == answer.content
    assert 1.0 <= time.monotonic() - started


def test_the_content_type_can_be_wrong(served: Served) -> None:
    """Only the label changes."""
    served.faults.add("content_type", value="text/html")

    answer = served.get()

    assert ("text/html", BODY) == (answer.headers["content-type"], answer.content)


@pytest.mark.parametrize(
    ("rule", "content_type", "text"),
    [
        ({"kind": "body", "body": ""}, "text/html; charset=utf-8", ""),
        ({"kind": "body", "body": "<html>"}, "text/html; charset=utf-8", "<html>"),
        ({"kind": "body", "body": {"success": False}}, "application/json", '{"success": false}'),
        ({"kind": "body", "body": [{"looker_error": "x"}]}, None, '[{"looker_error": "x"}]'),
        ({"kind": "body", "body": "{}", "content_type": "text/plain"}, "text/plain", "{}"),
        ({"kind": "status", "status": 502, "body": "<h1>Bad Gateway</h1>"}, None, None),
        ({"kind": "status", "status": 422, "body": {"error": "boom", "errors": None}}, None, None),
        ({"kind": "status", "status": 204, "body": "dropped"}, None, ""),
        ({"kind": "status", "status": 460}, None, ""),
        ({"kind": "status", "status": 529}, None, ""),
    ],
)
def test_any_answer_can_be_put_in_place_of_the_real_one(
    served: Served, rule: dict[str, Any], content_type: str | None, text: str | None
) -> None:
    """Status, body, headers; the application is not called."""
    served.faults.add(**rule)

    answer = served.get()

    assert rule.get("status", 200) == answer.status_code
    assert content_type in (None, answer.headers["content-type"])
    assert text in (None, answer.text)
    assert [] == served.bodies


@pytest.mark.parametrize("value", ["1", "Wed, 21 Oct 2037 07:28:00 GMT", "soon", "-5", "99999999"])
def test_a_429_carries_any_retry_after(served: Served, value: str) -> None:
    """Seconds, a date, nonsense, huge: the header goes out as written."""
    served.faults.add("status", status=429, headers={"Retry-After": value})

    assert value == served.get().headers["Retry-After"]


def test_a_redirect_names_its_location(served: Served) -> None:
    """The client is sent elsewhere, and the batch did not arrive."""
    served.faults.add("status", status=302, headers={"Location": "/rows"})

    answer = served.post("1")

    assert (302, "/rows") == (answer.status_code, answer.headers["location"])
    assert [] == served.bodies


def test_rewrite_edits_the_real_body(served: Served) -> None:
    """An error text can be appended inside the real array, its length corrected."""
    served.faults.add("rewrite", pattern=r"\]$", replacement=",\nSQL Error: dropped]")

    text = served.get().content.decode()

    assert text.startswith('[{"id":"0"')
    assert text.endswith("},\nSQL Error: dropped]")


def test_poison_refuses_every_batch_that_holds_it(served: Served) -> None:
    """A batch with the poison is a 400, any other passes; bisecting finds it."""
    served.faults.add("poison", pattern=r'"userId": ?"13"', times=-1)

    assert [400, 200, 400] == [
        served.post(*ids).status_code for ids in (("12", "13"), ("12",), ("13",))
    ]
    assert 1 == len(served.bodies)


@pytest.mark.parametrize(
    ("limits", "statuses"),
    [
        ({"max_messages": 2}, [200, 413]),
        ({"max_bytes": 60}, [200, 413]),
        ({"max_bytes": 9}, [413, 413]),
    ],
)
def test_too_large_counts_bytes_or_messages(
    served: Served, limits: dict[str, int], statuses: list[int]
) -> None:
    """A batch above either limit is a 413."""
    served.faults.add("too_large", times=-1, **limits)

    assert statuses == [served.post(*ids).status_code for ids in (("1", "2"), ("1", "2", "3"))]


def test_compressed_batches_are_judged_by_what_they_hold() -> None:
    """The official client's gzip bodies meet poison and size limits too."""
    faults = Faults()
    app = create_segment_app(write_keys={"k": "s"}, destinations=())
    server = AppServer("segment", FaultMiddleware(app, faults))
    faults.add("poison", pattern="poisoned")
    faults.add("too_large", max_messages=1)
    batch = [{"type": "identify", "userId": id_} for id_ in ("1", "poisoned")]
    statuses = []
    for _ in range(2):
        with pytest.raises(APIError) as refusal:
            post("k", host=server.url, gzip=True, batch=batch)
        statuses.append(refusal.value.status)

    assert [400, 413] == statuses
    assert 200 == post("k", host=server.url, gzip=True, batch=batch).status_code
    server.close()


def test_rules_are_counted_down_in_order(served: Served) -> None:
    """Two 503, then one 429, after one request was let through; then all is well."""
    served.faults.add("status", status=503, times=2, after=1, path="^/rows$", method="get")
    served.faults.add("status", status=429, path="^/rows$", after=1)

    assert [200, 503, 503, 429, 200] == [served.get().status_code for _ in range(5)]
    assert [(3, 2), (2, 1)] == [(rule["seen"], rule["fired"]) for rule in served.faults.as_list()]


def test_rules_meet_only_their_path_and_method(served: Served) -> None:
    """Another path or method is left alone."""
    served.faults.add("status", status=503, path="^/stream", times=-1)
    served.faults.add("status", status=503, method="DELETE", times=-1)

    assert 200 == served.get().status_code
    assert 503 == served.get("/stream").status_code


def test_rules_count_exactly_under_many_threads(served: Served) -> None:
    """Ten requests at once meet a rule for three exactly three times."""
    served.faults.add("status", status=503, times=3)

    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(lambda _: served.get().status_code, range(10)))

    assert {503: 3, 200: 7} == {status: statuses.count(status) for status in set(statuses)}


def test_faults_are_set_over_http(served: Served) -> None:
    """POST arms one or many, GET shows counts, DELETE disarms; control meets no fault."""
    control = f"{served.url}/_sandbox/faults"
    rule = {"kind": "status", "status": 503, "times": -1}

    assert (
        201 == requests.post(control, json=[rule, {"kind": "lost_answer"}], timeout=5).status_code
    )
    assert 503 == served.get().status_code
    shown = requests.get(control, timeout=5).json()["rules"]
    assert [("status", 1), ("lost_answer", 0)] == [(rule["kind"], rule["fired"]) for rule in shown]
    assert {"rules": []} == requests.delete(control, timeout=5).json()
    assert 200 == served.get().status_code


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "explode"},
        {},
        [1],
        {"kind": "latency"},
        {"kind": "latency", "seconds": "1"},
        {"kind": "cut", "bytes": True},
        {"kind": "cut", "bytes": 1, "framing": "none"},
        {"kind": "status", "status": 500, "staus": 1},
        {"kind": "too_large"},
        {"kind": "lost_answer", "path": "("},
        {"kind": "poison", "pattern": "("},
    ],
)
def test_a_rule_that_cannot_act_is_refused(served: Served, rule: Any) -> None:
    """A misspelt fault would make a test that can't fail."""
    answer = requests.post(f"{served.url}/_sandbox/faults", json=rule, timeout=5)

    assert 400 == answer.status_code
    assert answer.json()["error"]
    assert [] == served.faults.as_list()
    if isinstance(rule, dict) and "kind" in rule:
        with pytest.raises(RuleRefusedError):
            served.faults.add(**rule)


def test_faults_survive_a_client_that_leaves(served: Served) -> None:
    """A client that resets in the middle of a drip leaves the server serving."""
    served.faults.add("drip", chunk_bytes=10, interval_seconds=0.01)
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"GET /rows HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(100)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert BODY == served.get().content
