"""The Segment stand-in over HTTP, with the official client and with hand-made requests."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from segment.analytics.client import Client
from segment.analytics.request import APIError, post

from airflow_provider_looker_segment.sandbox.segment import create_segment_app
from airflow_provider_looker_segment.sandbox.server import AppServer

KEY = "sandbox-write-key"
CONNECTED = ("Braze", "Zendesk", "Salesforce")


@pytest.fixture
def url() -> Iterator[str]:
    """Serve an empty stand-in."""
    app = create_segment_app(write_keys={KEY: "Looker"}, destinations=CONNECTED)
    server = AppServer("segment", app)
    yield server.url
    server.close()


def get(url: str, path: str, **query: Any) -> Any:
    """Read one of the sandbox's own views."""
    answer = requests.get(f"{url}/_sandbox/{path}", params=query, timeout=10)
    answer.raise_for_status()
    return answer.json()


def identify(id_: str, **members: Any) -> dict[str, Any]:
    """Build a small identify call."""
    return {"type": "identify", "userId": id_, "messageId": f"m-{id_}", "traits": {}, **members}


def send(url: str, batch: Any, **members: Any) -> requests.Response:
    """Send a batch as curl would: the write key in the body."""
    body = {"batch": batch, "writeKey": KEY, **members}
    return requests.post(f"{url}/v1/batch", json=body, timeout=10)


@pytest.mark.parametrize("options", [{}, {"gzip": True}, {"sync_mode": True}])
def test_the_official_client_is_understood(url: str, options: dict[str, Any]) -> None:
    """Queue mode, gzip and sync mode deliver every call with ids, traits and times intact."""
    client = Client(KEY, host=url, **options)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(5):
        client.identify(f"u{number}", {"name": "Zoë 🦄", "n": number}, timestamp=moment)
    client.identify(anonymous_id="a1", traits={"n": 9}, context={"groupId": "g"})
    client.track("u0", "Seen")
    if not options.get("sync_mode"):
        client.flush()
        client.join()

    summary = get(url, "summary")
    assert (7, 7, 6) == (summary["received"], summary["accepted"], summary["users"])
    user = get(url, "users/u0")
    assert {"name": "Zoë 🦄", "n": 0} == user["traits"]
    assert 2 == user["messages"]
    assert "g" == get(url, "users/a1")["groupId"]
    first = get(url, "messages", userId="u4")["messages"][0]
    assert "2026-01-01T00:00:00.000+00:00" == first["originalTimestamp"]
    assert "identify" == first["message"]["type"]
    assert first["timestamp"].startswith("2026-01-01T00:00:0")


def test_the_official_transport_sees_segments_answers(url: str) -> None:
    """The body says success, and a refusal carries code and message as the client reads them."""
    answer = post(KEY, host=url, batch=[identify("1")])

    assert {"success": True} == answer.json()
    with pytest.raises(APIError) as refusal:
        post(KEY, host=url, batch=[identify("2", traits={"x": float("nan")})])
    assert (400, "bad_request") == (refusal.value.status, refusal.value.code)


@pytest.mark.parametrize(
    "request_",
    [
        {"auth": (KEY, ""), "json": {"batch": [identify("1")]}},
        {"json": {"batch": [identify("1")], "writeKey": KEY}},
        {
            "headers": {"Authorization": "Bearer x.y.z"},
            "json": {"batch": [identify("1")], "writeKey": KEY},
        },
        {
            "headers": {"Content-Encoding": "gzip"},
            "data": gzip.compress(json.dumps({"batch": [identify("1")], "writeKey": KEY}).encode()),
        },
    ],
    ids=["basic", "body", "bearer", "gzip"],
)
@pytest.mark.parametrize("path", ["batch", "import"])
def test_every_published_way_to_sign_a_batch_works(
    url: str, path: str, request_: dict[str, Any]
) -> None:
    """Basic auth, a key in the body, a bearer token beside it, and a compressed body."""
    answer = requests.post(f"{url}/v1/{path}", timeout=10, **request_)

    assert (200, {"success": True}) == (answer.status_code, answer.json())
    assert 1 == get(url, "summary")["accepted"]


@pytest.mark.parametrize("type_", ["identify", "track", "page", "screen", "group", "alias"])
def test_each_call_has_its_endpoint(url: str, type_: str) -> None:
    """The endpoint names the type, and key and sentAt are no part of the message."""
    body = {"userId": "1", "event": "e", "writeKey": KEY, "sentAt": "2026-01-01T00:00:00Z"}

    answer = requests.post(f"{url}/v1/{type_}", json=body, timeout=10)

    assert {"success": True} == answer.json()
    message = get(url, "messages")["messages"][0]["message"]
    assert message.pop("messageId").startswith("api-")
    assert {"type": type_, "userId": "1", "event": "e"} == message


def test_an_unknown_write_key_gets_a_200_and_nothing_else(url: str) -> None:
    """As with Segment, a wrong key can't be told from the answer."""
    answer = requests.post(
        f"{url}/v1/batch", auth=("wrong", ""), json={"batch": [identify("1")]}, timeout=10
    )

    assert (200, {"success": True}) == (answer.status_code, answer.json())
    summary = get(url, "summary")
    assert ({"unknown_write_key": 1}, 0) == (summary["rejected"], summary["users"])


def test_a_request_without_any_key_is_refused(url: str) -> None:
    """An empty key is the one that Segment does see."""
    answer = requests.post(f"{url}/v1/batch", json={"batch": [identify("1")]}, timeout=10)

    assert 400 == answer.status_code


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("batch", 500_000, 200),
        ("batch", 500_001, 400),
        ("identify", 32_768, 200),
        ("identify", 32_769, 400),
    ],
)
def test_bodies_are_limited_at_the_documented_byte(
    url: str, path: str, size: int, status: int
) -> None:
    """500,000 bytes for a batch and 32,768 for a single call, to the byte."""
    body: dict[str, Any] = {"userId": "1", "writeKey": KEY}
    if path == "batch":
        body = {"writeKey": KEY, "batch": [identify(str(n), pad="x" * 30_000) for n in range(16)]}
    body["pad"] = ""
    body["pad"] = "x" * (size - len(json.dumps(body)))

    answer = requests.post(f"{url}/v1/{path}", data=json.dumps(body), timeout=10)

    assert status == answer.status_code


def test_one_message_over_32_kb_refuses_its_batch(url: str) -> None:
    """The whole batch is a 400 and nothing of it is recorded."""
    answer = send(url, [identify("1"), identify("2", pad="x" * 32_768)])

    assert (400, "Exceed payload limit") == (answer.status_code, answer.json()["message"])
    assert 0 == get(url, "summary")["received"]


@pytest.mark.parametrize(("count", "accepted"), [(2_500, 2_500), (2_501, 0)])
def test_more_than_2500_messages_are_answered_200_and_dropped(
    url: str, count: int, accepted: int
) -> None:
    """The documented silence: success, and nothing arrives."""
    answer = send(url, [identify(str(number)) for number in range(count)])

    assert (200, {"success": True}) == (answer.status_code, answer.json())
    summary = get(url, "summary")
    assert (count, accepted) == (summary["received"], summary["accepted"])


def test_bad_messages_are_listed_and_good_ones_pass(url: str) -> None:
    """A 200 may hide rejected messages; the sandbox shows each with Segment's code."""
    answer = send(url, [identify("1"), {"type": "identify"}, identify("2", traits=[])])

    assert 200 == answer.status_code
    assert {"id_required": 1, "traits_not_object": 1} == get(url, "summary")["rejected"]
    codes = [item["code"] for item in get(url, "rejected")["rejected"]]
    assert ["id_required", "traits_not_object"] == codes
    assert ["1"] == [user["id"] for user in get(url, "users")["users"]]


def test_repeats_are_dropped_within_and_across_batches(url: str) -> None:
    """The messageId decides, whatever the rest of the message says."""
    send(url, [identify("1"), identify("1", traits={"late": 1})])
    send(url, [identify("1"), identify("2")])

    summary = get(url, "summary")
    assert (4, 2, 2) == (summary["received"], summary["accepted"], summary["duplicates"])
    assert {} == get(url, "users/1")["traits"]


def test_what_stands_beside_the_batch_is_merged_into_each_message(url: str) -> None:
    """Members beside the batch are shared; a message's own members win."""
    send(
        url,
        [identify("1", context={"app": "own"}), identify("2")],
        context={"app": "shared", "groupId": "g"},
        integrations={"Braze": False},
    )

    first, second = (item["message"] for item in get(url, "messages")["messages"])
    assert {"app": "own", "groupId": "g"} == first["context"]
    assert {"app": "shared", "groupId": "g"} == second["context"]
    assert ["Zendesk"] == get(url, "users/1")["destinations"]


def test_destinations_show_who_reached_them(url: str) -> None:
    """Users and messages per destination, unknown names apart, 404 for what is not connected."""
    send(url, [identify("1"), identify("2", integrations={"Braze": False, "Brazee": True})])

    shown = get(url, "destinations")
    assert [("Braze", 1, 1), ("Zendesk", 2, 2), ("Salesforce", 0, 0)] == [
        (item["name"], item["users"], item["messages"]) for item in shown["destinations"]
    ]
    assert {"Brazee": 1} == shown["UNKNOWN_INTEGRATION"]
    assert ["1"] == [user["id"] for user in get(url, "destinations/Braze")["users"]]
    assert 404 == requests.get(f"{url}/_sandbox/destinations/x", timeout=10).status_code


def test_users_are_paged_and_searched(url: str) -> None:
    """Pages follow first arrival; the search ignores case and reads ids and traits."""
    send(url, [identify(f"u{number}", traits={"name": f"Zoë {number}"}) for number in range(7)])

    page = get(url, "users", limit=2, offset=3)
    assert (7, ["u3", "u4"]) == (page["total"], [user["id"] for user in page["users"]])
    assert ["u6"] == [user["id"] for user in get(url, "users", search="ZOË 6")["users"]]
    assert 404 == requests.get(f"{url}/_sandbox/users/u9", timeout=10).status_code


def test_odd_text_comes_back_as_it_came(url: str) -> None:
    """Lone surrogates, NUL, big integers and slashes in ids survive storing and showing."""
    traits = '{"a":"\\ud83d","b":"\\u0000","c":123456789012345678901234567890}'
    body = (
        f'{{"writeKey":"{KEY}","batch":[{{"type":"identify","userId":"a/b","traits":{traits}}}]}}'
    )
    requests.post(f"{url}/v1/batch", data=body, timeout=10)

    assert json.loads(traits) == get(url, "users/a/b")["traits"]
    assert json.loads(traits) == get(url, "messages")["messages"][0]["message"]["traits"]


def test_raw_messages_are_bounded_and_counts_are_not() -> None:
    """Only the newest are kept whole; users, counts and message ids stay exact."""
    app = create_segment_app(write_keys={KEY: "s"}, destinations=(), max_kept_messages=3)
    server = AppServer("segment", app)
    send(server.url, [identify(str(number)) for number in range(10)])
    send(server.url, [identify("0")])

    summary = get(server.url, "summary")
    assert (10, 10, 1, 3) == tuple(
        summary[name] for name in ("accepted", "users", "duplicates", "kept")
    )
    shown = get(server.url, "messages", newest=True)["messages"]
    assert [10, 9, 8] == [item["number"] for item in shown]
    server.close()


def test_requests_are_listed_for_rate_checks(url: str) -> None:
    """Each has method, path, status, bytes, messages and seconds since the start."""
    send(url, [identify("1"), identify("2")])
    requests.post(f"{url}/v1/batch", data=b"{", timeout=10)

    first, second = get(url, "requests")["requests"]
    assert ("POST", "/v1/batch", 200, 2) == (
        first["method"], first["path"], first["status"], first["messages"],
    )  # fmt: skip
    assert (400, 1, 0) == (second["status"], second["bytes"], second["messages"])
    assert 0 <= first["seconds"] <= second["seconds"]
    assert {"200": 1, "400": 1} == get(url, "summary")["statuses"]


def test_reset_forgets_message_ids_too(url: str) -> None:
    """After a reset the same message is new."""
    send(url, [identify("1")])
    requests.post(f"{url}/_sandbox/reset", timeout=10)
    send(url, [identify("1")])

    summary = get(url, "summary")
    assert (1, 1, 0) == (summary["requests"], summary["accepted"], summary["duplicates"])


@pytest.mark.parametrize(("key", "status"), [(KEY, 200), ("wrong", 404)])
def test_settings_tell_a_known_key(url: str, key: str, status: int) -> None:
    """The settings of a known key list its destinations, an unknown key is not found."""
    answer = requests.get(f"{url}/v1/projects/{key}/settings", timeout=10)

    assert status == answer.status_code
    assert (status == 200) == ("Braze" in answer.json().get("integrations", {}))


def test_the_page_can_hold_no_foreign_code(url: str) -> None:
    """The page loads nothing from elsewhere and never writes data as HTML."""
    answer = requests.get(url, timeout=10)

    assert "text/html; charset=utf-8" == answer.headers["content-type"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for forbidden in ("innerHTML", "insertAdjacentHTML", "document.write", "//cdn", '<link rel="s'):
        assert forbidden not in answer.text


def test_a_full_batch_is_taken_in_a_fraction_of_a_second(url: str) -> None:
    """900 messages of 500 bytes are taken fast enough not to be what a benchmark measures."""
    batch = [identify(str(number), traits={"pad": "x" * 400}) for number in range(900)]
    started = time.monotonic()

    for round_ in range(5):
        for message in batch:
            message["messageId"] = f"{round_}-{message['userId']}"
        send(url, batch)

    assert 4_500 == get(url, "summary")["accepted"]
    assert time.monotonic() - started < 5
