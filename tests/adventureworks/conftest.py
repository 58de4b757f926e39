"""Fixtures: the AdventureWorks data where it is, and what was counted in it by hand."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("LOOKER_SEGMENT_SHARED_DATA", "/nonexistent")) / "adventureworks"


@pytest.fixture(scope="module")
def expected() -> dict[date, tuple[int, str]]:
    """How many users each date's cohort has, and the hash of their ids."""
    with (SHARED / "expected_active30.csv").open(encoding="utf-8") as file:
        return {
            date.fromisoformat(row["date"]): (int(row["n"]), row["sha256_sorted_ids"])
            for row in csv.DictReader(file)
        }


@pytest.fixture(scope="module")
def adventureworks() -> Iterator[Any]:
    """The sandbox over the real data."""
    from airflow_provider_looker_segment.sandbox.dataset import Dataset
    from airflow_provider_looker_segment.sandbox.server import Sandbox

    dataset = Dataset.load(SHARED, looks=Path(__file__).parent / "looks.yaml")
    with Sandbox(dataset) as running:
        yield running
