"""The Looker hook against the stand-in: signing in, metadata, streams, and honest errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_looker_segment.core.query import RunQuery, run_query
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks import looker
from airflow_provider_looker_segment.hooks.looker import LookerHook
from tests.simulated import Clock, simulate

NOT_FOUND = {"message": "Not found", "documentation_url": ""}
LOOK = "/looks/42$"
RESULT = "/run/json_detail$"


@pytest.fixture
def hook(sandbox: Any) -> Iterator[LookerHook]:
    """A hook that has not signed in yet."""
    hook = LookerHook()
    yield hook
    hook.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that only sleep moves."""
    return simulate(monkeypatch, looker)


def asked(sandbox: Any, method: str, path: str) -> list[dict[str, list[str]]]:
    """Return the parameters of each request whose path ends so."""
    found = requests.get(f"{sandbox.looker_url}/_sandbox/requests", timeout=10).json()
    return [
        parse_qs(entry["query"])
        for entry in found
        if entry["method"] == method and entry["path"].endswith(path)
    ]


def revoke(sandbox: Any) -> None:
    """Make every token invalid at the server, without a word to clients."""
    url = f"{sandbox.looker_url}/_sandbox/tokens"
    requests.post(url, json={"expire": True}, timeout=10).raise_for_status()


def fault(sandbox: Any, status: int, body: Any, path: str = LOOK, **more: Any) -> None:
    """Answer with an error instead."""
    if not isinstance(body, str):
        more = {"content_type": "application/json", **more}
        body = json.dumps(body)
    sandbox.looker_faults.add("status", status=status, body=body, path=path, **more)


def query_of(hook: LookerHook, look_id: str) -> RunQuery:
    """Return a Look's query, with everything asked for and its dates left alone."""
    return run_query(hook.look(look_id), filters=None, as_of=None, row_limit="all")


# Signing in


def test_one_token_serves_many_calls(hook: LookerHook, sandbox: Any) -> None:
    """The hook signs in at its first call, and signs out once."""
    assert [] == asked(sandbox, "POST", "/login")
    for look_id in ("42", "43", "45"):
        hook.look(look_id)
    hook.close()

    assert 1 == len(asked(sandbox, "POST", "/login"))
    assert 1 == len(asked(sandbox, "DELETE", "/logout"))


def test_closing_an_unused_hook_asks_nothing(hook: LookerHook, sandbox: Any) -> None:
    """Who never signed in need not sign out."""
    hook.close()

    assert [] == asked(sandbox, "DELETE", "/logout")


def test_a_token_is_renewed_before_it_expires(hook: LookerHook, sandbox: Any) -> None:
    """A token that is old by the clock is not tried."""
    hook.look("42")
    hook.sdk.auth.token.expires_at = datetime.now() - timedelta(seconds=1)  # noqa: DTZ005 - the SDK's
    hook.look("42")

    assert 2 == len(asked(sandbox, "POST", "/login"))
    assert 2 == len(asked(sandbox, "GET", "/looks/42"))


@pytest.mark.parametrize("work", ["metadata", "create", "stream"])
def test_a_revoked_token_is_replaced_once(hook: LookerHook, sandbox: Any, work: str) -> None:
    """A token that the server takes back costs one refused call, whatever was asked."""
    query = query_of(hook, "42")
    query_id = hook.create_query(query, where="Look 42")
    revoke(sandbox)
    if work == "metadata":
        assert "42" == hook.look("42").id
    elif work == "create":
        assert query_id == hook.create_query(query, where="Look 42")
    else:
        with hook.run(query_id, query, where="Look 42") as answer:
            assert b"".join(answer.pieces).startswith(b"{")

    assert 2 == len(asked(sandbox, "POST", "/login"))


def test_a_wrong_secret_is_named_but_not_shown(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looker answers 404 to a wrong secret, which nobody would guess."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    wrong = {**said, "password": "wrong-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(wrong))

    with pytest.raises(PermanentError) as refusal:
        LookerHook().look("42")

    assert (
        f"Connection 'looker_default': the sign-in at {sandbox.looker_url} should be accepted, "
        "but Looker answered 404: Not found. "
        "Check the client id and secret; Looker answers 404 where they are wrong."
    ) == str(refusal.value)


def test_a_user_that_cannot_be_acted_as_is_named(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Look is not to blame for a sign-in as somebody else."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    said["extra"] = {"sudo_user_id": 4711}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))
    fault(sandbox, 404, NOT_FOUND, "/login/4711$")

    with pytest.raises(PermanentError, match="there is a user 4711") as refusal:
        LookerHook().look("42")

    assert str(refusal.value).startswith("Connection 'looker_default': the sign-in")


@pytest.mark.parametrize(("status", "kind"), [(404, PermanentError), (502, TransientError)])
def test_a_sign_in_before_a_result_is_an_error_of_this_package(
    hook: LookerHook, sandbox: Any, clock: Clock, status: int, kind: type[Exception]
) -> None:
    """A token may run out between the query and its result, and no new one be given."""
    query = query_of(hook, "42")
    query_id = hook.create_query(query, where="Look 42")
    revoke(sandbox)
    fault(sandbox, status, NOT_FOUND, "/login$", times=-1)

    with pytest.raises(kind, match=str(status)), hook.run(query_id, query, where="Look 42"):
        pass


def test_the_connection_test_says_who_signed_in(hook: LookerHook, sandbox: Any) -> None:
    """Whoever fills in the form sees the user and the release, and is signed out again."""
    ok, said = hook.test_connection()

    assert ok
    assert said.startswith(
        "Signed in to Looker 26.22.1 as Sandbox User (user 1). It may run Looks."
    )
    assert 1 == len(asked(sandbox, "DELETE", "/logout"))


def test_the_connection_test_names_a_wrong_secret(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looker answers 404 to wrong credentials, which would send people looking for an id."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    monkeypatch.setenv(
        "AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps({**said, "password": "another-secret"})
    )

    ok, message = LookerHook().test_connection()

    assert not ok
    assert "Check the client id and secret" in message
    assert "another-secret" not in message


def test_the_connection_test_needs_a_look_to_run(hook: LookerHook, sandbox: Any) -> None:
    """A user who sees no Look can send none, whatever the sign-in says."""
    sandbox.looker_faults.add(
        "status", status=200, body="[]", path="/looks/search$", content_type="application/json"
    )

    ok, said = hook.test_connection()

    assert not ok
    assert "Signed in to Looker" in said
    assert "sees no Look" in said


def test_the_connection_test_asks_for_the_right_to_run(hook: LookerHook, sandbox: Any) -> None:
    """A user who sees Looks and may run none is told which rights are missing."""
    looks = json.dumps([{"id": "42", "can": {"run": False, "show": True}}])
    sandbox.looker_faults.add(
        "status", status=200, body=looks, path="/looks/search$", content_type="application/json"
    )

    ok, said = hook.test_connection()

    assert not ok
    assert "access_data" in said


def test_the_connection_test_says_what_it_could_not_find_out(
    hook: LookerHook, sandbox: Any
) -> None:
    """A list of Looks that Looker does not give proves nothing, neither good nor bad."""
    fault(sandbox, 404, NOT_FOUND, "/looks/search$")

    ok, said = hook.test_connection()

    assert ok
    assert "Could not confirm that it may run Looks" in said


def test_a_hook_acts_as_another_user(monkeypatch: pytest.MonkeyPatch, sandbox: Any) -> None:
    """With ``sudo_user_id`` every call has that user's rights, and both sign-ins are ended."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    said["extra"] = {"sudo_user_id": 7}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))

    ok, message = LookerHook().test_connection()

    assert ok
    assert "as User 7 (user 7)" in message
    assert 1 == len(asked(sandbox, "POST", "/login/7"))
    assert 2 == len(asked(sandbox, "DELETE", "/logout"))


def test_the_connection_test_says_what_is_wrong(
    hook: LookerHook, sandbox: Any, clock: Clock
) -> None:
    """A failure is an answer, not a traceback."""
    fault(sandbox, 403, {"message": "Forbidden", "documentation_url": ""}, "/user$")

    ok, said = hook.test_connection()

    assert not ok
    assert "403" in said
    assert "looker_default" not in said


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"host": "https://127.0.0.1"}, "no secure connection came about (SSLError)"),
        ({"host": "http://127.0.0.1", "port": 9}, "nobody takes the connection"),
    ],
)
def test_the_connection_test_says_what_to_check(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, clock: Clock, change: Any, trouble: str
) -> None:
    """Airflow tests under an id of its own, and nothing was to be sent."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    port = urlsplit(sandbox.looker_url).port
    monkeypatch.setenv("AIRFLOW_CONN_XZVQBA", json.dumps({**said, "port": port, **change}))

    ok, message = LookerHook("XZVQBA").test_connection()

    assert not ok
    assert trouble in message
    assert "Check the URL, its port, http or https, and the CA bundle" in message
    assert "XZVQBA" not in message
    assert "the run" not in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"login": ""}, "This connection: should have a login"),
        ({"password": "other"}, "This connection: the sign-in at http"),
    ],
)
def test_the_connection_test_speaks_of_this_connection(
    sandbox: Any, monkeypatch: pytest.MonkeyPatch, change: Any, words: str
) -> None:
    """The id that Airflow makes up for a test would tell nobody anything."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    monkeypatch.setenv("AIRFLOW_CONN_XZVQBA", json.dumps({**said, **change}))

    ok, message = LookerHook("XZVQBA").test_connection()

    assert not ok
    assert message.startswith(words)


@pytest.mark.parametrize(
    ("extra", "verify"),
    [
        ({"verify_ssl": False}, False),
        ({"verify_ssl": "no"}, False),
        ({"ca_bundle": "/etc/ca.pem"}, "/etc/ca.pem"),
        ({"verify_ssl": "/etc/ca.pem"}, "/etc/ca.pem"),
    ],
)
def test_tls_settings_reach_the_session(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], verify: bool | str
) -> None:
    """What the connection says about certificates holds for every request of the session."""
    from requests.adapters import HTTPAdapter

    said = {"conn_type": "looker", "host": "https://l.example.com", "login": "i", "password": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps({**said, "extra": extra}))
    seen = []

    def send(*_: Any, verify: Any, **__: Any) -> Any:
        seen.append(verify)
        raise requests.ConnectionError

    monkeypatch.setattr(HTTPAdapter, "send", send)
    with pytest.raises(TransientError):
        LookerHook(patience_s=0).look("42")

    assert [verify] == seen


@pytest.mark.parametrize(
    ("host", "complaint"),
    [
        ("http://127.0.0.1:9", "nobody takes the connection (NewConnectionError)"),
        ("https://no-such-host.invalid", "no such host is known here (NameResolutionError)"),
    ],
)
def test_a_host_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, host: str, complaint: str
) -> None:
    """It may come back; the message says where it was looked for, and why there."""
    said = {"conn_type": "looker", "host": host, "login": "i", "password": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))

    with pytest.raises(TransientError) as refusal:
        LookerHook().look("42")

    assert (
        f"Look 42 should be answered by Looker, but it gave no answer at {host}: {complaint}. "
        "Nothing was sent; the run can be tried again. If that changes nothing, check the URL, "
        "its port, http or https, and the CA bundle of connection 'looker_default'."
    ) == str(refusal.value)


def test_a_secret_without_a_known_certificate_stays_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Verification is on unless somebody turns it off."""
    said = {"conn_type": "looker", "host": "https://l.example.com", "login": "i", "password": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))

    assert LookerHook().sdk.transport.session.verify is True


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
    from airflow_provider_looker_segment.hooks import looker

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
