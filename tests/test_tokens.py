"""Paging tokens: what is written is read, and nothing else; a token belongs to one search."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searching import make_box, read_search
from stacserve.errors import InvalidParameter
from stacserve.search import ItemSearch
from stacserve.store.tokens import (
    PageToken,
    Position,
    hash_search,
    read_name_token,
    read_problem_token,
    read_token,
    write_name_token,
    write_problem_token,
    write_token,
)

PATIENT = settings(max_examples=200, deadline=None)
TOKEN = PageToken(Position(0, "0/c", "a"), "abc-1")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
instants = st.none() | st.integers(-(2**62) + 1, 2**62 - 1)
tokens = st.builds(PageToken, st.builds(Position, instants, texts, texts), texts, st.booleans(), st.booleans())
READERS: list[Callable[[str], Any]] = [lambda text: read_token(text, "q"), read_name_token, read_problem_token]


def encoded(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


# --- Tokens of items


@PATIENT
@given(token=tokens, query=texts)
def test_a_token_survives_being_written(token: PageToken, query: str) -> None:
    text = write_token(token, query)
    assert read_token(text, query) == token
    assert text.isascii() and not set(text) & set("+/= &?#")


@PATIENT
@given(token=tokens, query=texts, other=texts)
def test_a_token_of_another_query_is_refused(token: PageToken, query: str, other: str) -> None:
    if query != other:
        with pytest.raises(InvalidParameter, match=r"^token: this token belongs to another query"):
            read_token(write_token(token, query), other)


@pytest.mark.parametrize("read", READERS)
@PATIENT
@given(text=st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_garbage_is_no_token(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^token: this is no page token"):
        read(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["n", "p", "next", "prev", "q", "", "a"]),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@pytest.mark.parametrize("read", READERS)
@PATIENT
@given(content=values | st.lists(values, min_size=3, max_size=3) | st.lists(values, min_size=7, max_size=7))
def test_any_json_is_a_token_or_refused(read: Callable[[str], Any], content: Any) -> None:
    try:
        found = read(encoded(content))
    except InvalidParameter as error:
        assert error.parameter == "token"
        return
    assert isinstance(found, tuple)


@pytest.mark.parametrize(
    "change",
    [
        {0: 2}, {0: "1"}, {0: None}, {1: "x"}, {1: ""}, {1: None}, {1: ["n"]}, {1: {}}, {2: 5}, {2: None}, {3: 0.0},
        {3: True}, {3: "0"}, {3: 2**62}, {3: -(2**62)}, {3: 2**70}, {3: []}, {4: None}, {4: 1}, {5: None}, {5: []},
        {6: None}, {6: 1},
    ],
)  # fmt: skip
def test_every_part_of_a_token_is_checked(change: dict[int, Any]) -> None:
    content = json.loads(base64.urlsafe_b64decode(write_token(TOKEN, "q") + "=="))
    assert read_token(encoded(content), "q") == TOKEN
    for place, value in change.items():
        content[place] = value
    for changed in (content, [*content, 1], content[:-1], dict(enumerate(content))):
        with pytest.raises(InvalidParameter, match=r"^token: this is no page token"):
            read_token(encoded(changed), "q")


# --- Tokens of lists


@PATIENT
@given(direction=st.sampled_from(["next", "prev"]), name=texts)
def test_a_token_of_a_name_survives_being_written(direction: str, name: str) -> None:
    assert read_name_token(write_name_token(direction, name)) == (direction, name)


@PATIENT
@given(path=texts, number=st.integers(0, 2**62 - 1))
def test_a_token_of_a_problem_survives_being_written(path: str, number: int) -> None:
    assert read_problem_token(write_problem_token(path, number)) == (path, number)


def test_a_token_of_one_list_is_none_of_another() -> None:
    written = [write_token(TOKEN, "q"), write_name_token("next", "a"), write_problem_token("a", 1)]
    for place, read in enumerate(READERS):
        for other, text in enumerate(written):
            if place != other:
                with pytest.raises(InvalidParameter):
                    read(text)


# --- Which search a token belongs to

SEARCHES: list[dict[str, Any]] = [
    {},
    {"ids": ["a"]},
    {"ids": ["a", "b"]},
    {"ids": ["a,b"]},
    {"collections": ["a"]},
    {"collections": ["a", "b"]},
    {"bbox": [0, 0, 1, 1]},
    {"bbox": [0, 0, 1, 1.0000001]},
    {"intersects": make_box(0, 0, 1, 1)},
    {"intersects": make_box(0, 0, 1, 1.0000001)},
    {"datetime": "2024-06-01T00:00:00Z"},
    {"datetime": "2024-06-01T00:00:00Z/.."},
    {"datetime": "../2024-06-01T00:00:00Z"},
    {"filter": True},
    {"filter": {"op": "=", "args": [{"property": "a"}, 1]}},
    {"filter": {"op": "=", "args": [{"property": "a"}, "1"]}},
    {"filter": {"op": "=", "args": [{"property": "a"}, True]}},
    {"filter": {"op": "=", "args": ["a", 1]}},
    {"filter": {"op": "=", "args": [{"property": "a"}, {"date": "2024-06-01"}]}},
    {"filter": {"op": "=", "args": [{"property": "a"}, "2024-06-01"]}},
    {"filter": {"op": "s_intersects", "args": [{"property": "geometry"}, make_box(0, 0, 1, 1)]}},
    {"filter": {"op": "s_intersects", "args": [{"property": "geometry"}, make_box(0, 0, 1, 1.0000001)]}},
]


def test_searches_that_differ_have_hashes_that_differ() -> None:
    searches = [read_search(body) for body in SEARCHES]
    searches += [dataclasses.replace(searches[0], catalog="a"), dataclasses.replace(searches[0], collections=())]
    assert len({hash_search(search) for search in searches}) == len(searches)


@pytest.mark.parametrize("body", SEARCHES, ids=str)
def test_page_and_size_are_not_part_of_a_search(body: dict[str, Any]) -> None:
    search = read_search(body)
    assert (
        hash_search(dataclasses.replace(search, limit=5, token="x"))
        == hash_search(search)
        == hash_search(read_search(body))
    )


def test_long_filters_that_differ_at_their_end_have_hashes_that_differ() -> None:
    points: list[Any] = [[number / 1_000, number % 7] for number in range(1_000)]
    bodies: list[dict[str, Any]] = [
        {"intersects": {"type": "LineString", "coordinates": [*points, [5, last]]}} for last in (1, 1.0000001)
    ]
    bodies += [
        {"filter": {"op": "s_intersects", "args": [{"property": "geometry"}, body["intersects"]]}}
        for body in bodies[:2]
    ]
    bodies += [{"filter": {"op": "in", "args": [{"property": "a"}, [*range(5_000), last]]}} for last in (1, 2)]
    assert len({hash_search(read_search(body)) for body in bodies}) == len(bodies)


@PATIENT
@given(name=st.text(max_size=5))
def test_any_text_may_be_part_of_a_search(name: str) -> None:
    assert hash_search(ItemSearch(limit=1, ids=(name,), catalog=name)) != hash_search(ItemSearch(limit=1, ids=(name,)))
