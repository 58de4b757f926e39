"""Every number the outside world decided, each with its unit, its source and what lies beyond it.

Constants enter nothing and leave everywhere; no other file holds such a number.
"""

from __future__ import annotations

MAX_MESSAGE_BYTES = 32_768
"""Bytes of one message, as ASCII-escaped JSON, the way the official client measures and sends it.

A larger one is refused with a 400.
Source: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#max-request-size
"""

MAX_BATCH_BYTES = 475_000
"""Bytes of one request body, envelope included.

The documentation says 500 KB and not whether that is 500,000 or 512,000 bytes;
Segment's own clients stop at 475,000. A larger body is refused with a 400 or a 413.
"""

MAX_BATCH_MESSAGES = 2_500
"""Messages in one request. Beyond it Segment answers 200 and drops the batch.

Source: https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#errors
"""

MAX_TRAITS = 300
"""Traits of one message. Unify drops an event that has more, without a word.

Source: https://segment.com/docs/unify/profile-api-limits/
"""

MAX_MESSAGES_PER_SECOND = 1_000
"""Messages a second for a whole workspace; Segment queues or refuses what exceeds it.

Source: https://segment.com/docs/connections/rate-limits/
"""

MESSAGE_ID_CHARS = 32
"""Characters of a ``messageId``: 16 bytes as hex. Segment accepts up to 100."""

MAX_SAFE_INTEGER = 2**53
"""The largest integer up to which every reader of JSON keeps all digits. Larger ones go as text.

Source: https://www.rfc-editor.org/rfc/rfc8259#section-6
"""

SILENT_ROW_CAPS = (5_000, 100_000)
"""Row counts at which Looker stops without saying so, although everything was asked for.

5,000 is applied where a query carries no limit, 100,000 where a result cannot be streamed.
Source: https://cloud.google.com/looker/docs/row-limits-in-looker
"""

UNCHOSEN_ROW_LIMITS = (None, "500", "5000", "-1")
"""Saved limits that nobody chose: Looker's defaults, and none at all."""

MAX_ROW_CHARS = 16_000_000
"""Characters of one row of a result; a larger one means that the document is not made of rows."""

MAX_CHUNK_BYTES = 48_000
"""Bytes of one XCom value in a database: below MySQL's 64 KB and the state store's 65,535."""

MAX_STORED_CHUNK_BYTES = 4_000_000
"""Bytes of one XCom value where an object-storage backend keeps it."""

MAX_DATABASE_BYTES = 100_000_000
"""Bytes of chunks one run may put into Airflow's database before it stops with the arithmetic."""

MAX_SHARD_MESSAGES = 500_000
"""Messages one mapped task delivers: at Segment's ceiling that is a little over eight minutes."""
