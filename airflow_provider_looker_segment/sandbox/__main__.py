"""Start both stand-ins from a shell and serve until Ctrl-C or a TERM signal.

Prints the addresses and the two connections, ready to paste; writes nothing else anywhere.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from threading import Event

from airflow_provider_looker_segment.exceptions import LookerSegmentError, PermanentError

from .server import Sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; return 0 after a clean stop and 2 if the sandbox can't start."""
    options = _parser().parse_args(arguments)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        sandbox = _start(options)
    except LookerSegmentError as error:
        print(error, file=sys.stderr)
        return 2
    with sandbox:
        print(_welcome(sandbox), flush=True)
        stop.wait()
    print("Stopped.", flush=True)
    return 0


def _start(options: argparse.Namespace) -> Sandbox:
    if options.looks is not None and options.dataset is None:
        raise PermanentError(
            "--looks",
            should="come with --dataset, which names the folder of its tables",
            but="there is none",
            do="Add --dataset DIR.",
        )
    dataset = None
    if options.dataset is not None:
        from .dataset import Dataset  # noqa: PLC0415 - SQLite and YAML only where they are needed

        dataset = Dataset.load(options.dataset, looks=options.looks, today=options.today)
    return Sandbox(
        dataset,
        today=options.today,
        looker_port=options.looker_port,
        segment_port=options.segment_port,
        destinations=options.destinations,
    )


def _welcome(sandbox: Sandbox) -> str:
    exports = (
        f"export {name}={shlex.quote(value)}" for name, value in sandbox.connections().items()
    )
    return "\n".join(
        [
            f"Looker stand-in:  {sandbox.looker_url}",
            f"Segment stand-in: {sandbox.segment_url}  (open it in a browser to see what arrived)",
            "",
            "For the shell that runs Airflow:",
            *exports,
            "",
            "Ctrl-C stops both.",
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_looker_segment.sandbox",
        description="Start local stand-ins for Looker and Segment on 127.0.0.1.",
    )
    parser.add_argument(
        "--dataset", type=Path, metavar="DIR", help="folder of CSV files (default: toastmates.com)"
    )
    parser.add_argument(
        "--looks", type=Path, metavar="FILE", help="Looks of the dataset (default: DIR/looks.yaml)"
    )
    parser.add_argument(
        "--destinations",
        type=lambda said: [name.strip() for name in said.split(",") if name.strip()],
        metavar="NAMES",
        help="connected to the source, spelt as in `integrations`, with commas between them "
        "(default: all of the catalogue)",
    )
    parser.add_argument(
        "--today", type=date.fromisoformat, metavar="DATE", help="the sandbox's today, YYYY-MM-DD"
    )
    parser.add_argument("--looker-port", type=int, default=0, metavar="N", help="default: any free")
    parser.add_argument(
        "--segment-port", type=int, default=0, metavar="N", help="default: any free"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
