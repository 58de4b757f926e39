"""Looks and the model as the Looker stand-in shows them: metadata only, no row is read.

Source: the Look and LookmlModel methods of Looker's API 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from airflow_provider_looker_segment.sandbox.field_json import field_json
from airflow_provider_looker_segment.sandbox.looker_state import LookerState, slug
from airflow_provider_looker_segment.sandbox.looker_wire import (
    LookerJson,
    addressed,
    flag,
    invalid,
    not_found,
    select,
)
from airflow_provider_looker_segment.sandbox.model import Explore, Look

_CREATED_AT: Final = "2024-01-02T03:04:05.000+00:00"
_SEARCHABLE: Final = (
    "id",
    "title",
    "description",
    "folder_id",
    "user_id",
    "query_id",
    "view_count",
)
_CATEGORIES: Final = {
    "dimensions": "dimension",
    "measures": "measure",
    "filters": "filter",
    "parameters": "parameter",
}


def content_router(state: LookerState) -> APIRouter:
    """Return the endpoints for Looks, models and explores."""
    router = APIRouter()
    model = state.dataset.model

    @router.get("/looks")
    def all_looks(request: Request) -> Response:
        found = [look_json(state, look) for look in model.looks.values() if not look.deleted]
        return LookerJson(select(found, request.query_params.get("fields")))

    @router.get("/looks/search")
    def search_looks(request: Request) -> Response:
        parameters = request.query_params
        found = [look_json(state, look) for look in model.looks.values()]
        found = [look for look in found if _matches(look, parameters)]
        found = page_of(sort_by(found, parameters.get("sorts", "")), parameters)
        return LookerJson(select(found, parameters.get("fields")))

    @router.get("/looks/{look_id}")
    def one_look(look_id: str, request: Request) -> Response:
        look = model.looks.get(look_id)
        if look is None:
            raise not_found()
        query = addressed(state.look_query(look), request)
        found = {**look_json(state, look), "query": query}
        return LookerJson(select(found, request.query_params.get("fields")))

    @router.get("/lookml_models")
    def all_models(request: Request) -> Response:
        return LookerJson(select([_model_json(state)], request.query_params.get("fields")))

    @router.get("/lookml_models/{name}")
    def one_model(name: str, request: Request) -> Response:
        if name != model.name:
            raise not_found()
        return LookerJson(select(_model_json(state), request.query_params.get("fields")))

    @router.get("/lookml_models/{name}/explores/{explore}")
    def one_explore(name: str, explore: str, request: Request) -> Response:
        if name != model.name or explore not in model.explores:
            raise not_found()
        found = _explore_json(state, model.explores[explore])
        return LookerJson(select(found, request.query_params.get("fields")))

    return router


def look_json(state: LookerState, look: Look) -> dict[str, Any]:
    """Return a Look without its query, as lists show it."""
    folder = {"id": slug(look.folder)[:8], "name": look.folder}
    return {
        "can": {"run": True, "show": True},
        "content_metadata_id": look.id,
        "id": look.id,
        "title": look.title,
        "user_id": "1",
        "created_at": _CREATED_AT,
        "deleted": look.deleted,
        "deleted_at": _CREATED_AT if look.deleted else None,
        "deleter_id": "1" if look.deleted else None,
        "description": look.description or None,
        "embed_url": f"/embed/looks/{look.id}",
        "favorite_count": 0,
        "is_run_on_load": True,
        "last_accessed_at": None,
        "last_viewed_at": None,
        "model": {"id": state.dataset.model.name, "label": state.dataset.model.label},
        "public": False,
        "query_id": state.look_query(look)["id"],
        "short_url": f"/looks/{look.id}",
        "folder": folder,
        "folder_id": folder["id"],
        "updated_at": _CREATED_AT,
        "view_count": 0,
        "user": {"id": "1"},
    }


def _matches(look: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
    """Whether a Look fits a search: every criterion, or any with ``filter_or``."""
    if look["deleted"] != flag(parameters, "deleted"):
        return False
    tests = [like(look[name], parameters[name]) for name in _SEARCHABLE if parameters.get(name)]
    if not tests:
        return True
    return any(tests) if flag(parameters, "filter_or") else all(tests)


def like(value: object, pattern: str) -> bool:
    """Compare as SQL's LIKE does, whatever the case."""
    if pattern.upper() in ("NULL", "NOT NULL"):
        return (value is None) == (pattern.upper() == "NULL")
    wildcards = {"%": ".*", "_": "."}
    expression = "".join(wildcards.get(char) or re.escape(char) for char in pattern)
    text = "" if value is None else str(value)
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL) is not None


def sort_by(found: list[dict[str, Any]], sorts: str) -> list[dict[str, Any]]:
    """Order what a search found, as ``title desc,id`` says.

    :raises HTTPException: 422 when it names no member.
    """
    for sort in reversed([part.split() for part in sorts.split(",") if part.strip()]):
        name = sort[0]
        if found and name not in found[0]:
            raise invalid(("sorts", "invalid", f"can't sort by {name}"))
        found = sorted(
            found,
            key=lambda entry: (entry[name] is not None, str(entry[name])),
            reverse=sort[1:] == ["desc"],
        )
    return found


def page_of(found: list[dict[str, Any]], parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Keep the part that ``limit`` and ``offset``, or ``page`` and ``per_page``, ask for.

    :raises HTTPException: 422 when one of them is no number.
    """
    numbers = {}
    for name in ("limit", "offset", "page", "per_page"):
        text = parameters.get(name, "")
        if text and not text.isdecimal():
            raise invalid((name, "invalid", f"{name} must be a number"))
        numbers[name] = int(text) if text else None
    if numbers["limit"] is None and numbers["page"] is not None:
        per_page = numbers["per_page"] or 100
        numbers |= {"limit": per_page, "offset": (max(numbers["page"], 1) - 1) * per_page}
    start = numbers["offset"] or 0
    return found[start:] if numbers["limit"] is None else found[start : start + numbers["limit"]]


def _model_json(state: LookerState) -> dict[str, Any]:
    model = state.dataset.model
    return {
        "can": {"show": True},
        "allowed_db_connection_names": ["sandbox"],
        "explores": [
            {
                "name": explore.name,
                "description": explore.description or None,
                "label": explore.label,
                "hidden": explore.hidden,
                "group_label": model.label,
            }
            for explore in model.explores.values()
        ],
        "has_content": True,
        "label": model.label,
        "name": model.name,
        "project_name": model.name,
        "unlimited_db_connections": False,
    }


def _explore_json(state: LookerState, explore: Explore) -> dict[str, Any]:
    model = state.dataset.model
    fields = model.explore_fields(explore).values()
    return {
        "id": f"{model.name}::{explore.name}",
        "name": explore.name,
        "description": explore.description or None,
        "label": explore.label,
        "title": explore.label,
        "scopes": list(explore.views),
        "can_total": True,
        "can_develop": False,
        "can_see_lookml": False,
        "lookml_link": None,
        "can_save": True,
        "can_explain": False,
        "can_pivot_in_db": True,
        "can_subtotal": True,
        "has_timezone_support": True,
        "supports_cost_estimate": False,
        "connection_name": "sandbox",
        "dialect_name": "sqlite",
        "null_sort_treatment": "low",
        "files": [f"{view}.view.lkml" for view in explore.views],
        "source_file": f"{model.name}.model.lkml",
        "project_name": model.name,
        "model_name": model.name,
        "view_name": explore.view,
        "hidden": explore.hidden,
        "sql_table_name": model.views[explore.view].table,
        "access_filter_fields": [],
        "access_filters": [],
        "aliases": [],
        "always_filter": [
            {"name": name, "value": value} for name, value in explore.always_filter.items()
        ],
        "conditionally_filter": [
            {"name": name, "value": value} for name, value in explore.conditionally_filter.items()
        ],
        "index_fields": [],
        "sets": [],
        "tags": [],
        "errors": [],
        "fields": {
            section: [field_json(field, model) for field in fields if field.category == category]
            for section, category in _CATEGORIES.items()
        },
        "joins": [
            {
                "name": join.view,
                "relationship": join.relationship,
                "sql_on": join.sql_on,
                "type": join.type,
                "view_label": model.views[join.view].label,
            }
            for join in explore.joins
        ],
        "group_label": model.label,
        "supported_measure_types": [],
        "always_join": [],
    }
