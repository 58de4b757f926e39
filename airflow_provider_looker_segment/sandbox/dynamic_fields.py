"""The fields that live in one query only: table calculations and custom fields.

The text of ``dynamic_fields`` enters, fields leave. What the sandbox can't compute raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.calculations import references
from airflow_provider_looker_segment.sandbox.model import NUMBER_MEASURES, Field

_EXPRESSION: Final = "expression"


class DynamicFieldError(PermanentError):
    """An entry of ``dynamic_fields`` is malformed or not simulated; Looker answers 422."""


@dataclass(frozen=True, slots=True)
class Calculation:
    """One table calculation: computed from the rows of the result, never by the database."""

    field: Field
    expression: str

    @property
    def is_yesno(self) -> bool:
        """Whether its values are yes or no."""
        return self.field.kind == "yesno"


@dataclass(frozen=True, slots=True)
class CustomDimension(Field):
    """A dimension given by an expression over other fields."""

    expression: str = ""


def read_dynamic_fields(text: Any) -> tuple[dict[str, Field], dict[str, Calculation]]:
    """Read ``dynamic_fields``.

    :param text: JSON text, as Looker keeps it, or what it stands for.
    :return: custom dimensions and measures by name; table calculations by name.
    :raises DynamicFieldError: when an entry is malformed or of a kind that is not simulated.
    """
    try:
        entries = json.loads(text) if isinstance(text, str) and text.strip() else text or []
    except ValueError as error:
        raise _refused("is not JSON") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _refused("is not a list of objects")
    custom: dict[str, Field] = {}
    calculations: dict[str, Calculation] = {}
    for entry in entries:
        if entry.get("is_disabled"):
            continue
        if "table_calculation" in entry:
            field = _field(entry, "table_calculation", "dimension")
            calculations[field.name] = Calculation(field, _text(entry, _EXPRESSION))
        elif "measure" in entry:
            field = _custom_measure(entry)
            custom[field.name] = field
        elif "dimension" in entry:
            field = _custom_dimension(entry)
            custom[field.name] = field
        else:
            raise _refused("has an entry that is no table calculation, measure or dimension")
    return custom, calculations


def _custom_dimension(entry: Mapping[str, Any]) -> Field:
    field = _field(entry, "dimension", "dimension")
    expression = _text(entry, _EXPRESSION)
    slots = {name: getattr(field, name) for name in Field.__slots__}
    return CustomDimension(**slots, expression=expression)


def _custom_measure(entry: Mapping[str, Any]) -> Field:
    kind = str(entry.get("type") or "count")
    if kind not in {*NUMBER_MEASURES, "list"} or entry.get("filter_expression"):
        raise _refused(f"measure `{entry['measure']}` is of a kind that is not simulated")
    field = _field(entry, "measure", "measure")
    based_on = entry.get("based_on")
    filters = {str(name): str(value) for name, value in (entry.get("filters") or {}).items()}
    slots = {name: getattr(field, name) for name in Field.__slots__}
    slots |= {"kind": kind, "filters": filters, "sql": f"${{{based_on}}}" if based_on else ""}
    return Field(**slots)


def _field(entry: Mapping[str, Any], key: str, category: Any) -> Field:
    return Field(
        name=_text(entry, key),
        category=category,
        kind=str(entry.get("_type_hint") or "string"),
        label_short=str(entry.get("label") or entry[key]),
        value_format=str(entry.get("value_format") or ""),
        value_format_name=str(entry.get("value_format_name") or ""),
        dynamic=True,
    )


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise _refused(f"has an entry without a `{key}`")
    return value


def _refused(but: str) -> DynamicFieldError:
    return DynamicFieldError(
        "A query's `dynamic_fields`",
        should="hold fields that the sandbox can compute",
        but=but,
        do="See docs/sandbox.md for what is simulated.",
    )


def measures_within(calculation: Calculation, measures: set[str]) -> set[str]:
    """Return which of the measures a table calculation refers to."""
    return measures & set(references(calculation.expression))
