"""Starting and stopping the stand-ins, in this process and from a shell."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date

import pytest
import requests
from segment.analytics.request import post
from starlette.responses import PlainTextResponse

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.__main__ import _parser, _start
from airflow_provider_looker_segment.sandbox.faults import FaultMiddleware, Faults
from airflow_provider_looker_segment.sandbox.server import AppServer, Sandbox

TODAY = date(2026, 1, 31)


def sandbox_threads() -> set[threading.Thread]:
    """Return the sandbox's threads that still live; the whole suite's own are among them."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("sandbox-")}


def test_a_server_answers_when_it_is_there_and_not_after() -> None:
    """It is ready at once, listens on loopback only, and leaves no thread and no port behind."""
    before = sandbox_threads()
    server = AppServer("test", PlainTextResponse("here"))

    assert "here" == requests.get(server.url, timeout=5).text
    assert server.url.startswith("http://127.0.0.1:")
    server.close()
    server.close()
    assert before == sandbox_threads()
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(server.url, timeout=5)


def test_closing_ends_a_stalled_request_quietly(caplog: pytest.LogCaptureFixture) -> None:
    """A fault in flight delays the end by a second at most, and nothing is logged."""
    faults = Faults()
    faults.add("stall", seconds=60)
    server = AppServer("test", FaultMiddleware(PlainTextResponse("here"), faults))
    with requests.get(server.url, stream=True, timeout=5):
        started = time.monotonic()

        server.close()

    assert 3 > time.monotonic() - started
    assert [] == caplog.records


def test_a_taken_port_is_named() -> None:
    """The error says which port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PermanentError, match=f"port {port} of 127.0.0.1.*another port"):
            AppServer("test", PlainTextResponse("here"), port)


def test_signals_and_logging_are_left_alone() -> None:
    """Serving changes no signal handler and adds no log handler."""
    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    handlers = (list(logging.getLogger().handlers), list(logging.getLogger("uvicorn").handlers))

    server = AppServer("test", PlainTextResponse("here"))
    server.close()

    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert handlers == (logging.getLogger().handlers, logging.getLogger("uvicorn").handlers)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Start both stand-ins over the generated dataset."""
    with Sandbox(today=TODAY) as sandbox:
        yield sandbox


def test_both_stand_ins_sign_in_with_the_connections(sandbox: Sandbox) -> None:
    """The two connections are what each stand-in accepts."""
    looker = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    segment = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])

    login = requests.post(
        f"{looker['host']}/api/4.0/login",
        data={"client_id": looker["login"], "client_secret": looker["password"]},
        timeout=10,
    )
    post(segment["password"], host=segment["host"], batch=[{"type": "identify", "userId": "1"}])

    assert 200 == login.status_code
    assert login.json()["access_token"]
    assert ("looker", "segment_source") == (looker["conn_type"], segment["conn_type"])
    assert 1 == sandbox.segment_app.state.arrivals.summary()["accepted"]


def connected(sandbox: Sandbox) -> list[str]:
    """Return the destinations of the Segment stand-in."""
    said = requests.get(f"{sandbox.segment_url}/_sandbox/destinations", timeout=5).json()
    return [entry["name"] for entry in said["destinations"]]


def test_every_name_of_the_catalogue_is_connected(sandbox: Sandbox) -> None:
    """What a DAG may name is there to be reached or muted, with all its newer names."""
    names = {name for one in load_catalogue().destinations for name in one.all_keys}

    assert names == set(connected(sandbox))


def test_the_connected_destinations_can_be_chosen() -> None:
    """The command takes them with commas between."""
    options = _parser().parse_args(["--destinations", "Braze, Tool 78", "--today", "2026-01-31"])
    with _start(options) as sandbox:
        assert ["Braze", "Tool 78"] == connected(sandbox)


def test_each_stand_in_has_its_own_faults(sandbox: Sandbox) -> None:
    """A rule of one is not met by the other, from inside or over HTTP."""
    sandbox.segment_faults.add("status", status=503, path="^/v1")

    assert [] == requests.get(f"{sandbox.looker_url}/_sandbox/faults", timeout=5).json()["rules"]
    answer = requests.post(f"{sandbox.segment_url}/v1/batch", json={}, timeout=5)
    assert 503 == answer.status_code


def test_a_second_port_that_is_taken_stops_the_first() -> None:
    """Nothing keeps running if only one of the two can start."""
    before = sandbox_threads()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PermanentError):
        Sandbox(today=TODAY, segment_port=taken.getsockname()[1])

    assert before == sandbox_threads()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_its_connections_and_stops_on_a_signal(number: signal.Signals) -> None:
    """What it prints can be pasted into a shell; a signal ends it with status 0, quietly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow_provider_looker_segment.sandbox", "--today", "2026-01-31"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    exports = dict(re.findall(r"^export (\w+)=(.*)$", "".join(lines), re.MULTILINE))
    segment = json.loads(shlex.split(exports["AIRFLOW_CONN_SEGMENT_DEFAULT"])[0])
    page = requests.get(segment["host"], timeout=5)
    process.send_signal(number)
    rest, errors = process.communicate(timeout=20)

    assert 200 == page.status_code
    assert {"AIRFLOW_CONN_LOOKER_DEFAULT", "AIRFLOW_CONN_SEGMENT_DEFAULT"} == set(exports)
    assert (0, "Stopped.\n", "") == (process.returncode, rest, errors)


def test_the_command_says_why_it_cannot_start() -> None:
    """A taken port is one sentence and status 2, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [
                sys.executable,
                "-m",
                "airflow_provider_looker_segment.sandbox",
                "--looker-port",
                port,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert 2 == result.returncode
    assert result.stderr.startswith("The looker stand-in should listen on port")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """Python has another error for it than for a taken one."""
    with pytest.raises(PermanentError, match=f"should listen on port {port} of .* 0-65535"):
        _start(_parser().parse_args(["--segment-port", port]))


def test_looks_without_a_dataset_are_not_ignored() -> None:
    """A file of Looks says nothing about the generated site."""
    with pytest.raises(PermanentError, match="--looks should come with --dataset"):
        _start(_parser().parse_args(["--looks", "looks.yaml"]))
