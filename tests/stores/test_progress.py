"""How far a shard is: what a retry takes up, and what stays true when a worker dies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.stores.progress import Progress


class StateStore(dict[str, Any]):
    """Airflow's task state store, as far as it is used."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self[key] = value


def progress(
    store: StateStore | None,
    *,
    try_number: int = 1,
    max_tries: int = 3,
    generation: str = "3.3",
    under_way: int = 100,
) -> Progress:
    """Begin one try of a task with three retries."""
    ti = SimpleNamespace(
        try_number=try_number, max_tries=max_tries, task=SimpleNamespace(retries=3)
    )
    context = {"ti": ti} if store is None else {"ti": ti, "task_state_store": store}
    return Progress(context, generation=generation, under_way=under_way)


def test_a_retry_takes_up_what_was_recorded() -> None:
    """The receipt of a try is the next one's beginning."""
    store = StateStore()
    receipt = Receipt(messages=1_000, accepted=299, refused=1, requests=4)
    receipt.problems.add("refused_by_segment", "", 17)
    progress(store).record(receipt)

    resumed = progress(store, try_number=2).resume(messages=1_000)
    assert receipt.as_dict() == resumed.as_dict()


@pytest.mark.parametrize("recorded", [None, "3.3"])
def test_another_generation_begins_anew(recorded: str | None) -> None:
    """The store outlives a Clear, and its record does not."""
    store = StateStore()
    if recorded:
        progress(store, generation=recorded).record(Receipt(messages=9, accepted=9))

    again = progress(store, try_number=2, max_tries=4, generation="4.4")

    assert Receipt(messages=1_000).as_dict() == again.resume(messages=1_000).as_dict()


@pytest.mark.parametrize(
    ("try_number", "max_tries", "unknown_with_store", "unknown_without"),
    [(1, 3, 0, 0), (2, 3, 100, 1_000), (2, 4, 0, 0), (3, 4, 100, 1_000), (5, 7, 0, 0)],
    ids=["first", "retry", "cleared", "retry after a clear", "cleared again"],
)
def test_what_an_earlier_try_may_have_sent_is_unknown(
    try_number: int, max_tries: int, unknown_with_store: int, unknown_without: int
) -> None:
    """A killed try leaves at most one batch in doubt; without a store, all of the shard."""
    unknowns = []
    for store in (StateStore(), None):
        begun = progress(store, try_number=try_number, max_tries=max_tries)
        receipt = begun.resume(messages=1_000)
        unknowns.append(begun.certain(receipt, sending=False).unknown)

    assert [unknown_with_store, unknown_without] == unknowns


@given(
    rates=st.lists(st.integers(1, 1_000), min_size=2, max_size=5),
    batches=st.lists(st.integers(0, 4), min_size=5, max_size=5),
)
def test_tries_at_any_rates_leave_none_of_what_they_sent_out(
    rates: list[int], batches: list[int]
) -> None:
    """Each try is killed while a batch of its own size is on its way; all of those count."""
    messages, store, sent, decided = 1_000, StateStore(), 0, 0
    for number, (rate, answers) in enumerate(zip(rates, batches, strict=False), start=1):
        begun = progress(store, try_number=number, under_way=rate)
        receipt = begun.resume(messages=messages)

        assert receipt.decided == decided
        assert sent == decided + begun.certain(receipt, sending=False).unknown

        for _ in range(answers + 1):
            begun.record(receipt)
            decided = receipt.decided
            sent = max(sent, min(messages, decided + rate))
            receipt.accepted = min(messages, decided + rate)


@pytest.mark.parametrize(
    ("said", "unknown"),
    [
        ({}, 100),
        ({"maybe_sent": 299}, 0),
        *(({"maybe_sent": odd}, 701) for odd in ("many", True, 298, -5, None, 10**9)),
    ],
)
def test_a_record_that_does_not_say_what_may_have_been_sent(
    said: dict[str, Any], unknown: int
) -> None:
    """One of an earlier version counts by this try's own batches, and a strange one as the most."""
    store = StateStore()
    receipt = Receipt(messages=1_000, accepted=299)
    store.set(
        "looker_segment_progress", {"generation": "3.3", "receipt": receipt.as_dict(), **said}
    )
    begun = progress(store, try_number=2)

    assert unknown == begun.certain(begun.resume(messages=1_000), sending=False).unknown


@pytest.mark.parametrize("receipt", ["torn", {}, {"messages": 999, "accepted": 1}])
def test_a_receipt_that_nobody_can_read_leaves_all_in_doubt(receipt: Any) -> None:
    """Who wrote it may have sent everything."""
    store = StateStore()
    record = {"generation": "3.3", "receipt": receipt, "maybe_sent": 900}
    store.set("looker_segment_progress", record)
    begun = progress(store, try_number=2)

    assert 1_000 == begun.certain(begun.resume(messages=1_000), sending=False).unknown


@pytest.mark.parametrize("max_tries", [2, 3, 9])
def test_what_is_noted_counts_whatever_became_of_retries(max_tries: int) -> None:
    """A DAG may be given other retries between two tries of a task."""
    store = StateStore()
    progress(store).record(Receipt(messages=1_000, accepted=299))
    begun = progress(store, try_number=2, max_tries=max_tries)

    assert 100 == begun.certain(begun.resume(messages=1_000), sending=False).unknown


@given(
    messages=st.integers(1, 1_000),
    accepted=st.integers(0, 1_000),
    try_number=st.integers(1, 4),
    stored=st.booleans(),
    sending=st.booleans(),
)
def test_the_books_always_balance(
    messages: int, accepted: int, try_number: int, stored: bool, sending: bool
) -> None:
    """Nothing is counted twice, and once everything is accepted nothing is in doubt."""
    begun = progress(StateStore() if stored else None, try_number=try_number)
    receipt = begun.resume(messages=messages)
    receipt.accepted = min(accepted, messages)

    said = begun.certain(receipt, sending=sending)

    assert said.accepted == receipt.accepted
    assert 0 <= said.unknown <= messages - said.accepted
    assert said.not_sent >= 0
    if said.accepted == messages:
        assert said.is_complete
    elif sending:
        assert said.unknown >= min(100, messages - said.accepted)
