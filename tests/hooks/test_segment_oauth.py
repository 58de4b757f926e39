"""OAuth in addition to the write key, against a server that gives tokens and asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi import FastAPI, Form, Header
from starlette.responses import JSONResponse

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.segment import Answer, SegmentHook
from airflow_provider_looker_segment.sandbox.server import AppServer

MESSAGE = {"type": "identify", "messageId": "0" * 32, "userId": "u", "traits": {}}
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()


class Server:
    """Gives tokens to those who sign with the key, and takes batches with the newest token.

    :ivar asked: questions for a token, verified.
    :ivar batches: how many were taken.
    :ivar status: of the next answers to questions for a token.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.batches = 0
        self.status = 200
        self.expires_in = 3_600
        self._good: set[str] = set()
        self.app = FastAPI()
        self.app.post("/token")(self._give)
        self.app.post("/v1/batch")(self._take)
        self.server = AppServer("oauth", self.app)
        self.url = self.server.url

    def withdraw(self) -> None:
        """Take back all tokens."""
        self._good.clear()

    def _give(self, client_assertion: Annotated[str, Form()], scope: Annotated[str, Form()]) -> Any:
        if self.status != 200:
            return JSONResponse({"error": "no"}, self.status, headers={"Retry-After": "7"})
        claims = jwt.decode(
            client_assertion, KEY.public_key(), algorithms=["RS256"], audience=self.url
        )
        kid = jwt.get_unverified_header(client_assertion)["kid"]
        self.asked.append({**claims, "kid": kid, "scope": scope})
        token = f"token-{len(self.asked)}"
        self._good.add(token)
        return {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}

    def _take(self, authorization: Annotated[str, Header()]) -> Any:
        if authorization.removeprefix("Bearer ") not in self._good:
            return JSONResponse({"success": False}, 401)
        self.batches += 1
        return {"success": True}


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    running = Server()
    yield running
    running.server.close()


@pytest.fixture
def connect(server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the connection, with changes to its extra."""

    def make(**changes: Any) -> SegmentHook:
        extra = {
            "oauth_client_id": "client",
            "oauth_key_id": "key-1",
            "oauth_private_key": PEM,
            "oauth_server": server.url,
            **changes,
        }
        said = {
            "conn_type": "segment_source",
            "host": server.url,
            "password": "write-key",
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps(said))
        return SegmentHook()

    return make


def test_one_token_serves_many_batches(server: Server, connect: Any) -> None:
    """The question is signed as Segment asks for it, and the answer is kept while it is good."""
    hook = connect()

    answers = [hook.post([MESSAGE]) for _ in range(3)]

    assert [Answer("accepted")] * 3 == answers
    (asked,) = server.asked
    assert ("client", "client", "key-1", "tracking_api:write") == (
        asked["iss"],
        asked["sub"],
        asked["kid"],
        asked["scope"],
    )
    assert asked["exp"] - asked["iat"] < 60


def test_a_token_is_renewed_before_it_ends(server: Server, connect: Any) -> None:
    """A token that is about to end is not used."""
    server.expires_in = 20
    hook = connect()

    assert [Answer("accepted")] * 2 == [hook.post([MESSAGE]) for _ in range(2)]
    assert 2 == len(server.asked)


def test_a_withdrawn_token_costs_no_message(server: Server, connect: Any) -> None:
    """A 401 leads to one new token and one more try, not to a failed run."""
    hook = connect()
    hook.post([MESSAGE])
    server.withdraw()

    assert Answer("accepted") == hook.post([MESSAGE])
    assert (2, 2) == (len(server.asked), server.batches)


def test_a_line_break_may_be_written_out(server: Server, connect: Any) -> None:
    """A key from an environment variable has backslash and n where the file has a line's end."""
    hook = connect(oauth_private_key=PEM.replace("\n", "\\n"))

    assert Answer("accepted") == hook.post([MESSAGE])


def test_no_token_sends_nothing(server: Server, connect: Any) -> None:
    """A refusal is permanent, a server in trouble is waited for; nothing is sent in either case."""
    server.status = 400
    with pytest.raises(PermanentError, match="should give a token"):
        connect().post([MESSAGE])

    server.status = 503
    answer = connect().post([MESSAGE])
    assert ("wait", 7.0, False) == (answer.kind, answer.retry_after_s, answer.maybe_accepted)
    assert 0 == server.batches


def test_a_key_that_is_none_is_named_and_not_quoted(connect: Any) -> None:
    """The message says which field to mend."""
    with pytest.raises(PermanentError, match="oauth_private_key") as raised:
        connect(oauth_private_key="s3cret-nonsense").post([MESSAGE])

    assert "s3cret" not in str(raised.value)


def test_half_an_oauth_is_refused(connect: Any) -> None:
    """A missing field is named."""
    with pytest.raises(PermanentError, match="have an extra `oauth_key_id`"):
        SegmentSettings.read(connect(oauth_key_id="").segment_conn_id)


def test_the_connection_test_asks_for_a_token(server: Server, connect: Any) -> None:
    """The test button proves the OAuth fields, too."""
    ok, said = connect().test_connection()

    assert ok
    assert said.startswith("The OAuth server gave a token.")
    server.status = 401
    ok, said = connect().test_connection()
    assert not ok
    assert "should give a token" in said


def test_the_private_key_does_not_show(connect: Any) -> None:
    """Settings may be printed."""
    assert "PRIVATE" not in repr(connect().settings)
