"""The command about rejected rows: what a run left out, and why.

The path that a report shows enters; each row leaves as one line of JSON, its values masked unless
they were asked for.
"""

# ruff: noqa: T201 - printing is what a command is for

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from airflow_provider_looker_segment.cli.shell import connections
from airflow_provider_looker_segment.cli.text import as_json
from airflow_provider_looker_segment.connections import SegmentSettings
from airflow_provider_looker_segment.core.manifest import masked, masked_cells
from airflow_provider_looker_segment.stores.chunks import Seal
from airflow_provider_looker_segment.stores.rejects import read


def show(options: argparse.Namespace) -> int:
    """Print the rows and messages that a task left out."""
    shown = 0
    out = sys.stdout
    with connections():
        seal = Seal(SegmentSettings.read(options.segment_conn_id))
        for reject in read(options.path, seal, now=datetime.now(UTC)):
            if options.code not in (None, reject.code):
                continue
            shown += 1
            content = reject.content
            if not options.show_values:
                is_message = reject.code == "refused_by_segment"
                content = masked(content, {}) if is_message else masked_cells(content)
            line = {"row": reject.row_number, "code": reject.code, "column": reject.column}
            print(as_json({**line, "content": content}), file=out)
    hint = "" if options.show_values else " Values are masked; --show-values shows them."
    print(f"Rows shown: {shown:,}.{hint}", file=sys.stderr)
    return 0 if shown else 1
