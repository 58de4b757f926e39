"""What one Tracking API request carries: bytes in, messages and their faults out.

Pure: no clock, no state. A request that Segment answers with 400 is a :class:`Refused`; a message
that Segment answers with 200 and drops later has a :func:`discard_code`. Texts and sizes of the
messages of a batch are slices of what was sent, never of a second serialisation.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

TYPES: Final = frozenset({"identify", "track", "page", "screen", "group", "alias"})

_SPACE: Final = re.compile(r"[ \t\n\r]*")


class Refused(Exception):  # noqa: N818 - it is an answer of the API, not an error of this code
    """The request is answered with HTTP 400.

    Segment answers 400 for large payloads and for JSON errors, and 200 for everything else:
    https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#errors

    :param code: short word for machines; the official Python client reads it.
    :param message: one sentence for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Sent(NamedTuple):
    """One message of a request: its JSON object, and the text it arrived as."""

    body: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """One request: who sends (``write_key``), when (``sent_at``, as written), and what."""

    write_key: str | None
    sent_at: str | None
    messages: list[Sent]


def plain_body(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo ``Content-Encoding``; the limit holds for what comes out, so that a bomb stays small.

    :param encoding: value of the header; ``""``, ``identity``, ``gzip`` and ``deflate`` are known.
    :param max_bytes: largest body, in bytes after decompression.
    :raises Refused: when the body is too large or is not what the header says.
    """
    if encoding.strip().lower() in {"gzip", "x-gzip", "deflate"}:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            body = unpacker.decompress(body, max_bytes + 1)
        except zlib.error:
            raise Refused("bad_request", "The body is not compressed as its header says") from None
        if len(body) <= max_bytes and not unpacker.eof:
            raise Refused("bad_request", "The compressed body ends early")
    if len(body) > max_bytes:
        raise Refused("payload_too_large", "Exceed payload limit")
    return body


def basic_write_key(authorization: str) -> str | None:
    """Return the write key of a Basic ``Authorization`` header; the colon may be missing."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        return None


def read_single(body: bytes, type_: str) -> Envelope:
    """Read a request to ``/v1/identify`` and its five siblings: the body is the message."""
    members = _object(_text(body))
    write_key, sent_at = members.pop("writeKey", None), members.pop("sentAt", None)
    members["type"] = type_
    return Envelope(
        _text_or_none(write_key), _text_or_none(sent_at), [Sent(members, json.dumps(members))]
    )


def read_batch(body: bytes, max_message_bytes: int) -> Envelope:
    """Read a request to ``/v1/batch`` or ``/v1/import``.

    ``context`` and ``integrations`` beside ``batch`` are merged into every message, which wins.

    :param max_message_bytes: largest message, in bytes as it was sent.
    :raises Refused: when the body is no JSON object with an array ``batch`` of objects, or a
        message is too large.
    """
    text = _text(body)
    members = _object(text, batch=True)
    batch = members.get("batch")
    if not isinstance(batch, _Elements):
        raise Refused("bad_request", "The body has no array named batch")
    shared = {
        name: value
        for name in ("context", "integrations")
        if isinstance(value := members.get(name), dict) and value
    }
    may_be_too_large = len(body) > max_message_bytes
    messages = []
    for message, start, end in batch:
        if not isinstance(message, dict):
            raise Refused("bad_request", "A message of the batch is not an object")
        sent = text[start:end]
        if may_be_too_large and _byte_count(sent) > max_message_bytes:
            raise Refused("payload_too_large", "Exceed payload limit")
        messages.append(_merged(message, shared) if shared else Sent(message, sent))
    return Envelope(
        _text_or_none(members.get("writeKey")), _text_or_none(members.get("sentAt")), messages
    )


def discard_code(message: dict[str, Any]) -> str | None:
    """Say why Segment would drop a message after it answered 200, or ``None`` if it would not.

    The codes are those of Segment's Delivery Overview, "Failed on ingest":
    https://segment.com/docs/connections/delivery-overview/#troubleshooting
    """
    type_ = message.get("type")
    if not (isinstance(type_, str) and type_ in TYPES):
        return "missing_type" if type_ is None else "invalid_type"
    user_id, anonymous_id = message.get("userId"), message.get("anonymousId")
    if user_id is None and anonymous_id is None:
        return "id_required"
    for identifier in (user_id, anonymous_id):
        if identifier is not None and not (isinstance(identifier, str) and identifier):
            return "id_not_string"
    if not isinstance(message.get("traits", {}), dict | None):
        return "traits_not_object"
    return None if type_ == "identify" else _event_code(type_, message)


def instant(text: object) -> datetime | None:
    """Read an ISO 8601 time as UTC; one without a zone is UTC, anything unreadable is ``None``."""
    if not isinstance(text, str):
        return None
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def iso(moment: datetime) -> str:
    """Write a UTC time as Segment does: with milliseconds and ``Z``."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def event_time(received_at: datetime, sent_at: datetime | None, original: object) -> datetime:
    """When a message happened by Segment's clock: ``receivedAt - (sentAt - originalTimestamp)``.

    Source: https://segment.com/docs/connections/spec/common/#timestamps

    :param original: the message's ``timestamp``; without a readable one it happened on arrival.
    """
    happened = instant(original)
    if happened is None:
        return received_at
    if sent_at is None:
        return happened
    try:
        return received_at - (sent_at - happened)
    except OverflowError:
        return happened


class _Elements(list[tuple[Any, int, int]]):
    """An array's elements with the positions of their first and after their last character."""


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("bad_request", "The body is not UTF-8") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def _object(text: str, *, batch: bool = False) -> dict[str, Any]:
    try:
        start = _after_space(text, 0)
        if text[start : start + 1] != "{":
            raise Refused("bad_request", "The body is not a JSON object")
        members, end = _members(text, start) if batch else _DECODER.raw_decode(text, start)
        if _after_space(text, end) != len(text):
            raise Refused("bad_request", "Malformed JSON")
    except (ValueError, RecursionError):
        raise Refused("bad_request", "Malformed JSON") from None
    return dict(members)


def _members(text: str, start: int) -> tuple[dict[str, Any], int]:
    """Decode an object, its member ``batch`` as :class:`_Elements` if that is an array."""
    members: dict[str, Any] = {}
    at = _after_space(text, start + 1)
    if text[at : at + 1] == "}":
        return members, at + 1
    while True:
        name, at = _DECODER.raw_decode(text, at)
        at = _after_space(text, at)
        if not isinstance(name, str) or text[at : at + 1] != ":":
            raise ValueError(at)
        at = _after_space(text, at + 1)
        if name == "batch" and text[at : at + 1] == "[":
            members[name], at = _elements(text, at)
        else:
            members[name], at = _DECODER.raw_decode(text, at)
        at, more = _after_item(text, at, "}")
        if not more:
            return members, at


def _elements(text: str, start: int) -> tuple[_Elements, int]:
    elements = _Elements()
    at = _after_space(text, start + 1)
    if text[at : at + 1] == "]":
        return elements, at + 1
    while True:
        value, end = _DECODER.raw_decode(text, at)
        elements.append((value, at, end))
        at, more = _after_item(text, end, "]")
        if not more:
            return elements, at


def _after_item(text: str, at: int, closing: str) -> tuple[int, bool]:
    at = _after_space(text, at)
    character = text[at : at + 1]
    if character == closing:
        return at + 1, False
    if character != ",":
        raise ValueError(at)
    return _after_space(text, at + 1), True


def _after_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _byte_count(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _merged(message: dict[str, Any], shared: dict[str, dict[str, Any]]) -> Sent:
    both = dict(message)
    for name, value in shared.items():
        own = message.get(name)
        both[name] = {**value, **own} if isinstance(own, dict) else value
    return Sent(both, json.dumps(both))


def _event_code(type_: str, message: dict[str, Any]) -> str | None:
    if not isinstance(message.get("properties", {}), dict | None):
        return "properties_not_object"
    if type_ == "track":
        event = message.get("event")
        if event is None:
            return "event_not_defined"
        return None if isinstance(event, str) else "event_not_string"
    if type_ in {"page", "screen"}:
        for name in ("name", "category"):
            value = message.get(name)
            if value is not None and not (isinstance(value, str) and value):
                return f"{name}_not_string"
    return None
