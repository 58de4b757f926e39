"""The Looker side: sign in, read metadata, create queries, stream results.

The only place that imports ``looker_sdk``. Its errors never leave this file untranslated, and
results never pass through its buffering. Four of its defects are sidestepped in
:func:`_connect`, each by name.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from airflow.sdk import BaseHook

from airflow_provider_looker_segment.connections import LookerSettings
from airflow_provider_looker_segment.core.look import Look, read_look
from airflow_provider_looker_segment.core.query import RunQuery
from airflow_provider_looker_segment.core.wording import without_values
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.deadline import within
from airflow_provider_looker_segment.hooks.looker_check import tested
from airflow_provider_looker_segment.hooks.looker_metadata import (
    EXPLORE_KEYS,
    explore_as_dict,
    query_as_dict,
    result_parameters,
)
from airflow_provider_looker_segment.hooks.looker_session import RememberingSession
from airflow_provider_looker_segment.hooks.refusal import (
    PATIENCE_S,
    Refusal,
    in_time,
    network_trouble,
    said,
    unfinished,
    words,
)
from airflow_provider_looker_segment.hooks.tls import FixedTrust

if TYPE_CHECKING:
    from looker_sdk.sdk.api40.methods import Looker40SDK

Result = TypeVar("Result")

_PIECE_BYTES = 65_536
_CONNECT_TIMEOUT_S = 10.0
_SIGN_OUT_S = 10.0
_TEST_PATIENCE_S = 10.0  # somebody sits before the form and waits


@dataclass(frozen=True, slots=True)
class Answer:
    """The body of a running query, in pieces.

    :param pieces: bytes as they arrive; a broken connection raises ``TransientError``.
    :param content_type: the answer's own word for what it is.
    """

    pieces: Iterator[bytes]
    content_type: str


class LookerHook(BaseHook):
    """Talks to one Looker instance through its API 4.0.

    :param looker_conn_id: an Airflow connection of type ``looker`` or ``gcp_looker``.
    :param patience_s: seconds that one request is repeated for while Looker cannot answer.
    """

    conn_name_attr = "looker_conn_id"
    default_conn_name = "looker_default"
    conn_type = "looker"
    hook_name = "Looker"

    def __init__(
        self, looker_conn_id: str = default_conn_name, *, patience_s: float = PATIENCE_S
    ) -> None:
        super().__init__()
        self.looker_conn_id = looker_conn_id
        self.patience_s = patience_s
        self.query_url = ""

    @cached_property
    def settings(self) -> LookerSettings:
        """The connection, as settings."""
        return LookerSettings.read(self.looker_conn_id)

    @cached_property
    def sdk(self) -> Looker40SDK:
        """The SDK, signed in at its first call."""
        sdk = _connect(self.settings)
        if self.settings.sudo_user_id:
            # Only noted, as signing in is: the first call acts as this user.
            sdk.auth._sudo_id = int(self.settings.sudo_user_id)  # noqa: SLF001
        return sdk

    @property
    def _session(self) -> RememberingSession:
        return self.sdk.transport.session  # type: ignore[attr-defined, no-any-return]

    def twin(self, *, patience_s: float) -> LookerHook:
        """Return a hook with the same settings and a session of its own.

        A signal handler or another thread needs one: sessions are not made to be shared, and
        reading the connection again may wait for what the interrupted code holds.
        """
        twin = LookerHook(self.looker_conn_id, patience_s=patience_s)
        twin.settings = self.settings
        return twin

    def get_conn(self) -> Looker40SDK:
        """Return the SDK; Airflow's name for it."""
        return self.sdk

    def close(self) -> None:
        """Sign out, if it ever signed in. A failure to do so changes nothing for the caller."""
        if "sdk" not in self.__dict__:
            return
        with contextlib.suppress(Exception):  # the SDK stumbles over some answers
            # Each ends one sign-in, if there is one: as another user, and the key's own.
            for _ in range(2):
                within(_SIGN_OUT_S, self.sdk.auth.logout)
        self._session.close()

    def test_connection(self) -> tuple[bool, str]:
        """Sign in and look around, for the connection form's test button."""
        self.patience_s = min(self.patience_s, _TEST_PATIENCE_S)
        try:
            return tested(self)
        finally:
            self.close()

    def look(self, look_id: str) -> Look:
        """Read a Look and the fields of its explore.

        :raises PermanentError: when there is no such Look, it is deleted, or a field is missing.
        :raises TransientError: when Looker cannot answer now.
        """
        where = f"Look {look_id}"
        found = self.ask(where, lambda: self.sdk.look(str(look_id)))
        if found.deleted:
            raise PermanentError(
                where,
                should="exist",
                but="it is in Looker's trash",
                do="Restore it, or use another Look's id.",
            )
        if found.query is None:
            raise PermanentError(
                where,
                should="have a query",
                but="Looker shows none to this API user",
                do="Give the API user access to the Look's model.",
            )
        query = query_as_dict(found.query)
        model, view = str(query["model"]), str(query["view"])
        explore = self.ask(
            f"{where}, explore {model}/{view}",
            lambda: self.sdk.lookml_model_explore(model, view, fields=EXPLORE_KEYS),
        )
        return read_look(
            {"id": str(look_id), "title": found.title, "query": query},
            explore_as_dict(explore),
        )

    def create_query(self, query: RunQuery, *, where: str) -> str:
        """Create the query of a run and return its id; ``query_url`` is where people see it.

        :param where: how messages name the Look.
        """
        from looker_sdk.sdk.api40 import models  # noqa: PLC0415 - it costs a second

        created = self.ask(
            f"{where}: its query",
            lambda: self.sdk.create_query(
                models.WriteQuery(**query.body), fields="id,model,view,share_url"
            ),
        )
        self.query_url = created.share_url or ""
        return str(created.id)

    @contextlib.contextmanager
    def run(self, query_id: str, query: RunQuery, *, where: str) -> Iterator[Answer]:
        """Run a query and hand over its result while it arrives, as ``json_detail``.

        :raises PermanentError: when Looker refuses the query.
        :raises TransientError: when it cannot answer now, or stops in the middle.
        """
        path = f"/queries/{query_id}/run/json_detail"
        with self.stream(path, result_parameters(query), where=where) as answer:
            yield answer

    @contextlib.contextmanager
    def stream(self, path: str, parameters: Mapping[str, Any], *, where: str) -> Iterator[Answer]:
        """Hand over an answer while it arrives.

        :param path: below ``/api/4.0``.
        :param parameters: of the request; truth values as Python's.
        :param where: how messages name the Look.
        :raises PermanentError: when Looker refuses the request.
        :raises TransientError: when it cannot answer now, or stops in the middle.
        """
        said = {
            name: json.dumps(value) if isinstance(value, bool) else value
            for name, value in parameters.items()
        }
        response = self._patiently(f"{where}: its query", lambda: self._get(path, said))
        try:
            content_type = response.headers.get("Content-Type", "")
            yield Answer(self._pieces(response, where=where), content_type)
        finally:
            response.close()

    def _get(self, path: str, parameters: dict[str, Any]) -> requests.Response:
        from looker_sdk.rtl.requests_transport import NullAuth  # noqa: PLC0415 - it costs a second

        sdk, session = self.sdk, self._session
        headers = self._translated(lambda: sdk.auth.authenticate({}))
        try:
            return session.request(
                "GET",
                f"{self.settings.base_url}/api/4.0{path}",
                params=parameters,
                headers=headers,
                auth=NullAuth(),
                timeout=(_CONNECT_TIMEOUT_S, self.settings.timeout_s),
                stream=True,
                allow_redirects=False,
            )
        except requests.TooManyRedirects as error:
            return error.response  # type: ignore[return-value]
        except OSError as error:
            refusal = network_trouble(error, url=session.url)
        raise refusal

    def _pieces(self, response: requests.Response, *, where: str) -> Iterator[bytes]:
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - it costs a second

        reading_s, size = 0.0, 0
        while True:
            started = time.monotonic()
            try:
                piece = response.raw.read1(_PIECE_BYTES, decode_content=True)
            except (HTTPError, OSError) as error:
                # Their own text may quote bytes of the answer.
                raise unfinished(where, f"it broke off ({type(error).__name__})") from None
            if not piece:
                return
            reading_s += time.monotonic() - started
            size += len(piece)
            yield piece
            if size >= _PIECE_BYTES:
                reading_s, size = 0.0, 0
            elif reading_s > self.settings.timeout_s:
                # A read timeout alone lets one byte at a time go on for days.
                raise unfinished(where, f"{size:,} bytes took more than {reading_s:.0f} s")

    def ask(self, where: str, call: Callable[[], Result]) -> Result:
        """Call the SDK and turn what it raises into this package's errors."""
        return self._patiently(where, lambda: self._translated(call))

    def _translated(self, call: Callable[[], Result]) -> Result:
        """Call the SDK; whatever it raises becomes a :class:`Refusal`."""
        import attr  # noqa: PLC0415, F401 - cattrs needs it first
        from cattrs import BaseValidationError  # noqa: PLC0415 - it costs a second
        from looker_sdk.error import SDKError  # noqa: PLC0415 - it costs a second
        from looker_sdk.rtl.serialize import DeserializeError  # noqa: PLC0415 - it costs a second

        session = self._session
        session.forget()
        try:
            return call()
        except (
            *(SDKError, DeserializeError, BaseValidationError),
            # What the SDK itself stumbles over in an unexpected error document.
            *(ValueError, TypeError, LookupError, AttributeError, RecursionError),
        ) as error:
            answer, url = session.answer, session.url
            if session.trouble is not None:
                refusal = network_trouble(session.trouble, url=url)
            elif answer is not None and answer.status_code >= 300:
                refusal = Refusal(answer.status_code, answer, words(answer.content), url=url)
            else:
                status = None if answer is None else answer.status_code
                refusal = Refusal(status, answer, without_values(str(error)), url=url)
        # Not within the handler: Looker's own text may quote a value, and would be its context.
        raise refusal

    def _patiently(self, where: str, call: Callable[[], Result]) -> Result:
        """Repeat a call that may succeed later, for a bounded time, its slow answers included.

        :raises PermanentError: when Looker refuses it for good.
        :raises TransientError: when it goes on failing.
        """
        give_up_at = time.monotonic() + self.patience_s
        longest_s = _CONNECT_TIMEOUT_S + self.settings.timeout_s
        signed_in_again = False
        for attempt in itertools.count():
            try:
                result = in_time(longest_s, call)
                if isinstance(result, requests.Response) and result.status_code != 200:
                    refusal = Refusal(result.status_code, result, said(result))
                    result.close()
                    raise refusal
            except Refusal as refusal:
                if refusal.is_late:
                    # Its thread still uses the session: what comes now is no answer to us.
                    self.__dict__.pop("sdk", None)
                if refusal.status == 401 and not signed_in_again:
                    signed_in_again = True
                    self._forget_token()
                    continue
                if not refusal.may_pass:
                    refusal.raise_permanent(where, self.settings)
                delay_s = refusal.delay_s(attempt)
                if time.monotonic() + delay_s > give_up_at:
                    refusal.raise_transient(where, self.settings)
                self.log.info("%s: Looker cannot answer now; waiting %.0f s.", where, delay_s)
                time.sleep(delay_s)
            else:
                return result
        raise AssertionError  # pragma: no cover - the loop has no other end

    def _forget_token(self) -> None:
        from looker_sdk.rtl.auth_token import AuthToken  # noqa: PLC0415 - it costs a second

        self.sdk.auth.token = AuthToken()
        self.sdk.auth.sudo_token = AuthToken()


def _connect(settings: LookerSettings) -> Looker40SDK:
    import cattrs  # noqa: PLC0415 - see LookerHook.close
    from looker_sdk import error, methods40  # noqa: PLC0415
    from looker_sdk.rtl import (  # noqa: PLC0415
        api_settings,
        auth_session,
        requests_transport,
        serialize,
    )
    from looker_sdk.sdk import constants  # noqa: PLC0415

    class ConnectionSettings(api_settings.ApiSettings):
        """Settings that come from the Airflow connection and from nowhere else."""

        def __init__(self) -> None:
            super().__init__(sdk_version=constants.sdk_version)

        def read_config(self) -> api_settings.SettingsConfig:
            return {
                "base_url": settings.base_url,
                "client_id": settings.client_id,
                "client_secret": settings.client_secret,
                "verify_ssl": str(settings.verify_ssl),
                "timeout": str(ceil(settings.timeout_s)),
            }

    class CleanAuthSession(auth_session.AuthSession):
        """Keeps the form content type of a sign-in out of the request that caused it."""

        def authenticate(self, transport_options: Any) -> dict[str, str]:
            kept = {key: value for key, value in transport_options.items() if key == "timeout"}
            return super().authenticate(kept)  # type: ignore[arg-type]

    def deserialize(*, data: Any, structure: Any) -> Any:
        # The SDK's own function adds a handler to a global converter at every call.
        try:
            return serialize.converter40.structure(json.loads(data), structure)
        except (ValueError, RecursionError, cattrs.BaseValidationError):
            raise serialize.DeserializeError("an unexpected document") from None

    api = ConnectionSettings()
    _register_sequences(serialize)
    # The SDK would fetch an error index from a public address, without any timeout.
    error.ErrorDocHelper.parse_and_lookup = lambda *_, **__: ("", "")  # type: ignore[method-assign]
    session = RememberingSession()
    transport = requests_transport.RequestsTransport(api, session)
    if settings.ca_bundle or not settings.verify_ssl:
        session.mount("https://", FixedTrust(verify=settings.ca_bundle or False))
    # A followed redirect could carry the client secret to another host.
    session.max_redirects = 0
    auth = CleanAuthSession(api, transport, deserialize, "4.0")  # type: ignore[arg-type]
    return methods40.Looker40SDK(auth, deserialize, serialize.serialize40, transport, "4.0")  # type: ignore[arg-type]


def _register_sequences(serialize: Any) -> None:
    """Register once what the SDK registers at every call."""
    if getattr(serialize, "is_sequence", None) is None or getattr(serialize, "_once", False):
        return
    serialize.converter40.register_structure_hook_factory(
        serialize.is_sequence, serialize.list_structure_factory
    )
    serialize._once = True  # noqa: SLF001 - a mark of ours on the SDK's module
