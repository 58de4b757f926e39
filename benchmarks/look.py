"""The Look that every benchmark of rows runs: 13 columns, one user a row, in ``json_detail``.

It is made of plain arithmetic, so that any row can be made again to check what became of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRAITS = {
    "users.email": "email",
    "users.name": "name",
    "users.country": "country",
    "users.city": "city",
    "users.signed_up_date": "signed up",
    "users.plan": "plan",
    "users.is_active": "active",
    "orders.count": "orders",
    "orders.revenue": "revenue",
    "sessions.count": "sessions",
    "sessions.last_date": "last session",
    "users.score": "score",
}
"""The name of each trait by its column; ``users.id`` is the thirteenth column."""

COLUMNS = ("users.id", *TRAITS)
NAMES = ("Ty Arthur", "Zoë Ångström", "山田 太郎", "Anna Smith", "Ivan Petrov", "Maria da Silva")
CITIES = ("Hamburg", "Lyon", "Salt Lake City", "Porto", "Rio de Janeiro")
COUNTRIES = ("Germany", "France", "United States", "Portugal", "Brazil")
PLANS = ("free", "premium", "enterprise")


def row(number: int) -> dict[str, Any]:
    """Return the values of one row by column, counted from 0."""
    return {
        "users.id": f"u{number * 2_654_435_761 % 2**32:08x}{number:07d}",
        "users.email": f"user.{number}@example.com",
        "users.name": f"{NAMES[number % 6]} {number}",
        "users.country": COUNTRIES[number % 5],
        "users.city": CITIES[number % 5],
        "users.signed_up_date": f"20{number % 9 + 16}-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
        "users.plan": PLANS[number % 3],
        "users.is_active": "Yes" if number % 2 else "No",
        "orders.count": number % 97,
        "orders.revenue": number % 100_000 / 100,
        "sessions.count": number % 311,
        "sessions.last_date": f"2026-01-{number % 14 + 1:02d}",
        "users.score": None if number % 5 == 0 else number % 1_000 / 10,
    }


def write_document(path: Path, rows: int) -> None:
    """Write Looker's answer of so many rows."""
    fields = [{"name": name, "label": name} for name in COLUMNS]
    with path.open("w", encoding="utf-8") as file:
        file.write('{"fields":' + json.dumps({"dimensions": fields}) + ',"data":[')
        for number in range(rows):
            cells = {name: {"value": value} for name, value in row(number).items()}
            text = json.dumps(cells, ensure_ascii=False, separators=(",", ":"))
            file.write(f",{text}" if number else text)
        file.write('],"errors":[],"timezone":"UTC"}')


def messages(rows: int) -> Iterator[dict[str, Any]]:
    """Yield what each row must become: who it is about, and its traits without nulls."""
    for number in range(rows):
        values = row(number)
        traits = {
            name: values[column] for column, name in TRAITS.items() if values[column] is not None
        }
        yield {"userId": values["users.id"], "traits": traits}


def metadata() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Look and its explore, as Looker's API describes them."""
    names = {"users.id": "id", **TRAITS}
    fields = [
        {"name": name, "label": label, "label_short": label, "type": "string"}
        for name, label in names.items()
    ]
    fields[0]["tags"] = ["user_id"]  # type: ignore[assignment]
    query = {"id": "1", "model": "shop", "view": "users", "fields": list(COLUMNS), "limit": "-1"}
    look = {"id": "1", "title": "All users", "deleted": False, "query": query}
    explore = {"name": "users", "fields": {"dimensions": fields, "measures": []}}
    return look, explore
