"""The books balance against the stand-in's own record, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.core.report import Report
from airflow_provider_looker_segment.exceptions import PermanentError
from tests.hazards.conftest import BATCH, RESULT, Clock
from tests.hazards.flow import Flow, row

Start = Callable[..., Flow]
Answer = Callable[..., None]

KINDS = {
    "good": {},
    "other": {"name": '"Tyrone"'},
    "no id": {"id": "null"},
    "blocked id": {"id": '"undefined"'},
    "nested": {"note": '{"a":1}'},
    "endless": {"note": "1e400"},
}
"""Rows of each fate; "good" and "other" of one number contradict each other."""

FAULTS: list[dict[str, Any]] = [
    *({"kind": "status", "status": status} for status in (408, 429, 460, 500, 503, 529)),
    {"kind": "status", "status": 429, "headers": {"Retry-After": "3"}},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "3600"}},
    {"kind": "status", "status": 401},
    {"kind": "status", "status": 302, "headers": {"Location": "/v1/batch"}},
    {"kind": "status", "status": 204},
    {"kind": "body", "body": {"success": False}},
    {"kind": "body", "body": "<html>"},
    {"kind": "lost_answer"},
    {"kind": "reset"},
    {"kind": "cut", "bytes": 4},
    {"kind": "cut", "bytes": 4, "framing": "chunked"},
    {"kind": "latency", "seconds": 0},
]

rows = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 14)), min_size=1, max_size=25
)
faults = st.lists(st.tuples(st.sampled_from(FAULTS), st.integers(0, 3)), max_size=7)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    rows=rows,
    faults=faults,
    poisoned=st.sets(st.integers(0, 14), max_size=2),
    largest=st.none() | st.integers(1, 5),
    per_second=st.sampled_from([4, 10, 1e6]),
    tries=st.integers(1, 3),
    has_state_store=st.booleans(),
    broken_reads=st.integers(0, 1),
)
def test_the_books_balance(
    start: Start,
    answer: Answer,
    sandbox: Any,
    clock: Clock,
    *,
    rows: list[tuple[str, int]],
    faults: list[tuple[dict[str, Any], int]],
    poisoned: set[int],
    largest: int | None,
    per_second: float,
    tries: int,
    has_state_store: bool,
    broken_reads: int,
) -> None:
    """Every row and message has one fate, and no fate contradicts what Segment has."""
    sandbox.segment_faults.clear()
    answer(*(row(**{"id": f'"u-{number}"', **KINDS[kind]}) for kind, number in rows))
    _trouble(sandbox, faults, poisoned, largest, broken_reads)
    flow = start(
        guards={"max_rejected": 1},
        max_messages_per_second=per_second,
        settings={"has_state_store": has_state_store},
    ).extract()
    for _ in range(broken_reads):
        assert 0 == flow.record["requests"]
        flow.extract()
    for _ in range(tries):
        flow.identify()
    flow.report()
    books, record = flow.books, flow.record
    accepted, refused, unknown, not_sent = (
        books[name] for name in ("accepted", "refused", "unknown", "not_sent")
    )

    assert len(rows) == books["rows"]
    assert books["rows"] == books["messages"] + books["duplicates"] + books["rejected"]
    assert books["messages"] == accepted + refused + unknown + not_sent
    assert min(accepted, refused, unknown, not_sent) >= 0
    assert accepted <= record["accepted"] <= accepted + unknown
    assert record["accepted"] == record["users"]
    assert (unknown + not_sent > 0) == ("report" in flow.errors)
    assert books["rejected"] + refused == sum(flow.problems.values())
    if "report" not in flow.errors:
        wanted = {f"u-{number}" for kind, number in rows if kind in ("good", "other")}
        wanted -= {f"u-{number}" for number in poisoned}
        assert wanted == {message["userId"] for message in flow.sent}


def _trouble(
    sandbox: Any,
    faults: list[tuple[dict[str, Any], int]],
    poisoned: set[int],
    largest: int | None,
    broken_reads: int,
) -> None:
    # What is wrong with a message or a batch is wrong each time, so it comes before the rest.
    for number in poisoned:
        sandbox.segment_faults.add("poison", pattern=f'"u-{number}"', path=BATCH, times=-1)
    if largest is not None:
        sandbox.segment_faults.add("too_large", max_messages=largest, path=BATCH, times=-1)
    for rule, after in faults:
        sandbox.segment_faults.add(path=BATCH, after=after, **rule)
    if broken_reads:
        # Before the answer that is always given.
        always = sandbox.looker_faults._rules.copy()
        sandbox.looker_faults.clear()
        sandbox.looker_faults.add("reset", bytes=100, path=RESULT, times=broken_reads)
        sandbox.looker_faults.arm(*always)


@given(
    accepted=st.integers(0, 50),
    refused=st.integers(0, 50),
    unknown=st.integers(0, 3),
    not_sent=st.integers(-1, 3),
    lost_rows=st.integers(-1, 1),
    max_rejected=st.floats(0, 1),
)
def test_only_complete_books_are_green(
    *, accepted: int, refused: int, unknown: int, not_sent: int, lost_rows: int, max_rejected: float
) -> None:
    """The report raises whenever a row or a message is unaccounted for, and never otherwise."""
    messages = accepted + refused + unknown + not_sent
    manifest = {
        "look": {"id": "1", "title": ""},
        "rows": messages + lost_rows,
        "messages": messages,
        "duplicates": 0,
        "rejected": 0,
        "unchanged": 0,
        "superseded": 0,
        "forgotten": 0,
        "resent": 0,
        "left": 0,
        "dry_run": False,
    }
    receipt = Receipt(accepted=accepted, refused=refused, unknown=unknown)
    report = Report.of(manifest, [receipt])
    too_many = messages > 0 and refused / messages > max_rejected

    if unknown or not_sent or lost_rows or too_many:
        with pytest.raises(PermanentError):
            report.check(max_rejected=max_rejected)
    else:
        report.check(max_rejected=max_rejected)
