"""What a sync remembers in Airflow's variables, when Airflow does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_looker_segment.core.sync import SyncRecord
from airflow_provider_looker_segment.exceptions import TransientError
from airflow_provider_looker_segment.stores.forgotten import Forgotten
from airflow_provider_looker_segment.stores.syncs import SyncStore


class Memory:
    """Variables that nobody else has."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        """Return a variable's text."""
        return self.texts.get(key)

    def set(self, key: str, text: str, description: str) -> None:
        """Write a variable's text."""
        assert description
        self.texts[key] = text


class Supervisor:
    """What stands between a task and Airflow's API; some of its questions get no answer."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self.unanswered = 0
        self.is_error_returned = False

    def send(self, message: Any) -> Any:
        """Answer as Airflow's own does."""
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, PutVariable, VariableResult

        if isinstance(message, PutVariable):
            self.variables[message.key] = str(message.value)
            return None
        if self.unanswered:
            self.unanswered -= 1
            trouble = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={})
            if self.is_error_returned:
                return trouble
            raise AirflowRuntimeError(trouble)
        if message.key in self.variables:
            return VariableResult(key=message.key, value=self.variables[message.key])
        return ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={"key": message.key})


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """Stand between this test and Airflow's API."""
    from airflow.sdk.execution_time import task_runner

    found = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", found, raising=False)
    return found


def test_an_absent_variable_is_absent(supervisor: Supervisor) -> None:
    """The first run of a sync finds nothing, and makes a secret that stays."""
    sync = SyncStore("sync")

    assert SyncRecord() == sync.read()
    assert frozenset() == sync.forgotten()
    assert sync.secret() == sync.secret()
    assert 1 == len(supervisor.variables)


ASKED: dict[str, Callable[[SyncStore], Any]] = {
    "record": SyncStore.read,
    "secret": SyncStore.secret,
    "forgotten": SyncStore.forgotten,
    "forget": lambda sync: sync.forget([b"2"]),
}


@pytest.mark.parametrize("is_error_returned", [False, True])
@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_an_unread_variable_is_not_absent(
    supervisor: Supervisor, ask: Callable[[SyncStore], Any], is_error_returned: bool
) -> None:
    """Neither is a secret replaced, nor is anybody who was forgotten sent again."""
    sync = SyncStore("sync")
    sync.secret()
    sync.forget([b"1"])
    sync.write(SyncRecord(look_id="42"))
    before = dict(supervisor.variables)
    supervisor.is_error_returned = is_error_returned

    supervisor.unanswered = 9
    with pytest.raises(TransientError, match="be known to be absent"):
        ask(sync)

    assert before == supervisor.variables


def test_a_question_is_asked_again(supervisor: Supervisor) -> None:
    """One that got no answer once is no reason to fail."""
    sync = SyncStore("sync")
    secret = sync.secret()
    supervisor.unanswered = 1

    assert secret == sync.secret()


@pytest.mark.parametrize("at_once", [2, 6])
def test_users_who_are_forgotten_at_one_moment_all_are(at_once: int) -> None:
    """Threads that read the same tombstones before any of them writes lose none."""
    everybody_has_read = threading.Barrier(at_once)
    has_read = threading.local()

    class Together(Memory):
        def get(self, key: str) -> str | None:
            found = super().get(key)
            if "_forgotten_" in key and not getattr(has_read, "once", False):
                has_read.once = True
                everybody_has_read.wait(timeout=10)
            return found

    variables = Together()
    keys = [bytes([number]) * 16 for number in range(at_once)]
    threads = [
        threading.Thread(target=SyncStore("one", variables).forget, args=([key],)) for key in keys
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    has_read.once = True

    assert frozenset(keys) == SyncStore("one", variables).forgotten()


def test_who_is_forgotten_later_is_known_to_those_who_ask_again() -> None:
    """Others go on with whom they knew of when they began."""
    sync = SyncStore("one", Memory())
    once, again = Forgotten(sync), Forgotten(sync, again_s=0)
    body = {"userId": "u-1"}
    assert not once.has(body)
    assert not again.has(body)

    sync.forget([sync.seal().key("userId", "u-1")])

    assert again.has(body)
    assert not again.has({"anonymousId": "u-1"})
    assert not once.has(body)
    assert Forgotten(sync).has(body)


def test_a_record_that_others_write_is_changed_once_more() -> None:
    """What a run notes while it is changed stays, and the change is made all the same."""

    class Busy(Memory):
        overwritten = 0

        def set(self, key: str, text: str, description: str) -> None:
            super().set(key, text, description)
            if self.overwritten < 3:
                self.overwritten += 1
                theirs = json.dumps(SyncRecord(rows=self.overwritten, generation=1).as_dict())
                super().set(key, theirs, description)

    record = SyncStore("one", Busy()).update(lambda known: replace(known, generation=7))

    assert SyncRecord(rows=3, generation=7) == record
