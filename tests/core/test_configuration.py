"""Configuration is checked before it is used."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_provider_looker_segment.core.configuration import check
from airflow_provider_looker_segment.exceptions import PermanentError

SCHEMAS = ["mapping", "guards"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_schemas(name: str) -> None:
    """Each packaged schema is one, and refuses keys it does not know."""
    folder = resources.files("airflow_provider_looker_segment") / "data" / "schemas"
    schema = json.loads((folder / f"{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False


def test_good_configuration_passes() -> None:
    """What the schema allows is let through."""
    check({"min_rows": 5}, schema="guards", where="guards")
    check({}, schema="mapping", where="mapping")


@pytest.mark.parametrize(
    ("said", "schema", "message"),
    [
        ({"min_row": 1, "x": 2}, "guards", "guards: its keys should be among max_change, max_le"),
        ({"min_row": 1, "x": 2}, "guards", "but min_row, x is none of them"),
        ({1: 2}, "guards", "but 1 is none of them"),
        ({"min_rows": "5"}, "guards", 'guards.min_rows should meet type: "integer"'),
        ({"rename": {"a": 5}}, "mapping", 'mapping.rename.a should meet type: "string"'),
        ([], "guards", 'guards should meet type: "object"'),
    ],
)
def test_wrong_configuration(said: Any, schema: str, message: str) -> None:
    """What is wrong is named with its path and with what is allowed, not with its value."""
    with pytest.raises(PermanentError) as caught:
        check(said, schema=schema, where=schema)
    assert message in str(caught.value)


def test_values_are_not_quoted() -> None:
    """A value that was put into the wrong place is not repeated."""
    with pytest.raises(PermanentError) as caught:
        check({"min_rows": "hunter2"}, schema="guards", where="guards")
    assert "hunter2" not in str(caught.value)
