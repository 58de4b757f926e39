"""What destinations cost extract: the check of each message, and the muting that follows.

Rows of a result in Looker's own format are parsed, mapped, checked, encoded, compressed into
chunks and sealed, as the extract task does it, without the network and without XCom, which only
make the rest of extract slower. Then the check alone is timed over the same messages: verdict,
``integrations`` object and count; what the first message of each kind costs stands beside it.
All ways take turns in one process after a warm-up, in processor time; the least of the turns
counts, for whatever else a machine does only ever adds to it. What muting adds beyond the check
is longer messages to encode and to compress.

Run by itself, to be profiled: ``python -m benchmarks.destinations ROWS TURNS``
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from cryptography.fernet import Fernet

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.core.chunking import pack
from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.look import Look, read_look
from airflow_provider_looker_segment.core.mapping import Mapping, plan
from airflow_provider_looker_segment.core.plain_rows import PlainRows
from airflow_provider_looker_segment.core.prepare import Preparation, envelope
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.core.tally import Verdicts
from benchmarks.measure import ROOT, in_turn, table

COLUMNS = ("user_id", "email", *(f"trait_{number}" for number in range(11)))
PIECE_BYTES = 65_536
CHUNK_BYTES = 36_000
CHECKS = 100

SOME = ("braze", "zendesk", "customer.io")
ALL = tuple(one.slug for one in load_catalogue().destinations)
WAYS: dict[str, Sequence[str]] = {
    "none": (),
    "1": SOME[:1],
    "3": SOME,
    "10": ALL[:10],
    "all 77": ALL,
}


def look() -> Look:
    """A Look with an id, an e-mail address and eleven more columns."""
    names = [f"users.{column}" for column in COLUMNS]
    fields = [{"name": name, "label": name, "label_short": name[6:]} for name in names]
    query = {"model": "m", "view": "users", "fields": names}
    return read_look({"id": "1", "query": query}, {"fields": {"dimensions": fields}})


def document(rows: int) -> bytes:
    """A result in ``json_detail``; a tenth of the rows lack an id, a tenth an address."""
    data = []
    for number in range(rows):
        cells = {f"users.{column}": {"value": f"{column} {number}"} for column in COLUMNS}
        cells["users.user_id"] = {"value": None if number % 10 == 3 else f"user-{number}"}
        cells["users.email"] = {"value": None if number % 10 == 7 else f"user-{number}@example.com"}
        data.append(cells)
    return json.dumps({"data": data, "errors": []}).encode()


def stream(body: bytes, plain: PlainRows | None = None) -> RowStream:
    """The rows of a result that arrives in pieces."""

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), PIECE_BYTES):
            yield body[at : at + PIECE_BYTES]

    return RowStream(
        pieces(),
        look="Look 1",
        content_type="application/json",
        plain=plain.decode if plain else None,
    )


def preparation(
    seen: SeenUsers, requirements: Requirements | None, plain: PlainRows | None = None
) -> Preparation:
    """A run's way from rows to lines."""
    return Preparation(
        plan(look(), Mapping()),
        shared=envelope(timestamp="2026-01-15T00:00:00+00:00", version="0"),
        seen=seen,
        requirements=requirements,
        plain=plain,
    )


def extract_s(body: bytes, destinations: Sequence[str]) -> float:
    """Do what extract does with a result; return the seconds it takes."""
    began_s = time.process_time()
    seal = Fernet(Fernet.generate_key())
    requirements = Requirements(destinations) if destinations else None
    with SeenUsers() as seen:
        plain = PlainRows(plan(look(), Mapping()))
        lines = preparation(seen, requirements, plain).lines(stream(body, plain))
        for chunk in pack(lines, max_bytes=CHUNK_BYTES):
            seal.encrypt(chunk.data)
    return time.process_time() - began_s


def check_s(messages: Sequence[dict[str, Any]], destinations: Sequence[str]) -> tuple[float, float]:
    """Check messages and count the verdicts.

    Extract checks a message that it has just built, so here too it must be in the processor's
    cache: few messages are checked over and over.

    :return: the seconds for one message, and those that a run spends once, on the first message
        of each kind, for there the JSON Schemas decide.
    """
    traits = [name for name, _ in plan(look(), Mapping()).traits]
    requirements, verdicts = Requirements(destinations).narrowed(traits), Verdicts()
    began_s = time.process_time()
    for message in messages:
        requirements.check(message)
    once_s = time.process_time() - began_s
    began_s = time.process_time()
    for _ in range(CHECKS):
        for message in messages:
            outcome = requirements.check(message)
            if outcome.switches or requirements.fills_options:
                requirements.integrations(outcome, message)
            verdicts.add(outcome)
    return (time.process_time() - began_s) / (CHECKS * len(messages)), once_s


def take(rows: int, turns: int) -> dict[str, Any]:
    """Let all ways take turns in this process; return every turn in seconds."""
    body, few = document(rows), document(1_000)
    with SeenUsers() as seen:
        prepared = preparation(seen, None)
        messages = [prepared.body(row) for row in stream(document(100))]
    for destinations in WAYS.values():
        extract_s(few, destinations)
        check_s(messages, destinations)
    extracts: dict[str, list[float]] = {way: [] for way in WAYS}
    checks: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for turn in range(turns):
        for way in in_turn(list(WAYS), turn):
            extracts[way].append(extract_s(body, WAYS[way]))
            checks[way].append(check_s(messages, WAYS[way]))
    return {"extract_s": extracts, "check_s": checks}


def measure(rows: int, turns: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.destinations", str(rows), str(turns)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    each_turn = json.loads(done.stdout.splitlines()[-1])
    base_s = min(each_turn["extract_s"]["none"]) / rows
    ways = {}
    for way, destinations in WAYS.items():
        alone_s, once_s = map(min, zip(*each_turn["check_s"][way], strict=True))
        ways[way] = {
            "extract_s": min(each_turn["extract_s"][way]) / rows,
            "check_s": alone_s if destinations else None,
            "check_of_extract": alone_s / base_s if destinations else None,
            "once_s": once_s if destinations else None,
        }
    return {"rows": rows, "turns": turns, "ways": ways, "each_turn": each_turn}


def as_table(result: dict[str, Any]) -> str:
    """Return the figures for people."""
    rows = []
    for way, one in result["ways"].items():
        extract = (way, f"{one['extract_s'] * 1e6:.1f}")
        if one["check_s"] is None:
            rows.append((*extract, "", "", ""))
            continue
        share, once = f"{one['check_of_extract']:.1%}", f"{one['once_s'] * 1e3:.1f}"
        rows.append((*extract, f"{one['check_s'] * 1e6:.2f}", share, once))
    head = (
        f"destinations, {result['rows']:,} rows",
        "extract, CPU µs a row",
        "the check, µs",
        "of extract without",
        "once, ms",
    )
    return table(head, rows)


if __name__ == "__main__":
    print(json.dumps(take(*map(int, sys.argv[1:]))))
