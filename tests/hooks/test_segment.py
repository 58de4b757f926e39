"""The Segment hook against the stand-in: one batch, one honest answer."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.segment import Answer, SegmentHook

MESSAGE = {
    "type": "identify",
    "messageId": "0" * 32,
    "userId": "00MWWFOLRcETcTCf",
    "traits": {"name": "Ty Arthur"},
    "timestamp": "2026-01-15T00:00:00+00:00",
}


def arm(sandbox: Any, **rule: Any) -> None:
    """Arm one fault of the Segment stand-in."""
    url = f"{sandbox.segment_url}/_sandbox/faults"
    requests.post(url, json={"path": "/v1/batch", **rule}, timeout=10).raise_for_status()


def summary(sandbox: Any) -> dict[str, Any]:
    """Return the stand-in's own record."""
    found: dict[str, Any] = requests.get(
        f"{sandbox.segment_url}/_sandbox/summary", timeout=10
    ).json()
    return found


def test_an_accepted_batch_is_in_the_record(sandbox: Any) -> None:
    """What is answered as accepted has arrived."""
    answer = SegmentHook().post([MESSAGE])

    assert Answer("accepted") == answer
    assert 1 == summary(sandbox)["accepted"]


@pytest.mark.parametrize(
    ("rule", "kind", "maybe_accepted"),
    [
        ({"kind": "status", "status": 400, "body": {"message": "bad"}}, "bad_content", False),
        ({"kind": "status", "status": 401, "body": ""}, "stop", False),
        ({"kind": "status", "status": 403, "body": ""}, "stop", False),
        ({"kind": "status", "status": 404, "body": "<html>"}, "stop", False),
        ({"kind": "status", "status": 408, "body": ""}, "wait", True),
        ({"kind": "status", "status": 410, "body": ""}, "wait", True),
        ({"kind": "status", "status": 413, "body": ""}, "too_large", False),
        ({"kind": "status", "status": 429, "body": ""}, "wait", False),
        ({"kind": "status", "status": 460, "body": ""}, "wait", True),
        ({"kind": "status", "status": 500, "body": "<html>"}, "wait", True),
        ({"kind": "status", "status": 501, "body": ""}, "stop", False),
        ({"kind": "status", "status": 503, "body": ""}, "wait", True),
        ({"kind": "status", "status": 505, "body": ""}, "stop", False),
        ({"kind": "status", "status": 301, "headers": {"Location": "/other"}}, "stop", False),
        ({"kind": "status", "status": 307, "headers": {"Location": "/v1/batch"}}, "stop", False),
        ({"kind": "body", "body": {"success": False}}, "wait", True),
        ({"kind": "body", "body": "<html>sign in</html>"}, "stop", True),
        ({"kind": "body", "body": ""}, "stop", True),
        ({"kind": "reset", "bytes": 0}, "wait", True),
        ({"kind": "lost_answer"}, "wait", True),
    ],
)
def test_every_answer_has_one_meaning(
    sandbox: Any, rule: dict[str, Any], kind: str, maybe_accepted: bool
) -> None:
    """Only Segment's own success counts; anything else says what to do about it."""
    arm(sandbox, **rule)

    answer = SegmentHook().post([MESSAGE])

    assert (kind, maybe_accepted) == (answer.kind, answer.maybe_accepted)


def test_a_redirect_is_never_followed(sandbox: Any) -> None:
    """Neither the write key nor anybody's traits travel to another address."""
    arm(sandbox, kind="status", status=307, headers={"Location": "/v1/batch"})

    SegmentHook().post([MESSAGE])

    assert 0 == summary(sandbox)["accepted"]


@pytest.mark.parametrize(
    ("header", "seconds"), [("3", 3.0), ("3600", 3600.0), ("soon", None), ("-5", None)]
)
def test_the_wait_is_the_one_that_was_asked_for(
    sandbox: Any, header: str, seconds: float | None
) -> None:
    """``Retry-After`` in seconds is kept as it is, and nonsense is nothing."""
    arm(sandbox, kind="status", status=429, headers={"Retry-After": header})

    answer = SegmentHook().post([MESSAGE])

    assert seconds == answer.retry_after_s


def test_a_refused_connection_has_sent_nothing(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody listens, no message can have arrived."""
    connection = {"conn_type": "segment_source", "host": "http://127.0.0.1:9", "password": "wk"}
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps(connection))

    answer = SegmentHook().post([MESSAGE])

    assert ("wait", False) == (answer.kind, answer.maybe_accepted)


def test_debug_logging_shows_neither_key_nor_traits(
    sandbox: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The client's own debug lines hold whole bodies, and never reach a log."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("segment").setLevel(logging.DEBUG)

    SegmentHook().post([MESSAGE])

    assert "Ty Arthur" not in caplog.text
    assert "sandbox-write-key" not in caplog.text


@pytest.mark.parametrize(
    ("connection", "host"),
    [
        ({"password": "wk"}, "https://api.segment.io"),
        ({"password": "wk", "extra": {"region": "EU"}}, "https://events.eu1.segmentapis.com"),
        ({"conn_type": "segment", "extra": {"write_key": "wk"}}, "https://api.segment.io"),
        ({"password": "wk", "host": "events.example.com"}, "https://events.example.com"),
        (
            {"password": "wk", "host": "https://events.example.com/v1/"},
            "https://events.example.com",
        ),
    ],
)
def test_the_region_decides_the_host(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], host: str
) -> None:
    """A region or a host, also from the official provider's connection, is where messages go."""
    said = {"conn_type": "segment_source", **connection}
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps(said))

    settings = SegmentSettings.read("segment_default")

    assert (host, "wk") == (settings.host, settings.write_key)
    assert "wk" not in repr(settings).replace(host, "")


@pytest.mark.parametrize(
    ("connection", "complaint"),
    [
        ({}, "write key"),
        ({"password": "wk", "extra": {"region": "moon"}}, "us or eu"),
        ({"password": "wk", "host": "http://events.example.com"}, "clear text"),
        ({"password": "wk", "extra": {"send": "perhaps"}}, "true or false"),
    ],
)
def test_a_connection_that_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], complaint: str
) -> None:
    """A missing key, an unknown region and a host without TLS are named."""
    said = {"conn_type": "segment_source", **connection}
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps(said))

    with pytest.raises(PermanentError, match=complaint):
        SegmentSettings.read("segment_default")


def test_the_connection_test_says_what_it_proved(sandbox: Any) -> None:
    """A key that the settings look-up knows is confirmed."""
    ok, said = SegmentHook().test_connection()

    assert (True, True) == (ok, "knows this write key" in said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "https://127.0.0.1"}, "the network failed (SSLError). Check the URL, its port"),
        (
            {"host": "https://127.0.0.1", "extra": {"ca_bundle": "/no/such.pem"}},
            "This connection, extra `ca_bundle`: should be a file",
        ),
        ({"extra": {"region": "mars"}}, "This connection, extra `region`: should be us or eu"),
    ],
)
def test_the_connection_test_says_what_to_check(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    """Airflow tests under an id of its own, and nothing was to be sent."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
    port = urlsplit(sandbox.segment_url).port
    monkeypatch.setenv("AIRFLOW_CONN_XZVQBA", json.dumps({**said, "port": port, **change}))

    ok, message = SegmentHook("XZVQBA").test_connection()

    assert (False, True) == (ok, words in message), message
    assert "XZVQBA" not in message
