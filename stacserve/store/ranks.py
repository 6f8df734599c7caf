"""Ranks: each item's place in the default order as a number, and the R-tree that has them as its third axis.

A cold build numbers all items at once. Items that come later get ranks between their neighbours'; where there
is no room left, the ranks around are spread anew. Ranks are unique and rise along the default order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import numpy
from sqlalchemy.schema import DropIndex

from stacserve.store.boxes import KIND_BITS, BoxKind, Entries, box_rows, pack_boxes, slab_size
from stacserve.store.snapshot import RANKS
from stacserve.store.tables import (
    DIALECT,
    create_late_indexes,
    items_bare,
    items_container,
    items_parent,
    items_rank,
    items_split,
)

_BATCH = 5_000
_SMALLEST_GAP = 1e-9


def rank_everything(connection: sqlite3.Connection) -> None:
    """Number all items evenly along the default order and build the R-tree from nothing."""
    for index in (items_rank, items_container, items_parent, items_bare, items_split):
        connection.execute(str(DropIndex(index, if_exists=True).compile(dialect=DIALECT)))
    connection.execute(
        "UPDATE items SET rank = (place.number - 0.5) * ? / (SELECT max(1, count(*)) FROM items) FROM ("
        "SELECT key, row_number() OVER (ORDER BY ordered DESC, container, id) AS number FROM items) AS place"
        " WHERE place.key = items.key",
        (RANKS,),
    )
    create_late_indexes(connection)
    (count,) = connection.execute("SELECT count(*) FROM items WHERE boxes > 0").fetchone()
    pack_boxes(connection, _read_slabs(connection, slab_size(max(1, count))))


def _read_slabs(connection: sqlite3.Connection, size: int) -> Iterator[Entries]:
    cursor = connection.execute(
        "SELECT items.key, items.rank, geometries.wkb FROM items INDEXED BY items_rank"
        " CROSS JOIN geometries ON geometries.key = items.key ORDER BY items.rank"
    )
    while rows := cursor.fetchmany(size):
        yield _entries(connection, rows)


def _entries(connection: sqlite3.Connection, rows: list[tuple[int, float, bytes]]) -> Entries:
    """Return the R-tree rows of items, and note which items have two."""
    boxes = box_rows([wkb for _, _, wkb in rows])
    split = boxes.items[len(rows) :].tolist()
    connection.executemany("UPDATE items SET boxes = 2 WHERE key = ?", [(rows[number][0],) for number in split])
    keys = numpy.array([key for key, _, _ in rows], dtype=numpy.int64)[boxes.items]
    ranks = numpy.array([rank for _, rank, _ in rows])[boxes.items]
    bounds = boxes.bounds[:, [0, 2, 1, 3]]
    return Entries((keys << KIND_BITS) | boxes.kinds, numpy.column_stack([bounds, ranks, ranks]))


def rank_new(connection: sqlite3.Connection) -> None:
    """Give ranks to the items that have none, and put their boxes into the R-tree."""
    new = [
        _Place(*row)
        for row in connection.execute(
            "SELECT key, NULL, ordered, container, id FROM items WHERE rank IS NULL"
            " ORDER BY ordered DESC, container, id"
        )
    ]
    at = 0
    while at < len(new):
        before, after = _neighbour(connection, new[at], _BEFORE), _neighbour(connection, new[at], _AFTER)
        end = at + 1
        while end < len(new) and (after is None or new[end].order() < after.order()):
            end += 1
        low = before.rank if before and before.rank is not None else 0.0
        high = after.rank if after and after.rank is not None else RANKS
        _rank_run(connection, [place.key for place in new[at:end]], low, high)
        at = end
    for start in range(0, len(new), _BATCH):
        _insert_boxes(connection, [place.key for place in new[start : start + _BATCH]])


class _Place(NamedTuple):
    """An item with its rank and what the default order sorts by."""

    key: int
    rank: float | None
    ordered: int | None
    container: str
    id: str

    def order(self) -> tuple[bool, int, str, str]:
        """What compares as the default order does."""
        return self.ordered is None, -(self.ordered or 0), self.container, self.id


_PLACES = "SELECT key, rank, ordered, container, id FROM items INDEXED BY items_order WHERE rank IS NOT NULL AND "
# Each looks among the items of the same instant first, then at the nearest other instant. NULL instants come last.
_BEFORE = (
    _PLACES + "ordered IS :ordered AND (container, id) < (:container, :id) ORDER BY container DESC, id DESC LIMIT 1",
    _PLACES + "ordered > :ordered ORDER BY ordered, container DESC, id DESC LIMIT 1",
    _PLACES + "ordered IS NOT NULL AND :ordered IS NULL ORDER BY ordered, container DESC, id DESC LIMIT 1",
)
_AFTER = (
    _PLACES + "ordered IS :ordered AND (container, id) > (:container, :id) ORDER BY container, id LIMIT 1",
    _PLACES + "ordered < :ordered ORDER BY ordered DESC, container, id LIMIT 1",
    _PLACES + "ordered IS NULL AND :ordered IS NOT NULL ORDER BY container, id LIMIT 1",
)


def _neighbour(connection: sqlite3.Connection, place: _Place, statements: tuple[str, ...]) -> _Place | None:
    """Return the nearest ranked item on one side."""
    for statement in statements:
        row = connection.execute(statement, place._asdict()).fetchone()
        if row:
            return _Place(*row)
    return None


def _rank_run(connection: sqlite3.Connection, keys: list[int], low: float, high: float) -> None:
    """Spread new items that stand side by side evenly between two ranks."""
    ranked: list[tuple[int, float | None]] = [(key, None) for key in keys]
    reach = len(ranked)
    # where the gap is too narrow, more and more neighbours move as well
    while (high - low) / (len(ranked) + 1) < _SMALLEST_GAP:
        before = connection.execute(
            "SELECT key, rank FROM items WHERE rank <= ? AND rank > 0 ORDER BY rank DESC LIMIT ?", (low, reach)
        ).fetchall()
        after = connection.execute(
            "SELECT key, rank FROM items WHERE rank >= ? ORDER BY rank LIMIT ?", (high, reach)
        ).fetchall()
        if not before and not after:
            break
        ranked = [*before[::-1], *ranked, *after]
        low, high = _outer_ranks(connection, before, after, low, high)
        reach *= 2
    step = (high - low) / (len(ranked) + 1)
    moved = [(low + step * number, key) for number, (key, _) in enumerate(ranked, start=1)]
    connection.executemany("UPDATE items SET rank = ? WHERE key = ?", moved)
    _move_boxes(
        connection, [(key, rank) for (key, old), (rank, _) in zip(ranked, moved, strict=True) if old is not None]
    )


def _outer_ranks(
    connection: sqlite3.Connection,
    before: list[tuple[int, float]],
    after: list[tuple[int, float]],
    low: float,
    high: float,
) -> tuple[float, float]:
    """Return the ranks right outside of the items that are about to move."""
    outside = connection.execute(
        "SELECT (SELECT max(rank) FROM items WHERE rank < ?), (SELECT min(rank) FROM items WHERE rank > ?)",
        (before[-1][1] if before else low, after[-1][1] if after else high),
    ).fetchone()
    return outside[0] or 0.0, outside[1] or RANKS


def _move_boxes(connection: sqlite3.Connection, moved: list[tuple[int, float]]) -> None:
    for key, rank in moved:
        rows = [((key << KIND_BITS) | kind) for kind in BoxKind]
        for row in rows:
            connection.execute("UPDATE item_boxes SET r0 = ?, r1 = ? WHERE id = ?", (rank, rank, row))


def _insert_boxes(connection: sqlite3.Connection, keys: list[int]) -> None:
    rows = [
        row
        for key in keys
        for row in connection.execute(
            "SELECT items.key, items.rank, geometries.wkb FROM items JOIN geometries USING (key) WHERE items.key = ?",
            (key,),
        )
    ]
    if rows:
        entries = _entries(connection, rows)
        connection.executemany(
            "INSERT INTO item_boxes VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(number, *box) for number, box in zip(entries.numbers.tolist(), entries.boxes.tolist(), strict=True)],
        )


def delete_boxes(connection: sqlite3.Connection, keys: list[int]) -> None:
    """Take the boxes of items out of the R-tree."""
    rows = [((key << KIND_BITS) | kind,) for key in keys for kind in BoxKind]
    connection.executemany("DELETE FROM item_boxes WHERE id = ?", rows)
