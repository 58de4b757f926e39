"""The Looker stand-in's pages for people: its Looks, one Look, and the query of one run.

Ids enter, pages leave. The page of a run's query shows its rows, numbered as reports number them:
nobody signs in to see them, so what the stand-in serves is for this machine only.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from airflow_provider_looker_segment.sandbox.looker_queries import plan_checked
from airflow_provider_looker_segment.sandbox.looker_state import LookerState
from airflow_provider_looker_segment.sandbox.looker_wire import not_found
from airflow_provider_looker_segment.sandbox.results import Options, stream

_MAX_ROWS = 5_000
"""As many as Looker's own page shows."""

_STYLE = "body{font:14px sans-serif;margin:2em}td,th{padding:.3em 1em;text-align:left}"


def pages_router(state: LookerState) -> APIRouter:
    """Return the pages."""
    router = APIRouter()
    model = state.dataset.model

    @router.get("/")
    def looks() -> Response:
        rows = [
            (look.id, look.title, *_shown(look.query))
            for look in model.looks.values()
            if not look.deleted
        ]
        head = ("Look", "Title", "Columns", "Filters", "Limit")
        now = f"It is {state.dataset.now():%Y-%m-%d %H:%M} UTC here."
        return _page(model.label, f"<p>{now}</p>{_table([head, *rows])}")

    @router.get("/looks/{look_id}")
    def look(look_id: str) -> Response:
        found = model.looks.get(look_id)
        if found is None or found.deleted:
            raise not_found()
        return _query_page(f"Look {found.id}: {found.title}", found.query)

    @router.get("/x/{slug}")
    def query(slug: str) -> Response:
        found = state.queries.get(slug)
        if found is None:
            raise not_found()
        return _query_page(f"Explore {found['view']}", found, rows=_rows(state, found))

    return router


def _query_page(title: str, query: Mapping[str, Any], *, rows: str = "") -> Response:
    columns, filters, limit = _shown(query)
    asked = _table([("Columns", columns), ("Filters", filters), ("Limit", limit)])
    return _page(title, asked + rows)


def _rows(state: LookerState, query: Mapping[str, Any]) -> str:
    limit = int(query.get("limit") or _MAX_ROWS)
    limit = min(limit, _MAX_ROWS) if limit > 0 else _MAX_ROWS
    asked = {"limit": str(limit), "server_table_calcs": "true"}
    text = "".join(stream(plan_checked(state, query, "csv", asked), "csv", Options()))
    head, *rows = csv.reader(io.StringIO(text))
    numbered = ([f"{number:,}", *row] for number, row in enumerate(rows, start=1))
    note = f"<p>The first {limit:,} rows at most, as the query gives them."
    return note + _table([["Row", *head], *numbered])


def _shown(query: Mapping[str, Any]) -> tuple[str, str, str]:
    filters = (f"{field}: {text}" for field, text in (query.get("filters") or {}).items())
    return ", ".join(query["fields"]), "; ".join(filters), str(query.get("limit") or "")


def _table(rows: Iterable[Iterable[str]]) -> str:
    lines = ("".join(f"<td>{html.escape(cell)}" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}' for line in lines)}</table>"


def _page(title: str, body: str) -> Response:
    name = html.escape(f"Looker stand-in: {title}")
    return HTMLResponse(
        f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{_STYLE}</style>"
        f"<h1>{name}</h1>{body}"
    )
