"""Secrets travel encrypted and to the right host, and what they seal does not outlive a run."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment.connections import LookerSettings, SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.stores.chunks import Seal
from tests.hazards.conftest import BATCH, Clock
from tests.hazards.flow import Flow, stopped

Start = Callable[..., Flow]


def test_sign_in_is_never_redirected(start: Start, sandbox: Any, clock: Clock) -> None:
    """A 307 would carry the client secret to another host."""
    sandbox.looker_faults.add(
        "status",
        status=307,
        headers={"Location": f"{sandbox.segment_url}/v1/identify"},
        path="/login$",
        times=-1,
    )
    flow = start().run()

    stopped(flow, "permanent", "307")
    assert 0 == flow.record["requests"]


def test_a_sealed_chunk_needs_the_write_key(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another key opens nothing, and says which connection is at fault."""
    flow = start().extract()
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps({**said, "password": "other"}))
    flow.identify()

    assert "segment_conn_id" in str(flow.errors["identify[0]"])
    assert 0 == flow.record["requests"]


def _killed_extract(flow: Flow) -> None:
    for place in [place for place in flow.xcoms.texts if not place[2].startswith("chunk_")]:
        del flow.xcoms.texts[place]
    flow.states["extract"] = "failed"


@pytest.mark.parametrize(
    "end",
    ["success", "failed identify", "identify not run", "killed extract", "no connection", "guards"],
)
def test_no_chunk_outlives_the_report(
    start: Start, sandbox: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock, end: str
) -> None:
    """However a run ends, its report leaves no personal data behind."""
    flow = start("2", filters={"big.id": "<=6000"}).extract()
    assert len(flow.xcoms.chunks()) > 1
    if end == "failed identify":
        sandbox.segment_faults.add("status", status=401, path=BATCH)
    if end == "killed extract":
        _killed_extract(flow)
    elif end != "identify not run":
        flow.identify()
    if end == "no connection":
        monkeypatch.delenv("AIRFLOW_CONN_SEGMENT_DEFAULT")
    if end == "guards":
        flow.choices["guards"] = {"no_such_guard": 1}
    flow.report()

    assert [] == flow.xcoms.chunks()
    assert (end in ("success", "no connection")) == ("report" not in flow.errors)


@pytest.mark.parametrize("choices", [{"dry_run": True}, {"filters": {"people.id": "nobody"}}])
def test_runs_that_send_nothing_leave_no_chunk(start: Start, choices: dict[str, Any]) -> None:
    """A dry run and a Look without rows never had any."""
    flow = start(**choices).extract()

    assert [] == flow.xcoms.chunks()
    assert {} == flow.report().errors


@pytest.mark.parametrize(
    ("settings", "host", "extra", "refused"),
    [
        (kind, host, extra, refused)
        for kind in (LookerSettings, SegmentSettings)
        for host, extra, refused in [
            ("http://api.example.com", {}, True),
            ("HTTP://api.example.com:19999", {}, True),
            ("http://127.0.0.1.example.com", {}, True),
            ("http://localhost@example.com", {}, True),
            ("https://user:word@example.com", {}, True),
            ("ftp://api.example.com", {}, True),
            ("https://api.example.com?key=word", {}, True),
            ("https://api.example.com#word", {}, True),
            ("http://[bad", {}, True),
            ("https://api.example.com:port", {}, True),
            ("https:// example.com", {}, True),
            ("http://10.0.0.7", {"allow_http": "false"}, True),
            ("http://10.0.0.7", {"allow_http": True}, False),
            ("http://127.0.0.1:8000", {}, False),
            ("http://[::1]:8000", {}, False),
            ("http://localhost:8000", {}, False),
            ("https://api.example.com", {}, False),
            ("api.example.com", {}, False),
        ]
    ],
)
def test_secrets_travel_encrypted(
    monkeypatch: pytest.MonkeyPatch, settings: Any, host: str, extra: dict[str, Any], refused: bool
) -> None:
    """Plain http is for this machine, or for whoever asks for it."""
    said = {"conn_type": "looker", "host": host, "login": "i", "password": "hush", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_TESTED", json.dumps(said))

    if refused:
        with pytest.raises(PermanentError) as refusal:
            settings.read("tested")
        assert "hush" not in str(refusal.value)
        assert "word@" not in str(refusal.value)
    else:
        read = settings.read("tested")
        assert getattr(read, "verify_ssl", True) is True


def test_a_certificate_must_be_known(
    tls_server: Any, start: Start, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """A stranger's certificate ends the run before a message leaves; a bundle admits it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    said = {"conn_type": "segment_source", "host": tls_server.url, "password": "key"}
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps(said))
    flow = start().run()
    refusal = str(flow.errors["identify[0]"])
    assert "with a certificate that it is Segment" in refusal
    assert "it does not (self" in refusal
    assert "extra `ca_bundle` of connection 'segment_default'" in refusal
    assert sum(clock.slept) < 1
    assert (0, 20) == (tls_server.requests, flow.books["not_sent"])
    extra = {"ca_bundle": str(tls_server.certificate)}
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps({**said, "extra": extra}))

    assert {} == start(sync_id="with the bundle").run().errors
    assert 1 == tls_server.requests
    missing = {"ca_bundle": "/no/such/file.pem"}
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps({**said, "extra": missing}))
    assert "CA bundle" in str(start().run().errors["identify[0]"])


@pytest.mark.parametrize(
    ("extra", "trusted"), [({}, False), ({"ca_bundle": True}, True), ({"verify_ssl": False}, True)]
)
def test_lookers_certificate_must_be_known(
    tls_server: Any,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    extra: dict[str, Any],
    trusted: bool,
) -> None:
    """The client secret is shown to nobody without a known certificate.

    The connection decides, also where the worker's environment names another bundle.
    """
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests.certs.where())
    extra = {**extra, "ca_bundle": str(tls_server.certificate)} if "ca_bundle" in extra else extra
    said = {"conn_type": "looker", "host": tls_server.url, "login": "i", "password": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps({**said, "extra": extra}))
    ok, _ = LookerHook().test_connection()

    assert not ok
    assert trusted == (tls_server.requests > 0)


def test_a_strange_certificate_is_not_waited_for(
    tls_server: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """It will not be known in a minute; the message says which connection can name its signer."""
    said = {"conn_type": "looker", "host": tls_server.url, "login": "i", "password": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))

    with pytest.raises(PermanentError) as refusal:
        LookerHook().look("42")

    assert (
        f"Connection 'looker_default', host {tls_server.url}: should prove with a certificate "
        "that it is Looker, but it does not (self"
    ) in str(refusal.value)
    assert "`ca_bundle`" in refusal.value.do
    assert [] == clock.slept


def test_a_bundle_that_is_not_there_is_not_waited_for(
    tls_server: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """No retry would bring the file."""
    said = {"conn_type": "looker", "host": tls_server.url, "login": "i", "password": "s"}
    extra = {"ca_bundle": "/no/such/file.pem"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps({**said, "extra": extra}))

    with pytest.raises(PermanentError, match="is not on this worker") as refusal:
        LookerHook().look("42")

    assert "`ca_bundle`" in refusal.value.do
    assert [] == clock.slept


def test_the_seal_is_not_the_write_key(sandbox: Any) -> None:
    """What seals chunks is derived; what names the key in a manifest reveals nothing of it."""
    settings = SegmentSettings.read("segment_default")
    sealed = Seal(settings).close(b"x")

    assert settings.write_key not in repr(settings) + settings.write_key_fingerprint
    assert base64.urlsafe_b64decode(sealed)[0] == 0x80
    with pytest.raises(PermanentError):
        Seal(settings).open(sealed[:-4] + "AAAA", where="it")
