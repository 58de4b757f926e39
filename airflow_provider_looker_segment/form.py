"""The form behind "Trigger": a DAG's params for whoever runs a Look by hand.

Defaults enter, Airflow's params leave, and the templates that hand what was filled in to
:func:`look_to_segment`. What the form refuses, the operators refuse again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from airflow.sdk import Param

from airflow_provider_looker_segment.core.catalogue import Destination, load_catalogue

_MODES = {
    "full": "full: every row, every time",
    "changed": "changed: rows that differ from what Segment last accepted",
    "mirror": "mirror: changed rows, and who left the Look",
}

FORM_CHOICES: Mapping[str, str] = MappingProxyType(
    {
        name: f"{{{{ params.{name} }}}}"
        for name in (
            *("look_id", "destinations", "mode", "dry_run", "filters", "row_limit", "only"),
            *("allow_older", "accept_changes", "approve"),
        )
    }
)
"""What :func:`look_to_segment` takes from the form: ``look_to_segment(**FORM_CHOICES)``."""


def trigger_form(
    look_id: str | int,
    *,
    destinations: Iterable[str] = (),
    mode: Literal["full", "changed", "mirror"] = "full",
    filters: Iterable[str] = (),
    row_limit: str | int | None = None,
    only: bool = False,
    dry_run: bool = False,
) -> dict[str, Param]:
    """Return the params of a DAG that runs a Look, with a sentence for each.

    The arguments are what the form shows at first, and what scheduled runs use.

    :param destinations: slugs of the catalogue, such as ``"braze"``.
    :param filters: lines such as ``"users.country: Germany"``.
    :raises PermanentError: when a destination is unknown.
    """
    catalogue = load_catalogue()
    names = sorted(catalogue.destinations, key=lambda one: one.name.casefold())
    slugs = [one.slug for one in names]
    return {
        "look_id": Param(
            str(look_id),
            # Whoever triggers over the API or a shell may write the number as one.
            type=["string", "integer"],
            pattern="^[0-9]+$",
            minimum=1,
            # Several types without examples are a box of six lines in Airflow's form.
            examples=[str(look_id)],
            title="Look",
            description="The number in the Look's address in Looker, digits only; the form answers "
            "anything else with no more than Bad Request. A backfill uses this form only with "
            "Override parameters on existing runs.",
        ),
        "destinations": Param(
            [catalogue.find(name).slug for name in destinations],
            # An entry that is taken back leaves null in Airflow's form, not an empty list.
            type=["null", "array"],
            items={"type": "string", "enum": slugs},
            examples=slugs,
            values_display={one.slug: _shown(one) for one in names},
            title="Destinations",
            description="Tools behind Segment that must be able to use the rows. A row that one "
            "of them cannot use is kept from that one only.",
        ),
        "mode": Param(
            mode,
            type="string",
            enum=list(_MODES),
            values_display=_MODES,
            title="Mode",
            description="What is sent. The modes changed and mirror need a place for their "
            "snapshot, which the DAG's author names; after one of them full runs are refused until "
            "the snapshot is reset.",
        ),
        "dry_run": Param(
            dry_run,
            type="boolean",
            title="Dry run",
            description="Check everything and send nothing; the report shows what would be sent. "
            "A backfill is a dry run only with Override parameters on existing runs.",
        ),
        "filters": Param(
            list(filters),
            type=["null", "array"],
            # A line break at the end is an empty line to Airflow's form.
            items={"type": "string", "pattern": r"^\s*$|^[^:]+:.+$"},
            title="Filters",
            description="One a line, a field and an expression such as users.country: Germany. "
            "Each replaces the Look's own filter of that field.",
            section="Rows",
        ),
        "row_limit": Param(
            None if row_limit is None else str(row_limit),
            type=["null", "string"],
            pattern="^(look|all|[1-9][0-9]*)?$",
            examples=["look", "all"],
            title="Row limit",
            description='Empty for every row unless somebody chose a limit in Looker; "look" for '
            'that limit, "all" to lift it, or a number.',
            section="Rows",
        ),
        "only": Param(
            only,
            type="boolean",
            title="Only these destinations",
            description="Send to the chosen destinations and to no others; otherwise every "
            "destination that is connected to the source receives the rows.",
            section="Other destinations",
        ),
        "allow_older": Param(
            False,
            type="boolean",
            title="Allow an older date",
            description="Send this date although a newer one was sent. A backfill of full runs "
            "needs it.",
            section="History",
        ),
        "accept_changes": Param(
            False,
            type="boolean",
            title="Accept changes of the Look",
            description="From now on, rely on the Look's columns, filters and limit as they are.",
            section="History",
        ),
        "approve": Param(
            None,
            type=["null", "string"],
            title="Approve a stopped run",
            description="The id of a run that a guard stopped, to send exactly what it would "
            "have sent. Looker is not asked again.",
            section="History",
        ),
    }


def _shown(destination: Destination) -> str:
    return f"{destination.name} (retired)" if destination.retired else destination.name
