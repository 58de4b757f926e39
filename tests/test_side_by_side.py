"""Beside the providers of Google, Segment and OpenLineage, in an environment of its own.

A run there shows what really reaches OpenLineage and a statsd server.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_looker_segment import metrics
from tests.environments import CHECKOUT, environment
from tests.operators.conftest import summary

OTHERS = ("google", "segment", "openlineage")

pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(900)]

_ASK = """\
import json, logging, warnings
warnings.simplefilter("ignore")
said = []
class Said(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())
logging.getLogger().addHandler(Said(level=logging.WARNING))
from airflow.providers_manager import ProvidersManager
hooks = ProvidersManager().hooks
owners = {name: hooks[name].package_name for name in sorted(hooks)
          if name in ("looker", "segment_source", "segment", "gcp_looker")}

from airflow_provider_looker_segment.connections import LookerSettings, SegmentSettings
looker = LookerSettings.read("from_google")
segment = SegmentSettings.read("from_segment")

from airflow_provider_looker_segment.lineage import Lineage
lineage = Lineage()
lineage.note_look(looker, "42")
lineage.note_source(SegmentSettings.read("ours"))
lineage.fields = [
    {"name": "users.id", "type": "string", "label": "userId", "sent_as": "userId"},
    {"name": "users.age", "type": "number", "label": "Age", "sent_as": "traits.Age"},
    {"name": "users.hidden", "type": "string", "label": "Hidden", "sent_as": ""},
]
read = lineage.open_lineage(with_output=False)
sent = lineage.open_lineage(with_output=True, rows=7)
(output,) = sent.outputs
print(json.dumps({
    "owners": owners,
    "said": [text for text in said if "looker" in text.lower() or "segment" in text.lower()],
    "looker": [looker.base_url, looker.client_id, looker.verify_ssl],
    "key": segment.write_key,
    "read": [[one.namespace, one.name, [f.name for f in one.facets["schema"].fields]]
             for one in read.inputs] + [len(read.outputs)],
    "output": [output.namespace, output.name,
               [f.name for f in output.facets["schema"].fields],
               {name: [f.field for f in found.inputFields]
                for name, found in output.facets["columnLineage"].fields.items()},
               output.outputFacets["outputStatistics"].rowCount],
}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with all of them, and a client for statsd."""
    # Google's provider has dozens of requirements of its own, so only Airflow is pinned.
    airflow = f"apache-airflow=={version('apache-airflow-core')}"
    others = [f"apache-airflow-providers-{name}" for name in OTHERS]
    return environment(tmp_path_factory.mktemp("side_by_side"), "statsd", airflow, *others)


def run(python: Path, arguments: list[str], home: Path, settings: dict[str, str]) -> str:
    """Run a command of the environment; return what it printed."""
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    done = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={**inherited, "AIRFLOW_HOME": str(home), **settings},
    )
    assert 0 == done.returncode, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


@pytest.fixture(scope="module")
def said(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the environment answers."""
    connections = {
        "from_google": {
            "conn_type": "gcp_looker",
            "host": "https://acme.looker.com",
            "port": 19999,
            "login": "client",
            "password": "word",
            "extra": {"verify_ssl": "true", "timeout": "120"},
        },
        "from_segment": {"conn_type": "segment", "extra": {"write_key": "their-key"}},
        "ours": {
            "conn_type": "segment_source",
            "password": "our-key",
            "extra": {"workspace": "acme", "source": "looker"},
        },
    }
    settings = {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()
    }
    answer = run(python, ["-c", _ASK], tmp_path_factory.mktemp("asked"), settings)
    found: dict[str, Any] = json.loads(answer.splitlines()[-1])
    return found


def test_each_connection_type_has_its_own_owner(said: dict[str, Any]) -> None:
    """Nobody takes a connection type away from anybody, and nobody warns of it."""
    assert {
        "gcp_looker": "apache-airflow-providers-google",
        "looker": "airflow-provider-looker-segment",
        "segment": "apache-airflow-providers-segment",
        "segment_source": "airflow-provider-looker-segment",
    } == said["owners"]
    assert [] == said["said"]


def test_their_connections_work_here_unchanged(said: dict[str, Any]) -> None:
    """A connection that was made for another provider is read as it is."""
    assert ["https://acme.looker.com:19999", "client", True] == said["looker"]
    assert "their-key" == said["key"]


def test_openlineage_learns_the_way_of_each_column(said: dict[str, Any]) -> None:
    """Inputs have a schema, outputs the way of each Looker field into a trait."""
    columns = ["users.id", "users.age", "users.hidden"]

    assert [["looker://acme.looker.com", "looks/42", columns], 0] == said["read"]
    assert [
        "segment://acme",
        "looker",
        ["userId", "traits.Age"],
        {"userId": ["users.id"], "traits.Age": ["users.age"]},
        7,
    ] == said["output"]


@contextmanager
def statsd() -> Iterator[tuple[int, list[str]]]:
    """A statsd server's port, and what came there once the block is left."""
    came: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        # Nobody reads while the run goes on: what it sends has to fit into the buffer.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1], came
        server.setblocking(False)
        while True:
            try:
                came.append(server.recv(65_535).decode())
            except BlockingIOError:
                return


def test_a_run_reaches_openlineage_and_statsd(python: Path, sandbox: Any, tmp_path: Path) -> None:
    """A run tells OpenLineage the way of each column, and statsd the documented counts."""
    events_file = tmp_path / "events.json"
    transport = {"type": "file", "log_file_path": str(events_file), "append": True}
    with statsd() as (port, came):
        settings = {
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(port),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            **sandbox.connections(),
        }
        run(python, ["-m", "airflow", "db", "migrate"], tmp_path, settings)
        dag_test = ["-m", "airflow", "dags", "test", "daily_cohort", "2026-01-15"]
        run(python, dag_test, tmp_path, settings)

    rows = summary(sandbox)["users"]
    ours = dict(one.split(":") for one in came if one.startswith(f"airflow.{metrics.PREFIX}."))
    delivery = ours.pop(f"airflow.{metrics.PREFIX}.{metrics.SECONDS}")
    assert delivery.endswith("|ms")
    assert {
        f"airflow.{metrics.PREFIX}.{name}": f"{rows}|c" for name in ("rows", "messages", "accepted")
    } == ours

    events = [json.loads(line) for line in events_file.read_text().splitlines()]
    reported = [event for event in events if event["job"]["name"].endswith(".report")]
    (read,), (output,) = reported[-1]["inputs"], reported[-1]["outputs"]
    assert "COMPLETE" == reported[-1]["eventType"]
    assert "looks/42" == read["name"]
    columns = [field["name"] for field in read["facets"]["schema"]["fields"]]
    assert ["users.id", "users.name", "users.email", "sessions.count"] == columns
    assert rows == output["outputFacets"]["outputStatistics"]["rowCount"]
    ways = output["facets"]["columnLineage"]["fields"]
    assert {
        "userId": ["users.id"],
        "traits.name": ["users.name"],
        "traits.email": ["users.email"],
        "traits.sessions count": ["sessions.count"],
    } == {trait: [field["field"] for field in way["inputFields"]] for trait, way in ways.items()}
