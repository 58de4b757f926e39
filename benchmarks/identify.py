"""Identify: from chunks to messages that Segment has accepted, beside Segment's own client."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from statistics import linear_regression
from typing import Any

from benchmarks import look
from benchmarks.measure import (
    Measured,
    Server,
    compare,
    finish,
    run_way,
    serving,
    start,
    table,
    take_turns,
)

WAYS = {
    "identify_ours": "identify",
    "identify_client": "(a) `Client`, `flush`",
    "identify_sync": "(b) `sync_mode`",
}
SYNC_MESSAGES = {0.0: 5_000, 0.06: 200}
"""Messages for alternative (b), by latency; its rate does not depend on how many there are."""
CLIENT_MESSAGES = 100_000
"""The most messages for alternative (a), which loses the more of them the more there are."""
PER_SECOND = 1_000
THROTTLED_S = 60
"""Long enough for the first seconds, in which each shard learns how quick an answer can be."""
CHECKED_ROWS = 2_000
WINDOW_END = datetime(2026, 1, 15, tzinfo=UTC)


def traits_of_ten(message: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a message what the benchmark leaves out of the Look."""
    traits = {
        name: value for name, value in message["traits"].items() if name not in ("city", "plan")
    }
    return {**message, "traits": traits}


def prepare(server: Server, rows: int) -> tuple[Path, Path]:
    """Make the same messages as chunks and as a file of lines."""
    chunks, lines = server.folder / "chunks", server.folder / "lines"
    chunks.mkdir()
    run_way("extract_for_identify", server, str(chunks))
    with lines.open("w") as file:
        for message in look.messages(rows):
            file.write(json.dumps(traits_of_ten(message)) + "\n")
    return chunks, lines


def run(way: str, server: Server, source: Path, **how: Any) -> Measured:
    """Run one way once; what counts is what has arrived when it ends."""
    server.begin(**how)
    measured = run_way(way, server, str(source))
    arrived = server.arrived()
    items = sum(messages for _, messages in arrived["arrivals"])
    facts = {"requests": len(arrived["arrivals"]), "bytes": arrived["bytes"]}
    return replace(measured, items=items, facts=facts)


def check() -> None:
    """See that every way sends each message as it must be. It also is the turn to warm up.

    :raises AssertionError: naming the first message that differs.
    """
    expected = [traits_of_ten(message) for message in look.messages(CHECKED_ROWS)]
    with serving(CHECKED_ROWS) as server:
        chunks, lines = prepare(server, CHECKED_ROWS)
        for way in WAYS:
            kept = server.folder / way
            run(way, server, chunks if way == "identify_ours" else lines, keep=kept)
            bodies = map(json.loads, kept.read_text("utf-8").splitlines())
            sent = [message for body in bodies for message in body["batch"]]
            assert len(sent) == CHECKED_ROWS, f"{way} sent {len(sent)} of {CHECKED_ROWS} messages"
            for message, right in zip(sent, expected, strict=True):
                found = {"userId": message["userId"], "traits": message["traits"]}
                assert found == right, f"{way} sent {found}, not {right}"
                moment = datetime.fromisoformat(message["timestamp"])
                assert moment.tzinfo is not None, f"{way} sent {message['timestamp']}"
                # Ours says when the data are of, Segment's client when it was called.
                assert way != "identify_ours" or moment == WINDOW_END, f"{way} sent {moment}"
            ids = {message["messageId"] for message in sent}
            assert len(ids) == CHECKED_ROWS, f"{way} used {len(ids)} ids for {CHECKED_ROWS}"


def _once(server: Server, sources: Mapping[str, Path], latency_s: float, way: str) -> Measured:
    return run(way, server, sources[way], latency_s=latency_s)


def measure(rows: int, turns: int) -> list[dict[str, Any]]:
    """Let all ways take turns with so many messages, at each latency."""
    results = []
    with serving(rows) as server:
        chunks, lines = prepare(server, rows)
        sources = {way: server.folder / way for way in WAYS} | {"identify_ours": chunks}
        for latency_s, few in SYNC_MESSAGES.items():
            given = {
                "identify_ours": rows,
                "identify_client": min(rows, CLIENT_MESSAGES),
                "identify_sync": min(rows, few),
            }
            for way in ("identify_client", "identify_sync"):
                with lines.open() as file:
                    sources[way].write_text("".join(islice(file, given[way])))
            once = partial(_once, server, sources, latency_s)
            found = take_turns(list(WAYS), turns, once)
            assert {rows} == {turn.items for turn in found["identify_ours"]}, "messages are lost"
            ways = compare(found, "identify_ours")
            for way, messages in given.items():
                ways[way]["given"] = messages
            results.append({"rows": rows, "latency_s": latency_s, "turns": turns, "ways": ways})
    return results


def measure_throttled(shards: int) -> dict[str, Any]:
    """Deliver at the rate that Segment allows, in several processes at once."""
    rows = PER_SECOND * THROTTLED_S
    with serving(rows) as server:
        chunks, _ = prepare(server, rows)
        server.begin(latency_s=0.06)
        began = time.monotonic()
        processes = [
            start(
                "benchmarks.ways",
                ["identify_ours", str(chunks), str(PER_SECOND), f"{index}/{shards}"],
                server,
            )
            for index in range(shards)
        ]
        sent = sum(finish(process).items for process in processes)
        seconds = time.monotonic() - began
        arrivals = sorted(map(tuple, server.arrived()["arrivals"]))
    assert sent == rows, f"{sent} of {rows} messages were sent"
    return {
        "shards": shards,
        "messages": rows,
        "seconds": seconds,
        "allowed": PER_SECOND,
        "kept": kept_rate(arrivals, shards) / PER_SECOND,
        "kept_first_to_last": sending_rate(arrivals) / PER_SECOND,
        "kept_end_to_end": rows / seconds / PER_SECOND,
        "arrivals": [(round(moment - began, 4), messages) for moment, messages in arrivals],
        "most_in_a_second": most_in_a_second(arrivals),
    }


def kept_rate(arrivals: Sequence[tuple[float, int]], shards: int) -> float:
    """Return messages a second while all shards send: the slope of what has arrived by when."""
    # At both ends some shards do not send yet, or no longer.
    inner = arrivals[2 * shards : -2 * shards]
    arrived = list(accumulate(messages for _, messages in inner))
    return linear_regression([moment for moment, _ in inner], arrived).slope


def sending_rate(arrivals: Sequence[tuple[float, int]]) -> float:
    """Return messages a second from the first batch to the last; the first one opens the time."""
    (first, opening), (last, _) = arrivals[0], arrivals[-1]
    return (sum(messages for _, messages in arrivals) - opening) / (last - first)


def most_in_a_second(arrivals: Sequence[tuple[float, int]]) -> int:
    """Return the most messages that arrived within any span of one second."""
    most = within = first = 0
    for moment, messages in arrivals:
        within += messages
        while moment - arrivals[first][0] >= 1.0:
            within -= arrivals[first][1]
            first += 1
        most = max(most, within)
    return most


def as_table(results: Sequence[dict[str, Any]]) -> str:
    """Return the figures for people."""
    rows = []
    for result in results:
        for way, measured in result["ways"].items():
            items, facts = measured["items"], measured["facts"]
            rows.append(
                (
                    f"{WAYS[way]}, {result['latency_s'] * 1_000:.0f} ms",
                    f"{items / measured['seconds']:,.0f}",
                    f"{items:,} of {measured['given']:,}",
                    f"{items / facts['requests']:,.0f}",
                    f"{facts['bytes'] / items:,.0f}",
                    f"{measured['cpu_s'] / items * 1e6:,.0f}",
                    f"{measured['peak_mb']:,.0f}",
                    f"{measured['speed_of_ours']:.1f}",
                    f"{measured['cpu_of_ours']:.2f}",
                )
            )
    title = f"{results[0]['rows']:,} messages of 10 traits"
    head = (
        title,
        "accepted/s",
        "accepted",
        "a request",
        "bytes each",
        "CPU µs each",
        "peak MB",
        "identify is faster by",
        "identify's CPU time / its",
    )
    return table(head, rows)


def as_throttled_table(results: Sequence[dict[str, Any]]) -> str:
    """Return the figures for people."""
    head = (
        f"{PER_SECOND:,} a second allowed",
        "kept while all send",
        "first message to last",
        "with the start of each task",
        "most in any second",
        "messages",
    )
    rows = [
        (
            f"{result['shards']} shard{'s' if result['shards'] > 1 else ''}",
            f"{result['kept']:.1%}",
            f"{result['kept_first_to_last']:.1%}",
            f"{result['kept_end_to_end']:.1%}",
            f"{result['most_in_a_second']:,}",
            f"{result['messages']:,}",
        )
        for result in results
    ]
    return table(head, rows)
