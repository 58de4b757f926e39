"""The report of a run: its books, in words and in numbers.

A manifest and receipts enter, a report leaves; it is green only when nothing is unaccounted for.
A report never holds a trait value, unless whoever started a dry run has asked for some.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.moments import short
from airflow_provider_looker_segment.core.problems import MEANINGS, Problems
from airflow_provider_looker_segment.core.receipts import Receipt
from airflow_provider_looker_segment.exceptions import PermanentError

_NOT_SENT = ("duplicates", "rejected", "unchanged", "superseded", "forgotten")
"""What becomes of the rows that are no message of this run."""

_WIDTH = 96
"""Characters of a line: Airflow's page shows about as many beside its own columns."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    :param manifest: what extract found: the Look, the window, the rows.
    :param receipt: what became of the messages.
    :param rejects: where rows and messages that were left out are kept.
    """

    manifest: Mapping[str, Any]
    receipt: Receipt
    rejects: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(
        cls,
        manifest: Mapping[str, Any],
        receipts: Iterable[Receipt],
        rejects: Iterable[Mapping[str, Any]] = (),
    ) -> Report:
        """Add up the receipts of a run's shards.

        :param rejects: what extract and each shard say about what they have kept, or nothing.
        """
        total = sum(receipts, Receipt())
        # A shard without a receipt sent nothing that anybody knows of.
        total.messages = 0 if manifest["dry_run"] else int(manifest["messages"])
        return cls(manifest, total, [kept for kept in rejects if kept])

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON, for XCom and for assets."""
        manifest, receipt = self.manifest, self.receipt
        problems = Problems(manifest["problems"])
        problems += receipt.problems
        return {
            "look": manifest["look"],
            "sync_id": manifest["sync_id"],
            "window": manifest["window"],
            "dry_run": manifest["dry_run"],
            "mode": manifest["mode"],
            "rows": manifest["rows"],
            "duplicates": manifest["duplicates"],
            "rejected": manifest["rejected"],
            "unchanged": manifest["unchanged"],
            "superseded": manifest["superseded"],
            # Who was forgotten after extract had made their message counts as before it.
            "forgotten": manifest["forgotten"] + receipt.forgotten,
            "messages": manifest["messages"] - receipt.forgotten,
            "resent": manifest["resent"],
            "left": manifest["left"],
            "new_users": manifest["new_users"],
            "saved_calls": self.saved_calls,
            "accepted": receipt.accepted,
            "refused": receipt.refused,
            "unknown": receipt.unknown,
            "not_sent": receipt.not_sent,
            "problems": problems.as_list(),
            "rejects": [dict(kept) for kept in self.rejects],
            "warnings": list(manifest["warnings"]),
            "destinations": manifest["destinations"],
            "samples": manifest["samples"],
            "shows_values": manifest["shows_values"],
            "requests": receipt.requests,
            "sent_bytes": receipt.sent_bytes,
            "seconds": round(receipt.seconds, 3),
        }

    @property
    def saved_calls(self) -> int:
        """Identify calls that a full run would have made beyond those of this run.

        Negative where what is sent again and leave messages are more than what is spared.
        """
        said = self.manifest
        return int(said["unchanged"] + said["superseded"] - said["resent"] - said["left"])

    @property
    def may_have_sent(self) -> bool:
        """Whether Segment has something of this run, or may have."""
        return self.receipt.accepted + self.receipt.unknown > 0

    def check(self, *, max_rejected: float) -> None:
        """Fail a run that could not do what it promised.

        :param max_rejected: share of the messages that Segment may refuse one by one.
        :raises PermanentError: when a message is of unknown fate or was not sent, when too many
            were refused, or when the books do not balance.
        """
        manifest, receipt = self.manifest, self.receipt
        look = f"Look {manifest['look']['id']}"
        counted = manifest["messages"] - manifest["resent"] - manifest["left"]
        counted += sum(manifest[name] for name in _NOT_SENT)
        if counted != manifest["rows"] or not receipt.is_possible:
            raise PermanentError(
                f"{look}: the books",
                should="balance",
                but=f"{manifest['rows']:,} rows became {counted:,} outcomes, and "
                f"{receipt.messages:,} messages have {receipt.messages - receipt.not_sent:,}",
                do="Clear the extract task with its downstream tasks, and report this as a bug.",
            )
        if not receipt.is_complete:
            raise PermanentError(
                f"{look}: the run",
                should="deliver every message",
                but=f"of {receipt.messages:,} messages {receipt.accepted:,} were accepted, "
                f"{receipt.unknown:,} are of unknown fate and {receipt.not_sent:,} were not sent",
                do="See why the identify tasks failed, then clear the extract task with its "
                "downstream tasks; the report has deleted the chunks.",
            )
        if receipt.messages and receipt.refused / receipt.messages > max_rejected:
            raise PermanentError(
                f"{look}: the messages that Segment refused",
                should=f"be at most {max_rejected:.2%} of {receipt.messages:,} "
                "(guards.max_rejected)",
                but=f"they are {receipt.refused:,}; the others were accepted",
                do="Look at the row numbers in the report.",
            )

    def __str__(self) -> str:
        said = self.as_dict()
        names: tuple[str, ...] = ("rows", "duplicates", "rejected")
        if said["mode"] != "full":
            names += ("unchanged", "superseded")
        names += ("forgotten",) if said["forgotten"] else ()
        names += ("messages",)
        if said["mode"] != "full":
            names += ("resent", "left", "new_users", "saved_calls")
        counts = [(name.replace("_", " "), said[name]) for name in names]
        if not said["dry_run"]:
            names = ("accepted", "refused", "unknown", "not_sent")
            counts += [(name.replace("_", " "), said[name]) for name in names]
        width = max(len(name) for name, _ in counts)
        title = f" ({said['look']['title']})" if said["look"]["title"] else ""
        end = short(datetime.fromisoformat(said["window"]["end"]))
        lines = [
            f"Look {said['look']['id']}{title} as of {end} UTC",
            *(["  dry run: nothing was sent"] if said["dry_run"] else []),
            *(f"  {name:<{width}}  {count:>12,}" for name, count in counts),
        ]
        for name, found in said["destinations"].items():
            met, doubtful, unmet = found["met"], found["doubtful"], found["unmet"]
            lines += _wrapped(f"{name}: {met:,} met, {doubtful:,} doubtful, {unmet:,} unmet")
        for problem in said["problems"]:
            lines += _wrapped(_described(problem))
        # A command is copied whole.
        lines += [
            f"  to see {kept['rows']:,} rejected rows: {kept['command']}"
            for kept in said["rejects"]
        ]
        for warning in said["warnings"]:
            lines += _wrapped(f"warning: {warning}")
        if said["dry_run"]:
            lines += _samples(said["samples"], masked=not said["shows_values"])
        return "\n".join(lines)


def _samples(samples: Sequence[Mapping[str, Any]], *, masked: bool) -> Iterator[str]:
    values = "their values masked" if masked else "with their values, as asked"
    for number, sample in enumerate(samples, start=1):
        if number == 1:
            yield f"  the first messages, {values}:"
        parts = (f"{path} = {value}" for path, value in _leaves(sample, masked=masked))
        yield from _wrapped(f"{number}. {', '.join(parts)}")


def _leaves(sample: Mapping[str, Any], *, masked: bool, at: str = "") -> Iterator[tuple[str, str]]:
    for key, value in sample.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, masked=masked, at=f"{at}{key}.")
        elif masked and isinstance(value, str):
            yield f"{at}{key}", value
        else:
            yield f"{at}{key}", json.dumps(value, ensure_ascii=False)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _described(problem: Mapping[str, Any]) -> str:
    about = f" in `{problem['column']}`" if problem["column"] else ""
    rows = ", ".join(map(str, problem["rows"]))
    more = ", …" if problem["count"] > len(problem["rows"]) else ""
    meaning = MEANINGS.get(problem["code"], "")
    found = f"{counted(problem['count'], 'row')} {problem['code']}{about}"
    which = "row" if problem["count"] == 1 else "rows"
    return f"{found}: {meaning} ({which} {rows}{more})"
