"""The commands, in this process and from a shell, against the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_looker_segment import get_provider_info
from airflow_provider_looker_segment.cli import COMMANDS, Command, Group, destinations, main
from airflow_provider_looker_segment.cli.table import table
from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.core.destinations import Requirements
from airflow_provider_looker_segment.hooks import looker
from tests.simulated import simulate

NAME = "airflow_provider_looker_segment"
DESTINATIONS = load_catalogue().destinations
AIRFLOW_KNOWS_COMMANDS = tuple(map(int, version("apache-airflow").split(".")[:2])) >= (3, 2)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; return its status, its output and its errors."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> tuple[int, str, str]:
        try:
            status = main(words)
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    return run


def asked(sandbox: Any) -> list[dict[str, Any]]:
    """What the Looker stand-in was asked."""
    found: list[dict[str, Any]] = requests.get(
        f"{sandbox.looker_url}/_sandbox/requests", timeout=10
    ).json()
    return found


def messages(text: str) -> list[dict[str, Any]]:
    """Read the JSON documents that a preview prints, one after the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while text[at:].strip():
        message, end = decoder.raw_decode(text[at:].lstrip())
        at = len(text) - len(text[at:].lstrip()) + end
        found.append(message)
    return found


def test_the_list_holds_every_destination(run: Run) -> None:
    """Each row of the table is one line or a few, none wider than the terminal."""
    status, out, _ = run("destinations", "list")
    firsts = [line.split(" ")[0] for line in out.splitlines() if not line.startswith(" ")]

    assert 0 == status
    assert ["DESTINATION", *(one.slug for one in DESTINATIONS)] == firsts
    assert 100 >= max(map(len, out.splitlines()))


def test_a_search_knows_every_name(run: Run) -> None:
    """A former name finds the destination; a text that nobody has ends with 1."""
    status, out, _ = run("destinations", "search", "APP-BOY")
    assert (0, ["DESTINATION", "braze"]) == (status, [row.split()[0] for row in out.splitlines()])

    status, out, err = run("destinations", "search", "nosuchtool")
    assert (1, "") == (status, out)
    assert "nosuchtool" in err


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda one: one.slug)
def test_each_destination_is_explained(run: Run, destination: Any) -> None:
    """The rule, the note, the successor and the source are said, and the example is met."""
    status, out, _ = run("destinations", "explain", destination.slug)
    said = " ".join(out.split())

    assert 0 == status
    assert f"asks for {destination.table.words()}" in said
    assert destination.special_note in said
    assert f"<{destination.source}>" in said
    assert destination.successor is None or f"Successor: {destination.successor.name}" in said
    (message,) = messages(out.partition("A message that it takes:")[2])
    (finding,) = Requirements([destination.slug]).check(message).findings
    assert "met" == finding.verdict.value


def test_an_unknown_name_gets_the_nearest(run: Run) -> None:
    """A misspelt name is an error that says what was meant."""
    status, out, err = run("destinations", "explain", "zendeks")

    assert (2, "") == (status, out)
    assert "The nearest name is `zendesk`" in err


@pytest.mark.parametrize("words", [(), ("destinations",), ("check",), ("preview", "--look")])
def test_a_wrong_command_is_an_error(run: Run, words: tuple[str, ...]) -> None:
    """What is missing is said, with status 2."""
    status, _, err = run(*words)

    assert 2 == status
    assert "usage:" in err


def test_check_says_what_is_within_reach(run: Run, sandbox: Any) -> None:
    """Each destination gets its outlook from metadata alone; one out of reach ends with 1."""
    status, out, _ = run("check", "--look", "42", "--destinations", "braze,totango")
    words = [line.split() for line in out.splitlines()]

    assert 1 == status
    assert ["userId", "users.id"] in words
    assert ["traits.email", "users.email"] in words
    assert ["braze", "within", "reach"] in words
    assert ["totango", "never", "context.groupId"] in words
    assert "Look 42 can never reach Totango: it needs `context.groupId`" in out
    assert not [entry for entry in asked(sandbox) if "/queries" in entry["path"]]
    assert "/api/logout" == asked(sandbox)[-1]["path"]


@pytest.mark.parametrize(
    ("look", "rules", "outlook", "status"),
    [
        ("42", "both", "within reach", 0),
        ("43", "both", "doubtful", 0),
        ("43", "table", "within reach", 0),
        ("43", "current", "never", 1),
    ],
)
@pytest.mark.usefixtures("sandbox")
def test_check_obeys_the_rules_that_were_chosen(
    run: Run, look: str, rules: str, outlook: str, status: int
) -> None:
    """A destination whose two rules disagree is doubtful, unless one rule decides."""
    answer = run("check", "--look", look, "--destinations", "wigzo", "--rules", rules)

    assert status == answer[0]
    assert outlook in next(line for line in answer[1].splitlines() if line.startswith("wigzo"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--look", "4711", "--destinations", "braze"), "Look 4711"),
        (("--look", "48", "--destinations", "braze"), "should hold a userId or an email"),
        (("--look", "42", "--destinations", "zendeks"), "The nearest name is `zendesk`"),
        (("--look", "42", "--destinations", "x", "--mapping", "nowhere.yaml"), "nowhere.yaml"),
        (("--look", "42", "--destinations", "braze", "--looker-conn-id", "nobody"), "'nobody'"),
        (("--look", "42", "--destinations", ""), "--destinations should name a destination"),
    ],
)
def test_check_ends_with_2_where_it_cannot_tell(
    run: Run, sandbox: Any, words: tuple[str, ...], said: str
) -> None:
    """What is wrong is one sentence, and no traceback."""
    status, _, err = run("check", *words)

    assert 2 == status
    assert said in err


def test_preview_masks_values(run: Run, sandbox: Any) -> None:
    """Nobody's data is on the screen unless it was asked for."""
    status, out, err = run("preview", "--look", "42", "-n", "2", "--as-of", "2026-01-15")

    assert 0 == status
    assert 2 == len(messages(out))
    assert "@" not in out
    assert "Ty Arthur" not in out
    assert {"name": "text of 9", "email": "text of 21", "sessions count": "number"} == (
        messages(out)[0]["traits"]
    )
    assert "2 rows read, 2 messages; nothing was sent" in err
    assert "--show-values" in err


def test_preview_shows_the_messages_of_a_run(run: Run, sandbox: Any) -> None:
    """With values, a message is the one that a run sends, but for its id."""
    status, out, _ = run(
        "preview", "--look", "42", "-n", "1", "--as-of", "2026-01-15", "--show-values"
    )
    (message,) = messages(out)

    assert 0 == status
    assert "00MWWFOLRcETcTCf" == message["userId"]
    assert {"name": "Ty Arthur", "email": "ty.arthur@segment.com", "sessions count": 2} == (
        message["traits"]
    )
    assert "2026-01-15T00:00:00+00:00" == message["timestamp"]
    assert {"type", "userId", "traits", "context", "timestamp"} == message.keys()


def test_preview_reads_no_more_than_it_shows(run: Run, sandbox: Any) -> None:
    """Looker is asked for as many rows as were, and Segment for nothing."""
    run("preview", "--look", "42", "-n", "3", "--as-of", "2026-01-15")
    (query,) = [entry for entry in asked(sandbox) if "/run/" in entry["path"]]

    assert "limit=3&" in query["query"]
    assert (
        0 == requests.get(f"{sandbox.segment_url}/_sandbox/summary", timeout=10).json()["requests"]
    )


def test_preview_shows_where_a_message_goes(run: Run, sandbox: Any, tmp_path: Path) -> None:
    """Which destinations are on or off is shown even where values are not."""
    (tmp_path / "mapping.json").write_text('{"exclude": ["users.name"]}', "utf-8")
    _, out, err = run(
        *("preview", "--look", "42", "-n", "1", "--as-of", "2026-01-15", "--only"),
        *("--destinations", "braze,zendesk", "--mapping", str(tmp_path / "mapping.json")),
    )
    (message,) = messages(out)

    assert message["integrations"]["All"] is False
    assert message["integrations"]["Braze"] is True
    assert message["integrations"]["Zendesk"] is False
    assert "A run would stop before its query: Look 42 can never reach Zendesk" in err


def test_preview_says_which_rows_are_no_message(run: Run, sandbox: Any, tmp_path: Path) -> None:
    """A problem is named with its column and its row, and without a message the status is 1."""
    schema = {"properties": {"sessions count": {"type": "string"}}}
    (tmp_path / "plan.json").write_text(json.dumps(schema), "utf-8")
    file = tmp_path / "mapping.yaml"
    file.write_text(f"traits_schema: {tmp_path / 'plan.json'}\n", "utf-8")

    status, out, err = run(
        "preview", "--look", "42", "--as-of", "2026-01-15", "--mapping", str(file)
    )

    assert (1, "") == (status, out)
    assert "5 rows traits_schema in `$['sessions count'] type`, the first in row 1" in err


def test_preview_leaves_relative_dates_where_asked_to(run: Run, sandbox: Any) -> None:
    """``--as-of look`` leaves the Look's dates to Looker's own clock."""
    assert 0 == run("preview", "--look", "42", "-n", "1", "--as-of", "look")[0]
    assert 1 == run("preview", "--look", "42", "-n", "1", "--as-of", "2001-01-01")[0]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--as-of", "yesterday"), "--as-of, if it is not `look`, should be a date"),
        (("-n", "0"), "-n/--rows: should be a number above 0"),
        (("-n", "-1"), "-n/--rows: should be a number above 0"),
        (("-n", "many"), "-n/--rows: should be a number above 0"),
    ],
)
def test_preview_refuses_what_it_does_not_understand(
    run: Run, sandbox: Any, words: tuple[str, ...], complaint: str
) -> None:
    """A wrong moment or number is an error that names the option."""
    status, out, err = run("preview", "--look", "42", *words)

    assert (2, "") == (status, out)
    assert complaint in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("check", "--destinations", "zendeks"), "The nearest name is `zendesk`"),
        (("check", "--destinations", "braze", "--mapping", "nowhere.yaml"), "nowhere.yaml"),
        (("preview", "--destinations", "zendeks"), "The nearest name is `zendesk`"),
        (("preview", "--mapping", "nowhere.yaml"), "nowhere.yaml"),
        (("preview", "--as-of", "yesterday"), "--as-of, if it is not `look`, should be a date"),
    ],
)
def test_wrong_words_are_told_before_anybody_is_asked(
    run: Run, sandbox: Any, words: tuple[str, ...], complaint: str
) -> None:
    """What can be told from the words alone needs no connection and no Looker."""
    status, out, err = run(*words, "--look", "42", "--looker-conn-id", "nobody")

    assert (2, "") == (status, out)
    assert complaint in err
    assert [] == asked(sandbox)


def test_commands_cost_airflow_nothing() -> None:
    """Airflow imports the commands at every command of its own: they import nothing of weight."""
    code = (
        f"import sys, {NAME}.cli; "
        "heavy = {'airflow', 'jsonschema', 'looker_sdk', 'yaml', 'requests', 'datetime'}; "
        "sys.exit(' '.join(sorted(heavy & sys.modules.keys())) or 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )

    assert (0, "") == (answer.returncode, answer.stderr)


def test_the_provider_names_its_commands() -> None:
    """Airflow finds the commands through the provider's own description."""
    (path,) = get_provider_info()["cli"]

    assert f"{NAME}.cli.get_cli_commands" == path


def test_each_command_can_run() -> None:
    """Every command leads to a function that is there."""
    from importlib import import_module

    def walk(node: Command | Group) -> None:
        if isinstance(node, Group):
            for member in node.members:
                walk(member)
            return
        module, function = node.runs
        assert callable(getattr(import_module(f"{NAME}.cli.{module}"), function))

    walk(COMMANDS)


def test_a_table_is_aligned_and_nothing_is_cut() -> None:
    """Long cells are wrapped below themselves; a narrow terminal loses no word."""
    text = table(("A", "B", "C"), [("one", "x " * 40, "y"), ("two", "", "z")], width=40)
    lines = text.splitlines()

    assert 40 == text.count("x")
    assert {3 + 2 + 30 + 2} == {
        line.index(last) for line in lines for last in "Cyz" if last in line
    }
    assert "two" == lines[-1].split()[0]


def test_parameters_of_a_mapping_count(run: Run, sandbox: Any, tmp_path: Path) -> None:
    """A rule that asks for something of the user's own takes it from the mapping file."""
    file = tmp_path / "mapping.yaml"
    file.write_text("parameters: {pardot_lookup_field: crm id}\n", "utf-8")
    words = ("check", "--look", "42", "--destinations", "pardot")

    assert 0 == run(*words)[0]
    status, out, _ = run(*words, "--mapping", str(file))
    assert 1 == status
    assert "a trait `crm id`" in out


def test_what_nobody_foresaw_is_one_sentence_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback could show values of rows; the place of the error is enough to mend it."""
    monkeypatch.setattr(destinations, "list_all", lambda _: {}["secret"])
    status, out, err = run("destinations", "list")

    assert (2, "") == (status, out)
    assert "KeyError in tests.test_cli, line" in err
    assert "secret" not in err
    assert 1 == len(err.strip().splitlines())


def test_whoever_stops_a_command_sees_no_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is a status of its own, the one that shells know."""

    def stopped(_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(destinations, "list_all", stopped)

    assert (130, "", "Stopped.\n") == run("destinations", "list")


def test_a_looker_that_is_not_there_is_not_waited_for_long(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits before a terminal soon reads one sentence, and the output stays empty."""
    clock = simulate(monkeypatch, looker)
    nowhere = {"host": "http://127.0.0.1:9", "login": "an-id", "password": "a-secret"}
    said = json.dumps({"conn_type": "looker", **nowhere})
    monkeypatch.setenv("AIRFLOW_CONN_LOOKER_DEFAULT", said)
    status, out, err = run("preview", "--look", "42")

    assert (2, "") == (status, out)
    assert "Look 42 should be answered by Looker, but it gave no answer at http" in err
    assert 0 < sum(clock.slept) <= 5
