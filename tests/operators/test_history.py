"""Syncs with a history, in real Airflow: variables, other runs' chunks, an object store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow import configuration
from airflow.secrets import BaseSecretsBackend

from airflow_provider_looker_segment.cli import main
from tests.object_store import ObjectStore
from tests.operators.conftest import MOMENT, Outcome, load_dag, sent, summary

RunLook = Callable[..., Outcome]

pytestmark = pytest.mark.airflow


@pytest.fixture
def snapshot(tmp_path: Path) -> dict[str, Any]:
    """A folder for snapshots that every worker has."""
    return {"path": f"file://{tmp_path}", "local": True}


def test_a_second_run_sends_what_changed(run_look: RunLook, snapshot: Any) -> None:
    """The same window again sends nothing and says what that saved."""
    first = run_look("42", mode="changed", snapshot=snapshot).report
    again = run_look("42", mode="changed", snapshot=snapshot).report

    assert first["accepted"] == first["new_users"] == first["messages"] > 2_000
    assert (0, first["messages"]) == (again["messages"], again["saved_calls"])
    assert again["rows"] == again["unchanged"] + again["duplicates"] + again["rejected"]


def test_a_window_tells_who_left(run_look: RunLook, snapshot: Any) -> None:
    """Yesterday's cohort after today's says nothing new; who is not in today's has left."""
    mode = {"mode": "mirror", "snapshot": snapshot, "membership_trait": "visits"}
    today = run_look("42", **mode)
    yesterday = run_look("42", **mode, logical_date=MOMENT - timedelta(days=1))
    told = {message["userId"]: message["traits"]["visits"] for message in sent(today.sandbox)}

    assert 0 < yesterday.report["messages"] == yesterday.report["new_users"] < 500
    assert yesterday.report["messages"] == list(told.values()).count(False)
    assert today.report["messages"] == list(told.values()).count(True)


@pytest.mark.parametrize("mode", ["changed", "mirror"])
def test_windows_come_out_right_on_an_object_store(run_look: RunLook, mode: str) -> None:
    """A store without folders, renames and appends does: whole syncs, windows out of order."""
    from airflow.sdk.io import attach

    store = ObjectStore()
    # Airflow keeps the first that is attached under a name.
    attach("memory", f"objects-{mode}", fs=store)
    place = {"path": f"memory://objects-{mode}@bucket/syncs", "local": True}
    choices = {"mode": mode, "snapshot": place}
    days = [MOMENT + timedelta(days=day) for day in (-1, 0, -2, 0)]

    # Read at once: a later test run of the same date takes the place of an earlier one.
    first, second, older, again = (
        run_look("42", **choices, logical_date=day).report for day in days
    )

    assert first["messages"] == first["new_users"] > 2_000
    assert 0 < second["messages"] < 1_000
    assert older["messages"] < 500
    assert 0 == again["messages"]
    assert first["rows"] == first["accepted"] + first["duplicates"] + first["rejected"]
    assert {"current.json", "generations"} == {name.split("/")[4] for name in store.objects}


def test_a_stopped_run_is_delivered_by_another(run_look: RunLook, snapshot: Any) -> None:
    """The chunks of one DAG run are read, and deleted, by another."""
    choices = {"mode": "changed", "snapshot": snapshot}
    # Two test runs without a date would not exist side by side.
    held = run_look("42", **choices, guards={"max_messages": 10}, logical_date=MOMENT)
    assert "failed" == held.states["report"]
    assert 0 == summary(held.sandbox)["requests"]

    approved = run_look("42", **choices, approve=held.run.run_id)

    assert "success" == approved.states["report"]
    assert approved.report["accepted"] == summary(held.sandbox)["users"] > 2_000
    assert not [key for key in held.xcom_keys if key.startswith("chunk_")]
    assert 0 == run_look("42", **choices).report["messages"]


def test_nobody_is_asked_where_no_guard_stops(run_look: RunLook, snapshot: Any) -> None:
    """The task is there, succeeds at once, and Airflow knows of no question."""
    from airflow.models.hitl import HITLDetail
    from airflow.utils.session import create_session

    free = run_look("42", mode="changed", snapshot=snapshot, ask=True)

    assert {"success"} == set(free.states.values())
    assert free.report["accepted"] > 2_000
    with create_session() as session:
        assert 0 == session.query(HITLDetail).count()


def test_what_was_not_approved_is_not_sent(
    sandbox: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identify, wired straight to an extract that asks, sends nothing of a stopped run."""
    choices = {"look_id": "42", "guards": {"max_messages": 10}, "ask": True}
    monkeypatch.setenv("RULED_CHOICES", json.dumps(choices))

    held = Outcome(load_dag("ruled").test(logical_date=MOMENT), sandbox)

    assert ("success", "failed", "failed") == tuple(
        held.states[name] for name in ("extract", "identify[0]", "report")
    )
    assert 0 == summary(held.sandbox)["requests"]


class Outage(BaseSecretsBackend):
    """A secrets backend that nobody can reach."""

    def get_variable(self, key: str, **_: Any) -> str | None:
        """Fail as a network does."""
        raise ConnectionError(f"no route to secret-host:443 for {key}")


def test_a_shell_does_not_take_an_outage_for_an_empty_sync(
    airflow_db: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a reset would delete what it does not see, and the secret be made anew."""
    backends = [*configuration.ensure_secrets_loaded(), Outage()]
    monkeypatch.setattr(configuration, "secrets_backend_list", backends)

    assert 2 == main(["snapshot", "reset", "--yes", "--sync", "kept"])
    said = capsys.readouterr().err
    assert "Outage did neither (ConnectionError)" in said
    assert "nothing is known of it" not in said


def test_full_runs_remember_the_newest_window(run_look: RunLook) -> None:
    """An older window is refused, and sends nothing."""
    run_look("42", logical_date=datetime(2026, 1, 10, tzinfo=UTC))
    requests = run_look("42", logical_date=datetime(2026, 1, 9, tzinfo=UTC))

    assert "failed" == requests.states["extract"]
    assert {"2026-01-10T00:00:00+00:00"} == {
        message["timestamp"] for message in sent(requests.sandbox)
    }


def test_a_sync_is_maintained_from_a_form_and_from_a_shell(
    run_look: RunLook, snapshot: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both answer alike, both delete the chunks of a stopped run, and nobody is sent again."""
    choices = {"mode": "changed", "snapshot": snapshot, "sync_id": "kept"}
    first = run_look("42", **choices)
    messages = first.report["messages"]
    # Messages come in the order of hashes that every sync has its own of; some users have no name.
    named = [message for message in sent(first.sandbox) if "name" in message["traits"]]
    users = [message["userId"] for message in named][:3]

    def shell(*words: str) -> Any:
        return ask_shell(capsys, *words, sync_id="kept")

    def form(**conf: str) -> Any:
        found = ask_form(first.sandbox, sync_id="kept", **conf)
        capsys.readouterr()
        return found

    capsys.readouterr()
    assert form(action="show") == shell("show")
    assert "in" == form(action="why", user=users[0])["state"]
    assert form(action="why", user=users[0]) == shell("why", users[0])
    assert "name" in shell("why", users[0], "--show-values")["names"]
    for forget, user in ((shell, users[0]), (None, users[1])):
        held = run_look(
            "42",
            **choices,
            accept_changes=True,
            mapping={"exclude": ["users.name"]},
            guards={"max_messages": 1},
            logical_date=MOMENT,
        )
        assert [key for key in held.xcom_keys if key.startswith("chunk_")]
        capsys.readouterr()
        if forget:
            forget("forget", user)
        else:
            form(action="forget", user=user)
        assert not [key for key in held.xcom_keys if key.startswith("chunk_")]
        assert "forgotten" == shell("why", user)["state"]
    assert 1 == main(["snapshot", "reset", "--sync", "kept"])
    assert "sends everything" in shell("reset", "--yes")["says"]
    again = run_look("42", **choices)

    assert 2 == again.report["forgotten"]
    assert again.report["messages"] == messages - 2
    assert 1 == main(["snapshot", "why", users[0] + "x", "--sync", "kept"])
    assert 2 == main(["snapshot", "show", "--sync", "nobody's"])


def ask_shell(capsys: pytest.CaptureFixture[str], *words: str, sync_id: str) -> Any:
    """Ask a command about a sync."""
    capsys.readouterr()
    assert 0 == main(["snapshot", *words, "--sync", sync_id])
    # Airflow's own log goes to the same stream here, where runs have set it up.
    out = capsys.readouterr().out
    return json.loads(out[out.index("{\n") :])


def ask_form(sandbox: Any, **conf: str) -> Any:
    """Ask the example DAG about a sync."""
    return Outcome(load_dag("snapshot_maintenance").test(run_conf=conf), sandbox).xcom("maintain")


@pytest.mark.parametrize("asks", ["shell", "form"])
def test_chunks_that_no_report_deletes_go_when_somebody_is_forgotten(
    airflow_db: None, sandbox: Any, capsys: pytest.CaptureFixture[str], asks: str
) -> None:
    """Once Airflow has ended the run; before, it is named, and its chunks stay."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    def forget() -> Any:
        if asks == "shell":
            return ask_shell(capsys, "forget", "nobody", sync_id="unreported")
        return ask_form(sandbox, sync_id="unreported", action="forget", user="nobody")

    flow = Outcome(load_dag("unreported").test(logical_date=MOMENT), sandbox)
    run = {"dag_id": "unreported", "run_id": flow.run.run_id}
    for state in ("running", "failed"):
        with create_session() as session:
            session.query(DagRun).filter_by(**run).update({"state": state})
        chunks = {key for key in flow.xcom_keys if key.startswith("chunk_")}
        assert chunks
        said = forget()
        if state == "running":
            assert ([run], []) == (said["open_runs"], said["deleted_chunks"])
    assert ([], [run]) == (said["open_runs"], said["deleted_chunks"])
    assert "`deleted_chunks`" in said["says"]
    assert chunks.isdisjoint(flow.xcom_keys)
    assert "manifest" in flow.xcom_keys
    assert [] == forget()["deleted_chunks"]
