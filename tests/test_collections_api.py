"""/collections, one collection, catalogs, queryables, and /problems."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import BASE, FakeStore, fetch, href_of, links_of, make_store
from stacserve.app import create_app
from stacserve.settings import Settings
from stacserve.stac import REL_QUERYABLES
from stacserve.store.interface import Child

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def store() -> FakeStore:
    """Return a store of five collections, one of them below a catalog."""
    store = make_store(NAMES[:-1], items=1)
    store.add_collection("e", "/catalogs/loose", [Child("child", "/collections/a", "A")])
    return store


@pytest.fixture
def app(store: FakeStore) -> Any:
    """Return the app that serves it."""
    return create_app(Settings(), store=store)


def test_collections_are_listed(app: Any) -> None:
    page = fetch(app, "/collections").json()
    assert [collection["id"] for collection in page["collections"]] == NAMES
    assert (page["numberMatched"], page["numberReturned"]) == (5, 5)
    assert {link["rel"] for link in page["links"]} == {"self", "root", REL_QUERYABLES}
    assert "type" not in page


def test_collections_are_walked_forward_and_back(app: Any) -> None:
    url, found = f"{BASE}/collections?limit=2&.ui=x", []
    while True:
        page = fetch(app, url).json()
        assert href_of(page, "self") == url
        found += [collection["id"] for collection in page["collections"]]
        if not links_of(page, "next"):
            break
        url = href_of(page, "next")
    assert found == NAMES
    assert [each["id"] for each in fetch(app, href_of(page, "prev")).json()["collections"]] == ["c", "d"]


@pytest.mark.parametrize("settings", [{"collections_limit_default": 3}, {"limit_max": 3}])
def test_page_of_collections_has_its_own_default(store: FakeStore, settings: dict[str, int]) -> None:
    app = create_app(Settings(**settings), store=store)
    assert fetch(app, "/collections").json()["numberReturned"] == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=", "token=garbage", "limit=1&limit=2", "bbox=1,2,3,4"])
def test_wrong_parameter_of_collections_is_refused(app: Any, query: str) -> None:
    answer = fetch(app, f"/collections?{query}")
    assert answer.status_code == 400
    assert answer.json()["description"].startswith(query.partition("=")[0])


def test_collection_links_to_its_parts(app: Any) -> None:
    collection = fetch(app, "/collections/e").json()
    url = f"{BASE}/collections/e"
    assert {link["rel"]: link["href"] for link in collection["links"]} == {
        "self": url,
        "root": f"{BASE}/",
        "parent": f"{BASE}/catalogs/loose",
        "items": f"{url}/items",
        REL_QUERYABLES: f"{url}/queryables",
        "child": f"{BASE}/collections/a",
    }
    assert links_of(collection, "items")[0]["type"] == "application/geo+json"


def test_collection_below_the_root_has_it_as_parent(app: Any) -> None:
    assert href_of(fetch(app, "/collections/a").json(), "parent") == f"{BASE}/"


def test_catalog_links_to_its_parts(app: Any) -> None:
    catalog = fetch(app, "/catalogs/loose").json()
    url = f"{BASE}/catalogs/loose"
    assert {link["rel"]: link["href"] for link in catalog["links"]} == {
        "self": url,
        "root": f"{BASE}/",
        "parent": f"{BASE}/",
        "items": f"{url}/items",
        "item": f"{url}/items/single",
    }


@pytest.mark.parametrize("path", ["/collections/x", "/collections/x/queryables", "/catalogs/x", "/catalogs/x/items"])
def test_unknown_name_is_404(app: Any, path: str) -> None:
    answer = fetch(app, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
    assert "'x'" in answer.json()["description"]


@pytest.mark.parametrize("path", ["/queryables", "/collections/a/queryables"])
def test_queryables_are_a_schema_of_their_own_address(app: Any, path: str) -> None:
    answer = fetch(app, path)
    assert answer.headers["content-type"] == "application/schema+json"
    schema = answer.json()
    assert schema["$schema"] == "https://json-schema.org/draft/2019-09/schema"
    assert (schema["$id"], schema["type"]) == (BASE + path, "object")
    assert schema["properties"] == {"id": {"type": "string"}}
    assert schema["additionalProperties"] is True


def test_queryables_are_all_there_is_where_unknown_ones_are_errors(store: FakeStore) -> None:
    app = create_app(Settings(unknown_properties="error"), store=store)
    assert fetch(app, "/queryables").json()["additionalProperties"] is False


def test_problems_are_paged(app: Any, store: FakeStore) -> None:
    store.problems += [{"path": f"{number}.json", "reason": "it is no JSON"} for number in range(5)]
    first = fetch(app, "/problems?limit=3").json()
    second = fetch(app, href_of(first, "next")).json()
    assert [problem["path"] for page in (first, second) for problem in page["problems"]] == [
        f"{number}.json" for number in range(5)
    ]
    assert (first["numberMatched"], second["numberReturned"]) == (5, 2)
    assert links_of(second, "next") == []
