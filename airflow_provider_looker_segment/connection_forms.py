"""The forms of the two connection types, as data.

Nothing enters, what Airflow's API server needs for a form leaves; no hook is imported for it.
Airflow masks a saved value in ``password``, and in an extra only where its name says that it is
secret, as ``oauth_private_key`` does.
Both forms ask for the port, although HTTPS has one: Airflow 3.3.2 sends 0 for a
port that is empty, and refuses to test what differs from the saved connection. A form gives its
standard fields no defaults, so the placeholder says it.
"""

from __future__ import annotations

from typing import Any

_PACKAGE = __name__.rpartition(".")[0]

_CA_BUNDLE = {
    "label": "CA bundle",
    "description": "Path, on the worker, of a file with certificate authorities of your own.",
    "schema": {"type": ["string", "null"], "default": None},
}


def looker_form() -> dict[str, Any]:
    """Return the connection type ``looker`` and its form."""
    return {
        "connection-type": "looker",
        "hook-class-name": f"{_PACKAGE}.hooks.looker.LookerHook",
        "hook-name": "Looker",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "extra"],
            "relabeling": {"host": "URL", "login": "Client ID", "password": "Client secret"},
            "placeholders": {
                "host": "https://company.cloud.looker.com",
                "port": "443 (Test Connection needs it); 19999 for older instances",
                "login": "of an API key, made in Looker under Admin, Users",
                "password": "of the same API key",
            },
        },
        "conn-fields": {
            "verify_ssl": {
                "label": "Verify TLS",
                "description": "Check the certificate of the Looker instance.",
                "schema": {"type": "boolean", "default": True},
            },
            "ca_bundle": _CA_BUNDLE,
            "timeout": {
                "label": "Timeout in seconds",
                "description": "How long to wait for the first row, or for the next one.",
                "schema": {"type": "integer", "default": 600, "minimum": 1},
            },
            "sudo_user_id": {
                "label": "Act as user",
                "description": "The number of a Looker user whose rights and rows count instead "
                "of the API key's own; the key must be an administrator's.",
                "schema": {"type": ["string", "null"], "pattern": "^[0-9]*$", "default": None},
            },
        },
    }


def segment_form() -> dict[str, Any]:
    """Return the connection type ``segment_source`` and its form."""
    return {
        "connection-type": "segment_source",
        "hook-class-name": f"{_PACKAGE}.hooks.segment.SegmentHook",
        "hook-name": "Segment source",
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "login", "extra"],
            "relabeling": {"host": "Host", "password": "Write key"},
            "placeholders": {
                "host": "empty for the region's own host",
                "port": "443 (Test Connection needs it)",
                "password": "in Segment: the source, Settings, API Keys",
            },
        },
        "conn-fields": {
            "region": {
                "label": "Region",
                "description": "Of the Segment workspace. The source type Looker exists in US "
                "workspaces only; in an EU workspace use the write key of an HTTP API source.",
                "schema": {"type": "string", "enum": ["us", "eu"], "default": "us"},
            },
            "send": {
                "label": "Send",
                "description": "Off makes every run with this connection a dry run, for staging.",
                "schema": {"type": "boolean", "default": True},
            },
            "workspace": {
                "label": "Workspace slug",
                "description": "From the address of your workspace, "
                "app.segment.com/<workspace>, for links from tasks into Segment.",
                "schema": {"type": ["string", "null"], "default": None},
            },
            "source": {
                "label": "Source slug",
                "description": "From the address of the source, "
                "app.segment.com/<workspace>/sources/<source>, for links and lineage.",
                "schema": {"type": ["string", "null"], "default": None},
            },
            "ca_bundle": _CA_BUNDLE,
            "oauth_client_id": {
                "label": "OAuth client ID",
                "description": "Only if the source wants OAuth in addition to its write key.",
                "schema": {"type": ["string", "null"], "default": None},
            },
            "oauth_key_id": {
                "label": "OAuth key ID",
                "description": "The id of the public key, as Segment shows it.",
                "schema": {"type": ["string", "null"], "default": None},
            },
            "oauth_private_key": {
                "label": "OAuth private key",
                "description": "The whole PEM file, from its BEGIN line to its END line.",
                "schema": {"type": ["string", "null"], "format": "multiline", "default": None},
            },
        },
    }
