"""Which destinations a message reaches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_looker_segment.sandbox.routing import Router

CONNECTED = ("Braze", "Zendesk", "Salesforce")


@pytest.mark.parametrize(
    ("integrations", "names", "unknown"),
    [
        pytest.param(None, ["Braze", "Zendesk"], (), id="absent"),
        pytest.param({}, ["Braze", "Zendesk"], (), id="empty"),
        pytest.param([], ["Braze", "Zendesk"], (), id="not an object"),
        pytest.param({"All": True}, ["Braze", "Zendesk"], (), id="All leaves Salesforce out"),
        pytest.param({"All": False}, [], (), id="nobody"),
        pytest.param({"All": False, "Zendesk": True}, ["Zendesk"], (), id="only one"),
        pytest.param({"Braze": False}, ["Zendesk"], (), id="muted"),
        pytest.param({"Salesforce": True}, list(CONNECTED), (), id="opted in"),
        pytest.param({"Salesforce": {"a": 1}}, list(CONNECTED), (), id="opted in by options"),
        pytest.param({"braze": False}, ["Braze", "Zendesk"], ("braze",), id="wrong case"),
        pytest.param({"HubSpot": True}, ["Braze", "Zendesk"], ("HubSpot",), id="not connected"),
    ],
)
def test_integrations_choose_the_destinations(
    integrations: Any, names: list[str], unknown: tuple[str, ...]
) -> None:
    """Names count exactly as spelt; what is not connected is UNKNOWN_INTEGRATION."""
    router = Router(CONNECTED)

    route = router.route(integrations)

    assert names == router.names(route.bits)
    assert unknown == route.unknown


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*CONNECTED, "All", "Other"]), st.booleans() | st.just({"option": 1})
    )
)
def test_a_muted_destination_never_receives(integrations: dict[str, Any]) -> None:
    """Whatever else the object says, a name with false is not reached, one with true is."""
    router = Router(CONNECTED)

    reached = router.names(router.route(integrations).bits)

    for name in CONNECTED:
        if name in integrations:
            assert (integrations[name] is not False) == (name in reached)
