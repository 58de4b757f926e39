"""What a Look may be: its rows, limits and columns; what is ambiguous fails before it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.hazards.conftest import EXPLORE
from tests.hazards.flow import PEOPLE, Flow, result_query, row, stopped, succeeded
from tests.hazards.registry import hazard

Start = Callable[..., Flow]
Answer = Callable[..., None]


@hazard(
    "L11",
    "a Look without rows",
    "succeeds and says so: nothing is sent; `min_rows` forbids it",
)
def test_l11_no_rows(start: Start, answer: Answer) -> None:
    """No rows are a green run of zeros, unless rows were promised."""
    answer()
    flow = start().run()

    succeeded(flow, 0)
    assert (0, 0) == (flow.books["rows"], flow.record["requests"])
    stopped(start(guards={"min_rows": 1}).run(), "permanent", "min_rows")


@hazard(
    "L12",
    "exactly as many rows as Looker's silent caps, 5,000 or 100,000",
    "fails before sending; a saved limit of 500 or 5,000 is not kept, and `row_limit` overrules",
)
@pytest.mark.parametrize("rows", [499, 500, 501, 4_999, 5_000, 5_001])
def test_l12_as_many_rows_as_a_silent_cap(start: Start, rows: int) -> None:
    """One row beside the cap is a result, the cap itself is none."""
    flow = start("2", filters={"big.id": f"<={rows}"}).run()

    if rows == 5_000:
        stopped(flow, "permanent", "exactly 5,000")
    else:
        succeeded(flow, rows)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [99_999, 100_000, 100_001])
def test_the_large_cap_has_the_same_edges(start: Start, rows: int) -> None:
    """One row beside 100,000 is a result, 100,000 itself is none."""
    flow = start("2", filters={"big.id": f"<={rows}"}).run()

    if rows == 100_000:
        stopped(flow, "permanent", "exactly 100,000")
    else:
        assert {} == flow.errors
        assert (rows, rows) == (flow.record["accepted"], flow.record["users"])


def test_a_cap_that_was_asked_for_is_no_cut(start: Start) -> None:
    """Whoever says that 5,000 rows are meant gets them."""
    succeeded(start("2", filters={"big.id": "<=5000"}, row_limit=5_000).run(), 5_000)


@pytest.mark.parametrize(
    ("choice", "messages"), [({}, None), ({"row_limit": "look"}, 10), ({"row_limit": "all"}, 20)]
)
def test_a_top_list_stops_until_somebody_says_what_it_means(
    start: Start, choice: dict[str, Any], messages: int | None
) -> None:
    """A limit that somebody chose is neither dropped nor kept in silence."""
    flow = start("3", **choice).run()

    if messages is None:
        stopped(flow, "permanent", "row limit")
        assert not [entry for entry in flow.asked if entry["path"].endswith("json_detail")]
    else:
        succeeded(flow, messages)


@hazard("L13", "a Look that is deleted, or not there", "fails for good, before any query")
@pytest.mark.parametrize(("look_id", "complaint"), [("15", "trash"), ("4711", "Look 4711")])
def test_l13_deleted_look(start: Start, look_id: str, complaint: str) -> None:
    """The message names the Look, and no query is made."""
    flow = start(look_id).run()

    stopped(flow, "permanent", complaint)
    assert not [entry for entry in flow.asked if "queries" in entry["path"]]


@hazard(
    "L14",
    "an id column that was renamed or removed, before or during the run",
    "fails for good before sending, and names the column",
)
@pytest.mark.parametrize("moment", ["in the model", "in the Look", "during the run"])
def test_l14_edited_look(start: Start, sandbox: Any, answer: Answer, moment: str) -> None:
    """A column that is gone stops the run wherever that is noticed."""
    choices: dict[str, Any] = {}
    if moment == "in the model":
        sandbox.looker_faults.add(
            "rewrite", pattern=r'"people\.id"', replacement='"people.uid"', path=EXPLORE
        )
    elif moment == "in the Look":
        choices = {"mapping": {"user_id": "people.uid"}}
    else:
        answer(row(), row().replace("people.id", "people.uid"))
    flow = start(**choices).run()

    stopped(flow, "permanent", "people.")


@hazard("L15", "an id column that the Look hides", "it still identifies, and is no trait")
def test_l15_hidden_id(start: Start) -> None:
    """Hidden columns are not traits; the id is not one anyway."""
    flow = start("5").run()

    succeeded(flow, PEOPLE)
    assert {"email": "u1@example.com", "name": "Zoë 1"} == flow.traits("u-001")


@hazard("L16", "a hidden column that the Look no longer has", "ignored")
def test_l16_stale_hidden_name(start: Start) -> None:
    """Looker leaves such names behind."""
    succeeded(start("6").run(), PEOPLE)


@hazard(
    "L17",
    "two columns with one label",
    "fails before the query and names both; renaming one, or LookML names, help",
)
def test_l17_one_label_twice(start: Start) -> None:
    """Neither value overwrites the other in silence."""
    flow = start("7").run()

    stopped(flow, "permanent", "`people.note`, `people.twin`")
    succeeded(start("7", mapping={"rename": {"people.twin": "other note"}}).run(), PEOPLE)


@hazard(
    "L18",
    "a table calculation without a view, or named like another column",
    "sent under its label; a collision fails before the query",
)
def test_l18_calculation_named_like_a_field(start: Start) -> None:
    """A calculation is a column like any other."""
    flow = start("8").run()

    succeeded(flow, PEOPLE)
    assert 21.0 == flow.traits("u-001")["source"]
    clash = start("9").run()
    assert "`people.spent`, `spent`" in str(clash.errors["extract"])


@hazard(
    "L19",
    "a pivoted Look",
    'one trait for each measure and pivot, null pivots named; `pivots="reject"` refuses',
)
def test_l19_pivots(start: Start) -> None:
    """Each pivoted value has a name of its own."""
    flow = start("4").run()

    succeeded(flow, PEOPLE)
    assert {"email": "u1@example.com", "orders null": 1, "orders paid": 1} == flow.traits("u-001")
    refused = start("4", mapping={"pivots": "reject"}).run()
    assert "pivots" in str(refused.errors["extract"])


@hazard("L20", "totals and row totals", "never asked for, and never a user")
def test_l20_totals(start: Start) -> None:
    """A Look that shows totals has as many messages as users."""
    flow = start("10").run()

    succeeded(flow, PEOPLE)
    assert not [name for name in flow.traits("u-001") if "total" in name]


@hazard(
    "L21",
    "rows that Looker fills in for missing dates",
    "never asked for; a row without an id is a problem, and the others go on",
)
def test_l21_filled_rows(start: Start, answer: Answer) -> None:
    """A filled row stands for nobody."""
    succeeded(start("11").run(), PEOPLE)
    answer(row(), row(id="null", name="null"))
    flow = start(guards={"max_rejected": 0.5}).run()

    assert ({"id_missing": 1}, 1) == (flow.problems, flow.books["accepted"])


@hazard(
    "L22",
    "one user in several rows",
    "the first row is sent; identical repeats are counted, others are problems",
)
def test_l22_user_in_several_rows(start: Start, answer: Answer) -> None:
    """One message for each user leaves, whatever the join did."""
    answer(row(name='"Ty"'), row(name='"Ty"'), row(name='"Tyrone"'), row(id='"u-2"'))
    flow = start(guards={"max_rejected": 0.5}).run()

    succeeded(flow, 2)
    assert (4, 1, 1) == tuple(flow.books[name] for name in ("rows", "duplicates", "rejected"))
    assert {"conflicting_duplicate": 1} == flow.problems
    assert {"name": "Ty"} == flow.traits("u-1")


@hazard(
    "L23",
    "list values",
    'problems, for Segment takes strings and numbers; `arrays="join"` sends them as text',
)
def test_l23_list_values(start: Start) -> None:
    """A list is refused or joined, never sent as one."""
    flow = start("17").run()

    stopped(flow, "permanent", "array_value in `people.notes`")
    joined = start("17", mapping={"arrays": "join"}).run()
    succeeded(joined, PEOPLE)
    assert "note 1" == joined.traits("u-001")["notes"]


@hazard("L24", "cells with HTML and links", "the value is sent, never what Looker shows")
def test_l24_html_cells(start: Start, answer: Answer) -> None:
    """`rendered`, `html` and `links` beside a value are ignored."""
    decorated = (
        '"people.note":{"rendered":"$7.00","html":"<b>7</b>",'
        '"links":[{"label":"x","url":"/x"}],"value":7}'
    )
    answer(row(note="0").replace('"people.note":{"value":0}', decorated))
    flow = start().run()

    succeeded(flow, 1)
    assert {"name": "Ty", "note": 7} == flow.traits("u-1")


@hazard("L25", "columns with a number format", "asked for without it: a number stays one")
def test_l25_formatted_numbers(start: Start) -> None:
    """Currency signs and separators are for eyes."""
    flow = start("18").run()

    succeeded(flow, PEOPLE)
    assert {"email": "u1@example.com", "spent": 10.5} == flow.traits("u-001")
    assert "apply_formatting=false" in result_query(flow)


@hazard("L26", "dates, weeks, months, quarters, times", "sent as the text that Looker gives")
def test_l26_dates(start: Start) -> None:
    """No text is guessed to be a date and rewritten."""
    flow = start("12").run()

    succeeded(flow, PEOPLE)
    assert {
        "email": "u1@example.com",
        "Joined Time": "2025-12-01 23:59:59",
        "Joined Date": "2025-12-01",
        "Joined Week": "2025-12-01",
        "Joined Month": "2025-12",
        "Joined Quarter": "2025-Q4",
    } == flow.traits("u-001")


@hazard(
    "L27",
    "`1e400`, `NaN`, `Infinity`",
    "a problem, as id and as trait; the other rows are sent",
)
def test_l27_numbers_that_are_none(start: Start, answer: Answer) -> None:
    """What JSON has no word for never reaches the wire."""
    literals = ["1e400", "-1e400", "NaN", "Infinity", "-Infinity"]
    traits = [row(note=literal) for literal in literals]
    ids = [row(id=literal) for literal in literals]
    answer(*traits, *ids, row(id='"u-3"', note="3"))
    flow = start(guards={"max_rejected": 0.95}).run()

    succeeded(flow, 1)
    assert {"not_finite": 5, "id_not_finite": 5} == flow.problems


@hazard(
    "L28",
    "integers beyond 2^53",
    "all digits are kept: ids are text, traits become text",
)
def test_l28_integers_beyond_a_double(start: Start, answer: Answer) -> None:
    """Receivers would round them."""
    digits = "123456789012345678901234567890"
    answer(row(id=digits, note=digits), row(id="9007199254740993", note="9007199254740992"))
    flow = start().run()

    succeeded(flow, 2)
    assert {"name": "Ty", "note": digits} == flow.traits(digits)
    assert {"name": "Ty", "note": 9007199254740992} == flow.traits("9007199254740993")


@hazard(
    "L37",
    "ids that Looker masks for this API user: `####`, `XXXX`, or one value for all rows",
    "nothing is sent",
)
@pytest.mark.parametrize("mask", ["####", "*****", "XXXX", "••••", "hidden"])
@pytest.mark.parametrize("varied", [True, False], ids=["other columns too", "everything"])
def test_l37_masked_ids(start: Start, answer: Answer, mask: str, varied: bool) -> None:
    """A mask stands for nobody, and a whole Look about one user is one."""
    names = [f'"{mask if not varied else number}"' for number in range(30)]
    answer(*(row(id=f'"{mask}"', name=name) for name in names))

    # As an id, this mask is no word that stands for nobody; its first row is a message.
    stopped(start().run(), "permanent", kept=varied and mask == "hidden")


METADATA: dict[str, tuple[str, str, str]] = {
    "calculations that are no JSON": ('"dynamic_fields": ?null', '"dynamic_fields":"{bad"', "JSON"),
    "calculations of another kind": ('"dynamic_fields": ?null', '"dynamic_fields":"[1]"', "list"),
    "a column that is null": (r'"fields": ?\[[^]]*\]', '"fields":[null]', "column"),
    "labels that are a list": (
        r'"vis_config": ?\{[^}]*\}',
        '"vis_config":{"series_labels":[1]}',
        "`series_labels`",
    ),
    "hidden columns that are a text": (
        r'"vis_config": ?\{[^}]*\}',
        '"vis_config":{"hidden_fields":"people.email"}',
        "`hidden_fields`",
    ),
}
"""What Looker's metadata may be like: text in it, what stands in its place, the complaint."""


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_of_another_shape_stops_the_run(start: Start, sandbox: Any, kind: str) -> None:
    """Nobody knows what such a Look means, so nothing of it is read."""
    pattern, replacement, complaint = METADATA[kind]
    sandbox.looker_faults.add(
        "rewrite", path="/looks/1$", pattern=pattern, replacement=replacement, times=-1
    )

    stopped(start().run(), "permanent", complaint)


def test_a_filter_without_a_value_is_none(start: Start, sandbox: Any) -> None:
    """Looker keeps a filter whose value somebody has emptied."""
    sandbox.looker_faults.add(
        "rewrite",
        path="/looks/1$",
        pattern=r'"filters": ?(null|\{[^}]*\})',
        replacement='"filters":{"people.joined_date":null}',
        times=-1,
    )

    succeeded(start().run(), PEOPLE)


def test_a_limit_that_is_no_number_is_refused(start: Start, sandbox: Any) -> None:
    """Whether the Look's own limit is asked for or not."""
    sandbox.looker_faults.add(
        "rewrite",
        path="/looks/1$",
        pattern='"limit": ?"500"',
        replacement='"limit":"abc"',
        times=-1,
    )

    stopped(start().run(), "permanent", "row limit")
    stopped(start(row_limit="look").run(), "permanent", "row limit")
