"""Searches from query strings and bodies: what is read, what is refused, and that both spellings mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from stacserve.errors import InvalidBody, InvalidFilter, InvalidParameter
from stacserve.geometry import BBox
from stacserve.search import (
    EXAMPLES,
    ItemSearch,
    item_search_from_body,
    item_search_from_query,
    read_parameters,
    search_in_catalog,
    search_in_collection,
    search_limits,
)
from stacserve.settings import Settings
from stacserve.temporal import Interval

LIMITS = search_limits(Settings(extra_parameters=("apikey",), filter_list_max=3))
POINT = {"type": "Point", "coordinates": [7.5, 46.9]}
CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
LESS_THAN_TEN = {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}


def by_query(**params: str) -> ItemSearch:
    """Read a search from a query string; `filter_lang` stands for `filter-lang`."""
    return item_search_from_query([(name.replace("_", "-"), text) for name, text in params.items()], LIMITS)


def by_body(**members: Any) -> ItemSearch:
    """Read a search from a body."""
    return item_search_from_body({name.replace("_", "-"): value for name, value in members.items()}, LIMITS)


def test_nothing_asked_is_everything() -> None:
    assert by_query() == by_body() == ItemSearch(limit=100)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ids", "a,b", ["a", "b"]),
        ("ids", "a,,b,a", ["a", "b", "a"]),
        ("collections", "a b", ["a b"]),
        ("bbox", "5,45,15,48", [5, 45, 15, 48]),
        ("bbox", "170,-10,0,-170,10,100", [170, -10, 0, -170, 10, 100]),
        ("datetime", "2024-06-01T00:00:00Z/..", "2024-06-01T00:00:00Z/.."),
        ("datetime", "2024-06-01t02:00:00.5+02:00", "2024-06-01T00:00:00.500Z"),
        ("intersects", json.dumps(POINT), POINT),
        ("limit", "10", 10),
        ("limit", "0010", 10.0),
        ("limit", "99999999999999999999999999", 1e25),
        ("token", "next:é%20", "next:é%20"),
    ],
)
def test_both_spellings_mean_the_same(name: str, text: str, value: Any) -> None:
    assert by_query(**{name: text}) == by_body(**{name: value}) != by_query()


def test_values_are_typed() -> None:
    search = by_query(bbox="5,45,15,48", datetime="../1970-01-01T00:00:01Z", ids="a", limit="7", token="t")
    assert search == ItemSearch(
        limit=7, token="t", ids=("a",), bbox=BBox(5, 45, 15, 48), datetime=Interval(None, 1_000_000)
    )
    assert by_body(intersects=POINT).intersects == shapely.Point(7.5, 46.9)


@pytest.mark.parametrize(("params", "body"), [({"ids": "", "collections": ","}, {"ids": [], "collections": []})])
def test_empty_list_is_no_condition(params: dict[str, str], body: dict[str, Any]) -> None:
    assert by_query(**params) == by_body(**body) == by_query()


def test_null_in_a_body_is_no_condition() -> None:
    assert by_body(**dict.fromkeys(EXAMPLES)) == by_query()


def test_one_collection_may_come_as_a_string() -> None:
    assert by_body(collections="a,b").collections == ("a,b",)


def test_limit_above_the_maximum_is_lowered() -> None:
    assert by_query(limit="10001").limit == by_body(limit=10**30).limit == 10_000


@pytest.mark.parametrize(
    "text", ["0", "-1", "+1", "1.5", "1e3", "abc", " 1", "١", "", "0x10", "1_0", "000", "9" * 5000 + "a"]
)
def test_limit_is_a_whole_number_from_one_on(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"limit: .*limit=10"):
        by_query(limit=text)


@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, [], {}, -1e30])
def test_limit_in_a_body_is_a_whole_number_from_one_on(value: Any) -> None:
    with pytest.raises(InvalidParameter, match="limit"):
        by_body(limit=value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bbox", ""),
        ("bbox", "1,2,3"),
        ("bbox", "1,2,3,4,5"),
        ("bbox", "[1,2,3,4]"),
        ("bbox", "1,2,3,nan"),
        ("bbox", "1,2,3,inf"),
        ("bbox", "1,2,3,1e400"),
        ("bbox", "1,5,3,4"),
        ("bbox", "1,2,3,91"),
        ("datetime", ""),
        ("datetime", "2024-06-01"),
        ("datetime", "../.."),
        ("datetime", "2024-06-01T00:00:00 02:00"),
        ("intersects", ""),
        ("intersects", "POINT(1 2)"),
        ("intersects", "[" * 100_000),
        ("intersects", '{"type":"Point","coordinates":[NaN,1]}'),
        ("intersects", "null"),
        ("token", ""),
        ("filter", ""),
        ("filter-lang", "cql"),
        ("filter-crs", "http://www.opengis.net/def/crs/EPSG/0/3857"),
        ("ids", "a,b,c,d"),
    ],
)
def test_wrong_value_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        item_search_from_query([(name, text)], LIMITS)
    assert caught.value.parameter == name
    assert len(caught.value.description) < 1_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bbox", "1,2,3,4"),
        ("bbox", ["1", "2", "3", "4"]),
        ("bbox", [1, 2, True, 4]),
        ("bbox", []),
        ("bbox", [1, 2, 3, 10**400]),
        ("bbox", {"west": 1}),
        ("datetime", 2024),
        ("datetime", ""),
        ("datetime", ["2024-06-01T00:00:00Z", None]),
        ("intersects", "POINT(1 2)"),
        ("intersects", []),
        ("intersects", {"type": "Point", "coordinates": [1]}),
        ("ids", "a"),
        ("ids", [1]),
        ("ids", {"a": 1}),
        ("ids", ["a", "b", "c", "d"]),
        ("collections", 7),
        ("collections", [None]),
        ("token", 7),
        ("token", ""),
        ("filter", 7),
        ("filter", []),
        ("filter", "a = 1"),
        ("filter-lang", ["cql2-text"]),
        ("filter-crs", 4326),
    ],
)
def test_wrong_type_in_a_body_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidParameter) as caught:
        item_search_from_body({name: value}, LIMITS)
    assert caught.value.parameter == name


@pytest.mark.parametrize("body", [None, [], "text", 7, True, [{"limit": 1}]])
def test_body_is_an_object(body: Any) -> None:
    with pytest.raises(InvalidBody, match="JSON object"):
        item_search_from_body(body, LIMITS)


def test_bbox_beside_intersects_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"bbox: .*intersects"):
        by_query(bbox="1,2,3,4", intersects=json.dumps(POINT))
    with pytest.raises(InvalidParameter, match=r"bbox: .*intersects"):
        by_body(bbox=[1, 2, 3, 4], intersects=POINT)


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidParameter, match=r"colections: .*'collections'"):
        by_query(colections="a")
    with pytest.raises(InvalidParameter, match=r"date_time: .*'datetime'"):
        item_search_from_body({"date_time": None}, LIMITS)


@pytest.mark.parametrize("name", [".language", "apikey"])
def test_names_of_others_are_ignored(name: str) -> None:
    assert item_search_from_query([(name, "x"), (name, "y")], LIMITS) == by_query()
    assert item_search_from_body({name: {"x": 1}}, LIMITS) == by_query()


def test_parameter_given_twice_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"collections: .*more than once.*collections=a,b"):
        item_search_from_query([("collections", "a"), ("collections", "b")], LIMITS)


def test_other_parameters_are_read_alike() -> None:
    assert read_parameters([("limit", "1"), (".x", "2"), ("key", "3")], ["limit"], ["key"]) == {"limit": "1"}
    with pytest.raises(InvalidParameter, match=r"lim: is no parameter here. Did you mean 'limit'"):
        read_parameters([("lim", "1")], ["limit"], [])


def test_filter_means_the_same_in_every_spelling() -> None:
    text = '"eo:cloud_cover" < 10'
    searches = [
        by_query(filter=text),
        by_query(filter=text, filter_lang="cql2-text", filter_crs=CRS84),
        by_query(filter=json.dumps(LESS_THAN_TEN), filter_lang="cql2-json"),
        by_body(filter=LESS_THAN_TEN),
        by_body(filter=LESS_THAN_TEN, filter_lang="cql2-json", filter_crs=CRS84),
        by_body(filter=text, filter_lang="cql2-text"),
    ]
    assert searches == [searches[0]] * 6
    assert searches[0].filter is not None


def test_filter_may_be_a_bare_truth() -> None:
    assert by_body(filter=False).filter is False


@pytest.mark.parametrize(
    "params",
    [
        {"filter": json.dumps(LESS_THAN_TEN)},
        {"filter": "a < 1", "filter_lang": "cql2-json"},
        {"filter": "a <"},
        {"filter": "a = 1" + " " * 50_000},
    ],
)
def test_filter_that_cannot_be_read_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(InvalidFilter):
        by_query(**params)


@pytest.mark.parametrize(
    ("value", "lang", "advice"),
    [
        ("a = 1", None, '"filter-lang": "cql2-text"'),
        ("a = 1", "cql2-json", '"filter-lang": "cql2-text"'),
        (LESS_THAN_TEN, "cql2-text", 'leave "filter-lang" out'),
    ],
)
def test_filter_of_another_language_is_refused_with_advice(value: Any, lang: str | None, advice: str) -> None:
    with pytest.raises(InvalidFilter, match=advice):
        by_body(filter=value, filter_lang=lang)


def test_unknown_filter_language_is_told_before_the_filter_is_read() -> None:
    with pytest.raises(InvalidParameter, match=r"filter-lang: is cql2-text or cql2-json, not 'ecql'"):
        by_query(filter="a <", filter_lang="ecql")


def test_search_below_a_collection_is_intersected_with_its_own() -> None:
    assert search_in_collection(by_query(limit="3"), "a") == ItemSearch(limit=3, collections=("a",))
    assert search_in_collection(by_query(collections="a,b"), "a").collections == ("a",)
    assert search_in_collection(by_query(collections="b"), "a").collections == ()


def test_search_below_a_catalog_keeps_the_rest() -> None:
    assert search_in_catalog(by_query(ids="x"), "europe:2024") == ItemSearch(
        limit=100, ids=("x",), catalog="europe:2024"
    )


@given(st.dictionaries(st.sampled_from([*EXAMPLES, "sortby"]), st.text(max_size=30)))
def test_any_query_is_read_or_refused(params: dict[str, str]) -> None:
    try:
        item_search_from_query(list(params.items()), LIMITS)
    except InvalidParameter as error:
        assert error.parameter in params


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*EXAMPLES, "sortby"]), JSON_VALUES))
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        item_search_from_body(body, LIMITS)
    except InvalidParameter as error:
        assert error.parameter in body


@pytest.mark.parametrize("spelling", [0, 1])
def test_examples_in_messages_are_right(spelling: int) -> None:
    for name, examples in EXAMPLES.items():
        if name == "token":
            continue
        if spelling == 0:
            item_search_from_query([(name, examples[0].partition("=")[2])], LIMITS)
        else:
            item_search_from_body(json.loads(f"{{{examples[1]}}}"), LIMITS)
