"""The ways to be compared, each in a process of its own: ``python -m benchmarks.ways NAME …``.

What is ours is the operator itself, told by the same connections and arguments as in a DAG. Only
the task instance is of this file: it encodes what is pushed as Airflow does, and keeps it in a
folder or forgets it, so that neither Airflow's API server nor its database is measured.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import psutil

from benchmarks.look import TRAITS
from benchmarks.measure import WRITE_KEY

OMITTED = ("users.city", "users.plan")
"""Columns left out for identify, so that its messages have ten traits."""
STORAGE_BACKEND = "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend"


class TaskInstance:
    """Takes XCom values as Airflow's own does, and keeps them in a folder.

    :param folder: where they go; without one they are encoded and counted only.
    """

    dag_id, run_id, task_id, map_index = "benchmark", "benchmark", "extract", -1
    max_tries, try_number = 0, 1
    task = SimpleNamespace(retries=0)

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.values = 0
        self.bytes = 0

    def xcom_push(self, key: str, value: Any) -> None:
        """Encode a value and keep it."""
        text = self.encoded(key, value)
        self.values += 1
        self.bytes += len(text)
        if self._folder is not None:
            (self._folder / key).write_text(text)

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        """Return a value that was kept."""
        assert self._folder is not None
        return json.loads((self._folder / key).read_text())

    def encoded(self, key: str, value: Any) -> str:  # noqa: ARG002 - a storage needs it
        """Return what Airflow's database would get."""
        return json.dumps(value)

    def context(self) -> dict[str, Any]:
        """What the operators need of Airflow's context."""
        return {"ti": self, "params": {"window_end": "2026-01-15"}}


class StoringTaskInstance(TaskInstance):
    """Hands large values to Airflow's object storage backend, as docs/scale.md sets it up.

    :param folder: where its references go; the objects are files beside ``AIRFLOW_HOME``.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__(folder)
        storage = Path(os.environ["AIRFLOW_HOME"]).parent / "objects"
        os.environ |= {
            "AIRFLOW__CORE__XCOM_BACKEND": STORAGE_BACKEND,
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": f"file://{storage}",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": "40000",
        }
        from airflow.providers.common.io.xcom.backend import XComObjectStorageBackend

        self._backend = XComObjectStorageBackend

    def encoded(self, key: str, value: Any) -> str:
        """Store a large value; return the reference to it that the database would get."""
        owner = {"task_id": self.task_id, "dag_id": self.dag_id, "run_id": self.run_id}
        return json.dumps(self._backend.serialize_value(value, key=key, map_index=-1, **owner))

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        """Return a value that was kept."""
        reference = SimpleNamespace(value=super().xcom_pull(key=key), key=key)
        return self._backend.deserialize_value(reference)


def play_variables(folder: Path) -> None:
    """Keep Airflow's variables in a folder."""
    from airflow.sdk import Variable

    def read(key: str, default: Any = None) -> Any:
        return (folder / key).read_text() if (folder / key).exists() else default

    def write(key: str, value: str, **_: Any) -> None:
        (folder / key).write_text(value)

    Variable.get = read
    Variable.set = write


def extract_ours(folder: str = "", *, stored: bool = False, **choices: Any) -> dict[str, Any]:
    """Run the extract operator; with a folder, keep its chunks and its shards.

    :param stored: whether chunks go to an object storage.
    """
    from airflow_provider_looker_segment.operators.looker import LookerRunLookOperator

    kept = Path(folder) if folder else None
    ti = StoringTaskInstance(kept) if stored else TaskInstance(kept)
    rows = int(os.environ["BENCHMARK_ROWS"])
    operator = LookerRunLookOperator(task_id="extract", look_id="1", row_limit=rows, **choices)
    with TemporaryDirectory() as variables:
        play_variables(Path(variables))
        shards = operator.execute(ti.context())
    if kept is not None:
        (kept / "shards").write_text(json.dumps(shards))
    items = sum(shard["messages"] for shard in shards)
    return {"items": items, "xcom_values": ti.values, "xcom_bytes": ti.bytes}


def extract_for_identify(folder: str) -> dict[str, Any]:
    """Keep chunks of messages with ten traits."""
    return extract_ours(folder, mapping={"exclude": OMITTED})


def extract_unsealed(folder: str = "") -> dict[str, Any]:
    """Extract without its encryption."""
    _leave_unsealed()
    return extract_ours(folder)


def _leave_unsealed() -> None:
    from airflow_provider_looker_segment.stores.chunks import Seal

    Seal.close = lambda _, data: base64.b64encode(data).decode()  # type: ignore[method-assign]
    Seal.open = lambda _, text, **__: base64.b64decode(text)  # type: ignore[method-assign]


def extract_stored(folder: str = "") -> dict[str, Any]:
    """Extract, with chunks of up to 4 MB in an object storage."""
    return extract_ours(folder, stored=True)


def extract_checked(folder: str = "") -> dict[str, Any]:
    """Extract, and check every message for ten destinations."""
    from airflow_provider_looker_segment.core.catalogue import load_catalogue

    slugs = [one.slug for one in load_catalogue().destinations]
    return extract_ours(folder, destinations=slugs[:10], guards={"max_unmet": 1.0})


def extract_schema(folder: str = "") -> dict[str, Any]:
    """Extract, and check the traits of every message against a schema of twelve properties."""
    text = {"type": "string", "minLength": 1}
    number = {"type": "number", "minimum": 0}
    numbers = {"orders", "revenue", "sessions", "score"}
    rules = {name: number if name in numbers else text for name in TRAITS.values()}
    schema = {"type": "object", "required": ["email", "name"], "properties": rules}
    return extract_ours(folder, mapping={"traits_schema": schema})


def extract_parse(path: str = "") -> dict[str, Any]:
    """Alternative (a) to extract."""
    from benchmarks.alternatives import extract_parse as alternative

    return _kept(alternative.extract(_sdk()), path)


def extract_loop(path: str = "") -> dict[str, Any]:
    """Alternative (b) to extract."""
    from benchmarks.alternatives import extract_loop as alternative

    return _kept(alternative.extract(_sdk(), TRAITS), path)


def _sdk() -> Any:
    from airflow_provider_looker_segment.hooks.looker import LookerHook

    return LookerHook().sdk


def _kept(found: list[dict[str, Any]], path: str) -> dict[str, Any]:
    if path:
        Path(path).write_text("\n".join(map(json.dumps, found)))
    return {"items": len(found)}


def unseal(folder: str, path: str, way: str) -> dict[str, Any]:
    """Write the messages of a folder's chunks into a file, one a line.

    :param way: that made the chunks.
    """
    from airflow_provider_looker_segment.connections import SegmentSettings
    from airflow_provider_looker_segment.stores.chunks import ChunkStore, Seal

    if way == "extract_unsealed":
        _leave_unsealed()
    ti = (StoringTaskInstance if way == "extract_stored" else TaskInstance)(Path(folder))
    store = ChunkStore(ti, Seal(SegmentSettings.read("segment_default")), task_id="extract")
    chunks = range(len(list(Path(folder).glob("chunk_*"))))
    lines = [line.body for index in chunks for line in store.lines(index)]
    Path(path).write_text("\n".join(lines))
    return {"items": len(lines)}


def identify_ours(folder: str, per_second: str = "1e9", only: str = "") -> dict[str, Any]:
    """Run the identify operator for each shard of a folder, one after the other.

    :param only: ``2/4`` delivers the third quarter of the first shard's chunks alone.
    """
    from airflow_provider_looker_segment.operators.segment import SegmentIdentifyOperator

    shards = json.loads((Path(folder) / "shards").read_text())
    if only:
        shards = [_part(shards[0], *map(int, only.split("/")))]
    variables = Path(folder) / f"variables_{os.getpid()}"
    variables.mkdir()
    play_variables(variables)
    requests = accepted = 0
    for shard in shards:
        ti = TaskInstance(Path(folder))
        operator = SegmentIdentifyOperator(
            task_id="identify",
            shard=shard,
            max_messages_per_second=float(per_second) * (1 if only else len(shards)),
        )
        operator.execute(ti.context())
        receipt = ti.xcom_pull(key="receipt")["receipt"]
        requests += receipt["requests"]
        accepted += receipt["accepted"]
    return {"items": accepted, "requests": requests}


def _part(shard: dict[str, Any], index: int, of: int) -> dict[str, Any]:
    first, stop = (number * shard["chunks"] // of for number in (index, index + 1))
    return {**shard, "of": of, "first_chunk": first, "chunks": stop - first}


def identify_client(path: str) -> dict[str, Any]:
    """Alternative (a) to identify."""
    from benchmarks.alternatives import identify_client as alternative

    alternative.identify(Path(path), WRITE_KEY, os.environ["BENCHMARK_HOST"])
    return {"items": 0}


def identify_sync(path: str) -> dict[str, Any]:
    """Alternative (b) to identify."""
    from benchmarks.alternatives import identify_sync as alternative

    alternative.identify(Path(path), WRITE_KEY, os.environ["BENCHMARK_HOST"])
    return {"items": 0}


WAYS: Sequence[Callable[..., dict[str, Any]]] = (
    extract_ours,
    extract_for_identify,
    extract_unsealed,
    extract_stored,
    extract_checked,
    extract_schema,
    extract_parse,
    extract_loop,
    unseal,
    identify_ours,
    identify_client,
    identify_sync,
)


def main(name: str, *arguments: str) -> None:
    """Import what every way needs, then run and time one."""
    import looker_sdk  # noqa: F401
    import segment.analytics.request  # noqa: F401

    import airflow_provider_looker_segment.operators.extract_task
    import airflow_provider_looker_segment.operators.identify_task  # noqa: F401

    if name == "extract_stored":
        import airflow.providers.common.io.xcom.backend  # noqa: F401

    way = next(way for way in WAYS if way.__name__ == name)
    idle_mb = psutil.Process().memory_info().rss / 2**20
    began, cpu_began = time.perf_counter(), time.process_time()
    facts = way(*arguments)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    items = facts.pop("items")
    print()
    print(
        json.dumps(
            {"items": items, "seconds": seconds, "cpu_s": cpu_s, "idle_mb": idle_mb, "facts": facts}
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
