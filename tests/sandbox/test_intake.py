"""What a Tracking API request carries."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.sandbox.intake import (
    Refused,
    basic_write_key,
    discard_code,
    event_time,
    instant,
    iso,
    plain_body,
    read_batch,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5), st.booleans())
def test_a_batch_reads_as_json_does_and_keeps_each_text(
    messages: list[dict[str, Any]], ascii_only: bool
) -> None:
    """Every message equals what json reads, and its kept text is a slice of the request."""
    body = json.dumps(
        {"sentAt": "x", "batch": messages, "writeKey": "k"}, ensure_ascii=ascii_only, indent=1
    )

    envelope = read_batch(body.encode("utf-8", "replace"), 1_000_000)

    assert json.loads(body.encode("utf-8", "replace"))["batch"] == [
        sent.body for sent in envelope.messages
    ]
    for sent in envelope.messages:
        assert sent.body == json.loads(sent.text)
    assert ("k", "x") == (envelope.write_key, envelope.sent_at)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xef\xbb\xbf{}",
        b"{}",
        b'{"batch":{}}',
        b'{"batch":[1]}',
        b'{"batch":[{"a":NaN}]}',
        b'{"batch":[{"a":-Infinity}]}',
        b'{"batch":[{"a":1e400}]}',
        b'{"batch":[{}',
        b'{"batch":[{}]',
        b'{"batch":[{},]}',
        b'{"batch":[{} {}]}',
        b'{"batch":[]}x',
        b'{"batch" []}',
        b'{1:2,"batch":[]}',
        b'{"batch":[{"a":"\xff"}]}',
        b'{"batch":' + b"[" * 100_000,
    ],
)
def test_malformed_bodies_are_refused(body: bytes) -> None:
    """Whatever is no batch of JSON objects is a 400, NaN and huge exponents included."""
    with pytest.raises(Refused) as refusal:
        read_batch(body, 32_768)

    assert "bad_request" == refusal.value.code


@settings(deadline=None)
@given(
    st.binary(max_size=60) | st.text(alphabet='{}[]",:batch 1e-.nul', max_size=40).map(str.encode)
)
def test_no_body_escapes_the_reader(body: bytes) -> None:
    """Any bytes are read or refused."""
    try:
        read_batch(body, 32_768)
    except Refused as refusal:
        assert refusal.message  # noqa: PT017


@pytest.mark.parametrize(("over", "refused"), [(0, False), (1, True)])
@pytest.mark.parametrize("character", ["x", "é"])
def test_a_message_is_measured_in_bytes_as_sent(character: str, over: int, refused: bool) -> None:
    """32,768 bytes of UTF-8 pass, one more does not."""
    frame = len('{"userId":""}')
    room = 32_768 - frame + over
    text = character * (room // len(character.encode())) + "x" * (room % len(character.encode()))
    body = f'{{"batch":[{{"userId":"{text}"}}]}}'.encode()

    try:
        read_batch(body, 32_768)
        was_refused = False
    except Refused:
        was_refused = True

    assert refused == was_refused


def test_compressed_bodies_are_undone_within_the_limit() -> None:
    """A gzip body works, a bomb and a cut body are refused, plain bytes under the header too."""
    body = b"x" * 1_000

    assert body == plain_body(gzip.compress(body), "gzip", 1_000)
    assert body == plain_body(body, "", 1_000)
    for bad, encoding in [
        (gzip.compress(b"x" * 1_001), "gzip"),
        (gzip.compress(body)[:-9], "gzip"),
        (body, "gzip"),
        (body + b"x", ""),
    ]:
        with pytest.raises(Refused):
            plain_body(bad, encoding, 1_000)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Basic YWJjMTIzOg==", "abc123"),
        ("basic YWJjMTIz", "abc123"),
        ("Bearer token", None),
        ("Basic ???", None),
        ("", None),
    ],
)
def test_the_write_key_is_the_user_name_of_basic_auth(header: str, key: str | None) -> None:
    """The colon may be missing, as Segment tolerates it."""
    assert key == basic_write_key(header)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "identify", "userId": "1"}, None),
        ({"type": "identify", "anonymousId": "1", "userId": None, "traits": None}, None),
        ({"type": "identify"}, "id_required"),
        ({"type": "identify", "userId": None}, "id_required"),
        ({"type": "identify", "userId": ""}, "id_not_string"),
        ({"type": "identify", "userId": 5}, "id_not_string"),
        ({"type": "identify", "userId": "1", "anonymousId": ["a"]}, "id_not_string"),
        ({"type": "identify", "userId": "1", "traits": ["a"]}, "traits_not_object"),
        ({"userId": "1"}, "missing_type"),
        ({"type": "Identify", "userId": "1"}, "invalid_type"),
        ({"type": ["identify"], "userId": "1"}, "invalid_type"),
        ({"type": "track", "userId": "1"}, "event_not_defined"),
        ({"type": "track", "userId": "1", "event": 5}, "event_not_string"),
        ({"type": "track", "userId": "1", "event": "e", "properties": 5}, "properties_not_object"),
        ({"type": "page", "userId": "1", "name": ""}, "name_not_string"),
        ({"type": "screen", "userId": "1", "category": 5}, "category_not_string"),
        ({"type": "group", "userId": "1", "groupId": "g"}, None),
    ],
)
def test_dropped_messages_carry_segments_code(message: dict[str, Any], code: str | None) -> None:
    """A message that Segment drops after a 200 is named as its Delivery Overview names it."""
    assert code == discard_code(message)


@pytest.mark.parametrize(
    ("sent_at", "original", "expected"),
    [
        ("2026-01-01T00:00:10Z", "2026-01-01T00:00:00Z", "2026-01-01T11:59:50.000Z"),
        ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00", "2026-01-01T12:00:00.000Z"),
        (None, "2019-06-01T00:00:00Z", "2019-06-01T00:00:00.000Z"),
        ("2026-01-01T00:00:00Z", None, "2026-01-01T12:00:00.000Z"),
        ("2026-01-01T00:00:00Z", "yesterday", "2026-01-01T12:00:00.000Z"),
        ("2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2026-01-01T12:00:00.000Z"),
    ],
)
def test_the_senders_clock_is_corrected(
    sent_at: str | None, original: str | None, expected: str
) -> None:
    """The timestamp is receivedAt - (sentAt - originalTimestamp), as far as they can be read."""
    received_at = datetime(2026, 1, 1, 12, tzinfo=UTC)

    assert expected == iso(event_time(received_at, instant(sent_at), original))
