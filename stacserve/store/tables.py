"""The SQLite schema of an index file.

A key is the number of a source file; whatever is made from that file (a catalog, a collection, an item with
its document, geometry and boxes) carries the same key. What is searched (`items`) is kept apart from what is
only served (`documents`), so that scans touch few pages.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import (
    BLOB,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    column,
    table,
    text,
)
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler, SQLiteDialect
from sqlalchemy.schema import CreateIndex, CreateTable

from stacserve.paths import Container

SCHEMA_VERSION = 1
APPLICATION_ID = 0x53544143  # "STAC"

metadata = MetaData()

# source, root (folder), settings, published, index_id, version, state ("building" or "ready"), refreshed (seconds
# since 1970)
facts = Table("facts", metadata, Column("name", Text, primary_key=True), Column("value", Text))

# Every document that a link led to; `state` as in store.files.FileRow.
files = Table(
    "files",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("path", Text, nullable=False, unique=True),
    Column("parent", Integer),
    Column("is_container", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("mtime_ns", Integer),
    Column("size", Integer),
    Column("inode", Integer),
)

# Links to documents that another container links too: where they go when that one links them no longer.
extra_links = Table(
    "extra_links",
    metadata,
    Column("path", Text, nullable=False),
    Column("parent", Integer, nullable=False),
    PrimaryKeyConstraint("path", "parent"),
    sqlite_with_rowid=False,
)
Index("extra_links_of", extra_links.c.parent)

# Catalogs and collections. `position` is the place among the links of the parent.
containers = Table(
    "containers",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("kind", Text, nullable=False),  # "catalogs" or "collections"
    Column("id", Text, nullable=False),
    Column("title", Text),
    Column("parent", Integer),
    Column("position", Integer, nullable=False),
    Column("served", Integer, nullable=False),  # 0 for a second collection of the same id
    Column("address", Text),  # of a catalog; unique
    Column("collection", Text),  # id of the nearest collection, itself included
    Column("path", BLOB),
    Column("parent_path", BLOB),
    Column("head", BLOB, nullable=False),
)

Index("containers_identity", containers.c.kind, containers.c.id)
Index("containers_address", containers.c.address)
Index("containers_parent", containers.c.parent, containers.c.position)

# `container` is "0/" and a collection's id, or "1/" and a catalog's address; times are microseconds since 1970.
# `ordered` is what the default order sorts by; [start, end] is what searches by time match; `reach` is 0 for
# instants, else a power of two (its exponent) above how far start and end lie from `ordered`; `boxes` is the
# number of rows in the R-tree.
items = Table(
    "items",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("container", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("parent", Integer, nullable=False),
    Column("rank", Float),
    Column("ordered", Integer),
    Column("datetime", Integer),
    Column("start", Integer),
    Column("end", Integer),
    Column("reach", Integer, nullable=False),
    Column("boxes", Integer, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("path", BLOB, nullable=False),
    Column("parent", BLOB, nullable=False),
    Column("head", BLOB, nullable=False),
)

# What has no column of its own in `items`: arrays, objects, and scalars beyond the limit of columns. No NUL inside.
leftovers = Table("leftovers", metadata, Column("key", Integer, primary_key=True), Column("properties", Text))

geometries = Table(
    "geometries", metadata, Column("key", Integer, primary_key=True), Column("wkb", BLOB, nullable=False)
)

property_columns = Table(
    "property_columns",
    metadata,
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("column", Text, nullable=False),
    PrimaryKeyConstraint("name", "kind"),
)

# Files that documents name as assets, by folder; `names` has a line feed before and after each.
assets = Table(
    "assets",
    metadata,
    Column("key", Integer, nullable=False),
    Column("folder", Text, nullable=False),
    Column("names", Text, nullable=False),
    PrimaryKeyConstraint("key", "folder"),
    sqlite_with_rowid=False,
)

# Links in documents to other documents: `href` is what the document says now, `target` the file.
cross_links = Table(
    "cross_links",
    metadata,
    Column("key", Integer, nullable=False),
    Column("target", Text, nullable=False),
    Column("href", Text, nullable=False),
    PrimaryKeyConstraint("key", "target"),
    sqlite_with_rowid=False,
)

problems = Table(
    "problems",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("key", Integer),
    Column("path", Text, nullable=False),
    Column("pointer", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("advice", Text, nullable=False),
    Column("severity", Text, nullable=False),
)
Index("problems_order", problems.c.path, problems.c.number)
Index("problems_of", problems.c.key)

# The R-tree; a row's id is key * 8 + BoxKind.
item_boxes = table("item_boxes", *map(column, ("id", "x0", "x1", "y0", "y1", "r0", "r1")))

# Needed while loading.
Index("files_children", files.c.parent)
Index("files_waiting", files.c.state, files.c.key, sqlite_where=files.c.state.in_(["new", "changed"]))
items_identity = Index("items_identity", items.c.id, items.c.container, unique=True)

# Made once the items are there.
items_order = Index("items_order", items.c.ordered.desc(), items.c.container, items.c.id)
# with the reach in them, instants in an interval of time are counted by the index alone
items_rank = Index("items_rank", items.c.rank, items.c.reach)
items_container = Index("items_container", items.c.container, items.c.rank, items.c.reach)
items_parent = Index("items_parent", items.c.parent, items.c.rank)
items_reach = Index("items_reach", items.c.reach, items.c.start, items.c.end, sqlite_where=text("reach > 0"))
items_bare = Index("items_bare", items.c.rank, sqlite_where=text("boxes = 0"))
assets_folder = Index("assets_folder", assets.c.folder)
items_split = Index("items_split", items.c.rank, sqlite_where=text("boxes = 2"))
LATE_INDEXES = (
    items_order,
    items_rank,
    items_container,
    items_parent,
    items_reach,
    items_bare,
    items_split,
    assets_folder,
)


class _Compiler(SQLiteCompiler):
    """SQLite's SQL, with `select.with_hint` for the clause INDEXED BY."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


DIALECT = SQLiteDialect(paramstyle="named")
DIALECT.statement_compiler = _Compiler


def create_tables(connection: sqlite3.Connection) -> None:
    """Create everything except the indexes that are made after loading."""
    for one in metadata.sorted_tables:
        connection.execute(str(CreateTable(one).compile(dialect=DIALECT)))
        for index in sorted(one.indexes, key=lambda index: str(index.name)):
            if index not in LATE_INDEXES:
                connection.execute(str(CreateIndex(index).compile(dialect=DIALECT)))
    connection.execute("CREATE VIRTUAL TABLE item_boxes USING rtree(id, x0, x1, y0, y1, r0, r1)")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION:d}")


def create_late_indexes(connection: sqlite3.Connection) -> None:
    """Create the indexes on loaded items that are not there yet."""
    for index in LATE_INDEXES:
        connection.execute(str(CreateIndex(index, if_not_exists=True).compile(dialect=DIALECT)))


def container_label(container: Container) -> str:
    """Return how `items.container` writes a container; labels sort by collection id, catalogs last."""
    return ("0/" if container.kind == "collections" else "1/") + container.id
