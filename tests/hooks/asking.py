"""What tests of the Looker hook ask the stand-in, and tell it to do."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import requests

from airflow_provider_looker_segment.core.query import RunQuery, run_query
from airflow_provider_looker_segment.hooks.looker import LookerHook

NOT_FOUND = {"message": "Not found", "documentation_url": ""}
LOOK = "/looks/42$"
RESULT = "/run/json_detail$"


def asked(sandbox: Any, method: str, path: str) -> list[dict[str, list[str]]]:
    """Return the parameters of each request whose path ends so."""
    found = requests.get(f"{sandbox.looker_url}/_sandbox/requests", timeout=10).json()
    return [
        parse_qs(entry["query"])
        for entry in found
        if entry["method"] == method and entry["path"].endswith(path)
    ]


def revoke(sandbox: Any) -> None:
    """Make every token invalid at the server, without a word to clients."""
    url = f"{sandbox.looker_url}/_sandbox/tokens"
    requests.post(url, json={"expire": True}, timeout=10).raise_for_status()


def fault(sandbox: Any, status: int, body: Any, path: str = LOOK, **more: Any) -> None:
    """Answer with an error instead."""
    if not isinstance(body, str):
        more = {"content_type": "application/json", **more}
        body = json.dumps(body)
    sandbox.looker_faults.add("status", status=status, body=body, path=path, **more)


def query_of(hook: LookerHook, look_id: str) -> RunQuery:
    """Return a Look's query, with everything asked for and its dates left alone."""
    return run_query(hook.look(look_id), filters=None, as_of=None, row_limit="all")
