"""What a row may hold: each value is sent as documented, or its row is a problem by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.hazards.conftest import WIDE
from tests.hazards.flow import PEOPLE, Flow, row, stopped, succeeded
from tests.hazards.registry import hazard

Start = Callable[..., Flow]
Answer = Callable[..., None]

LENIENT = {"guards": {"max_rejected": 0.99}}
GOOD = row(id='"good"')


def refused(start: Start, answer: Answer, code: str, *rows: str, **mapping: Any) -> Flow:
    """The rows are one kind of problem, the good row beside them is sent, and so is nobody else."""
    answer(*rows, GOOD)
    flow = start(mapping=mapping, **LENIENT).run()
    succeeded(flow, 1)
    assert {code: len(rows)} == flow.problems
    assert ["good"] == [message["userId"] for message in flow.sent]
    return flow


def sent_as(start: Start, answer: Answer, literal: str, **mapping: Any) -> Any:
    """Return what becomes of a cell's JSON text, as the trait `note`, or its absence."""
    answer(row(note=literal))
    flow = start(mapping=mapping).run()
    succeeded(flow, 1)
    return flow.traits("u-1").get("note", "absent")


@hazard("R1", "an id that is null, empty or blank", "a problem; the other rows are sent")
def test_r01_missing_id(start: Start, answer: Answer) -> None:
    """Nobody is invented."""
    literals = ["null", '""', '" \\t"', '"\\u00a0\\u200b"']
    refused(start, answer, "id_missing", *(row(id=literal) for literal in literals))


def test_a_result_without_the_id_column_stops_the_run(start: Start, answer: Answer) -> None:
    """A column that is missing from a row is not a null."""
    answer(
        '{"people.email":{"value":"a@b.c"},"people.name":{"value":"x"},"people.note":{"value":1}}'
    )

    stopped(start(**LENIENT).run(), "permanent", "it lacks people.id")


@hazard("R2", "the id `0`", "a problem; the other rows are sent")
def test_r02_id_zero(start: Start, answer: Answer) -> None:
    """Zero stands for nobody, in each of its spellings."""
    literals = ["0", "0.0", '"0"', "-0.0", '"000"']
    refused(start, answer, "id_blocked", *(row(id=literal) for literal in literals))


@hazard(
    "R3",
    "ids that databases made floats: `17850.0`, `1e15`, `1e16`",
    "sent without fraction and exponent; an id with a fraction is a problem",
)
def test_r03_float_ids(start: Start, answer: Answer) -> None:
    """The id is the one that people know."""
    ids = {
        "123.0": "123",
        "17850.0": "17850",
        "1e15": "1000000000000000",
        "1e16": "10000000000000000",
        "1E+3": "1000",
        "123456789012345678.0": "123456789012345678",
    }
    answer(*(row(id=literal) for literal in ids))
    flow = start().run()

    succeeded(flow, len(ids))
    assert list(ids.values()) == [message["userId"] for message in flow.sent]
    refused(start, answer, "id_fraction", row(id="17850.5"))


@hazard("R4", "ids with leading zeros", "sent with them")
def test_r04_leading_zeros(start: Start, answer: Answer) -> None:
    """Text that looks like a number stays text."""
    ids = ["00042", "0042", "42", "0x1A", "1e5", "7.0"]
    answer(*(row(id=json.dumps(id_)) for id_ in ids))
    flow = start().run()

    succeeded(flow, len(ids))
    assert ids == [message["userId"] for message in flow.sent]


@hazard("R5", "ids with blanks or invisible characters around them", "sent without them")
def test_r05_blanks_around_ids(start: Start, answer: Answer) -> None:
    """The trimmed id is one user, however it was padded; blanks inside stay."""
    blanks = [" ", "\t", "\r\n", "\u00a0", "\u200b", "\ufeff", " \u200b\u3000"]
    answer(*(row(id=json.dumps(f"{blank}7 b{blank}")) for blank in ["", *blanks]))
    flow = start().run()

    succeeded(flow, 1)
    assert (["7 b"], len(blanks)) == (
        [message["userId"] for message in flow.sent],
        flow.books["duplicates"],
    )


@hazard("R6", "ids that are booleans, lists or objects", "problems; the other rows are sent")
@pytest.mark.parametrize(
    ("code", "literals"),
    [("id_boolean", ["true", "false"]), ("id_not_text", ["[1]", "{}", '{"b":[]}', '["a"]'])],
)
def test_r06_ids_of_wrong_types(
    start: Start, answer: Answer, code: str, literals: list[str]
) -> None:
    """Such ids are not made text; a UUID is text already."""
    refused(start, answer, code, *(row(id=literal) for literal in literals))


@hazard("R7", "ids that stand for nobody: `null`, `undefined`, `n/a`, …", "problems, quoted or not")
def test_r07_blocked_ids(start: Start, answer: Answer) -> None:
    """One such id would merge strangers into one profile."""
    words = [
        *("null", "NULL", "None", "nil", "undefined", "NaN", "n/a", "na", "-1", "---", "anonymous"),
        *("guest", "distinct_id", "[object Object]", "not_authenticated", "email", "id", "void"),
        *("true", "False", "{}", "[]", "<nil>", "lmy47d", "abc123", "unknown", "'null'"),
        *("####", "XX", "••••", '"undefined"', "00000000-0000-0000-0000-000000000000"),
    ]
    refused(start, answer, "id_blocked", *(row(id=json.dumps(word)) for word in words))


@hazard("R8", "ids that are e-mail addresses, ids that differ in case", "sent as they are")
def test_r08_case_is_kept(start: Start, answer: Answer) -> None:
    """Two spellings are two users: who knows otherwise maps otherwise."""
    answer(row(id='"A@x.org"'), row(id='"a@x.org"'))
    flow = start().run()

    succeeded(flow, 2)
    assert ["A@x.org", "a@x.org"] == [message["userId"] for message in flow.sent]


@hazard(
    "R9",
    "very short and very long ids",
    "sent as they are, unless a chosen destination cannot take them",
)
def test_r09_lengths_of_ids(start: Start, answer: Answer) -> None:
    """Limits are those of destinations, and hold for chosen ones."""
    ids = ["ab", "c" * 37, "d" * 256, "e" * 500]
    answer(*(row(id=json.dumps(id_)) for id_ in ids))
    flow = start().run()

    succeeded(flow, 4)
    assert ids == [message["userId"] for message in flow.sent]


@hazard("R10", "traits that are NaN or infinite", "problems; they poison no batch")
def test_r10_traits_that_are_no_numbers(start: Start, answer: Answer) -> None:
    """The rest of the batch arrives."""
    literals = ["NaN", "-Infinity", "1e999"]
    refused(start, answer, "not_finite", *(row(note=literal) for literal in literals))


@hazard("R11", "decimals that a double cannot hold, money", "sent as text with every digit")
@pytest.mark.parametrize(
    ("literal", "trait"),
    [
        ("0.1000000000000000055", "0.1000000000000000055"),
        ("12345678901234567.89", "12345678901234567.89"),
        ("79.5", 79.5),
        ("1234.50", 1234.5),
        ("1e2", 100.0),
    ],
)
def test_r11_decimals(start: Start, answer: Answer, literal: str, trait: Any) -> None:
    """No digit is lost, and what a double holds stays a number."""
    assert trait == sent_as(start, answer, literal)


@hazard(
    "R12",
    "times, durations, UUIDs, objects",
    "sent as the text that Looker gives; an object is a problem, never dropped in silence",
)
def test_r12_times_and_objects(start: Start, answer: Answer) -> None:
    """Whatever is not sent is counted."""
    for text in ("23:59:59", "1 day, 2:00:00", "550e8400-e29b-41d4-a716-446655440000"):
        assert text == sent_as(start, answer, json.dumps(text))
    refused(start, answer, "nested_value", row(note='{"lat":1,"lng":2}'))


@hazard("R13", "binary values", "sent if they are text, else problems or a failed run")
def test_r13_binary(start: Start, answer: Answer) -> None:
    """JSON has no bytes: what arrives is text, or not UTF-8 (see there)."""
    assert "ÿþ\x01" == sent_as(start, answer, '"\\u00ff\\u00fe\\u0001"')
    refused(start, answer, "unsendable_text", row(note='"\\u0000\\u0001"'))


@hazard(
    "R14",
    "NUL and halves of characters; other control characters",
    "problems, in ids, e-mails and traits; others are sent",
)
@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud83d", "\\udc00b"])
def test_r14_unsendable_characters(start: Start, answer: Answer, text: str) -> None:
    """Receivers store something else, or refuse the whole row."""
    answer(
        GOOD,
        row(note=f'"{text}"'),
        row(id=f'"{text}"'),
        row(id='"u-3"', email=f'"{text}@x.org"'),
        row(id='"u-4"', note='"a\\u0001\\u001b\\tb"'),
    )
    flow = start(**LENIENT).run()

    succeeded(flow, 2)
    assert {"unsendable_text", "id_unsendable_text", "email_unsendable_text"} == set(flow.problems)
    assert "a\x01\x1b\tb" == flow.traits("u-4")["note"]


@hazard("R15", "emoji, right-to-left, combining marks, any script", "sent unchanged")
def test_r15_any_script(start: Start, answer: Answer) -> None:
    """What Looker sent is what Segment stores, code point by code point."""
    texts = ["😀👨‍👩‍👧", "שָׁלוֹם", "é ≠ e\u0301", "李娜", "𝒜𐍈", "\u202eabc"]
    literals = {f"id {text}": json.dumps(text, ensure_ascii=False) for text in texts}
    answer(*(row(id=json.dumps(id_), note=literal) for id_, literal in literals.items()))
    flow = start().run()

    succeeded(flow, len(texts))
    assert texts == [flow.traits(id_)["note"] for id_ in literals]


@hazard("R16", "a message above 32 KB", "a problem; it is neither cut nor sent, the others are")
def test_r16_large_text(start: Start, answer: Answer) -> None:
    """One row's novel does not stop the run."""
    refused(start, answer, "message_too_large", row(note=json.dumps("x" * 33_000)))


@hazard(
    "R17",
    "a message that is above 32 KB only when it is encoded",
    "a problem: what is measured is what is sent",
)
def test_r17_escaped_text(start: Start, answer: Answer) -> None:
    """Six bytes for each character count, up to the last one that fits."""
    refused(start, answer, "message_too_large", row(note=json.dumps("é" * 5_500)))
    fitting = "é" * 5_300
    assert fitting == sent_as(start, answer, json.dumps(fitting, ensure_ascii=False))


@hazard(
    "R18",
    "column names with dots, `$`, blanks, accents",
    "traits of exactly these names; a collision fails before the query",
)
def test_r18_odd_names(start: Start) -> None:
    """Names are the Look's own, and are not made to look like identifiers."""
    flow = start("13").run()

    succeeded(flow, PEOPLE)
    assert ["email", "a.b $c", "größe · サイズ"] == list(flow.traits("u-001"))
    mapping = {"trait_names": "name", "prefix": "looker_"}
    names = start("13", mapping=mapping, accept_changes=True).run()
    assert {} == names.errors
    clash = start("13", mapping={"rename": {"people.dotted": "email"}}).run()
    assert "would each be it" in str(clash.errors["extract"])


@hazard("R19", "`__proto__`, `constructor`, `prototype` as names", "fails before the query")
@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype"])
def test_r19_poisonous_names(start: Start, name: str) -> None:
    """Receivers in JavaScript break on them."""
    stopped(start(mapping={"rename": {"people.note": name}}).run(), "permanent", f"`{name}`")
    stopped(start("14").run(), "permanent", "`__proto__`")
    succeeded(start("14", mapping={"rename": {"people.proto": "p"}}).run(), PEOPLE)


@hazard(
    "R20",
    "reserved traits with wrong types: `age` as text, `phone` as number, …",
    "problems; a null is left out, and text stays text",
)
@pytest.mark.parametrize(
    ("trait", "literal"),
    [
        ("age", '"63"'),
        ("phone", "123"),
        ("createdAt", "1483228800"),
        ("address", '"x"'),
        ("company", "7"),
        ("firstName", "true"),
        ("birthday", "19700101"),
    ],
)
def test_r20_reserved_traits(start: Start, answer: Answer, trait: str, literal: str) -> None:
    """Segment's specification fixes these types; a wrong one would spoil profiles."""
    rename = {"people.note": trait}
    refused(start, answer, "reserved_trait_type", row(note=literal), rename=rename)


def test_reserved_traits_of_the_right_type_are_sent(start: Start, answer: Answer) -> None:
    """A date is text in Segment, too; a null e-mail is left out."""
    rename = {"people.note": "createdAt"}
    answer(row(note='"2017-01-01 00:00:00"'))
    flow = start(mapping={"rename": rename}).run()

    succeeded(flow, 1)
    assert {"name": "Ty", "createdAt": "2017-01-01 00:00:00"} == flow.traits("u-1")


@hazard(
    "R21",
    "a trait named `id`, `userId`, `anonymousId`, `traits`, …",
    "fails before the query: it would overwrite something else",
)
@pytest.mark.parametrize("name", ["id", "userId", "anonymousId", "traits", "context", "messageId"])
def test_r21_protected_names(start: Start, name: str) -> None:
    """The envelope of a message is not a Look's to change."""
    stopped(start(mapping={"rename": {"people.note": name}}).run(), "permanent", f"`{name}`")


@hazard("R22", "names that are empty or no text", "refused before the query; null pivots are named")
@pytest.mark.parametrize("name", [None, 5, "", ["a"], {"b": 1}])
def test_r22_names_that_are_none(start: Start, name: Any) -> None:
    """Neither a label nor the mapping can make a trait without a name."""
    stopped(start(mapping={"rename": {"people.note": name}}).run(), "permanent", "mapping")
    stopped(start("16").run(), "permanent", "it has no name")


@hazard("R23", "more than 300 traits", "fails before the query, for Segment would drop them")
def test_r23_too_many_traits(start: Start) -> None:
    """Three hundred are sent, and one more is none."""
    stopped(start("99").run(), "permanent", "300")
    surplus = [f"wide.wide_{number}" for number in range(299, WIDE)]
    flow = start("99", mapping={"exclude": surplus}).run()

    succeeded(flow, PEOPLE)
    assert 300 == len(flow.traits("u-001"))


@hazard("R24", "values nested 1,500 deep", "the row is never sent, and nothing crashes")
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_r24_deep_nesting(start: Start, answer: Answer, brackets: str) -> None:
    """The run ends with this package's words, or with a problem."""
    opening = brackets[0] if brackets == "[]" else '{"a":'
    answer(row(note=opening * 1_500 + "1" + brackets[1] * 1_500), GOOD)
    flow = start(**LENIENT).run()

    assert "AirflowFailException" == type(flow.errors["extract"]).__name__
    assert 0 == flow.record["requests"]


def test_a_little_nesting_is_a_problem(start: Start, answer: Answer) -> None:
    """Objects and lists of lists are no traits."""
    refused(start, answer, "nested_value", row(note='[["a"]]'), row(note='{"a":1}'), arrays="join")


@hazard(
    "R25",
    "null traits",
    'left out; `nulls="send"` clears the trait, `nulls="reject"` makes a problem',
)
def test_r25_null_traits(start: Start, answer: Answer) -> None:
    """The three ways, for the e-mail too."""
    assert "absent" == sent_as(start, answer, "null")
    answer(row())
    cleared = start(mapping={"nulls": "send"}, sync_id="clears").run()
    assert {} == cleared.errors
    assert {"email": None, "name": "Ty", "note": None} == cleared.sent[-1]["traits"]
    rejected = start(mapping={"nulls": "reject"}, guards={"max_rejected": 1}).run()
    assert {"null_value": 1} == rejected.problems
