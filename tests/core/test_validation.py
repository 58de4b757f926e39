"""The checks of a finished message."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import Any

import pytest

from airflow_provider_looker_segment.core.problems import RejectedRow
from airflow_provider_looker_segment.core.validation import Validator
from airflow_provider_looker_segment.exceptions import PermanentError

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}, "city": {"enum": ["Rome"]}},
    "required": ["age"],
}


@pytest.mark.parametrize(
    ("traits", "path"),
    [
        ({"age": "secret"}, "$.age type"),
        ({"age": -12345}, "$.age minimum"),
        ({"age": 1, "city": "secret"}, "$.city enum"),
        ({"age": "secret", "city": "secret"}, "$.age type"),
        ({}, "$ required"),
    ],
)
def test_schema(traits: dict[str, Any], path: str) -> None:
    """A message that breaks the schema is rejected with path and rule, never with a value."""
    with pytest.raises(RejectedRow) as caught:
        Validator(traits_schema=SCHEMA).check(traits)
    assert (caught.value.code, caught.value.column) == ("traits_schema", path)


def test_schema_accepts() -> None:
    """A message that meets the schema passes, and is not changed."""
    traits = {"age": 3, "city": "Rome", "more": "x"}
    Validator(traits_schema=SCHEMA).check(traits)
    assert traits == {"age": 3, "city": "Rome", "more": "x"}


def test_too_many_traits() -> None:
    """A message may have 300 traits, with a schema or without."""
    many = {str(number): number for number in range(300)}
    Validator(traits_schema=None).check(many)
    with pytest.raises(RejectedRow, match="too_many_traits"):
        Validator(traits_schema=None).check({**many, "one more": 1})


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "nothing"}, "traits_schema.type should"),
        ({"properties": {"a": {"minimum": "x"}}}, "traits_schema.properties.a.minimum should"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "type": 5}, "traits_schema.type"),
    ],
)
def test_broken_schema(schema: dict[str, Any], where: str) -> None:
    """A schema that is none fails before any row, and its fault is named."""
    with pytest.raises(PermanentError) as caught:
        Validator(traits_schema=schema)
    assert str(caught.value).startswith(where)


@pytest.mark.parametrize("reference", ["https://example.com/plan.json", "#/$defs/gone"])
def test_nothing_is_fetched(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that leads out of the schema, or nowhere, fails instead of being fetched."""
    fetched: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **_: fetched.append(args))
    validator = Validator(traits_schema={"$ref": reference})
    with pytest.raises(PermanentError, match="should refer to its own definitions only"):
        validator.check({"a": 1})
    assert fetched == []


def test_own_definitions() -> None:
    """A schema may refer to its own definitions."""
    schema = {"$defs": {"n": {"type": "number"}}, "additionalProperties": {"$ref": "#/$defs/n"}}
    Validator(traits_schema=schema).check({"a": 1})
    with pytest.raises(RejectedRow):
        Validator(traits_schema=schema).check({"a": "x"})


def test_jsonschema_is_lazy() -> None:
    """Without a schema nothing of JSON Schema is imported."""
    code = (
        "import sys; from airflow_provider_looker_segment.core.validation import Validator; "
        "Validator(traits_schema=None).check({}); sys.exit('jsonschema' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_path_is_no_schema() -> None:
    """Core reads no files: a path that nobody has read is refused."""
    with pytest.raises(PermanentError, match="should be a JSON Schema"):
        Validator(traits_schema="plan.json")


@pytest.mark.parametrize("age", [30, "thirty"], ids=["met", "broken"])
def test_speed(age: Any) -> None:
    """A hundred thousand messages of 12 traits take less than 20 s of one core, met or not."""
    messages = 10_000
    kinds: dict[str, Any] = {
        "name": {"type": "string", "maxLength": 100},
        "email": {"type": "string", "pattern": "@"},
        "age": {"type": "integer", "minimum": 0},
        "plan": {"enum": ["free", "pro"]},
    }
    properties = {f"{name} {number}": kinds[name] for name in kinds for number in range(3)}
    values = {"name": "Ty Arthur", "email": "ty@example.com", "age": age, "plan": "pro"}
    traits = {name: values[name.partition(" ")[0]] for name in properties}
    validator = Validator(
        traits_schema={"properties": properties, "required": list(properties)[:2]}
    )
    assert 12 == len(traits) == len(properties)

    began_s = time.process_time()
    for _ in range(messages):
        with contextlib.suppress(RejectedRow):
            validator.check(traits)
    spent_s = time.process_time() - began_s

    assert spent_s * 100_000 / messages < 20
