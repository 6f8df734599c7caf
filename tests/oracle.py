"""What a search must answer, worked out the slow way: every item of the source files is asked in turn.

Nothing of the server is imported. A search is the body of POST /search as a dictionary; a filter in it is CQL2 JSON.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import shapely
import shapely.affinity
import shapely.geometry
from shapely.geometry.base import BaseGeometry

Document = dict[str, Any]
Ancestors = tuple[Document, ...]

WORLD = shapely.box(-180, -90, 180, 90)


class Identity(NamedTuple):
    """What tells an item from all others: (0, collection id) or (1, catalog address), and its own id."""

    container: tuple[int, str]
    id: str


@dataclass(frozen=True)
class SourceItem:
    """An item as its file has it, with what searches look at; `catalog` is the address of the catalog that links it."""

    identity: Identity
    document: Document
    catalog: str | None
    shape: BaseGeometry | None
    instant: int | None
    start: int | None
    end: int | None

    @property
    def collection(self) -> str | None:
        kind, name = self.identity.container
        return name if kind == 0 else None


# --- Reading the source files


def read_items(root: Path) -> list[SourceItem]:
    """Read every item that can be reached from a catalog file (or its folder) by child and item links."""
    files = [root] if root.is_file() else [root / "catalog.json", root / "collection.json"]
    nodes = list(_walk(next(path for path in files if path.exists()), ancestors=()))
    collections = {document["id"] for _, document in nodes if document["type"] == "Collection"}
    items: dict[Identity, SourceItem] = {}
    for ancestors, document in nodes:
        if document["type"] == "Feature":
            item = _source_item(document, ancestors, collections)
            items.setdefault(item.identity, item)
    return list(items.values())


def _walk(path: Path, ancestors: Ancestors) -> Iterator[tuple[Ancestors, Document]]:
    document = json.loads(path.read_text(encoding="utf-8"))
    yield ancestors, document
    if document["type"] != "Feature":
        for link in document["links"]:
            if link["rel"] in ("child", "item"):
                yield from _walk(path.parent / link["href"], (*ancestors, document))


def _source_item(document: dict[str, Any], ancestors: Ancestors, collections: set[str]) -> SourceItem:
    above = [node["id"] for node in reversed(ancestors) if node["type"] == "Collection"]
    own = document.get("collection")
    if own not in collections:
        own = above[0] if above else None
    address = ":".join(node["id"] for node in ancestors[1:] or ancestors)
    catalog = address if ancestors[-1]["type"] == "Catalog" else None
    identity = Identity((0, own) if own is not None else (1, address), document["id"])
    properties = document["properties"]
    instant = read_instant(properties.get("datetime"))
    start, end = (read_instant(properties.get(name)) for name in ("start_datetime", "end_datetime"))
    if start is None or end is None:
        start = end = instant
    return SourceItem(identity, document, catalog, item_shape(document), instant, start, end)


# --- Time


INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_instant(text: Any) -> int | None:
    """Return microseconds since 1970 for RFC 3339 text, and None for anything else."""
    found = INSTANT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        return None
    return (moment - EPOCH) // timedelta(microseconds=1) + int((fraction or ".0")[1:7].ljust(6, "0"))


def matches_datetime(item: SourceItem, text: str) -> bool:
    """Whether an item's interval and the closed interval of the parameter share an instant."""
    ends = [None if end in ("", "..") else read_instant(end) for end in text.split("/")]
    first, last = ends[0], ends[-1]
    if item.start is None or item.end is None:
        return False
    return (last is None or item.start <= last) and (first is None or item.end >= first)


# --- Space


def item_shape(document: dict[str, Any]) -> BaseGeometry | None:
    """Return an item's geometry without heights, made valid, and in pieces within ±180 where it crosses 180°."""
    if document["geometry"] is None:
        return None
    bbox = document.get("bbox")
    crosses = bbox is not None and bbox[0] > bbox[len(bbox) // 2]
    geometry = _shift_long_edges(document["geometry"]) if crosses else document["geometry"]
    shape = valid_shape(geometry)
    return None if shape.is_empty else shape


def valid_shape(geometry: dict[str, Any]) -> BaseGeometry:
    """Return a GeoJSON geometry without heights, valid, with what lies beyond ±180 on the other side."""
    shape = shapely.make_valid(shapely.force_2d(shapely.geometry.shape(geometry)))
    if shape.is_empty or (shape.bounds[0] >= -180 and shape.bounds[2] <= 180):
        return shape
    shifted = [shapely.intersection(shapely.affinity.translate(shape, turn), WORLD) for turn in (-360, 0, 360)]
    return shapely.union_all([piece for piece in shifted if piece.length > 0 and (piece.area > 0 or shape.area == 0)])


def _shift_long_edges(geometry: dict[str, Any]) -> dict[str, Any]:
    """Put the western longitudes of polygons and lines that have an edge longer than 180° beyond 180."""
    if geometry["type"] == "MultiPolygon":
        return {**geometry, "coordinates": [_shift_polygon(rings) for rings in geometry["coordinates"]]}
    if geometry["type"] == "Polygon":
        return {**geometry, "coordinates": _shift_polygon(geometry["coordinates"])}
    if geometry["type"] == "LineString":
        return {**geometry, "coordinates": _shift_polygon([geometry["coordinates"]])[0]}
    return geometry


def _shift_polygon(rings: list[list[list[float]]]) -> list[list[list[float]]]:
    outer = rings[0]
    if all(abs(a[0] - b[0]) <= 180 for a, b in itertools.pairwise(outer)):
        return rings
    return [[[x + 360 if x < 0 else x, *rest] for x, *rest in ring] for ring in rings]


def matches_bbox(item: SourceItem, numbers: list[float]) -> bool:
    """Whether the geometry itself touches the box; heights do not count.

    The box crosses the antimeridian with west > east, or with a longitude beyond it.
    """
    if item.shape is None:
        return False
    west, south, east, north = numbers if len(numbers) == 4 else (numbers[i] for i in (0, 1, 3, 4))
    if east - west >= 360:
        west, east = -180, 180
    west, east = (x - 360 if x > 180 else x + 360 if x < -180 else x for x in (west, east))
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    return any(item.shape.intersects(_box(first, south, last, north)) for first, last in spans)


@functools.lru_cache
def _box(west: float, south: float, east: float, north: float) -> BaseGeometry:
    corners = shapely.MultiPoint([(west, south), (west, north), (east, north), (east, south)])
    return corners.envelope


def matches_shape(item: SourceItem, geometry: dict[str, Any]) -> bool | None:
    """Whether the geometry touches another one; unknown for an item without a geometry."""
    if item.shape is None:
        return None
    if "bbox" in geometry:
        return matches_bbox(item, geometry["bbox"])
    return bool(item.shape.intersects(valid_shape(geometry)))


# --- Searching


def matches(item: SourceItem, search: dict[str, Any]) -> bool:
    """Whether an item fulfils every condition of a search."""
    checks: dict[str, Callable[[Any], bool]] = {
        "ids": lambda ids: item.identity.id in ids,
        "collections": lambda collections: item.collection in collections,
        "bbox": lambda bbox: matches_bbox(item, bbox),
        "datetime": lambda text: matches_datetime(item, text),
        "intersects": lambda geometry: matches_shape(item, geometry) is True,
        "filter": lambda tree: evaluate(tree, item) is True,
    }
    return all(check(search[name]) for name, check in checks.items() if name in search)


def expected(items: Iterable[SourceItem], search: dict[str, Any]) -> list[Identity]:
    """Return who matches: newest first and without a time last, then by collection (or after them catalog), by id."""
    return [item.identity for item in sorted(items, key=_place) if matches(item, search)]


def _place(item: SourceItem) -> tuple[bool, int, Identity]:
    time = item.start if item.instant is None else item.instant
    return time is None, -(time or 0), item.identity


# --- CQL2 (OGC 21-065r2): None is unknown, as in table 1 of the standard


class Instants(NamedTuple):
    """A TIMESTAMP or DATE: its first and last microsecond."""

    first: int
    last: int

    @property
    def is_day(self) -> bool:
        return self.first != self.last


def evaluate(tree: Any, item: SourceItem) -> bool | None:
    """Return what a filter says of an item: true, false or unknown."""
    if isinstance(tree, bool):
        return tree
    operator: Callable[[list[Any], SourceItem], bool | None] = OPERATORS[tree["op"]]
    return operator(tree["args"], item)


def _and(args: list[Any], item: SourceItem) -> bool | None:
    values = [evaluate(arg, item) for arg in args]
    if False in values:
        return False
    return None if None in values else True


def _or(args: list[Any], item: SourceItem) -> bool | None:
    values = [evaluate(arg, item) for arg in args]
    if True in values:
        return True
    return None if None in values else False


def _not(args: list[Any], item: SourceItem) -> bool | None:
    value = evaluate(args[0], item)
    return None if value is None else not value


def _is_null(args: list[Any], item: SourceItem) -> bool:
    return _value(args[0], item) is None


def _between(args: list[Any], item: SourceItem) -> bool | None:
    value, low, high = args
    return _and([{"op": ">=", "args": [value, low]}, {"op": "<=", "args": [value, high]}], item)


def _in(args: list[Any], item: SourceItem) -> bool | None:
    return _or([{"op": "=", "args": [args[0], candidate]} for candidate in args[1]], item)


def _like(args: list[Any], item: SourceItem) -> bool | None:
    text, pattern = _value(args[0], item), args[1]
    if not isinstance(text, str):
        return None
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    expression = "".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _intersects(args: list[Any], item: SourceItem) -> bool | None:
    literal = next(arg for arg in args if "property" not in arg)
    return matches_shape(item, literal)


def _compare(sign: str, args: list[Any], item: SourceItem) -> bool | None:
    left, right = _value(args[0], item), _value(args[1], item)
    times = _instants(left), _instants(right)
    if None not in times and (
        Instants in (type(left), type(right)) or any(time is not None and not time.is_day for time in times)
    ):
        left, right = times
    elif Instants in (type(left), type(right)):
        return None
    if left is None or right is None or _kind(left) != _kind(right) or _kind(left) == "other":
        return None
    if isinstance(left, Instants) and isinstance(right, Instants):
        before, after = left.last < right.first, left.first > right.last
    else:
        before, after = left < right, left > right
    return {"=": not before and not after, "<>": before or after, "<": before, ">": after}.get(
        sign, not after if sign == "<=" else not before
    )


def _as_instants(value: Any) -> Any:
    if isinstance(value, Instants):
        return value
    instant = read_instant(value)
    return None if instant is None else Instants(instant, instant)


def _kind(value: Any) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", str: "text", Instants: "instant"}
    return kinds.get(type(value), "other")


def _value(arg: Any, item: SourceItem) -> Any:
    if not isinstance(arg, dict):
        return _number(arg)
    for name in ("timestamp", "date"):
        if name in arg:
            return _instants(arg[name])
    return _property(arg["property"], item)


def _instants(value: Any) -> Instants | None:
    """Read a text as an instant or a day. Texts compare as times where both are, and not both are days."""
    if isinstance(value, Instants) or not isinstance(value, str):
        return value if isinstance(value, Instants) else None
    instant, midnight = read_instant(value), read_instant(f"{value}T00:00:00Z")
    if midnight is not None:
        return Instants(midnight, midnight + 86_400_000_000 - 1)
    return None if instant is None else Instants(instant, instant)


def _property(name: str, item: SourceItem) -> Any:
    members = {"id": item.identity.id, "collection": item.collection, "geometry": item.shape}
    return members[name] if name in members else _number(item.document["properties"].get(name))


def _number(value: Any) -> Any:
    """Whole numbers beyond 64 bits compare as floats."""
    is_big = isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63
    return float(value) if is_big else value


OPERATORS: dict[str, Any] = {
    "and": _and,
    "or": _or,
    "not": _not,
    "isNull": _is_null,
    "between": _between,
    "in": _in,
    "like": _like,
    "s_intersects": _intersects,
    **{sign: (lambda args, item, sign=sign: _compare(sign, args, item)) for sign in ("=", "<>", "<", "<=", ">", ">=")},
}
