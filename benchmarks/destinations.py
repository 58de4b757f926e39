"""What destinations cost extract: checking them, and muting where a row lacks something.

Rows of a result in Looker's own format are parsed, mapped, checked, encoded, compressed into
chunks and sealed, as the extract task does it, without the network and without XCom, which only
make the rest of extract slower. The ways take turns in one process after a warm-up; the least
processor time of each is compared, for whatever else a machine does only ever adds to it.

Run: ``python benchmarks/destinations.py [rows] [turns]``
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from statistics import median

from cryptography.fernet import Fernet

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.core.chunking import pack
from airflow_provider_looker_segment.core.destinations import Requirements, Unmet
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.look import Look, read_look
from airflow_provider_looker_segment.core.mapping import Mapping, plan
from airflow_provider_looker_segment.core.prepare import Preparation, envelope
from airflow_provider_looker_segment.core.rows import RowStream

COLUMNS = ("user_id", "email", *(f"trait_{number}" for number in range(11)))
PIECE_BYTES = 65_536
CHUNK_BYTES = 36_000

SOME = ("braze", "zendesk", "customer.io")
ALL = tuple(one.slug for one in load_catalogue().destinations)
Way = tuple[Sequence[str], Unmet]
WAYS: dict[str, Way] = {
    "no destination": ((), "warn"),
    "3 destinations, checked": (SOME, "warn"),
    "3 destinations, checked and muted": (SOME, "mute"),
    "all 77, checked": (ALL, "warn"),
    "all 77, checked and muted": (ALL, "mute"),
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


def extract_s(body: bytes, way: Way) -> float:
    """Do what extract does with a result; return the seconds of processor time."""
    destinations, unmet = way

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), PIECE_BYTES):
            yield body[at : at + PIECE_BYTES]

    began_s = time.process_time()
    seal = Fernet(Fernet.generate_key())
    requirements = Requirements(destinations, unmet=unmet) if destinations else None
    shared = envelope(timestamp="2026-01-15T00:00:00+00:00", version="0")
    with SeenUsers() as seen:
        preparation = Preparation(
            plan(look(), Mapping()), shared=shared, seen=seen, requirements=requirements
        )
        rows = RowStream(pieces(), look="Look 1", content_type="application/json")
        for chunk in pack(preparation.lines(rows), max_bytes=CHUNK_BYTES):
            seal.encrypt(chunk.data)
    return time.process_time() - began_s


def main(rows: int = 30_000, turns: int = 15) -> None:
    """Measure and print a table."""
    body, few = document(rows), document(1_000)
    for way in WAYS.values():
        extract_s(few, way)
    spent = {name: [0.0] * turns for name in WAYS}
    for turn in range(turns):
        for name, way in WAYS.items():
            spent[name][turn] = extract_s(body, way)
    base_s = min(spent["no destination"])
    print(f"{rows:,} rows of {len(COLUMNS)} columns, {turns} turns, processor time of a row\n")
    print(f"{'':<36}{'least':>10}{'median':>12}{'more than without':>20}")
    for name, seconds in spent.items():
        least_s = min(seconds)
        print(
            f"{name:<36}{least_s / rows * 1e6:>7.1f} µs{median(seconds) / rows * 1e6:>9.1f} µs"
            f"{(least_s / base_s - 1) * 100:>18.1f} %"
        )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
