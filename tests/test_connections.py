"""Airflow connections become settings, or a message that says what to fill in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_looker_segment.connections import LookerSettings, SegmentSettings, truth
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

FULL = {"conn_type": "looker", "host": "https://a.example.com", "login": "id", "password": "s3cret"}


def read(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]) -> LookerSettings:
    """Read a Looker connection from the environment."""
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", json.dumps(said))
    return LookerSettings.read("looker_default")


def read_segment(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]) -> SegmentSettings:
    """Read a Segment connection from the environment."""
    monkeypatch.setenv("AIRFLOW_CONN_SEGMENT_DEFAULT", json.dumps(said))
    return SegmentSettings.read("segment_default")


@pytest.mark.parametrize("settings", [LookerSettings, SegmentSettings])
def test_a_connection_that_airflow_does_not_find_is_named(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """It is tried again: Airflow says the same of a secrets backend that is out of reach."""
    monkeypatch.delenv("AIRFLOW_CONN_NOBODY_ADDED", raising=False)

    with pytest.raises(TransientError) as caught:
        settings.read("nobody_added")

    assert "Connection 'nobody_added' should exist in Airflow, but" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("https://a.example.com", None, "https://a.example.com"),
        ("a.example.com", None, "https://a.example.com"),
        ("https://a.example.com/", 19999, "https://a.example.com:19999"),
        ("https://a.example.com:19999", 19999, "https://a.example.com:19999"),
        ("https://a.example.com/api/4.0", None, "https://a.example.com"),
        ("http://127.0.0.1:8080", None, "http://127.0.0.1:8080"),
        ("http://localhost:8080", None, "http://localhost:8080"),
        (" https://a.example.com/\n", 19999, "https://a.example.com:19999"),
        ("[2001:db8::1]", 19999, "https://[2001:db8::1]:19999"),
        ("2001:db8::1", None, "https://[2001:db8::1]"),
    ],
)
def test_the_host_becomes_the_api_address(
    monkeypatch: pytest.MonkeyPatch, host: str, port: int | None, url: str
) -> None:
    """However people write it, one address comes out."""
    assert url == read(monkeypatch, {**FULL, "host": host, "port": port}).base_url


def test_an_ipv6_address_may_stand_in_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow hands it over without its brackets."""
    uri = "looker://key:s3cret@[2001:db8::1]:19999"
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", uri)

    assert "https://[2001:db8::1]:19999" == LookerSettings.read("looker_default").base_url


@pytest.mark.parametrize(
    ("extra", "verify_ssl", "ca_bundle"),
    [
        ({}, True, ""),
        ({"verify_ssl": True}, True, ""),
        ({"verify_ssl": ""}, True, ""),
        ({"verify_ssl": None}, True, ""),
        ({"verify_ssl": "true"}, True, ""),
        ({"verify_ssl": False}, False, ""),
        ({"verify_ssl": "no"}, False, ""),
        ({"verify_ssl": "/etc/ca.pem"}, True, "/etc/ca.pem"),
        ({"ca_bundle": "/etc/ca.pem"}, True, "/etc/ca.pem"),
    ],
)
def test_tls_is_verified_unless_somebody_says_no(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], verify_ssl: bool, ca_bundle: str
) -> None:
    """JSON booleans, words and a path are all understood."""
    settings = read(monkeypatch, {**FULL, "extra": extra})

    assert (verify_ssl, ca_bundle) == (settings.verify_ssl, settings.ca_bundle)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"host": None}, "host"),
        ({"login": None}, "client id"),
        ({"password": None}, "client secret"),
        ({"host": "http://a.example.com"}, "clear text"),
        ({"host": "https://a..example.com"}, "address"),
        ({"host": "ftp://a.example.com", "extra": {"allow_http": True}}, "address"),
        ({"password": " \n"}, "client secret"),
        ({"extra": {"timeout": "soon"}}, "timeout"),
        ({"extra": {"timeout": 0}}, "timeout"),
        ({"extra": {"timeout": "inf"}}, "timeout"),
        ({"extra": {"timeout": 1e10}}, "timeout"),
        ({"extra": {"timeout": 10**400}}, "timeout"),
    ],
)
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], complaint: str
) -> None:
    """The message names the connection and the field, and never the secret."""
    with pytest.raises(PermanentError, match=complaint) as raised:
        read(monkeypatch, {**FULL, **change})

    assert "'looker_default'" in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("emptied", [None, ""])
def test_a_timeout_that_was_emptied_is_the_default(
    monkeypatch: pytest.MonkeyPatch, emptied: str | None
) -> None:
    """Forms keep what was emptied."""
    extra = {"timeout": emptied}

    assert 600.0 == read(monkeypatch, {**FULL, "extra": extra}).timeout_s
    assert 30.0 == read_segment(monkeypatch, {"password": "wk", "extra": extra}).timeout_s


def test_a_trusted_network_may_be_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http to another machine needs a word of consent."""
    said = {**FULL, "host": "http://a.example.com", "extra": {"allow_http": True}}

    assert "http://a.example.com" == read(monkeypatch, said).base_url


def test_the_google_providers_connection_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection of type ``gcp_looker`` is read unchanged."""
    said = {**FULL, "conn_type": "gcp_looker", "port": 19999, "extra": {"timeout": "30"}}
    settings = read(monkeypatch, said)

    assert ("https://a.example.com:19999", 30.0) == (settings.base_url, settings.timeout_s)


BLANKS = [" {}\n", "\u200b{}\ufeff", "{}\u00a0"]


@pytest.mark.parametrize("copied", BLANKS)
def test_blanks_around_a_secret_came_along_when_it_was_copied(
    monkeypatch: pytest.MonkeyPatch, copied: str
) -> None:
    """They are no part of it, be they seen or not."""
    said = {"login": copied.format("id"), "password": copied.format("s3cret")}
    looker = read(monkeypatch, {**FULL, **said})
    by_password = read_segment(monkeypatch, {"password": copied.format("wk")})
    by_extra = read_segment(monkeypatch, {"password": " ", "extra": {"write_key": "wk\n"}})

    assert ("id", "s3cret") == (looker.client_id, looker.client_secret)
    assert ["wk", "wk"] == [by_password.write_key, by_extra.write_key]


@pytest.mark.parametrize("password", ["", " ", "\u200b"])
def test_blanks_alone_are_no_write_key(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    """Segment takes messages under no key at all, and keeps none of them."""
    with pytest.raises(PermanentError, match="write key"):
        read_segment(monkeypatch, {"password": password})


@pytest.mark.parametrize("password", ["s3\u200bcret", "s3 cret", "s3cr\u00e9t"])
def test_a_write_key_with_another_character_is_refused(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """No request could carry it, and the message does not repeat it."""
    with pytest.raises(PermanentError, match="Copy the key") as raised:
        read_segment(monkeypatch, {"password": password})

    assert "cr" not in str(raised.value)


@pytest.mark.parametrize("extra", ['{"send": false', '["send"]', '"send"', "send=false", "null"])
def test_an_extra_that_is_no_json_object_is_refused(
    monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """Airflow takes it for an empty one, and `send` would be on again."""
    for settings, said in (
        (LookerSettings, FULL),
        (SegmentSettings, {"conn_type": "segment_source", "password": "wk"}),
    ):
        monkeypatch.setenv("AIRFLOW_CONN_STAGING", json.dumps({**said, "extra": extra}))
        # Airflow 3.1 knows no such connection where the environment says it.
        expected = "its extra should be a JSON object|Airflow found none of that id"
        with pytest.raises((PermanentError, TransientError), match=expected):
            settings.read("staging")


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings may be printed."""
    assert "s3cret" not in repr(read(monkeypatch, FULL))


def test_what_is_neither_true_nor_false_is_refused() -> None:
    """A typing error never switches something on or off."""
    with pytest.raises(PermanentError, match="true or false"):
        truth("perhaps", where="it")
