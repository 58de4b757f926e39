"""Which fault a request meets: rules enter as JSON, are counted down, and leave when spent.

No request is touched here. A rule that could never act as written is refused when it is added,
because a fault that silently does nothing makes a test that cannot fail.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

_FRAMINGS: Final = ("length", "chunked", "close")

_ANY_TEXT: Final = (str,)
_NUMBER: Final = (int, float)
_WHOLE: Final = (int,)
_ANSWER: Final = {"body": (str, dict, list), "headers": (dict,), "content_type": _ANY_TEXT}

#: Kind to its parameters and their types; a name that ends in ``*`` is required.
_PARAMETERS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "latency": {"seconds*": _NUMBER},
    "drip": {"chunk_bytes": _WHOLE, "interval_seconds": _NUMBER},
    "cut": {"bytes*": _WHOLE, "framing": _ANY_TEXT},
    "reset": {"bytes": _WHOLE, "framing": _ANY_TEXT},
    "stall": {"bytes": _WHOLE, "seconds*": _NUMBER},
    "content_type": {"value*": _ANY_TEXT},
    "status": {"status*": _WHOLE, **_ANSWER},
    "body": {"body*": (str, dict, list), "headers": (dict,), "content_type": _ANY_TEXT},
    "rewrite": {"pattern*": _ANY_TEXT, "replacement*": _ANY_TEXT},
    "lost_answer": {},
    "poison": {"pattern*": _ANY_TEXT},
    "too_large": {"max_bytes": _WHOLE, "max_messages": _WHOLE},
}
_COMMON: Final[dict[str, tuple[type, ...]]] = {
    "kind*": _ANY_TEXT,
    "path": _ANY_TEXT,
    "method": _ANY_TEXT,
    "times": _WHOLE,
    "after": _WHOLE,
}


class RuleRefusedError(ValueError):
    """A rule that can't act as written; the message says what to change."""


@dataclass(slots=True)
class Rule:
    """One fault, armed.

    :param kind: what happens, see ``docs/sandbox.md``.
    :param path: pattern searched in the request's path; ``""`` is every path.
    :param method: HTTP method, or ``None`` for every method.
    :param times: how often it acts, ``-1`` for ever.
    :param after: how many requests that meet it are let through first.
    :param parameters: what the kind needs besides.
    :param seen: requests that met the rule so far.
    :param fired: how often it acted so far.
    """

    kind: str
    path: re.Pattern[str]
    method: str | None
    times: int
    after: int
    parameters: dict[str, Any]
    seen: int = 0
    fired: int = 0

    def concerns(self, method: str, path: str) -> bool:
        """Say whether the rule may still act on a request like this."""
        return (
            (self.times < 0 or self.fired < self.times)
            and self.method in (None, method)
            and self.path.search(path) is not None
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as it was added, with its counts."""
        rule = {
            "kind": self.kind,
            "path": self.path.pattern,
            "times": self.times,
            "after": self.after,
            **self.parameters,
            "seen": self.seen,
            "fired": self.fired,
        }
        return rule if self.method is None else {"method": self.method, **rule}

    def _meets(self, body: bytes) -> bool:
        """Say whether the request's body is one that this kind of fault is about."""
        if self.kind == "poison":
            text = body.decode("utf-8", "replace")
            return re.search(self.parameters["pattern"], text) is not None
        if self.kind == "too_large":
            max_bytes = self.parameters.get("max_bytes")
            max_messages = self.parameters.get("max_messages")
            return (max_bytes is not None and len(body) > max_bytes) or (
                max_messages is not None and _message_count(body) > max_messages
            )
        return True

    def _acts(self, body: bytes) -> bool:
        if not self._meets(body):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules of one stand-in, in the order they were added; safe to change from any thread."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = Lock()

    def add(self, kind: str, **rule: Any) -> Rule:
        """Arm a rule; the keywords are the members of its JSON.

        :raises RuleRefusedError: when it can't act as written.
        """
        armed = read_rule({"kind": kind, **rule})
        self.arm(armed)
        return armed

    def arm(self, *rules: Rule) -> None:
        """Append rules, all at once."""
        with self._lock:
            self._rules.extend(rules)

    def clear(self) -> None:
        """Disarm and forget every rule."""
        with self._lock:
            self._rules.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Return every rule with its counts, spent ones too."""
        with self._lock:
            return [rule.as_dict() for rule in self._rules]

    def concern(self, method: str, path: str) -> bool:
        """Say whether any rule may act on a request, before its body is read."""
        with self._lock:
            return any(rule.concerns(method, path) for rule in self._rules)

    def fire(self, method: str, path: str, body: bytes) -> list[Rule]:
        """Count a request and return what happens to it: any latencies, then at most one fault.

        The first rule that acts hides the request from those after it, so that two rules added
        one after the other happen one after the other.
        """
        acting: list[Rule] = []
        with self._lock:
            for rule in self._rules:
                if rule.concerns(method, path) and rule._acts(body):  # noqa: SLF001
                    acting.append(rule)
                    if rule.kind != "latency":
                        break
        return acting


def read_rule(rule: Any) -> Rule:
    """Read a rule from its JSON.

    :raises RuleRefusedError: when a member is unknown, missing, or of the wrong type.
    """
    if not isinstance(rule, dict):
        raise RuleRefusedError("A rule should be an object")
    kind = rule.get("kind")
    if kind not in _PARAMETERS:
        raise RuleRefusedError(f"kind should be one of {', '.join(_PARAMETERS)}")
    _check_members(rule, {**_COMMON, **_PARAMETERS[kind]}, kind)
    own = {name.rstrip("*") for name in _PARAMETERS[kind]}
    parameters = {name: value for name, value in rule.items() if name in own}
    if kind == "too_large" and not parameters:
        raise RuleRefusedError("too_large should have max_bytes or max_messages")
    if parameters.get("framing", "length") not in _FRAMINGS:
        raise RuleRefusedError(f"framing should be one of {', '.join(_FRAMINGS)}")
    try:
        path = re.compile(rule.get("path", ""))
        re.compile(parameters.get("pattern", ""))
    except re.error as error:
        raise RuleRefusedError(f"path and pattern should be regular expressions: {error}") from None
    method = rule.get("method")
    return Rule(
        kind,
        path,
        None if method is None else method.upper(),
        rule.get("times", 1),
        rule.get("after", 0),
        parameters,
    )


def _check_members(
    rule: Mapping[str, Any], known: Mapping[str, tuple[type, ...]], kind: str
) -> None:
    types = {name.rstrip("*"): allowed for name, allowed in known.items()}
    missing = [name[:-1] for name in known if name.endswith("*") and name[:-1] not in rule]
    unknown = [name for name in rule if name not in types]
    if missing or unknown:
        raise RuleRefusedError(
            f"{kind} should have {', '.join(missing) or 'no other members'}; "
            f"it knows {', '.join(types)}"
        )
    for name, value in rule.items():
        if isinstance(value, bool) or not isinstance(value, types[name]):
            names = " or ".join(allowed.__name__ for allowed in types[name])
            raise RuleRefusedError(f"{name} of {kind} should be {names}")


def _message_count(body: bytes) -> int:
    try:
        batch = json.loads(body)["batch"]
    except (ValueError, KeyError, TypeError):
        return 0
    return len(batch) if isinstance(batch, list) else 0
