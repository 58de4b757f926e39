"""What a Segment tracking plan asks of the traits of an identify call.

An export of a plan enters, a JSON Schema of the traits leaves. Every other schema passes as it
is; nothing of a plan that concerns other calls is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_looker_segment.exceptions import PermanentError

_DEFINITIONS = ("$schema", "definitions", "$defs")


def traits_rules(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the schema of the traits in what a user gave as ``traits_schema``.

    Known exports are the answers of Segment's Public API about a plan or its rules, the plan
    that Typewriter keeps in ``plan.json``, and the older Config API's plan. The rule for
    identify calls counts, the newest version of it, and the rule for all calls.

    :param document: a tracking plan, or a JSON Schema; schemas have no key ``rules`` or ``data``.
    :return: a JSON Schema of the object ``traits``.
    :raises PermanentError: when a plan holds no rules for the traits of identify calls.

    Sources: https://docs.segmentapis.com/tag/Tracking-Plans and
    https://github.com/segmentio/typewriter/blob/master/src/api/api.ts

    >>> rule = {"type": "IDENTIFY", "jsonSchema": {"properties": {"traits": {"type": "object"}}}}
    >>> traits_rules({"data": {"rules": [rule]}})
    {'allOf': [{'type': 'object'}]}
    """
    plan = _within(document, "data", "trackingPlan")
    if "rules" not in plan:
        return document
    rules = plan["rules"]
    found = _of_config_api(rules) if isinstance(rules, Mapping) else _of_public_api(rules)
    joined = _joined(found)
    if not joined["allOf"]:
        raise PermanentError(
            "traits_schema, a tracking plan,",
            should="hold rules for the traits of identify calls",
            but="it holds none",
            do="Add the traits to the plan in Segment, or export it with all pages of its rules.",
        )
    return joined


def _within(document: Mapping[str, Any], *wrappers: str) -> Mapping[str, Any]:
    for wrapper in wrappers:
        inner = document.get(wrapper)
        document = inner if isinstance(inner, Mapping) else document
    return document


def _of_public_api(rules: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    whole = [rule for rule in rules if isinstance(rule.get("jsonSchema"), Mapping)]
    whole.sort(key=lambda rule: rule.get("version") or 0)
    newest = {rule.get("type"): rule["jsonSchema"] for rule in whole}
    return [newest[kind] for kind in ("COMMON", "IDENTIFY") if kind in newest]


def _of_config_api(rules: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [rules[kind] for kind in ("global", "identify") if rules.get(kind)]


def _joined(rules: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Keep what rules say about ``traits``, with the definitions that they refer to."""
    joined: dict[str, Any] = {"allOf": []}
    for rule in rules:
        joined |= {key: rule[key] for key in _DEFINITIONS if key in rule}
        traits = (rule.get("properties") or {}).get("traits")
        joined["allOf"] += [traits] if traits else []
    return joined
