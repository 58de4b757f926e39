"""One Look on Airflow's distributed engine, undisturbed and with a worker killed: ``make scale``.

Postgres holds Airflow's metadata, Redis hands tasks out, three Celery workers run them, and chunks
rest in an object storage that all workers share. The Look is sent in four shards, twice: once
undisturbed, once with a worker killed, together with everything it runs, while shards are under
way. What has arrived must be the same both times, and at no moment faster than allowed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_looker_segment.core.limits import MAX_BATCH_MESSAGES, MAX_STORED_CHUNK_BYTES
from benchmarks import look, services
from benchmarks.identify import most_in_a_second
from benchmarks.measure import Server, serving
from tests.live.airflow import LiveAirflow, Run

WORKERS = 3
SLOTS = 2
SHARDS = 4
BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"
KILL_AT = 0.3
"""Share of the messages that have arrived when a worker is killed."""


UNDISTURBED, KILLED = "undisturbed", "a worker killed"
NOT_STARTED = "make scale has not begun: Postgres, Redis or Airflow did not start."
"""The only failure that is worth another try; .ci/run looks for it."""


class DistributedAirflow(LiveAirflow):
    """A live Airflow whose tasks run in Celery workers."""

    def start(self) -> None:
        """Start Airflow, then its workers."""
        super().start()
        for number in range(WORKERS):
            self.start_worker(number)

    def start_worker(self, number: int) -> None:
        """Start one worker, in a session of its own."""
        name = f"celery-{number}"
        words = ["--concurrency", str(SLOTS), "--celery-hostname", f"{name}@127.0.0.1"]
        words += ["--skip-serve-logs", "--without-gossip", "--without-mingle"]
        self.start_process(name, ["celery", "worker", *words])

    def kill_busy_worker(self) -> str:
        """Kill a worker that runs a task, with everything it has started; return its name."""
        busy = {os.getsid(process.pid) for process in self.task_processes().values()}
        for name, process in self._components.items():
            if name.startswith("celery-") and process.pid in busy:
                lost = [one for one in self.processes() if os.getsid(one.pid) == process.pid]
                for one in lost:
                    one.send_signal(signal.SIGKILL)
                psutil.wait_procs(lost, timeout=10)
                process.wait()
                del self._components[name]
                return name
        raise AssertionError("no worker runs a task")


@dataclass(frozen=True)
class Arrived:
    """What one run has left in Segment.

    :param messages: requests may repeat some; what has an id of its own counts once.
    :param outcome: a digest of every user with their traits; ids are each run's own.
    """

    messages: int
    repeats: int
    outcome: str
    most_in_a_second: int
    seconds: float
    report: dict[str, Any]


def fingerprint(traits: dict[str, Any]) -> bytes:
    """Return what stands for the traits of a user."""
    return blake2b(json.dumps(traits, sort_keys=True).encode(), digest_size=16).digest()


def outcome_of(users: Iterable[tuple[str, bytes]]) -> str:
    """Return a digest of every user with the fingerprint of their traits."""
    whole = blake2b(digest_size=16)
    for user, traits in sorted(users):
        whole.update(user.encode() + traits)
    return whole.hexdigest()


def arrived(server: Server, kept: Path, seconds: float, report: dict[str, Any]) -> Arrived:
    """Read what the counting Segment has kept."""
    users: dict[str, tuple[bytes, str]] = {}
    messages = 0
    with kept.open("rb") as bodies:
        for body in bodies:
            for message in json.loads(body)["batch"]:
                messages += 1
                said = fingerprint(message["traits"]), message["messageId"]
                known = users.setdefault(message["userId"], said)
                assert known == said, "one user was sent two messages that differ"
    arrivals = sorted(map(tuple, server.arrived()["arrivals"]))
    return Arrived(
        messages=len(users),
        repeats=messages - len(users),
        outcome=outcome_of((user, traits) for user, (traits, _) in users.items()),
        most_in_a_second=most_in_a_second(arrivals),
        seconds=seconds,
        report=report,
    )


def count(server: Server) -> int:
    """Return how many messages have arrived."""
    return sum(messages for _, messages in server.arrived()["arrivals"])


def run(airflow: DistributedAirflow, server: Server, kept: Path, *, kill_at: int | None) -> Arrived:
    """Run the DAG once; kill a worker when so many messages have arrived."""
    kept.unlink(missing_ok=True)
    server.begin(latency_s=0.02, keep=kept)
    began = time.monotonic()
    started = airflow.trigger("scale")
    if kill_at is not None:
        while count(server) < kill_at:
            assert airflow.state(started) not in ("success", "failed"), "the run ended too early"
            time.sleep(0.25)
        assert any(stored(kept.parent)), "no chunk is in the object storage"
        print(f"killed {airflow.kill_busy_worker()}", flush=True)
    state = airflow.wait(started, timeout_s=3_600)
    if state != "success":
        logs = [airflow.log(started, task.name)[-3_000:] for task in airflow.tasks(started)]
        raise AssertionError("\n".join([f"the run ended as {state}", *logs]))
    report = airflow.xcom(started, "report", "report")
    tries = _see_workers(airflow, started)
    assert kill_at is None or max(tries.values()) > 1, "the worker had nothing left to do"
    return arrived(server, kept, time.monotonic() - began, report)


def _see_workers(airflow: DistributedAirflow, started: Run) -> dict[str, int]:
    tries = {task.name: task.tries for task in airflow.tasks(started)}
    print(" ".join(f"{name}: {count}" for name, count in sorted(tries.items())), flush=True)
    return tries


def settings(
    folder: Path, database: str, broker: str, rows: int, per_second: int
) -> dict[str, str]:
    """Return what makes Airflow a distributed one."""
    storage = folder / "xcom"
    storage.mkdir()
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(WORKERS * SLOTS),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__CELERY__BROKER_URL": broker,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
        "AIRFLOW__CORE__XCOM_BACKEND": BACKEND,
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{storage}",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "40000",
        "SCALE_CHUNK_BYTES": str(min(MAX_STORED_CHUNK_BYTES, max(60_000, rows * 3))),
        "SCALE_SHARD_MESSAGES": str(-(-rows // SHARDS)),
        "SCALE_PER_SECOND": str(per_second),
    }


def stored(folder: Path) -> Iterator[Path]:
    """Yield the files of the object storage."""
    return (path for path in (folder / "xcom").rglob("*") if path.is_file())


def broken(
    runs: Mapping[str, Arrived], left: Sequence[Path], *, rows: int, per_second: int
) -> Iterator[str]:
    """Say of every law that does not hold in which run, and by how much.

    :param runs: by name; after a kill a batch of each of the worker's tasks may be repeated.
    :param left: files of the object storage when both runs were over.
    """
    expected = outcome_of(
        (message["userId"], fingerprint(message["traits"])) for message in look.messages(rows)
    )
    for name, one in runs.items():
        if one.messages != rows:
            yield f"{name}: {one.messages:,} of {rows:,} users have arrived"
        if one.outcome != expected:
            yield f"{name}: what has arrived is not what the Look holds"
        repeatable = SLOTS * MAX_BATCH_MESSAGES if name == KILLED else 0
        if one.repeats > repeatable:
            yield f"{name}: {one.repeats:,} messages were repeated, where {repeatable:,} may be"
        if one.most_in_a_second > per_second:
            yield f"{name}: {one.most_in_a_second:,} messages in a second, {per_second:,} allowed"
        right = {"messages": rows, "accepted": rows, "unknown": 0, "not_sent": 0}
        books = {key: one.report[key] for key in right}
        if books != right:
            yield f"{name}: the books say {books}"
    if left:
        yield f"chunks left in the object storage: {len(left)}"


def main() -> int:
    """Run both, compare, and tell; return 1 where a law is broken."""
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--per-second", type=int, default=1_000, help="messages a second, of all")
    chosen = parser.parse_args()
    services.install()
    with ExitStack() as stack:
        # Postgres runs as a user who may not enter the folders of others.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp")))
        folder.chmod(0o711)
        server = stack.enter_context(serving(chosen.rows))
        try:
            airflow = stack.enter_context(distributed(stack, folder, server, chosen))
        except Exception:
            print(NOT_STARTED, flush=True)
            raise
        kept = folder / "kept"
        runs = {UNDISTURBED: run(airflow, server, kept, kill_at=None)}
        tell(UNDISTURBED, runs[UNDISTURBED])
        runs[KILLED] = run(airflow, server, kept, kill_at=int(chosen.rows * KILL_AT))
        tell(KILLED, runs[KILLED])
        left = list(stored(folder))
    laws = list(broken(runs, left, rows=chosen.rows, per_second=chosen.per_second))
    for law in laws:
        print(f"Broken: {law}.")
    if not laws:
        print("The outcome is the Look's both times, the books balance, and no chunk is left.")
    return 1 if laws else 0


def distributed(
    stack: ExitStack, folder: Path, server: Server, chosen: argparse.Namespace
) -> DistributedAirflow:
    """Start what Airflow needs; return an Airflow that is to be started."""
    database = stack.enter_context(services.postgres(folder))
    broker = stack.enter_context(services.redis(folder))
    home = folder / "airflow"
    home.mkdir()
    return DistributedAirflow(
        home,
        dags=[Path(look.__file__).parent / "scale_dag.py"],
        connections=server.environment,
        settings=settings(folder, database, broker, chosen.rows, chosen.per_second),
    )


def tell(name: str, one: Arrived) -> None:
    """Print what one run came to."""
    print(
        f"{name}: {one.messages:,} messages in {one.seconds:.0f} s, {one.repeats:,} repeated, "
        f"{one.most_in_a_second:,} in the fullest second, outcome {one.outcome}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
