"""A message's own part becomes JSON text, as ``json.dumps`` writes it, in half the time.

Built messages enter, ASCII text leaves. What a trait is called is encoded once in a run, and the
usual values without the detour over a general encoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from math import isfinite
from typing import Any

_encode = json.JSONEncoder(allow_nan=False).encode
_USUAL_KEYS = 2


class Encoder:
    """The encoder of one run; it remembers the names of its traits."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def encode(self, body: Mapping[str, Any]) -> str:
        """Encode one message's own part.

        :raises ValueError: when a number in it is not finite.

        >>> Encoder().encode({"userId": "7", "traits": {"plan": "free", "visits": 3}})
        '{"userId": "7", "traits": {"plan": "free", "visits": 3}}'
        """
        if len(body) != _USUAL_KEYS or "userId" not in body:
            return _encode(body)
        names = self._names
        traits = []
        for name, value in body["traits"].items():
            start = names.get(name)
            if start is None:
                start = names[name] = f"{quoted(name)}: "
            kind = type(value)
            if kind is str:
                traits.append(start + quoted(value))
            elif kind is int or (kind is float and isfinite(value)):
                traits.append(start + repr(value))
            else:
                traits.append(start + _encode(value))
        return f'{{"userId": {quoted(body["userId"])}, "traits": {{{", ".join(traits)}}}}}'
