"""Assets: one name for one URI, and an event for each cohort that reached Segment."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from airflow.models.connection import sanitize_conn_id

from airflow_provider_looker_segment.assets import any_cohort, create_asset, sanitize_uri
from tests.operators.conftest import Outcome


def events() -> dict[str, list[dict[str, Any]]]:
    """Return the extras of all asset events, newest first, by URI."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    found: dict[str, list[dict[str, Any]]] = {}
    with create_session() as session:
        for event in session.scalars(select(AssetEvent).order_by(AssetEvent.id.desc())):
            found.setdefault(event.asset.uri, []).append(event.extra)
    return found


@pytest.mark.airflow
def test_a_cohort_that_arrived_is_announced_with_its_report(
    run_look: Callable[..., Outcome],
) -> None:
    """The event's extra is the report, so that whoever waits for it knows the numbers."""
    outcome = run_look("42")
    uri = create_asset("segment", conn_id="segment_default", look_id="42").uri

    (extra, *_) = events()[uri]
    assert outcome.report["accepted"] == extra["accepted"] > 2_000
    assert extra == json.loads(json.dumps(outcome.report))


@pytest.mark.airflow
@pytest.mark.parametrize("choices", [{"dry_run": True}, {"look_id": "48"}])
def test_what_did_not_arrive_is_not_announced(
    run_look: Callable[..., Outcome], choices: dict[str, Any]
) -> None:
    """Neither a dry run nor a failed one starts a DAG that waits for a cohort."""
    before = {uri: len(extras) for uri, extras in events().items()}

    run_look(**choices)

    assert before == {uri: len(extras) for uri, extras in events().items()}


def test_an_assets_name_is_its_uri() -> None:
    """Two DAGs that mean the same never disagree."""
    for scheme in ("looker", "segment"):
        asset = create_asset(scheme, conn_id="My_Conn", look_id=42)  # type: ignore[arg-type]

        assert f"{scheme}://My_Conn/looks/42" == asset.uri == asset.name
    assert any_cohort("a") == any_cohort("a")


@pytest.mark.parametrize("conn_id", ["team/looker", "looker#2", r"team\\looker", "a.b:c-(d)!"])
def test_each_id_that_airflow_allows_has_an_asset_of_its_own(conn_id: str) -> None:
    """Secrets backends have folders; no id becomes that of another connection."""
    assert conn_id == sanitize_conn_id(conn_id)
    uri = create_asset("looker", conn_id=conn_id, look_id=42).uri

    assert conn_id == unquote(uri.removeprefix("looker://").removesuffix("/looks/42"))


@pytest.mark.parametrize(
    "uri", ["segment://", "segment://c", "segment://c/42", "looker:///looks/4"]
)
def test_other_uris_are_refused(uri: str) -> None:
    """A misspelt URI would be waited for in vain."""
    with pytest.raises(ValueError, match="create_asset"):
        sanitize_uri(urlsplit(uri))


def test_airflow_knows_the_schemes() -> None:
    """Both schemes have a handler and a factory."""
    try:
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as Manager
    except ImportError:
        from airflow.providers_manager import ProvidersManager as Manager

    manager = Manager()

    for scheme in ("looker", "segment"):
        assert sanitize_uri is manager.asset_uri_handlers[scheme]
        assert create_asset is manager.asset_factories[scheme]
