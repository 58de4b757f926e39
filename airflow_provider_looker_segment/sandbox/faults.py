"""Faults between a stand-in and its clients, for both stand-ins alike.

Every request passes here; one that meets a rule gets the rule's fault, the rest reach the
application untouched. ``/_sandbox/faults`` is answered here, and nothing under ``/_sandbox`` or
the page ever meets a fault. A fault never changes what the application itself did or recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .fault_rules import Faults, Rule, RuleRefusedError, read_rule
from .intake import Refused, plain_body
from .wire import Wire

__all__ = ["FaultMiddleware", "Faults", "Rule", "RuleRefusedError"]

_CONTROL_PATH: Final = "/_sandbox/faults"
_BODILESS: Final = frozenset({204, 205, 304})
_MAX_PLAIN_BYTES: Final = 100_000_000
#: How much more than was sent a ``Content-Length`` claims where the application named no length.
_MISSING_BYTES: Final = 1_024

_Act = Callable[[Rule, ASGIApp, Scope, Receive, Send], Awaitable[None]]


class FaultMiddleware:
    """Pure ASGI middleware that lets the rules act.

    Cuts and resets need the server of :mod:`.server`; every other kind works under any server.

    :param app: the stand-in.
    :param faults: its rules, shared with whoever arms them.
    """

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        if path == _CONTROL_PATH:
            await self._control(method, await _read(receive), send)
        elif path.startswith("/_sandbox") or not self._faults.concern(method, path):
            await self._app(scope, receive, send)
        else:
            body = await _read(receive)
            await self._meet(scope, body, receive, send)

    async def _meet(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        replayed = _replay(body, receive)
        for rule in self._faults.fire(scope["method"], scope["path"], _plain(scope, body)):
            if rule.kind != "latency":
                await _ACTS[rule.kind](rule, self._app, scope, replayed, send)
                return
            await _pause(rule.parameters["seconds"], receive)
        await self._app(scope, replayed, send)

    async def _control(self, method: str, body: bytes, send: Send) -> None:
        status = 200
        answer: dict[str, Any] = {}
        if method == "POST":
            try:
                rules = json.loads(body)
                rules = rules if isinstance(rules, list) else [rules]
                self._faults.arm(*[read_rule(rule) for rule in rules])
                status = 201
            except ValueError as error:
                status, answer = 400, {"error": str(error)}
        elif method == "DELETE":
            self._faults.clear()
        elif method != "GET":
            status = 405
        answer["rules"] = self._faults.as_list()
        await _respond(send, status, json.dumps(answer).encode(), "application/json")


async def _answer(rule: Rule, _app: ASGIApp, _scope: Scope, _receive: Receive, send: Send) -> None:
    status = rule.parameters.get("status", 200)
    body = rule.parameters.get("body", "")
    is_text = isinstance(body, str)
    payload = body.encode("utf-8", "surrogatepass") if is_text else json.dumps(body).encode()
    content_type = rule.parameters.get("content_type")
    if content_type is None:
        is_json = not is_text or body.lstrip()[:1] in {"{", "["}
        content_type = "application/json" if is_json else "text/html; charset=utf-8"
    await _respond(send, status, payload, content_type, rule.parameters.get("headers"))


async def _poison(_rule: Rule, _app: ASGIApp, _scope: Scope, _receive: Receive, send: Send) -> None:
    await _refuse(send, 400, "bad_request", "A message of the batch is not acceptable")


async def _too_large(
    _rule: Rule, _app: ASGIApp, _scope: Scope, _receive: Receive, send: Send
) -> None:
    await _refuse(send, 413, "payload_too_large", "Request entity too large")


async def _drip(rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    size = max(1, rule.parameters.get("chunk_bytes", 1))
    interval_s = rule.parameters.get("interval_seconds", 0.1)

    async def slowly(message: Message) -> None:
        body = message.get("body", b"")
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await _pause(interval_s, receive)
        await send({**message, "body": b""} if body else message)

    await app(scope, receive, slowly)


async def _stall(rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    left: int | None = rule.parameters.get("bytes", 0)

    async def stopping(message: Message) -> None:
        nonlocal left
        body = message.get("body", b"")
        is_last = not message.get("more_body", False)
        if message["type"] == "http.response.start" or left is None:
            await send(message)
            return
        if len(body) < left and not is_last:
            left -= len(body)
            await send(message)
            return
        # A client that knows the length would not wait for anything after the last byte.
        at = min(left, max(0, len(body) - 1)) if is_last else left
        await send({"type": "http.response.body", "body": body[:at], "more_body": True})
        await _pause(rule.parameters["seconds"], receive)
        await send({**message, "body": body[at:]})
        left = None

    await app(scope, receive, stopping)


async def _content_type(
    rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    value = rule.parameters["value"].encode("latin-1")

    async def relabelled(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = _without(message["headers"], b"content-type")
            message = {**message, "headers": [*headers, (b"content-type", value)]}
        await send(message)

    await app(scope, receive, relabelled)


async def _rewrite(rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    start: Message = {}
    body = bytearray()

    async def gather(message: Message) -> None:
        start.update(message if message["type"] == "http.response.start" else {})
        body.extend(message.get("body", b""))

    await app(scope, receive, gather)
    text = body.decode("utf-8", "surrogateescape")
    changed = re.sub(rule.parameters["pattern"], rule.parameters["replacement"], text)
    payload = changed.encode("utf-8", "surrogateescape")
    headers = _without(start["headers"], b"content-length")
    headers.append((b"content-length", b"%d" % len(payload)))
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


async def _broken(rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, _send: Send) -> None:
    """Send so many bytes of the real body, then close (``cut``) or reset the connection."""
    wire = Wire(scope)
    max_bytes = rule.parameters.get("bytes", 0)
    framing = rule.parameters.get("framing", "length")
    left = max_bytes
    is_over = asyncio.Event()

    async def breaking(message: Message) -> None:
        nonlocal left
        if is_over.is_set():
            return
        if message["type"] == "http.response.start":
            declared = int(dict(message["headers"]).get(b"content-length", b"0"))
            length = declared if declared > max_bytes else max_bytes + _MISSING_BYTES
            wire.start(message["status"], list(message["headers"]), framing, length)
            return
        body = message.get("body", b"")
        wire.write(body[:left])
        left -= min(left, len(body))
        if left == 0 or not message.get("more_body", False):
            is_over.set()
            if rule.kind == "cut":
                wire.close()
            else:
                await wire.reset()

    await app(scope, receive, breaking)
    await _disconnected(receive)


async def _lost_answer(
    _rule: Rule, app: ASGIApp, scope: Scope, receive: Receive, _send: Send
) -> None:
    wire = Wire(scope)

    async def into_the_void(_message: Message) -> None:
        return

    await app(scope, receive, into_the_void)
    await wire.reset()
    await _disconnected(receive)


_ACTS: Final[dict[str, _Act]] = {
    "status": _answer,
    "body": _answer,
    "poison": _poison,
    "too_large": _too_large,
    "drip": _drip,
    "stall": _stall,
    "content_type": _content_type,
    "rewrite": _rewrite,
    "cut": _broken,
    "reset": _broken,
    "lost_answer": _lost_answer,
}


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


async def _pause(seconds: float, receive: Receive) -> None:
    """Wait, but no longer than the client does."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_disconnected(receive), seconds)


async def _disconnected(receive: Receive) -> None:
    """Wait until the server knows that the connection is gone, so that it expects no answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _plain(scope: Scope, body: bytes) -> bytes:
    encoding = dict(scope["headers"]).get(b"content-encoding", b"").decode("latin-1")
    try:
        return plain_body(body, encoding, _MAX_PLAIN_BYTES)
    except Refused:
        return body


def _without(headers: list[tuple[bytes, bytes]], name: bytes) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0].lower() != name]


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    answer = {"success": False, "code": code, "message": message}
    await _respond(send, status, json.dumps(answer).encode(), "application/json")


async def _respond(
    send: Send, status: int, body: bytes, content_type: str, headers: dict[str, Any] | None = None
) -> None:
    body = b"" if status in _BODILESS else body
    lines = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    encoded = [(name.lower().encode(), str(value).encode()) for name, value in lines.items()]
    if status in _BODILESS:
        encoded = _without(encoded, b"content-length")
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
