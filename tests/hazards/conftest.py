"""Fixtures: a sandbox of hazards, a run to drive through it, and a clock that never waits."""

from __future__ import annotations

import http.server
import ipaddress
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.hazards.cohorts import ALL_MAY_LEAVE, Cohort, Open, Start
from tests.hazards.flow import MOMENT, Flow, XComs, document, play_variables, row
from tests.hazards.planted import Everything
from tests.operators.conftest import run_look

__all__ = ["run_look"]

RESULT = "/run/json_detail$"
"""The path on which Looker streams a result."""
EXPLORE = "/lookml_models/"
"""The path of an explore's fields."""
BATCH = "^/v1/batch$"
"""The path on which Segment takes messages."""

SMALL_BATCHES = 10
"""Messages a second that make batches of five."""
WIDE = 310
"""Columns of the widest Look."""


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Any]:
    import yaml

    from airflow_provider_looker_segment.sandbox.dataset import Dataset
    from airflow_provider_looker_segment.sandbox.server import Sandbox

    said = yaml.safe_load((Path(__file__).parent / "looks.yaml").read_text("utf-8"))
    wide = {f"wide_{number}": {"column": "note", "label": f"w{number}"} for number in range(WIDE)}
    people = said["views"]["people"]["dimensions"]
    dimensions = {"id": people["id"], "email": people["email"], **wide}
    said["views"]["wide"] = {"table": "people", "dimensions": dimensions}
    names = [f"wide.{name}" for name in dimensions]
    options = {"vis_config": {"show_view_names": False}, "limit": 500, "explore": "wide"}
    said["looks"].append({"id": 99, "title": "Wide", "fields": names, **options})
    dataset = Dataset.from_rows(yaml.safe_dump(said), {})
    with Sandbox(dataset) as running:
        yield running


@pytest.fixture
def start(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flow]:
    """Return a function that prepares a run; nothing happens before its tasks are tried."""
    from airflow_provider_looker_segment.stores import chunks

    flows: dict[str, Flow] = {}

    def delete(*, run_id: str, **place: Any) -> None:
        flows[run_id].xcoms.delete(**place)

    play_variables(monkeypatch)
    monkeypatch.setattr(chunks.XCom, "delete", staticmethod(delete))

    def prepare(
        look_id: Any = "1", *, settings: dict[str, Any] | None = None, **choices: Any
    ) -> Flow:
        run_id = f"run {len(flows)}"
        flow = Flow(
            sandbox, XComs(), look_id, choices, run_id=run_id, flows=flows, **(settings or {})
        )
        flows[run_id] = flow
        return flow

    return prepare


@pytest.fixture
def answer(sandbox: Any) -> Callable[..., None]:
    """Return a function that puts rows of Look 1, as JSON texts, in place of its result.

    Each call begins anew: what an earlier one answered and led to is forgotten.
    """

    def arm(*rows: str, **rest: Any) -> None:
        sandbox.looker_faults.clear()
        sandbox.segment_app.state.arrivals.reset()
        body = document(*rows, **rest)
        sandbox.looker_faults.add(
            "body", body=body, path=RESULT, content_type="application/json", times=-1
        )

    return arm


@pytest.fixture
def everything(capfd: pytest.CaptureFixture[str]) -> Iterator[Everything]:
    """Hear every logger at every level, those of the SDKs and of their HTTP library too."""
    heard = Everything(capfd)

    class Handler(logging.Handler):
        """Keeps each line, with the traceback that belongs to it."""

        def emit(self, record: logging.LogRecord) -> None:
            """Keep a line."""
            heard.lines.append(logging.Formatter().format(record))

    handler = Handler(logging.NOTSET)
    names = ("", "segment", "looker_sdk", "urllib3", "requests", "airflow", "airflow.task")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(1)
        logger.disabled = False
    yield heard
    for logger, (level, disabled) in zip(loggers, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.disabled = disabled


class Clock:
    """Time as the hooks see it: sleeping takes none, and is remembered."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Remember how long a hook would have slept."""
        if seconds > 0:
            self.slept.append(seconds)

    def monotonic(self) -> float:
        """Return real time and all sleep."""
        return time.monotonic() + sum(self.slept)

    @property
    def waits(self) -> list[int]:
        """Seconds of every wait that is long enough to be one, rounded."""
        return [round(seconds) for seconds in self.slept if seconds >= 0.5]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the clock of both hooks."""
    from airflow_provider_looker_segment.hooks import delivery, looker

    clock = Clock()
    for module in (delivery, looker):
        monkeypatch.setattr(module, "time", clock)
    return clock


class TlsServer:
    """A server on this machine whose certificate nobody has signed; it accepts every batch."""

    def __init__(self, folder: Path) -> None:
        self.requests = 0
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        _write_certificate(self.certificate, key)
        counted = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                counted.requests += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                body = b'{"success": true}'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                return

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self._server = Quiet(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


def _write_certificate(certificate: Path, key: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsServer]:
    """A server with a certificate of its own, where the environment names no bundle."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    server = TlsServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def snapshot(tmp_path: Path) -> dict[str, Any]:
    """A folder for snapshots that every worker has."""
    return {"path": f"file://{tmp_path}/snapshots", "local": True}


@pytest.fixture
def begin(start: Start, sandbox: Any, snapshot: dict[str, Any]) -> Open:
    """Return a function that prepares the run of one window's cohort."""

    def prepare(day: int, cohort: Cohort, **choices: Any) -> Flow:
        sandbox.looker_faults.clear()
        rows = [
            row(id=json.dumps(user), **{name: json.dumps(v) for name, v in traits.items()})
            for user, traits in cohort.items()
        ]
        body = f'{{"status":"complete","data":[{",".join(rows)}]}}'
        sandbox.looker_faults.add(
            "body",
            body=body,
            path="/run/json_detail$",
            content_type="application/json",
            times=-1,
        )
        settings = {"extra": {"logical_date": MOMENT + timedelta(days=day)}}
        given = {"snapshot": snapshot, "guards": ALL_MAY_LEAVE, "mode": "changed", **choices}
        return start(settings=settings, **given)

    return prepare
