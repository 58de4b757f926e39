"""What every Looker endpoint shares: answers, errors in their documented shapes, ``fields=``.

Source: the ``Error`` and ``ValidationError`` types of Looker's API 4.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import HTTPException, Request
from starlette.responses import JSONResponse

# The SDK looks up documents at two other hosts over the internet; at this one it never does.
DOCUMENTATION_URL: Final = "https://docs.cloud.google.com/looker/docs/r/err/4.0"
_WORD: Final = re.compile(r"\s*([^\s(),]+|[(),])")


class LookerJson(JSONResponse):
    """JSON with the content type that Looker sends."""

    media_type = "application/json; charset=utf-8"


def refuse(status: int, message: str, where: str = "") -> HTTPException:
    """Return an error of Looker's plain shape.

    :param where: the path of the operation, for ``documentation_url``.
    """
    body = {"message": message, "documentation_url": f"{DOCUMENTATION_URL}/{status}{where}"}
    return HTTPException(status, body)


def not_found() -> HTTPException:
    """Return what Looker says about everything that is not there or not allowed."""
    return refuse(404, "Not found")


def unauthenticated() -> HTTPException:
    """Return what Looker says to a request without a valid token."""
    return refuse(401, "Requires authentication.")


def invalid(*problems: tuple[str, str, str]) -> HTTPException:
    """Return a validation error.

    :param problems: (field, code, message) of each.
    """
    body = {
        "message": "Validation Failed",
        "documentation_url": f"{DOCUMENTATION_URL}/422",
        "errors": [
            {
                "field": field,
                "code": code,
                "message": message,
                "documentation_url": f"{DOCUMENTATION_URL}/422/{field}",
            }
            for field, code, message in problems
        ],
    }
    return HTTPException(422, body)


async def json_body(request: Request) -> Any:
    """Return the JSON body of a request.

    :raises HTTPException: 400 when its content type says otherwise, or it is not JSON.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise refuse(400, f"Content-Type must be application/json, not {content_type or 'missing'}")
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise refuse(400, "Problems parsing JSON") from error


def flag(parameters: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Read a query parameter that is true or false.

    :raises HTTPException: 422 when it is neither.
    """
    text = parameters.get(name, "").lower()
    if text not in ("", "true", "false", "1", "0"):
        raise invalid((name, "invalid", f"{name} must be true or false"))
    return text in ("true", "1") if text else default


def select(document: Any, fields: str | None) -> Any:
    """Keep what ``fields=`` asks for, as in ``id,title,query(id,model)``.

    :param document: an object or a list of objects.
    :raises HTTPException: 400 when the parentheses do not match.

    >>> select({"id": "1", "title": "T", "query": {"id": "q", "view": "v"}}, "id,query(view)")
    {'id': '1', 'query': {'view': 'v'}}
    """
    if not fields or not fields.strip():
        return document
    words = iter([*_WORD.findall(fields), ""])
    tree, closing = _tree(words)
    if closing:
        raise refuse(400, "fields has unbalanced parentheses")
    return _pick(document, tree)


def _tree(words: Iterator[str]) -> tuple[dict[str, Any], str]:
    tree: dict[str, Any] = {}
    name = ""
    for word in words:
        if word == "(":
            tree[name], closing = _tree(words)
            if closing != ")":
                raise refuse(400, "fields has unbalanced parentheses")
        elif word in (")", ""):
            return tree, word
        elif word != ",":
            name = word
            tree[name] = {}
    return tree, ""


def _pick(document: Any, tree: Mapping[str, Any]) -> Any:
    if isinstance(document, list):
        return [_pick(entry, tree) for entry in document]
    if not isinstance(document, dict) or not tree:
        return document
    return {key: _pick(value, tree[key]) for key, value in document.items() if key in tree}


def addressed(query: dict[str, Any], request: Request) -> dict[str, Any]:
    """Complete the addresses of a query with the host that was asked."""
    base = str(request.base_url).rstrip("/")
    return {**query, **{key: base + query[key] for key in ("share_url", "expanded_share_url")}}
