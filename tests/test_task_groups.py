"""What ``look_to_segment()`` takes, and what it makes of it while a DAG file is read."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator
from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator
from airflow_provider_looker_segment.task_groups import look_to_segment


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


@pytest.mark.parametrize("rate", [0, -5, float("nan"), "fast"])
def test_an_impossible_rate_stops_the_dag_file(rate: Any) -> None:
    """Whoever reads the DAG learns of it, before any Look is run."""
    with (
        pytest.raises(PermanentError, match="`max_messages_per_second`"),
        DAG("rated", start_date=datetime(2026, 1, 1, tzinfo=UTC), schedule=None),
    ):
        look_to_segment("42", max_messages_per_second=rate)


@pytest.mark.parametrize(
    ("look_id", "expected"),
    [(42, ["looker://acme/looks/42"]), ("{{ params.look_id }}", [])],
)
def test_a_look_that_is_known_is_an_inlet(look_id: Any, expected: list[str]) -> None:
    """Airflow's graph of assets leads from the Look to its cohort; a template names none yet."""
    with DAG("of_assets", schedule=None) as dag:
        look_to_segment(look_id, looker_conn_id="acme")

    inlets = {task.task_id.rpartition(".")[2]: task.inlets for task in dag.tasks}
    assert expected == [asset.uri for asset in inlets["extract"]]
    assert [] == inlets["report"] == inlets["identify"]
