"""Run one way of doing something in a process of its own, and watch it from outside.

The parent stays small, because Linux counts a child's memory from what its parent had.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.look import write_document

ROOT = Path(__file__).parent.parent
WRITE_KEY = "benchmark-write-key"


@dataclass(frozen=True)
class Measured:
    """What one way cost, once.

    :param items: rows read, or messages that arrived.
    :param seconds: from the first request to the last result.
    :param cpu_s: of the process, all its threads, in that time.
    :param peak_mb: the most memory the process ever held, as the kernel counted it.
    :param idle_mb: what it held before it began, its imports included.
    """

    items: int
    seconds: float
    cpu_s: float
    peak_mb: float
    idle_mb: float
    facts: dict[str, Any]

    @property
    def per_second(self) -> float:
        """Items a second."""
        return self.items / self.seconds


@contextmanager
def serving(rows: int) -> Iterator[Server]:
    """Start the two servers with a result of so many rows."""
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "document.json"
        write_document(document, rows)
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", str(document)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            yield Server(url, Path(folder), rows)
        finally:
            process.stdin.close()
            process.wait()
            process.stdout.close()


class Server:
    """Both servers, at one address.

    :param folder: room for files that go with it.
    :param rows: of the result.
    """

    def __init__(self, url: str, folder: Path, rows: int) -> None:
        self.url = url
        self.folder = folder
        self.rows = rows

    def begin(self, *, latency_s: float = 0.0, keep: Path | None = None) -> None:
        """Forget what has arrived, and answer batches after so long.

        :param keep: a file that gets every body, to be checked.
        """
        body = {"latency_s": latency_s, "keep": str(keep or "")}
        urlopen(Request(f"{self.url}/begin", json.dumps(body).encode())).close()

    def arrived(self) -> dict[str, Any]:
        """Return what has arrived: ``bytes`` and ``arrivals``, each a moment and a number."""
        with urlopen(f"{self.url}/arrived") as answer:
            return json.load(answer)

    @property
    def environment(self) -> dict[str, str]:
        """What makes both of them Airflow connections, and the number of rows to ask for.

        It is asked for as a number because 100,000 rows of all would be refused as Looker's cap.
        """
        looker = {"conn_type": "looker", "host": self.url, "login": "id", "password": "secret"}
        segment = {"conn_type": "segment_source", "host": self.url, "password": WRITE_KEY}
        return {
            "AIRFLOW_CONN_LOOKER_DEFAULT": json.dumps(looker),
            "AIRFLOW_CONN_SEGMENT_DEFAULT": json.dumps(segment),
            "BENCHMARK_ROWS": str(self.rows),
        }


def start(module: str, arguments: Sequence[str], server: Server) -> subprocess.Popen[str]:
    """Start one way; it prints what it found out as one line of JSON, the last one."""
    inherited = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        env={
            **inherited,
            **server.environment,
            "BENCHMARK_HOST": server.url,
            "AIRFLOW_HOME": str(server.folder / "airflow"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "NO_PROXY": "127.0.0.1",
        },
    )


def finish(process: subprocess.Popen[str]) -> Measured:
    """Wait for one way to end.

    :raises RuntimeError: when it failed.
    """
    assert process.stdout is not None
    with process.stdout as stream:
        said = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}")
    found = json.loads(said.splitlines()[-1])
    return Measured(peak_mb=usage.ru_maxrss / 1_024, **found)


def run_way(way: str, server: Server, *arguments: str) -> Measured:
    """Run one of :mod:`benchmarks.ways` once, to its end."""
    return finish(start("benchmarks.ways", [way, *arguments], server))


def median_of(turns: Sequence[Measured]) -> Measured:
    """Return the turn that took the median time; the memory is the largest of any turn."""
    middle = sorted(turns, key=lambda turn: turn.seconds)[len(turns) // 2]
    return Measured(**{**asdict(middle), "peak_mb": max(turn.peak_mb for turn in turns)})


def ratio(
    ours: Sequence[Measured], theirs: Sequence[Measured], of: Callable[[Measured], float]
) -> float:
    """Return how many times as much ours is: the median over the turns of one run.

    :param of: what is compared.
    """
    return median(of(mine) / of(other) for mine, other in zip(ours, theirs, strict=True))


def in_turn(order: Sequence[str], turn: int) -> list[str]:
    """Return who goes first, second and so on in a turn, so that nobody is always behind another.

    >>> [in_turn("abc", turn) for turn in (0, 1, 5)]
    [['a', 'b', 'c'], ['b', 'c', 'a'], ['c', 'a', 'b']]
    """
    first = turn % len(order)
    return [*order[first:], *order[:first]]


def take_turns(
    ways: Sequence[str], turns: int, run: Callable[[str], Measured]
) -> dict[str, list[Measured]]:
    """Run every way once a turn, each turn beginning with another one."""
    found: dict[str, list[Measured]] = {way: [] for way in ways}
    for turn in range(turns):
        for way in in_turn(ways, turn):
            found[way].append(run(way))
    return found


def compare(found: Mapping[str, Sequence[Measured]], ours: str) -> dict[str, dict[str, Any]]:
    """Return for each way its median turn, every turn, and how it compares with ours.

    ``speed_of_ours`` is how many times as fast ours is, ``cpu_of_ours`` how many times as much
    processor time ours takes for an item.
    """
    return {
        way: {
            **asdict(median_of(turns)),
            "speed_of_ours": ratio(found[ours], turns, lambda turn: turn.per_second),
            "cpu_of_ours": ratio(found[ours], turns, lambda turn: turn.cpu_s / turn.items),
            "each_turn": [asdict(turn) for turn in turns],
        }
        for way, turns in found.items()
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
