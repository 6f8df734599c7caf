"""Geometries of CQL2 text: well-known text to GeoJSON and back (OGC 21-065r2, annex B, spatialInstance)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import shapely

from stacserve.cql2 import GeometryLiteral, Limits, make_geometry

T = TypeVar("T")

NUMBER = r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?"
_KINDS = ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")
# The GeoJSON types by their lower-case names.
TYPES = {kind.lower(): kind for kind in _KINDS}

_HEAD = re.compile(rf"\s*+({'|'.join(TYPES)})(?:\s*+z(?=[\s(]))?(?:\s*+(empty))?", re.IGNORECASE)
_OPENING = re.compile(r"\s*+\(")
_COMMA = re.compile(r"\s*+,")
_CLOSING = re.compile(r"\s*+\)\s*+")
_POSITION = rf"\s*+[+-]?{NUMBER}\s++[+-]?{NUMBER}(?:\s++[+-]?{NUMBER})?\s*+"
_POSITIONS = re.compile(rf"{_POSITION}(?:,{_POSITION})*+")
# Nearly every geometry in a filter: a polygon of one ring, within ±180 degrees, without heights or exponents.
_DECIMAL = r"\s*+[+-]?(?:1[0-7][0-9]|[0-9]{1,2})(?:\.[0-9]{0,17}+)?"
_SIMPLE_POLYGON = re.compile(
    rf"polygon\s*+\(\s*+\({_DECIMAL}\s{_DECIMAL}(?:\s*+,{_DECIMAL}\s{_DECIMAL})*+\s*+\)\s*+\)\s*+", re.IGNORECASE
)


class WktError(ValueError):
    """A geometry cannot be read; `position` counts characters of the whole text."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.position = position


def geometry_from_wkt(text: str, start: int, depth: int, limits: Limits) -> tuple[GeometryLiteral, int]:
    """Read the geometry that starts at `start`; return it and where the next token starts, or raise WktError.

    `depth` is how many collections may be nested.
    """
    simple = _simple_polygon(text, start, limits)
    if simple:
        return simple
    reader = _Reader(text, start)
    source = reader.read_geometry(depth)
    try:
        return make_geometry(source, limits), reader.position
    except ValueError as error:
        raise WktError(str(error), start) from error


def _simple_polygon(text: str, start: int, limits: Limits) -> tuple[GeometryLiteral, int] | None:
    """Read the usual polygon at once, if it is one and needs neither repair nor splitting."""
    found = _SIMPLE_POLYGON.match(text, start)
    shape = shapely.from_wkt(found[0], on_invalid="ignore") if found else None
    if found is None or shape is None or not shape.is_valid:
        return None
    positions = shapely.get_coordinates(shape).tolist()
    if len(positions) > limits.points:
        return None
    shapely.prepare(shape)
    return GeometryLiteral(shape, {"type": "Polygon", "coordinates": [positions]}), found.end()


class _Reader:
    """Reads one geometry from left to right; `position` is what comes next."""

    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position

    def fail(self, expected: str) -> WktError:
        position = len(self.text) - len(self.text[self.position :].lstrip())
        found = repr(self.text[position : position + 20]) if position < len(self.text) else "the end"
        return WktError(f"found {found} in a geometry, expected {expected}", position)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Go past what matches here, if it does."""
        found = pattern.match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def expect(self, pattern: re.Pattern[str], name: str) -> re.Match[str]:
        """Go past what must match here."""
        found = self.take(pattern)
        if not found:
            raise self.fail(name)
        return found

    def read_geometry(self, depth: int) -> dict[str, Any]:
        """Read any geometry as GeoJSON."""
        head = self.expect(_HEAD, "one of " + ", ".join(TYPES).upper())
        if head[2]:
            raise WktError("the geometry is empty", head.start(1))
        kind = TYPES[head[1].lower()]
        if kind != "GeometryCollection":
            return {"type": kind, "coordinates": self.read_coordinates(kind)}
        if depth <= 0:
            raise WktError("geometry collections are nested too deeply", head.start(1))
        return {"type": kind, "geometries": self.read_members(lambda: self.read_geometry(depth - 1))}

    def read_coordinates(self, kind: str) -> list[Any]:
        if kind == "Point":
            return self.read_position()
        if kind == "LineString":
            return self.read_positions()
        if kind == "MultiPoint":
            return self.read_multipoint()
        if kind == "MultiPolygon":
            return self.read_members(lambda: self.read_members(self.read_positions))
        return self.read_members(self.read_positions)

    def read_members(self, read_member: Callable[[], T]) -> list[T]:
        """Read what stands in parentheses, separated by commas."""
        self.expect(_OPENING, "(")
        members = [read_member()]
        while self.take(_COMMA):
            members.append(read_member())
        self.expect(_CLOSING, ") or a comma")
        return members

    def read_multipoint(self) -> list[list[float]]:
        """Read `(1 2, 3 4)` or `((1 2), (3 4))`."""
        opening = self.position
        self.expect(_OPENING, "(")
        is_nested = self.take(_OPENING)
        self.position = opening
        return self.read_members(self.read_position) if is_nested else self.read_positions()

    def read_position(self) -> list[float]:
        start = self.position
        positions = self.read_positions()
        if len(positions) != 1:
            raise WktError(f"found {len(positions)} positions in a geometry, expected one", start)
        return positions[0]

    def read_positions(self) -> list[list[float]]:
        """Read positions in parentheses: two or three numbers each."""
        self.expect(_OPENING, "(")
        found = self.expect(_POSITIONS, "a position of two or three numbers")
        self.expect(_CLOSING, ") or a comma and a position")
        return [list(map(float, position.split())) for position in found[0].split(",")]
