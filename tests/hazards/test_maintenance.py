"""Looking into a sync, and resetting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_looker_segment.core.sync import SyncRecord
from airflow_provider_looker_segment.operators.maintenance_task import Maintenance
from airflow_provider_looker_segment.stores.syncs import SyncStore
from tests.hazards.cohorts import (
    MODES,
    Open,
    green,
    maintain,
    users,
)
from tests.hazards.flow import MOMENT


def test_a_sync_can_be_looked_into(begin: Open) -> None:
    """What it knows of everybody, and of each user."""
    flow = green(begin(0, users(1, 2, 3), **MODES["membership"]))
    green(begin(1, users(1, 2), **MODES["membership"]))
    said = maintain(flow, "show")

    assert (3, 2, 1, 0) == tuple(
        said["snapshot"][name] for name in ("users", "in", "left", "dirty")
    )
    assert (MOMENT + timedelta(days=1)).isoformat() == said["newest"] == said["snapshot"]["newest"]
    assert ["in", "left", "unknown"] == [
        maintain(flow, "why", user)["state"] for user in ("u-1", "u-3", "u-9")
    ]
    assert 3 == maintain(flow, "why", "u-1")["traits"]
    assert "note" not in json.dumps(maintain(flow, "why", "u-1"))
    named = Maintenance(SyncStore(flow.books["sync_id"]), _Runs(), show_values=True)
    assert ["name", "note", "in_cohort"] == named.do("why", "u-1")["names"]


def test_a_reset_forgets_what_came_about_meanwhile(begin: Open) -> None:
    """A run that is stopped while a sync is reset does not wait for approval after it."""
    flow = green(begin(0, users(1)))
    sync = SyncStore(flow.books["sync_id"])
    held = begin(1, users(*range(9)), guards={"max_messages": 1}).extract()
    first = sync.read()
    assert first.stopped is not None
    later = replace(first.stopped, run_id="later")
    deleted = []

    class StoppedMeanwhile(_Runs):
        """A run is stopped while another one's chunks are deleted."""

        def delete_chunks(self, about: Mapping[str, Any]) -> bool:
            """Note whose they are."""
            deleted.append(about["run_id"])
            if len(deleted) == 1:
                sync.write(replace(first, stopped=later, rejects="file:///elsewhere"))
            return True

    Maintenance(sync, StoppedMeanwhile()).do("reset")

    assert [held.run_id, "later"] == deleted
    assert SyncRecord(rejects="file:///elsewhere", segment_conn_id=first.segment_conn_id) == (
        sync.read()
    )


class _Runs:
    """No run is asked about."""

    def goes_on(self, about: Mapping[str, Any]) -> bool:
        """Fail."""
        raise AssertionError(about)

    def delete_chunks(self, about: Mapping[str, Any]) -> bool:
        """Fail."""
        raise AssertionError(about)


def test_what_a_full_sync_knows(begin: Open) -> None:
    """Nothing about its users."""
    flow = green(begin(0, users(1), mode="full"))

    assert maintain(flow, "show")["snapshot"] is None
    assert "no snapshot" in maintain(flow, "why", "u-1")["says"]


@pytest.mark.parametrize(
    ("action", "user", "sync_id", "complaint"),
    [
        ("show", "", "nobody's", "nothing is known of it"),
        ("why", " ", "", "be told a user"),
        ("drop", "", "", "show, why, reset, forget"),
    ],
)
def test_what_cannot_be_maintained(
    begin: Open, action: str, user: str, sync_id: str, complaint: str
) -> None:
    """An unknown sync, nobody, an unknown action: each says what is missing."""
    flow = green(begin(0, users(1)))

    with pytest.raises(Exception, match=complaint):
        maintain(flow, action, user, sync_id=sync_id)


def test_a_reset_sync_sends_everything(begin: Open) -> None:
    """Another Look may follow, and who was forgotten stays so."""
    flow = green(begin(1, users(1, 2, 3)))
    maintain(flow, "forget", "u-2")
    maintain(flow, "reset")
    after = green(begin(0, users(1, 2, 3)))

    assert (2, 1) == tuple(after.books[name] for name in ("messages", "forgotten"))


@pytest.mark.parametrize("action", [("forget", "u-1"), ("reset",)])
@pytest.mark.parametrize("is_reset_before", [False, True])
def test_a_first_run_that_a_guard_stopped_leaves_nothing(
    begin: Open, tmp_path: Path, action: tuple[str, ...], *, is_reset_before: bool
) -> None:
    """What it decided about its users is found, though no run was ever reported."""
    if is_reset_before:
        maintain(green(begin(0, users(1, 2), sync_id="one")), "reset")
    held = begin(1, users(1, 2), sync_id="one", guards={"max_messages": 1}).run()
    assert [*(tmp_path / "snapshots").glob("*/runs/*.candidate")]

    maintain(held, *action, sync_id="one")

    left = {path.suffix for path in (tmp_path / "snapshots").glob("*/runs/*")}
    assert {".forget"} >= left
    assert [] == held.xcoms.chunks()
    after = green(begin(2, users(1, 2, 3), sync_id="one"))
    assert (2 if action[0] == "forget" else 3) == after.books["messages"]


def test_a_sync_whose_variables_are_lost_can_be_reset(begin: Open) -> None:
    """The run that is refused for it has noted where the snapshot is that must go."""
    from airflow.sdk import Variable

    green(begin(0, users(1, 2), sync_id="one"))
    name = SyncStore("one")._key("sync")
    for key in (name, name.replace("_sync_", "_secret_")):
        # An empty one reads like one that is gone.
        Variable.set(key, "")
    refused = begin(1, users(1, 2), sync_id="one").run()
    assert "be for secret" in str(refused.errors["extract"])

    maintain(refused, "reset", sync_id="one")

    assert 2 == green(begin(2, users(1, 2), sync_id="one")).books["messages"]
