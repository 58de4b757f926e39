"""What the benchmarks compare does the same work, and what they compare with stays short."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as bench
from benchmarks import (
    destinations,
    extract,
    frozen,
    identify,
    look,
    machine,
    scale,
    snapshot,
    startup,
    targets,
)
from benchmarks.measure import Measured, compare, in_turn, take_turns


def test_alternatives_are_what_somebody_would_write() -> None:
    """Each of them has at most 20 lines."""
    lines = {
        path.name: len(path.read_text("utf-8").splitlines())
        for path in frozen.ALTERNATIVES.glob("*.py")
    }

    assert 4 == len(lines)
    assert max(lines.values()) <= 20, lines


def test_alternatives_are_what_they_were() -> None:
    """Whoever changes one changes its digest too, and measures everything again."""
    assert frozen.DIGESTS == frozen.digests()


@pytest.mark.airflow
@pytest.mark.parametrize(
    "dag", sorted((startup.ROOT / "dags").glob("*.py")), ids=lambda dag: dag.stem
)
def test_no_sdk_is_imported_to_read_a_dag_file(dag: Path) -> None:
    """The SDKs take a second and more; Airflow reads DAG files over and over."""
    _, modules = startup.read(str(dag))

    assert [name for name in modules if name.startswith("airflow_provider_looker_segment.")]
    assert not set(startup.SDKS) & set(modules)


def test_the_providers_info_imports_nothing_else() -> None:
    """Airflow asks every provider for its info at every command."""
    _, modules = startup.read("provider info")

    assert [] == [
        name for name in modules if not name.startswith("airflow_provider_looker_segment")
    ]


@pytest.mark.slow
def test_extract_and_its_alternatives_agree_row_by_row() -> None:
    """Every way to extract makes the same of each row; then it is measured."""
    (result,), _ = bench.PARTS["extract"]({400: 1})

    assert set(extract.WAYS) == set(result["ways"])
    assert {400} == {way["items"] for way in result["ways"].values()}


@pytest.mark.slow
def test_identify_and_its_alternatives_agree_row_by_row() -> None:
    """Every way to identify sends the same about each user; then it is measured."""
    (latencies,), _ = bench.PARTS["identify"]({400: 1})

    assert [0.0, 0.06] == [result["latency_s"] for result in latencies]
    assert {400} == {result["ways"]["identify_ours"]["items"] for result in latencies}


@pytest.mark.slow
def test_a_snapshots_steps_send_who_must_be_sent_and_find_what_was_committed() -> None:
    """Everybody, nobody, everybody anew, and then nobody again."""
    snapshot.check()


@pytest.mark.parametrize(
    ("moments", "most"),
    [([0.0, 0.5, 1.0, 1.5], 1_000), ([0.0, 0.5, 0.999, 1.5], 1_500), ([0.0], 500)],
)
def test_any_second_is_watched(moments: list[float], most: int) -> None:
    """A span of a second holds its beginning, but not its end."""
    arrivals = [(moment, 500) for moment in moments]

    assert most == identify.most_in_a_second(arrivals)


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_bursts_do_not_change_the_rate(at_once: int) -> None:
    """A thousand a second is that, whether in one batch or in several at once."""
    size = 1_000 // at_once
    arrivals = [(float(index // at_once), size) for index in range(20 * at_once)]

    assert identify.kept_rate(arrivals, 1) == pytest.approx(1_000, rel=0.005)


def test_every_way_is_first_once_and_behind_every_other() -> None:
    """Over as many turns as there are ways, nobody has a better place than another."""
    turns = [in_turn(["a", "b", "c"], turn) for turn in range(3)]

    assert [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]] == turns


def test_a_snapshots_steps_keep_their_order() -> None:
    """Only extract without a snapshot needs no other step, so it changes its place."""
    orders = [snapshot.in_order(turn) for turn in range(4)]

    assert [0, 2, 4, 6] == [order.index("full") for order in orders]
    assert all([step for step in order if step != "full"] == orders[0][1:] for order in orders)


def test_every_turn_is_told_and_ratios_are_within_a_turn() -> None:
    """The second turn is slow for both ways, and their ratio is what it is in the others."""
    seconds = {"ours": iter([1.0, 9.0, 1.0]), "theirs": iter([2.0, 18.0, 3.0])}

    def run(way: str) -> Measured:
        took_s = next(seconds[way])
        return Measured(10, took_s, took_s, 100.0, 90.0, {})

    found = compare(take_turns(["ours", "theirs"], 3, run), "ours")["theirs"]

    assert (2.0, 0.5) == (found["speed_of_ours"], found["cpu_of_ours"])
    assert [2.0, 18.0, 3.0] == [turn["seconds"] for turn in found["each_turn"]]


def test_results_tell_of_the_machine_but_not_where_it_is() -> None:
    """Results are there to be shown."""
    said = json.dumps([machine.commit(), machine.machine(), machine.versions(), machine.load()])

    assert str(machine.ROOT) not in said
    assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", said)
    assert {"python", "apache-airflow", "looker-sdk"} < machine.versions().keys()


def test_the_first_batch_opens_the_time_in_which_the_rest_arrives() -> None:
    """Three batches of 500 in a second and a half: two of them within the time."""
    arrivals = [(10.0, 500), (10.5, 500), (11.0, 500)]

    assert identify.sending_rate(arrivals) == pytest.approx(1_000)


@pytest.mark.airflow
def test_building_is_measured_beside_as_many_tasks_of_airflows_own() -> None:
    """Both take time, and a later DAG takes less than the first."""
    ours, empty = startup.build("ours"), startup.build("empty")

    assert 0 < ours[1] < ours[0]
    assert 0 < empty[1] < empty[0]


@pytest.mark.slow
def test_every_set_of_destinations_is_beside_extract_without() -> None:
    """The check alone is compared with what extract takes for a row."""
    found = destinations.measure(500, 3)["ways"]

    assert set(destinations.WAYS) == set(found)
    assert found["none"]["check_of_extract"] is None
    assert 0 < found["1"]["check_of_extract"] < found["all 77"]["check_of_extract"] < 1


def test_a_target_is_met_up_to_its_limit_and_missed_beyond() -> None:
    """Figures are judged as they were measured, not as they are rounded."""
    most = targets.Target("", 1.3, ".1f", lambda _: ())
    least = targets.Target("", 1.3, ".1f", lambda _: (), at_most=False)

    assert ["met", "met", "missed"] == [most.verdict(value) for value in (1.2, 1.3, 1.3001)]
    assert ["missed", "met", "met"] == [least.verdict(value) for value in (1.2999, 1.3, 1.4)]


def test_a_target_whose_part_did_not_run_is_not_measured() -> None:
    """Nothing is said about what nobody has measured, not even that it is met."""
    judged = targets.judge({})

    assert [target.name for target in targets.TARGETS] == [one["target"] for one in judged]
    assert {"not measured"} == {one["verdict"] for one in judged}
    assert len(judged) + 2 == len(targets.as_table(judged).splitlines())


def test_verdicts_are_computed_from_the_results() -> None:
    """Half the speed of (b) misses, a hundredth of its memory meets; memory needs two sizes."""

    def result(rows: int, speed: float) -> dict[str, Any]:
        ours = {"peak_mb": 150.0, "speed_of_ours": 1.0, "cpu_of_ours": 1.0}
        loop = {"peak_mb": 15_000.0, "speed_of_ours": speed, "cpu_of_ours": 0.8}
        ways = {"extract_ours": ours, "extract_unsealed": ours, "extract_loop": loop}
        return {"rows": rows, "ways": ways}

    def verdicts(results: list[dict[str, Any]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in targets.judge({"extract": results}):
            found.setdefault(one["target"], []).append(one["verdict"])
        return found

    alone = verdicts([result(1_000_000, 0.5)])
    both = verdicts([result(10_000, 1.0), result(1_000_000, 0.5)])

    assert ["missed"] == alone["extract, times as fast as (b)"]
    assert ["met", "missed"] == both["extract, times as fast as (b)"]
    assert ["met"] == alone["extract, share of (b)'s memory"]
    assert ["not measured"] == alone["extract, growth of its memory"]
    assert ["met"] == both["extract, growth of its memory"]


@pytest.mark.parametrize(
    ("words", "part", "turns"),
    [
        ([], "extract", {20_000: 3}),
        (["--full"], "extract", {10_000: 3, 100_000: 3, 1_000_000: 3}),
        (["--full"], "identify", {100_000: 3, 1_000_000: 2}),
        (["--rows", "50", "--rows", "70", "--turns", "5"], "identify", {50: 5, 70: 5}),
    ],
)
def test_sizes_are_the_parts_own_unless_others_are_asked_for(
    words: list[str], part: str, turns: dict[int, int]
) -> None:
    """A full run takes fewer turns where one of them takes minutes."""
    assert turns == bench.sizes_of(part, bench.arguments(words))


@pytest.mark.slow
def test_a_bench_ends_with_its_targets(tmp_path: Path) -> None:
    """The targets are a table for people, and the same as JSON."""
    words = ["destinations", "--rows", "400", "--turns", "1", "--results", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words],
        cwd=machine.ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    text = next(tmp_path.glob("*.json")).read_text()
    found = json.loads(text)
    judged = {one["target"]: one["verdict"] for one in found["targets"]}

    assert targets.as_table(found["targets"]) in done.stdout
    assert judged["destinations, share of extract"] in ("met", "missed")
    assert judged["identify, messages lost"] == "not measured"
    assert frozen.DIGESTS == found["alternatives"]
    assert str(machine.ROOT) not in text
    assert str(tmp_path) not in text


SCALED = scale.Arrived(
    messages=3,
    repeats=0,
    outcome=scale.outcome_of(
        (message["userId"], scale.fingerprint(message["traits"])) for message in look.messages(3)
    ),
    most_in_a_second=1_000,
    seconds=1.0,
    report={"messages": 3, "accepted": 3, "unknown": 0, "not_sent": 0},
)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"messages": 2}, "2 of 3 users have arrived"),
        ({"outcome": "another"}, "what has arrived is not what the Look holds"),
        ({"repeats": 1}, "1 messages were repeated, where 0 may be"),
        ({"most_in_a_second": 1_001}, "1,001 messages in a second, 1,000 allowed"),
        ({"report": {**SCALED.report, "unknown": 1}}, "the books say"),
    ],
)
def test_a_run_on_several_machines_says_which_law_it_broke(
    change: dict[str, Any], said: str
) -> None:
    """Nothing is said where all hold; a repeat is allowed where a worker was killed only."""
    runs = {
        scale.UNDISTURBED: dataclasses.replace(SCALED, **change),
        scale.KILLED: dataclasses.replace(SCALED, repeats=1_000),
    }

    laws = list(scale.broken(runs, [], rows=3, per_second=1_000))

    assert [bool(said)] * len(laws) == [said in law for law in laws]
    assert bool(said) == bool(laws)
    assert ["chunks left in the object storage: 1"] == list(
        scale.broken({}, [Path("chunk")], rows=3, per_second=1_000)
    )


def test_ci_tries_again_only_what_has_not_begun() -> None:
    """A broken law must not pass the second time."""
    script = (machine.ROOT / ".ci" / "run").read_text()
    (sought,) = re.findall(r'grep -q "\^([^"]+)" "\$logs/scale.log"', script)

    assert scale.NOT_STARTED.startswith(sought)
    assert "twice step scale" not in script
