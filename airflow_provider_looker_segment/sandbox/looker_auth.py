"""Signing in and out of the Looker stand-in: credentials enter, tokens leave.

Source: https://docs.cloud.google.com/looker/docs/api-auth
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from airflow_provider_looker_segment.sandbox.looker_state import LookerState
from airflow_provider_looker_segment.sandbox.looker_wire import (
    LookerJson,
    not_found,
    refuse,
    unauthenticated,
)

_OWN_USER_ID = "1"


def guard(state: LookerState) -> Callable[[Request], None]:
    """Return the check that every endpoint but login makes first."""

    def check(request: Request) -> None:
        user_id = state.user_of(token_of(request))
        if user_id is None:
            raise unauthenticated()
        request.state.user_id = user_id

    return check


def token_of(request: Request) -> str:
    """Return the token of a request; both ``Bearer`` and ``token`` introduce it."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


async def credentials(request: Request) -> dict[str, str]:
    """Return ``client_id`` and ``client_secret`` from the form, a JSON body or the query."""
    body = await request.body()
    given: dict[str, Any] = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/json") and body:
        try:
            given |= json.loads(body)
        except (ValueError, TypeError) as error:
            raise refuse(400, "Problems parsing JSON") from error
    else:
        given |= dict(parse_qsl(body.decode("utf-8", "replace")))
    return {name: str(value) for name, value in given.items()}


def auth_router(state: LookerState) -> APIRouter:
    """Return the endpoints that give tokens and take them back."""
    router = APIRouter()
    check = guard(state)

    def token_json(user_id: str) -> Response:
        return LookerJson(
            {
                "access_token": state.new_token(user_id),
                "token_type": "Bearer",
                "expires_in": state.token_seconds,
                "refresh_token": None,
            }
        )

    @router.post("/api/4.0/login")
    def login(given: Annotated[Any, Depends(credentials)]) -> Response:
        if "client_id" not in given or "client_secret" not in given:
            raise refuse(400, "client_id and client_secret are required")
        fits = hmac.compare_digest(given["client_id"].encode(), state.client_id.encode())
        if not (
            hmac.compare_digest(given["client_secret"].encode(), state.client_secret.encode())
            and fits
        ):
            raise not_found()
        return token_json(_OWN_USER_ID)

    @router.post("/api/4.0/login/{user_id}", dependencies=[Depends(check)])
    def login_user(user_id: str) -> Response:
        if not user_id.isdecimal():
            raise not_found()
        return token_json(user_id)

    @router.delete("/api/4.0/logout", dependencies=[Depends(check)])
    @router.delete("/api/logout", dependencies=[Depends(check)])
    def logout(request: Request) -> Response:
        with state.lock:
            state.tokens.pop(token_of(request), None)
        return Response(status_code=204)

    return router
