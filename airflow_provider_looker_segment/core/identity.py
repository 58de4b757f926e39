"""Who a row is about: identifiers become the strings that Segment stores.

A cell's value enters, a string or a problem's code leaves.
No identifier is ever invented, shortened or changed in its letters.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Set as AbstractSet
from decimal import Decimal, InvalidOperation
from typing import Any

from airflow_provider_looker_segment.core.rows import NumberText
from airflow_provider_looker_segment.core.traits import UNSENDABLE

EMAIL_NAMESPACE = uuid.UUID("5d3a0c3e-6a0f-5c57-9f0e-8f7f4e2b1a64")
"""The fixed namespace of every ``anonymousId`` derived from an e-mail address.

It never changes: another value would mint a new billed user for every such row.
"""

BLOCKED_IDS = frozenset(
    {
        *("-1", "0", "<nil>", "[]", "{}", "[object object]", "abc123", "anon", "anonymous"),
        *("distinct_id", "distinctid", "email", "false", "guest", "id", "lmy47d", "n/a", "na"),
        *(
            "nan",
            "nil",
            "none",
            "not_authenticated",
            "null",
            "true",
            "undefined",
            "unknown",
            "void",
        ),
    }
)
"""Values that stand for nobody, compared without case, blanks and quotes around them.

Union of what Segment Unify, PostHog and Mixpanel refuse as a user's id:
https://segment.com/docs/unify/identity-resolution/identity-resolution-settings/
https://docs.mixpanel.com/docs/troubleshooting/errors/server-side-events-without-a-user
"""

_NOBODY = re.compile(r"[0-]*|[#*•]+|x{2,}")
"""Zeroes and dashes, as Segment Unify refuses them, and masks in place of values."""

_NOBODY_BEGINS = frozenset("0-#*•x")

_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_QUOTES = "'\""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")

_PLAIN_ID = re.compile(r"[0-9A-Za-z_.-]+")
_PLAIN_EMAIL = re.compile(r"[!-?A-~]+@[!-?A-~]+")
"""Most identifiers and addresses have nothing to trim, to unquote or to search for."""


def trimmed(text: str) -> str:
    r"""Cut blanks and invisible characters off both ends.

    >>> trimmed(" \u200b7\u00a0")
    '7'
    """
    text = text.strip()
    while text and (text[0] in _INVISIBLE or text[-1] in _INVISIBLE):
        text = text.strip(_INVISIBLE).strip()
    return text


def identifier(value: Any, *, blocked: AbstractSet[str] = BLOCKED_IDS) -> tuple[str, str]:
    r"""Normalise one identifier.

    :param value: the cell's value, as parsed from JSON.
    :param blocked: lower-case values that stand for nobody.
    :return: the identifier and an empty code, or an empty string and the problem's code;
        both are empty where the cell is null or blank.

    >>> identifier(17850.0), identifier("00042"), identifier(" 7 "), identifier("null")
    (('17850', ''), ('00042', ''), ('7', ''), ('', 'id_blocked'))
    """
    if type(value) is str and _PLAIN_ID.fullmatch(value):
        text, core = value, value.lower()
    else:
        text, code = _as_text(value)
        if code or not text:
            return "", code
        if UNSENDABLE.search(text):
            return "", "id_unsendable_text"
        core = _unquoted(text).casefold()
    # Nothing is left of quotes alone; what is left seldom begins like nobody.
    begins_so = not core or core[0] in _NOBODY_BEGINS
    if core in blocked or (begins_so and _NOBODY.fullmatch(core)):
        return "", "id_blocked"
    return text, ""


def _unquoted(text: str) -> str:
    while text and (text[0] in _QUOTES or text[-1] in _QUOTES):
        text = trimmed(text.strip(_QUOTES))
    return text


def _as_text(value: Any) -> tuple[str, str]:
    if value is None:
        return "", ""
    if isinstance(value, float | NumberText):
        try:
            return _digits(Decimal(str(value)))
        except InvalidOperation:
            # Nearer to zero than any decimal may be.
            return "", "id_fraction"
    if isinstance(value, str):
        return trimmed(value), ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), ""
    return "", "id_boolean" if isinstance(value, bool) else "id_not_text"


def _digits(number: Decimal) -> tuple[str, str]:
    if not number.is_finite():
        return "", "id_not_finite"
    if number != number.to_integral_value():
        return "", "id_fraction"
    return str(int(number)), ""


def email_address(value: Any) -> tuple[str, str]:
    """Check one e-mail address; case is kept.

    :return: the address and an empty code; both are empty where the cell is null or blank.
        Text that is no address comes back with the code ``email_invalid``: it can be a trait,
        but it identifies nobody. Anything else is an empty string and the problem's code.
    """
    if value is None:
        return "", ""
    if not isinstance(value, str) or isinstance(value, NumberText):
        return "", "email_not_text"
    if _PLAIN_EMAIL.fullmatch(value):
        return value, ""
    text = trimmed(value)
    if UNSENDABLE.search(text):
        return "", "email_unsendable_text"
    return text, "email_invalid" if text and not _EMAIL.fullmatch(text) else ""


def anonymous_id_of(email: str) -> str:
    """Derive the ``anonymousId`` of somebody known by e-mail only: the same in every run.

    >>> anonymous_id_of("Ty@Example.com") == anonymous_id_of(" ty@example.com")
    True
    """
    return str(uuid.uuid5(EMAIL_NAMESPACE, trimmed(email).lower()))


def fingerprint(*parts: str) -> bytes:
    """Sixteen bytes that stand for ``parts``; their borders count.

    >>> fingerprint("ab", "c") == fingerprint("a", "bc")
    False
    """
    framed = b""
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        framed += len(data).to_bytes(8, "big") + data
    return hashlib.blake2b(framed, digest_size=16).digest()
