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


def unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authorise a request by what it holds already: the ``auth`` that keeps netrc files out."""
    return request
