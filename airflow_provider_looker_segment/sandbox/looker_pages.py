"""The Looker stand-in's pages for people: its Looks, one Look, and the query of one run.

Ids enter, pages leave. They show what would be asked, never a row: nobody signs in to see them.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from airflow_provider_looker_segment.sandbox.looker_state import LookerState
from airflow_provider_looker_segment.sandbox.looker_wire import not_found

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
        return _query_page(f"Explore {found['view']}", found)

    return router


def _query_page(title: str, query: Mapping[str, Any]) -> Response:
    columns, filters, limit = _shown(query)
    return _page(title, _table([("Columns", columns), ("Filters", filters), ("Limit", limit)]))


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
