"""Ids in paths: anything is an id, is linked to, and is found where its link leads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeStore, call, fetch, href_of
from stacserve.app import create_app
from stacserve.paths import catalog_container, collection_container, container_path, item_path, quote_segment
from stacserve.settings import Settings

IDS = [
    "a b",
    "a/b",
    "a%20b",
    "a%2Fb",
    "100%",
    "ü",
    "🛰",
    "a?b",
    "a#b",
    "a+b",
    "a&b=c",
    '"q"',
    "items",
    "a\\b",
    "ü/items/%",
]


def app_of(*ids: str) -> Any:
    """Return an app with collections and catalogs of these ids, each with items of the same ids."""
    store = FakeStore()
    for container_id in ids:
        store.add_collection(container_id)
        store.add_catalog(container_id)
        for item_id in ids:
            store.add_item(collection_container(container_id), item_id)
            store.add_item(catalog_container(container_id), item_id)
    return create_app(Settings(), store=store)


@pytest.mark.parametrize("name", IDS)
def test_links_of_any_id_lead_to_it(name: str) -> None:
    app = app_of(*IDS)
    for container in (collection_container(name), catalog_container(name)):
        for path in (container_path(container), item_path(container, name)):
            answer = fetch(app, path)
            assert (answer.status_code, answer.json()["id"]) == (200, name)
            assert href_of(answer.json(), "self") == f"http://testserver{path}"
        page = fetch(app, f"{container_path(container)}/items").json()
        assert [feature["id"] for feature in page["features"]] == IDS


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..") and "\0" not in text))
def test_any_text_is_routed(name: str) -> None:
    app = app_of(name)
    sent = call(app, "", raw_path=item_path(collection_container(name), name).encode())
    assert sent[0]["status"] == 200


def test_id_is_decoded_once() -> None:
    app = app_of("a%20b")
    assert fetch(app, "/collections/a%2520b").status_code == 200
    assert fetch(app, "/collections/a%20b").status_code == 404


@pytest.mark.parametrize("raw", [b"%ff", b"%ED%A0%80", b"a%00b", b"%00"])
def test_what_is_no_text_names_nothing(raw: bytes) -> None:
    app = app_of("a")
    for path in (b"/collections/" + raw, b"/collections/a/items/" + raw, b"/assets/" + raw, b"/collections/x/y" + raw):
        assert call(app, "", raw_path=path)[0]["status"] == 404


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/collections/a/b", "a/b"),
        ("/collections/a/b/items/c/d", "c/d"),
        ("/collections/a/b/items/items/c", "items/c"),
        ("/catalogs/a/b", "a/b"),
        ("/catalogs/a/b/items/c/d", "c/d"),
    ],
)
def test_slashes_that_a_proxy_decoded_are_understood(path: str, found: str) -> None:
    answer = fetch(app_of("a/b", "c/d", "items/c"), path)
    assert (answer.status_code, answer.json()["id"]) == (200, found)
    assert quote_segment(found) in href_of(answer.json(), "self")


@pytest.mark.parametrize("path", ["/collections/a/b/items", "/catalogs/a/b/items", "/collections/a/b/queryables"])
def test_lists_of_ids_with_decoded_slashes_are_found(path: str) -> None:
    assert fetch(app_of("a/b"), path).status_code == 200


def test_missing_item_is_told_as_such() -> None:
    answer = fetch(app_of("a"), "/collections/a/items/x/y")
    assert answer.status_code == 404
    assert "'x/y'" in answer.json()["description"]


def test_endless_path_is_given_up() -> None:
    assert fetch(app_of("a"), "/collections" + "/a/items" * 1_000).status_code == 404


@pytest.mark.parametrize("path", ["/collections//items", "//collections/a", "/collections/a//", "/collections/%2F"])
def test_empty_segments_are_no_ids(path: str) -> None:
    answer = call(app_of("a"), "", raw_path=path.encode())
    assert answer[0]["status"] == 404
