"""The id of a message: the same in every retry, another whenever sending again is meant.

What a run is and what a message says enter, 32 hex digits leave.
Segment drops repeats of an id for all its customers alike, so an id never depends on content only.
Source: https://segment.com/docs/guides/duplicate-data/
"""

from __future__ import annotations

import hashlib

from airflow_provider_looker_segment.core.identity import fingerprint
from airflow_provider_looker_segment.core.limits import MESSAGE_ID_CHARS


class MessageIds:
    """The ids of one run's messages.

    :param write_key_fingerprint: which Segment source the messages go to.
    :param sync_id: which Look is kept in step with it.
    :param run: the moment the run stands for, and the id of the DAG run: of two runs for one
        moment the second one may say again what the first one's successor has overwritten.
    :param generation: raised by a Clear or a reprocessed backfill, not by a retry.
    """

    def __init__(
        self, *, write_key_fingerprint: str, sync_id: str, run: tuple[str, str], generation: str
    ) -> None:
        of = fingerprint(write_key_fingerprint, sync_id, *run, generation)
        self._run = hashlib.blake2b(of, digest_size=MESSAGE_ID_CHARS // 2)

    def of(self, body: str) -> str:
        """Return the id of the message with this own part (user, traits, context, integrations)."""
        digest = self._run.copy()
        digest.update(body.encode())
        return digest.hexdigest()
