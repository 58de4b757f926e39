"""Query tasks of the Looker stand-in: they take as long, and end as, the sandbox is told.

Source: the QueryTask methods of Looker's API 4.0.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from airflow_provider_looker_segment.sandbox.looker_queries import (
    find_query,
    plan_checked,
    run,
)
from airflow_provider_looker_segment.sandbox.looker_state import LookerState, Task
from airflow_provider_looker_segment.sandbox.looker_wire import (
    LookerJson,
    flag,
    invalid,
    json_body,
    not_found,
    refuse,
    select,
)
from airflow_provider_looker_segment.sandbox.results import CONTENT_TYPES, Options, stream

OUTCOMES: Final = ("complete", "error", "failure", "expired", "killed")


def tasks_router(state: LookerState) -> APIRouter:
    """Return the endpoints for query tasks."""
    router = APIRouter()

    @router.post("/query_tasks")
    def create_task(request: Request, body: Annotated[Any, Depends(json_body)]) -> Response:
        task = _create(state, body, dict(request.query_params))
        return LookerJson(select(_task_json(task, "added"), request.query_params.get("fields")))

    @router.get("/query_tasks/multi_results")
    def multi_results(request: Request) -> Response:
        ids = [part.strip() for part in request.query_params.get("query_task_ids", "").split(",")]
        return LookerJson({task_id: _gathered(state, task_id) for task_id in ids if task_id})

    @router.get("/query_tasks/{task_id}")
    def one_task(task_id: str, request: Request) -> Response:
        task = _find(state, task_id)
        found = _task_json(task, _status(task))
        return LookerJson(select(found, request.query_params.get("fields")))

    @router.get("/query_tasks/{task_id}/results")
    def results(task_id: str) -> Response:
        task = _find(state, task_id)
        status = _status(task)
        if status in ("added", "running"):
            return Response(status_code=202)
        if status in ("expired", "killed"):
            raise not_found()
        query = find_query(state, str(task.body["query_id"]))
        result_format = str(task.body["result_format"])
        if status != "complete" and result_format != "json_detail":
            complaint = _complaint(state, task) or "the query failed"
            raise refuse(400, f"SQL Error: {complaint}")
        if status != "complete" and not _complaint(state, task):
            failed = {"status": "error", "data": [], "errors": [{"message": "The query failed"}]}
            return LookerJson(failed)
        return run(state, query, result_format, task.parameters)

    @router.delete("/running_queries/{task_id}")
    def kill(task_id: str) -> Response:
        task = _find(state, task_id)
        task.outcome, task.polls_left, task.ready_at = "killed", 0, 0.0
        return Response(status_code=204)

    return router


def _create(state: LookerState, body: Any, parameters: dict[str, str]) -> Task:
    if not isinstance(body, dict):
        raise invalid(("body", "invalid", "the body must be a query task"))
    missing = [key for key in ("query_id", "result_format") if not body.get(key)]
    if missing:
        raise invalid(*((key, "missing_field", f"{key} can't be blank") for key in missing))
    if body["result_format"] not in CONTENT_TYPES:
        raise invalid(("result_format", "invalid", f"{body['result_format']} is not simulated"))
    query = find_query(state, str(body["query_id"]))
    plan_checked(state, query, str(body["result_format"]), parameters)
    rules = state.task_rules
    task = Task(
        id=secrets.token_hex(16),
        body=body,
        parameters=parameters,
        polls_left=rules.polls,
        ready_at=time.monotonic() + rules.seconds,
        outcome=rules.outcome,
    )
    if task.outcome == "complete" and _complaint(state, task):
        task.outcome = "error"
    with state.lock:
        state.tasks[task.id] = task
    return task


def _find(state: LookerState, task_id: str) -> Task:
    if task_id not in state.tasks:
        raise not_found()
    return state.tasks[task_id]


def _status(task: Task) -> str:
    """Return the task's status; being asked is what brings it forward."""
    if task.polls_left > 0 or time.monotonic() < task.ready_at:
        task.polls_left = max(task.polls_left - 1, 0)
        task.asked, status = True, "running" if task.asked else "added"
        return status
    return task.outcome


def _complaint(state: LookerState, task: Task) -> str:
    """Return what the database has against the task's query."""
    query = find_query(state, str(task.body["query_id"]))
    plan = plan_checked(state, query, str(task.body["result_format"]), task.parameters)
    return plan.error or state.dataset.check(plan.sql)


def _gathered(state: LookerState, task_id: str) -> dict[str, Any]:
    task = state.tasks.get(task_id)
    if task is None:
        return {"status": "missing"}
    status = _status(task)
    if status != "complete":
        return {"status": status}
    result_format = str(task.body["result_format"])
    query = find_query(state, str(task.body["query_id"]))
    plan = plan_checked(state, query, result_format, task.parameters)
    options = Options(apply_formatting=flag(task.parameters, "apply_formatting"))
    text = "".join(stream(plan, result_format, options))
    return {"status": status, "data": json.loads(text) if "json" in result_format else text}


def _task_json(task: Task, status: str) -> dict[str, Any]:
    parameters = task.parameters
    return {
        "can": {"show": True},
        "id": task.id,
        "query_id": str(task.body["query_id"]),
        "generate_links": flag(parameters, "generate_drill_links"),
        "force_production": flag(parameters, "force_production"),
        "path_prefix": parameters.get("path_prefix"),
        "cache": flag(parameters, "cache", default=True),
        "server_table_calcs": flag(parameters, "server_table_calcs"),
        "cache_only": flag(parameters, "cache_only"),
        "cache_key": None,
        "status": status,
        "source": str(task.body.get("source") or "query_task"),
        "runtime": None,
        "rebuild_pdts": flag(parameters, "rebuild_pdts"),
        "result_source": "query" if status == "complete" else None,
        "look_id": _text(task.body.get("look_id")),
        "dashboard_id": _text(task.body.get("dashboard_id")),
        "result_format": str(task.body["result_format"]),
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
