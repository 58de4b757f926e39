"""What may stand in an address: of the two services, and of the places where files are kept.

Text enters; an address that holds no secret and sends none in clear text leaves, or an error.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from airflow_provider_looker_segment.exceptions import PermanentError

_SCHEMES = frozenset({"http", "https"})


def base_url_of(host: str, port: int | None) -> str:
    """Return scheme, host and port of a service, however people write them.

    >>> base_url_of("acme.looker.com/api/4.0/", 19999)
    'https://acme.looker.com:19999'
    """
    host = host.strip()
    if isinstance(_ip(host), IPv6Address):
        # Airflow takes the brackets off where a connection is one URI.
        host = f"[{host}]"
    url = (host if "://" in host else f"https://{host}").rstrip("/")
    url = url.removesuffix("/api/4.0").removesuffix("/v1").rstrip("/")
    return f"{url}:{port}" if port and _parts(url)[1] is None else url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    ip = _ip(host)
    return host == "localhost" if ip is None else ip.is_loopback


def refuse_clear_text(where: str, url: str, *, is_allowed: bool) -> None:
    """Refuse the address of a service that would be told secrets in clear text.

    :param is_allowed: whether somebody said that the network itself is trusted.
    :raises PermanentError: then, and when it is no address, or holds more than one.
    """
    parts, _ = _parts(url)
    if parts is None or parts.username is not None or parts.query or parts.fragment:
        # Messages name the host, so nothing secret may be part of it.
        raise PermanentError(
            f"{where}: its host",
            should="be an address only",
            but="it is none, or holds a user name, a password or a query too",
            do="Write it like https://example.com:19999, and secrets into the password field.",
        )
    if parts.scheme == "https" or is_allowed or is_loopback(parts.hostname or ""):
        return
    raise PermanentError(
        f"{where}: its host",
        should="begin with https://",
        but=f"it begins with {parts.scheme}://, and secrets would travel in clear text",
        do='Use https, or set the extra "allow_http" to true if the network itself is trusted.',
    )


def refuse_secret(where: str, address: str) -> None:
    """Refuse an address that holds a secret: logs, reports and Airflow's pages show addresses.

    :raises PermanentError: when it holds a password or a query, or is no address at all.
    """
    try:
        parts = urlsplit(address)
        has_secret = parts.password is not None or "=" in parts.query
    except ValueError:
        has_secret = None
    if has_secret is False:
        return
    raise PermanentError(
        where,
        should="be an address only",
        but="it is none" if has_secret is None else "it holds a password or a key too",
        do="Keep secrets in an Airflow connection, and name that: s3://conn_id@bucket/folder.",
    )


def _ip(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _parts(url: str) -> tuple[SplitResult | None, int | None]:
    """Return the parts of an address and its port; nothing where it is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # As the library does when it connects; "a..example.com" is no name.
        host = (parts.hostname or "").encode("idna")
    except ValueError:
        return None, None
    is_address = host and parts.scheme in _SCHEMES and not re.search(r"\s", url)
    return (parts, port) if is_address else (None, None)
