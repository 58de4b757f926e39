"""How far a shard is, kept where a killed worker cannot take it along.

Receipts enter before the first batch and after each, the last one leaves when a retry begins. The
store outlives a Clear too, so the record carries the generation it belongs to; and the rate may
change between two tries, so it says how many messages its writer may have sent.
Airflow 3.3 has such a store; before that a retry begins anew, under the same message ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_looker_segment.core.receipts import Receipt

_KEY = "looker_segment_progress"


class Progress:
    """The record of one shard.

    :param context: Airflow's context; ``task_state_store`` is in it since 3.3.
    :param generation: of the run: another one begins anew.
    :param under_way: the most messages that may be on their way to Segment at a time.
    """

    def __init__(self, context: Mapping[str, Any], *, generation: str, under_way: int) -> None:
        self.generation = generation
        self._store = context.get("task_state_store")
        ti = context["ti"]
        # A Clear raises `max_tries` by the tries so far, so that the first one after it is known.
        self._is_retry = ti.try_number > ti.max_tries - ti.task.retries + 1
        self._under_way = under_way
        self._maybe_sent = 0

    def resume(self, *, messages: int) -> Receipt:
        """Return the receipt of earlier tries of this generation, or an empty one.

        :param messages: how many the shard holds.
        """
        receipt, self._maybe_sent = self._recorded(messages)
        return receipt

    def _recorded(self, messages: int) -> tuple[Receipt, int]:
        """Return what is decided, and how many of the shard's first messages may have been sent."""
        # Whatever wrote another record: beginning anew under the same ids does no harm.
        anew = Receipt(messages=messages)
        if self._store is None:
            return anew, messages if self._is_retry else 0
        record = self._store.get(_KEY)
        if not isinstance(record, dict) or record.get("generation") != self.generation:
            # A try of an earlier version was killed before its first note.
            return anew, self._under_way if self._is_retry else 0
        try:
            receipt = Receipt.from_dict(record["receipt"])
        except (AttributeError, KeyError, TypeError, ValueError):
            return anew, messages
        if receipt.messages != messages or not receipt.is_possible:
            return anew, messages
        # Records of earlier versions do not say it.
        maybe_sent = record.get("maybe_sent", receipt.decided + self._under_way)
        is_possible = type(maybe_sent) is int and maybe_sent >= receipt.decided
        return receipt, maybe_sent if is_possible else messages

    def record(self, receipt: Receipt) -> None:
        """Note how many messages' fates are decided, before more of them leave."""
        if self._store is not None:
            value = {
                "generation": self.generation,
                "receipt": receipt.as_dict(),
                "maybe_sent": max(self._maybe_sent, receipt.decided + self._under_way),
            }
            self._store.set(_KEY, value)

    def certain(self, receipt: Receipt, *, sending: bool) -> Receipt:
        """Return a receipt that stays true if nothing more is ever heard of this shard.

        :param sending: whether a batch may be on its way when the worker is killed.
        """
        done = receipt.decided
        sent = done + (self._under_way if sending else receipt.unknown)
        unknown = min(max(sent, self._maybe_sent), receipt.messages) - done
        return replace(receipt, unknown=unknown)
