"""Fields as Looker's API describes them; frozen fields enter, JSON objects leave.

Source: https://docs.cloud.google.com/looker/docs/reference/looker-api/latest/types/LookmlModelExploreField
"""

from __future__ import annotations

import json
from typing import Any, Final

from airflow_provider_looker_segment.sandbox.model import Field, Model

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_INTERVALS: Final = {
    "date": "day",
    "week": "week",
    "month": "month",
    "quarter": "quarter",
    "year": "year",
    "hour": "hour",
    "minute": "minute",
}


def field_json(field: Field, model: Model) -> dict[str, Any]:
    """Return a dimension, measure, filter or parameter as explores and results show it."""
    interval = _INTERVALS.get(field.timeframe)
    return {
        "align": "right" if field.is_numeric else "left",
        "can_filter": True,
        "category": field.category,
        "convert_tz": field.convert_tz if field.timeframe else None,
        "default_filter_value": field.default_value or None,
        "description": field.description or None,
        "dimension_group": field.group or None,
        "dynamic": field.dynamic,
        "enumerations": [{"label": value, "value": value} for value in field.allowed_values]
        or (
            [{"label": "Yes", "value": "Yes"}, {"label": "No", "value": "No"}]
            if _yesno(field)
            else None
        ),
        "field_group_label": field.group_label or None,
        "field_group_variant": field.label_short,
        "fill_style": "range" if interval else "enumeration" if _yesno(field) else None,
        "fiscal_month_offset": model.fiscal_month_offset,
        "has_allowed_values": bool(field.allowed_values),
        "hidden": field.hidden,
        "is_filter": field.category == "filter",
        "is_fiscal": False,
        "is_numeric": field.is_numeric,
        "is_timeframe": bool(field.timeframe),
        "label": field.label,
        "label_from_parameter": None,
        "label_short": field.label_short,
        "lookml_link": None,
        "map_layer": None,
        "measure": field.is_measure,
        "name": field.name,
        "parameter": field.category == "parameter",
        "permanent": not field.dynamic,
        "primary_key": field.primary_key,
        "project_name": model.name,
        "scope": field.view,
        "sortable": True,
        "source_file": f"{field.view}.view.lkml" if field.view else None,
        "sql": field.sql or None,
        "strict_value_format": False,
        "suggest_dimension": field.name,
        "suggestable": field.filter_kind == "string" and not field.is_measure,
        "suggestions": None,
        "tags": list(field.tags),
        "time_interval": {"name": interval, "count": 1} if interval else None,
        "type": field.type,
        "user_attribute_filter_types": ["advanced_filter_string", "string"],
        "value_format": field.value_format or None,
        "value_format_name": field.value_format_name or None,
        "view": field.view,
        "view_label": field.view_label,
        "week_start_day": _WEEKDAYS[model.week_start_day],
    }


def calculation_json(field: Field, dynamic_fields: Any) -> dict[str, Any]:
    """Return a table calculation as results show it; calculations carry no tags."""
    entries = json.loads(dynamic_fields) if isinstance(dynamic_fields, str) else dynamic_fields
    expression = next(
        entry["expression"] for entry in entries if entry.get("table_calculation") == field.name
    )
    return {
        "align": "right" if field.kind == "number" else "left",
        "can_pivot": True,
        "dynamic": True,
        "expression": expression,
        "is_numeric": field.kind == "number",
        "is_table_calculation": True,
        "label": field.label_short,
        "label_short": field.label_short,
        "measure": False,
        "name": field.name,
        "type": field.kind,
        "value_format": field.value_format or None,
        "value_format_name": field.value_format_name or None,
    }


def brief_field_json(field: Field) -> dict[str, Any]:
    """Return a field as ``json_bi`` describes it: without tags."""
    return {
        "sql": field.sql or None,
        "view": field.view,
        "dimension_group": field.group or None,
        "category": field.category,
        "field_group_label": field.group_label or None,
        "name": field.name,
        "type": field.type,
        "view_label": field.view_label,
        "label": field.label,
        "field_group_variant": field.label_short,
        "hidden": field.hidden,
        "description": field.description or None,
    }


def _yesno(field: Field) -> bool:
    return field.kind == "yesno"
