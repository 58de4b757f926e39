"""Write the table of destinations for the documentation, from the data the code uses.

``docs/conf.py`` calls :func:`generate` before each build, so the page cannot drift from the rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from airflow_provider_looker_segment.core.catalogue import (
    Catalogue,
    Destination,
    example,
    load_catalogue,
)
from airflow_provider_looker_segment.core.explanation import facts, today

FOLDER = Path(__file__).parent / "generated"

FILTER = """\
```{raw} html
<p><input type="search" id="destination-filter" placeholder="Filter the table"
  aria-label="Filter the table"></p>
<script>
document.getElementById("destination-filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const row of document.querySelectorAll("table.destinations tbody tr"))
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
</script>
```
"""


def generate(folder: Path = FOLDER) -> None:
    """Write the page's generated part; ``docs/destinations.md`` includes it."""
    folder.mkdir(exist_ok=True)
    (folder / "destinations.md").write_text(render(load_catalogue()), encoding="utf-8")


def render(catalogue: Catalogue) -> str:
    """Return the table and a section for each destination, as MyST."""
    return "\n".join([*_table(catalogue), "", "## Each destination", "", *_sections(catalogue)])


def _table(catalogue: Catalogue) -> Iterator[str]:
    differing = sum(destination.differs for destination in catalogue.destinations)
    yield "## The table"
    yield ""
    yield (
        f"{len(catalogue.destinations)} destinations, in the order of "
        f"[Segment's page]({catalogue.page}), whose table reads so since {catalogue.page_as_of}."
    )
    yield f"For {differing} of them something else is true today (marked ≠)."
    yield ""
    yield FILTER
    yield "```{table}"
    yield ":class: destinations"
    yield ""
    yield "| Destination | The page's table asks for | Today | Special note |"
    yield "|---|---|---|---|"
    for destination in catalogue.destinations:
        assert destination.table is not None
        cells = (
            f"[`{destination.slug}`](#{_anchor(destination)})",
            destination.table.words(),
            today(destination),
            destination.special_note,
        )
        yield f"| {' | '.join(cells)} |"
    yield "```"


def _sections(catalogue: Catalogue) -> Iterator[str]:
    for destination in catalogue.destinations:
        yield f"({_anchor(destination)})="
        yield f"### {destination.name}"
        yield ""
        yield from (f"- {line}" for line in facts(destination))
        yield ""
        yield "```json"
        yield json.dumps(example(destination), indent=2)
        yield "```"
        yield ""


def _anchor(destination: Destination) -> str:
    return f"destination-{destination.slug.replace('.', '-')}"


if __name__ == "__main__":
    generate()
