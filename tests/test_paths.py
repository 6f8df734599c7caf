"""API paths: any id is exactly one segment, encoded once."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from random_stac import ODD_IDS
from stacserve.paths import (
    asset_path,
    catalog_container,
    collection_container,
    container_path,
    item_path,
    quote_segment,
)

PATIENT = settings(max_examples=200, deadline=None)
ids = st.sampled_from([*ODD_IDS, "%2F", "..", ".", "a b", "Straße", "é", "e\u0301"]) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1
)


@PATIENT
@given(text=ids)
def test_any_id_is_one_segment_that_decodes_to_it(text: str) -> None:
    segment = quote_segment(text)
    assert unquote(segment) == text
    assert segment.isascii() and not set(segment) & set('/?#[]" <>\\^`{|}')


@PATIENT
@given(text=ids)
def test_a_segment_says_the_same_inside_of_a_url(text: str) -> None:
    url = urlsplit(f"http://localhost/collections/{quote_segment(text)}/items")
    assert url.path.split("/")[2] == quote_segment(text) and not url.query and not url.fragment


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("sentinel-2_l2a.v1~x", "sentinel-2_l2a.v1~x"),
        ("a b", "a%20b"),
        ("a%20b", "a%2520b"),
        ("a/b", "a%2Fb"),
        ("a+b", "a%2Bb"),
        ("a:b@c!$&'()*,=", "a:b@c!$&'()*,="),
        ("ü", "%C3%BC"),
        ("a\n", "a%0A"),
        (".", "."),
        ("..", ".."),
        ("٣", "%D9%A3"),
    ],
)
def test_only_what_must_be_is_encoded(text: str, segment: str) -> None:
    assert quote_segment(text) == segment


@PATIENT
@given(container=ids, item=ids)
def test_items_stand_below_what_they_belong_to(container: str, item: str) -> None:
    for kind, make in [("collections", collection_container), ("catalogs", catalog_container)]:
        path = item_path(make(container), item)
        assert path == f"{container_path(make(container))}/items/{quote_segment(item)}"
        assert [unquote(part) for part in path.split("/")] == ["", kind, container, "items", item]


def test_a_collection_and_a_catalog_of_one_name_are_two_things() -> None:
    assert collection_container("a") != catalog_container("a")
    assert container_path(collection_container("a")) != container_path(catalog_container("a"))


@PATIENT
@given(parts=st.lists(ids.filter(lambda part: "/" not in part), min_size=1))
def test_the_path_of_an_asset_has_the_segments_of_its_file(parts: list[str]) -> None:
    path = asset_path("/".join(parts))
    assert [unquote(part) for part in path.split("/")] == ["", "assets", *parts]
