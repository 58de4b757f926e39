"""Who was forgotten: asked of a sync once, or again and again by whoever goes on for long.

Messages enter, a yes or no leaves, and no id is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from math import inf
from typing import Any

from airflow_provider_looker_segment.core.snapshot import identity
from airflow_provider_looker_segment.stores.snapshot_seal import SnapshotSeal
from airflow_provider_looker_segment.stores.syncs import SyncStore


class Forgotten:
    """Who gets no message of a sync any more.

    :param again_s: seconds after which it is asked again; without, what it says first holds.
    """

    def __init__(self, sync: SyncStore, *, again_s: float = inf) -> None:
        self._sync = sync
        self._again_s = again_s
        self._seal: SnapshotSeal | None = None
        self._ask()

    def _ask(self) -> None:
        self.keys = self._sync.forgotten()
        self._ask_at = time.monotonic() + self._again_s

    def has(self, body: Mapping[str, Any]) -> bool:
        """Whether nothing may be sent about a user, nor kept of them.

        :param body: with their ids.
        """
        if time.monotonic() >= self._ask_at:
            self._ask()
        if not self.keys:
            return False
        if self._seal is None:
            self._seal = self._sync.seal()
        return self._seal.key(*identity(body)) in self.keys
