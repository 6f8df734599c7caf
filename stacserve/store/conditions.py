"""What an item search asks of the index, taken apart: what an index can narrow, and what each row must meet.

Terms of the filter that are joined by AND are lifted to where an index answers them: collections, ids, times,
spatial predicates. The rest of the filter stays a condition on each row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy
import shapely

from stacserve.cql2 import Expression, GeometryLiteral, Instant, Operation, Property
from stacserve.geometry import BBox, bbox_shape
from stacserve.paths import collection_container
from stacserve.search import ItemSearch
from stacserve.store.boxes import box_rows
from stacserve.store.filters import FLIPPED, Compiled, Slot, as_instant, check_length, outline_filter
from stacserve.store.properties import Kind, Properties
from stacserve.store.tables import container_label
from stacserve.temporal import Interval


class Area(NamedTuple):
    """A spatial condition: the item's geometry intersects `shape`, which lies in `boxes` (one or two).

    `is_box`: the shape is exactly the boxes, so most matches follow from the boxes alone.
    """

    shape: shapely.Geometry
    boxes: tuple[BBox, ...]
    is_box: bool

    def size(self) -> float:
        """The area of the boxes in square degrees."""
        return sum((box.east - box.west) * (box.north - box.south) for box in self.boxes)


class Term(NamedTuple):
    """A comparison of an indexed column with a literal, joined to the rest by AND."""

    column: str
    op: str
    slot: int


ALWAYS = Interval(None, None)


@dataclass(frozen=True)
class Conditions:
    """The conditions of a search; all of them hold for an item that matches."""

    areas: tuple[Area, ...] = ()
    labels: tuple[str, ...] | None = None
    parent: int | None = None
    ids: tuple[str, ...] | None = None
    times: Interval | None = None
    ordered: Interval = ALWAYS
    needs_geometry: bool = False
    filter: Compiled | None = None
    terms: tuple[Term, ...] = ()

    def is_impossible(self) -> bool:
        """Whether two conditions exclude each other, so that nothing needs to be looked up."""
        start, end = self.ordered
        return self.labels == () or self.ids == () or (start is not None and end is not None and start > end)

    def simplify(self, bounds: tuple[float, float, float, float] | None) -> Conditions:
        """Drop boxes that contain everything there is (`bounds`); they only ask for a geometry."""
        kept = tuple(area for area in self.areas if not _contains_all(area, bounds))
        if len(kept) == len(self.areas):
            return self
        return replace(self, areas=kept, needs_geometry=True)


def _contains_all(area: Area, bounds: tuple[float, float, float, float] | None) -> bool:
    if not area.is_box or len(area.boxes) > 1 or bounds is None:
        return False
    west, south, east, north = area.boxes[0]
    return west <= bounds[0] and south <= bounds[1] and east >= bounds[2] and north >= bounds[3]


def search_conditions(search: ItemSearch, properties: Properties, parent: int | None) -> Conditions:
    """Return the conditions of a search; `parent` is the key of the catalog that it is limited to."""
    areas = []
    if search.bbox is not None:
        areas.append(bbox_area(search.bbox))
    if search.intersects is not None:
        areas.append(shape_area(search.intersects))
    labels = None
    if search.collections is not None:
        labels = tuple(sorted({container_label(collection_container(one)) for one in search.collections}))
    ids = None if search.ids is None else tuple(sorted(set(search.ids)))
    found = Conditions(tuple(areas), labels, parent, ids, search.datetime)
    if search.filter is None:
        return found
    rest: list[Expression] = []
    parts = list(_conjuncts(search.filter))
    check_length(len(parts))
    for part in parts:
        lifted = _lift(part, found)
        if lifted is None:
            rest.append(part)
        else:
            found, keep = lifted
            rest.extend([part] if keep else [])
    return _with_filter(found, rest, properties)


def _with_filter(found: Conditions, parts: list[Expression], properties: Properties) -> Conditions:
    if not parts:
        return found
    compiled = outline_filter(parts[0] if len(parts) == 1 else Operation("and", tuple(parts)), properties)
    return replace(found, filter=compiled, terms=tuple(_indexed_terms(compiled.outline, properties)))


def bbox_area(bbox: BBox) -> Area:
    """Return the spatial condition of a bbox."""
    return Area(bbox_shape(bbox), tuple(bbox.parts()), is_box=True)


def shape_area(shape: shapely.Geometry) -> Area:
    """Return the spatial condition of a geometry that lies within longitudes ±180."""
    bounds = box_rows([shapely.to_wkb(shape)]).bounds
    boxes = tuple(BBox(west, south, east, north) for west, south, east, north in bounds.tolist())
    is_box = len(boxes) == 1 and isinstance(shape, shapely.Polygon) and bool(shape.equals(bbox_shape(boxes[0])))
    return Area(shape, boxes, is_box)


def _conjuncts(node: Expression) -> Iterator[Expression]:
    if isinstance(node, Operation) and node.op == "and":
        for arg in node.args:
            yield from _conjuncts(arg)
    else:
        yield node


def _lift(node: Expression, found: Conditions) -> tuple[Conditions, bool] | None:
    """Return the conditions with this term in them and whether each row must still be tested, or None."""
    if not isinstance(node, Operation) or len(node.args) != 2:
        return None
    left, right = node.args
    op = node.op
    if isinstance(right, Property):
        left, right, op = right, left, FLIPPED.get(op, op)
    if not isinstance(left, Property):
        return None
    if op == "s_intersects" and left.name == "geometry" and isinstance(right, GeometryLiteral):
        return replace(found, areas=(*found.areas, shape_area(right.shape))), False
    if left.name in ("collection", "id"):
        return _lift_names(left.name, op, right, found)
    if left.name == "datetime" and op in FLIPPED:
        instant = as_instant(right)
        return (
            (replace(found, ordered=_narrow(found.ordered, op, instant)), True)
            if isinstance(instant, Instant)
            else None
        )
    return None


def _lift_names(name: str, op: str, right: Any, found: Conditions) -> tuple[Conditions, bool] | None:
    names = (right,) if op == "=" else right if op == "in" else None
    if not isinstance(names, tuple) or not all(isinstance(one, str) for one in names):
        return None
    if name == "id":
        ids = set(names) if found.ids is None else set(names).intersection(found.ids)
        return replace(found, ids=tuple(sorted(ids))), False
    labels = {container_label(collection_container(one)) for one in names}
    if found.labels is not None:
        labels &= set(found.labels)
    return replace(found, labels=tuple(sorted(labels))), False


def _narrow(interval: Interval, op: str, instant: Instant) -> Interval:
    start, end = interval
    if op in ("=", ">", ">="):
        start = instant.start if start is None else max(start, instant.start)
    if op in ("=", "<", "<="):
        end = instant.end if end is None else min(end, instant.end)
    return Interval(start, end)


def _indexed_terms(outline: Any, properties: Properties) -> Iterator[Term]:
    parts = outline.args if isinstance(outline, Operation) and outline.op == "and" else (outline,)
    for part in parts:
        if isinstance(part, Operation) and part.op in FLIPPED and part.op != "<>":
            yield from _indexed_term(part, properties)


def _indexed_term(part: Operation, properties: Properties) -> Iterator[Term]:
    left: Any = part.args[0]
    right: Any = part.args[1]
    op = part.op
    if isinstance(right, Property):
        left, right, op = right, left, FLIPPED[op]
    if isinstance(left, Property) and isinstance(right, Slot) and right.kind in set(Kind):
        column = properties.column(left.name, Kind(right.kind))
        if column is not None and column in properties.indexed:
            yield Term(column, op, right.number)


def intersects_all(wkbs: list[bytes], areas: tuple[Area, ...]) -> numpy.typing.NDArray[numpy.bool_]:
    """Return which of the geometries intersect every one of the areas; about a microsecond each."""
    shapes = shapely.from_wkb(numpy.array(wkbs, dtype=object))
    found = numpy.ones(len(wkbs), dtype=bool)
    for area in areas:
        shapely.prepare(area.shape)
        found &= shapely.intersects(area.shape, shapes)
    return found
