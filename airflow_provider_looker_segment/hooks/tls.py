"""What the connection says and the worker's environment does not: certificates and credentials.

``requests`` lets ``REQUESTS_CA_BUNDLE`` overrule a session's own setting, also where the session
was told to trust one bundle only, or not to verify at all, and it lets a netrc file overrule
credentials that stand in a header.
"""

from __future__ import annotations

import re
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from airflow_provider_looker_segment.core.wording import without_values
from airflow_provider_looker_segment.exceptions import PermanentError


class FixedTrust(HTTPAdapter):
    """Sends every request with one setting.

    :param verify: true for the usual authorities, false for none, or the path of a bundle.
    """

    def __init__(self, *, verify: bool | str) -> None:
        super().__init__()
        self._verify = verify

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send a request, whatever its caller or the environment say about certificates."""
        return super().send(request, *args, **{**kwargs, "verify": self._verify})


def distrust(error: OSError) -> str:
    """Say why no certificate vouches for a host; empty where that is not the trouble."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        why = re.search(r"verify failed: ([^.(]+)", text)
        return without_values(why[1]).strip() if why else "no reason given"
    return ""


def untrusted(where: str, *, whose: str, but: str, host: str, conn_id: str) -> PermanentError:
    """Build the error for a host that no certificate vouches for.

    :param whose: whom a certificate should name, as in "it is Looker".
    :param host: what the connection calls the host.
    """
    return PermanentError(
        where,
        should=f"prove with a certificate that it is {whose}",
        but=but,
        do=f"Correct the {host}, or name the file of the authority that signed the certificate "
        f"in the extra `ca_bundle` of connection {conn_id!r}.",
    )


def unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authorise a request by what it holds already: the ``auth`` that keeps netrc files out."""
    return request
