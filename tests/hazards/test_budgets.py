"""Whoever takes too long, or says "at once" for ever, holds a task only for a bounded time."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks import refusal
from airflow_provider_looker_segment.hooks.deadline import DeadlineError, within
from airflow_provider_looker_segment.hooks.looker import LookerHook
from tests.hazards.conftest import BATCH, RESULT, Clock
from tests.hazards.flow import (
    PEOPLE,
    Flow,
    arrived,
    connect,
    document,
    ended,
    row,
    stopped,
    succeeded,
)

Start = Callable[..., Flow]
Answer = Callable[..., None]

SLOW = {"chunk_bytes": 1, "interval_seconds": 0.2, "times": -1}
"""An answer that never lets a read time out, and takes minutes."""


def impatient(monkeypatch: pytest.MonkeyPatch, sandbox: Any, name: str, timeout: float) -> None:
    """Give a connection another timeout."""
    variable = f"AIRFLOW_CONN_{name}_DEFAULT"
    said = json.loads(sandbox.connections()[variable])
    monkeypatch.setenv(variable, json.dumps({**said, "extra": {"timeout": timeout}}))


@pytest.mark.parametrize("asked", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
@pytest.mark.parametrize("path", [RESULT, "/login$", "/looks/1$", "/queries$"])
def test_looker_that_says_at_once_for_ever(
    start: Start, sandbox: Any, clock: Clock, path: str, asked: str
) -> None:
    """A pause of nothing is no pause: the budget ends, after requests that can be counted."""
    rule = sandbox.looker_faults.add(
        "status", status=429, path=path, times=-1, headers={"Retry-After": asked}, body={}
    )
    flow = start().run()

    stopped(flow, "transient", "429")
    assert rule.fired <= 2 * refusal.PATIENCE_S
    assert sum(clock.slept) <= refusal.PATIENCE_S + 1


@pytest.mark.parametrize("path", ["/looks/1$", "/login$"])
def test_looker_that_drips_its_metadata(
    start: Start, sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """The whole answer has a deadline, not only each read of it."""
    from airflow_provider_looker_segment.hooks import looker

    monkeypatch.setattr(looker, "_CONNECT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(LookerHook.__init__, "__kwdefaults__", {"patience_s": 1.0})
    impatient(monkeypatch, sandbox, "LOOKER", 1)
    sandbox.looker_faults.add("drip", path=path, **SLOW)
    began = time.monotonic()
    flow = start().run()

    stopped(flow, "transient", "took more than")
    assert time.monotonic() - began < 15


class Dripping(http.server.BaseHTTPRequestHandler):
    """Answers an error, a byte at a time."""

    def do_GET(self) -> None:
        """Answer for as long as somebody listens."""
        self.send_response(400)
        self.send_header("Content-Length", "60000")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(600):
                self.wfile.write(b"x")
                time.sleep(0.1)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_an_error_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its status says enough, whatever its words would have been."""
    monkeypatch.setattr(refusal, "_WORDS_S", 0.5)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dripping) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with requests.get(url, stream=True, timeout=5) as answer:
            began = time.monotonic()
            refusal.said(answer)
            taken_s = time.monotonic() - began
        server.shutdown()

    assert taken_s < 3


def test_segment_that_drips_its_answer(
    start: Start, sandbox: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent is of unknown fate, and the task leaves it to a retry under the same ids."""
    from airflow_provider_looker_segment.hooks import delivery

    monkeypatch.setattr(delivery, "PATIENCE_S", 3.0)
    impatient(monkeypatch, sandbox, "SEGMENT", 0.5)
    sandbox.segment_faults.add("drip", path=BATCH, **SLOW)
    began = time.monotonic()
    flow = start().run()

    ended(flow, "transient", "took more than 2 s", unknown=PEOPLE)
    assert time.monotonic() - began < 15
    assert flow.record["accepted"] == flow.record["users"] == PEOPLE


def test_slow_answers_count_against_the_patience(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of the answers counts, not only the pauses between them."""
    from airflow_provider_looker_segment.hooks import delivery

    monkeypatch.setattr(delivery, "PATIENCE_S", 3.0)
    wait = {"status": 429, "body": {}, "headers": {"Retry-After": "1"}}
    sandbox.segment_faults.add("latency", seconds=1.5, path=BATCH, times=-1)
    rule = sandbox.segment_faults.add("status", path=BATCH, times=-1, **wait)
    flow = start().run()

    ended(flow, "transient", "429", not_sent=PEOPLE)
    assert rule.fired <= 3


def test_a_source_that_begins_to_refuse_everything(
    start: Start, answer: Answer, sandbox: Any
) -> None:
    """The search for the message at fault ends when it is plain that it is not the messages."""
    answer(*(row(id=f'"u-{number}"') for number in range(1_000)))
    rule = sandbox.segment_faults.add("status", status=400, body={}, path=BATCH, after=1, times=-1)
    flow = start(guards={"max_rejected": 1}, max_messages_per_second=200).run()

    ended(flow, "permanent", "400", accepted=100, refused=50, not_sent=850)
    assert rule.fired < 150


@pytest.mark.parametrize("bad", [(0, 1), (0, 1, 2, 3, 4), (0, 19), (18, 19), (9, 10)])
def test_bad_messages_side_by_side_stop_nobody(
    start: Start, sandbox: Any, bad: tuple[int, ...]
) -> None:
    """The others are delivered, also where the first ones of a run are the bad ones."""
    for number in bad:
        pattern = f'"u-{number + 1:03d}"'
        sandbox.segment_faults.add("poison", pattern=pattern, path=BATCH, times=-1)
    flow = start(guards={"max_rejected": 1}).run()

    assert {} == flow.errors
    arrived(flow, PEOPLE - len(bad))
    assert len(bad) == flow.books["refused"]


def test_trailing_blanks_take_no_time() -> None:
    """Time grows with the blanks and not with their square."""

    def seconds(pieces: int) -> float:
        began = time.process_time()
        text = [document(row()).encode(), *([b" " * 65_536] * pieces)]
        assert 1 == len(list(RowStream(text, look="Look 1")))
        return time.process_time() - began

    assert seconds(400) < 40 * max(seconds(40), 0.01)


def test_a_call_within_its_time_is_what_it_is() -> None:
    """Results and errors come through as they are; only what takes too long is cut."""

    def fail() -> None:
        raise TransientError("w", should="s", but="b", do="d", retry_after_s=3)

    assert 7 == within(5, lambda: 7)
    with pytest.raises(TransientError) as raised:
        within(5, fail)
    assert 3 == raised.value.retry_after_s
    with pytest.raises(DeadlineError):
        within(0.05, lambda: time.sleep(1))


def test_a_repeated_key_is_refused() -> None:
    """Parsers disagree about which of two counts, so neither does."""
    for body in (
        f'{{"data":[{row()}],"data":[{row()}]}}',
        f'{{"errors":[{{"message":"boom"}}],"data":[{row()}],"errors":[]}}',
    ):
        with pytest.raises(PermanentError, match="twice"):
            list(RowStream([body.encode()], look="Look 1"))


@pytest.mark.parametrize(
    "said",
    [
        *({"status": status} for status in ("error", "killed", "expired", "running")),
        {"message": "Internal error", "documentation_url": ""},
        {"error": "boom"},
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_an_error_beside_rows_stops_the_run(
    start: Start, sandbox: Any, said: dict[str, Any], *, before: bool
) -> None:
    """Rows that Looker itself does not stand by are not sent."""
    parts = [json.dumps(said)[1:-1], f'"data":[{row()}]']
    body = "{" + ",".join(parts if before else parts[::-1]) + "}"
    sandbox.looker_faults.add(
        "body", body=body, path=RESULT, content_type="application/json", times=-1
    )

    stopped(start().run(), "permanent", "Looker answered with an error")


def test_a_netrc_file_stays_with_the_worker(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """What authorises a request is the write key, and nothing of the worker's own leaves."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login planted password planted-word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    connect(monkeypatch, sandbox)
    flow = start().run()

    assert {} == flow.errors
    arrived(flow, PEOPLE)


@pytest.mark.parametrize("status", [[], {}, "killed"])
def test_an_odd_status_is_no_crash(status: Any) -> None:
    """Whatever stands there, rows come or an error of this package does."""
    body = f'{{"status":{json.dumps(status)},"data":[{row()}]}}'
    stream = RowStream([body.encode()], look="Look 1")
    if status == "killed":
        with pytest.raises(PermanentError, match="killed"):
            list(stream)
    else:
        assert 1 == len(list(stream))


def test_a_sign_out_that_goes_wrong_changes_nothing(
    start: Start, sandbox: Any, clock: Clock
) -> None:
    """The rows have been read by then; the SDK stumbles over answers that are not UTF-8."""
    sandbox.looker_faults.add(
        "status", status=405, body="d\u00e9j\u00e0", path="/logout$", times=-1, method="DELETE"
    )
    flow = start().run()

    assert {} == flow.errors
    arrived(flow, PEOPLE)


def test_words_of_any_depth_are_words() -> None:
    """An error's body may be nested deeper than anybody reads."""
    assert "[" not in refusal.words(b"[" * 60_000)


@pytest.mark.parametrize("rate", [0, -1, "fast"])
def test_an_impossible_rate_is_not_tried_again(start: Start, rate: Any) -> None:
    """No retry would change it; nothing is sent."""
    flow = start(max_messages_per_second=rate).run()

    ended(flow, "permanent", "`max_messages_per_second`", not_sent=PEOPLE)


def test_a_rate_may_be_text(start: Start) -> None:
    """As a variable or a template leaves it."""
    succeeded(start(max_messages_per_second="1000000").run(), PEOPLE)
