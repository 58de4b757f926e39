"""The Segment side: one batch, one request, one honest answer.

The only place that imports ``segment.analytics``, and of it only the function that posts a batch:
its queueing client loses messages and reports success.
A batch counts as accepted only when Segment itself said so; a 200 means queued, not delivered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import requests
from airflow.sdk import BaseHook
from requests.adapters import HTTPAdapter

from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core.retry_after import retry_after_s
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.deadline import DeadlineError, within
from airflow_provider_looker_segment.hooks.failed_test import failure
from airflow_provider_looker_segment.hooks.segment_check import looked_up
from airflow_provider_looker_segment.hooks.segment_oauth import (
    TIMEOUTS_OF_A_REQUEST,
    SegmentToken,
)
from airflow_provider_looker_segment.hooks.tls import (
    FixedTrust,
    distrust,
    unchanged,
    untrusted,
)

Kind = Literal["accepted", "bad_content", "too_large", "wait", "stop"]

_CONTENT_STATUSES: dict[int, Kind] = {400: "bad_content", 413: "too_large"}
_WAIT_STATUSES = frozenset({408, 410, 429, 460})
_TOKEN_STATUSES = frozenset({401, 403, 511})
_STOP_STATUSES = frozenset({501, 505, 511})


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    :param kind: what to do about it. ``bad_content``: some message is at fault; ``too_large``: the
        request is; ``wait``: try again later; ``stop``: no request of this run can succeed.
    :param said: the answer in words, without anything that was sent.
    :param retry_after_s: seconds Segment asked to wait, if it did.
    :param maybe_accepted: the messages may have arrived although no answer says so.
    :param wants_token: whoever sent them was not believed; nothing was taken.
    :param is_untrusted: no request left, because no certificate vouches for the host.
    """

    kind: Kind
    said: str = ""
    retry_after_s: float | None = None
    maybe_accepted: bool = False
    wants_token: bool = False
    is_untrusted: bool = False


class SegmentHook(BaseHook):
    """Posts batches to one Segment source.

    :param segment_conn_id: an Airflow connection of type ``segment_source`` or ``segment``.
    """

    conn_name_attr = "segment_conn_id"
    default_conn_name = "segment_default"
    conn_type = "segment_source"
    hook_name = "Segment source"

    def __init__(self, segment_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.segment_conn_id = segment_conn_id

    @cached_property
    def settings(self) -> SegmentSettings:
        """The connection, as settings."""
        return SegmentSettings.read(self.segment_conn_id)

    @cached_property
    def _client(self) -> Any:
        from segment.analytics import request  # noqa: PLC0415 - costs half a second at import

        # At debug level the client logs whole bodies: the write key and everybody's traits.
        logging.getLogger("segment").addFilter(_above_debug)
        # A followed redirect would carry both to another host, or turn the POST into a GET.
        session = request._session  # noqa: SLF001 - the client offers no setting for either
        session.max_redirects = 0
        # Else a netrc file of the worker would take the place of the write key.
        session.auth = unchanged
        bundle = self.settings.ca_bundle
        session.mount("https://", FixedTrust(verify=bundle) if bundle else HTTPAdapter())
        return request

    @cached_property
    def _token(self) -> SegmentToken | None:
        return SegmentToken(self.settings) if self.settings.oauth else None

    def post(self, batch: Sequence[dict[str, Any]]) -> Answer:
        """Send one batch and tell what Segment answered.

        :param batch: complete messages, at most 2,500 and 475,000 bytes with the envelope.
        :raises PermanentError: when the OAuth server refuses a token; nothing was sent then.
        """
        answer = self._posted(batch)
        if answer.wants_token and self._token is not None:
            # It may have ended, or been withdrawn, while it was still good by its own word.
            self._token.clear_token()
            answer = self._posted(batch)
        return answer

    def _posted(self, batch: Sequence[dict[str, Any]]) -> Answer:
        settings, client = self.settings, self._client
        try:
            token = self._token.held() if self._token else None
        except TransientError as error:
            return Answer("wait", error.but, retry_after_s=error.retry_after_s)
        longest_s = TIMEOUTS_OF_A_REQUEST * settings.timeout_s
        try:
            response = within(
                longest_s,
                lambda: client.post(
                    settings.write_key,
                    host=settings.host,
                    timeout=settings.timeout_s,
                    oauth_manager=token,
                    batch=list(batch),
                ),
            )
        except DeadlineError:
            return Answer("wait", f"it took more than {longest_s:.0f} s", maybe_accepted=True)
        except (client.APIError, requests.TooManyRedirects) as error:
            return _refused(error.response)
        except OSError as error:
            return _unanswered(error)
        except RecursionError:
            # An answer of another kind than Segment's, nested deeper than anybody reads.
            return Answer("wait", "it answered with something odd", maybe_accepted=True)
        return _judged(response)

    def test_connection(self) -> tuple[bool, str]:
        """Look the write key up and ask for a token, for the connection form's test button."""
        try:
            settings = self.settings
            token = "" if self._token is None else self._token.get_token()
            said = looked_up(settings)
        except (PermanentError, TransientError) as error:
            return False, failure(error, self.segment_conn_id)
        return True, f"The OAuth server gave a token. {said}" if token else said


def stopped(answer: Answer, settings: SegmentSettings) -> PermanentError:
    """Build the error for an answer after which no request can succeed."""
    if answer.is_untrusted:
        return untrusted(
            f"Segment ({settings.host}):",
            whose="Segment",
            but=answer.said,
            host="host",
            conn_id=settings.conn_id,
        )
    return PermanentError(
        f"Segment ({settings.host}):",
        should="take the messages",
        but=answer.said,
        do=f"Check the host and the write key of connection {settings.conn_id!r}.",
    )


def exhausted(answer: Answer, settings: SegmentSettings) -> TransientError:
    """Build the error for an answer that stayed the same for too long."""
    return TransientError(
        f"Segment ({settings.host}):",
        should="take the messages",
        but=answer.said,
        do="A retry goes on where this try stopped, under the same message ids.",
        retry_after_s=answer.retry_after_s,
    )


def _judged(response: requests.Response) -> Answer:
    if response.history or response.request.method != "POST":
        return Answer("stop", "it redirected the request to another address", maybe_accepted=True)
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return Answer(
            "stop",
            f"it answered {response.status_code} with something that is not Segment's JSON",
            maybe_accepted=True,
        )
    if isinstance(body, dict) and body.get("success") is True:
        return Answer("accepted")
    return Answer(
        "wait", f"it answered {response.status_code} without success", maybe_accepted=True
    )


def _refused(response: requests.Response | None) -> Answer:
    if response is None:
        return Answer("stop", "it redirected the request to another address")
    status = response.status_code
    said = f"it answered {status}"
    delay_s = retry_after_s(response.headers, now=datetime.now(UTC))
    if status in _CONTENT_STATUSES:
        return Answer(_CONTENT_STATUSES[status], said)
    # The client takes word that an answer will follow, a status below 200, for the answer.
    may_pass = status < 200 or (status >= 500 and status not in _STOP_STATUSES)
    if may_pass or status in _WAIT_STATUSES:
        return Answer("wait", said, retry_after_s=delay_s, maybe_accepted=status != 429)
    if 300 <= status < 400:
        return Answer("stop", f"{said}, a redirect to another address")
    return Answer("stop", said, wants_token=status in _TOKEN_STATUSES)


def _unanswered(error: OSError) -> Answer:
    if not isinstance(error, requests.RequestException):
        # The library raises it before it connects, where it cannot read a file it needs.
        return Answer("stop", f"its CA bundle cannot be read ({type(error).__name__})")
    if why := distrust(error):
        return Answer("stop", f"it does not ({why})", is_untrusted=True)
    return Answer("wait", _network(error), maybe_accepted=not _never_connected(error))


def _never_connected(error: requests.RequestException) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError  # noqa: PLC0415

    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def _network(error: requests.RequestException) -> str:
    # The library's own text would quote the address, and with it the write key.
    return f"the network failed ({type(error).__name__})"


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
