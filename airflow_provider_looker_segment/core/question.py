"""What a person is asked when a guard stopped a run: a headline, and the numbers to decide by.

A manifest enters, Markdown leaves. It holds counts and names, and no value of a row.
"""

from __future__ import annotations

import re

from airflow_provider_looker_segment.core.counting import counted
from airflow_provider_looker_segment.core.manifest import Manifest

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#|!~])")


def subject(manifest: Manifest) -> str:
    """Return the headline."""
    messages = counted(manifest.messages, "message")
    return f"Look {manifest.look['id']}: a guard stopped {messages}; send them to Segment?"


def body(manifest: Manifest, *, query_url: str = "") -> str:
    """Return what the guard found and what would be sent, as Markdown.

    :param query_url: of this run's query in Looker; empty where it is unknown.
    """
    title = manifest.look["title"]
    facts: list[tuple[str, str]] = [
        ("Look", f"{manifest.look['id']} ({title})" if title else manifest.look["id"]),
        ("as of", str(manifest.window["end"])),
        ("sync", manifest.sync_id),
        ("mode", manifest.mode),
        ("Segment connection", manifest.segment_conn_id),
    ]
    names = ["rows", "duplicates", "rejected"]
    if manifest.mode != "full":
        names += ["unchanged", "superseded"]
    names += ["forgotten"] if manifest.forgotten else []
    names += ["messages"]
    if manifest.mode != "full":
        names += ["resent", "left", "new_users"]
    counts = [(name.replace("_", " "), getattr(manifest, name)) for name in names]
    facts += [(name, f"{count:,}") for name, count in counts if count is not None]
    table = [f"| {name} | {_plain(value)} |" for name, value in facts]
    # The Look heads the table: Markdown knows none without a head.
    table.insert(1, "|---|---|")
    lines = [
        _plain(manifest.stopped),
        "",
        *table,
        "",
    ]
    if query_url:
        lines += [f"[Query of this run in Looker](<{query_url}>)", ""]
    lines.append(
        "**Approve** sends exactly these messages, as they are. "
        "**Reject** fails the run, and nothing is sent."
    )
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Keep Markdown from acting on a text: others choose titles and names."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
