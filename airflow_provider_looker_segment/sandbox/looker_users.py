"""Looker's users: whoever signs in, and whoever may be acted as.

Any number names a user here, because any may be signed in as; user 1 owns the API key.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from airflow_provider_looker_segment.sandbox.looker_content import like, page_of, sort_by
from airflow_provider_looker_segment.sandbox.looker_wire import LookerJson, not_found, select

_SEARCHABLE = ("id", "first_name", "last_name", "email")


def users_router() -> APIRouter:
    """Return the endpoints about users."""
    router = APIRouter()

    @router.get("/user")
    def me(request: Request) -> Response:
        found = _user(request.state.user_id)
        return LookerJson(select(found, request.query_params.get("fields")))

    @router.get("/users")
    @router.get("/users/search")
    def several(request: Request) -> Response:
        parameters = request.query_params
        found = [_user(user_id) for user_id in sorted({"1", request.state.user_id})]
        found = [
            user
            for user in found
            if all(like(user[name], parameters.get(name) or "%") for name in _SEARCHABLE)
        ]
        found = page_of(sort_by(found, parameters.get("sorts", "")), parameters)
        return LookerJson(select(found, parameters.get("fields")))

    @router.get("/users/{user_id}")
    def one(user_id: str, request: Request) -> Response:
        if not user_id.isdecimal():
            raise not_found()
        return LookerJson(select(_user(user_id), request.query_params.get("fields")))

    return router


def _user(user_id: str) -> dict[str, Any]:
    return {
        "can": {},
        "id": user_id,
        "display_name": "Sandbox User" if user_id == "1" else f"User {user_id}",
        "first_name": "Sandbox",
        "last_name": "User",
        "email": f"user-{user_id}@example.com",
        "is_disabled": False,
        "is_service_account": False,
        "locale": "en",
        "role_ids": ["2"],
        "group_ids": ["1"],
        "personal_folder_id": None,
        "url": f"/api/4.0/users/{user_id}",
    }
