"""Rows become messages: every law of the mapping as a case file, and the laws for any rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.limits import MAX_MESSAGE_BYTES, MAX_TRAITS
from airflow_provider_looker_segment.core.look import read_look
from airflow_provider_looker_segment.core.mapping import Mapping, Plan, plan
from airflow_provider_looker_segment.core.pivots import pivot_name
from airflow_provider_looker_segment.core.prepare import (
    Preparation,
    complete,
    envelope,
)
from airflow_provider_looker_segment.core.rows import Row, RowStream
from airflow_provider_looker_segment.core.tally import Tally
from airflow_provider_looker_segment.exceptions import LookerSegmentError, PermanentError

CASES = sorted((Path(__file__).parent.parent / "cases" / "mapping").glob("*.json"))
SHARED = envelope(timestamp="2019-06-01T00:00:00+00:00", version="1.0.0")
MARKER = "zq7-marker-of-somebody"


def planned(case: dict[str, Any]) -> Plan:
    """Plan the Look of a case with its mapping."""
    look = {"id": "1", "title": "Cohort", "query": case["look"]["query"]}
    explore = {"fields": case["look"]["fields"]}
    return plan(read_look(look, explore), Mapping.of(case.get("mapping")))


def prepared(
    the_plan: Plan, rows: Any, requirements: Requirements | None = None
) -> tuple[list[str], Tally]:
    """Turn rows, or the text of a result's rows, into the bodies of messages."""
    if isinstance(rows, str):
        document = b'{"data": ' + rows.encode() + b"}"
        rows = RowStream([document], look="Look 1")
    with SeenUsers() as seen:
        preparation = Preparation(the_plan, shared=SHARED, seen=seen, requirements=requirements)
        bodies = [line.body for line in preparation.lines(rows)]
    return bodies, preparation.tally


def simple_plan(*names: str, **mapping: Any) -> Plan:
    """Plan a Look whose columns are shown by these names."""
    fields = [f"users.{name}" for name in names]
    return planned(
        {
            "look": {
                "query": {"fields": fields, "vis_config": {"show_view_names": False}},
                "fields": {
                    "dimensions": [{"name": f"users.{name}", "label_short": name} for name in names]
                },
            },
            "mapping": mapping,
        }
    )


def row(**values: Any) -> Row:
    """One row of a Look of :func:`simple_plan`."""
    return {f"users.{name}": {"value": value} for name, value in values.items()}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_mapping_case(path: Path) -> None:
    """A case leads to exactly its messages and problems, or to its error."""
    case = json.loads(path.read_text("utf-8"))
    if "error" in case:
        with pytest.raises(PermanentError) as caught:
            prepared(planned(case), case.get("rows", []))
        assert case["error"] in str(caught.value)
        return
    bodies, tally = prepared(planned(case), case["rows"])
    # As text, so that the order of keys and the kinds of numbers count too.
    expected = [json.dumps(message) for message in case.get("expect", [])]
    assert expected == [json.dumps(json.loads(body)) for body in bodies]
    found = tally.problems.as_list()
    counts = {
        (problem["code"], problem["column"]): (
            problem.get("count", len(problem["rows"])),
            problem["rows"],
        )
        for problem in case.get("problems", [])
    }
    assert counts == {(p["code"], p["column"]): (p["count"], p["rows"]) for p in found}


def test_every_case_says_why() -> None:
    """A case has a reason and one kind of expectation, and no key that nobody reads."""
    known = {"why", "look", "mapping", "rows", "expect", "problems", "error"}
    for path in CASES:
        case = json.loads(path.read_text("utf-8"))
        assert case["why"]
        assert set(case) <= known, path.name
        assert ("error" in case) != ("expect" in case or "problems" in case), path.name


def test_page_example_is_complete() -> None:
    """The finished message holds the page's example, and what all messages of a run share."""
    (body,), _ = prepared(simple_plan("userId", "name"), [row(userId="00MW", name="Ty Arthur")])
    message = complete(SHARED, json.loads(body), "0" * 32)
    assert message == {
        "type": "identify",
        "timestamp": "2019-06-01T00:00:00+00:00",
        "context": {
            "app": {"name": "airflow-provider-looker-segment", "version": "1.0.0"},
            "active": False,
        },
        "userId": "00MW",
        "traits": {"name": "Ty Arthur"},
        "messageId": "0" * 32,
    }


def test_group_joins_the_context() -> None:
    """A message's own context adds to the shared one and changes it for nobody else."""
    message = complete(SHARED, {"context": {"groupId": "acme"}, "traits": {}}, "0" * 32)
    assert message["context"] == {**SHARED["context"], "groupId": "acme"}
    assert "groupId" not in SHARED["context"]


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.text(min_size=3000, max_size=6000),
    st.sampled_from(["null", "", "7", 7, "a@example.com", "\x00", "\ud800", [1], [], {"a": 1}]),
)


@settings(deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(("userId", "email", "name", "age", "x", "groupId"), cells)
        ),
        max_size=20,
    ),
    nulls=st.sampled_from(["omit", "send", "reject"]),
    arrays=st.sampled_from(["reject", "join"]),
)
def test_books_balance(rows: list[dict[str, Any]], nulls: str, arrays: str) -> None:
    """Whatever the rows hold, each is a message, a duplicate or a problem, and fits the wire."""
    the_plan = simple_plan("userId", "email", "name", "age", "x", "groupId", nulls=nulls)
    bodies, tally = prepared(the_plan, [row(**values) for values in rows])
    assert tally.rows == len(rows)
    assert tally.messages == len(bodies)
    assert tally.rows == tally.messages + tally.duplicates + tally.rejected
    users = set()
    for body in bodies:
        message = complete(SHARED, json.loads(body), "0" * 32)
        assert len(json.dumps(message)) <= MAX_MESSAGE_BYTES
        json.dumps(message, allow_nan=False)
        kinds = {type(value) for value in message["traits"].values()}
        assert kinds <= {str, int, float, bool, type(None)}
        users.add((message.get("userId"), message.get("anonymousId")))
    assert len(users) == len(bodies)


def test_largest_message_fits_exactly() -> None:
    """The largest text that is accepted makes a message of exactly 32 KB on the wire."""
    the_plan = simple_plan("userId", "x")
    (small,), _ = prepared(the_plan, [row(userId="1", x="")])
    room = MAX_MESSAGE_BYTES - len(json.dumps(complete(SHARED, json.loads(small), "0" * 32)))
    (largest,), tally = prepared(
        the_plan, [row(userId="1", x="x" * room), row(userId="2", x="x" * (room + 1))]
    )
    message = complete(SHARED, json.loads(largest), "0" * 32)
    assert len(json.dumps(message)) == MAX_MESSAGE_BYTES
    assert [p["code"] for p in tally.problems.as_list()] == ["message_too_large"]


def test_escaped_size_counts() -> None:
    """Text beyond ASCII takes six bytes a character on the wire, and those count."""
    bodies, tally = prepared(simple_plan("userId", "x"), [row(userId="1", x="\u00e9" * 6000)])
    assert bodies == []
    assert tally.problems.as_list()[0]["code"] == "message_too_large"


def test_most_traits() -> None:
    """300 traits are the most: one more fails before the query, or refuses a pivoted row."""
    names = [f"t{number}" for number in range(MAX_TRAITS)]
    rows = [row(userId="1", **dict.fromkeys(names, 1))]
    (body,), _ = prepared(simple_plan("userId", *names), rows)
    assert len(json.loads(body)["traits"]) == MAX_TRAITS
    with pytest.raises(PermanentError, match="they are 301"):
        simple_plan("userId", *names, "one more")
    case = json.loads((CASES[0].parent / "pivots_flatten.json").read_text("utf-8"))
    case["rows"][0]["orders.count"] = {name: {"value": len(name)} for name in [*names, "one more"]}
    bodies, tally = prepared(planned(case), case["rows"])
    assert bodies == []
    assert tally.problems.as_list()[0]["code"] == "too_many_traits"


@pytest.mark.parametrize(
    "values",
    [
        {"userId": [MARKER]},
        {"userId": {"a": MARKER}},
        {"userId": MARKER + "\x00"},
        {"userId": None, "email": MARKER},
        {"userId": "1", "email": [MARKER]},
        {"userId": "1", "name": [MARKER]},
        {"userId": "1", "name": {"a": MARKER}},
        {"userId": "1", "name": MARKER + "\ud800"},
        {"userId": "1", "name": MARKER * 2000},
        {"userId": "1", "age": MARKER},
        {"userId": "1", "x": MARKER},
    ],
    ids=str,
)
def test_problems_hold_no_value(values: dict[str, Any]) -> None:
    """A problem names code, column and row, and never what the cell held."""
    schema = {"properties": {"x": {"maxLength": 3}, "name": {"type": "string"}}}
    the_plan = simple_plan("userId", "email", "name", "age", "x", traits_schema=schema)
    full = {"userId": "1", "email": None, "name": None, "age": None, "x": None}
    _, tally = prepared(the_plan, [row(**{**full, **values})])
    assert tally.rejected == 1
    assert MARKER not in json.dumps(tally.problems.as_list())


def test_errors_hold_no_value() -> None:
    """A result that lost a column fails with names of columns only."""
    the_plan = simple_plan("userId", "x")
    for bad in ({"users.userId": {"value": MARKER}}, {**row(userId=MARKER), "users.x": MARKER}):
        with pytest.raises(LookerSegmentError) as caught:
            prepared(the_plan, [bad])
        assert MARKER not in str(caught.value)


def test_destinations_mute_and_count() -> None:
    """A row that a destination cannot take is kept from it alone, and every row is counted."""
    the_plan = simple_plan("userId", "email")
    requirements = Requirements(["braze", "mailchimp"], rules="table")
    rows = [row(userId="u1", email="a@example.com"), row(userId="u2", email=None)]
    bodies, tally = prepared(the_plan, rows, requirements)
    first, second = (json.loads(body) for body in bodies)
    assert "integrations" not in first
    assert second["integrations"]["MailChimp"] is False
    assert "Braze" not in second["integrations"]
    verdicts = tally.verdicts.as_dict()
    assert (verdicts["mailchimp"]["met"], verdicts["mailchimp"]["unmet"]) == (1, 1)
    assert (verdicts["braze"]["met"], verdicts["braze"]["unmet"]) == (2, 0)
    assert verdicts["mailchimp"]["reasons"] == {"needs_email": 1}


def test_destinations_reject() -> None:
    """With unmet=reject a row that a destination cannot take is a problem that names it."""
    requirements = Requirements(["mailchimp"], unmet="reject", rules="table")
    bodies, tally = prepared(
        simple_plan("userId", "email"), [row(userId="u2", email=None)], requirements
    )
    assert bodies == []
    assert tally.problems.as_list() == [
        {"code": "unmet_destination", "column": "mailchimp", "count": 1, "rows": [1]}
    ]
    assert tally.verdicts.as_dict()["mailchimp"]["unmet"] == 1


def test_duplicates_are_not_counted_twice() -> None:
    """A repeat adds nothing to the verdicts of destinations."""
    requirements = Requirements(["braze"], rules="table")
    same = row(userId="u1", email=None)
    _, tally = prepared(simple_plan("userId", "email"), [same, same], requirements)
    assert tally.duplicates == 1
    assert tally.verdicts.as_dict()["braze"]["met"] == 1


def test_rows_are_not_kept() -> None:
    """Lines leave while rows arrive: nothing waits for the last row."""

    def endless() -> Any:
        yield row(userId="1", x=1)
        raise AssertionError

    with SeenUsers() as seen:
        preparation = Preparation(simple_plan("userId", "x"), shared=SHARED, seen=seen)
        line = next(preparation.lines(endless()))
    assert (line.row_number, json.loads(line.body)["userId"]) == (1, "1")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("complete", "complete"),
        ("$$$_row_total_$$$", "row total"),
        ("orders.status___null", "null"),
        ("a|FIELD|b", "a b"),
        ("orders.status___null|FIELD|b", "null b"),
    ],
)
def test_pivot_names(key: str, name: str) -> None:
    """Pivots, nulls among them and totals have names for people."""
    assert name == pivot_name(key)
