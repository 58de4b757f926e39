"""Postgres and Redis of Debian's packages, on free loopback ports, for as long as they are needed.

Missing packages are installed with ``apt-get install postgresql redis-server``, which needs root.
Everything they write is in one folder; both are stopped by their own process ids.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("postgresql", "redis-server")
START_S = 60.0


def install() -> None:
    """Install what is missing.

    :raises SystemExit: when that takes rights that this user does not have.
    """
    if shutil.which("redis-server") and _postgres_folder():
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SystemExit(f"Postgres and Redis are needed. As root: {' '.join(command)}")
    print(" ".join(command), flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def _postgres_folder() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a Postgres with an empty database; yield the database's address.

    :param folder: an existing folder that other users may enter.
    """
    programs = _postgres_folder()
    assert programs is not None
    port, password, data = free_port(), secrets.token_hex(16), folder / "postgres"
    data.mkdir()
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    # Postgres refuses to run as root.
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        for path in (data, secret):
            os.chown(path, account.pw_uid, account.pw_gid)
    words = ["--username=airflow", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    subprocess.run(
        [programs / "initdb", "--pgdata", data, "--pwfile", secret, "--no-sync", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        cwd=data,
        **who,
    )
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    with (folder / "postgres.log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(port), *settings],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=data,
            **who,
        )
    try:
        address = f"postgresql+psycopg2://airflow:{password}@127.0.0.1:{port}/airflow"
        _until_created(process, port, password)
        yield address
    finally:
        # "Fast shutdown": open connections are closed.
        process.send_signal(signal.SIGINT)
        process.wait(START_S)


def _until_created(process: subprocess.Popen[bytes], port: int, password: str) -> None:
    import psycopg2

    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, "Postgres ended at once"
        with contextlib.suppress(psycopg2.OperationalError):
            connection = psycopg2.connect(
                host="127.0.0.1", port=port, user="airflow", password=password, dbname="postgres"
            )
            break
        assert time.monotonic() < deadline, f"Postgres did not answer in {START_S:.0f} s"
        time.sleep(0.2)
    connection.autocommit = True
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE airflow")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing; yield its address."""
    port, password = free_port(), secrets.token_hex(16)
    said = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\n'
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            ["redis-server", "-"], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder
        )
    assert process.stdin is not None
    process.stdin.write(said.encode())
    process.stdin.close()
    try:
        deadline = time.monotonic() + START_S
        while not _listens(port):
            assert process.poll() is None, "Redis ended at once"
            assert time.monotonic() < deadline, f"Redis did not answer in {START_S:.0f} s"
            time.sleep(0.1)
        yield f"redis://:{password}@127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(START_S)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port of the loopback address that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
