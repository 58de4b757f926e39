"""The connection forms, as Airflow's API server offers them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from packaging.version import Version

from airflow_provider_looker_segment import get_provider_info
from airflow_provider_looker_segment.connection_forms import looker_form, segment_form

_HOOK_META = """\
import json, sys
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
meta = {one.connection_type: one.model_dump() for one in HookMetaService.hook_meta_data()}
ours = sorted(name for name in sys.modules if name.startswith("airflow_provider_looker_segment"))
heavy = sorted({"looker_sdk", "segment"} & sys.modules.keys())
print(json.dumps({"meta": meta, "ours": ours, "heavy": heavy}))
"""


def has_declarative_forms() -> bool:
    """Say whether this Airflow builds forms from data, as it does since 3.2."""
    return Version(version("apache-airflow-core")) >= Version("3.2")


@pytest.mark.skipif(not has_declarative_forms(), reason="Airflow 3.1 has no declarative forms")
def test_the_api_server_needs_no_hook_for_a_form() -> None:
    """Both forms come whole, and nothing but data is imported for them."""
    done = subprocess.run(
        [sys.executable, "-c", _HOOK_META], capture_output=True, text=True, check=True, timeout=120
    )
    said = json.loads(done.stdout.splitlines()[-1])

    for form in (looker_form(), segment_form()):
        meta = said["meta"][form["connection-type"]]
        assert form["hook-name"] == meta["hook_name"]
        assert form["conn-fields"].keys() == meta["extra_fields"].keys()
        relabelled = form["ui-field-behaviour"]["relabeling"]
        assert relabelled["password"] == meta["standard_fields"]["password"]["title"]
    assert [
        "airflow_provider_looker_segment",
        "airflow_provider_looker_segment.connection_forms",
    ] == said["ours"]
    assert [] == said["heavy"]


@pytest.mark.skipif(not has_declarative_forms(), reason="Airflow 3.1 has no declarative forms")
def test_the_forms_pass_airflows_strict_schema() -> None:
    """Not only what Airflow reads at run time is right, also what it asks of its own providers."""
    schema = json.loads(files("airflow").joinpath("provider.yaml.schema.json").read_text("utf-8"))

    jsonschema.validate(
        get_provider_info()["connection-types"], schema["properties"]["connection-types"]
    )


@pytest.mark.parametrize("form", [looker_form(), segment_form()], ids=["looker", "segment_source"])
def test_secrets_have_names_that_airflow_masks(form: dict[str, Any]) -> None:
    """Whatever the form keeps as a secret is never shown again."""
    from airflow.sdk.log import redact

    extras = dict.fromkeys(form["conn-fields"], "words-of-a-form")
    shown = redact(extras)
    secret = {name for name in extras if any(word in name for word in ("private_key", "secret"))}

    assert secret == {name for name, value in shown.items() if value != "words-of-a-form"}
    assert {"oauth_private_key"} & extras.keys() == secret


def test_the_segment_form_speaks_of_eu_workspaces() -> None:
    """Whoever has an EU workspace learns in the form which key to use."""
    said = segment_form()["conn-fields"]["region"]["description"]

    assert "HTTP API source" in said
    assert "US workspaces only" in said
