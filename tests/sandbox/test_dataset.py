"""Rules of loading CSV files and `looks.yaml`."""

from __future__ import annotations

import csv
import hashlib
import re
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.looks_yaml import read_looks_yaml
from airflow_provider_looker_segment.sandbox.query import plan_query
from airflow_provider_looker_segment.sandbox.results import Options, stream

ADVENTUREWORKS = Path(__file__).parents[3] / "shared" / "data" / "adventureworks"
ADVENTUREWORKS_LOOKS = Path(__file__).parents[1] / "adventureworks" / "looks.yaml"

Load = Callable[..., Dataset]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a folder made of the given files."""

    def load(looks_yaml: str = "{}", *, today: date | None = None, **files: str) -> Dataset:
        (tmp_path / "looks.yaml").write_text(looks_yaml, encoding="utf-8")
        for name, text in files.items():
            (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        return Dataset.load(tmp_path, today=today)

    return load


def test_a_file_without_a_table_becomes_one_of_text(load: Load) -> None:
    """An undeclared CSV file is a table of its own name; blanks are null, the rest stays text."""
    dataset = load(people="\ufeffid,note\n007, \n1.0,$9 \n")

    assert list(dataset.rows("SELECT * FROM people")) == [("007", None), ("1.0", "$9 ")]


def test_declared_columns_are_normalised(load: Load) -> None:
    """Dates become ISO text and numbers SQLite's own, in whatever shape the file has them."""
    dataset = load(
        """
        tables:
          t:
            file: t.csv
            columns:
              day: {type: date, format: "%m/%d/%Y"}
              at: datetime
              money: number
              whole: integer
        """,
        t='day,at,money,whole\n9/21/2001,2019-06-30T23:59:00,"$90,000 ",17850.0\n'
        "01/31/2017,2019-06-30,.5,123456789012345678901\n",
    )

    assert list(dataset.rows("SELECT * FROM t")) == [
        ("2001-09-21", "2019-06-30 23:59:00", 90000, 17850),
        ("2017-01-31", "2019-06-30 00:00:00", 0.5, "123456789012345678901"),
    ]


def test_a_moment_with_an_offset_is_stored_in_the_databases_timezone(load: Load) -> None:
    """ISO 8601 with an offset or a Z names an instant, which is stored as the others are."""
    dataset = load(
        "{database_timezone: Asia/Tokyo, tables: {t: {columns: {at: datetime, day: date}}}}",
        t="at,day\n2019-06-30T23:59:00Z,2019-06-30T23:59:00Z\n"
        "2019-06-30 20:00:00-04:00,2019-06-30\n2019-06-30 20:00:00,\n",
    )

    assert list(dataset.rows("SELECT * FROM t")) == [
        ("2019-07-01 08:59:00", "2019-07-01"),
        ("2019-07-01 09:00:00", "2019-06-30"),
        ("2019-06-30 20:00:00", None),
    ]


def test_columns_alone_are_those_of_the_file_of_that_name(load: Load) -> None:
    """A table that says nothing of files is the file that stands beside."""
    dataset = load("tables: {t: {columns: {n: number}}}", t='n\n"1,200"\n')

    assert list(dataset.rows("SELECT n FROM t")) == [(1200,)]


def test_a_column_may_have_quotes_in_its_name(load: Load) -> None:
    """What a spreadsheet calls a column is no SQL."""
    dataset = load(
        """
        tables: {t: {columns: {'5" day': date}}}
        views:
          t:
            dimensions: {size: '12" record', day: {column: '5" day', type: date}}
        """,
        t='"12"" record","5"" day"\nx,2019-07-01\n',
    )
    query = {"model": "sandbox", "view": "t", "fields": ["t.size", "t.day"]}
    plan = plan_query(dataset, {**query, "query_timezone": "America/New_York"})

    assert '[{"t.size":"x","t.day":"2019-07-01"}]' == "".join(stream(plan, "json", Options()))


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (["17850.0", "", "13047.0"], [17850, None, 13047]),
        (["17850.0", "-3.0", "0.0"], [17850, -3, 0]),
        (["17850.0", "13047"], ["17850.0", "13047"]),
        (["17850.0", "x-1"], ["17850.0", "x-1"]),
        (["007.0", "1.0"], ["007.0", "1.0"]),
        (["1.50", "2.0"], ["1.50", "2.0"]),
        (["1234567890123456789.0"], ["1234567890123456789.0"]),
        (["17850", "13047"], ["17850", "13047"]),
    ],
)
def test_a_column_of_whole_numbers_with_a_fraction_of_0_is_one_of_whole_numbers(
    load: Load, values: list[str], stored: list[object]
) -> None:
    """So programs write whole numbers where some are missing; anything else stays text."""
    text = "id,note\n" + "".join(f"{value},n\n" for value in values)
    dataset = load(t=text)
    declared = load("tables: {t: {columns: {id: text}}}", t=text)

    assert stored == [value for (value,) in dataset.rows("SELECT id FROM t")]
    assert [value or None for value in values] == [
        value for (value,) in declared.rows("SELECT id FROM t")
    ]


def test_files_of_a_pattern_are_one_table(load: Load) -> None:
    """A table may be made of several files, in the order of their names."""
    dataset = load("tables: {t: {files: ['t_*.csv']}}", t_2="a\n2\n", t_1="a\n1\n")

    assert list(dataset.rows("SELECT a FROM t")) == [("1",), ("2",)]


def test_a_bad_value_is_named_without_being_shown(load: Load) -> None:
    """A value that can't be what its column declares stops the load; it is not quoted."""
    with pytest.raises(PermanentError, match=r"t.csv, row 3, column `n`") as caught:
        load("tables: {t: {file: t.csv, columns: {n: integer}}}", t="n\n1\nsecret\n")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("looks_yaml", "complaint"),
    [
        ("views: {v: {dimensons: {}}}", "`dimensons`"),
        ("views: {v: {table: nowhere, dimensions: {a: a}}}", "no table `nowhere`"),
        ("views: {t: {dimensions: {a: {tag: x}}}}", "`tag`"),
        ("explores: {e: {from: nowhere}}", "no view `nowhere`"),
        ("looks: [{id: 1, fields: [t.a]}]", "lacks explore"),
        ("looks: [{id: 1, explore: e, fields: [t.a]}]", "no explore `e`"),
        ("tables: {t: {file: t.csv, sql: SELECT 1}}", "has several of them"),
        ("tables: {u: {}}", "there is no `u.csv`"),
        ("tables: {t: {file: t.csv, columns: {b: integer}}}", "column `b` is missing"),
        ("tables: {t: {file: u.csv}}", "there is no `u.csv`"),
        ("views: [", "looks.yaml should be YAML"),
        ("today: soon", "looks.yaml, today"),
        ("week_start_day: someday", "`someday`"),
    ],
)
def test_a_wrong_looks_yaml_is_refused(load: Load, looks_yaml: str, complaint: str) -> None:
    """What looks.yaml says and means nothing is refused by name, never ignored."""
    with pytest.raises(PermanentError) as caught:
        load(looks_yaml, t="a\n1\n")

    assert complaint.removeprefix("looks.yaml should") in str(caught.value)


def test_a_missing_looks_yaml_is_said(tmp_path: Path) -> None:
    """A folder without looks.yaml is refused with what to do."""
    with pytest.raises(PermanentError, match=r"looks\.yaml"):
        Dataset.load(tmp_path)


def test_today_stops_the_clock(load: Load) -> None:
    """`today` is the sandbox's now: its noon, or the moment given; an argument wins."""
    noon = datetime(2019, 7, 1, 12, tzinfo=UTC)

    assert load("today: 2019-07-01").now() == noon
    assert load("today: 2018-01-01", today=noon.date()).now() == noon
    assert load("{today: 2019-07-01, timezone: Asia/Tokyo}").now() == noon - timedelta(hours=9)
    assert load("today: 2019-07-01 18:30:02").now() == noon + timedelta(hours=6, seconds=1802)
    assert abs(load().now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_labels_follow_lookml(shop: Dataset) -> None:
    """A field's label is its view's and its own; its own is made from its name if not given."""
    fields = shop.model.explore_fields(shop.model.explores["people"])

    assert [
        (fields[name].label, fields[name].label_short, fields[name].type)
        for name in ("people.id", "people.email", "orders.ordered_date", "people.joined_week")
    ] == [
        ("People ID", "ID", "string"),
        ("People E-mail", "E-mail", "string"),
        ("Orders Ordered Date", "Ordered Date", "date_date"),
        ("People Joined Week", "Joined Week", "date_week"),
    ]


def test_each_view_is_an_explore() -> None:
    """Views can be queried without declaring an explore."""
    declaration = read_looks_yaml("views: {v: {dimensions: {a: a}}}")

    assert list(declaration.model.explores) == ["v"]


def test_many_threads_read_at_once(shop: Dataset) -> None:
    """Several threads may be in the middle of results of one dataset."""
    counts = []

    def count() -> None:
        rows = shop.rows("SELECT id FROM big LIMIT 20000")
        counts.append(sum(1 for _ in rows))

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counts == [20000] * 8


@pytest.mark.skipif(not ADVENTUREWORKS.is_dir(), reason="needs the AdventureWorks sample")
def test_adventureworks_cohorts_are_the_expected_ones() -> None:
    """For any date, Look 7 as of that date finds exactly the customers of the 30 days before."""
    dataset = Dataset.load(ADVENTUREWORKS, looks=ADVENTUREWORKS_LOOKS)
    query = {**dataset.model.looks["7"].query, "fields": ["customers.id"]}
    text = (ADVENTUREWORKS / "expected_active30.csv").read_text(encoding="utf-8-sig")
    expected = {row["date"]: row for row in list(csv.DictReader(text.splitlines()))[::30]}

    found = {}
    for day in expected:
        end = date.fromisoformat(day) + timedelta(days=1)
        window = f"{end - timedelta(days=30)} to {end}"
        plan = plan_query(dataset, {**query, "filters": {"orders.ordered_date": window}}, limit=-1)
        ids = sorted(str(row[0]) for row in dataset.rows(plan.sql))
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()
        found[day] = {"date": day, "n": str(len(ids)), "sha256_sorted_ids": digest}

    assert expected == found


def test_the_documented_folder_works(tmp_path: Path) -> None:
    """The example of the documentation gives the result that it shows."""
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    members, visits, shown = re.findall(r"```text\n(.*?)```", page, re.DOTALL)[:3]
    looks_yaml = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]
    (tmp_path / "members.csv").write_text(members, encoding="utf-8")
    (tmp_path / "visits.csv").write_text(visits, encoding="utf-8")
    (tmp_path / "looks.yaml").write_text(looks_yaml, encoding="utf-8")

    dataset = Dataset.load(tmp_path)
    plan = plan_query(dataset, dataset.model.looks["7"].query)

    assert shown == "".join(stream(plan, "csv", Options()))
