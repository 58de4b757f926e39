"""The report of a run tells the truth, and is green only when every message has its answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.core.report import Report
from airflow_provider_looker_segment.exceptions import PermanentError


def manifest(**more: Any) -> dict[str, Any]:
    """What extract found in ten rows."""
    return {
        "look": {"id": "42", "title": "Cohort"},
        "sync_id": "dag/42",
        "window": {"start": None, "end": "2019-06-01T00:00:00+00:00", "source": "run_after"},
        "dry_run": False,
        "mode": "full",
        "rows": 10,
        "messages": 8,
        "duplicates": 1,
        "rejected": 1,
        "unchanged": 0,
        "superseded": 0,
        "forgotten": 0,
        "resent": 0,
        "left": 0,
        "new_users": None,
        "problems": [{"code": "array_value", "column": "users.x", "count": 1, "rows": [4]}],
        "warnings": ["no email column"],
        "destinations": {"braze": {"met": 7, "doubtful": 0, "unmet": 1, "reasons": {}}},
        "samples": [],
        "shows_values": False,
    } | more


def receipt(accepted: int, refused: int = 0, unknown: int = 0) -> Receipt:
    """The receipt of one shard."""
    found = Receipt(
        messages=accepted + refused + unknown, accepted=accepted, refused=refused, unknown=unknown
    )
    for row in range(1, refused + 1):
        found.problems.add("refused_by_segment", "", row)
    return found


def fails(report: Report, max_rejected: float = 0.01) -> str:
    """The message of a report that is not green."""
    with pytest.raises(PermanentError) as caught:
        report.check(max_rejected=max_rejected)
    return str(caught.value)


def test_good_run() -> None:
    """Every message accepted is green, whatever the shards."""
    Report.of(manifest(), [receipt(5), receipt(3)]).check(max_rejected=0)
    Report.of(manifest(rows=0, messages=0, duplicates=0, rejected=0), []).check(max_rejected=0)


def test_who_is_forgotten_on_the_way_is_accounted_for() -> None:
    """Their message is none any more, the books balance, and nothing is missing."""
    shard = Receipt(messages=8, accepted=6, forgotten=2)
    report = Report.of(manifest(forgotten=1, rows=11), [shard])
    report.check(max_rejected=0)
    said = report.as_dict()
    assert (6, 6, 3, 0) == tuple(
        said[name] for name in ("messages", "accepted", "forgotten", "not_sent")
    )
    too_many = Report.of(manifest(), [Receipt(messages=8, accepted=7, forgotten=2)])
    assert "the books should balance" in fails(too_many)


def test_books_do_not_balance() -> None:
    """Rows without an outcome, or more answers than messages, are never green."""
    assert "the books should balance" in fails(Report.of(manifest(rows=11), [receipt(8)]))
    assert "8 messages have 9" in fails(Report.of(manifest(), [receipt(9)]))


@pytest.mark.parametrize(
    ("receipts", "said"),
    [
        ([], "0 were accepted, 0 are of unknown fate and 8 were not sent"),
        ([receipt(5)], "5 were accepted, 0 are of unknown fate and 3 were not sent"),
        ([receipt(5, unknown=3)], "5 were accepted, 3 are of unknown fate and 0 were not sent"),
    ],
)
def test_incomplete_run(receipts: list[Receipt], said: str) -> None:
    """A message that was not sent, or whose fate is unknown, is never green."""
    assert said in fails(Report.of(manifest(), receipts))


def test_refused_messages() -> None:
    """Messages refused one by one are green up to the guard and not beyond it."""
    Report.of(manifest(), [receipt(6, refused=2)]).check(max_rejected=0.25)
    assert "they are 2; the others were accepted" in fails(
        Report.of(manifest(), [receipt(6, refused=2)]), 0.24
    )


def test_dry_run_sends_nothing() -> None:
    """A dry run has rows and messages, and owes Segment none of them."""
    report = Report.of(manifest(dry_run=True), [])
    report.check(max_rejected=0)
    assert (report.as_dict()["messages"], report.as_dict()["not_sent"]) == (8, 0)
    assert "dry run: nothing was sent" in str(report)
    assert "accepted" not in str(report)


def test_as_dict() -> None:
    """The report is plain JSON with both sides' problems."""
    kept = {"path": "file:///r", "rows": 1, "command": "python -m x"}
    plain = Report.of(manifest(), [receipt(6, refused=2)], rejects=[{}, kept]).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == {
        **manifest(),
        "saved_calls": 0,
        "accepted": 6,
        "refused": 2,
        "unknown": 0,
        "not_sent": 0,
        "rejects": [kept],
        "problems": [
            {"code": "refused_by_segment", "column": "", "count": 2, "rows": [1, 2]},
            {"code": "array_value", "column": "users.x", "count": 1, "rows": [4]},
        ],
        "requests": 0,
        "sent_bytes": 0,
        "seconds": 0.0,
    }


def test_in_words() -> None:
    """People read the same numbers, each problem with its meaning and its first rows."""
    problems = [{"code": "array_value", "column": "users.x", "count": 11, "rows": [1, 2]}]
    text = str(Report.of(manifest(problems=problems), [receipt(7, refused=1)]))
    assert text.splitlines() == [
        "Look 42 (Cohort) as of 2019-06-01 00:00 UTC",
        "  rows                  10",
        "  duplicates             1",
        "  rejected               1",
        "  messages               8",
        "  accepted               7",
        "  refused                1",
        "  unknown                0",
        "  not sent               0",
        "  braze: 7 met, 0 doubtful, 1 unmet",
        (
            "  11 rows array_value in `users.x`: the cell is a list; "
            "Segment takes strings and numbers (rows"
        ),
        "    1, 2, …)",
        "  1 row refused_by_segment: Segment refused the message by itself (row 1)",
        "  warning: no email column",
    ]
    untitled = manifest(look={"id": "42", "title": ""})
    assert str(Report.of(untitled, [])).startswith("Look 42 as of")


SAMPLE = {
    "userId": "text of 3",
    "traits": {"sessions count": "number", "name": "text of 9"},
    "integrations": {"Braze Web": False},
}


def test_a_dry_run_shows_samples() -> None:
    """Somebody who tries something sees what would be sent, and that no value is shown."""
    text = str(Report.of(manifest(dry_run=True, samples=[SAMPLE]), []))
    assert text.splitlines()[-3:] == [
        "  the first messages, their values masked:",
        "  1. userId = text of 3, traits.sessions count = number, traits.name = text of 9,",
        "    integrations.Braze Web = false",
    ]
    assert "userId" not in str(Report.of(manifest(samples=[SAMPLE]), [receipt(8)]))


def test_a_dry_run_says_that_it_shows_values() -> None:
    """Values that were asked for are told from words that stand for values."""
    sample = {"userId": "u-1", "traits": {"n": 1, "é": "ü"}}
    text = str(Report.of(manifest(dry_run=True, samples=[sample], shows_values=True), []))
    assert text.splitlines()[-2:] == [
        "  the first messages, with their values, as asked:",
        '  1. userId = "u-1", traits.n = 1, traits.é = "ü"',
    ]


def test_no_line_runs_off_the_screen() -> None:
    """Airflow's page does not wrap the lines of a log."""
    many = {f"trait number {number}": "text of 9" for number in range(30)}
    told = manifest(dry_run=True, samples=[{"traits": many}], warnings=["a long word " * 30])
    assert max(map(len, str(Report.of(told, [])).splitlines())) <= 96


def test_what_a_mode_spares() -> None:
    """Rows that are not sent balance with those that are, and the calls that this saves count."""
    counts = {"unchanged": 5, "superseded": 2, "resent": 1, "left": 2, "new_users": 1}
    said = manifest(mode="mirror", rows=14, messages=8, forgotten=0, **counts)
    report = Report.of(said, [receipt(8)])
    report.check(max_rejected=0)

    assert 4 == report.saved_calls == report.as_dict()["saved_calls"]
    shown = [line.split()[0] for line in str(report).splitlines()[1:11]]
    assert ["rows", "duplicates", "rejected", "unchanged", "superseded"] == shown[:5]
    assert ["messages", "resent", "left", "new", "saved"] == shown[5:]
    wrong = Report.of({**said, "unchanged": 4}, [receipt(8)])
    assert "balance" in fails(wrong)
    assert "forgotten" in str(Report.of(manifest(forgotten=1), []))


counts = st.integers(0, 50)


@given(messages=counts, accepted=counts, refused=counts, unknown=counts)
def test_green_means_delivered(messages: int, accepted: int, refused: int, unknown: int) -> None:
    """A green report means that each message was accepted, or refused within the guard."""
    found = manifest(rows=messages, messages=messages, duplicates=0, rejected=0)
    report = Report.of(found, [receipt(accepted, refused, unknown)])
    try:
        report.check(max_rejected=0.1)
    except PermanentError:
        green = False
    else:
        green = True
    delivered = accepted + refused == messages and not unknown
    assert green == (delivered and refused <= messages / 10)


def test_no_figure_is_negative() -> None:
    """Books that balance with a negative figure are no books."""
    found = Receipt(messages=8, accepted=16, refused=-8)
    with pytest.raises(PermanentError, match="the books should balance"):
        Report(manifest(), found).check(max_rejected=1)
