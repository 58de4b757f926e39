"""A Looker that sends bytes made beforehand and a Segment that only counts, in one process.

The project's sandbox computes every answer and keeps what arrives; here neither side may be what
is measured. Requests are read by length alone and answered from memory; a result goes from a file
to the socket within the kernel. Of each message nothing but its number and its moment is kept.

Run by :mod:`benchmarks.measure`: ``python -m benchmarks.server DOCUMENT`` prints its port.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.look import metadata

LARGEST_HEAD = 65_536


class Counting:
    """What has arrived since it was last asked to forget.

    :param document: the file with Looker's result.
    """

    def __init__(self, document: Path) -> None:
        self._document = document
        look, explore = metadata()
        self._answers = {
            ("POST", "/api/4.0/login"): {
                "access_token": "t",
                "token_type": "Bearer",
                "expires_in": 3_600,
            },
            ("DELETE", "/api/logout"): {},
            ("GET", "/api/4.0/looks/1"): look,
            ("GET", "/api/4.0/lookml_models/shop/explores/users"): explore,
            ("POST", "/api/4.0/queries"): {"id": "1", "model": "shop", "view": "users"},
        }
        self._latency_s = 0.0
        self._keep: Path | None = None
        self._forget()

    def _forget(self) -> None:
        self._bytes = 0
        self._arrivals: list[tuple[float, int]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it is closed."""
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, _, headers = head.partition(b"\r\n")
                method, target, _ = line.decode("ascii").split(" ")
                path = target.partition("?")[0]
                body = await reader.readexactly(_length(headers))
                if path.endswith("/run/json_detail"):
                    await self._send_document(writer)
                    continue
                answer = await self._answer(method, path, body)
                data = json.dumps(answer).encode()
                writer.write(_head(len(data)) + data)
                await writer.drain()
        writer.close()

    async def _answer(self, method: str, path: str, body: bytes) -> Any:
        if path == "/v1/batch":
            # Said before the wait: a message counts as arrived when it is here.
            self._arrivals.append((time.monotonic(), body.count(b'"messageId"')))
            self._bytes += len(body)
            if self._keep is not None:
                with self._keep.open("ab") as file:
                    file.write(body + b"\n")
            await asyncio.sleep(self._latency_s)
            return {"success": True}
        if path == "/begin":
            said = json.loads(body)
            self._latency_s = said["latency_s"]
            self._keep = Path(said["keep"]) if said["keep"] else None
            self._forget()
            return {}
        if path == "/arrived":
            return {"bytes": self._bytes, "arrivals": self._arrivals}
        return self._answers[method, path]

    async def _send_document(self, writer: asyncio.StreamWriter) -> None:
        writer.write(_head(self._document.stat().st_size))
        await writer.drain()
        with self._document.open("rb") as file:
            await asyncio.get_running_loop().sendfile(writer.transport, file)


def _length(headers: bytes) -> int:
    _, found, rest = headers.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _head(size: int) -> bytes:
    kind = "Content-Type: application/json;charset=utf-8"
    return f"HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {size}\r\n\r\n".encode()


async def main(document: Path) -> None:
    """Serve until the process that started this one closes its end of the standard input."""
    counting = Counting(document)
    server = await asyncio.start_server(counting.serve, "127.0.0.1", 0, limit=LARGEST_HEAD)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
