"""A small shop as a dataset, and the Looker stand-in over it on a loopback port."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import looker_sdk
import pytest
import requests
from looker_sdk.rtl import (
    api_settings,
    auth_session,
    requests_transport,
    serialize,
)

from airflow_provider_looker_segment.sandbox.dataset import Dataset
from airflow_provider_looker_segment.sandbox.looker import create_looker_app
from airflow_provider_looker_segment.sandbox.server import AppServer

CLIENT_ID = "an-id&+="
CLIENT_SECRET = "a=secret&%"

SHOP = """
model: shop
timezone: UTC
today: 2019-07-01
fiscal_month_offset: 3
tables:
  people:
    file: people.csv
    columns: {joined: {type: date, format: "%m/%d/%Y"}, spent: number}
  big:
    sql: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
          SELECT i AS id, 'user' || i || '@example.com' AS email FROM n"
views:
  people:
    label: People
    dimensions:
      id: {primary_key: true, tags: [user_id]}
      email: {tags: [email], label: E-mail}
      name: name
      city: city
      income: income
      spent: {type: number, value_format_name: usd}
      is_local: {type: yesno, sql: "${city} = 'Ulm'"}
      spent_tier: {type: tier, column: spent, tiers: [10, 100]}
      broken: {sql: "${TABLE}.no_such_column"}
    dimension_groups:
      joined: {column: joined, timeframes: [date, week, month, quarter, year, day_of_week]}
    measures:
      count: count
      local_count: {type: count, filters: {people.is_local: "Yes"}}
      total_spent: {type: sum, sql: "${spent}", value_format_name: usd}
      average_spent: {type: average, sql: "${spent}"}
      least_spent: {type: min, sql: "${spent}"}
      most_spent: {type: max, sql: "${spent}"}
      cities: {type: count_distinct, sql: "${city}"}
      city_list: {type: list, sql: "${city}"}
      spent_each: {type: number, sql: "1.0 * ${total_spent} / ${count}", value_format: "0.0"}
      last_joined: {type: date, sql: "MAX(${joined_date})"}
    filters:
      wanted_city: {column: city}
    parameters:
      greeting: {type: unquoted, default_value: hello, allowed_values: [hello, bye]}
  orders:
    dimensions:
      number: {primary_key: true}
      person: {hidden: true}
      status: status
      note: {sql: "{% parameter people.greeting %} || ' ' || ${status}"}
    dimension_groups:
      ordered: {column: ordered_at}
    measures:
      count: count
      late_count: {type: count, filters: {orders.status: late}}
  big:
    dimensions:
      id: {type: number, primary_key: true, tags: [user_id]}
      email: {tags: [email]}
explores:
  people:
    joins:
      orders: {sql_on: "${orders.person} = ${people.id}", relationship: one_to_many}
  active_people:
    from: people
    always_filter: {people.city: -EMPTY}
looks:
  - {id: 1, title: Everybody, explore: people, fields: [people.id, people.email, people.name],
     sorts: [people.id], limit: 2, vis_config: {show_view_names: false}}
  - {id: 2, title: Recent orders, folder: Sales, explore: people,
     fields: [people.id, orders.count], filters: {orders.ordered_date: 30 days},
     sorts: [orders.count desc, people.id]}
  - {id: 3, title: Gone, deleted: true, explore: people, fields: [people.id]}
  - {id: 4, title: Broken, explore: people, fields: [people.id, people.broken]}
  - {id: 5, title: A million, explore: big, fields: [big.id, big.email], limit: 500}
  - id: 6
    title: Renamed
    explore: people
    fields: [people.id, people.email]
    sorts: [people.id]
    dynamic_fields:
      - {table_calculation: mail, label: mail, expression: "${people.email}", _type_hint: string}
    vis_config: {hidden_fields: [people.email], series_labels: {people.id: Who}}
"""

# A byte order mark, ids that look like numbers, blanks, money as text, two ways to write a date.
PEOPLE = """\ufeffid,email,name,city,income,spent,joined
0007,ada@example.com,Ada,Ulm,"$90,000 ","$1,200.50 ",01/31/2017
17850.0,,李娜,Köln, ,12,9/21/2001
x-1,eve@example.com,"Eve ""E"", Jr",,"$1",, 07/01/2019
123456789012345678901,dan@example.com,Dan,Ulm,,7.5,
"""
ORDERS = """number,person,status,ordered_at
1,0007,late,2019-06-30 23:30:00
2,0007,done,2019-06-02T00:00:00
3,17850.0,done,2019-06-01 23:59:59
4,17850.0,late,2019-07-01
5,x-1,,2019-05-01 10:00:00
"""


@pytest.fixture(scope="session")
def shop_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of CSV files with its `looks.yaml`."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "looks.yaml").write_text(SHOP, encoding="utf-8")
    (folder / "people.csv").write_text(PEOPLE, encoding="utf-8")
    (folder / "orders.csv").write_text(ORDERS, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shop(shop_folder: Path) -> Iterator[Dataset]:
    """The small shop, on 2019-07-01."""
    dataset = Dataset.load(shop_folder)
    yield dataset
    dataset.close()


@pytest.fixture(scope="session")
def looker_app(shop: Dataset) -> Any:
    """The stand-in over the shop."""
    return create_looker_app(shop, client_id=CLIENT_ID, client_secret=CLIENT_SECRET)


@pytest.fixture(scope="session")
def _looker_server(looker_app: Any) -> Iterator[AppServer]:
    server = AppServer("looker", looker_app)
    yield server
    server.close()


@pytest.fixture
def looker_url(_looker_server: AppServer) -> str:
    """Where the stand-in listens, as if it were new."""
    requests.post(f"{_looker_server.url}/_sandbox/reset", timeout=10).raise_for_status()
    return _looker_server.url


# An error with an address like this makes the SDK ask a server on the internet about it.
CDN_PATTERN = re.compile(r"https://(docs\.looker\.com|cloud\.google\.com/looker/docs)/r/err/")


def expect_error(answer: requests.Response, status: int) -> dict[str, Any]:
    """Check that an answer is an error of the documented shape, and return it."""
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert isinstance(body["message"], str)
    assert isinstance(body["documentation_url"], str)
    assert not CDN_PATTERN.search(answer.text)
    return body


class Api:
    """A plain HTTP client that is signed in, as any program could be."""

    def __init__(self, url: str, scheme: str = "Bearer") -> None:
        self.url = url
        self.session = requests.Session()
        answer = self.session.post(
            f"{url}/api/4.0/login",
            data={"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
            timeout=10,
        )
        self.session.headers["Authorization"] = f"{scheme} {answer.json()['access_token']}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request to API 4.0, or to a path of the host if it begins with two slashes."""
        root = self.url if path.startswith("//") else f"{self.url}/api/4.0"
        return self.session.request(method, root + "/" + path.lstrip("/"), timeout=60, **options)

    def get(self, path: str, **parameters: Any) -> requests.Response:
        """GET with a query string."""
        return self.send("GET", path, params=parameters)

    def run(self, result_format: str, query: dict[str, Any], **parameters: Any) -> Any:
        """Run a query of the shop and return the parsed answer."""
        body = {"model": "shop", "view": "people", **query}
        answer = self.send("POST", f"/queries/run/{result_format}", json=body, params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json() if "json" in result_format else answer.text


@pytest.fixture
def api(looker_url: str) -> Api:
    """A signed-in plain HTTP client."""
    return Api(looker_url)


@pytest.fixture
def sdk(looker_url: str) -> Any:
    """The real SDK, constructed as its documentation shows for programs."""

    class Settings(api_settings.ApiSettings):
        def read_config(self) -> Any:
            return {
                "base_url": looker_url,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "verify_ssl": "true",
                "timeout": "30",
            }

    settings = Settings()
    transport = requests_transport.RequestsTransport.configure(settings)
    session = auth_session.AuthSession(settings, transport, serialize.deserialize40, "4.0")
    return looker_sdk.methods40.Looker40SDK(
        session, serialize.deserialize40, serialize.serialize40, transport, "4.0"
    )
