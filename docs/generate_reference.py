"""Write the tables of arguments, settings and problems for the documentation, from the code.

``docs/conf.py`` calls :func:`generate` before each build, so no table can drift from the code.
"""

from __future__ import annotations

import inspect
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from airflow_provider_looker_segment import metrics
from airflow_provider_looker_segment.core.guards import Guards
from airflow_provider_looker_segment.core.mapping import Mapping as LookMapping
from airflow_provider_looker_segment.core.problems import MEANINGS, REMEDIES

FOLDER = Path(__file__).parent / "generated"

_FIELD = re.compile(r"^:(param\s+(?P<name>\w+)|return|raises[^:]*):\s*", re.MULTILINE)
_ROLE = re.compile(r":\w+:`~?\.?([^`]+)`")
_PAGE = re.compile(r"`docs/(\w+)\.md`")


def generate(folder: Path = FOLDER) -> None:
    """Write every table; the pages include them."""
    folder.mkdir(exist_ok=True)
    for name, render in PAGES.items():
        (folder / f"{name}.md").write_text("\n".join(render()) + "\n", encoding="utf-8")


def parameters(docstring: str | None) -> dict[str, str]:
    """Read the ``:param`` fields of a docstring: name → its words, as Markdown."""
    found: dict[str, str] = {}
    for paragraph in inspect.cleandoc(docstring or "").split("\n\n"):
        matches = list(_FIELD.finditer(paragraph))
        for match, following in zip_longest(matches, matches[1:]):
            if match["name"]:
                end = following.start() if following else len(paragraph)
                found[match["name"]] = _markdown(paragraph[match.end() : end])
    return found


def arguments_of(kind: Any, described: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Return each argument of a callable with its default and its meaning.

    :raises KeyError: when an argument is not described.
    """
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            yield name, _default(parameter.default), described[name]


def _operators() -> dict[str, Any]:
    # Airflow writes its configuration into its home at import.
    os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="looker-segment-docs-"))
    from airflow_provider_looker_segment import task_groups  # noqa: PLC0415 - see above
    from airflow_provider_looker_segment.operators import (  # noqa: PLC0415 - see above
        looker,
        maintenance,
        report,
        segment,
    )

    return {
        "extract": looker.LookerRunLookOperator,
        "identify": segment.SegmentIdentifyOperator,
        "report": report.SegmentReportOperator,
        "maintenance": maintenance.SnapshotMaintenanceOperator,
        "look_to_segment": task_groups.look_to_segment,
    }


def _operator(name: str) -> Callable[[], Iterator[str]]:
    def render() -> Iterator[str]:
        kind = _operators()[name]
        return _arguments(arguments_of(kind.__init__, {"self": "", **parameters(kind.__doc__)}))

    return render


def _task_group() -> Iterator[str]:
    kinds = _operators()
    described: dict[str, str] = {}
    for kind in kinds.values():
        described = parameters(kind.__doc__) | described
    return _arguments(arguments_of(kinds["look_to_segment"], described))


def _settings(kind: type) -> Callable[[], Iterator[str]]:
    return lambda: _arguments(arguments_of(kind, parameters(kind.__doc__)), head="setting")


def _arguments(rows: Iterator[tuple[str, str, str]], *, head: str = "argument") -> Iterator[str]:
    yield f"| {head} | default | meaning |"
    yield "|---|---|---|"
    for name, default, meaning in rows:
        if name != "self":
            yield f"| `{name}` | {default} | {meaning.replace('(templated)', '*Templated.*')} |"


def _problems() -> Iterator[str]:
    yield "| code | meaning | what helps |"
    yield "|---|---|---|"
    for code, meaning in sorted(MEANINGS.items()):
        yield f"| `{code}` | {meaning[0].upper()}{meaning[1:]}. | {REMEDIES[code]} |"


def _metrics() -> Iterator[str]:
    yield "| metric | kind | meaning |"
    yield "|---|---|---|"
    for name, meaning in metrics.COUNTERS.items():
        yield f"| `{metrics.PREFIX}.{name}` | counter | {meaning} |"
    problem = metrics.PROBLEM_COUNTER.format(code="<code>")
    yield f"| `{metrics.PREFIX}.{problem}` | counter | rows with this [problem](errors.md) |"
    yield (
        f"| `{metrics.PREFIX}.{metrics.SECONDS}` | timing | from the first request to the last "
        "answer, of the slowest shard |"
    )


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    # A factory's default is an object without a value of its own.
    return "`{}`" if repr(value) == "<factory>" else f"`{value!r}`"


def _markdown(text: str) -> str:
    words = " ".join(text.split()).replace("``", "`")
    words = _PAGE.sub(r"[\1](\1.md)", _ROLE.sub(r"`\1`", words))
    return words[0].upper() + words[1:]


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "look_to_segment": _task_group,
    "extract": _operator("extract"),
    "identify": _operator("identify"),
    "report": _operator("report"),
    "maintenance": _operator("maintenance"),
    "mapping": _settings(LookMapping),
    "guards": _settings(Guards),
    "problems": _problems,
    "metrics": _metrics,
}

if __name__ == "__main__":
    generate()
