"""What Looker's refusals mean: a status, a broken connection, or words enter, an error leaves.

Whatever may pass is told from what may not, in one place. No value of a row gets into a message.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import NoReturn

import requests

from airflow_provider_looker_segment.connections import LookerSettings
from airflow_provider_looker_segment.core.retry_after import retry_after_s
from airflow_provider_looker_segment.core.wording import without_values
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

PATIENCE_S = 120.0
"""Seconds that a request is repeated for while Looker cannot answer, unless said otherwise."""

_MAX_SAID_BYTES = 65_536
_LONGEST_BACKOFF_S = 30.0
_NOT_YET = 202
_TRANSIENT_STATUSES = frozenset({_NOT_YET, 408, 425, 429, 500, 502, 503, 504})


class Refusal(Exception):  # noqa: N818 - internal: it becomes one of this package's errors
    """Looker did not do what it was asked.

    :param status: of the answer; ``None`` where none came.
    :param response: the answer, for what it says about waiting.
    :param said: its words, without values.
    """

    def __init__(self, status: int | None, response: requests.Response | None, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.retry_after_s = None
        if response is not None:
            self.retry_after_s = retry_after_s(response.headers, now=datetime.now(UTC))

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status in _TRANSIENT_STATUSES

    def delay_s(self, attempt: int) -> float:
        """Return how long to wait: as long as Looker asks, else longer each time.

        :param attempt: how often it was refused before, from 0.
        """
        if self.retry_after_s is not None:
            return self.retry_after_s
        return min(2.0**attempt, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def raise_permanent(self, where: str, settings: LookerSettings) -> NoReturn:
        """Tell what somebody must change first."""
        do = {
            200: "Check that the connection's host is the API itself, not a sign-in page or a "
            "proxy.",
            401: "Check the client id and secret of the connection.",
            403: "Give the API user access to it.",
            404: "Check the id, and that the API user may see it; Looker also answers so when the "
            "client id or secret of the connection is wrong.",
        }.get(self.status or 0, "Mend what Looker complains about.")
        if self.status is not None and 300 <= self.status < 400:
            do = "Give the connection the host of the API itself."
        raise PermanentError(
            where,
            should="be answered by Looker",
            but=f"it answered {self.status}: {self.said}",
            do=f"{do} (connection {settings.conn_id!r})",
        ) from self

    def raise_transient(self, where: str) -> NoReturn:
        """Tell that Looker could not answer, for longer than anybody waits within one try."""
        answered = "gave no answer" if self.status is None else f"answered {self.status}"
        raise TransientError(
            where,
            should="be answered by Looker",
            but=f"it {answered}: {self.said}",
            do="Nothing was sent; the run can be tried again.",
            retry_after_s=self.retry_after_s,
        ) from self


def said(response: requests.Response) -> str:
    """Return what an error answer says, without values, from at most 64 KB of it."""
    try:
        raw = response.raw.read(_MAX_SAID_BYTES, decode_content=True)
    except Exception:  # noqa: BLE001 - urllib3 raises many kinds; the status says enough
        return "no readable answer"
    text = raw.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        return without_values(text, max_chars=120) or "nothing"
    message = document.get("message") if isinstance(document, dict) else None
    return without_values(str(message or "an unexpected document"))


def is_missing(error: Exception) -> bool:
    """Whether an error means that Looker does not have, or no longer has, what was asked for."""
    return isinstance(error.__cause__, Refusal) and error.__cause__.status == 404


def network_trouble(error: requests.RequestException) -> str:
    """Return what became of a connection, without the library's text, which may quote values."""
    kind = "the connection timed out" if isinstance(error, requests.Timeout) else "it broke off"
    return f"{kind} ({type(error).__name__})"


def unfinished(where: str, but: str) -> TransientError:
    """Return the error of a result that stopped arriving."""
    return TransientError(
        f"{where}: the result",
        should="arrive to its end",
        but=but,
        do="Nothing of it was sent; the run can be tried again.",
    )
