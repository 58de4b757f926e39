"""The Looker hook against the stand-in: metadata, streams, and honest errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment.core.query import run_query
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks import looker
from airflow_provider_looker_segment.hooks.looker import LookerHook
from tests.hooks.asking import LOOK, NOT_FOUND, RESULT, asked, fault, query_of
from tests.simulated import Clock

# The SDK's four defects


def test_b1_a_sign_in_does_not_poison_the_request_behind_it(hook: LookerHook, sandbox: Any) -> None:
    """The form type of a sign-in stays out of the request that needed the token."""
    from looker_sdk.sdk.api40 import models

    options: Any = {"headers": {"X-Own": "1"}}
    query = models.WriteQuery(model="toastmates", view="users", fields=["users.id"])
    created = hook.ask(
        "it",
        lambda: hook.sdk.create_query(query, fields="id,model,view", transport_options=options),
    )

    assert {"headers": {"X-Own": "1"}} == options
    assert created.id


def test_b2_reading_answers_registers_nothing(
    hook: LookerHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's converter does not grow with the number of answers."""
    from looker_sdk.rtl import serialize

    hook.look("42")
    registered: list[Any] = []
    monkeypatch.setattr(
        type(serialize.converter40),
        "register_structure_hook_factory",
        lambda _self, *arguments: registered.append(arguments),
    )
    for _ in range(3):
        hook.look("42")
        LookerHook().look("43")

    assert [] == registered


@pytest.mark.parametrize(
    "body",
    [
        {"error": "boom"},
        {"message": "Failed", "documentation_url": "", "errors": None},
        {"message": "Failed", "errors": [{"field": "x"}]},
        {"message": {"nested": 1}, "documentation_url": 7},
        ["boom"],
        "boom",
        "<html>",
        "",
    ],
)
@pytest.mark.parametrize("status", [400, 503])
def test_b3_an_odd_error_body_is_an_error_of_this_package(
    hook: LookerHook, sandbox: Any, clock: Clock, status: int, body: Any
) -> None:
    """The status decides what is to be done, whatever stands in the body."""
    fault(sandbox, status, body, times=-1)
    kind = PermanentError if status == 400 else TransientError

    with pytest.raises(kind, match=str(status)):
        hook.look("42")


def test_a_document_of_any_depth_is_an_error_of_this_package(
    hook: LookerHook, sandbox: Any
) -> None:
    """Nested deeper than anybody reads, it is no Look."""
    sandbox.looker_faults.add(
        "body", body="[" * 100_000, path="/looks/42$", content_type="application/json", times=-1
    )

    with pytest.raises(PermanentError, match="Look 42"):
        hook.look("42")


def test_an_answer_that_comes_too_late_is_nobodys(
    hook: LookerHook, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session of a call that goes on is left to it."""
    first = hook.sdk
    waits = iter([0.2])
    in_time = looker.in_time
    monkeypatch.setattr(looker, "in_time", lambda s, call: in_time(next(waits, s), call))
    sandbox.looker_faults.add("latency", seconds=1.5, path="/looks/42$", times=1)

    assert "42" == hook.look("42").id
    assert first is not hook.sdk


@pytest.mark.parametrize("host", ["docs.looker.com", "cloud.google.com/looker/docs"])
def test_b4_an_error_fetches_nothing_from_elsewhere(
    hook: LookerHook, sandbox: Any, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Nobody waits for an index of errors at an address of the public internet."""
    fetched: list[Any] = []
    monkeypatch.setattr(requests, "get", lambda *said, **_: fetched.append(said))
    body = {"message": "Bad", "documentation_url": f"https://{host}/r/err/4.0/400/get/looks"}
    fault(sandbox, 400, body)

    with pytest.raises(PermanentError, match="400"):
        hook.look("42")

    assert [] == fetched


# Metadata


@pytest.mark.parametrize(
    ("look_id", "names", "hidden", "calculates"),
    [
        ("42", ["users.id", "users.name", "users.email", "sessions.count"], [], False),
        ("43", ["users.email", "users.plan", "users.country"], [], False),
        ("44", ["users.id", "users.email", "sessions.count"], [], False),
        (
            "45",
            [
                *("users.id", "users.email", "users.lifetime_value"),
                *("contact_email", "lifetime_value_eur"),
            ],
            ["users.email", "users.lifetime_value"],
            True,
        ),
        ("46", ["users.id", "users.email", "sessions.count", "sessions.device"], [], False),
        (
            "47",
            [
                *("users.id", "users.name", "users.email", "users.plan"),
                *("users.lifetime_value", "accounts.id", "accounts.uid"),
            ],
            [],
            False,
        ),
        ("48", ["users.name", "users.country", "sessions.count"], [], False),
    ],
)
def test_a_look_is_known_before_its_query_runs(
    hook: LookerHook, sandbox: Any, *, look_id: str, names: Any, hidden: Any, calculates: bool
) -> None:
    """Columns, what is hidden, and calculations come from metadata alone."""
    look = hook.look(look_id)

    assert look_id == look.id
    assert names == [column.name for column in look.columns]
    assert hidden == [column.name for column in look.columns if column.hidden]
    assert calculates == look.has_table_calculations
    assert ("100" if look_id == "44" else "500") == look.query["limit"]
    assert [] == asked(sandbox, "GET", "/run/json_detail")


def test_tags_and_labels_arrive(hook: LookerHook) -> None:
    """What identifies a row and how columns are called stands in the explore."""
    user_id, name, email, count = hook.look("42").columns

    assert (("user_id",), ("email",)) == (user_id.tags, email.tags)
    assert ["userId", "name", "email", "sessions count"] == [
        column.displayed for column in (user_id, name, email, count)
    ]
    assert "measure" == count.kind


@pytest.mark.parametrize(
    ("look_id", "complaint"),
    [("49", "trash"), ("4711", "but it answered 404: Not found. Check the id, and that")],
)
def test_a_look_that_is_not_there_is_named(hook: LookerHook, look_id: str, complaint: str) -> None:
    """A deleted Look and an unknown one fail for good."""
    with pytest.raises(PermanentError, match=complaint) as refusal:
        hook.look(look_id)

    assert f"Look {look_id}" in str(refusal.value)


# Results


@pytest.mark.parametrize(
    ("look_id", "row_limit", "calculations"),
    [("42", "all", "false"), ("45", "all", "true"), ("44", "look", "false")],
)
def test_a_result_is_asked_for_in_full(
    hook: LookerHook, sandbox: Any, look_id: str, row_limit: Any, calculations: str
) -> None:
    """No row is cut, no value formatted, no cache read, and calculations come with it."""
    query = run_query(hook.look(look_id), filters=None, as_of=None, row_limit=row_limit)
    query_id = hook.create_query(query, where="it")
    with hook.run(query_id, query, where="it") as answer:
        first = next(iter(RowStream(answer.pieces, look="it")))

    (parameters,) = asked(sandbox, "GET", f"/queries/{query_id}/run/json_detail")
    assert {
        "limit": ["-1" if row_limit == "all" else "100"],
        "apply_formatting": ["false"],
        "apply_vis": ["false"],
        "cache": ["false"],
        "generate_drill_links": ["false"],
        "server_table_calcs": [calculations],
    } == parameters
    assert (look_id == "45") == ("contact_email" in first)


def test_rows_are_there_before_the_result_has_ended(hook: LookerHook, sandbox: Any) -> None:
    """A result is handed over while it arrives, and a break in it never looks like its end."""
    sandbox.looker_faults.add("cut", bytes=200_000, framing="chunked", path=RESULT)
    query = query_of(hook, "42")
    query_id = hook.create_query(query, where="Look 42")
    rows = []
    with hook.run(query_id, query, where="Look 42") as answer:
        stream = iter(RowStream(answer.pieces, look="Look 42"))
        rows += [next(stream) for _ in range(100)]
        with pytest.raises(TransientError, match="Look 42: the result should arrive to its end"):
            rows += stream

    assert len(rows) >= 100


def test_a_session_outlives_a_result_that_nobody_reads(hook: LookerHook, sandbox: Any) -> None:
    """Who stops in the middle can go on asking."""
    query = query_of(hook, "42")
    query_id = hook.create_query(query, where="Look 42")
    with hook.run(query_id, query, where="Look 42") as answer:
        next(answer.pieces)

    assert "43" == hook.look("43").id
    assert 1 == len(asked(sandbox, "POST", "/login"))


# Refusals


@pytest.mark.parametrize("path", [LOOK, RESULT])
@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (400, {"message": "Bad", "documentation_url": ""}, "Bad"),
        (401, {"message": "Requires authentication."}, "client id and secret"),
        (403, {"message": "Database OAuth Error"}, "access"),
        (404, NOT_FOUND, "Check the id"),
        (422, {"message": "Validation Failed", "errors": None}, "422: Validation Failed. Mend"),
        (
            422,
            {
                "message": "Validation Failed.",
                "documentation_url": "",
                "errors": [
                    {"field": "fields", "message": "is invalid.", "documentation_url": ""},
                    {"documentation_url": ""},
                ],
            },
            "422: Validation Failed; fields: is invalid. Mend",
        ),
        (200, "<html>Sign in</html>", "html|HTML|host"),
    ],
)
def test_what_cannot_pass_fails_at_once(
    hook: LookerHook,
    sandbox: Any,
    clock: Clock,
    *,
    path: str,
    status: int,
    body: Any,
    complaint: str,
) -> None:
    """Nobody waits for what a second try would be told as well."""
    fault(sandbox, status, body, path, times=-1)

    with pytest.raises(PermanentError, match=complaint):
        list(self_contained(hook, "42"))

    assert [] == clock.slept


def self_contained(hook: LookerHook, look_id: str) -> Iterator[Any]:
    """Read a Look from its metadata to its last row."""
    query = query_of(hook, look_id)
    query_id = hook.create_query(query, where=f"Look {look_id}")
    with hook.run(query_id, query, where=f"Look {look_id}") as answer:
        yield from RowStream(
            answer.pieces, look=f"Look {look_id}", content_type=answer.content_type
        )


@pytest.mark.parametrize("path", [LOOK, RESULT])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(
    hook: LookerHook, sandbox: Any, clock: Clock, path: str, status: int
) -> None:
    """Neither token nor secret travel to another address."""
    location = f"{sandbox.segment_url}/_sandbox/summary"
    fault(sandbox, status, "", path, headers={"Location": location}, times=-1)

    with pytest.raises(PermanentError, match="host of the API itself"):
        list(self_contained(hook, "42"))

    assert [] == clock.slept


@pytest.mark.parametrize("path", [LOOK, "/explores/users$", "/queries$", RESULT])
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_waited_for(
    hook: LookerHook, sandbox: Any, clock: Clock, path: str, status: int
) -> None:
    """Two refusals cost two growing waits, and nothing else."""
    fault(sandbox, status, "<html><h1>Bad gateway</h1></html>", path, times=2)

    assert len(list(self_contained(hook, "42"))) > 500
    assert 2 == len(clock.slept)
    assert 0.5 <= clock.slept[0] <= 1.0 <= clock.slept[1] <= 2.0


def test_the_wait_is_the_one_that_was_asked_for(
    hook: LookerHook, sandbox: Any, clock: Clock
) -> None:
    """``Retry-After`` beats any back-off of our own."""
    fault(sandbox, 429, "", headers={"Retry-After": "17"})
    hook.look("42")

    assert [17.0] == clock.slept


def test_a_wait_that_is_too_long_is_left_to_airflow(
    hook: LookerHook, sandbox: Any, clock: Clock
) -> None:
    """The error carries the delay, so that no worker sleeps for an hour."""
    fault(sandbox, 429, "", headers={"Retry-After": "3600"})

    with pytest.raises(TransientError) as refusal:
        hook.look("42")

    assert (3600.0, []) == (refusal.value.retry_after_s, clock.slept)


def test_patience_ends(hook: LookerHook, sandbox: Any, clock: Clock) -> None:
    """A Looker that goes on failing is left to the task's retries after two minutes."""
    fault(sandbox, 502, "<html>Bad gateway</html>", times=-1)

    with pytest.raises(TransientError, match="502"):
        hook.look("42")

    assert 90 < clock.passed <= 120


def test_no_answer_at_all_may_pass(hook: LookerHook, sandbox: Any, clock: Clock) -> None:
    """A connection that breaks before an answer is tried again."""
    sandbox.looker_faults.add("reset", bytes=0, path=LOOK, times=2)

    assert "42" == hook.look("42").id
    assert 2 == len(clock.slept)


def test_a_twin_has_the_same_settings_and_another_session(
    hook: LookerHook, sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler need not ask Airflow for the connection again."""
    hook.look("42")
    monkeypatch.delenv("AIRFLOW_CONN_LOOKER_DEFAULT")
    twin = hook.twin(patience_s=0)

    assert "43" == twin.look("43").id
    assert twin.sdk.transport.session is not hook.sdk.transport.session
    assert 2 == len(asked(sandbox, "POST", "/login"))
