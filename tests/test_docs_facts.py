"""The documentation says what the code does: arguments, settings, problems, numbers, names."""

from __future__ import annotations

import ast
import inspect
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_looker_segment import __version__, get_provider_info
from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core import limits
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.guards import Guards
from airflow_provider_looker_segment.core.identity import identifier
from airflow_provider_looker_segment.core.look import Look, read_look
from airflow_provider_looker_segment.core.manifest import Manifest
from airflow_provider_looker_segment.core.mapping import (
    CONVENTIONAL_NAMES,
    ROLE_TAGS,
    Mapping,
    normal,
    plan,
)
from airflow_provider_looker_segment.core.message_id import MessageIds
from airflow_provider_looker_segment.core.prepare import Preparation, complete, envelope
from airflow_provider_looker_segment.core.problems import MEANINGS
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.core.report import Report
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.core.traits import (
    ENVELOPE_NAMES,
    POISONOUS_NAMES,
    RESERVED_TYPES,
)
from airflow_provider_looker_segment.operators import arguments
from docs import generate_reference
from tests.documentation import (
    DOCS,
    EXAMPLES,
    PACKAGE,
    ROOT,
    generated,
    section,
    text_of,
)

MOMENT = datetime(2026, 1, 15, tzinfo=UTC)


def codes_in(kinds: set[str]) -> set[str]:
    """Collect the literals in the first arguments of calls by these names."""
    found = set()
    for path in [*PACKAGE.glob("core/*.py"), *PACKAGE.glob("hooks/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in kinds:
                constants = [
                    part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)
                ]
                found |= {part.value for part in constants}
    return found


def identity_codes() -> set[str]:
    """Collect the codes that the identity module returns beside an identifier."""
    tree = ast.parse((PACKAGE / "core" / "identity.py").read_text("utf-8"))
    strings = {
        node.value
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Return)
        for node in ast.walk(statement)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in strings if re.fullmatch(r"(id|email)_\w+", text)}


@pytest.fixture
def look() -> Look:
    """The Look of the documented message."""
    fields = [
        {"name": "users.id", "label": "Users User ID", "label_short": "User ID"},
        {"name": "users.full_name", "label": "Users Name", "label_short": "name"},
        {"name": "users.email", "label": "Users Email", "label_short": "email"},
        {"name": "users.internal_note", "label": "Users Note", "label_short": "Note"},
        {"name": "orders.count", "label": "Orders Count", "label_short": "sessions count"},
    ]
    query = {
        "model": "shop",
        "view": "users",
        "fields": [field["name"] for field in fields],
        "vis_config": {"show_view_names": False, "hidden_fields": ["users.internal_note"]},
    }
    return read_look(
        {"id": "42", "title": "Active", "query": query}, {"fields": {"dimensions": fields}}
    )


def test_every_field_of_a_connection_is_documented() -> None:
    """The forms' fields and the extras that the code reads are all on the page."""
    text = text_of(DOCS / "connections.md")
    fields = {
        field["label"]
        for connection in get_provider_info()["connection-types"]
        for field in connection["conn-fields"].values()
    }
    source = (PACKAGE / "connections.py").read_text("utf-8")
    extras = set(re.findall(r'extra\.get\("(\w+)"', source))
    assert [field for field in sorted(fields) if f"| {field} |" not in text] == []
    assert [extra for extra in sorted(extras) if f"extra `{extra}`" not in text] == []


def test_every_argument_of_an_operator_is_documented() -> None:
    """Each argument has a row in its operator's table, with a meaning."""
    text = text_of(DOCS / "operators.md")
    for name, kind in generate_reference._operators().items():
        table = generated()[name]
        called = kind.__init__ if inspect.isclass(kind) else kind
        for argument, parameter in inspect.signature(called).parameters.items():
            if argument == "self" or parameter.kind is parameter.VAR_KEYWORD:
                continue
            row = re.search(rf"^\| `{argument}` \| .+ \| (.+) \|$", table, re.MULTILINE)
            assert row is not None, argument
            assert len(row[1].split()) > 3
            assert row[0] in text


def test_what_the_tables_call_templated_is_templated() -> None:
    """The docstrings and ``template_fields`` name the same arguments."""
    for kind in generate_reference._operators().values():
        if inspect.isclass(kind):
            templated = {
                name
                for name, words in generate_reference.parameters(kind.__doc__).items()
                if "(templated)" in words
            }
            fields = {"dry_run" if name == "is_dry_run" else name for name in kind.template_fields}
            assert templated == fields


def test_every_room_is_on_the_plan() -> None:
    """Whoever reads the code is told what each file and folder at the top is for."""
    plan_of_rooms = section("architecture.md", "Rooms")
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert [room for room in sorted(rooms) if room not in plan_of_rooms] == []


def test_every_setting_is_documented() -> None:
    """Each key that the packaged schemas allow has a row in a table."""
    for name, page in (("mapping", "mapping.md"), ("guards", "delivery.md")):
        schema = json.loads((PACKAGE / "data" / "schemas" / f"{name}.schema.json").read_text())
        text = text_of(DOCS / page)
        assert [key for key in schema["properties"] if f"| `{key}` |" not in text] == []


def test_every_problem_has_a_meaning_and_every_meaning_a_problem() -> None:
    """No code is raised without a meaning, and none is explained that nothing raises."""
    used = codes_in({"RejectedRow", "Unsendable"}) | identity_codes() | {"refused_by_segment"}
    assert '"refused_by_segment"' in (PACKAGE / "core" / "receipts.py").read_text("utf-8")
    assert set(MEANINGS) == used


def test_every_problem_has_a_remedy() -> None:
    """The table of problems says what helps against each of them."""
    assert set(MEANINGS) == set(generate_reference.REMEDIES)


def test_the_table_of_ids_is_what_the_code_does() -> None:
    """Each row of the table, sent through the code, gives the cell beside it."""
    rows = re.findall(
        r"^\| `(.+)` \| (?:`(.+)`|no id) \|$", section("mapping.md", "Ids"), re.MULTILINE
    )
    assert len(rows) > 10
    for cell, said in rows:
        stream = RowStream([b'{"data": [{"id": %s}]}' % cell.encode()], look="Look 42")
        (row,) = stream
        text, code = identifier(row["id"])
        assert said == (text or code), cell


def test_names_and_tags_that_identify_are_the_documented_ones() -> None:
    """The table of roles agrees with the code."""
    text = section("mapping.md", "Who a row is about")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (.+?) \|", text, re.MULTILINE)
    roles = {role: (tag, names) for role, tag, names in rows}
    assert set(ROLE_TAGS) == set(roles)
    for role, (tag, names) in roles.items():
        assert ROLE_TAGS[role] == tag
        assert CONVENTIONAL_NAMES[role] == {normal(name) for name in names.split(", ")}


def test_protected_and_reserved_names_are_documented() -> None:
    """Nobody learns of a refused trait name from a failed run only."""
    text = text_of(DOCS / "mapping.md")
    names = ENVELOPE_NAMES | POISONOUS_NAMES | set(RESERVED_TYPES)
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_limits_on_the_pages_are_the_codes_own() -> None:
    """A number that the outside world decided is the same in words and in code."""
    said = {
        "mapping.md": (limits.MAX_TRAITS, limits.MAX_MESSAGE_BYTES),
        "operators.md": (*limits.SILENT_ROW_CAPS, limits.MAX_SHARD_MESSAGES),
        "delivery.md": (
            limits.MAX_BATCH_BYTES,
            limits.MAX_BATCH_MESSAGES,
            limits.MAX_MESSAGES_PER_SECOND,
        ),
        "scale.md": (
            limits.MAX_CHUNK_BYTES,
            limits.MAX_DATABASE_BYTES,
            limits.MAX_STORED_CHUNK_BYTES,
            limits.MAX_SHARD_MESSAGES,
        ),
    }
    for page, numbers in said.items():
        text = text_of(DOCS / page)
        assert [number for number in numbers if f"{number:,}" not in text] == []


def manifest_of(look_id: str, look_title: str, **facts: Any) -> dict[str, Any]:
    """What an extract has noted as of the moment of the pages."""
    manifest = Manifest.begin(
        look_id=look_id,
        look_title=look_title,
        window_start=None,
        window_end=MOMENT,
        window_source="params",
        sync_id="documented/42",
        generation=0,
        edition="0.1",
        seal="",
        dry_run=False,
        version=__version__,
        warnings=(),
    )
    return {**manifest.as_dict(), **facts}


def test_every_key_of_the_report_is_documented(look: Look) -> None:
    """The table of the report has each key that a report has, and no other."""
    manifest = manifest_of(look.id, look.title)
    table = section("operators.md", "What is in XCom").partition("The report as JSON")[2]
    cells = re.findall(r"^\| (`.+?`) \|", table, re.MULTILINE)
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert set(Report.of(manifest, [Receipt()]).as_dict()) == documented


def test_the_reports_on_the_pages_are_what_the_code_writes() -> None:
    """Words, columns and line breaks are those of a log."""
    title = "Active on toastmates.com in the last 30 days"
    problems = [{"code": "id_missing", "column": "users.id", "count": 2, "rows": [17, 1204]}]
    sent = Report.of(
        manifest_of("42", title, rows=2113, rejected=2, messages=2111, problems=problems),
        [Receipt(messages=2111, accepted=2111)],
    )
    met = {
        slug: {"met": met, "doubtful": 0, "unmet": 2118 - met, "reasons": []}
        for slug, met in (("braze", 2118), ("zendesk", 2000))
    }
    traits = {"name": "text of 9", "email": "text of 21", "sessions count": "number"}
    sample = {"userId": "text of 16", "traits": traits}
    counts = {"rows": 2118, "messages": 2118, "destinations": met, "samples": [sample]}
    dry = Report.of(manifest_of("42", title, dry_run=True, **counts), [])
    real = Report.of(manifest_of("42", title, **counts), [Receipt(messages=2118, accepted=2118)])
    fates = str(real).partition("2,118\n  accepted")[2].partition("\n  braze")[0]
    tutorial = (DOCS / "tutorial.md").read_text("utf-8")

    assert f"```\n{sent}\n```" in (ROOT / "README.md").read_text("utf-8")
    assert f"\n{dry}\n```" in tutorial
    assert f"```text\n  accepted{fates}\n```" in tutorial


def test_the_documented_mapping_file_works(look: Look) -> None:
    """The YAML file of the page is read as operators read it, and fits a Look."""
    said = arguments.settings("mapping", str(EXAMPLES / "mapping.yaml"))
    planned = plan(look, Mapping.of(said))
    assert [name for name, _ in planned.traits] == ["name", "email", "looker sessions count"]
    assert set(said["traits_schema"]["properties"]) <= {name for name, _ in planned.traits}


def test_the_documented_guards_are_guards() -> None:
    """What the page passes as guards is accepted."""
    assert Guards.of({"min_rows": 100, "max_messages": 50_000}).min_rows == 100


def test_the_documented_message_is_what_leaves(look: Look) -> None:
    """The listing of a finished message is made by the code, to the last digit of its id."""
    cells = {
        "users.id": "00MWWFOLRcETcTCf",
        "users.full_name": "Ty Arthur",
        "users.email": "ty.arthur@segment.com",
        "users.internal_note": None,
        "orders.count": 2,
    }
    shared = envelope(timestamp=MOMENT.isoformat(), version=__version__)
    with SeenUsers() as seen:
        preparation = Preparation(plan(look, Mapping()), shared=shared, seen=seen)
        row = {name: {"value": value} for name, value in cells.items()}
        (line,) = preparation.lines([row])
    settings = SegmentSettings("documented", "https://api.segment.io", "sandbox-write-key")
    ids = MessageIds(
        write_key_fingerprint=settings.write_key_fingerprint,
        sync_id="active_users_to_segment/42",
        run=(MOMENT.isoformat(), "scheduled__2026-01-15T00:00:00+00:00"),
        generation="3.1.3",
    )
    message = complete(shared, json.loads(line.body), ids.of(line.body))
    assert json.loads((EXAMPLES / "message.json").read_text("utf-8")) == message
