"""Whole runs: a Look arrives in Segment through real Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.operators.conftest import MOMENT, Outcome, asked, sent, summary

RunLook = Callable[..., Outcome]

pytestmark = pytest.mark.airflow


def test_the_documented_example_arrives_exactly(run_look: RunLook) -> None:
    """Ty Arthur's message is the page's own, beside what the protocol adds."""
    outcome = run_look("42")
    (message,) = sent(outcome.sandbox, userId="00MWWFOLRcETcTCf")

    assert {
        "type": "identify",
        "userId": "00MWWFOLRcETcTCf",
        "traits": {"name": "Ty Arthur", "email": "ty.arthur@segment.com", "sessions count": 2},
    } == {key: message[key] for key in ("type", "userId", "traits")}
    assert ["name", "email", "sessions count"] == list(message["traits"])
    assert MOMENT.isoformat() == message["timestamp"]
    assert 32 == len(message["messageId"])
    assert message["context"]["active"] is False


def test_every_user_arrives_once(run_look: RunLook) -> None:
    """The saved limit of 500 loses nobody, and the books agree with the stand-in's record."""
    outcome = run_look("42")
    report, record = outcome.report, summary(outcome.sandbox)

    assert {"extract": "success", "identify[0]": "success", "report": "success"} == outcome.states
    assert report["rows"] > 2_000
    assert report["messages"] == report["accepted"] == record["accepted"] == record["users"]
    assert 0 == record["duplicates"]
    assert 0 == report["unknown"] + report["not_sent"] + report["refused"]


def test_chunks_are_gone_after_the_report(run_look: RunLook) -> None:
    """Nothing that holds personal data outlives the run."""
    keys = run_look("42").xcom_keys

    assert not [key for key in keys if key.startswith("chunk_")]
    assert {"manifest", "receipt", "report"} <= keys


def test_no_rows_are_a_green_run_that_says_so(run_look: RunLook) -> None:
    """A Look that finds nobody is no failure, and nothing is sent."""
    outcome = run_look("42", filters={"sessions.started_date": "2000-01-01 to 2000-01-02"})

    assert "success" == outcome.states["extract"] == outcome.states["report"]
    assert "skipped" == outcome.states["identify"]
    assert (0, 0) == (outcome.report["rows"], outcome.report["accepted"])
    assert 0 == summary(outcome.sandbox)["requests"]


def test_a_dry_run_sends_nothing_and_reports_everything(run_look: RunLook) -> None:
    """The same checks, the same counts, masked samples, and not one request."""
    outcome = run_look("42", dry_run="true")
    report = outcome.report

    assert 0 == summary(outcome.sandbox)["requests"]
    assert (True, 0) == (report["dry_run"], report["accepted"])
    assert report["messages"] > 2_000
    assert {"name": "text of 9", "email": "text of 21", "sessions count": "number"} == (
        report["samples"][0]["traits"]
    )
    assert not report["shows_values"]


@pytest.mark.parametrize("choices", [{"dry_run": True}, {"send": False}])
def test_a_dry_run_shows_values_when_asked(
    run_look: RunLook, sandbox: Any, monkeypatch: pytest.MonkeyPatch, choices: dict[str, Any]
) -> None:
    """Only what never leaves may be looked at."""
    if "send" in choices:
        said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
        said = json.dumps({**said, "extra": choices})
        monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", said)
    outcome = run_look("42", dry_run="dry_run" in choices, show_values="true")

    assert 0 == summary(outcome.sandbox)["requests"]
    assert outcome.report["shows_values"]
    assert "@" in outcome.report["samples"][0]["traits"]["email"]


def test_a_run_that_sends_shows_no_values(run_look: RunLook) -> None:
    """Whoever asks is told before the query runs."""
    outcome = run_look("42", show_values=True)

    assert "failed" == outcome.states["extract"]
    assert outcome.report is None
    assert [] == asked(outcome.sandbox, "POST", "/queries")
    assert 0 == summary(outcome.sandbox)["requests"]


@pytest.mark.parametrize(
    ("look_id", "choices", "complaint"),
    [
        ("44", {}, "row limit"),
        ("48", {}, "userId or an email"),
        ("49", {}, "trash"),
        ("4711", {}, "404"),
        ("42", {"mapping": {"user_id": "users.nothing"}}, "users.nothing"),
        ("42", {"mapping": {"colour": "red"}}, "colour"),
        ("42", {"destinations": ["zendeks"]}, "zendesk"),
        ("43", {"destinations": ["totango"]}, "Totango"),
        ("42", {"guards": {"min_rows": 10_000}}, "min_rows"),
        ("42", {"guards": {"max_messages": 10}}, "max_messages"),
    ],
)
def test_what_cannot_work_sends_nothing(
    run_look: RunLook, capfd: pytest.CaptureFixture[str], look_id: str, choices: Any, complaint: str
) -> None:
    """The run is red, says why, and Segment has not seen a single request."""
    outcome = run_look(look_id, **choices)

    assert "failed" == outcome.states["extract"]
    assert "failed" == outcome.states["report"]
    assert complaint in capfd.readouterr().out
    assert 0 == summary(outcome.sandbox)["requests"]
    # What a guard stopped can be approved; what stopped before the query has no chunks at all.
    kept = "chunk_00000" in outcome.xcom_keys
    assert kept == ("guards" in choices)


def test_a_limit_that_is_meant_is_kept(run_look: RunLook) -> None:
    """A Top 100 stays a Top 100 when somebody says so."""
    assert 100 == run_look("44", row_limit="look").report["accepted"]


def test_rows_with_an_email_only_get_the_same_anonymous_id_each_time(run_look: RunLook) -> None:
    """Two runs name the same people, so that nobody is billed twice."""
    first = run_look("43", filters={}, dry_run=False)
    users = summary(first.sandbox)["users"]
    second = run_look("43", sync_id="another")

    assert users == summary(second.sandbox)["users"]
    assert all("userId" not in message for message in sent(second.sandbox))


def test_a_staging_connection_sends_nothing(
    run_look: RunLook, monkeypatch: pytest.MonkeyPatch, sandbox: Any
) -> None:
    """A connection with ``send`` off makes every run a dry run."""
    import json

    said = json.loads(sandbox.connections()["AIRFLOW_CONN_SEGMENT_DEFAULT"])
    monkeypatch.setenv(
        "AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps({**said, "extra": {"send": False}})
    )

    assert run_look("42").report["dry_run"] is True
    assert 0 == summary(sandbox)["requests"]


@pytest.mark.parametrize(
    ("look_id", "ids", "traits"),
    [
        ("43", {"anonymousId"}, {"email", "Plan", "Country"}),
        ("45", {"userId"}, {"email", "lifetime value (EUR)"}),
        ("46", {"userId"}, {"email", "sessions count laptop"}),
        ("47", {"userId"}, {"name", "email", "Plan", "Lifetime Value", "account_uid"}),
    ],
)
def test_every_kind_of_look_is_understood(
    run_look: RunLook, look_id: str, ids: set[str], traits: set[str]
) -> None:
    """E-mail only, renamed by a calculation, pivoted, with groups: each sends what it shows."""
    outcome = run_look(look_id)
    first = sent(outcome.sandbox)[0]

    assert "success" == outcome.states["report"]
    assert ids == {"userId", "anonymousId"} & set(first)
    assert traits == set(first["traits"])
    assert ("groupId" in first["context"]) is (look_id == "47")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("look_id", "{{ ds }}"),
        ("filters", {"sessions.started_date": "after {{ data_interval_start }}"}),
        ("filters", "sessions.started_date: after {{ macros.ds_add(ds, -7) }}"),
        ("sync_id", "{{ params.sync_id }}"),
    ],
)
def test_a_template_that_needs_an_interval_says_what_to_write_instead(
    run_look: RunLook, caplog: pytest.LogCaptureFixture, argument: str, value: Any
) -> None:
    """A run without a date fails for good, before anything is asked."""
    outcome = run_look(**{"retries": 1, argument: value})

    assert "failed" == outcome.states["extract"]
    errors = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    message = " ".join(next(error for error in errors if "Argument `" in error).split())
    assert message.startswith(f"Argument `{argument}`: should come from a template that finds")
    assert "data_interval_end | default(dag_run.run_after)" in message
    assert [] == asked(outcome.sandbox, "GET", "/")


@pytest.mark.parametrize("has_date", [True, False])
def test_a_template_may_serve_runs_with_and_without_an_interval(
    run_look: RunLook, has_date: bool
) -> None:
    """What the message advises works in both."""
    moment = "{{ (data_interval_end | default(dag_run.run_after)) | ds }}"
    outcome = run_look(
        logical_date=MOMENT + timedelta(days=1) if has_date else None,
        filters={"sessions.started_date": f"before {moment}"},
    )

    assert "success" == outcome.states["extract"] == outcome.states["report"]
