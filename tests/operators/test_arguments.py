"""What people write into forms, templates and files becomes typed values."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jinja2 import StrictUndefined

from airflow_provider_looker_segment.core.guards import Guards
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


@pytest.mark.parametrize("said", ["https://company.cloud.looker.com/looks/42", "looks/42"])
def test_the_address_of_a_look_is_refused(said: str) -> None:
    """What people copy from the browser is told from an id before Looker is asked for it."""
    with pytest.raises(PermanentError, match=r"it is an address\. Write the number"):
        arguments.look_id(said)


@pytest.mark.parametrize("said", [{"path": "file:///rejects", "local": True}, ["42"], {}, ("1",)])
def test_what_is_no_text_is_refused(said: Any) -> None:
    """Written out as text, it would be the name of a folder that nobody meant."""
    with pytest.raises(PermanentError, match="`rejects`") as caught:
        arguments.text_of("rejects", said)
    assert "file:" not in str(caught.value)


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


@pytest.mark.parametrize(
    "said",
    [
        0,
        -1,
        "0",
        float("nan"),
        "inf",
        pytest.param(10**400, id="huge"),
        True,
        None,
        "fast",
        "{{ x }}",
    ],
)
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
        {"users.state": None},
        {"users.state": "None"},
        ["users.state: None"],
        {"users.state": ["CA", "NY"]},
        {"users.is_active": True},
    ],
)
def test_expressions_that_are_none_are_refused(said: Any) -> None:
    """A filter is never dropped without a word, nor made one that no row meets."""
    with pytest.raises(PermanentError, match="`filters`"):
        arguments.expressions("filters", said)


@pytest.mark.parametrize("said", [None, "", " ", "None", "null"])
@pytest.mark.parametrize("unless_said", [True, False])
def test_a_truth_value_that_nobody_said_is_the_default(said: Any, unless_said: bool) -> None:
    """An empty field of a form, and what a template makes of it, choose nothing."""
    assert unless_said == arguments.flag("as_of", said, unless_said=unless_said)


@pytest.mark.parametrize(
    ("said", "read"), [("off", False), (0, False), ("Yes", True), (True, True)]
)
def test_a_truth_value_that_was_said_counts(said: Any, read: bool) -> None:
    """However it is written, whatever the default."""
    assert [read, read] == [arguments.flag("x", said, unless_said=one) for one in (True, False)]


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("", None),
        ("None", None),
        ('{"prefix": "x"}', {"prefix": "x"}),
        ("{'prefix': 'x'}", {"prefix": "x"}),
    ],
)
def test_settings_come_from_text(said: str, read: Any) -> None:
    """A template renders a param to text, and one that is empty to a word."""
    assert read == arguments.settings("mapping", said)


@pytest.mark.parametrize("said", [["prefix"], "['prefix']", 5, StrictUndefined(name="x")])
def test_settings_that_are_none_are_refused(said: Any) -> None:
    """The argument is named, whatever it was given."""
    with pytest.raises(PermanentError, match="`mapping`"):
        arguments.mapping(said)


def test_settings_come_from_a_file(tmp_path: Path) -> None:
    """The path of a YAML file stands for what is in it."""
    file = tmp_path / "mapping.yaml"
    file.write_text("rename: {users.name: name}\n", "utf-8")

    assert {"rename": {"users.name": "name"}} == arguments.settings("mapping", str(file))


def test_json_that_is_broken_is_no_path() -> None:
    """A missing brace is no reason to look for a file."""
    with pytest.raises(PermanentError, match="`mapping`: should be keys and values"):
        arguments.mapping('{"prefix": "x"')


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


READERS = (
    arguments.look_id,
    arguments.row_limit,
    arguments.snapshot,
    arguments.mapping,
    lambda said: arguments.flag("only", said),
    lambda said: arguments.choice("mode", said, ("full", "changed")),
    lambda said: arguments.names("destinations", said),
    lambda said: arguments.expressions("filters", said),
    lambda said: Guards.of(arguments.settings("guards", said)),
)
SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(SAID | SAID.map(str))
@example("[" * 100_000)
@example("{" * 5_000)
@example("1" * 5_000)
@example("{...}")
@example("{[1]}")
def test_whatever_is_written_is_read_or_refused(said: Any) -> None:
    """Nobody who fills in a form meets an error that does not name the argument."""
    for read in READERS:
        with suppress(PermanentError):
            read(said)


def test_empty_lines_of_a_form_say_nothing() -> None:
    """Airflow's form makes an entry of each line, also of an empty one at the end."""
    said = ["users.plan: free", "", "  "]
    assert {"users.plan": "free"} == arguments.expressions("filters", said)
