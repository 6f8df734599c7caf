"""Finding the items of a search inside one snapshot: a page along the default order, and the exact count.

The default order is that of the ranks. Items with an instant lie in one range of ranks for an interval of time;
items with an interval of their own may start before it. Those whose reach is common in the store are covered by
widening the range; the others, few, are looked up on their own and merged.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from stacserve.store.conditions import Conditions
from stacserve.store.counts import count_matches, matching_keys
from stacserve.store.planner import Plan, choose_plan
from stacserve.store.queries import Source, candidate_statement, condition_values, statement_shape
from stacserve.store.snapshot import EVERYTHING, RANKS, Snapshot, Span
from stacserve.store.tokens import Position
from stacserve.temporal import Interval

# A reach that more items have than this is walked over, not looked up.
LOOKED_UP_MAX = 2_000


class Found(NamedTuple):
    """A match: its key and its rank."""

    key: int
    rank: float


def locate(connection: sqlite3.Connection, position: Position) -> tuple[float, bool]:
    """Return the rank of the first item at or after a position, and whether it is the very item; inf if none."""
    ordered, container, item_id = position
    at = connection.execute(
        "SELECT rank, container, id FROM items INDEXED BY items_order WHERE ordered IS ?"
        " AND (container, id) >= (?, ?) ORDER BY container, id LIMIT 1",
        position,
    ).fetchone()
    if at:
        return at[0], (at[1], at[2]) == (container, item_id)
    if ordered is None:
        return math.inf, False
    rank = _first_before(connection, ordered)
    if rank is not None:
        return rank, False
    return _first_undated(connection), False


def _first_undated(connection: sqlite3.Connection) -> float:
    """Return the rank of the first item without a place in time, or infinity."""
    undated = connection.execute(
        "SELECT rank FROM items INDEXED BY items_order WHERE ordered IS NULL ORDER BY container, id LIMIT 1"
    ).fetchone()
    return undated[0] if undated else math.inf


def _first_before(connection: sqlite3.Connection, ordered: int) -> float | None:
    """Return the rank of the newest item older than an instant."""
    row = connection.execute(
        "SELECT rank FROM items INDEXED BY items_order WHERE ordered < ? ORDER BY ordered DESC, container, id LIMIT 1",
        (ordered,),
    ).fetchone()
    return row[0] if row else None


def find_spans(snapshot: Snapshot, conditions: Conditions) -> tuple[Span, Span | None]:
    """Return where matches lie: the span to walk, and one for far-reaching intervals if there are any."""
    if conditions.times is None:
        low, high = _ranks_between(snapshot.connection, conditions.ordered, 0)
        return Span(low, high, 0), None
    reach = max((reach for reach, count in snapshot.reaches if count > LOOKED_UP_MAX), default=0)
    low, high = _ranks_between(snapshot.connection, conditions.times, reach)
    high = min(high, _first_undated(snapshot.connection))
    also_low, also_high = _ranks_between(snapshot.connection, conditions.ordered, 0)
    walked = Span(max(low, also_low), min(high, also_high), reach)
    if all(other <= reach for other, _ in snapshot.reaches):
        return walked, None
    return walked, Span(also_low, also_high, reach)


def _ranks_between(connection: sqlite3.Connection, times: Interval, reach: int) -> tuple[float, float]:
    """Return exclusive ranks around the items whose place in time is within an interval widened by a reach."""
    widening = 2**reach if reach else 0
    low, high = EVERYTHING
    if times.end is not None:
        first = _first_before(connection, min(times.end + widening, 2**62) + 1)
        low = math.inf if first is None else math.nextafter(first, -math.inf)
    if times.start is not None:
        beyond = _first_before(connection, max(times.start - widening, -(2**62)))
        high = math.inf if beyond is None else beyond
    return low, high


class Walk:
    """Takes matches along the order of ranks, forwards or backwards, from one span."""

    def __init__(
        self, snapshot: Snapshot, conditions: Conditions, plan: Plan, span: Span, *, backwards: bool = False
    ) -> None:
        self.snapshot = snapshot
        self.conditions = conditions
        self.plan = plan
        self.span = span
        self.backwards = backwards
        shape = statement_shape(
            conditions, snapshot.properties, plan.source, reach=span.reach, column=plan.column, backwards=backwards
        )
        self.statement = candidate_statement(shape)
        self.values = condition_values(conditions, span.reach)

    def take(self, most: int) -> list[Found]:
        """Return the first matches of the span, at most so many."""
        if self.plan.whole or self.plan.is_ordered(self.conditions):
            return self._take_between(self.span.low, self.span.high, most)
        found: list[Found] = []
        for low, high in self._slices(most, found):
            found += self._take_between(low, high, most - len(found))
            if len(found) >= most:
                break
        return found

    def _slices(self, most: int, found: list[Found]) -> Iterator[tuple[float, float]]:
        """Divide the span into windows that grow as long as they bring little."""
        low, high = max(self.span.low, 0.0), min(self.span.high, RANKS)
        edge, end = (high, low) if self.backwards else (low, high)
        cut, width = self._cut_after(edge, 2 * most), 0.0
        while cut is not None and (cut > end if self.backwards else cut < end):
            before = len(found)
            yield (cut, edge) if self.backwards else (edge, cut)
            gained, missing = len(found) - before, most - len(found)
            width = max(abs(cut - edge), width, 1e-3) * min(8.0, max(2.0, 1.3 * missing / gained if gained else 8.0))
            # the ends are exclusive: the next window begins right before the cut
            edge = math.nextafter(cut, math.inf if self.backwards else -math.inf)
            cut = edge - width if self.backwards else edge + width
        if (edge > end) if self.backwards else (edge < end):
            yield (end, edge) if self.backwards else (edge, end)

    def _cut_after(self, edge: float, places: int) -> float | None:
        """Return the rank so many places further, or None beyond the last."""
        if self.backwards:
            sql = "SELECT rank FROM items INDEXED BY items_rank WHERE rank < ? ORDER BY rank DESC LIMIT 1 OFFSET ?"
        else:
            sql = "SELECT rank FROM items INDEXED BY items_rank WHERE rank > ? ORDER BY rank LIMIT 1 OFFSET ?"
        row = self.snapshot.connection.execute(sql, (edge, places)).fetchone()
        return row[0] if row else None

    def _take_between(self, low: float, high: float, most: int) -> list[Found]:
        found: list[Found] = []
        # some candidates fall away when geometries are compared
        chunk = most if not self.conditions.areas else most + most // 4 + 16
        while len(found) < most and low < high:
            rows = self._candidates(low, high, chunk)
            found += self._verify(rows)
            if len(rows) < chunk:
                break
            low, high = (low, rows[-1][1]) if self.backwards else (rows[-1][1], high)
        return found[:most]

    def _candidates(self, low: float, high: float, most: int) -> list[tuple[int, float, int]]:
        values = {**self.values, "low": low, "high": high, "most": most}
        return self.snapshot.connection.execute(*self.statement.with_values(values)).fetchall()

    def _verify(self, rows: list[tuple[int, float, int]]) -> list[Found]:
        """Drop candidates whose geometry does not match, and second rows of one item."""
        if not self.conditions.areas:
            return [Found(key, rank) for key, rank, _ in rows]
        doubts: dict[int, int] = {}
        for key, _, doubt in rows:
            doubts[key] = min(doubt, doubts.get(key, 1))
        sure = {key for key, doubt in doubts.items() if not doubt}
        sure |= matching_keys(self.snapshot, self.conditions, [key for key, doubt in doubts.items() if doubt])
        ranks = {key: rank for key, rank, _ in rows}
        return [Found(key, rank) for key, rank in ranks.items() if key in sure]


class Finder:
    """Answers one search in one snapshot. The plan is made once for all pages and kept by the caller."""

    def __init__(self, snapshot: Snapshot, conditions: Conditions, plan: Plan | None = None) -> None:
        self.snapshot = snapshot
        self.conditions = conditions.simplify(snapshot.bounds)
        self.span, self.far_span = find_spans(snapshot, self.conditions)
        self.impossible = self.conditions.is_impossible()
        if plan is None and not self.impossible:
            plan = choose_plan(snapshot.connection, self.conditions, snapshot.properties, self.span.values())
        self.plan = plan or Plan(Source.RANK)

    def take(
        self, most: int, *, low: float = -math.inf, high: float = math.inf, backwards: bool = False
    ) -> list[Found]:
        """Return the first matches between two ranks (exclusive), at most so many, in the order of the walk."""
        found: list[Found] = []
        for plan, span in self._parts():
            part = Span(max(span.low, low), min(span.high, high), span.reach)
            if part.low < part.high:
                found += Walk(self.snapshot, self.conditions, plan, part, backwards=backwards).take(most)
        found.sort(key=lambda one: one.rank, reverse=backwards)
        return found[:most]

    def count(self) -> int:
        """Return the number of all matches."""
        parts = [(plan, span) for plan, span in self._parts() if span.low < span.high]
        return sum(count_matches(self.snapshot, self.conditions, plan, span) for plan, span in parts)

    def _parts(self) -> list[tuple[Plan, Span]]:
        if self.impossible:
            return []
        far = [(Plan(Source.REACH, whole=True), self.far_span)] if self.far_span else []
        return [(self.plan, self.span), *far]
