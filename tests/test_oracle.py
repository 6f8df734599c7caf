"""The oracle itself against answers worked out by hand, and the random catalogs against what they promise."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import shapely

from oracle import Identity, SourceItem, evaluate, expected, item_shape, matches, read_instant, read_items
from random_stac import cql2_text, random_catalog, random_search

NOON = "2024-06-01T12:00:00Z"
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}


def make_item(
    geometry: Any = None, bbox: Any = None, container: tuple[int, str] = (0, "a"), **properties: Any
) -> SourceItem:
    document = {"type": "Feature", "geometry": geometry, "properties": properties} | ({"bbox": bbox} if bbox else {})
    instant, start, end = (
        read_instant(properties.get(name)) for name in ("datetime", "start_datetime", "end_datetime")
    )
    if start is None or end is None:
        start = end = instant
    identity = Identity(container, properties.get("name", "x"))
    return SourceItem(identity, document, None, item_shape(document), instant, start, end)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:59.999999z", -1),
        ("1970-01-01t00:00:00.0000019Z", 1),
        ("1970-01-01", None),
        ("2021-02-29T00:00:00Z", None),
        (5, None),
    ],
)
def test_instants_are_microseconds(text: Any, microseconds: int | None) -> None:
    assert read_instant(text) == microseconds


@pytest.mark.parametrize(
    ("interval", "found"),
    [
        ("2024-01-01T00:00:00Z", True),
        ("2024-03-01T00:00:00Z/..", True),
        ("2024-03-01T00:00:01Z/..", False),
        ("/2024-01-01T00:00:00Z", True),
        ("../2023-12-31T23:59:59Z", False),
        ("2024-02-01T00:00:00Z/2024-02-02T00:00:00Z", True),
    ],
)
def test_an_item_with_an_interval_is_found_anywhere_in_it(interval: str, found: bool) -> None:
    item = make_item(datetime=None, start_datetime="2024-01-01T00:00:00Z", end_datetime="2024-03-01T00:00:00Z")
    assert matches(item, {"datetime": interval}) is found


@pytest.mark.parametrize(
    ("geometry", "bbox"),
    [
        ([[170, 0], [-170, 0], [-170, 9], [170, 9], [170, 0]], [170, 0, -170, 9]),
        ([[170, 0], [190, 0], [190, 9], [170, 9], [170, 0]], None),
        ([[-190, 0], [-170, 0], [-170, 9], [-190, 9], [-190, 0]], None),
    ],
)
def test_an_item_across_the_antimeridian_is_found_from_both_sides_only(geometry: Any, bbox: Any) -> None:
    item = make_item({"type": "Polygon", "coordinates": [geometry]}, bbox)
    found = [matches(item, {"bbox": [west, 1, west + 1, 2]}) for west in (172, -173, -160, 0, 160)]
    assert found == [True, True, False, False, False]
    assert matches(item, {"bbox": [179, 1, -179, 2]})


def test_a_box_is_compared_with_the_geometry_and_not_with_its_box() -> None:
    hole = [[0.5, 0.5], [0.5, 1.5], [1.5, 1.5], [1.5, 0.5], [0.5, 0.5]]
    item = make_item({"type": "Polygon", "coordinates": [*SQUARE["coordinates"], hole]})
    assert not matches(item, {"bbox": [0.9, 0.9, 1.1, 1.1]})
    assert matches(item, {"bbox": [2, 2, 2, 2]})
    assert matches(item, {"bbox": [2, -5, -1, 2, 5, 1]})


def test_no_geometry_matches_nothing_spatial() -> None:
    item = make_item(None)
    here = {"op": "s_intersects", "args": [{"property": "geometry"}, SQUARE]}
    assert not matches(item, {"bbox": [-180, -90, 180, 90]})
    assert evaluate(here, item) is None
    assert evaluate({"op": "not", "args": [here]}, item) is None


def test_a_ring_that_crosses_itself_is_made_valid() -> None:
    shape = item_shape({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}})
    assert shape is not None
    assert shapely.equals(shape, shapely.from_wkt("MULTIPOLYGON(((0 0,1 1,0 2,0 0)),((2 0,2 2,1 1,2 0)))"))


COMPARISONS: list[tuple[Any, bool | None]] = [
    ({"op": "=", "args": [{"property": "one"}, 1]}, True),
    ({"op": "=", "args": [{"property": "one"}, True]}, None),
    ({"op": "=", "args": [{"property": "one"}, "1"]}, None),
    ({"op": "<", "args": [2, {"property": "big"}]}, True),
    ({"op": "=", "args": [{"property": "big"}, 2**53]}, False),
    ({"op": "<>", "args": [{"property": "missing"}, 1]}, None),
    ({"op": "isNull", "args": [{"property": "missing"}]}, True),
    ({"op": "isNull", "args": [{"property": "list"}]}, False),
    ({"op": "=", "args": [{"property": "list"}, 1]}, None),
    ({"op": "in", "args": [{"property": "text"}, ["a%b", "c"]]}, True),
    ({"op": "in", "args": [{"property": "text"}, [1, 2]]}, None),
    ({"op": "between", "args": [{"property": "one"}, 1, 1]}, True),
    ({"op": "like", "args": [{"property": "text"}, "a\\%_"]}, True),
    ({"op": "like", "args": [{"property": "text"}, "A%"]}, False),
    ({"op": "like", "args": [{"property": "one"}, "%"]}, None),
    ({"op": "=", "args": [{"property": "datetime"}, {"timestamp": "2024-06-01T14:00:00+02:00"}]}, True),
    ({"op": "=", "args": [{"property": "datetime"}, {"date": "2024-06-01"}]}, True),
    ({"op": ">", "args": [{"property": "datetime"}, {"date": "2024-06-01"}]}, False),
    ({"op": "<=", "args": [{"date": "2024-06-02"}, {"property": "datetime"}]}, False),
    ({"op": "<", "args": [{"property": "text"}, {"timestamp": NOON}]}, None),
]


@pytest.mark.parametrize(("tree", "answer"), COMPARISONS)
def test_comparisons_know_three_answers(tree: Any, answer: bool | None) -> None:
    item = make_item(datetime=NOON, one=1, big=2**53 + 1, text="a%b", list=[1])
    assert evaluate(tree, item) is answer


@pytest.mark.parametrize(
    ("op", "args", "answer"),
    [
        ("and", [True, None], None),
        ("and", [False, None], False),
        ("or", [True, None], True),
        ("or", [False, None], None),
        ("not", [None], None),
        ("not", [False], True),
    ],
)
def test_logic_is_that_of_the_standard(op: str, args: list[bool | None], answer: bool | None) -> None:
    unknown = {"op": "=", "args": [{"property": "missing"}, 1]}
    tree = {"op": op, "args": [unknown if arg is None else arg for arg in args]}
    assert evaluate(tree, make_item()) is answer


def test_the_order_is_newest_first_then_collection_then_id() -> None:
    items = [
        make_item(name="none"),
        make_item(name="loose", container=(1, "a"), datetime=NOON),
        make_item(name="b", container=(0, "z"), datetime=NOON),
        make_item(name="a", container=(0, "z"), datetime=NOON),
        make_item(name="Z", container=(0, "z"), datetime=NOON),
        make_item(
            name="start", datetime=None, start_datetime="2025-01-01T00:00:00Z", end_datetime="2026-01-01T00:00:00Z"
        ),
    ]
    assert [identity.id for identity in expected(items, {})] == ["start", "Z", "a", "b", "loose", "none"]


def test_items_belong_to_their_own_collection_or_to_the_nearest_or_to_a_catalog(tmp_path: Path) -> None:
    item: dict[str, Any] = {
        "type": "Feature",
        "id": "i",
        "geometry": None,
        "properties": {"datetime": NOON},
        "links": [],
    }
    links = [{"rel": "item", "href": name} for name in ("own.json", "near.json")]
    documents = {
        "catalog.json": {"type": "Catalog", "id": "root", "links": [{"rel": "child", "href": x} for x in ("c", "d")]},
        "c": {"type": "Collection", "id": "C", "links": [{"rel": "child", "href": "d2"}]},
        "d2": {"type": "Catalog", "id": "below", "links": links},
        "d": {"type": "Catalog", "id": "D", "links": links},
        "own.json": {**item, "collection": "C", "id": "own"},
        "near.json": {**item, "id": "near"},
    }
    for name, document in documents.items():
        (tmp_path / name).write_text(json.dumps(document))
    assert [item.identity for item in read_items(tmp_path)] == [
        ((0, "C"), "own"),
        ((0, "C"), "near"),
        ((1, "D"), "near"),
    ]


def test_random_catalogs_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first = read_items(random_catalog(tmp_path / "a", 7, 60))
    second = read_items(random_catalog(tmp_path / "b", 7, 60))
    assert [item.document for item in first] == [item.document for item in second]
    assert len({item.identity for item in first}) == 60


def test_random_searches_find_some_and_not_all(tmp_path: Path) -> None:
    items = read_items(random_catalog(tmp_path, 7, 100))
    rng = Random(7)
    sizes = [len(expected(items, random_search(rng, items).search)) for _ in range(100)]
    assert 20 < sum(0 < size < 100 for size in sizes) < 100


def test_trees_are_written_as_text() -> None:
    tree = {
        "op": "and",
        "args": [{"op": "in", "args": [{"property": "a b"}, [1, "it's"]]}, {"op": "not", "args": [True]}],
    }
    assert cql2_text(tree) == """("a b" IN (1, 'it''s')) and (NOT (TRUE))"""
