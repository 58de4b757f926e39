"""Configuration that users write as a dict or as a YAML file, checked before it is used.

Plain data enters; it is returned unchanged or refused with the path of what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from airflow_provider_looker_segment.exceptions import PermanentError


def check(said: Mapping[str, Any], *, schema: str, where: str) -> None:
    """Check configuration against one of the packaged JSON Schemas.

    :param schema: the schema's name, without folder and ending.
    :param where: how the message names the configuration.
    :raises PermanentError: naming the first key that is wrong, and what it may be.
    """
    errors = sorted(_validator(schema).iter_errors(said), key=lambda error: error.json_path)
    if not errors:
        return
    error = errors[0]
    path = where + error.json_path.removeprefix("$")
    properties = _schema(schema).get("properties", {})
    if error.validator == "additionalProperties":
        unknown = sorted(str(key) for key in said if key not in properties)
        raise PermanentError(
            f"{where}: its keys",
            should=f"be among {', '.join(sorted(properties))}",
            but=f"{', '.join(unknown)} is none of them",
            do="Mend the spelling, or remove the key.",
        )
    raise PermanentError(
        path,
        should=f"meet {error.validator}: {json.dumps(error.validator_value)}",
        but="it does not",
        do="Mend this value.",
    )


@cache
def _schema(name: str) -> dict[str, Any]:
    folder = resources.files("airflow_provider_looker_segment") / "data" / "schemas"
    loaded: dict[str, Any] = json.loads((folder / f"{name}.schema.json").read_text("utf-8"))
    return loaded


@cache
def _validator(name: str) -> Any:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - half a second at import

    return Draft202012Validator(_schema(name))
