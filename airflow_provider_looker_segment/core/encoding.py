"""A message's own part as JSON text: how it rests in chunks, and how long it is when it is sent.

Built messages enter, text and numbers leave. Chunks hold the shortest text, which is written in a
fifth of the time; Segment's client writes ASCII with blanks between things, and limits are of that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

_MOST_BYTES_A_CHARACTER = 13
"""Two escapes of six bytes where a character lies beyond the first 65,536, and a blank."""

_as_the_client = json.JSONEncoder(allow_nan=False).encode


def encode(body: Mapping[str, Any]) -> str:
    """Return the shortest JSON text. Numbers must be finite, and no text may hold half a character.

    >>> encode({"userId": "7", "traits": {"name": "Zoë"}})
    '{"userId":"7","traits":{"name":"Zoë"}}'
    """
    return _encoder()(body).decode()


@cache
def _encoder() -> Callable[[Any], bytes]:
    import msgspec  # noqa: PLC0415 - nobody needs it to parse a DAG file

    return msgspec.json.Encoder().encode


def decode(text: str) -> Any:
    """Read back what :func:`encode` wrote.

    >>> decode('{"userId":"7"}')
    {'userId': '7'}
    """
    return _decoder()(text)


def encode_sorted(body: Mapping[str, Any]) -> bytes:
    """Return the JSON text of a message, the same whatever the order of its keys.

    >>> encode_sorted({"b": 1, "a": {"d": 2, "c": 3}})
    b'{"a":{"c":3,"d":2},"b":1}'
    """
    return _sorting_encoder()(body)


@cache
def _decoder() -> Callable[[str], Any]:
    import msgspec  # noqa: PLC0415 - see above

    return msgspec.json.Decoder().decode


@cache
def _sorting_encoder() -> Callable[[Any], bytes]:
    import msgspec  # noqa: PLC0415 - see above

    return msgspec.json.Encoder(order="sorted").encode


def sent_bytes(body: Mapping[str, Any]) -> int:
    """Return the bytes of a message, or of a part of it, as Segment's client writes it.

    >>> sent_bytes({"userId": "7"}), sent_bytes({"userId": "ë"})
    (15, 20)
    """
    return len(_as_the_client(body))


def may_exceed(text: str, limit: int) -> bool:
    """Whether what :func:`encode` wrote may be longer than ``limit`` bytes when it is sent."""
    return len(text) * _MOST_BYTES_A_CHARACTER > limit
