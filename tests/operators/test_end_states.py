"""What happens to a run: how each task can end, and what is true of the run afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment import retry
from airflow_provider_looker_segment.core import chunking
from airflow_provider_looker_segment.hooks import delivery
from tests.operators.conftest import Outcome, load_dag, sent, summary

RunLook = Callable[..., Outcome]

pytestmark = pytest.mark.airflow

NOBODY = {"sessions.started_date": "2000-01-01 to 2000-01-02"}


@pytest.fixture
def two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shard take so few messages that the Look fills two."""
    monkeypatch.setitem(chunking.shard.__kwdefaults__, "max_messages", 1_200)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave every wait to Airflow's retries."""
    monkeypatch.setattr(delivery, "PATIENCE_S", 0.0)


def books(report: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return what the report says of messages: accepted, refused, unknown, not sent."""
    accepted, refused = report["accepted"], report["refused"]
    return accepted, refused, report["unknown"], report["not_sent"]


def chunks_of(outcome: Outcome) -> list[str]:
    """Return the keys of chunks that are still there."""
    return [key for key in outcome.xcom_keys if key.startswith("chunk_")]


@pytest.mark.usefixtures("two_shards")
def test_success_adds_the_receipts_of_all_shards(run_look: RunLook) -> None:
    """Every shard delivers its part, and the report is their sum."""
    outcome = run_look("42")
    report = outcome.report
    receipts = [outcome.xcom("identify", "receipt", index)["receipt"] for index in range(2)]

    assert {"success"} == set(outcome.states.values())
    assert 4 == len(outcome.states)
    assert report["accepted"] == sum(receipt["accepted"] for receipt in receipts)
    assert (summary(outcome.sandbox)["users"], 0, 0, 0) == books(report)
    assert [] == chunks_of(outcome)


def test_no_rows_may_be_forbidden(run_look: RunLook) -> None:
    """An empty cohort is green on its own, and red where the DAG promised rows."""
    outcome = run_look("42", filters=NOBODY, guards={"min_rows": 1})

    assert {"extract": "failed", "identify": "upstream_failed", "report": "failed"} == (
        outcome.states
    )


def test_an_extract_that_fails_midway_leaves_nothing(
    run_look: RunLook, sandbox: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Chunks that were pushed before the failure are gone, and Segment saw no request."""
    sandbox.looker_faults.add("cut", path="/run/json_detail", bytes=400_000, times=-1)

    outcome = run_look("42")

    assert {"extract": "failed", "identify": "upstream_failed", "report": "failed"} == (
        outcome.states
    )
    assert "its state is 'failed'; nothing was sent" in capfd.readouterr().out
    assert [] == chunks_of(outcome)
    assert 0 == summary(sandbox)["requests"]


def test_a_retried_extract_starts_anew(run_look: RunLook, sandbox: Any) -> None:
    """What a first try left behind does not add to the second's rows or chunks."""
    sandbox.looker_faults.add("cut", path="/run/json_detail", bytes=400_000)

    outcome = run_look("42", retries=1, retry_delay=0.0)

    assert {"success"} == set(outcome.states.values())
    assert (summary(sandbox)["users"], 0, 0, 0) == books(outcome.report)
    assert 0 == summary(sandbox)["duplicates"]


@pytest.mark.usefixtures("two_shards")
def test_a_shard_that_fails_for_good_does_not_stop_the_others(
    run_look: RunLook, sandbox: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """The others deliver, the run is red, and the report says what was sent and what not."""
    sandbox.segment_faults.add("status", status=401)

    outcome = run_look("42", retries=2)
    report, record = outcome.report, summary(sandbox)

    # Airflow promises no order among mapped tasks: either may be the one that is refused.
    states = [outcome.states[f"identify[{index}]"] for index in range(2)]
    assert ["failed", "success"] == sorted(states)
    assert "failed" == outcome.states["report"]
    lost = outcome.xcom("identify", "receipt", states.index("failed"))["receipt"]["messages"]
    assert (record["accepted"], 0, 0, lost) == books(report)
    assert report["messages"] == record["accepted"] + lost
    said = f"{record['accepted']:,} were accepted, 0 are of unknown fate and {lost:,} were not sent"
    assert said in capfd.readouterr().out
    assert [] == chunks_of(outcome)


@pytest.mark.usefixtures("no_patience")
def test_a_retried_identify_goes_on_after_the_last_accepted_batch(
    run_look: RunLook, sandbox: Any
) -> None:
    """With a store nothing is sent twice; without one, what is sent twice has the same ids."""
    sandbox.segment_faults.add("status", status=503, after=2)

    outcome = run_look("42", retries=1, retry_delay=0.0, max_messages_per_second=2_000)
    record = summary(sandbox)
    ids = Counter(message["messageId"] for message in sent(sandbox))

    assert {"success"} == set(outcome.states.values())
    assert (record["users"], 0, 0, 0) == books(outcome.report)
    assert (0 if has_store() else 2_000) == record["duplicates"]
    assert {1} == set(ids.values())
    assert len(ids) == record["users"]


@pytest.mark.usefixtures("no_patience")
def test_a_batch_whose_answer_was_lost_is_repeated_under_the_same_ids(
    run_look: RunLook, sandbox: Any
) -> None:
    """Segment drops the repeat, and the books count each message once."""
    sandbox.segment_faults.add("lost_answer", after=1)

    outcome = run_look("42", retries=1, retry_delay=0.0, max_messages_per_second=2_000)
    record = summary(sandbox)

    assert (record["users"], 0, 0, 0) == books(outcome.report)
    assert record["users"] == record["accepted"]
    assert (1_000 if has_store() else 2_000) == record["duplicates"]


@pytest.mark.usefixtures("no_patience")
def test_a_lost_answer_without_a_retry_is_of_unknown_fate(run_look: RunLook, sandbox: Any) -> None:
    """What may have arrived is neither accepted nor unsent, and the run is red."""
    sandbox.segment_faults.add("lost_answer", after=1)

    outcome = run_look("42", max_messages_per_second=2_000)
    report, record = outcome.report, summary(sandbox)

    assert "failed" == outcome.states["report"]
    assert (1_000, 0, 1_000, report["messages"] - 2_000) == books(report)
    assert 2_000 == record["accepted"]


@pytest.mark.usefixtures("no_patience")
def test_an_earlier_trys_messages_are_never_called_unsent(run_look: RunLook, sandbox: Any) -> None:
    """The last try sent less than the one before; what that one sent is in the books."""
    sandbox.segment_faults.add("lost_answer", after=1)
    sandbox.segment_faults.add("status", status=401, after=1, times=-1)

    outcome = run_look("42", retries=1, retry_delay=0.0, max_messages_per_second=2_000)
    report, arrived = outcome.report, summary(sandbox)["accepted"]

    assert 2_000 == arrived
    assert report["accepted"] <= arrived <= report["accepted"] + report["unknown"]


def test_a_skipped_extract_skips_the_report(sandbox: Any, airflow_db: None) -> None:
    """A branch that leaves the group out makes no run red."""
    outcome = Outcome(load_dag("gated").test(logical_date=None), sandbox)

    assert {
        "gate": "skipped",
        "extract": "skipped",
        "identify": "skipped",
        "report": "skipped",
    } == outcome.states
    assert "success" == str(outcome.run.state)


def test_a_task_comes_back_when_segment_wants_it(
    run_look: RunLook, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 429 beyond the task's patience is a retry: after Retry-After where Airflow can do that."""
    monkeypatch.setattr(delivery, "PATIENCE_S", 2.0)
    sandbox.segment_faults.add("status", status=429, after=1, headers={"Retry-After": "8"})

    outcome = run_look(
        "42",
        retries=1,
        retry_delay=1.0,
        retry_exponential_backoff=False,
        max_messages_per_second=2_000,
    )

    assert {"success"} == set(outcome.states.values())
    assert outcome.report["accepted"] == summary(sandbox)["users"] == len(sent(sandbox))
    assert pause_s(sandbox) >= (8.0 if retry.POLICY else 1.0)


def has_store() -> bool:
    """Say whether this Airflow keeps state of tasks across tries."""
    try:
        from airflow.sdk.execution_time.context import TaskStateStoreAccessor
    except ImportError:
        return False
    return TaskStateStoreAccessor is not None


def pause_s(sandbox: Any) -> float:
    """Return the longest time between two requests of the run."""
    answer = requests.get(f"{sandbox.segment_url}/_sandbox/requests", timeout=10).json()
    moments = [request["seconds"] for request in answer["requests"]]
    return max(later - earlier for earlier, later in pairwise(moments))
