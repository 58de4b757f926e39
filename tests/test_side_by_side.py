"""Beside the providers of Google, Segment and OpenLineage, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[1]
UV = CHECKOUT / ".venv" / "bootstrap" / "bin" / "uv"
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
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an environment with all of them answers."""
    if not UV.exists():
        pytest.skip("uv makes the environment, and there is none")
    folder = tmp_path_factory.mktemp("side_by_side")
    python = folder / "environment" / "bin" / "python"
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(python.parents[1])],
        # Google's provider has dozens of requirements of its own, so only Airflow is pinned.
        ["pip", "install", "--quiet", "--python", str(python)]
        + [f"apache-airflow=={version('apache-airflow-core')}", str(CHECKOUT)]
        + [f"apache-airflow-providers-{name}" for name in OTHERS],
        ["pip", "check", "--quiet", "--python", str(python)],
    ):
        done = subprocess.run([UV, *command], capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr[-3_000:]
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
    done = subprocess.run(
        [python, "-c", _ASK],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if "AIRFLOW" not in name},
            "AIRFLOW_HOME": str(folder),
            **{
                f"AIRFLOW_CONN_{name.upper()}": json.dumps(value)
                for name, value in connections.items()
            },
        },
    )
    assert 0 == done.returncode, done.stderr[-3_000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
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
