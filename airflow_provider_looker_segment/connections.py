"""Airflow connections become the settings of the two sides.

A connection enters, a frozen settings object leaves; secrets stay out of every ``repr``.
Connections of this package's own types and of the types of the Google and Segment providers
(``gcp_looker``, ``segment``) are read alike.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import BaseHook
from airflow.sdk.log import mask_secret

from airflow_provider_looker_segment.addresses import (
    base_url_of,
    is_loopback,
    refuse_clear_text,
)
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

SEGMENT_HOSTS = {"us": "https://api.segment.io", "eu": "https://events.eu1.segmentapis.com"}
"""Where the Tracking API is, by region.

Source: https://segment.com/docs/guides/regional-segment/
"""

SEGMENT_APPS = {"us": "https://app.segment.com", "eu": "https://eu1.app.segment.com"}
"""Where people look at a workspace, by region."""

OAUTH_SERVERS = {"us": "https://oauth2.segment.io", "eu": "https://oauth2.eu1.segmentapis.com"}
"""Who gives OAuth tokens for the Tracking API, by region.

Source: https://segment.com/docs/connections/oauth/
"""

_LONGEST_TIMEOUT_S = 86_400
"""A day: sockets refuse what is far above it."""

_KEY = re.compile(r"[!-~]+")
"""What a write key is made of; whatever else is in one came along when it was copied."""

_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"", "0", "f", "false", "n", "no", "off"})


@dataclass(frozen=True, slots=True)
class LookerSettings:
    """How to reach Looker's API.

    :param base_url: scheme, host and port, without a path.
    :param timeout_s: seconds to wait for a connection, the first byte, or the next piece.
    :param ca_bundle: path of a file with certificate authorities; empty for the usual ones.
    :param sudo_user_id: the Looker user to act as; empty for the API key's own user.
    """

    conn_id: str
    base_url: str
    client_id: str
    client_secret: str = field(repr=False)
    verify_ssl: bool = True
    ca_bundle: str = ""
    timeout_s: float = 600.0
    sudo_user_id: str = ""

    @classmethod
    def read(cls, conn_id: str) -> LookerSettings:
        """Read an Airflow connection.

        :raises PermanentError: when it lacks a field or would send secrets in clear text.
        :raises TransientError: when Airflow finds no such connection.
        """
        connection = _connection(conn_id)
        where = f"Connection {conn_id!r}"
        extra = _extra(connection, where=where)
        host, client_id = connection.host, _copied(connection.login)
        client_secret = _copied(connection.password)
        if not host:
            raise _missing(where, "a host (the URL of the API)", "Looker")
        if not client_id:
            raise _missing(where, "a login (the client id)", "Looker")
        if not client_secret:
            raise _missing(where, "a password (the client secret)", "Looker")
        mask_secret(client_secret)
        base_url = base_url_of(host, connection.port)
        refuse_clear_text(where, base_url, is_allowed=_allows_http(extra, where))
        verify = _unless_blank(extra.get("verify_ssl"), True)
        ca_bundle = str(extra.get("ca_bundle") or "")
        if isinstance(verify, str) and verify.strip().lower() not in _TRUE | _FALSE:
            # The SDK's own habit: a path in place of a truth value names the bundle.
            ca_bundle, verify = verify, True
        return cls(
            conn_id=conn_id,
            base_url=base_url,
            client_id=client_id,
            client_secret=client_secret,
            verify_ssl=truth(verify, where=f"{where}, extra `verify_ssl`"),
            ca_bundle=ca_bundle,
            timeout_s=_seconds(_unless_blank(extra.get("timeout"), 600), where=where),
            sudo_user_id=_user_id(extra.get("sudo_user_id"), where=where),
        )


@dataclass(frozen=True, slots=True)
class SegmentOauth:
    """How to get a token for the Tracking API, in addition to the write key.

    :param client_id: of the OAuth application.
    :param key_id: of the public key that Segment holds.
    :param private_key: PEM, RSA.
    :param server: scheme and host that gives tokens.
    """

    client_id: str
    key_id: str
    private_key: str = field(repr=False)
    server: str


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """How to reach one Segment source.

    :param host: scheme and host of the Tracking API.
    :param region: of the workspace, ``us`` or ``eu``.
    :param send: false makes every run a dry run.
    :param ca_bundle: path of a file with certificate authorities; empty for the usual ones.
    :param workspace: the workspace's slug, for links; empty when nobody said it.
    :param source: the source's slug, for links and lineage; empty when nobody said it.
    :param oauth: how to get a token; ``None`` where the write key suffices.
    """

    conn_id: str
    host: str
    write_key: str = field(repr=False)
    send: bool = True
    timeout_s: float = 30.0
    ca_bundle: str = ""
    region: str = "us"
    workspace: str = ""
    source: str = ""
    oauth: SegmentOauth | None = None

    @classmethod
    def read(cls, conn_id: str) -> SegmentSettings:
        """Read an Airflow connection.

        :raises PermanentError: when it has no write key, an unknown region, or would send
            the key in clear text.
        :raises TransientError: when Airflow finds no such connection.
        """
        connection = _connection(conn_id)
        where = f"Connection {conn_id!r}"
        extra = _extra(connection, where=where)
        write_key = _copied(connection.password) or _copied(extra.get("write_key"))
        if not write_key:
            raise _missing(where, "a password (the write key)", "Segment")
        # The official Segment provider keeps the key in an extra that Airflow does not mask.
        mask_secret(write_key)
        if not _KEY.fullmatch(write_key):
            raise PermanentError(
                f"{where}: its password (the write key)",
                should="be made of letters, digits and signs without blanks",
                but="it holds another character",
                do="Copy the key from Segment once more.",
            )
        region = str(extra.get("region") or "us").strip().lower()
        if region not in SEGMENT_HOSTS:
            raise PermanentError(
                f"{where}, extra `region`:",
                should="be us or eu",
                but=f"it is {region!r}",
                do="Choose the region of the Segment workspace, or give a host.",
            )
        host = (
            base_url_of(connection.host, connection.port)
            if connection.host
            else SEGMENT_HOSTS[region]
        )
        refuse_clear_text(where, host, is_allowed=_allows_http(extra, where))
        return cls(
            conn_id=conn_id,
            host=host,
            write_key=write_key,
            send=truth(extra.get("send", True), where=f"{where}, extra `send`"),
            timeout_s=_seconds(_unless_blank(extra.get("timeout"), 30), where=where),
            ca_bundle=str(extra.get("ca_bundle") or ""),
            region=region,
            workspace=_slug(extra, "workspace"),
            source=_slug(extra, "source"),
            oauth=_oauth(extra, region=region, where=where),
        )

    @property
    def has_own_host(self) -> bool:
        """Whether messages go to a host that is not one of Segment's."""
        return self.host not in SEGMENT_HOSTS.values()

    @property
    def app(self) -> str:
        """Where people look at the workspace."""
        return SEGMENT_APPS[self.region]

    @property
    def is_on_this_machine(self) -> bool:
        """Whether messages go to a stand-in."""
        return is_loopback(urlsplit(self.host).hostname or "")

    @property
    def write_key_fingerprint(self) -> str:
        """What tells one Segment source from another without revealing its key: 16 hex digits."""
        digest = hashlib.blake2b(self.write_key.encode(), digest_size=8, person=b"looker_segment")
        return digest.hexdigest()


def truth(said: Any, *, where: str) -> bool:
    """Read a truth value as people write it in forms, JSON and environment variables.

    :raises PermanentError: when it is neither.

    >>> truth("Yes", where=""), truth(0, where="")
    (True, False)
    """
    text = str(said).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise PermanentError(
        where, should="be true or false", but="it is neither", do="Write one of them."
    )


def _connection(conn_id: str) -> Any:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        # Airflow says the same of a secrets backend or an API server that is out of reach.
        raise TransientError(
            f"Connection {conn_id!r}",
            should="exist in Airflow",
            but="Airflow found none of that id, or could not ask where it is kept",
            do="Add it, or name another one.",
        ) from error


def _extra(connection: Any, *, where: str) -> dict[str, Any]:
    """Return a connection's extra.

    Airflow takes one that is no JSON for an empty one, and a ``send`` that is off would be on.
    """
    try:
        said = json.loads(connection.extra or "{}")
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise PermanentError(
            f"{where}: its extra",
            should="be a JSON object",
            but="it is none",
            do='Write it like {"timeout": 60}, or leave it empty.',
        )
    # This way Airflow hides in its logs what the extra calls a secret.
    extra: dict[str, Any] = connection.extra_dejson
    return extra


def _unless_blank(said: Any, default: Any) -> Any:
    """Return what an extra says; a field that was emptied says nothing: it switches nothing off."""
    return default if said is None or said == "" else said


def _copied(said: Any) -> str:
    """Return what somebody has copied from a page, without the blanks that came along."""
    # A DAG file that names a snapshot loads this module, at every parse.
    from airflow_provider_looker_segment.core.identity import trimmed  # noqa: PLC0415

    return trimmed(str(said or ""))


def _allows_http(extra: Mapping[str, Any], where: str) -> bool:
    said = _unless_blank(extra.get("allow_http"), False)
    return truth(said, where=f"{where}, extra `allow_http`")


def _user_id(said: Any, *, where: str) -> str:
    text = "" if said is None else str(said).strip()
    if text and not text.isdecimal():
        raise PermanentError(
            f"{where}, extra `sudo_user_id`:",
            should="be the number of a Looker user",
            but="it is not a number",
            do="Take it from the address of the user's page in Looker, or leave it empty.",
        )
    return text


def _slug(extra: dict[str, Any], name: str) -> str:
    return str(extra.get(name) or "").strip().strip("/")


def _oauth(extra: dict[str, Any], *, region: str, where: str) -> SegmentOauth | None:
    names = ("oauth_client_id", "oauth_key_id", "oauth_private_key")
    client_id, key_id, private_key = (str(extra.get(name) or "").strip() for name in names)
    if not (client_id or key_id or private_key):
        return None
    for name, value in zip(names, (client_id, key_id, private_key), strict=True):
        if not value:
            raise _missing(
                where, f"an extra `{name}`, as the other OAuth fields are filled in", "Segment"
            )
    mask_secret(private_key)
    server = base_url_of(str(extra.get("oauth_server") or OAUTH_SERVERS[region]), None)
    is_allowed = _allows_http(extra, where)
    refuse_clear_text(f"{where}, extra `oauth_server`", server, is_allowed=is_allowed)
    # A form of one line, and JSON written by hand, keep line breaks as two characters.
    return SegmentOauth(client_id, key_id, private_key.replace("\\n", "\n"), server)


def _seconds(said: Any, *, where: str) -> float:
    try:
        seconds = float(said)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds < _LONGEST_TIMEOUT_S:
        raise PermanentError(
            f"{where}, extra `timeout`:",
            should=f"be a number of seconds above 0 and below {_LONGEST_TIMEOUT_S:,}",
            but=f"it is {said!r}",
            do="Mend it, or remove it to get the default.",
        )
    return seconds


def _missing(where: str, name: str, side: str) -> PermanentError:
    return PermanentError(
        f"{where}:",
        should=f"have {name}",
        but="it has none",
        do=f"Fill it in; docs/connections.md says where {side} shows it.",
    )
