"""Tokens of the Tracking API, for sources that want OAuth in addition to the write key.

Settings enter, a token leaves, renewed when it is about to end. Segment's own client renews tokens
in threads that wait without end for some answers; here a token is there or an error says why.
Source: https://segment.com/docs/connections/oauth/
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from typing import Any

import requests

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core.retry_after import retry_after_s
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.deadline import DeadlineError, within
from airflow_provider_looker_segment.hooks.tls import distrust, unchanged, untrusted

_SCOPE = "tracking_api:write"
_ASSERTION_S = 55
"""Seconds that a signed question is good for; Segment refuses 60 and more."""

TIMEOUTS_OF_A_REQUEST = 4
"""Connecting, sending, the answer's head and its body may each take the connection's timeout."""

_SPARE_S = 30.0
"""Seconds before its end from which a token is not used any more."""


class SegmentToken:
    """One token, renewed when it is about to end.

    :param settings: of a connection that has ``oauth``.
    """

    def __init__(self, settings: SegmentSettings) -> None:
        self._settings = settings
        self._token = ""
        self._good_until = 0.0

    def held(self) -> HeldToken:
        """Return a token for one request, there before anything of the request leaves.

        :raises PermanentError: as :meth:`get_token`.
        :raises TransientError: as :meth:`get_token`.
        """
        return HeldToken(self, self.get_token())

    def get_token(self) -> str:
        """Return a token that is good for some seconds at least.

        :raises PermanentError: when the server refuses, or the private key is none.
        :raises TransientError: when it cannot answer now.
        """
        if not self._token or time.monotonic() > self._good_until:
            self._renew()
        return self._token

    def clear_token(self) -> None:
        """Forget the token, as Segment did not want it."""
        self._token = ""

    def _renew(self) -> None:
        oauth = self._settings.oauth
        assert oauth is not None
        asked_at = time.monotonic()
        longest_s = TIMEOUTS_OF_A_REQUEST * self._settings.timeout_s
        assertion = self._assertion()
        try:
            answer = within(longest_s, lambda: self._asked(oauth.server, assertion))
        except DeadlineError:
            raise self._later(f"it took more than {longest_s:.0f} s") from None
        except requests.RequestException as error:
            if why := distrust(error):
                raise self._untrusted(why) from None
            raise self._later(f"the network failed ({type(error).__name__})") from None
        except OSError as error:
            # The library raises it before it connects, where it cannot read a file it needs.
            raise self._refused(f"its CA bundle cannot be read ({type(error).__name__})") from None
        if answer.status_code in (408, 429) or answer.status_code >= 500:
            delay_s = retry_after_s(answer.headers, now=datetime.now(UTC))
            raise self._later(f"it answered {answer.status_code}", retry_after_s=delay_s)
        said = _json(answer)
        if answer.status_code != 200 or not isinstance(said.get("access_token"), str):
            raise self._refused(f"it answered {answer.status_code} without a token")
        seconds = said.get("expires_in")
        self._token = said["access_token"]
        self._good_until = (
            asked_at + (float(seconds) if isinstance(seconds, int) else 60) - _SPARE_S
        )

    def _asked(self, server: str, assertion: str) -> requests.Response:
        # The body and the server's answer are secrets: neither may be logged or quoted.
        return requests.post(
            f"{server}/token",
            data={
                "grant_type": "client_credentials",
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": assertion,
                "scope": _SCOPE,
            },
            auth=unchanged,
            timeout=self._settings.timeout_s,
            verify=self._settings.ca_bundle or True,
            allow_redirects=False,
        )

    def _assertion(self) -> str:
        """Sign who is asking."""
        import jwt  # noqa: PLC0415 - Segment's client brings it; only OAuth needs it

        oauth = self._settings.oauth
        assert oauth is not None
        now = int(time.time())
        claims = {
            "iss": oauth.client_id,
            "sub": oauth.client_id,
            "aud": oauth.server,
            "iat": now - 5,
            "exp": now - 5 + _ASSERTION_S,
            "jti": str(uuid.uuid4()),
        }
        try:
            return jwt.encode(
                claims, oauth.private_key, algorithm="RS256", headers={"kid": oauth.key_id}
            )
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            # The library's own text may quote the key.
            raise PermanentError(
                f"Connection {self._settings.conn_id!r}, extra `oauth_private_key`:",
                should="be an RSA key in PEM",
                but=f"it is not ({type(error).__name__})",
                do="Paste the whole file, from its BEGIN line to its END line.",
            ) from None

    def _later(self, but: str, *, retry_after_s: float | None = None) -> TransientError:
        return TransientError(
            self._where,
            should="give a token",
            but=but,
            do="A retry asks again; nothing was sent without one.",
            retry_after_s=retry_after_s,
        )

    def _refused(self, but: str) -> PermanentError:
        return PermanentError(
            self._where,
            should="give a token",
            but=but,
            do=f"Check the OAuth fields of connection {self._settings.conn_id!r} against the OAuth "
            "application in Segment.",
        )

    def _untrusted(self, why: str) -> PermanentError:
        return untrusted(
            self._where,
            whose="Segment's",
            but=f"it does not ({why})",
            host="server",
            conn_id=self._settings.conn_id,
        )

    @property
    def _where(self) -> str:
        oauth = self._settings.oauth
        return f"Segment's OAuth server ({oauth.server if oauth else ''}):"


class HeldToken:
    """A token as Segment's client asks for it in one request; asking again asks nobody.

    :param of: what forgets it when Segment does not want it.
    """

    def __init__(self, of: SegmentToken, token: str) -> None:
        self._of = of
        self._token = token

    def get_token(self) -> str:
        """Return it."""
        return self._token

    def clear_token(self) -> None:
        """Forget it."""
        self._of.clear_token()


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
