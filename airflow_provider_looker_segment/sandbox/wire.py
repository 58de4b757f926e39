"""Answers that no well-behaved server gives: bodies cut short, connections reset.

ASGI and h11 refuse to send these, so a :class:`Wire` writes HTTP/1.1 to the socket itself. It
works only under :class:`WireProtocol`; a connection that went through a Wire is never used again.
"""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final, Literal

from uvicorn.protocols.http.h11_impl import H11Protocol

#: How the end of a body is announced: by ``Content-Length``, by chunks, or by closing.
Framing = Literal["length", "chunked", "close"]

_TRANSPORT: Final = "sandbox.transport"
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_DELIVERY_S: Final = 0.02
_FLUSH_S: Final = 10.0
_FRAMING_HEADERS: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class WireProtocol(H11Protocol):
    """uvicorn's h11 protocol, which also tells the application its connection's transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport where every request's scope will carry it."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _TRANSPORT: transport}


class Wire:
    """One response, written to the socket byte by byte.

    :param scope: of the request; its server must speak :class:`WireProtocol`.
    :raises RuntimeError: under any other server.
    """

    def __init__(self, scope: Mapping[str, Any]) -> None:
        transport = scope.get("state", {}).get(_TRANSPORT)
        if transport is None:
            raise RuntimeError("Faults on the socket need the server of this sandbox")
        self._transport: asyncio.Transport = transport
        self._chunked = False

    def start(
        self, status: int, headers: list[tuple[bytes, bytes]], framing: Framing, length: int
    ) -> None:
        """Write the head.

        :param length: what ``Content-Length`` claims, in bytes, if that is the framing.
        """
        self._chunked = framing == "chunked"
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        lines = [f"HTTP/1.1 {status} {phrase}".encode()]
        lines += [
            name + b": " + value for name, value in headers if name.lower() not in _FRAMING_HEADERS
        ]
        if framing == "length":
            lines.append(b"content-length: %d" % length)
        elif framing == "chunked":
            lines.append(b"transfer-encoding: chunked")
        else:
            lines.append(b"connection: close")
        self._transport.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def write(self, body: bytes) -> None:
        """Write a piece of the body."""
        if body:
            self._transport.write(b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body)

    def close(self) -> None:
        """Close the connection after what was written, without any ending."""
        self._transport.close()

    async def reset(self) -> None:
        """Reset the connection (TCP RST) after what was written was delivered."""
        deadline = asyncio.get_running_loop().time() + _FLUSH_S
        while self._transport.get_write_buffer_size() and not self._transport.is_closing():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.001)
        # A reset discards what the other side's kernel has not been handed yet.
        await asyncio.sleep(_DELIVERY_S)
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
