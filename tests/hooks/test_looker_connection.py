"""Signing in to Looker, "Test connection", and whom a certificate vouches for."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.looker import LookerHook
from tests.hooks.asking import NOT_FOUND, asked, fault, query_of, revoke
from tests.simulated import Clock

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


def test_a_timeout_below_a_second_is_one(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK counts whole seconds, and none at all is a time that no request has."""
    said = json.loads(sandbox.connections()["AIRFLOW_CONN_LOOKER_DEFAULT"])
    said = {**said, "extra": {"timeout": 0.9}}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))

    with closing(LookerHook(patience_s=0)) as hook:
        assert "42" == hook.look("42").id


def test_a_secret_without_a_known_certificate_stays_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Verification is on unless somebody turns it off."""
    said = {"conn_type": "looker", "host": "https://l.example.com", "login": "i", "password": "s"}
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))

    assert LookerHook().sdk.transport.session.verify is True
