"""Stored documents put together: valid JSON with the right links, and nothing of them changed."""

from __future__ import annotations

import json

import pytest

from fakes import document, href_of, item_content, links_of
from stacserve.api.documents import complete_document, document_list, item_collection, item_document
from stacserve.paths import collection_container, item_path

BASE = "http://example.org/a%20b"


@pytest.mark.parametrize(
    ("collection_id", "item_id"), [("a", "x"), ("items", "items"), ("a/items/b", "c/items/d"), ("%", "é")]
)
def test_item_has_its_own_links(collection_id: str, item_id: str) -> None:
    path = item_path(collection_container(collection_id), item_id)
    stored = document(path, "/catalogs/parent", item_content(collection_id, item_id))
    found = json.loads(item_document(stored, BASE))
    assert href_of(found, "self") == BASE + path
    assert href_of(found, "collection") == BASE + path[: path.rindex("/items/")]
    assert href_of(found, "parent") == f"{BASE}/catalogs/parent"
    assert href_of(found, "root") == f"{BASE}/"
    assert found["assets"]["thumbnail"]["href"] == f"{BASE}/assets/thumbnail.png"


def test_item_of_a_catalog_has_no_collection_link() -> None:
    found = json.loads(item_document(document("/catalogs/a/items/b", "/catalogs/a", item_content(None, "b")), BASE))
    assert links_of(found, "collection") == []


def test_item_below_the_root_has_it_as_parent() -> None:
    found = json.loads(item_document(document("/collections/a/items/b", "", item_content("a", "b")), BASE))
    assert href_of(found, "parent") == f"{BASE}/"


def test_links_of_the_source_are_kept() -> None:
    source = {"rel": "license", "href": "https://example.org/license"}
    stored = document("/collections/a/items/b", "", item_content("a", "b"), source)
    assert json.loads(item_document(stored, BASE))["links"][0] == source


@pytest.mark.parametrize("count", [0, 1, 3])
def test_page_holds_its_items_as_they_are_alone(count: int) -> None:
    items = [document(f"/collections/a/items/{n}", "", item_content("a", str(n))) for n in range(count)]
    page = json.loads(item_collection(items, [b'{"rel":"self","href":"\0/search"}'], matched=7, base=BASE))
    assert page["features"] == [json.loads(item_document(item, BASE)) for item in items]
    assert page["links"] == [{"rel": "self", "href": f"{BASE}/search"}]
    assert (page["type"], page["numberMatched"], page["numberReturned"]) == ("FeatureCollection", 7, count)


def test_document_is_completed_by_links_and_members() -> None:
    stored = document("", "", {"id": "root"})
    found = json.loads(complete_document(stored, [b'{"rel":"self"}', b'{"rel":"root"}'], b',"conformsTo":[]'))
    assert found == {"id": "root", "links": [{"rel": "self"}, {"rel": "root"}], "conformsTo": []}


def test_list_of_documents_is_a_page() -> None:
    found = json.loads(document_list("things", [b'"\0/a"', b"2"], [], matched=2, base=BASE))
    assert found == {"things": [f"{BASE}/a", 2], "links": [], "numberMatched": 2, "numberReturned": 2}
