"""Items over HTTP: one, those of a collection or catalog, and the search by GET and POST."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from fakes import BASE, FakeStore, fetch, href_of, links_of, make_store
from stacserve.app import create_app
from stacserve.geometry import BBox
from stacserve.search import ItemSearch
from stacserve.settings import Settings
from stacserve.temporal import Interval

GEOJSON = "application/geo+json"


@pytest.fixture
def store() -> FakeStore:
    """Return a store of two collections with five items each, and a catalog with one."""
    return make_store()


@pytest.fixture
def app(store: FakeStore) -> Any:
    """Return the app that serves it."""
    return create_app(Settings(), store=store)


def ids_of(page: dict[str, Any]) -> list[str]:
    """Return the ids of a page of items."""
    return [feature["id"] for feature in page["features"]]


@pytest.mark.parametrize("path", ["/collections/a/items/a-1", "/catalogs/loose/items/single"])
def test_item_is_geojson_at_its_own_address(app: Any, path: str) -> None:
    answer = fetch(app, path)
    assert answer.headers["content-type"] == GEOJSON
    assert href_of(answer.json(), "self") == BASE + path


@pytest.mark.parametrize(
    "path", ["/collections/a/items/x", "/collections/x/items/a-1", "/catalogs/a/items/a-1", "/collections/x/items"]
)
def test_unknown_item_is_404(app: Any, path: str) -> None:
    assert fetch(app, path).status_code == 404


def test_items_of_a_collection(app: Any, store: FakeStore) -> None:
    answer = fetch(app, "/collections/a/items?limit=2&collections=a,b&bbox=1,2,3,4")
    assert answer.headers["content-type"] == GEOJSON
    page = answer.json()
    assert ids_of(page) == ["a-0", "a-1"]
    assert (page["numberMatched"], page["numberReturned"]) == (5, 2)
    assert href_of(page, "collection") == f"{BASE}/collections/a"
    assert store.searches == [ItemSearch(limit=2, collections=("a",), bbox=BBox(1, 2, 3, 4))]


def test_items_of_a_collection_that_are_asked_for_in_another(app: Any) -> None:
    page = fetch(app, "/collections/a/items?collections=b").json()
    assert (page["features"], page["numberMatched"]) == ([], 0)


def test_items_of_a_catalog(app: Any, store: FakeStore) -> None:
    page = fetch(app, "/catalogs/loose/items").json()
    assert ids_of(page) == ["single"]
    assert href_of(page, "parent") == f"{BASE}/catalogs/loose"
    assert store.searches == [ItemSearch(limit=100, catalog="loose")]


def test_search_by_both_methods_asks_the_same(app: Any, store: FakeStore) -> None:
    query = {"ids": "a-1,b-1", "datetime": "1970-01-01T00:00:00Z/..", "limit": "7"}
    body = {"ids": ["a-1", "b-1"], "datetime": "1970-01-01T00:00:00Z/..", "limit": 7}
    by_get = fetch(app, f"/search?{urlencode(query)}")
    by_post = fetch(app, "/search", "POST", json=body)
    assert by_get.headers["content-type"] == by_post.headers["content-type"] == GEOJSON
    assert by_get.json()["features"] == by_post.json()["features"]
    assert store.searches == [ItemSearch(limit=7, ids=("a-1", "b-1"), datetime=Interval(0, None))] * 2


@pytest.mark.parametrize(
    "path", ["/search?limit=3&collections=a&ids=a-0,a-1,a-2,a-3,a-4", "/collections/a/items?limit=2&.x=%25"]
)
def test_walk_by_get_finds_everything_forward_and_back(app: Any, path: str) -> None:
    page = fetch(app, path).json()
    assert href_of(page, "self") == BASE + path
    assert not links_of(page, "prev")
    pages = [page]
    while links_of(pages[-1], "next"):
        pages.append(fetch(app, href_of(pages[-1], "next")).json())
    assert [name for page in pages for name in ids_of(page)] == [f"a-{number}" for number in range(5)]
    assert fetch(app, href_of(pages[-1], "prev")).json()["features"] == pages[-2]["features"]
    assert {page["numberMatched"] for page in pages} == {5}


@pytest.mark.parametrize("merged", [True, False])
def test_walk_by_post_finds_everything(app: Any, merged: bool) -> None:
    body = {"limit": 3, "collections": ["a"], "ids": None}
    page = fetch(app, "/search", "POST", json=body).json()
    assert not links_of(page, "self")
    found = ids_of(page)
    while links_of(page, "next"):
        (link,) = links_of(page, "next")
        assert (link["method"], link["href"], link["type"]) == ("POST", f"{BASE}/search", GEOJSON)
        body = {**body, **link["body"]} if merged else link["body"]
        page = fetch(app, link["href"], "POST", json=body).json()
        found += ids_of(page)
    assert found == [f"a-{number}" for number in range(5)]
    assert links_of(page, "prev")[0]["body"]["token"] == "0"


def test_link_header_leads_harvesters_on(app: Any) -> None:
    answer = fetch(app, "/search?limit=3&token=3")
    assert answer.links["next"]["url"] == f"{BASE}/search?limit=3&token=6"
    assert answer.links["prev"]["url"] == f"{BASE}/search?limit=3&token=0"
    assert answer.links["next"]["type"] == GEOJSON
    assert "next" not in fetch(app, "/search").links


def test_settings_are_the_limits(store: FakeStore) -> None:
    app = create_app(Settings(limit_default=2, limit_max=4, filter_list_max=1), store=store)
    assert fetch(app, "/search").json()["numberReturned"] == 2
    assert fetch(app, "/search?limit=100").json()["numberReturned"] == 4
    assert fetch(app, "/search?ids=a,b").status_code == 400
    assert fetch(create_app(Settings(limit_max=3), store=store), "/search").json()["numberReturned"] == 3


@pytest.mark.parametrize("path", ["/search", "/collections/a/items", "/catalogs/loose/items"])
@pytest.mark.parametrize(
    "query", ["limit=0", "bbox=1,2,3", "datetime=2024", "token=garbage", "sortby=a", "ids=a&ids=b", "filter=a%20<"]
)
def test_wrong_parameter_is_refused_by_name(app: Any, path: str, query: str) -> None:
    answer = fetch(app, f"{path}?{query}")
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "description"}
    assert answer.json()["description"].startswith(query.partition("=")[0])


def test_wrong_member_of_a_body_is_refused_by_name(app: Any) -> None:
    answer = fetch(app, "/search", "POST", json={"bbox": "1,2,3,4"})
    assert answer.status_code == 400
    assert '"bbox": [5.5, 46, 10, 48]' in answer.json()["description"]


def test_items_of_a_collection_are_not_posted(app: Any) -> None:
    assert fetch(app, "/collections/a/items", "POST", json={}).status_code == 405
