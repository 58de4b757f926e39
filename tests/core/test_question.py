"""What a person reads before they decide about a stopped run."""

from __future__ import annotations

from typing import Any

from airflow_provider_looker_segment.core import question
from tests.core.test_manifest import begun


def stopped(**more: Any) -> Any:
    """A manifest of a run that a guard stopped."""
    manifest = begun(**more)
    manifest.rows, manifest.duplicates, manifest.rejected = 1_210, 5, 3
    manifest.messages = 1_202
    manifest.stopped = "Look 42: its messages should be at most 10 (guards.max_messages)."
    return manifest


def test_the_numbers_are_there() -> None:
    """The headline says how much would be sent, the body why it was stopped."""
    manifest = stopped()

    assert "1,202 messages" in question.subject(manifest)
    body = question.body(manifest, query_url="https://looker.example/x/1?a=(b)")
    assert r"at most 10 \(guards.max\_messages\)" in body
    assert "| rows | 1,210 |" in body
    assert "| messages | 1,202 |" in body
    assert "(<https://looker.example/x/1?a=(b)>)" in body
    assert "left" not in body


def test_the_look_heads_the_table() -> None:
    """The first row stands where Markdown wants a head, and nothing is shown without a value."""
    rows = [line for line in question.body(stopped()).splitlines() if line.startswith("|")]

    assert rows[0].startswith("| Look | 42")
    assert "|---|---|" == rows[1]
    assert all(row.count("|") == 3 and "| |" not in row for row in rows)


def test_a_mode_with_a_snapshot_says_who_left() -> None:
    """Leavers and new users are what a person judges by."""
    manifest = stopped()
    manifest.mode, manifest.left, manifest.new_users = "mirror", 17, 4

    body = question.body(manifest)
    assert "| left | 17 |" in body
    assert "| new users | 4 |" in body


def test_names_are_no_markup() -> None:
    """A Look's title is somebody's text: it makes no link, no picture and no row of the table."""
    body = question.body(stopped(look_title="![x](http://h/p) | a\n\n# b <img>"))

    assert r"\!\[x\]\(http://h/p\) \| a \# b \<img\>" in body
