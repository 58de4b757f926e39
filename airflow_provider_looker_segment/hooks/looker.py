"""The Looker side: sign in, read metadata, create queries, stream results.

The only place that imports ``looker_sdk``. Its errors never leave this file untranslated, and
results never pass through its buffering. Four of its defects are sidestepped in
:func:`_connect`, each by name.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import requests
from airflow.sdk import BaseHook

from airflow_provider_looker_segment.connections import LookerSettings
from airflow_provider_looker_segment.core.look import Look, read_look
from airflow_provider_looker_segment.core.query import COPIED_KEYS, RunQuery
from airflow_provider_looker_segment.core.retry_after import retry_after_s
from airflow_provider_looker_segment.core.rows import without_values
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

if TYPE_CHECKING:
    from looker_sdk.sdk.api40.methods import Looker40SDK

Result = TypeVar("Result")

_FIELD_KEYS = "name,label,label_short,type,tags,week_start_day,fiscal_month_offset"
_EXPLORE_KEYS = (
    f"fields(dimensions({_FIELD_KEYS}),measures({_FIELD_KEYS}),filters({_FIELD_KEYS}),"
    f"parameters({_FIELD_KEYS})),always_filter"
)
_CATEGORIES = ("dimensions", "measures", "filters", "parameters")
_PIECE_BYTES = 65_536
_CONNECT_TIMEOUT_S = 10.0
_PATIENCE_S = 120.0
_LONGEST_BACKOFF_S = 30.0
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


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
    """

    conn_name_attr = "looker_conn_id"
    default_conn_name = "looker_default"
    conn_type = "looker"
    hook_name = "Looker"

    def __init__(self, looker_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.looker_conn_id = looker_conn_id
        self._last: requests.Response | None = None

    @cached_property
    def settings(self) -> LookerSettings:
        """The connection, as settings."""
        return LookerSettings.read(self.looker_conn_id)

    @cached_property
    def sdk(self) -> Looker40SDK:
        """The SDK, signed in at its first call."""
        sdk = _connect(self.settings)
        sdk.transport.session.hooks["response"].append(self._remember)  # type: ignore[attr-defined]
        return sdk

    def get_conn(self) -> Looker40SDK:
        """Return the SDK; Airflow's name for it."""
        return self.sdk

    def close(self) -> None:
        """Sign out, if it ever signed in. A failure to do so changes nothing for the caller."""
        if "sdk" not in self.__dict__:
            return
        from looker_sdk.error import SDKError  # noqa: PLC0415 - the SDK costs a second at import

        with contextlib.suppress(SDKError):
            if self.sdk.auth.is_authenticated:
                self.sdk.auth.logout(full=True)
        self.sdk.transport.session.close()  # type: ignore[attr-defined]

    def test_connection(self) -> tuple[bool, str]:
        """Sign in, for the connection form's test button."""
        try:
            user = self._ask("the user", lambda: self.sdk.me(fields="id,display_name"))
            version = self._ask("the release", self.sdk.versions)
        except (PermanentError, TransientError) as error:
            return False, str(error)
        finally:
            self.close()
        release = version.looker_release_version
        return True, f"Signed in to Looker {release} as {user.display_name} (user {user.id})."

    def look(self, look_id: str) -> Look:
        """Read a Look and the fields of its explore.

        :raises PermanentError: when there is no such Look, it is deleted, or a field is missing.
        :raises TransientError: when Looker cannot answer now.
        """
        where = f"Look {look_id}"
        found = self._ask(where, lambda: self.sdk.look(str(look_id)))
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
        query = {key: _plain(getattr(found.query, key)) for key in COPIED_KEYS}
        model, view = str(query["model"]), str(query["view"])
        explore = self._ask(
            f"{where}, explore {model}/{view}",
            lambda: self.sdk.lookml_model_explore(model, view, fields=_EXPLORE_KEYS),
        )
        fields = explore.fields
        described = {
            category: [_field(entry) for entry in getattr(fields, category, None) or ()]
            for category in _CATEGORIES
        }
        always = [
            {"name": entry.name, "value": entry.value} for entry in explore.always_filter or ()
        ]
        return read_look(
            {"id": str(look_id), "title": found.title, "query": query},
            {"fields": described, "always_filter": always},
        )

    def create_query(self, query: RunQuery, *, where: str) -> str:
        """Create the query of a run and return its id.

        :param where: how messages name the Look.
        """
        from looker_sdk.sdk.api40 import models  # noqa: PLC0415 - see close()

        created = self._ask(
            f"{where}: its query",
            lambda: self.sdk.create_query(models.WriteQuery(**query.body), fields="id,model,view"),
        )
        return str(created.id)

    @contextlib.contextmanager
    def run(self, query_id: str, query: RunQuery, *, where: str) -> Iterator[Answer]:
        """Run a query and hand over its result while it arrives, as ``json_detail``.

        :raises PermanentError: when Looker refuses the query.
        :raises TransientError: when it cannot answer now, or stops in the middle.
        """
        parameters = {
            "limit": query.row_limit,
            "apply_formatting": "false",
            "apply_vis": "false",
            "cache": "false",
            "generate_drill_links": "false",
            "server_table_calcs": json.dumps(query.server_table_calcs),
        }
        path = f"/api/4.0/queries/{query_id}/run/json_detail"
        response = self._patiently(f"{where}: its query", lambda: self._get(path, parameters))
        try:
            content_type = response.headers.get("Content-Type", "")
            yield Answer(self._pieces(response, where=where), content_type)
        finally:
            response.close()

    def _get(self, path: str, parameters: dict[str, Any]) -> requests.Response:
        from looker_sdk.rtl.requests_transport import NullAuth  # noqa: PLC0415 - see close()

        try:
            return self.sdk.transport.session.request(  # type: ignore[attr-defined, no-any-return]
                "GET",
                self.settings.base_url + path,
                params=parameters,
                headers=self.sdk.auth.authenticate({}),
                auth=NullAuth(),
                timeout=(_CONNECT_TIMEOUT_S, self.settings.timeout_s),
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _Refusal(None, None, _network(error)) from error

    def _pieces(self, response: requests.Response, *, where: str) -> Iterator[bytes]:
        try:
            yield from response.iter_content(_PIECE_BYTES)
        except requests.RequestException as error:
            raise TransientError(
                f"{where}: the result",
                should="arrive to its end",
                but=_network(error),
                do="Nothing of it was sent; the run can be tried again.",
            ) from error

    def _ask(self, where: str, call: Callable[[], Result]) -> Result:
        """Call the SDK and turn what it raises into this package's errors."""
        import attr  # noqa: PLC0415, F401 - cattrs needs it first
        from cattrs import BaseValidationError  # noqa: PLC0415 - see close()
        from looker_sdk.error import SDKError  # noqa: PLC0415 - see close()
        from looker_sdk.rtl.serialize import DeserializeError  # noqa: PLC0415 - see close()

        def translated() -> Result:
            self._last = None
            try:
                return call()
            except (SDKError, DeserializeError, BaseValidationError, ValueError) as error:
                status = None if self._last is None else self._last.status_code
                raise _Refusal(status, self._last, without_values(str(error))) from error

        return self._patiently(where, translated)

    def _patiently(self, where: str, call: Callable[[], Result]) -> Result:
        """Repeat a call that may succeed later, for a bounded time.

        :raises PermanentError: when Looker refuses it for good.
        :raises TransientError: when it goes on failing.
        """
        waited_s = 0.0
        signed_in_again = False
        for attempt in itertools.count():
            try:
                result = call()
                if isinstance(result, requests.Response) and result.status_code != 200:
                    refusal = _Refusal(result.status_code, result, _said(result))
                    result.close()
                    raise refusal
            except _Refusal as refusal:
                if refusal.status == 401 and not signed_in_again:
                    signed_in_again = True
                    self._forget_token()
                    continue
                if not refusal.may_pass:
                    refusal.raise_permanent(where, self.settings)
                delay_s = refusal.delay_s(attempt)
                if waited_s + delay_s > _PATIENCE_S:
                    refusal.raise_transient(where)
                waited_s += delay_s
                self.log.info("%s: Looker cannot answer now; waiting %.0f s.", where, delay_s)
                time.sleep(delay_s)
            else:
                return result
        raise AssertionError  # pragma: no cover - the loop has no other end

    def _forget_token(self) -> None:
        from looker_sdk.rtl.auth_token import AuthToken  # noqa: PLC0415 - see close()

        self.sdk.auth.token = AuthToken()
        self.sdk.auth.sudo_token = AuthToken()

    def _remember(self, response: requests.Response, **_: Any) -> None:
        # The SDK's own error carries neither status nor headers.
        self._last = response


class _Refusal(Exception):  # noqa: N818 - internal: it becomes one of this package's errors
    """Looker did not do what it was asked."""

    def __init__(self, status: int | None, response: requests.Response | None, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said
        self.retry_after_s = None
        if response is not None:
            self.retry_after_s = retry_after_s(response.headers, now=datetime.now(UTC))

    @property
    def may_pass(self) -> bool:
        return self.status is None or self.status in _TRANSIENT_STATUSES

    def delay_s(self, attempt: int) -> float:
        if self.retry_after_s is not None:
            return self.retry_after_s
        return min(2.0**attempt, _LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def raise_permanent(self, where: str, settings: LookerSettings) -> NoReturn:
        do = {
            200: "Check that the connection's host is the API itself, not a sign-in page or a proxy.",
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
        answered = "gave no answer" if self.status is None else f"answered {self.status}"
        raise TransientError(
            where,
            should="be answered by Looker",
            but=f"it {answered}: {self.said}",
            do="Nothing was sent; the run can be tried again.",
            retry_after_s=self.retry_after_s,
        ) from self


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
                "timeout": str(int(settings.timeout_s)),
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
        except (ValueError, cattrs.BaseValidationError) as problem:
            raise serialize.DeserializeError("an unexpected document") from problem

    def no_lookup(*_: Any, **__: Any) -> tuple[str, str]:
        # The SDK would fetch an error index from a public address, without any timeout.
        return "", ""

    api = ConnectionSettings()
    if settings.ca_bundle:
        api.verify_ssl = settings.ca_bundle  # type: ignore[assignment]
    _register_sequences(serialize)
    error.ErrorDocHelper.parse_and_lookup = no_lookup  # type: ignore[method-assign]
    transport = requests_transport.RequestsTransport.configure(api)
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


def _plain(value: Any) -> Any:
    """Turn the SDK's sequences and mappings into plain JSON types."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _field(entry: Any) -> dict[str, Any]:
    return {key: _plain(getattr(entry, key, None)) for key in _FIELD_KEYS.split(",")}


def _said(response: requests.Response) -> str:
    """Return what an error answer says, without values, from at most 64 KB of it."""
    try:
        raw = response.raw.read(_PIECE_BYTES, decode_content=True)
    except Exception:  # noqa: BLE001 - urllib3 raises many kinds; the status says enough
        return "no readable answer"
    text = raw.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except ValueError:
        return without_values(text, max_chars=120) or "nothing"
    said = document.get("message") if isinstance(document, dict) else None
    return without_values(str(said or "an unexpected document"))


def _network(error: requests.RequestException) -> str:
    kind = "the connection timed out" if isinstance(error, requests.Timeout) else "it broke off"
    return f"{kind} ({type(error).__name__})"
