"""Queries of the Looker stand-in: definitions enter, ids and streamed results leave.

Source: the Query and RunLook methods of Looker's API 4.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response, StreamingResponse

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.dynamic_fields import DynamicFieldError
from airflow_provider_looker_segment.sandbox.looker_state import LookerState
from airflow_provider_looker_segment.sandbox.looker_wire import (
    LookerJson,
    addressed,
    flag,
    invalid,
    json_body,
    not_found,
    refuse,
    select,
)
from airflow_provider_looker_segment.sandbox.query import Plan, UnknownExploreError, plan_query
from airflow_provider_looker_segment.sandbox.results import CONTENT_TYPES, Options, stream

_LISTS: Final = ("fields", "pivots", "fill_fields", "sorts", "subtotals")
_OBJECTS: Final = ("filters", "vis_config", "filter_config")
_EXPRESSION: Final = str | int | float | None
_TEXTS: Final = ("model", "view", "filter_expression", "dynamic_fields", "query_timezone")


def queries_router(state: LookerState) -> APIRouter:
    """Return the endpoints that make queries and run them."""
    router = APIRouter()
    model = state.dataset.model

    @router.get("/looks/{look_id}/run/{result_format}")
    def run_look(look_id: str, result_format: str, request: Request) -> Response:
        look = model.looks.get(look_id)
        if look is None or look.deleted:
            raise not_found()
        return run(state, state.look_query(look), result_format, request.query_params)

    @router.post("/queries")
    def create_query(request: Request, body: Annotated[Any, Depends(json_body)]) -> Response:
        query = addressed(save_checked(state, body), request)
        return LookerJson(select(query, request.query_params.get("fields")))

    @router.post("/queries/run/{result_format}")
    def run_inline_query(
        result_format: str, request: Request, body: Annotated[Any, Depends(json_body)]
    ) -> Response:
        return run(state, save_checked(state, body), result_format, request.query_params)

    @router.get("/queries/models/{name}/views/{view}/run/{result_format}")
    def run_url_encoded(name: str, view: str, result_format: str, request: Request) -> Response:
        written = _url_encoded(name, view, request.query_params)
        return run(state, save_checked(state, written), result_format, request.query_params)

    @router.get("/queries/slug/{query_id}")
    @router.get("/queries/{query_id}")
    def one_query(query_id: str, request: Request) -> Response:
        query = addressed(find_query(state, query_id), request)
        return LookerJson(select(query, request.query_params.get("fields")))

    @router.get("/queries/{query_id}/run/{result_format}")
    def run_query(query_id: str, result_format: str, request: Request) -> Response:
        return run(state, find_query(state, query_id), result_format, request.query_params)

    return router


def _url_encoded(model: str, view: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Read a query from a URL: ``fields=a,b&f[users.id]=7&limit=5``."""
    written: dict[str, Any] = {"model": model, "view": view}
    for key in _LISTS:
        if parameters.get(key):
            written[key] = [part.strip() for part in parameters[key].split(",")]
    for key in ("limit", "column_limit", "query_timezone", "dynamic_fields"):
        if parameters.get(key):
            written[key] = parameters[key]
    written["filters"] = {
        match[1]: value
        for key, value in parameters.items()
        if (match := re.fullmatch(r"f\[(.+)\]", key)) is not None
    }
    return written


def find_query(state: LookerState, query_id: str) -> dict[str, Any]:
    """Return a saved query.

    :raises HTTPException: 404 when there is none of that id.
    """
    if query_id not in state.queries:
        raise not_found()
    return state.queries[query_id]


def save_checked(state: LookerState, body: Any) -> dict[str, Any]:
    """Check a ``WriteQuery`` and remember it.

    :raises HTTPException: 422 with each field that is wrong.
    """
    if not isinstance(body, dict):
        raise invalid(("body", "invalid", "the body must be a query"))
    problems = [
        (key, "missing_field", f"{key} can't be blank")
        for key in ("model", "view")
        if not body.get(key)
    ]
    for keys, kind in ((_LISTS, list), (_OBJECTS, dict), (_TEXTS, str)):
        problems += [
            (key, "invalid", f"{key} must be a {kind.__name__}")
            for key in keys
            if body.get(key) is not None and not isinstance(body[key], kind)
        ]
    problems += [
        (key, "invalid", f"{key} must be a list of text")
        for key in _LISTS
        if isinstance(body.get(key), list)
        and not all(isinstance(entry, str) for entry in body[key])
    ]
    if not all(isinstance(value, _EXPRESSION) for value in _members(body, "filters")):
        problems.append(("filters", "invalid", "filters must be expressions"))
    if not all(map(_is_filter, _members(body, "filter_config"))):
        problems.append(("filter_config", "invalid", "filter_config must be lists of filters"))
    written = dict(body)
    for key in ("limit", "column_limit"):
        text = "" if body.get(key) is None else str(body[key])
        if text and not re.fullmatch(r"-1|\d+", text):
            problems.append((key, "invalid", f"{key} must be a number"))
        written[key] = text or None
    client_id = str(body.get("client_id") or "")
    if client_id and not re.fullmatch(r"[0-9A-Za-z]{22}", client_id):
        problems.append(("client_id", "invalid", "client_id must be 22 alphanumeric characters"))
    if problems:
        raise invalid(*problems)
    query = state.save_query(written, client_id)
    if client_id and state.client_ids.get(client_id) != query["id"]:
        raise invalid(("client_id", "already_exists", "client_id has been taken"))
    return query


def _members(body: Mapping[str, Any], key: str) -> list[Any]:
    return list(body[key].values()) if isinstance(body.get(key), dict) else []


def _is_filter(entries: Any) -> bool:
    """Tell whether a field's part of ``filter_config`` has the shape that Looker's own pages give.

    It is a list of ``{"type": "advanced", "values": [{"constant": "30 days"}, {}]}``.
    """
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("type"), str)
        and isinstance(values := entry.get("values"), list)
        and all(isinstance(value, dict) for value in values)
        and (entry["type"] != "advanced" or (bool(values) and "constant" in values[0]))
        for entry in entries
    )


def run(
    state: LookerState,
    query: Mapping[str, Any],
    result_format: str,
    parameters: Mapping[str, str],
) -> Response:
    """Run a query and stream its result.

    :param parameters: of the request: ``limit``, ``server_table_calcs``, ….
    :raises HTTPException: when the query can't be planned, or a parameter is wrong.
    """
    plan = plan_checked(state, query, result_format, parameters)
    options = Options(
        apply_formatting=flag(parameters, "apply_formatting"),
        apply_vis=flag(parameters, "apply_vis"),
        generate_drill_links=flag(parameters, "generate_drill_links"),
    )
    return StreamingResponse(
        stream(plan, result_format, options),
        headers={"content-type": CONTENT_TYPES[result_format]},
    )


def plan_checked(
    state: LookerState,
    query: Mapping[str, Any],
    result_format: str,
    parameters: Mapping[str, str],
) -> Plan:
    """Plan a query, with Looker's errors for what is wrong with it.

    :raises HTTPException: 400, 404 or 422.
    """
    if result_format not in CONTENT_TYPES:
        known = ", ".join(CONTENT_TYPES)
        raise refuse(400, f"{result_format} is not a format of the sandbox; it knows {known}")
    limit = parameters.get("limit", "")
    if limit and not re.fullmatch(r"-1|\d+", limit):
        raise invalid(("limit", "invalid", "limit must be a number"))
    for name in ("cache", "cache_only", "force_production", "rebuild_pdts"):
        flag(parameters, name)
    try:
        return plan_query(
            state.dataset,
            query,
            limit=int(limit) if limit else None,
            server_table_calcs=flag(parameters, "server_table_calcs"),
        )
    except UnknownExploreError as error:
        raise not_found() from error
    except DynamicFieldError as error:
        raise invalid(("dynamic_fields", "invalid", str(error))) from error
    except PermanentError as error:
        raise refuse(400, str(error)) from error
