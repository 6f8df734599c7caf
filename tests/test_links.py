"""Links: how queries are written in them, what stands in a Link header, how the base URL gets in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacserve.api.links import (
    child_link,
    clean_query,
    fill_in_base,
    link,
    link_header,
    page_links,
    page_paths,
    posted_page_links,
)
from stacserve.api.messages import read_query
from stacserve.errors import InvalidParameter
from stacserve.store.interface import Child


def test_link_has_the_base_before_its_path() -> None:
    found = json.loads(fill_in_base(link("self", "/a%20b", "text/html", title='"x"'), "http://example.org/stac"))
    assert found == {"rel": "self", "href": "http://example.org/stac/a%20b", "type": "text/html", "title": '"x"'}


def test_base_is_escaped_for_json() -> None:
    assert json.loads(fill_in_base(b'"\0/"', 'http://e/"\\')) == 'http://e/"\\/'


def test_child_says_what_it_is() -> None:
    assert b'"title"' not in child_link(Child("child", "/collections/a", None))
    assert b'"application/geo+json","title":"A"' in child_link(Child("item", "/catalogs/a/items/b", "A"))


@pytest.mark.parametrize(
    ("query", "cleaned"),
    [
        (b"", ""),
        (b"bbox=1,2,3,4&datetime=../2024-01-01T00:00:00Z", "bbox=1,2,3,4&datetime=../2024-01-01T00:00:00Z"),
        (b"ids=a%20b%2fc+d", "ids=a%20b%2fc+d"),
        (b"filter=a%20LIKE%20'%25x'", "filter=a%20LIKE%20'%25x'"),
        (b"filter=a LIKE '50%'", "filter=a%20LIKE%20'50%25'"),
        (b'a="\\<>{}|^`[]#', "a=%22%5C%3C%3E%7B%7D%7C%5E%60%5B%5D%23"),
        ("a=ü".encode(), "a=%C3%BC"),
        (b"a=\0\n", "a=%00%0A"),
    ],
)
def test_query_is_made_legal_and_otherwise_kept(query: bytes, cleaned: str) -> None:
    assert clean_query(query) == cleaned


@given(st.text(alphabet=st.sampled_from("a=&%+ü🛰\0 #;2F"), max_size=40))
def test_cleaned_query_means_the_same(text: str) -> None:
    cleaned = clean_query(text.encode()).encode()
    assert clean_query(cleaned) == cleaned.decode()
    try:
        pairs = read_query({"query_string": text.encode()})
    except InvalidParameter:
        return
    assert read_query({"query_string": cleaned}) == pairs


def test_next_keeps_every_parameter_and_replaces_the_token() -> None:
    query = b"token=old&filter=a%20LIKE%20'%25b'&apikey=k&.x=1&limit=2&%74oken=older"
    paths = page_paths("/search", query, "n/w", None)
    assert paths == {
        "self": f"/search?{query.decode()}",
        "next": "/search?filter=a%20LIKE%20'%25b'&apikey=k&.x=1&limit=2&token=n%2Fw",
    }


def test_page_alone_has_no_neighbours() -> None:
    assert page_paths("/search", b"", None, None) == {"self": "/search"}


def test_page_links_name_their_method() -> None:
    found = [json.loads(text.replace(b"\0", b"")) for text in page_links(page_paths("/s", b"", "n", "p"), "a/b")]
    assert [(each["rel"], each["href"], each.get("method")) for each in found] == [
        ("self", "/s", None),
        ("next", "/s?token=n", "GET"),
        ("prev", "/s?token=p", "GET"),
    ]


def test_posted_page_links_hold_the_complete_body() -> None:
    body = {"ids": ["a"], "token": "old", "limit": 2}
    (found,) = [json.loads(text.replace(b"\0", b"")) for text in posted_page_links("/search", body, "new", None)]
    assert found["body"] == {"ids": ["a"], "token": "new", "limit": 2}
    assert (found["method"], found["merge"], found["href"]) == ("POST", False, "/search")
    assert body["token"] == "old"


def test_link_header_is_one_line_without_what_is_too_long() -> None:
    paths = {"self": "/s?ids=" + "a" * 9_000, "next": "/s?token=n"}
    assert link_header(paths, "a/b", "http://e") == '<http://e/s?token=n>; rel="next"; type="a/b"'
