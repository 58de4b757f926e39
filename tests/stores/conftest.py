"""Fixtures: object storage in memory, empty for each test."""

from __future__ import annotations

import pytest

from tests.histories import Storage


@pytest.fixture(scope="session")
def _storage() -> None:
    from airflow.sdk.io import attach

    attach("memory", fs=Storage())


@pytest.fixture(autouse=True)
def storage(_storage: None) -> type[Storage]:
    """Object storage that may be cut off before any of its writes."""
    Storage.store.clear()
    Storage.writes_left = None
    Storage.meanwhile = None
    return Storage
