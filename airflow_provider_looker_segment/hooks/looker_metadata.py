"""What the Looker SDK's objects say about a query and an explore, and what is asked of Looker.

The SDK's objects enter, dicts and lists leave; nothing is sent here.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_looker_segment.core.query import COPIED_KEYS, RunQuery

_FIELD_KEYS = ("name", "label", "label_short", "type", "tags")
_CALENDAR_KEYS = ("week_start_day", "fiscal_month_offset")
_CATEGORIES = ("dimensions", "measures", "filters", "parameters")

EXPLORE_KEYS = "fields({categories}),always_filter".format(
    categories=",".join(
        f"{category}({','.join((*_FIELD_KEYS, *_CALENDAR_KEYS))})" for category in _CATEGORIES
    )
)
"""What to ask of an explore: some have thousands of fields with dozens of keys each."""


def result_parameters(query: RunQuery) -> dict[str, Any]:
    """Return the parameters of every request that makes Looker compute a result."""
    return {
        "limit": query.row_limit,
        "apply_formatting": False,
        "apply_vis": False,
        "cache": False,
        "generate_drill_links": False,
        "server_table_calcs": query.server_table_calcs,
    }


def query_as_dict(query: Any) -> dict[str, Any]:
    """Return what a run copies from a Look's query."""
    return {key: _plain(getattr(query, key)) for key in COPIED_KEYS}


def explore_as_dict(explore: Any) -> dict[str, Any]:
    """Return an explore's fields by category, and the filters it always adds."""
    return {
        "fields": {
            category: [_field(entry) for entry in getattr(explore.fields, category, None) or ()]
            for category in _CATEGORIES
        },
        "always_filter": [
            {"name": entry.name, "value": entry.value} for entry in explore.always_filter or ()
        ],
    }


def _field(entry: Any) -> dict[str, Any]:
    return {key: _plain(getattr(entry, key, None)) for key in (*_FIELD_KEYS, *_CALENDAR_KEYS)}


def _plain(value: Any) -> Any:
    """Turn the SDK's sequences and mappings into plain JSON types."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
