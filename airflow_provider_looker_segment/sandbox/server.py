"""Both stand-ins on loopback ports, in daemon threads of the process that asks for them.

Nothing listens beyond 127.0.0.1, no signal handler and no logging configuration is touched, and
closing leaves neither a socket nor a thread behind.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from datetime import date
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

import uvicorn
from starlette.types import ASGIApp

from airflow_provider_looker_segment.core.catalogue import load_catalogue
from airflow_provider_looker_segment.exceptions import PermanentError, TransientError

from .faults import FaultMiddleware, Faults
from .segment import create_segment_app
from .wire import WireProtocol

if TYPE_CHECKING:
    from .dataset import Dataset

HOST: Final = "127.0.0.1"

_START_S: Final = 30.0
_STOP_S: Final = 1.0
_OPEN_CONNECTIONS: Final = 512


class AppServer:
    """One application on one port, ready when the constructor returns.

    :param name: what is served, for messages.
    :param app: any ASGI application.
    :param port: TCP port; 0 is any free one.
    :raises PermanentError: when the port is taken.
    :raises TransientError: when the server does not start in 30 s.
    """

    def __init__(self, name: str, app: ASGIApp, port: int = 0) -> None:
        self._socket = _listen(name, port)
        self.url = f"http://{HOST}:{self._socket.getsockname()[1]}"
        # The h11 protocol and asyncio's own loop are named, because faults reach into both.
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=WireProtocol,
                ws="none",
                loop="asyncio",
                log_config=None,
                log_level="warning",
                access_log=False,
                timeout_keep_alive=75,
            )
        )
        self._thread = Thread(
            target=self._server.run,
            kwargs={"sockets": [self._socket]},
            name=f"sandbox-{name}",
            daemon=True,
        )
        self._thread.start()
        self._wait_until_started(name)

    def _wait_until_started(self, name: str) -> None:
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                self.close()
                raise TransientError(
                    f"The {name} stand-in",
                    should=f"answer within {_START_S:.0f} s",
                    but="its server did not start",
                    do="Look at the log lines of uvicorn above.",
                )
            time.sleep(0.005)

    def close(self) -> None:
        """Stop serving; requests in flight get a second, then lose their connection.

        May be called again.
        """
        self._server.should_exit = True
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            for connection in list(self._server.server_state.connections):
                connection.loop.call_soon_threadsafe(connection.transport.abort)
            self._thread.join(_STOP_S)
        self._server.force_exit = True
        self._thread.join()
        self._socket.close()


class Sandbox:
    """The Looker and the Segment stand-in over one dataset, as a context manager.

    :param dataset: what Looker holds; by default the generated ``toastmates`` site.
    :param today: the day on which the generated dataset ends; today by default.
    :param looker_port: TCP port, 0 is any free one.
    :param segment_port: TCP port, 0 is any free one.
    :param write_key: of the one Segment source.
    :param client_id: of Looker's API credentials.
    :param client_secret: of Looker's API credentials.
    :param destinations: connected to the source, spelt as in the ``integrations`` object; by
        default every name that the catalogue of destinations knows.
    """

    def __init__(
        self,
        dataset: Dataset | None = None,
        *,
        today: date | None = None,
        looker_port: int = 0,
        segment_port: int = 0,
        write_key: str = "sandbox-write-key",
        client_id: str = "sandbox-client-id",
        client_secret: str = "sandbox-client-secret",  # noqa: S107 - of a stand-in
        destinations: Sequence[str] | None = None,
    ) -> None:
        # Imported here, so that the Segment stand-in alone needs nothing of Looker's.
        from .looker import create_looker_app  # noqa: PLC0415
        from .toastmates import generate  # noqa: PLC0415

        self._write_key = write_key
        self._client_id = client_id
        self._client_secret = client_secret
        self.looker_faults = Faults()
        self.segment_faults = Faults()
        self.looker_app = create_looker_app(
            generate(today) if dataset is None else dataset,
            client_id=client_id,
            client_secret=client_secret,
        )
        self.segment_app = create_segment_app(
            write_keys={write_key: "Looker"},
            destinations=_every_name() if destinations is None else destinations,
        )
        looker = FaultMiddleware(self.looker_app, self.looker_faults)
        segment = FaultMiddleware(self.segment_app, self.segment_faults)
        self._looker_server = AppServer("looker", looker, looker_port)
        try:
            self._segment_server = AppServer("segment", segment, segment_port)
        except Exception:
            self._looker_server.close()
            raise
        self.looker_url = self._looker_server.url
        self.segment_url = self._segment_server.url

    def connections(self) -> dict[str, str]:
        """Return the environment variables that make both stand-ins Airflow connections."""
        looker = {
            "conn_type": "looker",
            "host": self.looker_url,
            "login": self._client_id,
            "password": self._client_secret,
        }
        segment = {
            "conn_type": "segment_source",
            "host": self.segment_url,
            "password": self._write_key,
        }
        return {
            "AIRFLOW_CONN_LOOKER_DEFAULT": json.dumps(looker),
            "AIRFLOW_CONN_SEGMENT_DEFAULT": json.dumps(segment),
        }

    def close(self) -> None:
        """Stop both; what arrived stays readable on ``segment_app``. May be called again."""
        self._looker_server.close()
        self._segment_server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _every_name() -> list[str]:
    catalogue = load_catalogue().destinations
    return [name for destination in catalogue for name in destination.all_keys]


def _listen(name: str, port: int) -> socket.socket:
    try:
        listener = socket.create_server((HOST, port), backlog=_OPEN_CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise PermanentError(
            f"The {name} stand-in",
            should=f"listen on port {port} of {HOST}",
            but=f"the system refused: {getattr(error, 'strerror', error)}",
            do="Choose another port, or 0 for any free one.",
        ) from error
    # Inherited by connections; a body would else wait 40 ms until its head is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
