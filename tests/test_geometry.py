"""Bboxes and geometries: what is read, what is refused, and what the antimeridian makes of them."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
import shapely
import shapely.affinity
import shapely.geometry
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stacserve.errors import InvalidParameter
from stacserve.geometry import (
    BBox,
    bbox_shape,
    index_geometries,
    parse_bbox,
    parse_geometry,
    split_at_antimeridian,
)

PATIENT = settings(max_examples=200, deadline=None)
SQUARE = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]
TINY = [[0.5, 0.5], [1, 0.5], [1, 1], [0.5, 0.5]]


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


# --- Bboxes


@pytest.mark.parametrize(
    ("values", "box"),
    [
        ([5, 46, 10, 48], (5, 46, 10, 48)),
        (["5", " 46 ", "+10.5", "4.8e1"], (5, 46, 10.5, 48)),
        ([5, 46, -100, 10, 48, 9000], (5, 46, 10, 48)),
        ([5, 46, 9000, 10, 48, -100], (5, 46, 10, 48)),
        ([5, 46, 5, 46], (5, 46, 5, 46)),
        ([-180, -90, 180, 90], (-180, -90, 180, 90)),
        ([170, -10, -170, 10], (170, -10, -170, 10)),
        ([170, -10, 190, 10], (170, -10, -170, 10)),
        ([-190, -10, -170, 10], (170, -10, -170, 10)),
        ([190, -10, 200, 10], (-170, -10, -160, 10)),
        ([0, -10, 360, 10], (-180, -10, 180, 10)),
        ([-200, -10, 170, 10], (-180, -10, 180, 10)),
        ([10, -10, 350, 10], (10, -10, -10, 10)),
        ([180, 0, 180, 0], (180, 0, 180, 0)),
        ([".5", "-0", "1.", "0e5"], (0.5, 0, 1, 0)),
    ],
)
def test_a_bbox_is_four_or_six_numbers(values: list[Any], box: tuple[float, ...]) -> None:
    assert parse_bbox(values) == box


@pytest.mark.parametrize(
    "values",
    [
        [], [1], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7], [5, 48, 10, 46], [0, 0, 0, 0, -1, 0],
        [0, -91, 1, 0], [0, 0, 1, 90.0001], [361, 0, 362, 1], [-361, 0, 0, 1], [0, 0, math.nan, 1], [0, 0, math.inf, 1],
        [0, 0, 10**400, 1], ["nan", "0", "1", "1"], ["inf", "0", "1", "1"], ["1e999", "0", "1", "1"],
        ["1_0", "0", "11", "1"], ["١", "0", "1", "1"], ["", "0", "1", "1"], ["0x1", "0", "1", "1"],
        ["1,5", "0", "1", "1"], [None, 0, 1, 1], [True, 0, 1, 1], [[0], 0, 1, 1], [{}, 0, 1, 1],
        ["1" * 10_000, "0", "1", "1"], ["e5", "0", "1", "1"],
        [0, 0, math.nan, 1, 1, 1], ["1e", "0", "1", "1"], ["--1", "0", "1", "1"], [".", "0", "1", "1"],
    ],
)  # fmt: skip
def test_what_is_no_bbox_is_refused(values: list[Any]) -> None:
    with pytest.raises(InvalidParameter, match=r"^bbox: .*write west,south,east,north such as 5\.5,46,10,48"):
        parse_bbox(values)


longitudes = st.floats(-360, 360)
latitudes = st.floats(-90, 90)


@PATIENT
@given(west=longitudes, east=longitudes, south=latitudes, north=latitudes, x=st.floats(-180, 180), y=latitudes)
def test_a_bbox_holds_the_same_places_however_it_is_written(
    west: float, east: float, south: float, north: float, x: float, y: float
) -> None:
    south, north = sorted([south, north])
    assume(1e-6 < (east - west) % 360 < 360 - 1e-6)
    assume(min(abs(x - side - turn) for side in (west, east) for turn in (-360, 0, 360)) > 1e-6)
    box = parse_bbox([west, south, east, north])
    assert -180 <= box.west <= 180 and -180 <= box.east <= 180
    # eastwards from the western side to the eastern one
    inside = south <= y <= north and (east - west >= 360 or (x - west) % 360 <= (east - west) % 360)
    found = any(part.west <= x <= part.east and part.south <= y <= part.north for part in box.parts())
    assert found == inside == bbox_shape(box).intersects(shapely.Point(x, y))


@PATIENT
@given(west=st.floats(-180, 180), east=st.floats(-180, 180), south=latitudes, north=latitudes)
def test_a_bbox_survives_being_written(west: float, east: float, south: float, north: float) -> None:
    south, north = sorted([south, north])
    box = BBox(west, south, east, north)
    assert parse_bbox([repr(number) for number in box]) == parse_bbox(json.loads(json.dumps(box))) == box
    assert all(part.west <= part.east for part in box.parts())


@pytest.mark.parametrize(
    ("box", "kind"),
    [
        ((1, 2, 1, 2), "Point"),
        ((1, 2, 3, 2), "LineString"),
        ((1, 2, 1, 3), "LineString"),
        ((1, 2, 3, 4), "Polygon"),
        ((170, 0, -170, 1), "MultiPolygon"),
        ((170, 1, -170, 1), "MultiLineString"),
        ((180, 0, -180, 0), "MultiPoint"),
    ],
)
def test_a_bbox_without_an_area_is_still_a_place(box: tuple[float, ...], kind: str) -> None:
    shape = bbox_shape(BBox(*box))
    assert (shape.geom_type, shape.is_valid, shape.is_empty) == (kind, True, False)


# --- Geometries of requests

GOOD: list[dict[str, Any]] = [
    {"type": "Point", "coordinates": [7, 46]},
    {"type": "Point", "coordinates": [7, 46, 1000]},
    {"type": "MultiPoint", "coordinates": [[7, 46], [8, 47, 0]]},
    {"type": "LineString", "coordinates": [[7, 46], [8, 47]]},
    {"type": "MultiLineString", "coordinates": [[[7, 46], [8, 47]], [[0, 0], [1, 1], [2, 0]]]},
    polygon(SQUARE),
    polygon(SQUARE[::-1]),
    polygon([[*position, 5] for position in SQUARE]),
    polygon(SQUARE, TINY),
    {"type": "MultiPolygon", "coordinates": [[SQUARE, TINY], [[[5, 5], [6, 5], [6, 6], [5, 5]]]]},
    {"type": "GeometryCollection", "geometries": [polygon(SQUARE), {"type": "Point", "coordinates": [7, 46]}]},
]


@pytest.mark.parametrize("value", GOOD, ids=lambda value: value["type"])
def test_every_type_of_geometry_is_read_without_heights(value: dict[str, Any]) -> None:
    shape = parse_geometry(value)
    assert shape.equals(shapely.force_2d(shapely.geometry.shape(value)))
    assert not shape.has_z and shape.geom_type == value["type"]
    assert parse_geometry({**value, "crs": {}, "bbox": [1]}).equals(shape)


def test_a_position_may_have_a_measure() -> None:
    assert parse_geometry({"type": "Point", "coordinates": [7, 46, 1000, 5]}).equals(shapely.Point(7, 46))


@pytest.mark.parametrize("turn", [-360, 0, 360])
@pytest.mark.parametrize("value", GOOD, ids=lambda value: value["type"])
def test_a_geometry_a_turn_further_is_the_same(value: dict[str, Any], turn: int) -> None:
    moved = shapely.geometry.mapping(shapely.affinity.translate(shapely.force_2d(shapely.geometry.shape(value)), turn))
    assert parse_geometry(json.loads(json.dumps(moved))).equals(parse_geometry(value))


LINE = [[7, 46], [8, 47]]
FLAT = [[0, 0], [1, 1], [0, 0]]
BAD_COORDINATES: dict[str, list[Any]] = {
    "Point": [
        [], [7], [[7, 46]], ["7", "46"], [7, None], [True, 46], [7, math.nan], [7, math.inf], [541, 0], [0, 1001], {},
        5, [1, 2, 3, 4, 5], [7, 10**400], None, "77",
    ],
    "LineString": [[], LINE[:1], [7, 46], [LINE], "ab", [None]],
    "MultiPoint": [[], [7, 46], [LINE]],
    "MultiLineString": [[], [[]], [LINE[:1]], LINE],
    "Polygon": [[], [[]], SQUARE, [SQUARE[:-1]], [FLAT], [SQUARE, []], [SQUARE, FLAT]],
    "MultiPolygon": [[], [[]], [[[]]], [SQUARE], [[SQUARE], []], [5], ["ab"]],
}  # fmt: skip
BAD_GEOMETRIES: list[Any] = [[], None, {}, [None], [{"type": "Point"}]]
BAD: list[Any] = [
    *[
        None,
        5,
        "POINT (7 46)",
        [7, 46],
        {},
        {"type": "point", "coordinates": [7, 46]},
        {"type": "Point"},
        {"type": None},
    ],
    *[{"type": ["Point"], "coordinates": [7, 46]}, {"type": "Feature", "geometry": GOOD[0]}],
    *[{"type": kind, "coordinates": value} for kind, values in BAD_COORDINATES.items() for value in values],
    *[{"type": "GeometryCollection", "geometries": value} for value in BAD_GEOMETRIES],
    {"type": "GeometryCollection", "coordinates": []},
]


@pytest.mark.parametrize("value", BAD, ids=lambda value: str(value)[:50])
def test_what_is_no_geometry_is_refused(value: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^intersects: .*; write GeoJSON such as"):
        parse_geometry(value)
    inside = {"type": "GeometryCollection", "geometries": [GOOD[0], value]}
    with pytest.raises(InvalidParameter):
        parse_geometry(inside)


@pytest.mark.parametrize("value", [{"type": "GeometryCollection", "geometries": []}, *BAD[10:20]], ids=str)
def test_the_parameter_is_named(value: Any) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_geometry(value, "geometry")
    assert caught.value.parameter == "geometry"


@pytest.mark.parametrize(
    ("ring", "area"),
    [
        ([[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]], 2.0),
        ([[0, 0], [2, 0], [2, 2], [2, 0], [0, 0]], 0.0),
        ([[0, 0], [0, 0], [0, 0], [0, 0]], 0.0),
        ([[0, 0], [2, 0], [2, 0], [2, 2], [0, 0]], 2.0),
    ],
)
def test_a_ring_that_crosses_itself_is_made_valid(ring: list[Any], area: float) -> None:
    shape = parse_geometry(polygon(ring))
    assert shape.is_valid and not shape.is_empty and shape.area == pytest.approx(area)


POINT_RING = [[9, 9]] * 5


@pytest.mark.parametrize(
    "value",
    [
        polygon(POINT_RING, SQUARE),
        {"type": "MultiPolygon", "coordinates": [[POINT_RING], [SQUARE]]},
        {"type": "MultiPolygon", "coordinates": [[SQUARE], [SQUARE], [POINT_RING], [TINY]]},
        {"type": "GeometryCollection", "geometries": [polygon(POINT_RING, SQUARE), GOOD[0]]},
    ],
)
def test_a_ring_that_is_a_point_is_made_valid_or_refused(value: dict[str, Any]) -> None:
    """GEOS cannot repair all of them."""
    with contextlib.suppress(InvalidParameter):
        shape = parse_geometry(value)
        assert shape.is_valid and not shape.is_empty
    indexed, complaints = index_one(value)
    assert complaints and (indexed is None or indexed.is_valid)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = GOOD[0]
    for _ in range(depth):
        value = {"type": "GeometryCollection", "geometries": [value]}
    return value


@pytest.mark.parametrize("depth", [1, 5, 64])
def test_collections_nest_as_deep_as_allowed(depth: int) -> None:
    assert parse_geometry(nested(depth), depth_max=depth).intersects(shapely.Point(7, 46))
    with pytest.raises(InvalidParameter, match="nested too deeply"):
        parse_geometry(nested(depth + 1), depth_max=depth)


@pytest.mark.parametrize("count", [1, 7, 1_000])
def test_geometries_have_as_many_points_as_allowed(count: int) -> None:
    value = {"type": "MultiPoint", "coordinates": [[n / 100, 1] for n in range(count)]}
    assert shapely.get_num_coordinates(parse_geometry(value, points_max=count)) == count
    collection = {"type": "GeometryCollection", "geometries": [GOOD[0]] * (count + 1)}
    for larger in value, collection:
        with pytest.raises(InvalidParameter, match="more than"):
            parse_geometry(larger, points_max=count - 1)


# --- The antimeridian

offsets = st.sampled_from([0.0, 100.0, 170.0, 175.5, 180.0, 185.0, 300.0, -170.0, -180.0, -300.0])
corners = st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=3, max_size=7)
probes = st.lists(st.tuples(st.floats(-180, 180), st.floats(-9, 9)), min_size=1, max_size=20)


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    """Draw geometries of every type, somewhere between -310 and 310 degrees."""
    points, place = draw(corners), draw(offsets)
    hull, line = shapely.MultiPoint(points).convex_hull, shapely.make_valid(shapely.LineString(points))
    some = [
        hull,
        line,
        shapely.MultiPoint(points),
        shapely.make_valid(shapely.Polygon(points)),
        shapely.GeometryCollection([hull, shapely.Point(draw(st.integers(-50, 50)), 0), line]),
        shapely.GeometryCollection(
            [shapely.GeometryCollection([hull, shapely.Point(40, 1)]), shapely.MultiPoint(points)]
        ),
    ]
    return shapely.affinity.translate(draw(st.sampled_from(some)), place)


def is_in(shape: Any, place: tuple[float, float]) -> bool:
    """Whether any turn of a place lies in a geometry."""
    return any(shape.intersects(shapely.Point(place[0] + turn, place[1])) for turn in (-360, 0, 360))


@PATIENT
@given(shape=shapes(), places=probes, step=st.integers(-12, 12))
def test_splitting_keeps_every_place(shape: Any, places: list[tuple[float, float]], step: int) -> None:
    split = split_at_antimeridian(shape)
    west, _, east, _ = split.bounds
    assert -180 <= west <= east <= 180 and split.is_valid
    vertices = [((x + step + 540) % 360 - 180, y) for x, y in shapely.get_coordinates(shape).tolist()]
    for place in [*places, *vertices]:
        near = (
            shape.boundary if shapely.get_dimensions(shape) > 1 and shape.geom_type != "GeometryCollection" else shape
        )
        if min(near.distance(shapely.Point(place[0] + turn, place[1])) for turn in (-360, 0, 360)) > 1e-9:
            assert is_in(split, place) == is_in(shape, place)


@PATIENT
@given(shape=shapes())
def test_splitting_keeps_every_vertex_and_all_sizes(shape: Any) -> None:
    split = split_at_antimeridian(shape)
    for x, y in shapely.get_coordinates(shape).tolist():
        turns = [shapely.Point(x + turn, y) for turn in (-720, -360, 0, 360, 720)]
        assert min(split.distance(point) for point in turns) < 1e-9
    assert split.area == pytest.approx(shape.area)
    assert split.length == pytest.approx(shape.length, abs=60)


@pytest.mark.parametrize("value", GOOD, ids=lambda value: value["type"])
def test_what_does_not_cross_stays_as_it_is(value: dict[str, Any]) -> None:
    shape = shapely.geometry.shape(value)
    assert split_at_antimeridian(shape) is shape


# --- Geometries of items

CROSSING = [[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]]
HALVES = shapely.MultiPolygon([shapely.box(170, 0, 180, 10), shapely.box(-180, 0, -170, 10)])


def index_one(geometry: Any, bbox: Any = None) -> tuple[Any, tuple[str, ...]]:
    """Return the geometry that the index holds for one item, and the complaints."""
    (found,) = index_geometries([(geometry, bbox)])
    return None if found.wkb is None else shapely.from_wkb(found.wkb), found.complaints


@pytest.mark.parametrize("value", GOOD, ids=lambda value: value["type"])
def test_a_good_geometry_is_indexed_as_it_is(value: dict[str, Any]) -> None:
    shape, complaints = index_one(value, [0, 0, 1, 1])
    assert shape.equals(shapely.force_2d(shapely.geometry.shape(value))) and complaints == ()


@pytest.mark.parametrize("value", [value for value in BAD if value is not None], ids=lambda value: str(value)[:50])
def test_a_bad_geometry_is_complained_of(value: Any) -> None:
    shape, complaints = index_one(value)
    if shape is None:
        assert complaints[-1].endswith("no spatial search finds the item")


def test_no_geometry_is_nothing_to_complain_of() -> None:
    assert index_one(None) == (None, ())


def test_a_ring_of_an_item_may_be_open() -> None:
    shape, _ = index_one(polygon(SQUARE[:-1]))
    assert shape.equals(shapely.box(0, 0, 2, 2))


@pytest.mark.parametrize(
    ("geometry", "bbox"),
    [
        (polygon(CROSSING), [170, 0, -170, 10]),
        (polygon(CROSSING), [170, 0, 5, -170, 10, 9]),
        (polygon([[x % 360, y] for x, y in CROSSING]), None),
        (polygon([[x % 360 - 360, y] for x, y in CROSSING]), None),
        (polygon([[185, 0] if x == -170 and y == 0 else [x, y] for x, y in CROSSING]), [170, 0, -170, 10]),
        ({"type": "MultiPolygon", "coordinates": [[CROSSING]]}, [170, 0, -170, 10]),
        ({"type": "GeometryCollection", "geometries": [polygon(CROSSING)]}, [170, 0, -170, 10]),
        (
            {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": [
                {"type": "MultiPolygon", "coordinates": [[CROSSING]]}]}]},
            [170, 0, -170, 10],
        ),
    ],
)  # fmt: skip
def test_an_item_across_the_antimeridian_is_split_there(geometry: Any, bbox: Any) -> None:
    shape, complaints = index_one(geometry, bbox)
    assert complaints == ()
    assert shapely.unary_union(list(shapely.get_parts(shape))).symmetric_difference(HALVES).area <= 75


def test_a_hole_goes_along_with_its_ring() -> None:
    hole = [[175, 2], [-175, 2], [-175, 4], [175, 4], [175, 2]]
    eastern = [[-178, 6], [-176, 6], [-176, 8], [-178, 6]]
    shape, _ = index_one(polygon(CROSSING, hole, eastern), [170, 0, -170, 10])
    assert shape.area == pytest.approx(200 - 20 - 2)
    assert not shape.intersects(shapely.Point(179, 3)) and not shape.intersects(shapely.Point(-179, 3))
    assert not shape.intersects(shapely.Point(-176.5, 6.8))


@pytest.mark.parametrize("kind", ["LineString", "MultiLineString"])
def test_a_line_goes_the_short_way(kind: str) -> None:
    line = [[170, 0], [-170, 10]]
    shape, _ = index_one({"type": kind, "coordinates": line if kind == "LineString" else [line]}, [170, 0, -170, 10])
    assert shape.length == pytest.approx(math.hypot(20, 10))
    assert shape.intersects(shapely.box(179, 4, 180, 5)) and not shape.intersects(shapely.box(-160, 0, 160, 10))


def test_a_long_edge_without_a_sign_of_crossing_stays_and_is_complained_of() -> None:
    shape, complaints = index_one(polygon([[-100, -5], [100, -5], [100, 5], [-100, 5], [-100, -5]]), [-100, -5, 100, 5])
    assert shape.equals(shapely.box(-100, -5, 100, 5)) and "longer than 180" in complaints[0]


def test_a_ring_around_a_pole_stays_and_is_complained_of() -> None:
    ring = [[-180, -60], [-90, -60], [90, -60], [179, -60], [-180, -60]]
    shape, complaints = index_one(polygon(ring), [170, -90, -170, -60])
    assert any("pole" in complaint or "invalid" in complaint for complaint in complaints)
    assert shape is None or shape.bounds[0] >= -180


@pytest.mark.parametrize("latitude", [1001, 1e9, 1e300, -1e300])
@pytest.mark.parametrize("extra", [[], [[0.5, 0.5], [0.6, 0.6]]])
def test_what_no_map_holds_is_found_by_no_search(latitude: float, extra: list[Any]) -> None:
    ring = [[0, 0], [1, 0], [1, latitude], [0, 0]]
    shape, complaints = index_one(polygon(ring, *([[*extra, [0.6, 0.5], extra[0]]] if extra else [])))
    assert shape is None and complaints


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(
        st.tuples(
            st.sampled_from([*GOOD, *BAD, polygon(CROSSING), polygon([[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]])]),
            st.sampled_from([None, [170, 0, -170, 10], [1], "x", [None] * 4, [math.nan] * 4, ["1", 2, 0, 4]]),
        ),
        max_size=8,
    )
)
def test_items_in_bulk_are_indexed_as_one_by_one(values: list[Any]) -> None:
    assert index_geometries(values) == [index_geometries([value])[0] for value in values]
