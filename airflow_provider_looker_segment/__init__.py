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
                    f"{_PACKAGE}.operators.segment",
                    f"{_PACKAGE}.operators.report",
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
        "connection-types": [_looker_connection(), _segment_connection()],
        "cli": [f"{_PACKAGE}.cli.get_cli_commands"],
    }


def _looker_connection() -> dict[str, Any]:
    return {
        "connection-type": "looker",
        "hook-class-name": f"{_PACKAGE}.hooks.looker.LookerHook",
        "hook-name": "Looker",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "extra"],
            "relabeling": {"host": "URL", "login": "Client ID", "password": "Client secret"},
            "placeholders": {
                "host": "https://company.cloud.looker.com",
                "port": "empty, or 19999 for older instances",
            },
        },
        "conn-fields": {
            "verify_ssl": {
                "label": "Verify TLS",
                "description": "Check the certificate of the Looker instance.",
                "schema": {"type": "boolean", "default": True},
            },
            "ca_bundle": {
                "label": "CA bundle",
                "description": "Path, on the worker, of a file with certificate authorities.",
                "schema": {"type": ["string", "null"], "default": ""},
            },
            "timeout": {
                "label": "Timeout in seconds",
                "description": "How long to wait for the first row, or for the next one.",
                "schema": {"type": "integer", "default": 600, "minimum": 1},
            },
        },
    }


def _segment_connection() -> dict[str, Any]:
    return {
        "connection-type": "segment_source",
        "hook-class-name": f"{_PACKAGE}.hooks.segment.SegmentHook",
        "hook-name": "Segment source",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login", "port", "extra"],
            "relabeling": {"host": "Host", "password": "Write key"},
            "placeholders": {"host": "empty for the region's own host"},
        },
        "conn-fields": {
            "region": {
                "label": "Region",
                "description": "Of the Segment workspace. Segment has Looker sources in US "
                "workspaces only; in an EU workspace use the write key of an HTTP API source.",
                "schema": {"type": "string", "enum": ["us", "eu"], "default": "us"},
            },
            "ca_bundle": {
                "label": "CA bundle",
                "description": "Path, on the worker, of a file with certificate authorities.",
                "schema": {"type": ["string", "null"], "default": ""},
            },
            "send": {
                "label": "Send",
                "description": "Off makes every run a dry run, for staging.",
                "schema": {"type": "boolean", "default": True},
            },
        },
    }
