"""The commands ``airflow looker-segment`` and ``python -m airflow_provider_looker_segment``.

Airflow imports this module at every command of its own, so it holds data and imports nothing
heavy; what a command does is imported when it runs.
Exit status: 0 for yes or done, 1 for no (nothing found, a destination out of reach), 2 for an
error, which is one sentence and never a traceback, 130 where somebody pressed Ctrl-C.
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

NAME = "looker-segment"
_SUMMARY = "Looks, destinations, and what Segment would get"


@dataclass(frozen=True, slots=True)
class Option:
    """An argument of a command, in ``argparse``'s words; Airflow's are the same."""

    flags: tuple[str, ...]
    words: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    :param runs: module of this package and function, which returns the exit status.
    """

    name: str
    help: str
    runs: tuple[str, str]
    options: tuple[Option, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A command that only holds others."""

    name: str
    help: str
    members: tuple[Command | Group, ...]


def _count(said: str) -> int:
    if not said.isdecimal() or not int(said):
        raise argparse.ArgumentTypeError("should be a number above 0")
    return int(said)


def _option(*flags: str, **words: Any) -> Option:
    return Option(flags, words)


_LOOK = (
    _option("--look", metavar="ID", required=True, help="The number in the Look's address"),
    _option("--mapping", metavar="FILE", help="A mapping, as a YAML or JSON file"),
    _option(
        "--looker-conn-id",
        metavar="ID",
        default="looker_default",
        help="The Airflow connection to Looker (default: looker_default)",
    ),
)
_SEGMENT = _option(
    "--segment-conn-id",
    metavar="ID",
    default="segment_default",
    help="The Airflow connection to Segment (default: segment_default)",
)
_SHOW_VALUES = _option(
    "--show-values", action="store_true", help="Show personal data instead of only its kind"
)
_RULES = _option(
    "--rules",
    choices=("both", "table", "current"),
    default="both",
    help="Whose rules count: Segment's table, the destinations' own pages, or either (default)",
)

_SYNC = _option(
    "--sync",
    metavar="ID",
    required=True,
    help="As the report shows it: by default the DAG's and the Look's id, as in daily_cohort/42",
)
_USER = _option(
    "user",
    metavar="USER",
    help="A userId, an anonymousId, or the e-mail address of somebody without either",
)

COMMANDS = Group(
    NAME,
    _SUMMARY,
    (
        Group(
            "destinations",
            "What each destination needs of an identify call",
            (
                Command("list", "List all destinations", ("destinations", "list_all")),
                Command(
                    "search",
                    "List the destinations one of whose names holds a text",
                    ("destinations", "search"),
                    (_option("text", metavar="TEXT", help="Case and punctuation do not matter"),),
                ),
                Command(
                    "explain",
                    "Say everything about one destination",
                    ("destinations", "explain"),
                    (_option("name", metavar="NAME", help="Such as braze or Customer.io"),),
                ),
            ),
        ),
        Command(
            "check",
            "Check whether the columns of a Look suffice for destinations; no query runs",
            ("look", "check"),
            (
                *_LOOK,
                _RULES,
                _option(
                    "--destinations",
                    metavar="NAMES",
                    required=True,
                    help="Names with commas between them: braze,zendesk",
                ),
            ),
        ),
        Command(
            "preview",
            "Show the first messages of a Look as they would be sent; nothing is sent",
            ("look", "preview"),
            (
                *_LOOK,
                _RULES,
                _option("--destinations", metavar="NAMES", help="As the DAG has them"),
                _option("--only", action="store_true", help="As the DAG has it"),
                _option("-n", "--rows", metavar="N", type=_count, default=5, help="Rows (5)"),
                _option(
                    "--as-of",
                    metavar="MOMENT",
                    help="The moment the Look is run as of, ISO 8601 (default: now); "
                    "`look` leaves the Look's relative dates as they are",
                ),
                _SHOW_VALUES,
            ),
        ),
        Command(
            "rejects",
            "Show the rows that a run left out and kept, and why",
            ("rejects", "show"),
            (
                _option("path", metavar="PATH", help="As the report shows it"),
                _option("--code", metavar="CODE", help="Only rows with this problem"),
                _SHOW_VALUES,
                _SEGMENT,
            ),
        ),
        Group(
            "snapshot",
            "What a sync knows of its users; reset it, or forget a user",
            (
                Command("show", "Show what is known of a sync", ("snapshot", "show"), (_SYNC,)),
                Command(
                    "why",
                    "Say what is known of a user, and whether runs send them",
                    ("snapshot", "why"),
                    (_SYNC, _USER, _SHOW_VALUES),
                ),
                Command(
                    "reset",
                    "Delete the snapshot, so that the next run sends everything",
                    ("snapshot", "reset"),
                    (_SYNC, _option("--yes", action="store_true", help="Yes, delete it")),
                ),
                Command(
                    "forget",
                    "Remove every trace of a user, who is never sent again",
                    ("snapshot", "forget"),
                    (_SYNC, _USER),
                ),
            ),
        ),
    ),
)


def get_cli_commands() -> list[Any]:
    """Return the commands as Airflow asks for them, from 3.2 on.

    Source: https://airflow.apache.org/docs/apache-airflow-providers/core-extensions/cli-commands.html
    """
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand  # noqa: PLC0415

    def built(node: Command | Group) -> Any:
        if isinstance(node, Group):
            return GroupCommand(node.name, node.help, [built(one) for one in node.members])
        args = [Arg(one.flags, **one.words) for one in node.options]  # type: ignore[no-untyped-call]
        return ActionCommand(node.name, node.help, _running(node), args)

    return [built(COMMANDS)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command from a shell.

    :param arguments: the words after the program's name; those of this process by default.
    :return: the exit status, as this module's first lines say.
    """
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_looker_segment", description=_SUMMARY
    )
    _add(parser, COMMANDS)
    options = parser.parse_args(arguments)
    try:
        options.func(options)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _add(parser: argparse.ArgumentParser, group: Group) -> None:
    inner = parser.add_subparsers(metavar="COMMAND", required=True)
    for node in group.members:
        below = inner.add_parser(node.name, help=node.help, description=node.help)
        if isinstance(node, Group):
            _add(below, node)
            continue
        for option in node.options:
            below.add_argument(*option.flags, **option.words)
        below.set_defaults(func=_running(node))


def _running(command: Command) -> Callable[[argparse.Namespace], None]:
    module, function = command.runs

    def run(options: argparse.Namespace) -> None:
        from airflow_provider_looker_segment.cli.text import printable  # noqa: PLC0415 - see above
        from airflow_provider_looker_segment.exceptions import (  # noqa: PLC0415 - see above
            LookerSegmentError,
        )

        try:
            status = getattr(import_module(f"{__name__}.{module}"), function)(options)
            sys.stdout.flush()
        except LookerSegmentError as error:
            # What others say may have lines and control characters of its own.
            print(" ".join(printable(str(error)).split()), file=sys.stderr)
            status = 2
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough; Python would complain at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        except KeyboardInterrupt:
            print("Stopped.", file=sys.stderr)
            status = 130
        except Exception as error:  # noqa: BLE001 - a traceback could show values of rows
            print(f"The command stopped on {_told(error)}; report this as a bug.", file=sys.stderr)
            status = 2
        if status:
            sys.exit(status)

    return run


def _told(error: Exception) -> str:
    """Say what an error is and where it arose, without its text."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f" in {at.tb_frame.f_globals['__name__']}, line {at.tb_lineno}" if at else ""
    return f"{type(error).__name__}{place}"
