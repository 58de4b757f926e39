"""Rules of the Looker stand-in, as the real SDK and plain HTTP clients meet it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import requests
from looker_sdk.error import SDKError

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.looker import create_looker_app
from airflow_provider_looker_segment.sandbox.server import AppServer

from .conftest import CLIENT_ID, CLIENT_SECRET, Api, expect_error


def login(url: str, **options: Any) -> requests.Response:
    """Sign in as told."""
    return requests.post(f"{url}/api/4.0/login", timeout=10, **options)


class TestSigningIn:
    """Credentials become tokens, and tokens end."""

    @pytest.mark.parametrize("place", ["data", "json", "params"])
    def test_credentials_are_taken_from_form_body_and_query(
        self, looker_url: str, place: str
    ) -> None:
        """All three documented places for credentials work."""
        given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
        body = login(looker_url, **{place: given}).json()

        assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
        assert body["access_token"]

    def test_wrong_credentials_are_not_found(self, looker_url: str) -> None:
        """Looker says 404 to wrong credentials, and 400 to none."""
        wrong = {"client_id": CLIENT_ID, "client_secret": "wrong"}

        assert expect_error(login(looker_url, data=wrong), 404)["message"] == "Not found"
        expect_error(login(looker_url), 400)

    @pytest.mark.parametrize("scheme", ["Bearer", "token", "bearer"])
    def test_both_schemes_introduce_a_token(self, looker_url: str, scheme: str) -> None:
        """`Authorization: token …` works as `Bearer …` does."""
        assert Api(looker_url, scheme).get("/user").json()["id"] == "1"

    @pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic abc", "Bearer"])
    def test_without_a_token_nothing_answers(self, looker_url: str, header: str) -> None:
        """Every endpoint but login and versions asks for a token first."""
        for path in ("/looks", "/queries/x", "/query_tasks/x", "/user", "/lookml_models"):
            answer = requests.get(
                f"{looker_url}/api/4.0{path}", headers={"Authorization": header}, timeout=10
            )
            assert expect_error(answer, 401)["message"] == "Requires authentication."

    @pytest.mark.parametrize("path", ["//api/logout", "/logout"])
    def test_logout_kills_the_token(self, api: Api, path: str) -> None:
        """Both ways to log out answer 204, and the token is dead."""
        assert api.send("DELETE", path).status_code == 204
        expect_error(api.get("/user"), 401)

    def test_tokens_expire(self, shop: Dataset) -> None:
        """A token is dead after the seconds that login told."""
        app = create_looker_app(
            shop, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, token_seconds=1
        )
        server = AppServer("looker", app)
        api = Api(server.url)
        assert api.get("/user").status_code == 200
        time.sleep(1.1)
        expect_error(api.get("/user"), 401)
        server.close()

    def test_all_tokens_can_be_killed(self, api: Api) -> None:
        """The control endpoint ends every session at once."""
        api.send("POST", "//_sandbox/tokens", json={"expire": True})

        expect_error(api.get("/user"), 401)

    def test_sudo(self, sdk: Any) -> None:
        """The SDK can act as another user, and come back."""
        sdk.auth.login_user(7)
        assert (sdk.me().id, sdk.session().sudo_user_id) == ("7", "7")
        sdk.auth.logout()
        assert (sdk.me().id, sdk.session().workspace_id) == ("1", "production")

    def test_the_sdk_signs_in_and_out(self, sdk: Any) -> None:
        """The real SDK's own session handling works against the stand-in."""
        with sdk:
            assert sdk.versions().looker_release_version.startswith("26.")
            assert sdk.me().email == "user-1@example.com"

    def test_versions_need_no_token(self, looker_url: str) -> None:
        """Both addresses of the versions answer to anybody."""
        for path in ("/versions", "/api/4.0/versions"):
            body = requests.get(looker_url + path, timeout=10).json()
            assert body["current_version"]["version"] == "4.0"


class TestLooks:
    """Saved Looks and how they are found."""

    def test_all_looks_leave_out_deleted_ones(self, sdk: Any) -> None:
        """The list holds living Looks, without their queries; ids are text."""
        looks = sdk.all_looks()

        assert [look.id for look in looks] == ["1", "2", "4", "5", "6"]
        assert "query" not in {key for look in looks for key in look.__dict__ if look[key]}

    def test_a_look_carries_its_query(self, sdk: Any) -> None:
        """A Look's query has its saved limit and what only saved queries have."""
        look = sdk.look("1")

        assert (look.title, look.model.id, look.deleted) == ("Everybody", "shop", False)
        assert (look.query.limit, look.query.fields[0]) == ("2", "people.id")
        assert re.fullmatch(r"[0-9A-Za-z]{22}", look.query.id)
        assert look.query_id == look.query.id == look.query.slug
        assert re.fullmatch(r"[0-9A-Za-z]{22}", look.query.client_id)
        assert sdk.look("2").query.filter_config["orders.ordered_date"][0]["type"] == "advanced"
        assert sdk.look("6").query.has_table_calculations is True

    def test_users_are_who_signs_in(self, sdk: Any) -> None:
        """The address that `/user` tells leads somewhere; lists and searches find the user too."""
        assert sdk.user(sdk.me().id) == sdk.me()
        assert ["1"] == [user.id for user in sdk.all_users(fields="id,email")]
        assert ["1"] == [user.id for user in sdk.search_users(email="%@example.com")]
        assert [] == list(sdk.search_users(last_name="Nobody"))
        assert sdk.me(fields="id").email is None
        with pytest.raises(SDKError, match="Not found"):
            sdk.user("nobody")

    def test_fields_choose_what_is_returned(self, api: Api) -> None:
        """`fields` narrows at every depth."""
        wanted = "id,title,query(model,vis_config(show_view_names)),model(id)"

        assert api.get("/looks/1", fields=wanted).json() == {
            "id": "1",
            "title": "Everybody",
            "model": {"id": "shop"},
            "query": {"model": "shop", "vis_config": {"show_view_names": False}},
        }
        assert api.get("/looks", fields="id").json()[0] == {"id": "1"}
        assert api.get("/looks/1", fields="id,query.model").json() == {"id": "1"}
        expect_error(api.get("/looks", fields="id,query(id"), 400)

    def test_deleted_and_unknown_looks(self, api: Api) -> None:
        """A deleted Look can be seen but not run; an unknown one is neither."""
        assert api.get("/looks/3").json()["deleted"] is True
        expect_error(api.get("/looks/3/run/json"), 404)
        expect_error(api.get("/looks/99"), 404)
        expect_error(api.get("/looks/99/run/json"), 404)

    @pytest.mark.parametrize(
        ("search", "expected"),
        [
            ({"title": "everybody"}, ["1"]),
            ({"title": "%R%"}, ["1", "2", "4", "6"]),
            ({"title": "Brok_n"}, ["4"]),
            ({"title": "re%", "id": "6"}, ["6"]),
            ({"title": "Brok_n", "id": "6", "filter_or": "true"}, ["4", "6"]),
            ({"deleted": "true"}, ["3"]),
            ({"description": "NULL", "limit": "2"}, ["1", "2"]),
            ({"sorts": "title desc"}, ["6", "2", "1", "4", "5"]),
            ({"sorts": "title", "limit": "2", "offset": "1"}, ["4", "1"]),
            ({"page": "2", "per_page": "2"}, ["4", "5"]),
            ({"title": "nothing"}, []),
        ],
    )
    def test_search(self, api: Api, search: dict[str, str], expected: list[str]) -> None:
        """A search compares as LIKE does, without case, and can be sorted and paged."""
        found = api.get("/looks/search", **search)

        assert expected == [look["id"] for look in found.json()]

    def test_search_by_folder_with_the_sdk(self, sdk: Any) -> None:
        """The SDK finds Looks by the id of their folder."""
        folder_id = sdk.look("2").folder_id

        assert [look.id for look in sdk.search_looks(folder_id=folder_id)] == ["2"]

    def test_wrong_search_is_invalid(self, api: Api) -> None:
        """Numbers that are none and unknown sorts are named."""
        body = expect_error(api.get("/looks/search", limit="many"), 422)

        assert body["errors"][0]["field"] == "limit"
        expect_error(api.get("/looks/search", sorts="shoe_size"), 422)
        expect_error(api.get("/looks/search", deleted="maybe"), 422)


class TestModel:
    """The model behind the Looks."""

    def test_explore_fields(self, sdk: Any) -> None:
        """An explore lists its fields by category, with labels, tags and types."""
        explore = sdk.lookml_model_explore("shop", "people")
        fields = {
            field.name: field
            for section in ("dimensions", "measures", "filters", "parameters")
            for field in explore.fields[section]
        }

        assert (explore.id, explore.has_timezone_support) == ("shop::people", True)
        found = fields["people.id"]
        assert (found.label, found.label_short, found.view_label) == ("People ID", "ID", "People")
        assert (found.tags, found.primary_key, found.measure) == (["user_id"], True, False)
        assert fields["orders.person"].hidden is True
        assert fields["orders.ordered_date"].time_interval.name.value == "day"
        assert fields["orders.ordered_date"].convert_tz is True
        assert fields["people.joined_date"].convert_tz is False
        assert fields["people.total_spent"].is_numeric is True
        assert fields["people.greeting"].parameter is True
        assert fields["people.wanted_city"].is_filter is True
        assert fields["people.id"].week_start_day.value == "monday"
        assert fields["people.id"].fiscal_month_offset == 3

    def test_explore_fields_can_be_narrowed(self, api: Api) -> None:
        """`fields` reaches into the lists of fields."""
        path = "/lookml_models/shop/explores/big"

        assert api.get(path, fields="fields(dimensions(name,tags),parameters(name))").json() == {
            "fields": {
                "dimensions": [
                    {"name": "big.id", "tags": ["user_id"]},
                    {"name": "big.email", "tags": ["email"]},
                ],
                "parameters": [],
            }
        }

    def test_filters_of_the_explore(self, sdk: Any) -> None:
        """The filters that an explore always adds are listed."""
        explore = sdk.lookml_model_explore("shop", "active_people")

        assert [(one.name, one.value) for one in explore.always_filter] == [
            ("people.city", "-EMPTY")
        ]

    def test_models(self, sdk: Any, api: Api) -> None:
        """There is one model; others, and unknown explores, are not found."""
        assert [model.name for model in sdk.all_lookml_models()] == ["shop"]
        assert "active_people" in [one.name for one in sdk.lookml_model("shop").explores]
        expect_error(api.get("/lookml_models/other"), 404)
        expect_error(api.get("/lookml_models/shop/explores/other"), 404)
        expect_error(api.get("/lookml_models/other/explores/people"), 404)


class TestControl:
    """What tests ask of the stand-in."""

    def test_requests_are_recorded_without_secrets(self, looker_url: str, looker_app: Any) -> None:
        """Each request is listed with its path and query; secrets are left out."""
        login(looker_url, params={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        Api(looker_url).get("/looks/1/run/json", limit=1)
        listed = requests.get(f"{looker_url}/_sandbox/requests", timeout=10)

        assert listed.json() == looker_app.state.requests
        assert [(one["method"], one["path"], one["status"]) for one in listed.json()] == [
            ("POST", "/api/4.0/login", 200),
            ("POST", "/api/4.0/login", 200),
            ("GET", "/api/4.0/looks/1/run/json", 200),
        ]
        assert listed.json()[-1]["query"] == "limit=1"
        assert "secret" not in listed.text

    def test_reset_forgets_requests_and_tasks_but_not_sessions(self, api: Api) -> None:
        """After a reset the list is empty, and clients are still signed in."""
        api.get("/looks")
        assert api.send("POST", "//_sandbox/reset").status_code == 204
        assert api.send("GET", "//_sandbox/requests").json() == []
        assert api.get("/user").status_code == 200

    def test_wrong_orders_are_refused(self, api: Api) -> None:
        """Control endpoints name what they do not understand."""
        expect_error(api.send("POST", "//_sandbox/tokens", json={}), 422)
        expect_error(api.send("POST", "//_sandbox/query_tasks", json={"outcome": "odd"}), 422)
        expect_error(api.send("POST", "//_sandbox/query_tasks", json={"poll": 1}), 422)

    def test_apps_share_nothing(self, shop: Dataset) -> None:
        """Two stand-ins over one dataset know nothing of each other's clients."""
        servers = [
            AppServer(
                "looker",
                create_looker_app(shop, client_id=CLIENT_ID, client_secret=CLIENT_SECRET),
            )
            for _ in range(2)
        ]
        first = Api(servers[0].url)
        first.url = servers[1].url
        expect_error(first.get("/user"), 401)
        for server in servers:
            server.close()

    def test_a_page_for_people(self, looker_url: str) -> None:
        """The root shows the Looks to a person."""
        page = requests.get(looker_url, timeout=10)

        assert page.headers["content-type"].startswith("text/html")
        assert "Recent orders" in page.text
        assert "Gone" not in page.text
