"""What ``look_to_segment()`` takes, and what it makes of it while a DAG file is read."""

from __future__ import annotations

import inspect
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG, TaskGroup

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator
from airflow_provider_looker_segment.task_groups import look_to_segment

PACKAGE = "airflow_provider_looker_segment"


def _parameters(function: Any) -> dict[str, Any]:
    found = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in found if one.kind is one.KEYWORD_ONLY}


@pytest.mark.parametrize("operator", [LookerRunLookOperator, SegmentIdentifyOperator])
def test_what_the_operators_take_the_group_takes(operator: type) -> None:
    """Each choice of the operators can be made for the group, with the same default."""
    own = _parameters(operator.__init__)  # type: ignore[misc] - only its signature is read
    own = {name: own[name] for name in own if name not in ("look_id", "shard")}
    group = _parameters(look_to_segment)

    assert own == {name: group.get(name, "it is missing") for name in own}


def test_choices_reach_extract() -> None:
    """What is chosen for the group is what the operator gets."""
    with DAG("chosen", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        look_to_segment("42", destinations=["braze"], destination_rules="current", unmet="warn")

    extract = dag.get_task("look_to_segment.extract")
    assert ("current", "warn") == (extract.destination_rules, extract.unmet)


def grouped(**choices: Any) -> DAG:
    """A DAG of one group."""
    with DAG("grouped", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None) as dag:
        look_to_segment("42", **choices)
    return dag


def test_a_person_is_asked_between_extract_and_identify() -> None:
    """A limit for the work is none for the person, and nobody is there who was not asked for."""
    dag = grouped(ask={"response_timeout": timedelta(hours=8)}, execution_timeout=timedelta(1))
    approve = dag.get_task("look_to_segment.approve")

    assert {"look_to_segment.extract"} == approve.upstream_task_ids
    assert {"look_to_segment.approve"} == (
        dag.get_task("look_to_segment.identify").upstream_task_ids
    )
    assert (None, timedelta(hours=8)) == (approve.execution_timeout, approve.response_timeout)
    assert dag.get_task("look_to_segment.extract").ask is True
    assert 3 == len(grouped().tasks)
    assert 4 == len(grouped(ask=True).tasks)


def retries(dag: DAG) -> set[tuple[Any, ...]]:
    """When the tasks of a DAG are tried again, each way once."""
    return {
        (
            *(task.retries, task.retry_delay, task.max_retry_delay),
            # Airflow 3.1 has a truth value there, 3.3 a factor.
            bool(task.retry_exponential_backoff),
        )
        for task in dag.tasks
    }


OWN = (3, timedelta(minutes=1), timedelta(minutes=15), True)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, OWN),
        ({"owner": "ada"}, OWN),
        ({"retries": 0}, (0, *OWN[1:])),
        ({"retry_delay": HOUR}, (3, HOUR, None, False)),
        ({"retries": 1, "retry_delay": HOUR}, (1, HOUR, None, False)),
    ],
)
@pytest.mark.parametrize("by", ["call", "defaults", "dag", "group"])
def test_retries_are_ours_unless_somebody_says_otherwise(
    said: dict[str, Any], expected: tuple[Any, ...], by: str
) -> None:
    """What a DAG says of all its tasks holds here too, and an hour is not cut to our minutes."""
    places = {name: said if by == name else {} for name in ("call", "defaults", "dag", "group")}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with (
        DAG("tried", start_date=start, schedule=None, default_args=places["dag"]) as dag,
        TaskGroup("around", default_args=places["group"]),
    ):
        look_to_segment("42", ask=True, default_args=places["defaults"], **places["call"])

    assert {expected} == retries(dag)


@pytest.mark.parametrize("rule", ["none_failed", "all_done", "one_success"])
@pytest.mark.parametrize("by", ["call", "defaults"])
def test_a_trigger_rule_says_when_the_group_begins(rule: str, by: str) -> None:
    """The report runs whatever became of the tasks before it, and not before they are done."""
    said: dict[str, Any] = {"trigger_rule": rule}
    dag = grouped(ask=True, **(said if by == "call" else {"default_args": said}))
    found = {task.task_id: task.trigger_rule for task in dag.tasks}

    assert {
        "look_to_segment.extract": rule,
        "look_to_segment.approve": "all_success",
        "look_to_segment.identify": "all_success",
        "look_to_segment.report": "all_done",
    } == found


@pytest.mark.parametrize("ask", ["yes", {"timeout": 5}])
def test_what_nobody_can_ask_stops_the_dag_file(ask: Any) -> None:
    """Settings are those of Airflow's own operator."""
    with pytest.raises(PermanentError, match="`ask`"):
        grouped(ask=ask)


def test_without_airflows_operator_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the DAG file learns what is missing; without `ask` nothing is."""
    for name in ("airflow.providers.standard.operators.hitl", f"{PACKAGE}.operators.ask"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.hitl", None)

    assert 3 == len(grouped().tasks)
    with pytest.raises(PermanentError, match="apache-airflow-providers-standard"):
        grouped(ask=True)


@pytest.mark.parametrize("rate", [0, -5, float("nan"), "fast"])
def test_an_impossible_rate_stops_the_dag_file(rate: Any) -> None:
    """Whoever reads the DAG learns of it, before any Look is run."""
    with (
        pytest.raises(PermanentError, match="`max_messages_per_second`"),
        DAG("rated", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None),
    ):
        look_to_segment("42", max_messages_per_second=rate)


@pytest.mark.parametrize("look_id", ["", "https://acme.looker.com/looks/42"])
def test_what_is_no_look_stops_the_dag_file(look_id: str) -> None:
    """Whoever reads the DAG learns which argument is wrong."""
    with pytest.raises(PermanentError, match="`look_id`"):
        look_to_segment(look_id)


@pytest.mark.parametrize(
    ("look_id", "expected"),
    [
        (42, ["looker://acme/looks/42"]),
        ("{{ params.look_id }}", []),
        ("{% if params.old %}41{% else %}42{% endif %}", []),
    ],
)
def test_a_look_that_is_known_is_an_inlet(look_id: Any, expected: list[str]) -> None:
    """Airflow's graph of assets leads from the Look to its cohort; a template names none yet."""
    with DAG("of_assets", schedule=None) as dag:
        look_to_segment(look_id, looker_conn_id="acme")

    inlets = {task.task_id.rpartition(".")[2]: task.inlets for task in dag.tasks}
    assert expected == [asset.uri for asset in inlets["extract"]]
    assert [] == inlets["report"] == inlets["identify"]
