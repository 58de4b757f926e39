"""``python -m airflow_provider_looker_segment``: the same commands as ``airflow looker-segment``.

A shell's words enter, an exit status leaves.
"""

from __future__ import annotations

import sys

from airflow_provider_looker_segment.cli import main

if __name__ == "__main__":
    sys.exit(main())
