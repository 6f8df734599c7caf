"""Exact numbers of matches, and the geometries that have to be looked at for them.

What boxes prove is counted by the R-tree; the rest is decided in bulk by shapely, at about a microsecond each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import shapely

from stacserve.store.conditions import Conditions, intersects_all
from stacserve.store.planner import Plan, count_choices
from stacserve.store.queries import (
    Shape,
    Source,
    border_statement,
    candidate_statement,
    condition_values,
    geometry_statement,
    outside_statement,
    overlap_statement,
    statement_shape,
)
from stacserve.store.snapshot import Snapshot, Span

_CHUNK = 5_000
SCATTERED_COST = 5


def count_matches(snapshot: Snapshot, conditions: Conditions, plan: Plan, span: Span) -> int:
    """Return how many items of a span meet the conditions."""
    source, column, _ = plan if plan.whole else _plan_count(snapshot, conditions, span)
    shape = statement_shape(conditions, snapshot.properties, source, reach=span.reach, column=column, what="count")
    if _boxes_suffice(shape, span):
        return _count_in_box(snapshot, conditions)
    ranks = span.is_bounded() or source is Source.BOXES
    statement = candidate_statement(replace(shape, ranks=ranks))
    values = {**condition_values(conditions, span.reach), **span.values()}
    count: int
    count, *doubtful = snapshot.connection.execute(*statement.with_values(values)).fetchone()
    return count + sum(len(_select_matching(snapshot, conditions, keys)) for keys in doubtful)


def _plan_count(snapshot: Snapshot, conditions: Conditions, span: Span) -> Plan:
    """Return where to count what does not come in an order that ends the work early."""
    if conditions.areas:
        return Plan(Source.BOXES)
    if span.is_bounded() or conditions.filter is None:
        return Plan(Source.RANK if span.is_bounded() else Source.ANY)
    # rows found by an index lie scattered; reading all of them in their order is as fast as some of them in another
    few = snapshot.items // SCATTERED_COST
    counted = count_choices(snapshot.connection, conditions, snapshot.properties, span.values(), cap=few + 1)
    fewest, plan = min(counted, key=lambda pair: pair[0], default=(few + 1, Plan(Source.TABLE)))
    return plan if fewest <= few else Plan(Source.TABLE)


def _boxes_suffice(shape: Shape, span: Span) -> bool:
    """Whether a single box is all that is asked for."""
    return shape.boxes_decide and shape.boxes == 1 and not shape.tests_rows() and not span.is_bounded()


def _count_in_box(snapshot: Snapshot, conditions: Conditions) -> int:
    """Count what overlaps the box, and take away what does not match or has two rows."""
    values = condition_values(conditions, 0)
    run = snapshot.connection.execute
    count = _count_rows(snapshot, conditions, values)
    doubtful: str = run(*border_statement().with_values(values)).fetchone()[0]
    failing = len(orjson.loads(doubtful)) - len(_select_matching(snapshot, conditions, doubtful))
    rows, matching = _count_split(snapshot, conditions)
    return count - failing - rows + matching


def _count_split(snapshot: Snapshot, conditions: Conditions) -> tuple[int, int]:
    """Return, of items that have two rows in the R-tree, how many rows overlap the box and how many items match."""
    (box,) = conditions.areas[0].boxes
    keys, boxes = snapshot.split_rows
    overlaps = (boxes[:, 1] >= box.west) & (boxes[:, 0] <= box.east)
    overlaps &= (boxes[:, 3] >= box.south) & (boxes[:, 2] <= box.north)
    inside = (boxes[:, 0] >= box.west) & (boxes[:, 1] <= box.east)
    inside &= (boxes[:, 2] >= box.south) & (boxes[:, 3] <= box.north)
    sure = set(keys[inside].tolist())
    doubtful = set(keys[overlaps].tolist()) - sure
    return int(overlaps.sum()), len(sure) + len(matching_keys(snapshot, conditions, sorted(doubtful)))


def _count_rows(snapshot: Snapshot, conditions: Conditions, values: dict[str, Any]) -> int:
    """Count the R-tree's rows that overlap a box, or where those are more, the others."""
    (box,) = conditions.areas[0].boxes
    west, south, east, north = snapshot.bounds or (0.0, 0.0, 0.0, 0.0)
    width, height = min(box.east, east) - max(box.west, west), min(box.north, north) - max(box.south, south)
    is_most = max(0.0, width) * max(0.0, height) > (east - west) * (north - south) / 2
    statement = outside_statement() if is_most else overlap_statement()
    count: int = snapshot.connection.execute(*statement.with_values(values)).fetchone()[0]
    return snapshot.box_rows - count if is_most else count


def matching_keys(snapshot: Snapshot, conditions: Conditions, keys: list[int]) -> set[int]:
    """Return those of the keys whose geometry meets the spatial conditions."""
    return _select_matching(snapshot, conditions, orjson.dumps(keys).decode()) if keys else set()


def _select_matching(snapshot: Snapshot, conditions: Conditions, keys: str) -> set[int]:
    cursor = snapshot.connection.execute(*geometry_statement().with_values({"keys": keys}))
    found: set[int] = set()
    # between chunks SQLite looks whether the query should stop
    points = sum(int(shapely.get_num_coordinates(area.shape)) for area in conditions.areas)
    while rows := cursor.fetchmany(max(100, _CHUNK // (1 + points // 500))):
        matches = intersects_all([wkb for _, wkb in rows], conditions.areas)
        found.update(rows[number][0] for number in matches.nonzero()[0].tolist())
    return found
