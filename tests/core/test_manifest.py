"""What extract tells the tasks after it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_looker_segment.core.chunking import Line
from airflow_provider_looker_segment.core.manifest import FORMAT, Manifest, Samples, masked_cells
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.exceptions import PermanentError

END = datetime(2019, 6, 1, tzinfo=UTC)


def begun(**more: Any) -> Manifest:
    """A manifest before the first row."""
    facts: dict[str, Any] = {
        "look_id": "42",
        "look_title": "Cohort",
        "window_start": None,
        "window_end": END,
        "window_source": "data interval",
        "sync_id": "dag/42",
        "generation": 3,
        "edition": "3.1",
        "seal": "abc",
        "dry_run": False,
        "version": "1.0.0",
        "warnings": ("careful",),
    }
    return Manifest.begin(**(facts | more))


def test_begin() -> None:
    """Before the first row the manifest knows the Look, the window and the envelope."""
    manifest = begun(window_start=datetime(2019, 5, 31, tzinfo=UTC))
    assert manifest.look == {"id": "42", "title": "Cohort"}
    assert manifest.window == {
        "start": "2019-05-31T00:00:00+00:00",
        "end": "2019-06-01T00:00:00+00:00",
        "source": "data interval",
    }
    assert manifest.shared["timestamp"] == "2019-06-01T00:00:00+00:00"
    assert manifest.warnings == ["careful"]
    assert begun().window["start"] is None


def test_plain_json_and_back() -> None:
    """A manifest survives the way through XCom."""
    tally = Tally(rows=5, messages=3, duplicates=1)
    tally.problems.add("array_value", "users.x", 4)
    manifest = begun()
    manifest.history = {"run": "r"}
    counts = {"sent": 2, "left": 1, "unchanged": 1, "new": 2}
    manifest.close(tally, counts=counts, chunks=2, shards=1, samples=[{"userId": "text of 3"}])
    plain = json.loads(json.dumps(manifest.as_dict()))
    assert Manifest.from_dict(plain, task_id="extract") == manifest
    assert (manifest.rows, manifest.messages, manifest.duplicates, manifest.rejected) == (
        5,
        3,
        1,
        1,
    )
    assert (manifest.left, manifest.unchanged, manifest.new_users) == (1, 1, 2)
    assert manifest.problems == tally.problems.as_list()
    assert (manifest.chunks, manifest.shards, manifest.destinations) == (2, 1, {})


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, "it is 'gone'"),
        ([], "'gone'"),
        ({}, "it is None"),
        ({"format": FORMAT + 1}, "it is 2"),
    ],
)
def test_no_manifest(said: Any, found: str) -> None:
    """A manifest that is gone or of another format says which task to clear."""
    with pytest.raises(PermanentError, match="Clear the task 'extract'") as caught:
        Manifest.from_dict(said, task_id="extract")
    assert found in str(caught.value)


def test_samples_are_masked() -> None:
    """The first three messages are kept: keys, switches, and of each value only its kind."""
    body = {
        "userId": "secret",
        "context": {"groupId": "g"},
        "traits": {"a": "secret", "b": 12345, "c": None, "d": True, "e": 1.5, "f": ""},
        "integrations": {"All": False, "Woopra": {"cookie": "secret"}},
    }
    lines = [Line(number, json.dumps(body)) for number in range(1, 6)]
    samples = Samples()
    assert list(samples.watch(lines)) == lines
    masked = {
        "userId": "text of 6",
        "context": {"groupId": "text of 1"},
        "traits": {
            "a": "text of 6",
            "b": "number",
            "c": "null",
            "d": "true or false",
            "e": "number",
            "f": "text of 0",
        },
        "integrations": {"All": False, "Woopra": {"cookie": "text of 6"}},
    }
    assert samples.masked({}) == [masked] * 3
    assert samples.whole() == [body] * 3
    assert Samples().masked({}) == []


def test_pivots_are_not_named_in_samples() -> None:
    """The value of a pivoted column is part of a trait's name, and goes too."""
    samples = Samples()
    body = json.dumps({"userId": "u", "traits": {"orders secret": 1, "a": 1}})
    assert 1 == len(list(samples.watch([Line(1, body)])))
    (shown,) = samples.masked({"orders secret": "orders (pivot 1)"})
    assert shown["traits"] == {"orders (pivot 1)": "number", "a": "number"}


def test_rows_are_masked_whatever_their_columns_are_called() -> None:
    """Neither a column called like a part of a message nor a pivot shows what it holds."""
    row = {"integrations": True, "traits": "secret", "n": {"secret": 1, "other": None}, "l": [1]}
    assert masked_cells(row) == {
        "integrations": "true or false",
        "traits": "text of 6",
        "n": {"(1)": "number", "(2)": "null"},
        "l": "list",
    }
    assert {"integrations": {"(1)": "text of 6"}} == masked_cells({"integrations": {"x": "secret"}})


def test_samples_stream() -> None:
    """Watching keeps no more than the samples and waits for nothing."""
    watched = Samples().watch(Line(number, "{}") for number in iter(int, 1))
    assert next(watched) == Line(0, "{}")
