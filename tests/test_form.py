"""The form behind "Trigger": what it offers, and that the operators refuse what it refuses."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.form import FORM_CHOICES, trigger_form
from airflow_provider_looker_segment.operators import arguments
from airflow_provider_looker_segment.task_groups import look_to_segment


def test_each_field_is_an_argument() -> None:
    """What the form asks for is what the task group takes, under the same name."""
    taken = inspect.signature(look_to_segment).parameters

    assert FORM_CHOICES.keys() == trigger_form("42").keys()
    assert FORM_CHOICES.keys() <= taken.keys()


def test_each_field_has_a_title_and_a_sentence() -> None:
    """Nobody needs a manual."""
    for name, param in trigger_form("42").items():
        assert param.schema["title"], name
        assert str(param.description).endswith("."), name


def test_the_vital_fields_are_open() -> None:
    """Fields without a section are the open ones: few, and the Look comes first."""
    form = trigger_form("42")
    open_fields = [name for name, param in form.items() if "section" not in param.schema]

    assert "look_id" == open_fields[0]
    assert 3 <= len(open_fields) <= 5


def test_no_section_has_the_name_of_a_field() -> None:
    """A word that stands twice in the form would leave people looking in the wrong place."""
    schemas = [param.schema for param in trigger_form("42").values()]

    assert not {one["title"] for one in schemas} & {one.get("section") for one in schemas}


def test_the_whole_catalogue_can_be_chosen() -> None:
    """Each destination is offered once, by its name, and nothing else passes."""
    schema = trigger_form("42")["destinations"].schema
    slugs = {one.slug for one in load_catalogue().destinations}

    assert slugs == set(schema["examples"]) == set(schema["items"]["enum"])
    assert slugs == schema["values_display"].keys()
    assert "Braze" in schema["values_display"]["braze"]


def test_defaults_are_what_the_author_wrote() -> None:
    """A DAG's author chooses what scheduled runs do."""
    form = trigger_form(
        7,
        destinations=["Customer.io"],
        mode="changed",
        filters=["a.b: 1"],
        row_limit=5,
        only=True,
        dry_run=True,
    )

    assert {
        "look_id": "7",
        "destinations": ["customer.io"],
        "mode": "changed",
        "filters": ["a.b: 1"],
        "row_limit": "5",
        "only": True,
        "dry_run": True,
        "allow_older": False,
        "accept_changes": False,
        "approve": None,
    } == {name: param.resolve() for name, param in form.items()}


@pytest.mark.parametrize("look_id", ["42", 42])
def test_a_look_may_be_a_number(look_id: Any) -> None:
    """As in `airflow dags trigger --conf '{"look_id": 42}'`."""
    param = trigger_form("7")["look_id"]

    assert "42" == arguments.look_id(param.resolve(look_id))


@pytest.mark.parametrize("look_id", ["", "x", "-1", -1, 4.2, None, True])
def test_anything_else_is_no_look(look_id: Any) -> None:
    """The form refuses what names no Look."""
    with pytest.raises(AirflowException, match="Failed validating"):
        trigger_form("7")["look_id"].resolve(look_id)


def test_an_unknown_destination_stops_the_dag_file() -> None:
    """A typing error of the author is seen when the DAG is read."""
    with pytest.raises(PermanentError, match="braz"):
        trigger_form("42", destinations=["braz"])


def test_the_form_is_plain_json() -> None:
    """Airflow keeps the form in its database."""
    for param in trigger_form("42").values():
        assert json.loads(json.dumps(param.schema)) == param.schema


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (arguments.look_id, ""),
        (arguments.row_limit, "many"),
        (lambda said: arguments.choice("mode", said, ("full", "changed", "mirror")), "some"),
        (lambda said: arguments.flag("dry_run", said), "perhaps"),
        (lambda said: arguments.expressions("filters", said), ["no expression"]),
        (lambda said: [load_catalogue().find(name) for name in said], ["nobody knows it"]),
    ],
)
def test_operators_refuse_what_the_form_refuses(read: Any, said: Any) -> None:
    """Whoever goes around the form gets the same no."""
    with pytest.raises(PermanentError):
        read(said)
