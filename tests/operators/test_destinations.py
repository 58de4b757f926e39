"""Destinations, from the operators to what the Segment stand-in hands on.

The Look of these tests holds every combination of what the rules of the page's table ask for,
one row each, so that each message that lacks one part of a rule is among them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.server import Sandbox
from tests.operators.conftest import Outcome, load_dag, sent

pytestmark = pytest.mark.airflow

CASES = Path(__file__).parents[1] / "cases" / "destinations"
CATALOGUE = load_catalogue()
OUR_OWN = "Our own Function"
CONNECTED = [key for one in CATALOGUE.destinations for key in one.all_keys] + [OUR_OWN]

PARTS = ("user_id", "email", "anonymous_id", "group_id", "name", "account_uid", "cookie")
LOOKS = """
model: people
today: 2026-01-15
tables: {people: {file: people.csv}}
views:
  people:
    dimensions:
      user_id: {tags: [user_id]}
      email: {tags: [email]}
      anonymous_id: {tags: [segment_anonymous_id]}
      group_id: {tags: [segment_group_id]}
      name: name
      account_uid: account_uid
      cookie: cookie
explores: {people: {}}
looks:
  - id: 1
    title: Every combination
    explore: people
    fields: [people.user_id, people.email, people.anonymous_id, people.group_id, people.name,
             people.account_uid, people.cookie]
    vis_config: {show_view_names: false}
  - id: 2
    title: E-mail addresses only
    explore: people
    fields: [people.email]
    filters: {people.email: -EMPTY}
    vis_config: {show_view_names: false}
"""
MAPPING = {
    "rename": {
        "people.name": "name",
        "people.account_uid": "account_uid",
        "people.cookie": "cookie",
    }
}

Message = dict[str, Any]
MARKS: dict[str, Callable[[Message], bool]] = {
    "userId": lambda message: "userId" in message,
    "email": lambda message: "email" in message["traits"],
    "email userId": lambda message: "userId" in message and "email" in message["traits"],
    "either": lambda message: "userId" in message or "email" in message["traits"],
}


def _or_anonymous_id(message: Message) -> bool:
    return "userId" in message or "anonymousId" in message


NOTES: dict[str, Callable[[Message], bool]] = {
    "amazon-kinesis": _or_anonymous_id,
    "calq": _or_anonymous_id,
    "kissmetrics": _or_anonymous_id,
    "pardot": MARKS["email"],
    "totango": lambda message: "userId" in message and "groupId" in message["context"],
    "salesmachine": lambda message: "account_uid" in message["traits"],
    "woopra": lambda message: "userId" in message,
    "zendesk": lambda message: "email" in message["traits"] and "name" in message["traits"],
    "marketo-v2": MARKS["either"],
}
"""What the page's marks and notes say, without any of the code that is tested."""


def _table() -> dict[str, Callable[[Message], bool]]:
    rows = json.loads((CASES / "table.json").read_text("utf-8"))["rows"]
    return {
        slug: NOTES[slug] if slug in NOTES else MARKS[marks]
        for row, marks in rows
        for slug in [CATALOGUE.find(row).slug]
    }


TABLE = _table()
SLUGS = list(TABLE)


@pytest.fixture(scope="module")
def _people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    folder = tmp_path_factory.mktemp("people")
    (folder / "looks.yaml").write_text(LOOKS, "utf-8")
    with (folder / "people.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(PARTS)
        for number, has in enumerate(product((True, False), repeat=len(PARTS))):
            if not any(has[:3]):
                continue
            cells = [f"{part}-{number}@e" for part in PARTS]
            writer.writerow([cell if there else "" for cell, there in zip(cells, has, strict=True)])
    with Sandbox(Dataset.load(folder), destinations=CONNECTED) as running:
        yield running


@pytest.fixture
def people(_people: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The stand-ins over that Look, with every key of the catalogue connected."""
    for name, value in _people.connections().items():
        monkeypatch.setenv(name, value)
    for url in (_people.looker_url, _people.segment_url):
        requests.post(f"{url}/_sandbox/reset", timeout=10).raise_for_status()
    return _people


@pytest.fixture
def run(
    people: Sandbox, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Run the three operators with these choices of extract."""

    def run(look_id: str = "1", **choices: Any) -> Outcome:
        choices = {"mapping": MAPPING, "guards": {"max_unmet": 1}, **choices}
        monkeypatch.setenv("RULED_CHOICES", json.dumps({"look_id": look_id, **choices}))
        return Outcome(load_dag("ruled").test(), people)

    return run


Run = Callable[..., Outcome]


def who(message: Message) -> str:
    """The id under which the stand-in knows a message's user."""
    return str(message.get("userId") or message["anonymousId"])


def reached(sandbox: Any, name: str) -> set[str]:
    """The users whom the stand-in handed on to a destination."""
    answer = requests.get(
        f"{sandbox.segment_url}/_sandbox/destinations/{name}", params={"limit": 1000}, timeout=10
    )
    return {user["userId"] or user["anonymousId"] for user in answer.json()["users"]}


def muted(message: Message) -> set[str]:
    """The keys that a message switches off."""
    return {key for key, on in message.get("integrations", {}).items() if on is False}


def test_each_row_of_the_table_is_met_and_caught(run: Run) -> None:
    """By the table alone, what meets a row's rule passes and what lacks any part of it is muted.

    Muted means all keys of the destination are false in what Segment accepted, and that none of
    them, and everybody else, got the user.
    """
    outcome = run(destinations=SLUGS, destination_rules="table")
    messages = sent(outcome.sandbox)
    counts = outcome.report["destinations"]

    assert 112 == len(messages) == outcome.report["accepted"]
    assert TABLE.keys() == counts.keys()
    for slug, accepts in TABLE.items():
        keys = set(CATALOGUE.find(slug).all_keys)
        met = {who(message) for message in messages if accepts(message)}
        unmet = {who(message) for message in messages} - met
        assert met, slug
        assert unmet or slug in ("amazon-kinesis", "calq", "kissmetrics"), slug
        assert (slug, len(met), len(unmet)) == (slug, counts[slug]["met"], counts[slug]["unmet"])
        assert not any(muted(message) & keys for message in messages if who(message) in met), slug
        assert all(muted(message) >= keys for message in messages if who(message) in unmet), slug
        for key in keys - {"Salesforce"}:
            assert (key, met) == (key, reached(outcome.sandbox, key))
    assert {who(message) for message in messages} == reached(outcome.sandbox, OUR_OWN)


def test_by_default_nothing_that_either_rule_accepts_is_muted(run: Run) -> None:
    """A message is kept from a destination only where the table and its own page refuse it."""
    outcome = run(destinations=SLUGS)
    todays = Requirements(SLUGS, rules="current")

    for message in sent(outcome.sandbox):
        today = {one.destination: one.verdict.value for one in todays.check(message).findings}
        for slug in SLUGS:
            accepted = TABLE[slug](message) or today[slug] == "met"
            keys = set(CATALOGUE.find(slug).all_keys)
            if keys:
                assert (slug, accepted) == (slug, not muted(message) & keys)


def test_salesforce_is_switched_on_where_it_was_asked_for(run: Run) -> None:
    """A destination that Segment leaves off gets who has an e-mail, and nobody unless asked."""
    outcome = run(destinations=["Salesforce"], destination_rules="table")
    with_email = {who(one) for one in sent(outcome.sandbox) if "email" in one["traits"]}
    asked = reached(outcome.sandbox, "Salesforce")
    requests.post(f"{outcome.sandbox.segment_url}/_sandbox/reset", timeout=10)
    outcome = run(destinations=["braze"])

    assert with_email == asked
    assert set() == reached(outcome.sandbox, "Salesforce")
    assert with_email <= reached(outcome.sandbox, OUR_OWN)


def test_only_reaches_nobody_else(run: Run) -> None:
    """With ``only`` the named destinations get who they can use, and all others get nothing."""
    outcome = run(destinations=["zendesk", f'"{OUR_OWN}"'], only=True)
    messages = sent(outcome.sandbox)
    full = {who(one) for one in messages if TABLE["zendesk"](one)}

    assert full == reached(outcome.sandbox, "Zendesk")
    assert {who(one) for one in messages} == reached(outcome.sandbox, OUR_OWN)
    others = [name for name in CONNECTED if name not in ("Zendesk", OUR_OWN)]
    assert {name: set() for name in others} == {
        name: reached(outcome.sandbox, name) for name in others
    }


def test_reject_leaves_out_and_warn_only_counts(run: Run) -> None:
    """``unmet="reject"`` does not send, ``"warn"`` sends as it is; both say why."""
    rejecting = run(
        destinations=["totango"], unmet="reject", guards={"max_rejected": 1, "max_unmet": 1}
    )
    rejected = sent(rejecting.sandbox)
    requests.post(f"{rejecting.sandbox.segment_url}/_sandbox/reset", timeout=10)
    warning = run(destinations=["totango"], unmet="warn")
    warned = sent(warning.sandbox)

    assert 32 == len(rejected)
    assert all(TABLE["totango"](message) for message in rejected)
    (problem,) = rejecting.report["problems"]
    assert ("unmet_destination", "totango", 80) == (
        problem["code"],
        problem["column"],
        problem["count"],
    )
    assert 112 == len(warned) == len(reached(warning.sandbox, "Totango"))
    assert not any("integrations" in message for message in warned)
    assert {"needs_user_id": 48, "needs_group_id": 56} == warning.report["destinations"]["totango"][
        "reasons"
    ]


def test_above_max_unmet_nothing_is_sent(
    run: Run, people: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    """A destination that could use too few rows stops the run before the first request."""
    outcome = run(destinations=["totango", "braze"], guards={"max_unmet": 0.5})
    said = capfd.readouterr().out

    assert "failed" == outcome.states["extract"] == outcome.states["report"]
    assert "the messages that totango cannot take" in said
    assert "80" in said
    assert [] == sent(people)


@pytest.mark.parametrize(
    ("destinations", "said"),
    [
        (["Zendesk"], "Look 2 can never reach Zendesk: it needs a trait `name`"),
        (["zendeks"], "The nearest name is `zendesk`"),
        (["braze", "nosuchtool"], "none goes by that name"),
    ],
)
def test_what_can_never_work_fails_before_any_query(
    run: Run,
    people: Sandbox,
    capfd: pytest.CaptureFixture[str],
    destinations: list[str],
    said: str,
) -> None:
    """A Look that fits no destination, or a name that nobody has, is found from metadata alone."""
    outcome = run("2", mapping=None, destinations=destinations)
    asked = requests.get(f"{people.looker_url}/_sandbox/requests", timeout=10).json()
    paths = [entry["path"] for entry in asked]

    assert "failed" == outcome.states["extract"]
    assert said in capfd.readouterr().out
    assert any(path.startswith("/api/4.0/looks/2") for path in paths)
    assert not [path for path in paths if "/queries" in path]
    assert [] == sent(people)


def test_a_quoted_name_is_switched_alone(run: Run) -> None:
    """Muting one name of a destination leaves its other names alone."""
    outcome = run(destinations=['"HubSpot Cloud Mode (Actions)"'], destination_rules="table")
    messages = sent(outcome.sandbox)
    with_email = {who(one) for one in messages if "email" in one["traits"]}

    assert with_email == reached(outcome.sandbox, "HubSpot Cloud Mode (Actions)")
    assert {who(one) for one in messages} == reached(outcome.sandbox, "HubSpot")


def test_destinations_may_come_from_a_form(run: Run) -> None:
    """Text that a template leaves, with commas or as a list, names destinations too."""
    outcome = run(destinations="{{ ['braze', 'Customer.io'] }}", only="{{ 1 == 1 }}")

    assert ["braze", "customer.io"] == list(outcome.report["destinations"])
    assert all(message["integrations"]["All"] is False for message in sent(outcome.sandbox))


def test_parameters_come_with_the_mapping(run: Run) -> None:
    """A cookie column fills Woopra's option; a lookup field and listed traits must be there."""
    parameters = {
        "woopra_cookie": "cookie",
        "pardot_lookup_field": "account_uid",
        "slack_listed_traits": ["name", "cookie"],
    }
    outcome = run(
        destinations=["woopra", "pardot", "slack"],
        destination_rules="table",
        mapping={**MAPPING, "parameters": parameters},
    )
    met: dict[str, set[str]] = {"Woopra": set(), "Pardot": set(), "Slack": set()}
    for message in sent(outcome.sandbox):
        traits = message["traits"]
        if "cookie" in traits:
            assert {"cookie": traits["cookie"]} == message["integrations"]["Woopra"]
        if "userId" in message or "cookie" in traits:
            met["Woopra"].add(who(message))
        if {"email", "account_uid"} <= traits.keys():
            met["Pardot"].add(who(message))
        if {"name", "cookie"} <= traits.keys() and TABLE["slack"](message):
            met["Slack"].add(who(message))

    assert met == {name: reached(outcome.sandbox, name) for name in met}


def test_warnings_reach_the_report(run: Run) -> None:
    """What no rule can check, and the page's own advice, is said in the report of the run."""
    outcome = run(
        "2", mapping=None, destinations=["marketo", "klaviyo", "calq", "knowtify"], unmet="warn"
    )
    warnings = " ".join(outcome.report["warnings"])

    assert "Look 2 has no userId column; Segment recommends to include both" in warnings
    assert "Klaviyo is not listed as taking identify calls from servers" in warnings
    assert "Calq is retired" in warnings
    assert "Knowtify cannot be muted" in warnings
