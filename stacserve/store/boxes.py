"""The R-tree: which boxes an item has in it, and building the whole tree at once.

Each item has one row, or two where its geometry lies on both sides of the antimeridian. The row number
carries the item's key and a `BoxKind`: `key * 8 + kind`. The third axis is the item's rank, its place in
the default order, on about the scale of degrees.

SQLite inserts 50 000 rows a second into a large R-tree. Sorted into tiles beforehand (Leutenegger et al.,
"STR: a simple and efficient algorithm for R-tree packing", 1997) and written into the tree's own tables
(https://www.sqlite.org/rtree.html, section 6.1; `rtreecheck()` confirms the result) it is ten times that,
and the tree answers faster because its nodes overlap less.
"""

from __future__ import annotations

import enum
import itertools
import math
import sqlite3
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy
import numpy.typing
import shapely

Floats = numpy.typing.NDArray[numpy.float64]
Ints = numpy.typing.NDArray[numpy.int64]

KIND_BITS = 3
# Above the largest rounding error of the R-tree's 32-bit floats at 360 degrees.
MARGIN = 1e-4

_CELL = numpy.dtype([("row", ">i8"), ("box", ">f4", (6,))])
_FILL = 40  # cells in a packed node, of 51: later inserts find room
_MULTI = (4, 5, 6, 7)
_COLLECTION = 7
_INSERT_ROW = "INSERT INTO item_boxes_rowid(rowid, nodeno) VALUES (?, ?)"
_INSERT_PARENT = "INSERT INTO item_boxes_parent(nodeno, parentnode) VALUES (?, ?)"


class BoxKind(enum.IntEnum):
    """What a box says about the geometry in it, so that most matches need no look at the geometry."""

    CONNECTED = 0  # touches all four sides, in one piece
    SCATTERED = 1  # several pieces
    WEST_OF_TWO = 2
    EAST_OF_TWO = 3
    FILLED = 4  # the geometry is its box


class BoxRows(NamedTuple):
    """Rows for the R-tree: `items` says which geometry of the batch each is of; `bounds` is (n, 4)."""

    items: Ints
    kinds: Ints
    bounds: Floats


def box_rows(wkbs: list[bytes]) -> BoxRows:
    """Return the R-tree rows of a batch of geometries: first one row for each, then second rows."""
    shapes = shapely.from_wkb(numpy.array(wkbs, dtype=object))
    types, bounds = shapely.get_type_id(shapes).astype(numpy.int64), shapely.bounds(shapes)
    several = numpy.isin(types, _MULTI) & ((shapely.get_num_geometries(shapes) > 1) | (types == _COLLECTION))
    kinds = numpy.where(several, BoxKind.SCATTERED, BoxKind.CONNECTED).astype(numpy.int64)
    kinds[_fills_box(shapes, types, bounds)] = BoxKind.FILLED
    seconds: list[tuple[int, tuple[float, float, float, float]]] = []
    for number in numpy.flatnonzero(several & (bounds[:, 2] - bounds[:, 0] > 180)).tolist():
        parts = shapely.get_parts(shapes[number])
        parts = parts[~shapely.is_empty(parts)]
        west, east = _bounds_by_side(parts)
        if west and east:
            kinds[number], bounds[number] = BoxKind.WEST_OF_TWO, west
            seconds.append((number, east))
    return BoxRows(
        numpy.concatenate([numpy.arange(len(wkbs)), numpy.array([n for n, _ in seconds], dtype=numpy.int64)]),
        numpy.concatenate([kinds, numpy.full(len(seconds), BoxKind.EAST_OF_TWO, dtype=numpy.int64)]),
        numpy.concatenate([bounds, numpy.array([b for _, b in seconds], dtype=float).reshape(-1, 4)]),
    )


def _fills_box(shapes: numpy.typing.NDArray[numpy.object_], types: Ints, bounds: Floats) -> Ints:
    """Return the numbers of points and of polygons that are axis-parallel rectangles."""
    points = numpy.flatnonzero(types == 0)
    quads = numpy.flatnonzero((types == 3) & (shapely.get_num_coordinates(shapes) == 5))
    corners = shapely.get_coordinates(shapes[quads]).reshape(-1, 5, 2)
    low, high = bounds[quads][:, None, :2], bounds[quads][:, None, 2:]
    at_high = corners == high
    on_corner = ((corners == low) | at_high).all(axis=(1, 2))
    # a triangle with a vertex written twice lies on three corners only
    each_once = numpy.sort(at_high[:, :4] @ [1, 2]) == [0, 1, 2, 3]
    return numpy.concatenate([points, quads[on_corner & each_once.all(axis=1)]])


def _bounds_by_side(
    parts: numpy.typing.NDArray[numpy.object_],
) -> tuple[tuple[float, float, float, float] | None, tuple[float, float, float, float] | None]:
    bounds = shapely.bounds(parts)
    is_west = bounds[:, 0] + bounds[:, 2] < 0
    west, east = parts[is_west], parts[~is_west]
    return (
        tuple(shapely.total_bounds(west).tolist()) if len(west) else None,
        tuple(shapely.total_bounds(east).tolist()) if len(east) else None,
    )


class Entries(NamedTuple):
    """Cells of one level of the tree: row or node numbers, and boxes (n, 6) as x0 x1 y0 y1 r0 r1."""

    numbers: Ints
    boxes: Floats


def pack_boxes(connection: sqlite3.Connection, slabs: Iterator[Entries]) -> None:
    """Replace the contents of the R-tree by entries given in slabs of rising rank.

    Use `slab_size` for the length of the slabs; only one of them is in memory at a time.
    """
    packer = _Packer(connection)
    first = next(slabs, None)
    if first is None:
        return
    if len(first.numbers) <= _FILL:
        # so few are all there are; SQLite expects that a root above leaves has at least two
        packer.write_root(first, depth=0)
        return
    level = [packer.write_nodes(slab, depth=0) for slab in itertools.chain([first], slabs)]
    entries = Entries(numpy.concatenate([e.numbers for e in level]), numpy.concatenate([e.boxes for e in level]))
    depth = 0
    while len(entries.numbers) > _FILL:
        depth += 1
        entries = packer.write_nodes(entries, depth=depth)
    packer.write_root(entries, depth=depth + 1)


def slab_size(count: int) -> int:
    """Return how many entries a slab of `pack_boxes` holds so that tiles are about cubes."""
    leaves = math.ceil(count / _FILL)
    slabs: int = max(1, round(leaves ** (1 / 3)))
    return math.ceil(count / slabs)


class _Packer:
    """Writes nodes into the three tables that the R-tree `item_boxes` consists of."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        root = connection.execute("SELECT length(data) FROM item_boxes_node WHERE nodeno = 1").fetchone()
        self.node_size: int = root[0]
        connection.execute("DELETE FROM item_boxes_rowid")
        connection.execute("DELETE FROM item_boxes_parent")
        connection.execute("DELETE FROM item_boxes_node WHERE nodeno > 1")
        connection.execute("UPDATE item_boxes_node SET data = zeroblob(?) WHERE nodeno = 1", root)
        self.next_node = 2

    def write_nodes(self, entries: Entries, *, depth: int) -> Entries:
        """Write one level; return the entries of the level above, one for each node."""
        order, starts = _tile(entries.boxes)
        numbers, boxes = entries.numbers[order], _round_outwards(entries.boxes[order])
        cells = numpy.empty(len(numbers), dtype=_CELL)
        cells["row"], cells["box"] = numbers, boxes
        ends = numpy.append(starts[1:], len(numbers))
        nodes = numpy.arange(self.next_node, self.next_node + len(starts))
        self.next_node += len(starts)
        spans = zip(nodes.tolist(), starts.tolist(), ends.tolist(), strict=True)
        self.connection.executemany(
            "INSERT INTO item_boxes_node(nodeno, data) VALUES (?, ?)",
            ((n, self._node(cells[a:b], 0)) for n, a, b in spans),
        )
        of_node = numpy.repeat(nodes, ends - starts)
        links = numpy.argsort(numbers)
        self.connection.executemany(
            _INSERT_PARENT if depth else _INSERT_ROW,
            zip(numbers[links].tolist(), of_node[links].tolist(), strict=True),
        )
        low = numpy.minimum.reduceat(boxes[:, ::2], starts)
        high = numpy.maximum.reduceat(boxes[:, 1::2], starts)
        return Entries(nodes, numpy.stack([low, high], axis=2).reshape(-1, 6).astype(float))

    def write_root(self, entries: Entries, *, depth: int) -> None:
        """Write node 1, which holds the topmost entries and the depth of the tree."""
        cells = numpy.empty(len(entries.numbers), dtype=_CELL)
        cells["row"], cells["box"] = entries.numbers, _round_outwards(entries.boxes)
        self.connection.execute("UPDATE item_boxes_node SET data = ? WHERE nodeno = 1", (self._node(cells, depth),))
        insert = _INSERT_PARENT if depth else _INSERT_ROW
        self.connection.executemany(insert, [(number, 1) for number in entries.numbers.tolist()])

    def _node(self, cells: numpy.typing.NDArray[numpy.void], depth: int) -> bytes:
        return (struct.pack(">HH", depth, len(cells)) + cells.tobytes()).ljust(self.node_size, b"\0")


def _tile(boxes: Floats) -> tuple[Ints, Ints]:
    """Return an order of the boxes and where nodes start in it: slabs by rank, strips by x, runs by y."""
    centers = boxes[:, ::2] + boxes[:, 1::2]
    count = len(boxes)
    leaves = math.ceil(count / _FILL)
    # a slab handed in already spans little of the rank, unless it is the whole of a small tree
    slabs = max(1, round(leaves ** (1 / 3))) if numpy.ptp(centers[:, 2]) > numpy.ptp(centers[:, 0]) else 1
    strips = max(1, round(math.sqrt(leaves / slabs)))
    order = _sort_within(numpy.argsort(centers[:, 2], kind="stable"), centers[:, 0], slabs)
    order = _sort_within(order, centers[:, 1], slabs * strips)
    starts = numpy.linspace(0, count, leaves, endpoint=False).astype(numpy.int64)
    return order, starts


def _sort_within(order: Ints, keys: Floats, groups: int) -> Ints:
    """Sort by `keys` inside each of so many equal groups of an order."""
    group = numpy.arange(len(order)) * groups // max(1, len(order))
    return order[numpy.lexsort((keys[order], group))]


def _round_outwards(boxes: Floats) -> numpy.typing.NDArray[numpy.float32]:
    rounded = boxes.astype(numpy.float32)
    low, high = rounded[:, ::2], rounded[:, 1::2]
    low[low > boxes[:, ::2]] = numpy.nextafter(low, numpy.float32(-numpy.inf))[low > boxes[:, ::2]]
    high[high < boxes[:, 1::2]] = numpy.nextafter(high, numpy.float32(numpy.inf))[high < boxes[:, 1::2]]
    return rounded


def tree_bounds(root: bytes) -> tuple[float, float, float, float] | None:
    """Return west, south, east, north of everything in the tree from its root node, or None if it is empty."""
    (count,) = struct.unpack_from(">H", root, 2)
    if not count:
        return None
    boxes = numpy.frombuffer(root, dtype=_CELL, count=count, offset=4)["box"].astype(float)
    low, high = boxes.min(axis=0), boxes.max(axis=0)
    return low[0], low[2], high[1], high[3]
