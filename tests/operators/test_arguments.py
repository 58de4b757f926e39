"""What people write into forms, templates and files becomes typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jinja2 import StrictUndefined

from airflow_provider_looker_segment.core.mapping import Mapping
from airflow_provider_looker_segment.core.pacing import messages_per_second
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.operators import arguments


@pytest.mark.parametrize(("said", "read"), [(42, "42"), (" 42 ", "42"), ("abc", "abc")])
def test_a_look_id_is_text(said: Any, read: str) -> None:
    """Numbers and text name the same Look."""
    assert read == arguments.look_id(said)


@pytest.mark.parametrize("said", [None, "", "  ", "None", StrictUndefined(name="x")])
def test_an_empty_look_id_is_refused(said: Any) -> None:
    """A template that finds nothing fails before anything else."""
    with pytest.raises(PermanentError, match="`look_id`"):
        arguments.look_id(said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (None, None),
        ("", None),
        ("None", None),
        ("LOOK", "look"),
        ("all", "all"),
        (100, 100),
        ("100", 100),
    ],
)
def test_a_row_limit_is_a_word_or_a_number(said: Any, read: Any) -> None:
    """Forms give text; nothing stays nothing."""
    assert read == arguments.row_limit(said)


@pytest.mark.parametrize("said", ["0", 0, "-1", "many", 1.5])
def test_a_row_limit_that_is_neither_is_refused(said: Any) -> None:
    """A limit is never guessed."""
    with pytest.raises(PermanentError, match="`row_limit`"):
        arguments.row_limit(said)


@pytest.mark.parametrize(("said", "read"), [(500, 500.0), ("500", 500.0), (0.5, 0.5)])
def test_a_rate_is_a_number(said: Any, read: float) -> None:
    """Text that is a number is one."""
    assert read == messages_per_second(said)


@pytest.mark.parametrize("said", [0, -1, "0", float("nan"), "inf", True, None, "fast", "{{ x }}"])
def test_a_rate_at_which_nothing_or_anything_may_leave_is_refused(said: Any) -> None:
    """A rate that cannot be kept is said so, not divided by."""
    with pytest.raises(PermanentError, match="should be a number above 0"):
        messages_per_second(said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (None, []),
        ("", []),
        ("[]", []),
        ("braze", ["braze"]),
        ("braze, zendesk", ["braze", "zendesk"]),
        ("['braze', 'zendesk']", ["braze", "zendesk"]),
        ('["braze"]', ["braze"]),
        (("braze", " "), ["braze"]),
    ],
)
def test_names_come_from_lists_and_text(said: Any, read: list[str]) -> None:
    """A list that a template rendered to text is a list again."""
    assert read == arguments.names("destinations", said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        (None, {}),
        ("{}", {}),
        ({"users.age": 5}, {"users.age": "5"}),
        ("{'users.state': 'CA'}", {"users.state": "CA"}),
        ('{"users.state": "CA"}', {"users.state": "CA"}),
        (["users.state: CA", "users.age: >5"], {"users.state": "CA", "users.age": ">5"}),
        (["a.time: 2026-01-01 10:00:00"], {"a.time": "2026-01-01 10:00:00"}),
        ("users.state: CA", {"users.state": "CA"}),
        ("a.b: 1\n\n c.d: x: y \n", {"a.b": "1", "c.d": "x: y"}),
    ],
)
def test_expressions_come_from_mappings_text_and_rows(said: Any, read: dict[str, str]) -> None:
    """Each way of writing filters gives an expression for each field."""
    assert read == arguments.expressions("filters", said)


@pytest.mark.parametrize(
    "said",
    [
        ["no colon"],
        "users.state",
        "a.b: 1\nc.d",
        '{"a.b": CA}',
        5,
        {"a": StrictUndefined(name="data_interval_start")},
    ],
)
def test_expressions_that_are_none_are_refused(said: Any) -> None:
    """A filter is never dropped without a word."""
    with pytest.raises(PermanentError, match="`filters`"):
        arguments.expressions("filters", said)


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    """The path of a YAML file stands for what is in it."""
    file = tmp_path / "mapping.yaml"
    file.write_text("rename: {users.name: name}\n", "utf-8")

    assert {"rename": {"users.name": "name"}} == arguments.settings("mapping", str(file))


@pytest.mark.parametrize("text", ["a: [", "- a list", None])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str | None) -> None:
    """A missing, broken or listing file is named."""
    file = tmp_path / "mapping.yaml"
    if text is not None:
        file.write_text(text, "utf-8")

    with pytest.raises(PermanentError, match=r"mapping\.yaml"):
        arguments.settings("mapping", file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.json", '{\n\t"properties": {"age": {"type": "integer"}}\n}'),
        ("plan.yaml", "properties: {age: {type: integer}}"),
    ],
)
def test_a_traits_schema_comes_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    """A path in the mapping stands for the schema in that file, however it is written."""
    (tmp_path / name).write_text(text, "utf-8")

    read = arguments.mapping({"prefix": "x ", "traits_schema": str(tmp_path / name)})

    assert ("x ", {"properties": {"age": {"type": "integer"}}}) == (
        read.prefix,
        read.traits_schema,
    )


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "nothing"}', None])
def test_a_traits_schema_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    """A missing or broken file never means that every message is fine."""
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text, "utf-8")

    with pytest.raises(PermanentError, match="traits_schema"):
        arguments.mapping({"traits_schema": str(file)})


def test_a_mapping_is_read_from_each_form() -> None:
    """Nothing, a dict and a mapping are understood alike."""
    assert Mapping() == arguments.mapping(None)
    assert Mapping(prefix="x") == arguments.mapping({"prefix": "x"})
    assert Mapping(prefix="x") == arguments.mapping(Mapping(prefix="x"))


def test_empty_lines_of_a_form_say_nothing() -> None:
    """Airflow's form makes an entry of each line, also of an empty one at the end."""
    said = ["users.plan: free", "", "  "]
    assert {"users.plan": "free"} == arguments.expressions("filters", said)
