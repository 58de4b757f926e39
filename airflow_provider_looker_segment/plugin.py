"""A page within Airflow that says what each problem means and what helps.

Nothing enters; Airflow's API server gets a small application that reads nothing and knows nobody's
data. Every component of Airflow imports this module, so it builds nothing before it is asked.
"""

from __future__ import annotations

import html
import re
from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "td,th{padding:.5em 1em .5em 0;text-align:left;vertical-align:top;border-bottom:1px solid #ddd}"
    "code{background:#eee;padding:.1em .3em;border-radius:3px}:target{background:#fff3d6}"
)
_CODE = re.compile(r"`([^`]+)`")


def problems_page() -> str:
    """Return the page: each code with its meaning and what helps, to be found by ``#code``."""
    from airflow_provider_looker_segment.core.problems import (  # noqa: PLC0415 - see above
        MEANINGS,
        REMEDIES,
    )

    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code><td>{_words(meaning)}<td>{_words(REMEDIES[code])}'
        for code, meaning in sorted(MEANINGS.items())
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>What problems mean</title>"
        f"<style>{_STYLE}</style><h1>What problems mean</h1>"
        "<p>A row with a problem is left out of what is sent to Segment. The report counts it by "
        "code and column and names the first rows by their numbers, in the order in which Looker "
        "sent them.</p>"
        f"<table><tr><th>Code<th>Meaning<th>What helps{rows}</table>"
    )


def _words(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(text[0].upper() + text[1:], quote=False))


async def _serve(scope: Any, receive: Any, send: Any) -> None:
    from starlette.responses import HTMLResponse, PlainTextResponse  # noqa: PLC0415 - see above

    # Mounted, the path may be seen whole or from the prefix on.
    found = scope["type"] == "http" and scope["path"].endswith("/problems")
    answer = HTMLResponse(problems_page()) if found else PlainTextResponse("Not found", 404)
    await answer(scope, receive, send)


class LookerSegmentPlugin(AirflowPlugin):
    """The page, at ``/looker-segment/problems`` below Airflow's own address."""

    name = "looker_segment"
    fastapi_apps: ClassVar[list[Any]] = [  # type: ignore[misc]
        {"app": _serve, "url_prefix": "/looker-segment", "name": "Looker to Segment"}
    ]
