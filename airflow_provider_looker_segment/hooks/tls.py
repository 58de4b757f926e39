"""Whose certificates are trusted: what the connection says, and not the worker's environment.

``requests`` lets ``REQUESTS_CA_BUNDLE`` overrule a session's own setting, also where the session
was told to trust one bundle only, or not to verify at all.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter


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
