"""What one Looker stand-in remembers: tokens, queries, tasks, and the requests it got.

One object per application and no module globals; methods may be called from any thread.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import string
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.model import Look

QUERY_KEYS: Final = (
    "model",
    "view",
    "fields",
    "pivots",
    "fill_fields",
    "filters",
    "filter_expression",
    "sorts",
    "limit",
    "column_limit",
    "total",
    "row_total",
    "subtotals",
    "vis_config",
    "filter_config",
    "visible_ui_sections",
    "dynamic_fields",
    "query_timezone",
)
_SLUG_CHARS: Final = 22
_ALPHABET: Final = string.digits + string.ascii_letters


@dataclass(slots=True)
class Task:
    """One query task.

    :param polls_left: how many more questions it answers with "not yet".
    :param ready_at: the monotonic second before which it is not finished either.
    """

    id: str
    body: dict[str, Any]
    parameters: dict[str, str]
    polls_left: int
    ready_at: float
    outcome: str
    asked: bool = False


@dataclass(slots=True)
class TaskRules:
    """How query tasks go until told otherwise.

    :param polls: questions that a task answers with "not yet".
    :param seconds: how long it takes at least.
    :param outcome: its status at the end.
    """

    polls: int = 1
    seconds: float = 0.0
    outcome: str = "complete"


@dataclass(slots=True)
class LookerState:
    """Everything that changes while a stand-in runs.

    :param token_seconds: how long a token is valid, as it is told to clients.
    """

    dataset: Dataset
    client_id: str
    client_secret: str
    token_seconds: int
    requests: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, tuple[float, str]] = field(default_factory=dict)
    queries: dict[str, dict[str, Any]] = field(default_factory=dict)
    client_ids: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    task_rules: TaskRules = field(default_factory=TaskRules)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def new_token(self, user_id: str) -> str:
        """Return a fresh access token of a user."""
        token = secrets.token_hex(20)
        with self.lock:
            self.tokens[token] = (time.monotonic() + self.token_seconds, user_id)
        return token

    def user_of(self, token: str) -> str | None:
        """Return the id of the user that a token stands for; ``None`` when it is dead."""
        with self.lock:
            expires_at, user_id = self.tokens.get(token, (0.0, ""))
        return user_id if time.monotonic() < expires_at else None

    def save_query(self, definition: Mapping[str, Any], client_id: str = "") -> dict[str, Any]:
        """Remember a query, or find the one that is the same.

        :param definition: keys of :data:`QUERY_KEYS`; others are ignored.
        :return: Looker's ``Query`` object.
        """
        written = {key: definition.get(key) for key in QUERY_KEYS}
        query_id = slug(json.dumps(written, sort_keys=True))
        with self.lock:
            query = self.queries.setdefault(query_id, self._query(query_id, written, client_id))
            self.client_ids.setdefault(str(query["client_id"]), query_id)
        return query

    def look_query(self, look: Look) -> dict[str, Any]:
        """Return the saved query of a Look, with what only saved queries carry.

        Its ``filter_config`` repeats its filters, as in Looker: a client that copies it along with
        other filters gets the old ones.
        """
        config = {
            name: [
                {"type": "advanced", "values": [{"constant": value}, {}], "id": 0, "error": False}
            ]
            for name, value in look.query["filters"].items()
        }
        definition = {**look.query, "filter_config": config or None}
        return self.save_query(definition, slug(f"client {look.id}"))

    def reset(self) -> None:
        """Forget requests, tasks and how tasks should go; tokens and queries stay."""
        with self.lock:
            self.requests.clear()
            self.tasks.clear()
            self.task_rules = TaskRules()

    def _query(self, query_id: str, written: dict[str, Any], client_id: str) -> dict[str, Any]:
        path = f"/explore/{written['model']}/{written['view']}?qid={query_id}"
        return {
            "can": {"run": True, "index": True, "show": True},
            "id": query_id,
            **written,
            "slug": query_id,
            "client_id": client_id or slug(f"client {query_id}"),
            "share_url": f"/x/{query_id}",
            "expanded_share_url": f"{path}&toggle=fil",
            "url": path,
            "has_table_calculations": '"table_calculation"' in (written["dynamic_fields"] or ""),
        }


def slug(text: str) -> str:
    """Return 22 alphanumeric characters that stand for a text."""
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=20).digest(), "big")
    letters = []
    for _ in range(_SLUG_CHARS):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(letters)
