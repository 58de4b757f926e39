"""Rules of running queries and query tasks, as clients of the Looker stand-in meet them."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from looker_sdk import models40
from looker_sdk.error import SDKError
from looker_sdk.rtl.model import DelimSequence

from .conftest import Api, expect_error

EVERYBODY = {"model": "shop", "view": "people", "fields": ["people.id"], "sorts": ["people.id"]}
IDS = ["0007", "123456789012345678901", "17850.0", "x-1"]


class TestQueries:
    """Queries, saved and inline."""

    def test_run_look_keeps_the_saved_limit(self, sdk: Any) -> None:
        """Without a limit of its own, running a Look is cut at the Look's."""
        assert len(json.loads(sdk.run_look("1", "json"))) == 2
        assert len(json.loads(sdk.run_look("1", "json", limit=-1))) == 4
        assert len(json.loads(sdk.run_look("1", "json", limit=3))) == 3

    def test_a_look_runs_at_the_sandboxs_today(self, sdk: Any) -> None:
        """Relative filters are relative to the dataset's today."""
        assert json.loads(sdk.run_look("2", "json")) == [
            {"people.id": "0007", "orders.count": 2},
            {"people.id": "17850.0", "orders.count": 1},
        ]

    def test_the_same_query_has_the_same_id(self, sdk: Any) -> None:
        """Creating a query twice gives one id, 22 letters and digits; another has another."""
        query = models40.WriteQuery(**EVERYBODY)

        first = sdk.create_query(query)
        assert first.id == sdk.create_query(query, fields="id,model,view").id
        assert re.fullmatch(r"[0-9A-Za-z]{22}", first.id)
        query.limit = "7"
        assert sdk.create_query(query).id != first.id

    def test_queries_are_found_and_run_by_id(self, sdk: Any, api: Api) -> None:
        """A created query can be read by id and by slug, and run."""
        created = sdk.create_query(models40.WriteQuery(**EVERYBODY))

        assert sdk.query(created.id).fields == ["people.id"]
        assert sdk.query_for_slug(created.slug).id == created.id
        rows = json.loads(sdk.run_query(created.id, "json"))
        assert [row["people.id"] for row in rows] == IDS
        expect_error(api.get("/queries/1234"), 404)
        expect_error(api.get("/queries/1234/run/json"), 404)

    def test_inline_queries_take_other_filters(self, sdk: Any) -> None:
        """The copy of a Look's query with other filters gives other rows."""
        query = sdk.look("2").query
        copied = models40.WriteQuery(
            model=query.model,
            view=query.view,
            fields=query.fields,
            filters={"orders.ordered_date": "2019-05-01 to 2019-06-01"},
        )

        assert json.loads(sdk.run_inline_query("json", copied)) == [
            {"people.id": "x-1", "orders.count": 1}
        ]

    def test_a_copied_filter_config_brings_the_old_filters_back(self, api: Api) -> None:
        """A client that copies `filter_config` as well does not get its own filters."""
        query = api.get("/looks/2").json()["query"]
        query["filters"] = {"orders.ordered_date": "2019-05-01 to 2019-06-01"}
        del query["client_id"]
        answer = api.send("POST", "/queries/run/json", json=query)

        assert [row["people.id"] for row in answer.json()] == ["0007", "17850.0"]

    def test_a_copied_client_id_is_taken(self, api: Api) -> None:
        """`client_id` belongs to one query only."""
        client_id = api.get("/looks/1").json()["query"]["client_id"]
        body = expect_error(
            api.send("POST", "/queries", json={**EVERYBODY, "client_id": client_id}), 422
        )

        assert body["errors"][0]["field"] == "client_id"

    def test_queries_in_the_url(self, api: Api) -> None:
        """A query can be written as parameters."""
        answer = api.send(
            "GET",
            "/queries/models/shop/views/people/run/json"
            "?fields=people.id,orders.count&f[people.city]=Ulm,Köln&sorts=people.id&limit=2",
        )

        assert answer.json() == [
            {"people.id": "0007", "orders.count": 2},
            {"people.id": "123456789012345678901", "orders.count": 0},
        ]

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"fields": ["a"]}, ["model", "view"]),
            ({**EVERYBODY, "fields": "people.id"}, ["fields"]),
            ({**EVERYBODY, "filters": ["x"], "limit": "many"}, ["filters", "limit"]),
            ({**EVERYBODY, "client_id": "short"}, ["client_id"]),
            ({**EVERYBODY, "pivots": {"a": 1}}, ["pivots"]),
            ({**EVERYBODY, "pivots": [["a"]]}, ["pivots"]),
            ({**EVERYBODY, "fields": [1]}, ["fields"]),
            ({**EVERYBODY, "filters": {"people.id": ["x"]}}, ["filters"]),
            *(
                ({**EVERYBODY, "filter_config": {"people.id": entries}}, ["filter_config"])
                for entries in (
                    *(None, {"a": 1}, [{}], ["x"], [{"type": "advanced"}]),
                    [{"type": "advanced", "values": []}],
                    [{"type": "advanced", "values": [{}]}],
                )
            ),
            ([], ["body"]),
        ],
    )
    def test_invalid_queries_are_named(self, api: Api, body: Any, fields: list[str]) -> None:
        """A 422 lists each field that is wrong."""
        for path in ("/queries", "/queries/run/json"):
            errors = expect_error(api.send("POST", path, json=body), 422)["errors"]
            assert fields == [error["field"] for error in errors]
            assert all(error["code"] and error["documentation_url"] for error in errors)

    def test_numbers_and_switches_filter(self, api: Api) -> None:
        """JSON's own 0 is an expression like any other, null is none."""
        query = {**EVERYBODY, "fields": ["people.id", "orders.count"], "sorts": ["people.id"]}

        rows = api.run("json", {**query, "filters": {"orders.count": 0, "people.city": None}})

        assert ["123456789012345678901"] == [row["people.id"] for row in rows]

    def test_a_limit_may_be_larger_than_any_table(self, api: Api) -> None:
        """It is no limit at all, however many digits it has."""
        assert 4 == len(api.run("json", {**EVERYBODY, "limit": "9" * 30}))
        assert 4 == len(api.run("json", EVERYBODY, limit="9" * 30))

    def test_other_content_types_are_refused(self, api: Api) -> None:
        """A query that says it is a form is not read as JSON."""
        answer = api.send(
            "POST",
            "/queries",
            data=json.dumps(EVERYBODY),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

        expect_error(answer, 400)
        expect_error(
            api.send("POST", "/queries", data="{", headers={"Content-Type": "application/json"}),
            400,
        )

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"view": "nowhere"}, 404),
            ({"model": "nowhere"}, 404),
            ({"fields": ["people.nothing"]}, 400),
            ({"filters": {"orders.ordered_date": "some time ago"}}, 400),
            ({"dynamic_fields": '[{"measure": "m", "type": "percentile"}]'}, 422),
        ],
    )
    def test_what_cannot_be_planned(self, api: Api, query: dict[str, Any], status: int) -> None:
        """Unknown explores, fields and filters are errors, never silently dropped."""
        answer = api.send("POST", "/queries/run/json", json={**EVERYBODY, **query})

        expect_error(answer, status)

    def test_wrong_parameters(self, api: Api) -> None:
        """Formats and parameters that are none are refused."""
        expect_error(api.get("/looks/1/run/xlsx"), 400)
        expect_error(api.get("/looks/1/run/json", limit="all"), 422)
        expect_error(api.get("/looks/1/run/json", cache="perhaps"), 422)
        expect_error(api.get("/nothing/here"), 404)
        expect_error(api.send("PUT", "/looks/1"), 405)

    def test_table_calculations_need_the_parameter(self, sdk: Any) -> None:
        """Without `server_table_calcs` a calculation is missing from the result."""
        without = json.loads(sdk.run_look("6", "json"))[0]
        computed = json.loads(sdk.run_look("6", "json", server_table_calcs=True))[0]

        assert list(without) == ["people.id", "people.email"]
        assert computed == {**without, "mail": "ada@example.com"}

    def test_sql_errors_are_successes(self, sdk: Any) -> None:
        """A query that the database refuses answers 200, with the error inside."""
        assert "looker_error" in json.loads(sdk.run_look("4", "json"))[0]
        assert json.loads(sdk.run_look("4", "json_detail"))["errors"]

    def test_sdk_errors_are_parsed(self, sdk: Any) -> None:
        """The SDK understands the stand-in's errors and asks nobody else about them."""
        with pytest.raises(SDKError) as caught:
            sdk.run_inline_query("json", models40.WriteQuery(model="shop", view=""))

        assert caught.value.message == "Validation Failed"
        assert caught.value.errors[0].field == "view"

    def test_content_types(self, api: Api) -> None:
        """Each format says what it is, in UTF-8."""
        for result_format, expected in (
            ("json", "application/json; charset=utf-8"),
            ("json_detail", "application/json; charset=utf-8"),
            ("csv", "text/csv; charset=utf-8"),
            ("txt", "text/plain; charset=utf-8"),
        ):
            answer = api.get(f"/looks/1/run/{result_format}", limit=-1)
            assert expected == answer.headers["content-type"]
            if result_format != "json_detail":
                assert "李娜" in answer.content.decode("utf-8")

    def test_results_are_streamed(self, api: Api) -> None:
        """The first rows of a million arrive long before the last, and the reader may leave."""
        with api.send("GET", "/looks/5/run/json", params={"limit": -1}, stream=True) as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            assert next(answer.iter_lines()) == b'[{"big.id":1,"big.email":"user1@example.com"},'
        assert api.get("/looks/5/run/csv").text.count("\n") == 501

    @pytest.mark.slow
    def test_a_million_rows_arrive(self, api: Api) -> None:
        """A Look of a million rows comes whole."""
        with api.send("GET", "/looks/5/run/csv", params={"limit": -1}, stream=True) as answer:
            lines = sum(piece.count(b"\n") for piece in answer.iter_content(1 << 16))

        assert lines == 1_000_001


class TestQueryTasks:
    """Queries that run while the client does something else."""

    def rules(self, api: Api, **rules: Any) -> None:
        """Tell the stand-in how tasks go."""
        assert api.send("POST", "//_sandbox/query_tasks", json=rules).status_code == 204

    def create(self, api: Api, result_format: str = "json", **query: Any) -> str:
        """Create a task over people and return its id."""
        query_id = api.send("POST", "/queries", json={**EVERYBODY, **query}).json()["id"]
        body = {"query_id": query_id, "result_format": result_format}
        answer = api.send("POST", "/query_tasks", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]

    def test_with_the_sdk(self, sdk: Any) -> None:
        """The SDK creates a task, waits for it and reads its results."""
        query = sdk.create_query(models40.WriteQuery(**EVERYBODY))
        task = sdk.create_query_task(
            models40.WriteCreateQueryTask(
                query_id=query.id, result_format=models40.ResultFormat.json
            ),
            limit=1,
        )

        assert task.status == "added"
        assert sdk.query_task_results(task.id) == ""
        assert sdk.query_task(task.id).status == "complete"
        assert json.loads(sdk.query_task_results(task.id)) == [{"people.id": "0007"}]
        both = sdk.query_task_multi_results(DelimSequence([task.id, "unknown"]))
        assert both[task.id] == {"status": "complete", "data": [{"people.id": "0007"}]}
        assert both["unknown"] == {"status": "missing"}

    def test_polls(self, api: Api) -> None:
        """A task is added, then running, then complete after so many questions."""
        self.rules(api, polls=3)
        task_id = self.create(api)

        statuses = [api.get(f"/query_tasks/{task_id}").json()["status"] for _ in range(5)]

        assert statuses == ["added", "running", "running", "complete", "complete"]

    def test_seconds(self, api: Api) -> None:
        """A task may take time instead of questions; results are empty until then."""
        self.rules(api, polls=0, seconds=0.5)
        task_id = self.create(api)

        early = api.get(f"/query_tasks/{task_id}/results")
        assert (early.status_code, early.content) == (202, b"")
        time.sleep(0.6)
        assert len(api.get(f"/query_tasks/{task_id}/results").json()) == 4

    @pytest.mark.parametrize(
        ("outcome", "result_format", "status"),
        [
            ("error", "json", 400),
            ("error", "json_detail", 200),
            ("failure", "csv", 400),
            ("expired", "json", 404),
            ("killed", "json_detail", 404),
        ],
    )
    def test_outcomes(self, api: Api, outcome: str, result_format: str, status: int) -> None:
        """Tasks can end badly, each in the documented way."""
        self.rules(api, polls=0, outcome=outcome)
        task_id = self.create(api, result_format)

        assert api.get(f"/query_tasks/{task_id}").json()["status"] == outcome
        answer = api.get(f"/query_tasks/{task_id}/results")
        assert answer.status_code == status
        if status == 200:
            assert answer.json()["errors"]
        else:
            expect_error(answer, status)

    def test_a_query_that_fails_is_a_task_that_fails(self, api: Api) -> None:
        """An SQL error makes the task end in error; only json_detail answers 200."""
        self.rules(api, polls=0)
        flat = self.create(api, "json", fields=["people.broken"])
        detail = self.create(api, "json_detail", fields=["people.broken"])

        assert api.get(f"/query_tasks/{flat}").json()["status"] == "error"
        assert (
            "no such column"
            in expect_error(api.get(f"/query_tasks/{flat}/results"), 400)["message"]
        )
        errors = api.get(f"/query_tasks/{detail}/results").json()["errors"]
        assert "no such column" in errors[0]["message"]

    def test_killing(self, sdk: Any, api: Api) -> None:
        """A killed task says so and has no results."""
        self.rules(api, polls=100)
        task_id = self.create(api)

        assert sdk.kill_query(task_id) == ""
        assert sdk.query_task(task_id).status == "killed"
        expect_error(api.send("DELETE", "/running_queries/unknown"), 404)

    def test_invalid_tasks(self, api: Api) -> None:
        """A task needs a saved query and a format; unknown tasks are not found."""
        errors = expect_error(api.send("POST", "/query_tasks", json={}), 422)["errors"]
        assert [error["field"] for error in errors] == ["query_id", "result_format"]
        unknown = {"query_id": "1", "result_format": "json"}
        expect_error(api.send("POST", "/query_tasks", json=unknown), 404)
        expect_error(api.get("/query_tasks/unknown"), 404)
        expect_error(api.get("/query_tasks/unknown/results"), 404)
