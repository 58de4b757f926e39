"""Of what another side says only known words are shown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_looker_segment.core.wording import HIDDEN, WORDS, without_values

NAMES = frozenset({"users.email", "users", "email"})

TEMPLATES = [
    "Conversion failed when converting the varchar value '{}' to data type int.",
    "Bad double value: {}",
    "Could not convert string '{}' to INT32",
    "Cannot cast value {} to bigint",
    "Numeric value “{}” is not recognized",
    "Incorrect DATE value: `{}`",
    "Duplicate entry '{}' for key 'users.email'",
    "DETAIL: Key (id, email)=(42, {}) already exists. Failing row contains (1, {}, null).",
    "While executing: SELECT * FROM users WHERE name = $${}$$",
    'invalid input syntax for integer: "Ty "Secret" {}"',
    "Error converting data type varchar to numeric. Value was {}",
    "Code: 6. DB::Exception: Cannot parse string {} as Int32",
    "SQL Error: Invalid JSON: {{name: {}}}",
    "ERROR 1292 (22007): Truncated incorrect datetime value ; sql=select «{}»",
    "{} could not be cast",
    "[INVALID_CAST] {}",
    "<p>{}</p> Error",
    "{}",
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("division by zero", "division by zero"),
        ('column "users.email" does not exist', "column users.email does not exist"),
        ('column "users.phone" does not exist', "column … does not exist"),
        (
            "FATAL: permission denied for relation accounts (SQLSTATE 42501)",
            "FATAL: permission denied for relation … (SQLSTATE 42501)",
        ),
        ("ORA-00942: table or view does not exist", "… table or view does not exist (ORA-00942)"),
        ("Query timed out after 600 seconds", "Query timed out after … seconds"),
        ("<title>502 Bad  Gateway</title>", "… Bad Gateway"),
        ("DB::Exception: syntax error", "DB::Exception: syntax error"),
        ("Can't open  the\ntable", "Can't open the table"),
        ('failed at "off ', "failed at …"),
        ("", ""),
        ("Ty Secretson", "…"),
    ],
)
def test_known_words_stay(text: str, expected: str) -> None:
    """A message still says what is wrong, in words of databases and in names of the query."""
    assert expected == without_values(text, names=NAMES)


@given(
    template=st.sampled_from(TEMPLATES),
    before=st.text(max_size=12),
    after=st.text(max_size=12),
)
def test_what_is_planted_never_comes_through(template: str, before: str, after: str) -> None:
    """However a database quotes a value, and whatever stands around it, none of it is shown."""
    said = without_values(template.format(*[f"{before}planted{after}"] * 2), names=NAMES)

    assert "planted" not in said


@given(text=st.text() | st.lists(st.sampled_from(sorted(WORDS)) | st.text()).map(" ".join))
def test_nothing_else_is_ever_shown(text: str) -> None:
    """Every word that is shown is listed."""
    shown = without_values(text).replace(HIDDEN, " ").split()

    for word in shown:
        core = re.sub(r"[.,:;!?]$", "", word).casefold()
        assert core in WORDS or WORDS.issuperset(re.split(r"[-_.:]+", core)), word


@pytest.mark.parametrize("said", ["value field is bad", "The value 'key' is bad", "text (key) bad"])
def test_a_value_that_is_a_known_word_is_hidden_where_values_stand(said: str) -> None:
    """In quotes, in brackets and after the word itself, even a known word may be somebody's."""
    assert not re.search(r"\b(field|key)\b", without_values(said))
