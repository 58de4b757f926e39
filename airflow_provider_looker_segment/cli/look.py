"""The commands about one Look: what it can reach, and what it would send.

A Look's id enters, its columns or its first messages are printed. Nothing is ever sent to
Segment, and a value is shown only where it was asked for.
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from airflow_provider_looker_segment import __version__, window
from airflow_provider_looker_segment.cli.shell import connections
from airflow_provider_looker_segment.cli.table import table
from airflow_provider_looker_segment.cli.text import as_json
from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.destinations import Requirements, Verdict
from airflow_provider_looker_segment.core.duplicates import SeenUsers
from airflow_provider_looker_segment.core.manifest import masked
from airflow_provider_looker_segment.core.mapping import Mapping, Plan, plan
from airflow_provider_looker_segment.core.preflight import possibilities
from airflow_provider_looker_segment.core.prepare import Preparation, complete, envelope
from airflow_provider_looker_segment.core.query import run_query
from airflow_provider_looker_segment.core.rows import RowStream
from airflow_provider_looker_segment.exceptions import PermanentError
from airflow_provider_looker_segment.hooks.looker import LookerHook
from airflow_provider_looker_segment.operators import arguments

_PATIENCE_S = 5.0  # somebody sits before the terminal and waits
_OUTLOOK = {Verdict.MET: "within reach", Verdict.DOUBTFUL: "doubtful", Verdict.UNMET: "never"}


def check(options: argparse.Namespace) -> int:
    """Print what a Look's columns mean and which destinations they suffice for."""
    mapping = arguments.mapping(options.mapping)
    requirements = _requirements(mapping, options)
    if not requirements.destinations:
        raise PermanentError(
            "--destinations",
            should="name a destination at least",
            but="it names none",
            do="Write names with commas between them, like braze,zendesk.",
        )
    with _hook(options) as hook:
        planned = plan(hook.look(arguments.look_id(options.look)), mapping)
    print(f"{planned.look.where}: {planned.look.title}\n")
    width = shutil.get_terminal_size().columns
    print(table(("SENT AS", "COLUMN"), list(_columns(planned)), width=width))
    print()
    outcome = requirements.outlook(**possibilities(planned))
    rows = [
        (one.destination, _OUTLOOK[one.verdict], ", ".join(one.missing)) for one in outcome.findings
    ]
    print(table(("DESTINATION", "OUTLOOK", "WHAT IT LACKS"), rows, width=width))
    notes = [
        *requirements.preflight(**possibilities(planned)),
        *planned.warnings,
        *requirements.warnings([name for name, _ in planned.traits]),
    ]
    for note in notes:
        print(f"\n{note}")
    return 1 if outcome.slugs(Verdict.UNMET) else 0


def preview(options: argparse.Namespace) -> int:
    """Print the first messages of a Look."""
    now, out = datetime.now(UTC), sys.stdout
    moment = _as_of(options.as_of, now=now)
    mapping = arguments.mapping(options.mapping)
    chosen = bool(options.destinations or options.only)
    requirements = _requirements(mapping, options) if chosen else None
    with _hook(options) as hook, SeenUsers() as seen:
        planned = plan(hook.look(arguments.look_id(options.look)), mapping)
        _warn(requirements.preflight(**possibilities(planned)) if requirements else [])
        query = run_query(planned.look, filters=None, as_of=moment, row_limit=options.rows)
        shared = envelope(timestamp=(moment or now).isoformat(), version=__version__)
        preparation = Preparation(planned, shared=shared, seen=seen, requirements=requirements)
        where = planned.look.where
        with hook.run(hook.create_query(query, where=where), query, where=where) as answer:
            rows = RowStream(
                answer.pieces,
                look=where,
                content_type=answer.content_type,
                names=planned.look.names,
            )
            for line in preparation.lines(rows):
                body = json.loads(line.body)
                if not options.show_values:
                    body = masked(body, preparation.pivot_names)
                _show(shared, body, out)
    _remark(preparation, where=where, is_masked=not options.show_values)
    return 0 if preparation.tally.messages else 1


@contextmanager
def _hook(options: argparse.Namespace) -> Iterator[LookerHook]:
    looker = LookerHook(options.looker_conn_id, patience_s=_PATIENCE_S)
    with connections(), closing(looker) as hook:
        yield hook


def _requirements(mapping: Mapping, options: argparse.Namespace) -> Requirements:
    return Requirements(
        arguments.names("destinations", options.destinations),
        only=getattr(options, "only", False),
        rules=options.rules,
        parameters=mapping.parameters,
    )


def _as_of(said: str | None, *, now: datetime) -> datetime | None:
    if said == "look":
        return None
    return now if said is None else window.moment(said, where="--as-of, if it is not `look`,")


def _columns(planned: Plan) -> Iterator[tuple[str, str]]:
    if planned.user_id:
        yield "userId", planned.user_id.name
    if planned.anonymous_id:
        yield "anonymousId", planned.anonymous_id.name
    elif planned.derives_anonymous_ids:
        yield "anonymousId", "made from the e-mail address where a row has no id"
    if planned.group_id:
        yield "context.groupId", planned.group_id.name
    for name, column in planned.traits:
        yield f"traits.{name}", column.name


def _warn(impossible: list[str]) -> None:
    for sentence in impossible:
        print(f"A run would stop before its query: {sentence}", file=sys.stderr)


def _show(shared: dict[str, Any], body: dict[str, Any], out: TextIO) -> None:
    message = complete(shared, body, "")
    del message["messageId"]
    print(as_json(message, indent=2), file=out)


def _remark(preparation: Preparation, *, where: str, is_masked: bool) -> None:
    """Say on the error stream what is not in the messages, so that these can be piped."""
    tally = preparation.tally
    read = f"{counted(tally.rows, 'row')} read, {counted(tally.messages, 'message')}"
    said = [
        f"{where}: {read}; nothing was sent.",
        "Each message gets a messageId when it is sent.",
    ]
    if tally.duplicates:
        verb = "repeats" if tally.duplicates == 1 else "repeat"
        said.append(f"{counted(tally.duplicates, 'row')} {verb} an earlier one.")
    for problem in tally.problems:
        about = f" in `{problem.column}`" if problem.column else ""
        said.append(
            f"{counted(problem.count, 'row')} {problem.code}{about}, "
            f"the first in row {problem.rows[0]}."
        )
    if is_masked:
        said.append("Values are masked; --show-values shows them.")
    print("\n".join(said), file=sys.stderr)
