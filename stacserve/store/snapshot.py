"""One read transaction and what is known of the version that it sees; ranges of ranks."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy
import numpy.typing

from stacserve.store.properties import Properties

# Ranks lie between 0 and this, so that the R-tree's third axis has the scale of degrees.
RANKS = 360.0
EVERYTHING = -math.inf, math.inf


class SplitRows(NamedTuple):
    """The rows of the R-tree of items that have two: keys (n), and boxes (n, 4) as x0 x1 y0 y1."""

    keys: numpy.typing.NDArray[numpy.int64]
    boxes: numpy.typing.NDArray[numpy.float64]


@dataclass(frozen=True)
class Snapshot:
    """One read transaction, and what is known of the version that it sees."""

    connection: sqlite3.Connection
    version: str
    properties: Properties
    reaches: tuple[tuple[int, int], ...]  # (reach, number of items), instants left out
    bounds: tuple[float, float, float, float] | None  # of all geometries
    box_rows: int  # in the R-tree
    split_rows: SplitRows
    items: int


class Span(NamedTuple):
    """A range of ranks, ends exclusive, and the greatest reach of the items that are looked for in it."""

    low: float
    high: float
    reach: int

    def values(self) -> dict[str, Any]:
        """The parameters of a candidate statement."""
        return self._asdict()

    def is_bounded(self) -> bool:
        """Whether there may be ranks outside."""
        return (self.low, self.high) != EVERYTHING
