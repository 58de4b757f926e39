"""A time-boxed fuzz of the row stream parser: ``make fuzz``.

Valid documents are mutated and cut into random pieces. What the parser does must agree with the
standard library: the same rows where a document is whole and valid, and this package's errors,
never others, everywhere else.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from airflow_provider_looker_segment.core.rows import RowStream, parse_float
from airflow_provider_looker_segment.exceptions import LookerSegmentError

VALUES = (None, True, False, 0, -1, 2**60, 1.5, 1e300, "", "a", "é😀", 'quo"ted\\', "\u2028", "]}")
VALUES += (2**64, 10**40, -0.0, "}}, {", "}},{", {"a": {"b": 1}}, {"links": [{}, {"c": {}}]}, [[]])
TOKENS = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u",
    b"null",
    b"NaN",
    b"1e999",
    b"\xff",
    b"\\ud800",
    b"0.1000000000000000055",
    b"1" * 50,
    b"}}, {",
)


def document(chance: random.Random) -> dict[str, Any]:
    """Make a document of the shape that Looker sends."""
    names = [f"view.field_{index}" for index in range(chance.randrange(1, 5))]
    rows = [
        {name: {"value": chance.choice(VALUES)} for name in names}
        for _ in range(chance.choice((0, 1, 5, 40)))
    ]
    whole = {"fields": {"dimensions": names}, "data": rows, "errors": None}
    keys = list(whole)
    chance.shuffle(keys)
    return {key: whole[key] for key in keys}


def mutated(body: bytes, chance: random.Random) -> bytes:
    """Change a few bytes: delete, repeat, insert, cut."""
    for _ in range(chance.randrange(0, 4)):
        at = chance.randrange(len(body) + 1)
        to = min(len(body), at + chance.randrange(1, 9))
        body = chance.choice(
            (
                body[:at] + body[to:],
                body[:to] + body[at:],
                body[:at] + chance.choice(TOKENS) + body[at:],
                body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :],
                body[:at],
            )
        )
    return body


def pieces(body: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut a body anywhere, also inside characters."""
    at, longest = 0, chance.choice((20, 200, 2_000))
    while at < len(body):
        size = chance.randrange(1, longest)
        yield body[at : at + size]
        at += size


def parsed(body: bytes, chance: random.Random) -> list[Any] | LookerSegmentError:
    """Return what the parser under test makes of a body."""
    try:
        return list(RowStream(pieces(body, chance), look="Look 1"))
    except LookerSegmentError as error:
        return error


def expected(body: bytes) -> list[Any] | None:
    """Return the rows of a whole and valid document, or nothing."""
    try:
        whole = json.loads(body.decode("utf-8"), parse_float=parse_float)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(whole, dict)
        or whole.get("errors")
        or not isinstance(whole.get("data"), list)
    ):
        return None
    rows: list[Any] = whole["data"]
    return rows if all(isinstance(row, dict) for row in rows) else None


def fuzz(seconds: float, seed: int) -> int:
    """Fuzz for a while; return how many documents were tried.

    :raises AssertionError: naming the seed and the number of the document at fault.
    """
    until = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < until:
        tried += 1
        chance = random.Random(f"{seed}/{tried}")
        how = {"ensure_ascii": chance.random() < 0.5, "indent": chance.choice((None, None, 1))}
        separators = chance.choice((None, (",", ":"), (" ,\n", " : ")))
        body = json.dumps(document(chance), separators=separators, **how).encode()
        body = mutated(body, chance)
        found, right = parsed(body, chance), expected(body)
        at_fault = f"seed {seed}, document {tried}: {body!r}"
        if right is None:
            agree = isinstance(found, LookerSegmentError)
        else:
            # NaN differs from itself; as text it does not.
            agree = isinstance(found, list) and json.dumps(found) == json.dumps(right)
        # The standard library keeps the last of two equal keys, a stream has given the first.
        assert agree or body.count(b'"data"') > 1 or body.count(b'"errors"') > 1, at_fault
    return tried


def main() -> int:
    """Read the time and the seed from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    chosen = parser.parse_args()
    sys.stdout.write(
        f"Fuzzing the row stream for {chosen.seconds:.0f} s with seed {chosen.seed}.\n"
    )
    tried = fuzz(chosen.seconds, chosen.seed)
    sys.stdout.write(f"{tried:,} documents: no foreign error, no wrong row.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
