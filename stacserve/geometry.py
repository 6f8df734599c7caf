"""Bboxes and GeoJSON geometries: reading, checking, splitting at the antimeridian.

Coordinates are longitude and latitude in degrees; heights are ignored everywhere. Geometries made here lie
within longitudes ±180: what crosses the antimeridian is split there (RFC 7946, section 3.1.9).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy
import numpy.typing
import shapely
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from stacserve.errors import InvalidParameter

BBOX_EXAMPLE = "write west,south,east,north such as 5.5,46,10,48"
GEOMETRY_EXAMPLE = 'write GeoJSON such as {"type":"Point","coordinates":[7.5,46.9]}'

# A repair of this many crossings takes a tenth of a second.
CROSSINGS_MAX = 300
_EDGES_AT_ONCE = 20

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORLD = shapely.box(-180, -1e6, 180, 1e6)
# Latitudes beyond 90 are wrong, but no reason not to find an item; beyond this they are none.
_HIGHEST = 1000
# How deep the coordinates of each type are nested above a position.
_LEVELS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}

Shapes = numpy.typing.NDArray[Any]


class BBox(NamedTuple):
    """A box in degrees; west > east crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def parts(self) -> list[BBox]:
        """Return the one or two boxes, each with west <= east, that this box is."""
        if self.west <= self.east:
            return [self]
        return [BBox(self.west, self.south, 180.0, self.north), BBox(-180.0, self.south, self.east, self.north)]


class IndexGeometry(NamedTuple):
    """The geometry that the index holds for an item (WKB, or None: found by no spatial search), and complaints."""

    wkb: bytes | None
    complaints: tuple[str, ...]


def parse_bbox(values: Sequence[Any], parameter: str = "bbox") -> BBox:
    """Read four or six numbers (heights are ignored); they may be text, as in a query string.

    Longitudes up to ±360 are brought into ±180 (OGC API Features part 1, section 7.15.3).
    """
    if len(values) not in (4, 6):
        raise InvalidParameter(parameter, f"4 or 6 numbers are needed, not {len(values)}; {BBOX_EXAMPLE}")
    numbers = [_parse_number(value, parameter) for value in values]
    west, south, east, north = numbers if len(numbers) == 4 else [numbers[0], numbers[1], numbers[3], numbers[4]]
    if south > north:
        raise InvalidParameter(parameter, f"south ({south:g}) is greater than north ({north:g}); {BBOX_EXAMPLE}")
    if south < -90 or north > 90:
        raise InvalidParameter(parameter, f"latitudes lie between -90 and 90; {BBOX_EXAMPLE}")
    if abs(west) > 360 or abs(east) > 360:
        raise InvalidParameter(parameter, f"longitudes lie between -180 and 180; {BBOX_EXAMPLE}")
    if east - west >= 360:
        return BBox(-180.0, south, 180.0, north)
    return BBox(_wrap_longitude(west), south, _wrap_longitude(east), north)


def _parse_number(value: Any, parameter: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and _NUMBER.fullmatch(value.strip())):
        raise InvalidParameter(parameter, f"{_show(value)} is not a number; {BBOX_EXAMPLE}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidParameter(parameter, f"{_show(value)} is not a finite number; {BBOX_EXAMPLE}")
    return number


def _show(value: Any) -> str:
    """Return a value for a sentence; of lists and objects, which may be nested deeply, only what they are."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    # a number may be longer than Python is willing to write out
    return (
        f"a number of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 1e300 else f"{value!r:.60}"
    )


def _wrap_longitude(degrees: float) -> float:
    return degrees if -180 <= degrees <= 180 else (degrees + 180) % 360 - 180


def bbox_shape(bbox: BBox) -> BaseGeometry:
    """Return the box as a geometry; a point or a line where it has no area."""
    shapes = [_box_shape(*part) for part in bbox.parts()]
    return shapes[0] if len(shapes) == 1 else shapely.union_all(shapes)


def _box_shape(west: float, south: float, east: float, north: float) -> BaseGeometry:
    if west == east and south == north:
        return shapely.Point(west, south)
    if west == east or south == north:
        return shapely.LineString([(west, south), (east, north)])
    return shapely.box(west, south, east, north)


def parse_geometry(
    value: Any, parameter: str = "intersects", *, depth_max: int = 64, points_max: int = 50_000
) -> BaseGeometry:
    """Return the geometry of a GeoJSON object (RFC 7946, section 3.1), valid and split at the antimeridian."""
    try:
        shape = _make_valid(_build_geometry(value, depth_max, _Budget(points_max), strict=True))
        shape = split_at_antimeridian(shape)
    except (ValueError, shapely.errors.GEOSException) as error:
        raise InvalidParameter(parameter, f"{error}; {GEOMETRY_EXAMPLE}") from error
    if shape.is_empty:
        raise InvalidParameter(parameter, f"the geometry is empty; {GEOMETRY_EXAMPLE}")
    shapely.prepare(shape)
    return shape


def split_at_antimeridian(shape: BaseGeometry) -> BaseGeometry:
    """Return the geometry within longitudes ±180: parts beyond are cut off and shifted by 360°."""
    west, _, east, _ = shape.bounds if not shape.is_empty else (0, 0, 0, 0)
    if west >= -180 and east <= 180:
        return shape
    turns = range(math.floor((west + 180) / 360), math.floor((east + 180) / 360) + 1)
    kept: list[BaseGeometry] = []
    for part in _simple_parts(shape):
        pieces = [shapely.intersection(affinity.translate(part, -360.0 * turn), _WORLD) for turn in turns]
        # a polygon that ends exactly at 180° leaves a line there, which is not part of it
        dimension = shapely.get_dimensions(part)
        kept += [piece for piece in pieces if not piece.is_empty and shapely.get_dimensions(piece) == dimension]
    return shapely.union_all(kept) if shapely.get_type_id(shape) != 7 else shapely.GeometryCollection(kept)


def _simple_parts(shape: BaseGeometry) -> Shapes:
    """Return the points, lines and polygons that a geometry consists of."""
    parts: Shapes = shapely.get_parts(shape)
    while (shapely.get_type_id(parts) > 3).any():
        parts = shapely.get_parts(parts)
    return parts


def index_geometries(pairs: Sequence[tuple[Any, Any]]) -> list[IndexGeometry]:
    """Return what the index holds for each (geometry member, bbox member) of a batch of items.

    Simple polygons, nearly all there are, are built and checked together.
    """
    results: list[IndexGeometry | None] = [None] * len(pairs)
    simple: list[int] = []
    for number, (geometry, bbox) in enumerate(pairs):
        if _is_simple_polygon(geometry):
            simple.append(number)
        else:
            results[number] = _index_geometry(geometry, bbox)
    shapes = _simple_polygons([pairs[number][0]["coordinates"][0] for number in simple])
    bounds = shapely.bounds(shapes)
    good = shapely.is_valid(shapes) & (bounds[:, 0] >= -180) & (bounds[:, 2] <= 180)
    good &= (bounds[:, 2] - bounds[:, 0] <= 180) & (bounds[:, 1] >= -_HIGHEST) & (bounds[:, 3] <= _HIGHEST)
    for number, is_good, wkb in zip(simple, good.tolist(), shapely.to_wkb(shapes).tolist(), strict=True):
        results[number] = IndexGeometry(wkb, ()) if is_good else _index_geometry(*pairs[number])
    return [result for result in results if result is not None]


def _is_simple_polygon(geometry: Any) -> bool:
    """Whether this is a polygon of one closed ring of plain pairs of numbers."""
    if not isinstance(geometry, dict) or geometry.get("type") != "Polygon":
        return False
    rings = geometry.get("coordinates")
    if not isinstance(rings, list) or len(rings) != 1 or not isinstance(rings[0], list) or len(rings[0]) < 4:
        return False
    ring = rings[0]
    pairs = all(type(p) is list and len(p) == 2 and type(p[0]) in _NUMERIC and type(p[1]) in _NUMERIC for p in ring)
    return pairs and ring[0] == ring[-1]


_NUMERIC = (float, int)


def _simple_polygons(rings: list[list[list[float]]]) -> Shapes:
    if not rings:
        return numpy.empty(0, dtype=object)
    coordinates = numpy.array([position for ring in rings for position in ring], dtype=float)
    ring_ends = numpy.cumsum([0] + [len(ring) for ring in rings])
    return shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, coordinates, (ring_ends, numpy.arange(len(rings) + 1))
    )


def _index_geometry(geometry: Any, bbox: Any) -> IndexGeometry:
    if geometry is None:
        return IndexGeometry(None, ())
    complaints: list[str] = []
    try:
        shape = _build_geometry(geometry, 64, _Budget(5_000_000), strict=False)
        shape = _unwrap(shape, _crosses_by_bbox(bbox), complaints)
        if not shape.is_valid:
            complaints.append(
                f"the geometry is invalid ({shapely.is_valid_reason(shape)}); searches use a repaired copy"
            )
            shape = _make_valid(shape)
        shape = split_at_antimeridian(shape)
    except (ValueError, shapely.errors.GEOSException) as error:
        return IndexGeometry(None, (*complaints, f"{error}; no spatial search finds the item"))
    if shape.is_empty:
        return IndexGeometry(None, (*complaints, "the geometry is empty; no spatial search finds the item"))
    return IndexGeometry(shapely.to_wkb(shape), tuple(complaints))


def _crosses_by_bbox(bbox: Any) -> bool:
    """Whether an item's bbox member has west > east."""
    if not isinstance(bbox, list) or len(bbox) not in (4, 6):
        return False
    west, east = bbox[0], bbox[len(bbox) // 2]
    return isinstance(west, (int, float)) and isinstance(east, (int, float)) and west > east


def _unwrap(shape: BaseGeometry, crosses: bool, complaints: list[str]) -> BaseGeometry:
    """Make edges longer than 180° go the short way, where bbox or longitudes say that the shape crosses 180°."""
    coordinates = shapely.get_coordinates(shape)
    if not len(coordinates) or numpy.ptp(coordinates[:, 0]) <= 180 or not _has_long_edge(shape):
        return shape
    if not crosses and numpy.abs(coordinates[:, 0]).max() <= 180:
        complaints.append("an edge is longer than 180°; if the item crosses the antimeridian, split its geometry there")
        return shape
    unwrapped = _map_lines(shape)
    if unwrapped is None:
        complaints.append("the geometry goes around a pole; it is used as it is written")
        return shape
    return unwrapped


def _lines_of(shape: BaseGeometry) -> Shapes:
    parts = _simple_parts(shape)
    lines: Shapes = numpy.concatenate([shapely.get_rings(parts), parts[shapely.get_type_id(parts) == 1]])
    return lines


def _has_long_edge(shape: BaseGeometry) -> bool:
    return any(numpy.abs(numpy.diff(shapely.get_coordinates(line)[:, 0])).max() > 180 for line in _lines_of(shape))


def _map_lines(shape: BaseGeometry) -> BaseGeometry | None:
    """Return the shape with every line and ring unwrapped, or None where a ring does not close."""
    kind = shapely.get_type_id(shape)
    if kind == 1:
        return shapely.LineString(_unwrap_line(shapely.get_coordinates(shape)))
    if kind == 3:
        rings = [_unwrap_line(shapely.get_coordinates(ring)) for ring in shapely.get_rings(shape)]
        if any(abs(ring[0][0] - ring[-1][0]) > 1 for ring in rings):
            return None
        holes = [_near(ring, rings[0]) for ring in rings[1:]]
        return shapely.Polygon(rings[0], holes)
    if kind == 0:
        return shape
    parts = [_map_lines(part) for part in shapely.get_parts(shape)]
    return None if any(part is None for part in parts) else shapely.GeometryCollection(parts)


def _unwrap_line(points: Shapes) -> Shapes:
    longitudes = points[:, 0]
    turns = numpy.concatenate([[0], numpy.cumsum(-numpy.round(numpy.diff(longitudes) / 360))])
    return numpy.column_stack([longitudes + 360 * turns, points[:, 1]])


def _near(ring: Shapes, shell: Shapes) -> Shapes:
    """Shift a hole by whole turns to lie within the longitudes of its shell."""
    turns = numpy.round((shell[:, 0].mean() - ring[:, 0].mean()) / 360)
    shifted: Shapes = ring + numpy.array([360 * turns, 0])
    return shifted


class _Budget:
    """Counts down the points that may still be read."""

    def __init__(self, points: int) -> None:
        self.most = self.left = points

    def take(self, points: int) -> None:
        self.left -= points
        if self.left < 0:
            raise ValueError(f"the geometry has more than {self.most} points")


def _build_geometry(value: Any, depth: int, budget: _Budget, *, strict: bool) -> BaseGeometry:
    if not isinstance(value, dict):
        raise ValueError("the geometry is not a GeoJSON object")
    kind = value.get("type")
    if kind == "GeometryCollection":
        members = value.get("geometries")
        if depth <= 0:
            raise ValueError("geometry collections are nested too deeply")
        if not isinstance(members, list) or (strict and not members):
            raise ValueError("a GeometryCollection needs a list `geometries`")
        budget.take(len(members))
        return shapely.GeometryCollection([_build_geometry(m, depth - 1, budget, strict=strict) for m in members])
    if not isinstance(kind, str) or kind not in _LEVELS:
        raise ValueError(f"{_show(kind)} is not a GeoJSON geometry type")
    return _build_shape(kind, value.get("coordinates"), budget, strict)


def _build_shape(kind: str, coordinates: Any, budget: _Budget, strict: bool) -> BaseGeometry:
    positions = list(_read_lines(coordinates, _LEVELS[kind], budget))
    if kind == "Point":
        return shapely.Point(positions[0][0])
    if not positions or any(not line for line in positions):
        raise ValueError(f"the {kind} has no coordinates")
    if kind == "MultiPoint":
        return shapely.MultiPoint(positions[0])
    if kind in ("LineString", "MultiLineString"):
        lines = [_check_line(line) for line in positions]
        return shapely.LineString(lines[0]) if kind == "LineString" else shapely.MultiLineString(lines)
    if kind == "Polygon":
        return _build_polygon(positions, strict)
    counts = [len(polygon) for polygon in coordinates]
    starts = _starts(counts)
    polygons = [_build_polygon(positions[at : at + n], strict) for at, n in zip(starts, counts, strict=True)]
    return shapely.MultiPolygon(polygons)


def _starts(counts: list[int]) -> list[int]:
    ends: list[int] = numpy.cumsum(counts).tolist()
    return [0, *ends[:-1]]


def _build_polygon(rings: list[list[tuple[float, float]]], strict: bool) -> shapely.Polygon:
    if not rings:
        raise ValueError("a polygon has no rings")
    checked = [_check_ring(ring, strict) for ring in rings]
    return shapely.Polygon(checked[0], checked[1:])


def _check_line(line: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(line) < 2:
        raise ValueError("a line needs two positions")
    return line


def _check_ring(ring: list[tuple[float, float]], strict: bool) -> list[tuple[float, float]]:
    if ring[0] != ring[-1]:
        if strict:
            raise ValueError("a ring is not closed: its last position must repeat the first")
        ring = [*ring, ring[0]]
    if len(ring) < 4:
        raise ValueError("a ring needs four positions, the last equal to the first")
    return ring


def _read_lines(coordinates: Any, level: int, budget: _Budget) -> Iterator[list[tuple[float, float]]]:
    """Yield lists of positions: the lowest lists of a nested coordinates member."""
    if level == 0:
        yield [_read_position(coordinates)]
        return
    if not isinstance(coordinates, list):
        raise ValueError("`coordinates` is not nested as its type asks")
    budget.take(len(coordinates))
    if level == 1:
        yield [_read_position(position) for position in coordinates]
        return
    for member in coordinates:
        yield from _read_lines(member, level - 1, budget)


def _read_position(position: Any) -> tuple[float, float]:
    if not isinstance(position, list) or not 2 <= len(position) <= 4:
        raise ValueError("a position is a list of two or three numbers")
    if any(type(number) not in _NUMERIC or not -1e300 < number < 1e300 for number in position):
        raise ValueError("a position holds something that is not a finite number")
    longitude, latitude = float(position[0]), float(position[1])
    if abs(longitude) > 540 or abs(latitude) > _HIGHEST:
        raise ValueError(f"{position[:2]} is not a position in degrees")
    return longitude, latitude


def _make_valid(shape: BaseGeometry) -> BaseGeometry:
    """Return the shape with rings that do not cross themselves; `ValueError` if that would take too long."""
    if shape.is_valid:
        return shape
    if _has_many_crossings(shape):
        raise ValueError(f"the geometry crosses itself more than {CROSSINGS_MAX} times")
    try:
        return shapely.make_valid(shape)
    except shapely.errors.GEOSException:
        # GEOS's usual method stumbles over rings that are a single point
        return shapely.make_valid(shape, method="structure", keep_collapsed=True)


def _has_many_crossings(shape: BaseGeometry) -> bool:
    """Whether edges meet so often that a repair, which takes the square of that, is out of the question."""
    parts = shapely.get_parts(shape)
    while (shapely.get_type_id(parts) == shapely.GeometryType.GEOMETRYCOLLECTION).any():
        parts = shapely.get_parts(parts)
    rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(shapely.get_parts(parts))]
    if not rings:
        return False
    edges = numpy.concatenate([numpy.stack([ring[:-1], ring[1:]], axis=1) for ring in rings])
    segments: Shapes = numpy.asarray(shapely.linestrings(edges), dtype=object)
    tree = shapely.STRtree(segments)
    # every edge meets itself and its two neighbours
    meetings = -3 * len(segments)
    for start in range(0, len(segments), _EDGES_AT_ONCE):
        meetings += tree.query(segments[start : start + _EDGES_AT_ONCE], predicate="intersects").shape[1]
        met_so_far = meetings + 3 * max(0, len(segments) - start - _EDGES_AT_ONCE)
        if met_so_far > 2 * CROSSINGS_MAX:
            return True
    return False
