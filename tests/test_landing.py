"""The landing page, conformance, the descriptions of the API, and health."""

from __future__ import annotations

from typing import Any

import pytest

from fakes import BASE, FakeStore, fetch, href_of, links_of, make_store
from stacserve.api.landing import CONFORMANCE
from stacserve.app import create_app
from stacserve.settings import Settings
from stacserve.stac import REL_QUERYABLES
from stacserve.store.interface import Capability, Child

OPENAPI = "application/vnd.oai.openapi+json;version=3.0"


@pytest.fixture
def store() -> FakeStore:
    """Return a store of two collections and a catalog."""
    return make_store()


@pytest.fixture
def app(store: FakeStore) -> Any:
    """Return the app that serves it."""
    return create_app(Settings(), store=store)


def test_landing_page_is_the_root_catalog(app: Any) -> None:
    answer = fetch(app, "/")
    assert answer.headers["content-type"] == "application/json"
    page = answer.json()
    assert (page["type"], page["id"], page["description"]) == ("Catalog", "root", "the root")
    assert page["conformsTo"] == fetch(app, "/conformance").json()["conformsTo"]


@pytest.mark.parametrize(
    ("rel", "path", "media_type"),
    [
        ("self", "/", "application/json"),
        ("root", "/", "application/json"),
        ("service-desc", "/api", OPENAPI),
        ("service-doc", "/api.html", "text/html"),
        ("conformance", "/conformance", "application/json"),
        ("data", "/collections", "application/json"),
        (REL_QUERYABLES, "/queryables", "application/schema+json"),
    ],
)
def test_landing_page_links_to_what_answers(app: Any, rel: str, path: str, media_type: str) -> None:
    (found,) = links_of(fetch(app, "/").json(), rel)
    assert (found["href"], found["type"]) == (BASE + path, media_type)
    assert fetch(app, path).headers["content-type"].startswith(media_type)


def test_landing_page_offers_search_by_both_methods(app: Any) -> None:
    found = links_of(fetch(app, "/").json(), "search")
    assert [link["method"] for link in found] == ["GET", "POST"]
    assert {(link["href"], link["type"]) for link in found} == {(f"{BASE}/search", "application/geo+json")}


def test_landing_page_links_to_its_children(app: Any, store: FakeStore) -> None:
    store.children.append(Child("item", "/catalogs/x/items/y", "Y"))
    page = fetch(app, "/").json()
    assert [(link["href"], link.get("title")) for link in links_of(page, "child")] == [
        (f"{BASE}/collections/a", "Title of a"),
        (f"{BASE}/collections/b", "Title of b"),
        (f"{BASE}/catalogs/loose", None),
    ]
    (item,) = links_of(page, "item")
    assert (item["href"], item["type"], item["title"]) == (f"{BASE}/catalogs/x/items/y", "application/geo+json", "Y")


def test_landing_page_keeps_links_of_the_source(app: Any) -> None:
    assert href_of(fetch(app, "/").json(), "license") == "https://example.org/license"


def test_conformance_follows_from_capabilities(app: Any, store: FakeStore) -> None:
    everything = fetch(app, "/conformance").json()["conformsTo"]
    store.capabilities = frozenset()
    store.counter += 1
    assert set(everything) == {uri for uris in CONFORMANCE.values() for uri in uris}
    assert fetch(app, "/conformance").json()["conformsTo"] == list(CONFORMANCE[None])
    assert links_of(fetch(app, "/").json(), REL_QUERYABLES) == []


def test_every_capability_has_classes() -> None:
    assert set(CONFORMANCE) == {None, *Capability}


def test_openapi_document_is_of_this_server(app: Any) -> None:
    answer = fetch(app, "/api", headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == OPENAPI
    assert answer.json()["servers"] == [{"url": BASE}]
    assert f'"{BASE}/search"' in fetch(app, "/api.html").text


def test_everything_described_is_routed(app: Any) -> None:
    described = fetch(app, "/api").json()["paths"]
    values = {"{collection_id}": "a", "{item_id}": "a-1", "{address}": "loose", "{path}": "none"}
    for path, operations in described.items():
        for name, value in values.items():
            path = path.replace(name, value)
        allowed = fetch(app, path, "OPTIONS").headers["allow"].lower()
        assert set(operations) <= set(allowed.split(", "))


def test_health_counts_what_is_served(app: Any) -> None:
    found = fetch(app, "/healthz").json()
    assert found == {"state": "ready", "version": "fake-1", "collections": 2, "items": 11, "problems": 0}
