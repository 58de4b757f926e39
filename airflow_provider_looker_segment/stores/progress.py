"""How far a shard is, kept where a killed worker cannot take it along.

Receipts enter after each batch, the last one leaves when a retry begins. The store outlives a
Clear too, so the record carries the generation it belongs to.
Airflow 3.3 has such a store; before that a retry begins anew, under the same message ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_looker_segment.core.receipts import Receipt

_KEY = "looker_segment_progress"


class Progress:
    """The record of one shard.

    :param context: Airflow's context; ``task_state_store`` is in it since 3.3.
    :param generation: of the run: another one begins anew.
    """

    def __init__(self, context: Mapping[str, Any], *, generation: str) -> None:
        self.generation = generation
        self._store = context.get("task_state_store")

    def resume(self, *, messages: int) -> Receipt:
        """Return the receipt of earlier tries of this generation, or an empty one.

        :param messages: how many the shard holds.
        """
        record = None if self._store is None else self._store.get(_KEY)
        if not isinstance(record, dict) or record.get("generation") != self.generation:
            return Receipt(messages=messages)
        return Receipt.from_dict(record["receipt"])

    def record(self, receipt: Receipt) -> None:
        """Note that the fate of further messages is decided."""
        if self._store is not None:
            value = {"generation": self.generation, "receipt": receipt.as_dict()}
            self._store.set(_KEY, value)
