"""What was promised, beside what was measured: every figure here is computed from the results.

Speeds are judged by the clock; the same ratio in processor time, which a busy machine disturbs
less, stands beside. Nothing fails where a target is missed: this is not a timed test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import table
from benchmarks.startup import BUDGET_MS

Found = dict[str, Any]
LEAST_ROWS, MIDDLE_ROWS, MOST_ROWS = 10_000, 100_000, 1_000_000


@dataclass(frozen=True)
class Figure:
    """What was measured.

    :param about: where: a size, a latency, a file.
    :param beside: the same in another measure, by its name; nothing is judged by it.
    """

    about: str
    value: float
    beside: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What was promised.

    :param form: how its figures are written.
    :param figures: finds them in the results; none where a part was not run, or not at that size.
    """

    name: str
    limit: float
    form: str
    figures: Callable[[Found], Iterable[Figure]]
    at_most: bool = True

    def verdict(self, value: float) -> str:
        """Say whether a figure keeps the promise."""
        is_met = value <= self.limit if self.at_most else value >= self.limit
        return "met" if is_met else "missed"


def _sizes(found: Found, part: str) -> Iterator[tuple[str, Any]]:
    for result in found.get(part, ()):
        yield f"{result['rows']:,} rows", result


def _extract_speed(found: Found) -> Iterator[Figure]:
    for about, result in _sizes(found, "extract"):
        loop = result["ways"]["extract_loop"]
        yield Figure(about, loop["speed_of_ours"], {"processor time": 1 / loop["cpu_of_ours"]})


def _extract_memory(found: Found) -> Iterator[Figure]:
    for about, result in _sizes(found, "extract"):
        if result["rows"] >= MOST_ROWS:
            ours, loop = (result["ways"][way] for way in ("extract_ours", "extract_loop"))
            yield Figure(about, ours["peak_mb"] / loop["peak_mb"])


def _extract_growth(found: Found) -> Iterator[Figure]:
    peaks = {
        result["rows"]: result["ways"]["extract_ours"]["peak_mb"]
        for result in found.get("extract", ())
    }
    yield from _growth(peaks, LEAST_ROWS)


def _growth(peaks: dict[int, float], least_rows: int) -> Iterator[Figure]:
    if {least_rows, MOST_ROWS} <= peaks.keys():
        about = f"{least_rows:,} to {MOST_ROWS:,}"
        yield Figure(about, peaks[MOST_ROWS] / peaks[least_rows] - 1)


def _sealing(found: Found) -> Iterator[Figure]:
    for about, result in _sizes(found, "extract"):
        unsealed = result["ways"]["extract_unsealed"]
        beside = {"processor time": unsealed["cpu_of_ours"] - 1}
        yield Figure(about, 1 / unsealed["speed_of_ours"] - 1, beside)


def _schema(found: Found) -> Iterator[Figure]:
    for about, result in _sizes(found, "extract"):
        if result["rows"] == MIDDLE_ROWS:
            measured = result["ways"]["extract_schema"]
            yield Figure(about, measured["seconds"], {"processor time": measured["cpu_s"]})


def _identify(found: Found) -> Iterator[tuple[float, str, Any]]:
    for size in found.get("identify", ()):
        for result in size:
            about = f"{result['rows']:,} messages, {result['latency_s'] * 1_000:.0f} ms"
            yield result["latency_s"], about, result["ways"]


def _identify_speed(latency_s: float) -> Callable[[Found], Iterator[Figure]]:
    def figures(found: Found) -> Iterator[Figure]:
        for found_s, about, ways in _identify(found):
            if found_s == latency_s:
                other = ways["identify_client"]
                beside = {"processor time": 1 / other["cpu_of_ours"]}
                yield Figure(about, other["speed_of_ours"], beside)

    return figures


def _identify_lost(found: Found) -> Iterator[Figure]:
    for _, about, ways in _identify(found):
        ours, other = ways["identify_ours"], ways["identify_client"]
        beside = {"(a) loses": other["given"] - other["items"]}
        yield Figure(about, ours["given"] - ours["items"], beside)


def _identify_requests(found: Found) -> Iterator[Figure]:
    for _, about, ways in _identify(found):
        ours, other = (
            way["facts"]["requests"] / way["items"]
            for way in (ways["identify_ours"], ways["identify_client"])
        )
        yield Figure(about, ours / other)


def _identify_growth(found: Found) -> Iterator[Figure]:
    peaks: dict[int, float] = {}
    for size in found.get("identify", ()):
        for result in size:
            peak_mb = result["ways"]["identify_ours"]["peak_mb"]
            peaks[result["rows"]] = max(peak_mb, peaks.get(result["rows"], 0))
    yield from _growth(peaks, MIDDLE_ROWS)


def _throttle(found: Found) -> Iterator[tuple[str, Any]]:
    for result in found.get("throttle", ()):
        yield f"{result['shards']} shard{'s' if result['shards'] > 1 else ''}", result


def _kept(found: Found) -> Iterator[Figure]:
    for about, result in _throttle(found):
        beside = {
            "first message to last": result["kept_first_to_last"],
            "with each task's start": result["kept_end_to_end"],
        }
        yield Figure(about, result["kept"], beside)


def _fullest(found: Found) -> Iterator[Figure]:
    for about, result in _throttle(found):
        yield Figure(about, result["most_in_a_second"] / result["allowed"])


def _whole(found: Found) -> Iterator[Figure]:
    for result in found.get("whole", ())[:1]:
        for way, measured in result["ways"].items():
            ours_s = sum(task["ours_s"] for task in measured["tasks"].values())
            beside = {"seconds of ours": ours_s}
            yield Figure(f"{result['rows']:,} rows, {way}", measured["ratio"], beside)


def _destinations(found: Found) -> Iterator[Figure]:
    for way, measured in found.get("destinations", {}).get("ways", {}).items():
        if measured["check_s"] is not None:
            yield Figure(f"{way}, processor time", measured["check_of_extract"])


def _snapshot_cost(found: Found) -> Iterator[Figure]:
    for about, result in _sizes(found, "snapshot"):
        for step, value in result["of_extract"]["seconds"].items():
            beside = {"processor time": result["of_extract"]["cpu_s"][step]}
            yield Figure(f"{about}, {SNAPSHOT_STEPS[step]}", value, beside)


def _snapshot_memory(found: Found) -> Iterator[Figure]:
    for about, result in _sizes(found, "snapshot"):
        steps = result["steps"]
        most = max(measured["peak_mb"] for measured in steps.values())
        yield Figure(about, most / steps["full"]["peak_mb"] - 1)


def _reading(found: Found) -> Iterator[Figure]:
    for name, file in found.get("startup", {}).get("files", {}).items():
        yield Figure(name, file["ms"])


def _sdks(found: Found) -> Iterator[Figure]:
    files = found.get("startup", {}).get("files", {})
    if files:
        yield Figure(f"{len(files) - 1} files", sum(len(file["sdks"]) for file in files.values()))


def _building(found: Found) -> Iterator[Figure]:
    built = found.get("startup", {}).get("building")
    if built:
        for when in ("first", "later"):
            ours, empty = (built[whose][f"{when}_ms"] for whose in ("ours", "empty"))
            yield Figure(f"the {when} DAG", ours - empty, {"all of it": ours})


SNAPSHOT_STEPS = {
    "first": "nobody known",
    "same": "nothing changed",
    "other": "everybody changed",
}

TARGETS = (
    Target("extract, times as fast as (b)", 1.0, ".2f", _extract_speed, at_most=False),
    Target("extract, share of (b)'s memory", 0.1, ".1%", _extract_memory),
    Target("extract, growth of its memory", 0.1, ".1%", _extract_growth),
    Target("extract, what sealing adds", 0.1, ".1%", _sealing),
    Target("extract with a `traits_schema`, s", 20.0, ".1f", _schema),
    Target("destinations, share of extract", 0.05, ".1%", _destinations),
    Target("identify, times as fast as (a)", 2.0, ".1f", _identify_speed(0.0), at_most=False),
    Target("identify, times as fast as (a)", 5.0, ".1f", _identify_speed(0.06), at_most=False),
    Target("identify, messages lost", 0, ",.0f", _identify_lost),
    Target("identify, share of (a)'s requests a message", 1 / 8, ".1%", _identify_requests),
    Target("identify, growth of its memory", 0.1, ".1%", _identify_growth),
    Target("throttled, share of the rate that is kept", 0.98, ".1%", _kept, at_most=False),
    Target("throttled, share of it in the fullest second", 1.0, ".1%", _fullest),
    Target("a whole run, times as long as an empty DAG", 1.3, ".2f", _whole),
    Target("snapshot, diff and commit, share of extract", 1.0, ".1%", _snapshot_cost),
    Target("snapshot, growth of extract's memory", 0.1, ".1%", _snapshot_memory),
    Target("reading a DAG file, processor ms", BUDGET_MS, ".1f", _reading),
    Target("building three tasks, ms beyond Airflow's own", BUDGET_MS, ".1f", _building),
    Target("SDKs imported where DAG files are read", 0, ".0f", _sdks),
)


def judge(found: Found) -> list[dict[str, Any]]:
    """Return each target with each of its figures; one that has none was not measured."""
    judged = []
    for target in TARGETS:
        sign = "at most" if target.at_most else "at least"
        promise = {"target": target.name, "limit": f"{sign} {target.limit:{target.form}}"}
        figures = list(target.figures(found))
        judged += [
            {
                **promise,
                "about": figure.about,
                "measured": figure.value,
                "beside": figure.beside,
                "form": target.form,
                "verdict": target.verdict(figure.value),
            }
            for figure in figures
        ]
        if not figures:
            judged.append({**promise, "verdict": "not measured"})
    return judged


def as_table(judged: list[dict[str, Any]]) -> str:
    """Return the verdicts for people."""
    rows = []
    for one in judged:
        beside = one.get("beside", {})
        said = (f"{name} {value:{one['form']}}" for name, value in beside.items())
        measured = f"{one['measured']:{one['form']}}" if "measured" in one else ""
        verdict = one["verdict"] if one["verdict"] == "met" else f"**{one['verdict']}**"
        about = one.get("about", "")
        rows.append((one["target"], about, one["limit"], measured, ", ".join(said), verdict))
    return table(("target", "at", "limit", "measured", "beside it", ""), rows)
