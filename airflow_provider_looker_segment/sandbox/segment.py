"""The Segment stand-in: the HTTP Tracking API, and a view of what arrived through it.

Any client of the published API may call ``/v1``; tests and people read ``/_sandbox`` and ``/``.
It answers as Segment does, also where that hides a failure: an unknown write key gets a 200.
Source: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from .arrivals import Arrivals
from .intake import (
    TYPES,
    Envelope,
    Refused,
    basic_write_key,
    plain_body,
    read_batch,
    read_single,
)

_PAGE: Final = Path(__file__).with_name("page.html")
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}

_Limit = Annotated[int, Query(ge=0, le=100_000)]
_Offset = Annotated[int, Query(ge=0)]


def create_segment_app(
    *,
    write_keys: Mapping[str, str],
    destinations: Sequence[str],
    max_request_bytes: int = 500_000,
    max_message_bytes: int = 32_768,
    max_messages: int = 2_500,
    max_kept_messages: int = 20_000,
) -> FastAPI:
    """Build one stand-in with its own record, at ``app.state.arrivals``.

    :param write_keys: write key to source name; messages under other keys are dropped.
    :param destinations: connected destinations, spelt as in the ``integrations`` object.
    :param max_request_bytes: largest body of a batch, in bytes after decompression.
    :param max_message_bytes: largest message, and largest body of the other endpoints, in bytes.
    :param max_messages: most messages in a batch; beyond it the batch gets a 200 and is dropped.
    :param max_kept_messages: how many of the newest messages can be read back whole.
    """
    app = FastAPI(title="Segment stand-in", docs_url=None, redoc_url=None, openapi_url=None)
    arrivals = Arrivals(
        write_keys, destinations, max_messages=max_messages, max_kept=max_kept_messages
    )
    app.state.arrivals = arrivals

    def batch(body: bytes) -> Envelope:
        return read_batch(body, max_message_bytes)

    def single(type_: str) -> Callable[[bytes], Envelope]:
        return lambda body: read_single(body, type_)

    for name in ("batch", "import"):
        app.post(f"/v1/{name}")(_tracking(arrivals, batch, max_request_bytes))
    for type_ in sorted(TYPES):
        app.post(f"/v1/{type_}")(_tracking(arrivals, single(type_), max_message_bytes))
    _add_settings(app, arrivals)
    _add_counts(app, arrivals)
    _add_users(app, arrivals)
    return app


def _tracking(
    arrivals: Arrivals, read: Callable[[bytes], Envelope], max_bytes: int
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        messages = 0
        try:
            encoding = request.headers.get("content-encoding", "")
            envelope = read(plain_body(body, encoding, max_bytes))
            messages = len(envelope.messages)
            key = basic_write_key(request.headers.get("authorization", "")) or envelope.write_key
            if not key:
                raise Refused("bad_request", "The request has no write key")  # noqa: TRY301
        except Refused as refusal:
            answer = {"success": False, "code": refusal.code, "message": refusal.message}
            response = _json(answer, status=400)
        else:
            arrivals.take(envelope, key)
            response = _json({"success": True})
        arrivals.note_request(
            request.method, request.url.path, response.status_code, len(body), messages
        )
        return response

    return endpoint


def _add_settings(app: FastAPI, arrivals: Arrivals) -> None:
    @app.get("/v1/projects/{key}/settings")
    def settings(request: Request, key: str) -> Response:
        if key in arrivals.write_keys:
            names = ("Segment.io", *arrivals.router.destinations)
            response = _json({"integrations": {name: {} for name in names}})
        else:
            response = _json({"error": "not found"}, status=404)
        arrivals.note_request(request.method, request.url.path, response.status_code, 0, 0)
        return response


def _add_counts(app: FastAPI, arrivals: Arrivals) -> None:
    @app.get("/")
    def page() -> Response:
        return Response(_PAGE.read_bytes(), headers=_PAGE_HEADERS, media_type="text/html")

    @app.get("/_sandbox/summary")
    def summary() -> Response:
        return _json(arrivals.summary())

    @app.get("/_sandbox/requests")
    def requests(limit: _Limit = 1_000, offset: _Offset = 0) -> Response:
        return _json(arrivals.requests(limit, offset))

    @app.get("/_sandbox/rejected")
    def rejected(limit: _Limit = 100, offset: _Offset = 0) -> Response:
        return _json(arrivals.rejected(limit, offset))

    @app.get("/_sandbox/messages")
    def messages(
        limit: _Limit = 100,
        offset: _Offset = 0,
        user_id: Annotated[str | None, Query(alias="userId")] = None,
        newest: bool = False,
    ) -> Response:
        return _json(arrivals.messages(limit, offset, user_id, newest=newest))

    @app.post("/_sandbox/reset")
    def reset() -> Response:
        arrivals.reset()
        return _json({"success": True})


def _add_users(app: FastAPI, arrivals: Arrivals) -> None:
    @app.get("/_sandbox/users")
    def users(limit: _Limit = 100, offset: _Offset = 0, search: str = "") -> Response:
        return _json(arrivals.users(limit, offset, search))

    @app.get("/_sandbox/users/{id_:path}")
    def user(id_: str) -> Response:
        found = arrivals.user(id_)
        return _not_found("user") if found is None else _json(found)

    @app.get("/_sandbox/destinations")
    def destinations() -> Response:
        return _json(arrivals.destinations())

    @app.get("/_sandbox/destinations/{name:path}")
    def destination(name: str, limit: _Limit = 100, offset: _Offset = 0) -> Response:
        if arrivals.router.bit(name) is None:
            return _not_found("destination")
        return _json({"name": name, **arrivals.users(limit, offset, destination=name)})


def _not_found(what: str) -> Response:
    return _json({"error": f"There is no such {what}"}, status=404)


def _json(answer: Any, status: int = 200) -> Response:
    """Answer in ASCII: ids and traits may hold lone surrogates, which UTF-8 can't carry."""
    return Response(json.dumps(answer), status_code=status, media_type="application/json")
