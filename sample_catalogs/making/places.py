"""Where things are: footprints of scenes, tiles and flights, in degrees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

Point = tuple[float, float]

DECIMALS = 5

_EQUATOR_RADIUS = 6378137.0  # WGS 84
_ECCENTRICITY_2 = 0.00669437999014
_UTM_SCALE = 0.9996
_METRES_PER_DEGREE = 111_320.0


def lonlat_from_utm(zone: int, easting: float, northing: float) -> Point:
    """Return longitude and latitude of a point of a northern UTM zone (Snyder, Map Projections, 1987, page 63)."""
    e2, second = _ECCENTRICITY_2, _ECCENTRICITY_2 / (1 - _ECCENTRICITY_2)
    e1 = (1 - math.sqrt(1 - e2)) / (1 + math.sqrt(1 - e2))
    mu = northing / _UTM_SCALE / (_EQUATOR_RADIUS * (1 - e2 / 4 - 3 * e2**2 / 64 - 5 * e2**3 / 256))
    foot = mu + (3 * e1 / 2 - 27 * e1**3 / 32) * math.sin(2 * mu) + (21 * e1**2 / 16) * math.sin(4 * mu)
    foot += 151 * e1**3 / 96 * math.sin(6 * mu)
    cosine, tangent2 = math.cos(foot), math.tan(foot) ** 2
    bend = second * cosine**2
    curvature = 1 - e2 * math.sin(foot) ** 2
    prime, meridian = _EQUATOR_RADIUS / math.sqrt(curvature), _EQUATOR_RADIUS * (1 - e2) / curvature**1.5
    d = (easting - 500_000) / (prime * _UTM_SCALE)
    latitude = foot - (prime * math.tan(foot) / meridian) * (
        d**2 / 2 - (5 + 3 * tangent2 + 10 * bend - 4 * bend**2 - 9 * second) * d**4 / 24
    )
    fifth = 5 - 2 * bend + 28 * tangent2 - 3 * bend**2 + 8 * second + 24 * tangent2**2
    longitude = (d - (1 + 2 * tangent2 + bend) * d**3 / 6 + fifth * d**5 / 120) / cosine
    return zone * 6 - 183 + math.degrees(longitude), math.degrees(latitude)


def utm_tile(zone: int, square: str) -> tuple[float, float]:
    """Return easting and northing of the lower left corner of a 100 km square of MGRS near 45 degrees north."""
    column = "ABCDEFGHJKLMNPQRSTUVWXYZ".index(square[0]) % 8 + 1
    first_row = 0 if zone % 2 else 5
    row = ("ABCDEFGHJKLMNPQRSTUV".index(square[1]) - first_row) % 20
    return column * 100_000.0, 4_000_000.0 + row * 100_000.0


def rotated_rectangle(centre: Point, width: float, height: float, degrees: float) -> list[Point]:
    """Return the corners of a rectangle around a point, sizes in metres, turned clockwise."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    stretch = _METRES_PER_DEGREE * math.cos(math.radians(centre[1]))
    corners = []
    for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        east, north = x * width, y * height
        turned_east, turned_north = east * cosine + north * sine, north * cosine - east * sine
        corners.append((centre[0] + turned_east / stretch, centre[1] + turned_north / _METRES_PER_DEGREE))
    return corners


def box_ring(west: float, south: float, east: float, north: float) -> list[Point]:
    """Return the corners of a box, counterclockwise."""
    return [(west, south), (east, south), (east, north), (west, north)]


def polygon(ring: Iterable[Point]) -> dict[str, Any]:
    """Return a GeoJSON polygon; the ring is rounded and closed."""
    return {"type": "Polygon", "coordinates": [_closed(ring)]}


def multi_polygon(rings: Iterable[Iterable[Point]]) -> dict[str, Any]:
    """Return a GeoJSON multipolygon without holes."""
    return {"type": "MultiPolygon", "coordinates": [[_closed(ring)] for ring in rings]}


def bounds(ring: Iterable[Point]) -> list[float]:
    """Return the box around points: west, south, east, north, rounded."""
    xs, ys = zip(*ring, strict=True)
    return [round(value, DECIMALS) for value in (min(xs), min(ys), max(xs), max(ys))]


def union_of_boxes(boxes: Sequence[Sequence[float]]) -> list[float]:
    """Return the box around boxes none of which crosses the antimeridian."""
    wests, souths, easts, norths = zip(*boxes, strict=True)
    return [min(wests), min(souths), max(easts), max(norths)]


def _closed(ring: Iterable[Point]) -> list[list[float]]:
    points = [[round(x, DECIMALS), round(y, DECIMALS)] for x, y in ring]
    return [*points, points[0]]
