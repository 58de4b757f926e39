"""Rules of the generated dataset: what the documentation's example needs, on any day."""

from __future__ import annotations

import json
import unicodedata
from datetime import date, timedelta
from typing import Any

import pytest

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.query import plan_query
from airflow_provider_looker_segment.sandbox.results import Options, stream
from airflow_provider_looker_segment.sandbox.toastmates import TY_ID, generate

TODAY = date(2026, 1, 15)
TY = {
    "users.id": "00MWWFOLRcETcTCf",
    "users.name": "Ty Arthur",
    "users.email": "ty.arthur@segment.com",
    "sessions.count": 2,
}


@pytest.fixture(scope="module")
def toastmates() -> Dataset:
    """The site on one day."""
    return generate(TODAY)


def run(dataset: Dataset, look_id: str, *, limit: int | None = -1, **changes: Any) -> list[Any]:
    """Run a Look, perhaps changed, and return its rows."""
    query = {**dataset.model.looks[look_id].query, **changes}
    plan = plan_query(dataset, query, limit=limit, server_table_calcs=True)
    return json.loads("".join(stream(plan, "json", Options())))


def test_the_documented_example_comes_first(toastmates: Dataset) -> None:
    """Look 42 begins with Ty Arthur and his two sessions, as on Segment's page."""
    rows = run(toastmates, "42")

    assert rows[0] == TY
    assert 2000 < len(rows) < 2250


@pytest.mark.parametrize("days_back", range(11))
def test_the_example_holds_for_backfills(toastmates: Dataset, days_back: int) -> None:
    """Ty has two sessions in the 30 days before each of the last midnights."""
    end = TODAY - timedelta(days=days_back)
    window = {"sessions.started_date": f"{end - timedelta(days=30)} to {end}"}

    assert run(toastmates, "42", filters=window)[0] == TY


def test_look_42_shows_the_documented_columns(toastmates: Dataset) -> None:
    """Its four columns are displayed as on the page, tagged, and cut at the limit of 500."""
    look = toastmates.model.looks["42"]
    fields = toastmates.model.explore_fields(toastmates.model.explores["users"])

    assert look.query["vis_config"]["show_view_names"] is False
    assert look.query["limit"] == "500"
    assert [(fields[name].label_short, fields[name].tags) for name in look.query["fields"]] == [
        ("userId", ("user_id",)),
        ("name", ()),
        ("email", ("email",)),
        ("sessions count", ()),
    ]
    assert len(run(toastmates, "42", limit=None)) == 500


def test_the_same_day_gives_the_same_rows(toastmates: Dataset) -> None:
    """Generation is deterministic, and only dates move with the day."""
    again, later = generate(TODAY), generate(TODAY + timedelta(days=100))

    assert run(again, "42") == run(toastmates, "42")
    assert run(later, "42") == run(toastmates, "42")


def test_names_are_in_many_scripts(toastmates: Dataset) -> None:
    """Names are Latin, Chinese, Arabic, Hebrew, Devanagari and more; some are missing."""
    names = [row["users.name"] for row in run(toastmates, "42")]
    letters = {char for name in names if name for char in name}
    scripts = {unicodedata.name(char).split()[0] for char in letters if char.isalpha()}

    assert {"LATIN", "CJK", "HIRAGANA", "HANGUL", "ARABIC", "HEBREW", "DEVANAGARI"} <= scripts
    assert "🌮" in letters
    assert None in names


def test_ids_and_addresses_are_safe(toastmates: Dataset) -> None:
    """Ids are unique; addresses are at domains reserved for examples, and some are missing."""
    rows = list(toastmates.rows("SELECT id, email FROM users"))
    domains = {str(email).partition("@")[2] for user_id, email in rows if user_id != TY_ID}

    assert len(rows) == len({user_id for user_id, _ in rows}) == 3000
    assert domains == {"example.com", "example.org", "example.net", ""}


def test_each_look_is_what_its_title_says(toastmates: Dataset) -> None:
    """The other Looks show what the tutorial needs: each a different hazard."""
    looks = toastmates.model.looks

    assert list(looks) == ["42", "43", "44", "45", "46", "47", "48", "49", "50"]
    assert [name for name, look in looks.items() if look.deleted] == ["49"]
    assert "users.id" not in run(toastmates, "43")[0]
    assert len(run(toastmates, "44", limit=None)) == 100
    renamed = run(toastmates, "45")[0]
    assert renamed["contact_email"] == renamed["users.email"] == TY["users.email"]
    assert looks["45"].query["vis_config"]["hidden_fields"][0] == "users.email"
    assert run(toastmates, "46")[0]["sessions.count"]["laptop"] == 2
    assert run(toastmates, "47")[0]["accounts.id"] == "acc_001"
    assert set(run(toastmates, "48")[0]) == {"users.name", "users.country", "sessions.count"}
