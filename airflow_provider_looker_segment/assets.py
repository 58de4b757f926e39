"""Looks and cohorts as Airflow assets, for DAGs that wait for a cohort.

Connection ids and Look ids enter, assets leave; each has one name and one URI, made here alone,
because Airflow refuses two names for one URI. Connection ids stand for the two systems: a DAG file
knows them without asking anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import SplitResult

from airflow.sdk import Asset, AssetAlias

if TYPE_CHECKING:
    from airflow.sdk import Context


def create_asset(
    scheme: Literal["looker", "segment"],
    *,
    conn_id: str,
    look_id: str | int,
    extra: dict[str, Any] | None = None,
) -> Asset:
    """Return the asset of a Look, or of its cohort in a Segment source.

    >>> create_asset("segment", conn_id="segment_default", look_id=42).uri
    'segment://segment_default/looks/42'

    :param scheme: ``looker`` for the Look itself, ``segment`` for its cohort in the source.
    :param conn_id: of the connection through which it is read, or sent.
    :param extra: whatever else is to be known of it.
    """
    # Airflow allows connection ids such as "team/looker"; either sign would end the URI's host.
    host = conn_id.replace("/", "%2F").replace("#", "%23")
    uri = f"{scheme}://{host}/looks/{look_id}"
    return Asset(name=uri, uri=uri, group="looker_segment", extra=extra or {})


def any_cohort(conn_id: str) -> AssetAlias:
    """Return what stands for every Look's cohort that reaches a source.

    Reports announce cohorts through it, so that a DAG may wait for one Look's cohort, or for any.
    """
    return AssetAlias(name=f"segment://{conn_id}/looks", group="looker_segment")


def announce(context: Context, *, conn_id: str, report: Mapping[str, Any]) -> None:
    """Let DAGs know that a cohort reached Segment, with the report as the event's extra.

    A dry run reaches nobody and is not announced.
    """
    if report["dry_run"]:
        return
    asset = create_asset("segment", conn_id=conn_id, look_id=report["look"]["id"])
    context["outlet_events"][any_cohort(conn_id)].add(asset, extra=dict(report))


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check an asset's URI, as Airflow asks for every scheme of a provider.

    :raises ValueError: when it names no connection, or no Look.
    """
    parts = uri.path.strip("/").split("/")
    if not uri.netloc or len(parts) != 2 or parts[0] != "looks" or not parts[1]:
        raise ValueError(f"{uri.scheme}:// should name a connection and a Look: use create_asset()")
    return uri._replace(path="/" + "/".join(parts))
