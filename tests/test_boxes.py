"""The R-tree: packed like one that SQLite filled, and boxes that never prove what the geometries deny."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest
import shapely
import shapely.affinity
import shapely.geometry
from hypothesis import given, settings
from hypothesis import strategies as st

from searching import find_ids, find_pages, identities_of, index_items, make_box, make_item, reading
from stacserve.store.boxes import KIND_BITS, MARGIN, BoxKind, Entries, box_rows, pack_boxes, slab_size, tree_bounds

Box = tuple[float, ...]
COUNTS = [0, 1, 39, 40, 41, 80, 81, 1_600, 1_601, 5_000]


def random_boxes(count: int, seed: int = 0) -> dict[int, Box]:
    """Return boxes as x0 x1 y0 y1 r0 r1 by row number: points among them, some at one place, of rising rank."""
    rng = Random(seed)
    boxes: dict[int, Box] = {}
    for number in range(count):
        x, y = rng.choice([(rng.uniform(-180, 180), rng.uniform(-90, 90)), (7.1, 46.3), (-180.0, 0.1)])
        width, height = rng.choice([0.0, 1e-7, 0.1, 30.0]), rng.choice([0.0, 1e-7, 0.1, 30.0])
        rank = 360 * (number + 0.5) / count
        boxes[(rng.randrange(10**6) * count + number) << KIND_BITS] = (x, x + width, y, y + height, rank, rank)
    return boxes


def packed_tree(boxes: dict[int, Box]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE item_boxes USING rtree(id, x0, x1, y0, y1, r0, r1)")
    rows, size = list(boxes), slab_size(max(1, len(boxes)))
    slabs = [rows[at : at + size] for at in range(0, len(rows), size)]
    pack_boxes(
        connection,
        (Entries(numpy.array(slab), numpy.array([boxes[row] for row in slab], dtype=float)) for slab in slabs),
    )
    return connection


def check_tree(connection: sqlite3.Connection, boxes: dict[int, Box]) -> None:
    """Compare the tree with the boxes, and what it finds with what is there."""
    assert connection.execute("SELECT rtreecheck('item_boxes')").fetchone() == ("ok",)
    stored = {row[0]: row[1:] for row in connection.execute("SELECT * FROM item_boxes")}
    assert stored.keys() == boxes.keys()
    for row, box in boxes.items():
        assert all(low <= exact for low, exact in zip(stored[row][::2], box[::2], strict=True))
        assert all(high >= exact for high, exact in zip(stored[row][1::2], box[1::2], strict=True))
        assert stored[row] == pytest.approx(box, abs=MARGIN)
    rng = Random(len(boxes))
    for _ in range(20):
        low = [rng.uniform(-180, 180), rng.uniform(-90, 90), rng.uniform(0, 360)]
        high = [value + rng.choice([0.0, 1.0, 60.0]) for value in low]
        assert query(connection, low, high) == {
            row
            for row, box in stored.items()
            if all(box[2 * n + 1] >= low[n] and box[2 * n] <= high[n] for n in range(3))
        }


def query(connection: sqlite3.Connection, low: list[float], high: list[float]) -> set[int]:
    conditions = "x1 >= ? AND y1 >= ? AND r1 >= ? AND x0 <= ? AND y0 <= ? AND r0 <= ?"
    return {row for (row,) in connection.execute(f"SELECT id FROM item_boxes WHERE {conditions}", [*low, *high])}  # noqa: S608


# --- The packed tree


@pytest.mark.parametrize("count", COUNTS)
def test_a_packed_tree_is_a_good_tree(count: int) -> None:
    boxes = random_boxes(count)
    check_tree(packed_tree(boxes), boxes)


@pytest.mark.parametrize("count", COUNTS)
def test_a_packed_tree_takes_rows_and_gives_them_up(count: int) -> None:
    boxes, rng = random_boxes(count), Random(count)
    connection = packed_tree(boxes)
    for row, box in random_boxes(300, seed=1).items():
        connection.execute("INSERT INTO item_boxes VALUES (?, ?, ?, ?, ?, ?, ?)", (row | 1, *box))
        boxes[row | 1] = box
    for row in rng.sample(sorted(boxes), min(len(boxes), 1_000)):
        connection.execute("DELETE FROM item_boxes WHERE id = ?", (row,))
        del boxes[row]
    check_tree(connection, boxes)
    for row in boxes:
        connection.execute("DELETE FROM item_boxes WHERE id = ?", (row,))
    check_tree(connection, {})


def test_a_tree_is_packed_again_over_what_was_there() -> None:
    connection = packed_tree(random_boxes(3_000))
    connection.execute("DELETE FROM item_boxes")
    boxes = random_boxes(50)
    row_numbers = numpy.array(list(boxes))
    pack_boxes(connection, iter([Entries(row_numbers, numpy.array(list(boxes.values())))]))
    check_tree(connection, boxes)


@pytest.mark.parametrize("count", [1, 40, 41, 3_000])
def test_the_root_tells_where_everything_lies(count: int) -> None:
    boxes = random_boxes(count)
    (root,) = packed_tree(boxes).execute("SELECT data FROM item_boxes_node WHERE nodeno = 1").fetchone()
    bounds = tree_bounds(root)
    assert bounds == pytest.approx(
        [choose(box[n] for box in boxes.values()) for choose, n in [(min, 0), (min, 2), (max, 1), (max, 3)]], abs=MARGIN
    )


def test_the_root_of_an_empty_tree_tells_nothing() -> None:
    assert tree_bounds(packed_tree({}).execute("SELECT data FROM item_boxes_node").fetchone()[0]) is None


# --- Kinds

TRIANGLE = [(0, 0), (1, 0), (1, 1), (0, 0)]
KINDS: list[tuple[Any, list[BoxKind]]] = [
    (shapely.Point(1, 2), [BoxKind.FILLED]),
    (shapely.box(0, 0, 1, 2), [BoxKind.FILLED]),
    (shapely.box(0, 0, 1, 2).reverse(), [BoxKind.FILLED]),
    (shapely.Polygon(TRIANGLE), [BoxKind.CONNECTED]),
    (shapely.Polygon([(0, 0), (1, 0), (1, 0), (1, 1), (0, 0)]), [BoxKind.CONNECTED]),
    (shapely.Polygon([(1, 0), (2, 1), (1, 2), (0, 1), (1, 0)]), [BoxKind.CONNECTED]),
    (shapely.box(0, 0, 9, 9) - shapely.box(1, 1, 2, 2), [BoxKind.CONNECTED]),
    (shapely.LineString([(0, 0), (1, 1)]), [BoxKind.CONNECTED]),
    (shapely.MultiPoint([(0, 0)]), [BoxKind.CONNECTED]),
    (shapely.MultiPoint([(0, 0), (1, 1)]), [BoxKind.SCATTERED]),
    (shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(5, 5, 6, 6)]), [BoxKind.SCATTERED]),
    (shapely.GeometryCollection([shapely.MultiPoint([(0, 0), (1, 1)])]), [BoxKind.SCATTERED]),
    (shapely.MultiPolygon([shapely.box(-100, 0, -99, 1), shapely.box(79, 0, 80, 1)]), [BoxKind.SCATTERED]),
    (shapely.GeometryCollection([shapely.box(-100, 0, 90, 1), shapely.GeometryCollection()]), [BoxKind.SCATTERED]),
    (
        shapely.MultiPolygon([shapely.box(170, 0, 180, 1), shapely.box(-180, 0, -170, 2)]),
        [BoxKind.WEST_OF_TWO, BoxKind.EAST_OF_TWO],
    ),
    (
        shapely.GeometryCollection([shapely.Point(-179, 0), shapely.LineString([(178, 1), (179, 2)])]),
        [BoxKind.WEST_OF_TWO, BoxKind.EAST_OF_TWO],
    ),
    (shapely.MultiPoint([(-179, 0), (0, 5), (179, 0)]), [BoxKind.WEST_OF_TWO, BoxKind.EAST_OF_TWO]),
]


@pytest.mark.parametrize(("shape", "kinds"), KINDS)
def test_the_kind_of_a_box_tells_how_the_geometry_fills_it(shape: Any, kinds: list[BoxKind]) -> None:
    assert box_rows([shape.wkb]).kinds.tolist() == kinds


def test_second_boxes_come_after_the_first_ones_and_name_their_geometry() -> None:
    rows = box_rows([shape.wkb for shape, _ in KINDS])
    assert rows.items.tolist() == [*range(len(KINDS)), len(KINDS) - 3, len(KINDS) - 2, len(KINDS) - 1]
    assert len(rows.kinds) == len(rows.bounds) == len(rows.items)
    assert numpy.isfinite(rows.bounds).all()
    for number, (shape, _) in enumerate(KINDS):
        boxes = [rectangle(*bounds) for bounds in rows.bounds[rows.items == number].tolist()]
        assert all(any(box.covers(part) for box in boxes) for part in shapely.get_parts(shape) if not part.is_empty)


def test_no_geometries_have_no_boxes() -> None:
    assert [len(column) for column in box_rows([])] == [0, 0, 0]


# --- What boxes prove: the answer and the count equal those of shapely


def random_shapes(rng: Random, count: int) -> list[Any]:
    """Return geometries of every kind on a coarse grid, so that borders touch, some off it by very little."""
    return [shapely.affinity.translate(_random_shape(rng), *_random_step(rng)) for _ in range(count)]


def _random_step(rng: Random) -> tuple[float, float]:
    return rng.choice([0.0, 1e-6, -1e-6, 1e-9]), rng.choice([0.0, 1e-6, -1e-6, 1e-9])


def _random_shape(rng: Random) -> Any:
    x, y, width, height = rng.randint(-6, 6), rng.randint(-6, 6), rng.randint(1, 4), rng.randint(1, 4)
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    return rng.choice(
        [
            shapely.Point(x, y),
            shapely.box(*corners[0], *corners[2]),
            shapely.Polygon(corners[:3]),
            shapely.Polygon([*corners[:3], corners[2]]),
            shapely.LineString([corners[0], corners[2]]),
            shapely.LineString(corners[:2]),
            shapely.Polygon(
                [(x + width, y), (x + 2 * width, y + height), (x + width, y + 2 * height), (x, y + height)]
            ),
            shapely.MultiPoint(corners[:2]),
            shapely.MultiPoint(corners[1::2]),
            shapely.LineString([corners[1], *corners[:-4:-1]]),
            shapely.MultiPolygon([shapely.box(x, y, x + 0.5, y + 0.5), shapely.box(x + 3, y + 3, x + 4, y + 4)]),
        ]
    )


@pytest.fixture(scope="module", params=[3, 60, 400])
def shapes_and_index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    shapes = random_shapes(Random(request.param), request.param)
    items = [
        make_item(f"{n:03}", geometry=json.loads(shapely.to_geojson(shape)), n=n % 2) for n, shape in enumerate(shapes)
    ]
    return shapes, index_items(tmp_path_factory.mktemp("shapes"), items)


def rectangle(west: float, south: float, east: float, north: float) -> Any:
    """Return a rectangle, or the line or the point that it shrinks to."""
    if west == east and south == north:
        return shapely.Point(west, south)
    if west == east or south == north:
        return shapely.LineString([(west, south), (east, north)])
    return shapely.box(west, south, east, north)


def check_spatial(shapes_and_index: tuple[list[Any], Path], search: dict[str, Any], shape: Any) -> None:
    """Compare a search by space, alone and with a second condition, and its pages, with shapely."""
    shapes, index = shapes_and_index
    shapely.prepare(shape)
    wanted = [f"{number:03}" for number in numpy.flatnonzero(shapely.intersects(shape, shapes)).tolist()]
    with reading(index) as snapshot:
        assert find_ids(snapshot, search) == wanted
        odd = {**search, "filter": {"op": "=", "args": [{"property": "n"}, 1]}}
        assert find_ids(snapshot, odd) == [item_id for item_id in wanted if int(item_id) % 2]
        pages = find_pages(snapshot, {**search, "limit": 1 + len(wanted) // 3})
        assert [identity.id for identity in identities_of(pages)] == wanted
        assert {page.matched for page in pages} == {len(wanted)}


steps = st.sampled_from([0.0, 1e-6, -1e-6, 1e-9, 5e-5, -5e-5])
degrees = st.builds(lambda whole, step: whole + step, st.integers(-7, 7).map(float), steps)
spans = st.tuples(degrees, degrees).map(sorted)


@settings(max_examples=60, deadline=None)
@given(x=spans, y=spans)
def test_a_bbox_finds_what_its_rectangle_meets(shapes_and_index: Any, x: list[float], y: list[float]) -> None:
    check_spatial(shapes_and_index, {"bbox": [x[0], y[0], x[1], y[1]]}, rectangle(x[0], y[0], x[1], y[1]))


@settings(max_examples=30, deadline=None)
@given(west=degrees, east=degrees, y=spans)
def test_a_bbox_across_180_finds_both_sides(shapes_and_index: Any, west: float, east: float, y: list[float]) -> None:
    west, east = max(west, east) + 1e-3, min(west, east)
    sides = rectangle(west, y[0], 180, y[1]), rectangle(-180, y[0], east, y[1])
    check_spatial(shapes_and_index, {"bbox": [west, y[0], east, y[1]]}, shapely.GeometryCollection(sides))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_geometry_finds_what_it_meets(shapes_and_index: Any, seed: int) -> None:
    rng = Random(seed)
    shape = shapely.affinity.scale(_random_shape(rng), rng.choice([1, 1, 3]), rng.choice([1, 1, 3]))
    geometry = json.loads(shapely.to_geojson(shape))
    check_spatial(shapes_and_index, {"intersects": geometry}, shapely.geometry.shape(geometry))


whole_spans = st.tuples(st.integers(-7, 7).map(float), st.integers(-7, 7).map(float)).map(sorted)


@settings(max_examples=30, deadline=None)
@given(x=whole_spans, y=whole_spans, seed=st.integers(0, 10**6))
def test_a_geometry_a_turn_further_finds_the_same(
    shapes_and_index: Any, x: list[float], y: list[float], seed: int
) -> None:
    """One part lies beyond 180 degrees, one at home, one across the antimeridian."""
    far, near = rectangle(x[0], y[0], x[1], y[1]), _random_shape(Random(seed))
    parts = [shapely.affinity.translate(far, 360), near, shapely.box(178, -1, 182, 1)]
    shapes, index = shapes_and_index
    with reading(index) as snapshot:
        found = find_ids(snapshot, {"intersects": json.loads(shapely.to_geojson(shapely.GeometryCollection(parts)))})
    wanted = shapely.intersects(far, shapes) | shapely.intersects(near, shapes)
    assert found == [f"{number:03}" for number in numpy.flatnonzero(wanted).tolist()]


@settings(max_examples=20, deadline=None)
@given(x=spans, y=spans, seed=st.integers(0, 10**6))
def test_two_spatial_conditions_must_both_hold(
    shapes_and_index: Any, x: list[float], y: list[float], seed: int
) -> None:
    shapes, index = shapes_and_index
    shape, box = _random_shape(Random(seed)), rectangle(x[0], y[0], x[1], y[1])
    other = {"op": "s_intersects", "args": [{"property": "geometry"}, json.loads(shapely.to_geojson(shape))]}
    with reading(index) as snapshot:
        found = find_ids(snapshot, {"bbox": [x[0], y[0], x[1], y[1]], "filter": other})
    both = shapely.intersects(box, shapes) & shapely.intersects(shape, shapes)
    assert found == [f"{number:03}" for number in numpy.flatnonzero(both).tolist()]


def test_the_margin_is_wider_than_what_rounding_moves(tmp_path: Path) -> None:
    """Boxes far from 0, where 32-bit floats are coarsest, that end very near a side of the query."""
    steps = [step * 10.0**-exponent for exponent in (4, 5, 6, 9) for step in (-3, -1, 0, 1, 3)]
    items = [make_item(f"{n:02}", geometry=make_box(178, 10, 179.1 + step, 11)) for n, step in enumerate(steps)]
    with reading(index_items(tmp_path, items)) as snapshot:
        found = find_ids(snapshot, {"bbox": [179.1, 9, 180, 12]})
    assert found == [f"{n:02}" for n, step in enumerate(steps) if 179.1 + step >= 179.1]


@pytest.mark.parametrize("refreshed", [False, True])
def test_items_in_two_parts_are_found_and_counted_once(tmp_path: Path, refreshed: bool) -> None:
    halves = shapely.MultiPolygon([shapely.box(170, 0, 180, 9), shapely.box(-180, 0, -170, 9)])
    whole = shapely.box(-180, 0, 180, 9)
    items = [make_item(f"split-{n:02}", geometry=json.loads(shapely.to_geojson(halves))) for n in range(60)]
    items += [make_item(f"whole-{n:02}", geometry=json.loads(shapely.to_geojson(whole))) for n in range(10)]
    index = index_items(tmp_path, items[:1] if refreshed else items)
    index = index_items(tmp_path, items)
    with reading(index) as snapshot:
        for bbox, count in [
            ([-180, -90, 180, 90], 70),
            ([-181, -90, 180, 90], 70),
            ([-180, 1, 180, 90], 70),
            ([160, 1, -160, 2], 70),
            ([175, 1, 176, 2], 70),
            ([-176, 1, -175, 2], 70),
            ([-160, 1, 160, 2], 10),
            ([-180, 1, 179, 8], 70),
        ]:
            assert len(find_ids(snapshot, {"bbox": bbox})) == count
            pages = find_pages(snapshot, {"bbox": bbox, "limit": 7})
            assert len(identities_of(pages)) == len(set(identities_of(pages))) == count
