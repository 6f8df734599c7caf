"""Which properties of items have columns of their own, and how a value is put into SQL types.

In SQLite any text is greater than any number, REAL cannot hold 2^53+1, `true` equals 1 and column names
ignore case. So a property has one column for each kind of value that it was met with, without affinity, under
a number instead of its name; a comparison names the kind that it compares.
"""

from __future__ import annotations

import enum
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

COLUMNS_MAX = 100
INDEXES_MAX = 16
_SAMPLE = 2_000  # items whose values decide which columns are indexed
# What people filter by most, where it is there (common metadata and the extensions eo, view, sat, grid, projection).
OFTEN_ASKED = frozenset(
    [
        *("eo:cloud_cover", "platform", "constellation", "gsd", "created", "updated", "grid:code", "proj:code"),
        *("sat:relative_orbit", "view:off_nadir", "view:sun_elevation"),
    ]
)
# Values that stand in columns of `items` anyway.
BUILT_IN = frozenset(["sdatetime", "tdatetime"])


class Kind(enum.StrEnum):
    """The kinds of scalar values. A text that is an RFC 3339 instant is also a TIME, in microseconds."""

    NUMBER = "n"
    TEXT = "s"
    BOOL = "b"
    TIME = "t"


@dataclass(frozen=True)
class Properties:
    """The columns of one version of an index: by property name, then by kind; and which of them are indexed."""

    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    indexed: frozenset[str] = frozenset()
    is_full: bool = False

    def column(self, name: str, kind: Kind) -> str | None:
        """Return the column that holds a property's values of that kind, or None."""
        return self.columns.get(name, {}).get(kind)


def read_properties(connection: sqlite3.Connection) -> Properties:
    """Read the columns that the index has now."""
    columns: dict[str, dict[str, str]] = {}
    count = 0
    for name, kind, column in connection.execute("SELECT name, kind, column FROM property_columns"):
        columns.setdefault(name, {})[kind] = column
        count += 1
    indexes = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND name GLOB 'p*_*_rank'")
    indexed = frozenset(name.removesuffix("_rank") for (name,) in indexes)
    return Properties(columns, indexed, is_full=count >= COLUMNS_MAX)


class ColumnWriter:
    """Gives columns to properties while items are written. Keys are a `Kind` letter and the name ("ngsd")."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        rows = connection.execute("SELECT kind || name, column FROM property_columns ORDER BY rowid")
        self.columns: dict[str, str] = dict(rows.fetchall())

    def add_missing(self, items: Iterable[Mapping[str, object]]) -> None:
        """Give columns to the commonest of the keys that have none, as long as there is room.

        A column is added when its property is first met, so no earlier item can have a value for it.
        """
        items = list(items)
        unknown = set[str]().union(*items) - self.columns.keys() - BUILT_IN
        if not unknown or len(self.columns) >= COLUMNS_MAX:
            return
        counts = Counter(key for item in items for key in item if key in unknown)
        new = sorted(unknown, key=lambda key: (-counts[key], key))
        for key in new[: COLUMNS_MAX - len(self.columns)]:
            column = f"p{len(self.columns) + 1}_{Kind(key[0]).name.lower()}"
            self.connection.execute(f"ALTER TABLE items ADD COLUMN {column}")
            self.connection.execute("INSERT INTO property_columns VALUES (?, ?, ?)", (key[1:], key[0], column))
            self.columns[key] = column


def create_property_indexes(connection: sqlite3.Connection) -> None:
    """Index columns that can narrow a search, as long as there is room: what is often asked for, then the commonest."""
    properties = read_properties(connection)
    room = INDEXES_MAX - len(properties.indexed)
    wanted = _worth_an_index(connection, properties) if room > 0 else []
    for column in wanted[:room]:
        connection.execute(f"CREATE INDEX {column}_rank ON items ({column}, rank) WHERE {column} IS NOT NULL")


def _worth_an_index(connection: sqlite3.Connection, properties: Properties) -> list[str]:
    """Return the columns without an index that have at least two values, the most useful first."""
    columns = {
        column: name
        for name, kinds in properties.columns.items()
        for kind, column in kinds.items()
        # a text that is a time is compared as one
        if column not in properties.indexed and kind != Kind.BOOL and not (kind == Kind.TEXT and Kind.TIME in kinds)
    }
    if not columns:
        return []
    parts = ", ".join(f"count({column}), min({column}) < max({column})" for column in columns)
    (step,) = connection.execute("SELECT 1 + max(key) / ? FROM items", (_SAMPLE,)).fetchone()
    sql = f"SELECT {parts} FROM items WHERE key % ? = 0"  # noqa: S608 (numbered columns)
    row = connection.execute(sql, (step or 1,)).fetchone()
    counts = {column: row[2 * number] for number, column in enumerate(columns) if row[2 * number + 1]}
    return sorted(counts, key=lambda column: (columns[column] not in OFTEN_ASKED, -counts[column], columns[column]))
