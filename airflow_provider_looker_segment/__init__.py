"""Send each row of a Looker Look to Segment as one ``identify`` call, from Apache Airflow.

Airflow imports this module at provider discovery and at every command,
so it holds data only and imports nothing.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PACKAGE = "airflow_provider_looker_segment"


def get_provider_info() -> dict[str, Any]:
    """Return what Airflow asks of a provider, as data: no hook is imported for a form."""
    from airflow_provider_looker_segment.connection_forms import (  # noqa: PLC0415 - not before asked
        looker_form,
        segment_form,
    )

    return {
        "package-name": "airflow-provider-looker-segment",
        "name": "Looker to Segment",
        "description": "Send each row of a Looker Look to Segment as one identify call.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Looker",
                "external-doc-url": "https://cloud.google.com/looker/docs",
                "tags": ["service"],
            },
            {
                "integration-name": "Segment",
                "external-doc-url": "https://segment.com/docs",
                "tags": ["service"],
            },
        ],
        "operators": [
            {"integration-name": "Looker", "python-modules": [f"{_PACKAGE}.operators.looker"]},
            {
                "integration-name": "Segment",
                "python-modules": [
                    f"{_PACKAGE}.operators.ask",
                    f"{_PACKAGE}.operators.segment",
                    f"{_PACKAGE}.operators.report",
                    f"{_PACKAGE}.operators.maintenance",
                ],
            },
        ],
        "hooks": [
            {"integration-name": "Looker", "python-modules": [f"{_PACKAGE}.hooks.looker"]},
            {"integration-name": "Segment", "python-modules": [f"{_PACKAGE}.hooks.segment"]},
        ],
        "triggers": [
            {"integration-name": "Looker", "python-modules": [f"{_PACKAGE}.triggers.looker"]},
        ],
        "connection-types": [looker_form(), segment_form()],
        "extra-links": [
            f"{_PACKAGE}.links.{name}"
            for name in ("LookLink", "QueryLink", "SourceLink", "ProblemsLink")
        ],
        "asset-uris": [
            {
                "schemes": ["looker", "segment"],
                "handler": f"{_PACKAGE}.assets.sanitize_uri",
                "factory": f"{_PACKAGE}.assets.create_asset",
            },
        ],
        "cli": [f"{_PACKAGE}.cli.get_cli_commands"],
    }
