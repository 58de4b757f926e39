"""What "Test connection" proves about a Segment connection.

Settings enter, a sentence leaves. Nothing is sent: Segment answers 200 to any key, so that sending
would prove nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.tls import distrust, unchanged

_CDN = "https://cdn.segment.com"
_UNPROVED = (
    "That messages arrive, no test can prove, as Segment answers alike to keys that it does not "
    "know: do one run, then look at the source's debugger."
)


def looked_up(settings: SegmentSettings) -> str:
    """Look the write key up in Segment's settings, and say what that proves.

    :raises PermanentError: when the connection's CA bundle cannot be read.
    :raises TransientError: when nobody answers at the host of the connection's own.
    """
    found = _found(settings)
    off = "" if settings.send else " `send` is off: every run with this connection is a dry run."
    return f"{found} {_UNPROVED}{off}"


def _found(settings: SegmentSettings) -> str:
    if settings.region == "eu" and not settings.has_own_host:
        return (
            "Could not confirm the write key: Segment's look-up is for US workspaces. The calls go "
            f"to {settings.host}; the key must be that of an HTTP API source, because the Looker "
            "source type exists in US workspaces only."
        )
    url = settings.host if settings.has_own_host else _CDN
    try:
        with _key_unlogged(settings.write_key):
            found = requests.get(
                f"{url}/v1/projects/{settings.write_key}/settings",
                auth=unchanged,
                timeout=settings.timeout_s,
                verify=settings.ca_bundle or True,
                allow_redirects=False,
            )
    except requests.RequestException as error:
        # The library's own text would quote the address, and with it the write key.
        why = distrust(error)
        failed = f"the network failed ({type(error).__name__})"
        failed = f"no certificate vouches for it ({why})" if why else failed
        if not settings.has_own_host:
            return (
                f"Could not confirm the write key at {_CDN}: {failed}. Check the CA bundle, and "
                "whether Airflow's API server may reach it."
            )
        trouble = failed
    except OSError as error:
        raise PermanentError(
            f"Connection {settings.conn_id!r}, extra `ca_bundle`:",
            should="be a file with certificates",
            but=f"it cannot be read ({type(error).__name__})",
            do="Correct the path; the file must be on the workers and on Airflow's API server.",
        ) from None
    else:
        return _judged(found, settings)
    raise TransientError(
        f"Segment ({settings.host})", should="answer", but=trouble, do="Test again."
    )


def _judged(found: requests.Response, settings: SegmentSettings) -> str:
    if found.status_code == 200:
        return f"Segment knows this write key ({settings.host}, region {settings.region})."
    return f"Could not confirm the write key: the settings look-up answered {found.status_code}."


@contextmanager
def _key_unlogged(write_key: str) -> Iterator[None]:
    """Keep an address that holds the write key out of the HTTP library's debug lines."""
    logger = logging.getLogger("urllib3.connectionpool")

    def hidden(record: logging.LogRecord) -> bool:
        return write_key not in record.getMessage()

    logger.addFilter(hidden)
    try:
        yield
    finally:
        logger.removeFilter(hidden)
