"""The Looker stand-in: a FastAPI application over a dataset.

Requests of any client of Looker's API 4.0 enter, answers in the documented shapes leave. State
belongs to the application object; nothing is global, nothing reaches beyond the process.
"""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.looker_auth import auth_router, guard
from airflow_provider_looker_segment.sandbox.looker_content import content_router
from airflow_provider_looker_segment.sandbox.looker_pages import pages_router
from airflow_provider_looker_segment.sandbox.looker_queries import queries_router
from airflow_provider_looker_segment.sandbox.looker_state import LookerState, TaskRules
from airflow_provider_looker_segment.sandbox.looker_tasks import OUTCOMES, tasks_router
from airflow_provider_looker_segment.sandbox.looker_users import users_router
from airflow_provider_looker_segment.sandbox.looker_wire import (
    DOCUMENTATION_URL,
    LookerJson,
    invalid,
    json_body,
)

_RELEASE: Final = "26.22.1"
_OWN_PATHS: Final = "/_sandbox"
_SECRET_PARAMETERS: Final = ("client_secret", "access_token")


def create_looker_app(
    dataset: Dataset, *, client_id: str, client_secret: str, token_seconds: int = 3600
) -> FastAPI:
    """Make a Looker stand-in.

    :param dataset: what it holds.
    :param client_id: of the one pair of API credentials.
    :param client_secret: of the same pair.
    :param token_seconds: how long access tokens are valid.
    :return: the application; ``app.state.requests`` lists what it was asked.
    """
    state = LookerState(dataset, client_id, client_secret, token_seconds)
    for look in dataset.model.looks.values():
        state.look_query(look)
    app = FastAPI(title="Looker stand-in", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.requests = state.requests
    app.state.dataset = dataset
    app.add_middleware(_RecordRequests, state=state)
    app.add_exception_handler(HTTPException, _error)
    guarded = APIRouter(prefix="/api/4.0", dependencies=[Depends(guard(state))])
    for router in (content_router, queries_router, tasks_router, _session_router):
        guarded.include_router(router(state))
    guarded.include_router(users_router())
    app.include_router(_open_router(state))
    app.include_router(pages_router(state))
    app.include_router(auth_router(state))
    app.include_router(guarded)
    app.include_router(_control_router(state))
    return app


async def _error(_request: Request, error: Exception) -> Response:
    """Answer with the error's own body, or with one of Looker's shape around its status."""
    if not isinstance(error, HTTPException):
        raise error
    body: Any = error.detail
    if not isinstance(body, dict):
        message = {404: "Not found", 405: "Method not allowed"}.get(error.status_code, body)
        body = {"message": message, "documentation_url": f"{DOCUMENTATION_URL}/{error.status_code}"}
    return LookerJson(body, error.status_code, headers=error.headers)


def _open_router(_state: LookerState) -> APIRouter:
    """Return what needs no token: the versions."""
    router = APIRouter()

    @router.get("/versions")
    @router.get("/api/4.0/versions")
    def versions(request: Request) -> Response:
        base = str(request.base_url).rstrip("/")
        version = {
            "version": "4.0",
            "full_version": "4.0.26.22",
            "status": "current",
            "swagger_url": f"{base}/api/4.0/swagger.json",
        }
        return LookerJson(
            {
                "looker_release_version": _RELEASE,
                "current_version": version,
                "supported_versions": [version],
                "api_server_url": base,
                "web_server_url": base,
            }
        )

    return router


def _session_router(_state: LookerState) -> APIRouter:
    """Return the endpoints about who is signed in."""
    router = APIRouter()

    @router.get("/session")
    def session(request: Request) -> Response:
        user_id = request.state.user_id
        sudo = None if user_id == "1" else user_id
        return LookerJson({"can": {}, "workspace_id": "production", "sudo_user_id": sudo})

    return router


def _control_router(state: LookerState) -> APIRouter:
    """Return what only tests ask: what arrived, and how tokens and tasks shall behave."""
    router = APIRouter(prefix=_OWN_PATHS)

    @router.get("/requests")
    def requests() -> Response:
        return LookerJson(list(state.requests))

    @router.post("/reset")
    def reset() -> Response:
        state.reset()
        return Response(status_code=204)

    @router.post("/tokens")
    def tokens(body: Annotated[Any, Depends(json_body)]) -> Response:
        if body != {"expire": True}:
            raise invalid(("expire", "invalid", 'the body must be {"expire": true}'))
        with state.lock:
            state.tokens.clear()
        return Response(status_code=204)

    @router.post("/query_tasks")
    def query_tasks(body: Annotated[Any, Depends(json_body)]) -> Response:
        allowed = {"polls", "seconds", "outcome"}
        if not isinstance(body, dict) or not set(body) <= allowed:
            raise invalid(("body", "invalid", f"the keys are {', '.join(sorted(allowed))}"))
        rules = TaskRules(
            polls=int(body.get("polls", state.task_rules.polls)),
            seconds=float(body.get("seconds", state.task_rules.seconds)),
            outcome=str(body.get("outcome", state.task_rules.outcome)),
        )
        if rules.outcome not in OUTCOMES:
            raise invalid(("outcome", "invalid", f"outcome must be one of {', '.join(OUTCOMES)}"))
        state.task_rules = rules
        return Response(status_code=204)

    return router


class _RecordRequests:
    """Middleware that notes each request of a client, without bodies and without secrets."""

    def __init__(self, app: ASGIApp, state: LookerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN_PATHS):
            await self._app(scope, receive, send)
            return
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        entry: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "query": urlencode([p for p in pairs if p[0] not in _SECRET_PARAMETERS]),
            "status": None,
        }
        self._state.requests.append(entry)

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry["status"] = message["status"]
            await send(message)

        await self._app(scope, receive, noting)
