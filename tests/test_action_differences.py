"""Looker's own Segment action and this provider, side by side over the same rows.

The action's rules are written down here from its published behaviour, and used for comparison
only: who is identified and which values are sent must agree, but for what is listed with a reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.identity import BLOCKED_IDS
from airflow_provider_looker_segment.core.look import read_look
from airflow_provider_looker_segment.core.mapping import Mapping, plan
from airflow_provider_looker_segment.core.prepare import Preparation, envelope
from airflow_provider_looker_segment.core.problems import RejectedRow

DIFFERENCES = yaml.safe_load(
    (Path(__file__).parent / "cases" / "action_differences.yaml").read_text("utf-8")
)
RANDOM = "<random>"
ID_TAGS = {"user_id", "segment_anonymous_id"}


def ours(case: dict[str, Any]) -> dict[str, Any] | None:
    """Return what this provider sends for a row, or nothing."""
    columns = case["columns"]
    names = [*columns, *case.get("pivots", [])]
    measures = [name for name in columns if columns[name].get("kind") == "measure"]
    fields = [{"name": name, "tags": columns.get(name, {}).get("tags", [])} for name in names]
    look = read_look(
        {
            "id": "1",
            "title": "",
            "query": {
                "model": "m",
                "view": "v",
                "fields": names,
                "pivots": case.get("pivots"),
                "vis_config": {
                    "hidden_fields": [name for name in columns if columns[name].get("hidden")]
                },
            },
        },
        {
            "fields": {
                "dimensions": [field for field in fields if field["name"] not in measures],
                "measures": [field for field in fields if field["name"] in measures],
            }
        },
    )
    planned = plan(look, Mapping(trait_names="name", nulls="send"))
    shared = envelope(timestamp="2026-01-15T00:00:00+00:00", version="0")
    with SeenUsers() as seen:
        try:
            return Preparation(planned, shared=shared, seen=seen).body(case["row"])
        except RejectedRow:
            return None


def the_actions(case: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the action sends for a row, or nothing where it aborts."""
    columns, row = case["columns"], case["row"]
    tags = {name: set(columns[name].get("tags", ())) for name in columns}
    message: dict[str, Any] = {}
    identifier = next((name for name in columns if tags[name] & ID_TAGS), None)
    if identifier and row[identifier]["value"] is not None:
        message["userId"] = _rounded(row[identifier]["value"])
    anonymous = next((name for name in columns if "segment_anonymous_id" in tags[name]), None)
    if anonymous:
        message["anonymousId"] = row[anonymous]["value"]
    if "userId" not in message:
        message["anonymousId"] = RANDOM
    group = next((name for name in columns if "segment_group_id" in tags[name]), None)
    if group:
        message["groupId"] = row[group]["value"]
    traits: dict[str, Any] = {}
    for name, cell in row.items():
        if tags[name] or columns[name].get("hidden"):
            continue
        if "value" in cell:
            traits[name] = _passed_on(cell["value"])
        elif any(value["value"] is None for value in cell.values()):
            return None
        else:
            traits[name] = [{key: value["value"]} for key, value in cell.items()]
    email = next((name for name in columns if "email" in tags[name]), None)
    if email:
        traits["email"] = row[email]["value"]
    return {**message, "traits": traits}


def _passed_on(value: Any) -> Any:
    if value is None or value or (value == 0 and value is not False and value != ""):
        return _rounded(value)
    return []


def _rounded(value: Any) -> Any:
    """Hold a number as JavaScript does."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case["difference"])
def test_a_difference_is_as_it_is_written_down(case: dict[str, Any]) -> None:
    """Each listed difference exists, on both sides, and has a reason."""
    assert case["reason"]
    assert case["action"] != case["ours"]
    assert case["action"] == the_actions(case)
    assert case["ours"] == ours(case)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
IDS = st.from_regex(r"[A-Za-z][A-Za-z0-9]{2,11}", fullmatch=True).filter(
    lambda text: text.casefold() not in BLOCKED_IDS
)
VALUES = st.one_of(
    TEXT,
    st.none(),
    st.just(True),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)


@given(user_id=IDS, email=st.emails(), values=st.lists(VALUES, max_size=5))
def test_otherwise_both_agree(user_id: str, email: str, values: list[Any]) -> None:
    """For text, numbers, true and nulls the same user gets the same values from both."""
    columns = {"users.id": {"tags": ["user_id"]}, "users.email": {"tags": ["email"]}}
    columns |= {f"users.field_{index}": {} for index in range(len(values))}
    row = {"users.id": {"value": user_id}, "users.email": {"value": email}}
    row |= {f"users.field_{index}": {"value": value} for index, value in enumerate(values)}
    case = {"columns": columns, "row": row}

    assert the_actions(case) == ours(case)
