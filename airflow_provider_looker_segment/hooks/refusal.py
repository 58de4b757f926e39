"""What Looker's refusals mean: a status, a broken connection, or words enter, an error leaves.

Whatever may pass is told from what may not, in one place. No value of a row gets into a message.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import requests

from airflow_provider_looker_segment.connections import LookerSettings
from airflow_provider_looker_segment.core.retry_after import retry_after_s
from airflow_provider_looker_segment.core.wording import without_values
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.deadline import DeadlineError, within
from airflow_provider_looker_segment.hooks.tls import distrust, untrusted

Result = TypeVar("Result")

PATIENCE_S = 120.0
"""Seconds that a request is repeated for while Looker cannot answer, unless said otherwise."""

_SIGN_IN = re.compile(r"/login(?:/(?P<user>[0-9]+))?$")
_TROUBLES = {
    "NameResolutionError": "no such host is known here",
    "NewConnectionError": "nobody takes the connection",
    "SSLError": "no secure connection came about",
}
_MAX_SAID_BYTES = 65_536
_LONGEST_BACKOFF_S = 30.0
_SHORTEST_WAIT_S = 1.0
_WORDS_S = 10.0
"""Seconds for the words of an error; its status says enough without them."""

_NOT_YET = 202
_TRANSIENT_STATUSES = frozenset({_NOT_YET, 408, 425, 429, 500, 502, 503, 504})


class Refusal(Exception):  # noqa: N818 - internal: it becomes one of this package's errors
    """Looker did not do what it was asked.

    :param status: of the answer; ``None`` where none came.
    :param response: the answer, for what it says about waiting.
    :param said: its words, without values.
    :param url: where the request went.
    :param is_untrusted: whether no request left, because no certificate vouches for the host.
    :param is_late: whether nobody waits for the answer any more, and it may still come.
    """

    def __init__(
        self,
        status: int | None,
        response: requests.Response | None,
        said: str,
        *,
        url: str = "",
        is_untrusted: bool = False,
        is_late: bool = False,
    ) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.is_untrusted = is_untrusted
        self.is_late = is_late
        self.sign_in = _SIGN_IN.search(urlsplit(url).path)
        self.retry_after_s = None
        if response is not None:
            self.retry_after_s = retry_after_s(response.headers, now=datetime.now(UTC))

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return not self.is_untrusted and (self.status is None or self.status in _TRANSIENT_STATUSES)

    def delay_s(self, attempt: int) -> float:
        """Return how long to wait: as long as Looker asks, else longer each time.

        :param attempt: how often it was refused before, from 0.
        """
        if self.retry_after_s is not None:
            # "Now", or a moment that has passed, would be an endless loop without a pause.
            return max(self.retry_after_s, _SHORTEST_WAIT_S)
        return min(2.0**attempt, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def raise_permanent(self, where: str, settings: LookerSettings) -> NoReturn:
        """Tell what somebody must change first."""
        connection = f"Connection {settings.conn_id!r}"
        if self.is_untrusted:
            raise untrusted(
                f"{connection}, host {settings.base_url}:",
                whose="Looker",
                but=self.said,
                host="host",
                conn_id=settings.conn_id,
            ) from self
        if self.sign_in and 400 <= (self.status or 0) < 500:
            do = "Check the client id and secret; Looker answers 404 where they are wrong."
            if self.sign_in["user"]:
                do = f"Check that there is a user {self.sign_in['user']}, and that the API user "
                do += "may act as others."
            raise PermanentError(
                f"{connection}: the sign-in at {settings.base_url}",
                should="be accepted",
                but=f"Looker answered {self.status}: {self.said}",
                do=do,
            ) from self
        do = {
            200: "Check that the connection's host is the API itself, not a sign-in page or a "
            "proxy.",
            401: "Check the client id and secret of the connection.",
            403: "Give the API user access to it.",
            404: "Check the id, and that the API user may see it.",
        }.get(self.status or 0, "Mend what Looker complains about.")
        if self.status is not None and 300 <= self.status < 400:
            do = "Give the connection the host of the API itself."
        raise PermanentError(
            where,
            should="be answered by Looker",
            but=f"it answered {self.status}: {self.said}",
            do=f"{do} (connection {settings.conn_id!r})",
        ) from self

    def raise_transient(self, where: str, settings: LookerSettings) -> NoReturn:
        """Tell that Looker could not answer, for longer than anybody waits within one try."""
        answered = f"answered {self.status}"
        connection = f"connection {settings.conn_id!r}"
        do = f"Nothing was sent; the run can be tried again. ({connection})"
        if self.status is None:
            answered = f"gave no answer at {settings.base_url}"
            do = "Nothing was sent; the run can be tried again. If that changes nothing, check "
            do += f"the URL, its port, http or https, and the CA bundle of {connection}."
        raise TransientError(
            where,
            should="be answered by Looker",
            but=f"it {answered}: {self.said}",
            do=do,
            retry_after_s=self.retry_after_s,
        ) from self


def in_time(longest_s: float, call: Callable[[], Result]) -> Result:
    """Make a call to Looker; one that takes too long has no answer.

    :raises Refusal: then, and whenever the call raises it.
    """
    try:
        return within(longest_s, call)
    except DeadlineError:
        late = f"it took more than {longest_s:.0f} s"
        raise Refusal(None, None, late, is_late=True) from None


def said(response: requests.Response) -> str:
    """Return what an error answer says, without values, from at most 64 KB of it."""
    try:
        raw = _words(response)
    except Exception:  # noqa: BLE001 - urllib3 raises many kinds; the status says enough
        return "no readable answer"
    return words(raw)


def words(body: bytes) -> str:
    """Return what the body of an error says, without values: its message and the details of it."""
    text = body[:_MAX_SAID_BYTES].decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return without_values(text, max_chars=120) or "nothing"
    if not isinstance(document, dict):
        return "an unexpected document"
    errors = document.get("errors")
    details = errors if isinstance(errors, list) else []
    found = [str(document.get("message") or "an unexpected document")]
    for detail in details:
        if isinstance(detail, dict) and detail.get("message"):
            field = f"{detail['field']}: " if detail.get("field") else ""
            found.append(f"{field}{detail['message']}")
    return without_values("; ".join(entry.removesuffix(".") for entry in found))


def _words(response: requests.Response) -> bytes:
    give_up_at = time.monotonic() + _WORDS_S
    raw = b""
    while len(raw) < _MAX_SAID_BYTES and time.monotonic() < give_up_at:
        piece = response.raw.read1(_MAX_SAID_BYTES - len(raw), decode_content=True)
        if not piece:
            break
        raw += piece
    return raw


def is_missing(error: Exception) -> bool:
    """Whether an error means that Looker does not have, or no longer has, what was asked for."""
    cause = error.__cause__
    return isinstance(cause, Refusal) and cause.status == 404 and not cause.sign_in


def network_trouble(error: OSError, *, url: str) -> Refusal:
    """Say what became of a connection, without the library's text, which may quote values."""
    if why := distrust(error):
        return Refusal(None, None, f"it does not ({why})", url=url, is_untrusted=True)
    if "CA certificate bundle" in str(error):
        but = "the file of authorities that is to vouch for it is not on this worker"
        return Refusal(None, None, but, url=url, is_untrusted=True)
    reason = getattr(error.args[0] if error.args else None, "reason", None) or error
    kind = "the connection timed out" if isinstance(error, requests.Timeout) else "it broke off"
    kind = _TROUBLES.get(type(reason).__name__, kind)
    return Refusal(None, None, f"{kind} ({type(reason).__name__})", url=url)


def unfinished(where: str, but: str) -> TransientError:
    """Return the error of a result that stopped arriving."""
    return TransientError(
        f"{where}: the result",
        should="arrive to its end",
        but=but,
        do="Nothing of it was sent; the run can be tried again.",
    )
