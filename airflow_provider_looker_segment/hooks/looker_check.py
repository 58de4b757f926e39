"""What "Test connection" proves about a Looker connection.

A hook enters, a sentence leaves; what cannot be proved is said too.
"""

from __future__ import annotations

from typing import Any, Protocol

from airflow_provider_looker_segment.exceptions import PermanentError, TransientError
from airflow_provider_looker_segment.hooks.failed_test import failure


class _Asking(Protocol):
    looker_conn_id: str

    @property
    def sdk(self) -> Any: ...

    def ask(self, where: str, call: Any) -> Any: ...


def tested(hook: _Asking) -> tuple[bool, str]:
    """Sign in; say whether that went well, as whom, to which release, and whether Looks can run.

    It fails also where Looker shows this user no Look that may be run.
    """
    try:
        return True, _signed_in(hook)
    except (PermanentError, TransientError) as error:
        return False, failure(error, hook.looker_conn_id)


def _signed_in(hook: _Asking) -> str:
    sdk = hook.sdk
    user = hook.ask("The sign-in", lambda: sdk.me(fields="id,display_name"))
    version = hook.ask("The release", sdk.versions)
    proved = (
        f"Signed in to Looker {version.looker_release_version} as {user.display_name} "
        f"(user {user.id})."
    )
    return (
        f"{proved} {_may_run(hook, proved)} "
        "Whether it sees all rows of your Look, no test can prove."
    )


def _may_run(hook: _Asking, proved: str) -> str:
    try:
        looks = hook.ask(
            "The Looks",
            lambda: hook.sdk.search_looks(fields="id,can", deleted="false", limit=100),
        )
    except (PermanentError, TransientError):
        return "Could not confirm that it may run Looks: Looker did not list any."
    if not looks:
        raise PermanentError(
            f"{proved} Connection {hook.looker_conn_id!r}:",
            should="see the Look that is to be sent",
            but="this user sees no Look at all",
            do="Give it access to the Look's folder and to its model.",
        )
    permissions = [bool(look.can["run"]) for look in looks if look.can and "run" in look.can]
    if not permissions:
        return "It sees Looks; whether it may run them, Looker does not say."
    if not any(permissions):
        raise PermanentError(
            f"{proved} Connection {hook.looker_conn_id!r}:",
            should="be allowed to run Looks",
            but="Looker lets this user run none of those that it sees",
            do="Give its role a permission set with access_data and see_looks.",
        )
    return "It may run Looks."
