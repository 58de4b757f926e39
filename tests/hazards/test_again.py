"""Sending again really sends, whatever makes a run send again; what is reported has happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.hazards.conftest import BATCH
from tests.hazards.flow import PEOPLE, Flow, arrived, row, succeeded
from tests.hazards.registry import hazard

Start = Callable[..., Flow]
Answer = Callable[..., None]


def cleared(flow: Flow) -> Flow:
    """Clear a whole run of a DAG whose retries were lowered: Airflow computes the same number.

    It allows as many tries as there were, and those of the DAG as it is now.
    """
    flow.states.clear()
    flow.errors.clear()
    return flow.run()


@pytest.mark.parametrize("has_state_store", [True, False])
def test_a_clear_after_retries_were_lowered_sends(
    start: Start, answer: Answer, *, has_state_store: bool
) -> None:
    """Neither the record of the first delivery nor its message ids stand in the way."""
    answer(*(row(id=f'"u-{number}"') for number in range(20)))
    flow = start(settings={"has_state_store": has_state_store}).run()
    succeeded(flow, 20)
    answer(*(row(id=f'"v-{number}"', name='"Other"') for number in range(25)))
    cleared(flow)

    succeeded(flow, 25)
    assert {"Other"} == {message["traits"]["name"] for message in flow.sent}


def test_a_clear_of_the_same_rows_sends_them_again(start: Start, sandbox: Any) -> None:
    """Whoever clears a run wants Segment to hear it again."""
    flow = cleared(start().run())

    assert {} == flow.errors
    assert 2 * PEOPLE == flow.record["accepted"]
    assert 0 == flow.record["duplicates"]


def test_a_moment_that_is_told_three_times(start: Start, answer: Answer, sandbox: Any) -> None:
    """Of A, B and A again the last one counts, though Segment has heard it before."""
    for name in ("A", "B", "A"):
        sandbox.looker_faults.clear()
        record = start().record
        sandbox.looker_faults.add(
            "body",
            body=f'{{"data":[{row(name=chr(34) + name + chr(34))}]}}',
            path="json_detail$",
            content_type="application/json",
        )
        flow = start(sync_id="one").run()

        assert {} == flow.errors
        assert 1 == flow.books["accepted"] == flow.record["accepted"] - record["accepted"]
    assert ["A", "B", "A"] == [message["traits"]["name"] for message in reversed(flow.sent)]


@pytest.mark.parametrize(
    "record",
    [
        {"receipt": {"messages": PEOPLE}},
        {"receipt": [1, 2]},
        {"receipt": {"messages": PEOPLE, "accepted": PEOPLE + 20, "refused": -20, "problems": []}},
        {"receipt": {"messages": 7, "accepted": 7, "problems": []}},
        {},
    ],
)
def test_a_record_of_another_shape_is_no_record(
    start: Start, sandbox: Any, record: dict[str, Any]
) -> None:
    """A retry that cannot read how far the last one was begins anew, under the same ids."""
    sandbox.segment_faults.add("status", status=401, path=BATCH)
    flow = start().extract().identify()
    store = flow.stores["identify/0"]
    store.set("looker_segment_progress", {"generation": "3.1.3", **record})
    flow.identify().report()

    assert {} == flow.errors
    arrived(flow, PEOPLE)


def test_identify_cleared_alone_sends_again(start: Start) -> None:
    """While its chunks are there, a cleared task really sends again."""
    flow = start().extract().identify()
    flow.clear("identify", 0)
    flow.identify().report()

    assert {} == flow.errors
    assert (2 * PEOPLE, PEOPLE) == (flow.record["accepted"], flow.record["users"])


@hazard(
    "A12",
    "a run that succeeded is cleared",
    "new ids: sending again really sends; *identify* alone says to clear *extract*",
)
def test_a12_cleared_run(start: Start) -> None:
    """Segment stores the same traits once more."""
    flow = start().run()
    succeeded(flow, PEOPLE)
    flow.clear("identify", 0)
    flow.identify()
    assert "Clear the task 'extract'" in str(flow.errors["identify[0]"])
    assert PEOPLE == flow.record["accepted"]
    flow.clear("extract")
    flow.clear("identify", 0)
    flow.run()

    assert {} == flow.errors
    record = flow.record
    assert (2 * PEOPLE, PEOPLE, 0) == (
        record["accepted"],
        record["users"],
        record["duplicates"],
    )
    assert PEOPLE == flow.books["accepted"]
