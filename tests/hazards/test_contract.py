"""What a sync relies on, in whole runs: what has changed is said before the query is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.hazards.flow import PEOPLE, Flow, succeeded

Start = Callable[..., Flow]


@pytest.fixture
def change(sandbox: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that changes Look 1, or a field of its explore, as somebody may."""
    model = sandbox.looker_app.state.dataset.model

    def apply(*, field: str = "", of_field: Mapping[str, Any] | None = None, **query: Any) -> None:
        if of_field:
            fields = model.views["people"].fields
            monkeypatch.setitem(fields, field, replace(fields[field], **of_field))
        look = model.looks["1"]
        monkeypatch.setitem(model.looks, "1", replace(look, query={**look.query, **query}))

    return apply


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "relabelled column": (
        {"field": "people.note", "of_field": {"label_short": "remark"}},
        ["`people.note` was sent as `note` and would be sent as `remark`"],
    ),
    "type": (
        {"field": "people.note", "of_field": {"kind": "zipcode"}},
        ["`people.note` was of type string and is of type zipcode"],
    ),
    "filter": (
        {"filters": {"people.name": "-EMPTY"}},
        ["the filter `people.name` was absent and is '-EMPTY'"],
    ),
    "id column": (
        {"field": "people.id", "of_field": {"tags": (), "label_short": "number"}},
        ["user_id came from `people.id` and comes from no column"],
    ),
    "column that is gone": (
        {"fields": ["people.id", "people.email", "people.name"]},
        ["the trait `note` from `people.note` is gone"],
    ),
    "limit": ({"limit": "100"}, ["the row limit was none and is 100"]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_has_changed_stops_the_run_before_its_query(
    start: Start, change: Callable[..., None], name: str
) -> None:
    """Old and new are named, and one argument accepts it."""
    changes, said = CHANGES[name]
    # The limit of a Look counts for those who say so.
    choices = {"sync_id": "one", "row_limit": "look"}
    succeeded(start(**choices).run(), PEOPLE)
    change(**changes)
    before = len(start().asked)

    flow = start(**choices).run()

    for text in said:
        assert text in str(flow.errors["extract"])
    assert "accept_changes=True" in str(flow.errors["extract"])
    assert [] == [one["path"] for one in flow.asked[before:] if "quer" in one["path"]]
    accepted = start(**choices, accept_changes=True).run()
    assert {} == {name: str(error) for name, error in accepted.errors.items()}
    assert {} == start(**choices).run().errors


def test_a_chosen_limit_is_named_beside_the_old_one(
    start: Start, change: Callable[..., None]
) -> None:
    """Where no argument says what a limit means, the run stops with both, and says how to."""
    succeeded(start(sync_id="one").run(), PEOPLE)
    change(limit="100")
    before = len(start().asked)

    flow = start(sync_id="one").run()

    assert "the row limit was none and is 100" in str(flow.errors["extract"])
    assert "row_limit= what the limit means, which accepts it" in str(flow.errors["extract"])
    assert [] == [one["path"] for one in flow.asked[before:] if "quer" in one["path"]]
    # Whether the cohort is to be cut off is a question of its own.
    assert 'row_limit="look"' in str(start(sync_id="one", accept_changes=True).run().errors)


@pytest.mark.parametrize(
    ("row_limit", "is_partial"), [("look", True), ("all", False), (PEOPLE + 1, True)]
)
@pytest.mark.parametrize("limit", ["5", "300"])
def test_one_argument_accepts_a_chosen_limit(
    start: Start,
    change: Callable[..., None],
    tmp_path: Path,
    row_limit: str | int,
    limit: str,
    *,
    is_partial: bool,
) -> None:
    """Whoever keeps it, or gives another, makes nobody leave, and the report says so each time."""
    place = {"path": f"file://{tmp_path}", "local": True}
    choices: dict[str, Any] = {"sync_id": "one", "mode": "mirror", "snapshot": place}
    succeeded(start(**choices).run(), PEOPLE)
    change(limit=limit)
    assert "row_limit=" in str(start(**choices).run().errors["extract"])

    for is_first in (True, False):
        flow = start(**choices, row_limit=row_limit).run()

        assert {} == flow.errors
        assert (0, 0) == (flow.books["left"], flow.books["messages"])
        assert (5 if (row_limit, limit) == ("look", "5") else PEOPLE) == flow.books["rows"]
        said = "; ".join(flow.books["warnings"])
        assert is_partial == ("nobody leaves by this run" in said)
        assert is_first == (f"the row limit was none and is {limit}" in said)
    # What was said once does not hold for whoever says nothing, nor for another limit.
    assert "row_limit=" in str(start(**choices).run().errors["extract"])
    change(limit="7")
    again = start(**choices, row_limit=row_limit).run()
    assert f"the row limit was {limit} and is 7" in str(again.errors["extract"])
