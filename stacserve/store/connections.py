"""Opening an index file: connections, pragmas, SQL functions, and what a file must be to be read.

The file is only read where it is ours: `application_id` and `user_version` say so.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import threading
from pathlib import Path

import shapely

from stacserve.errors import StartError
from stacserve.store.tables import APPLICATION_ID, SCHEMA_VERSION
from stacserve.temporal import parse_instant

MMAP_BYTES = 2**40
_CACHE_KIB = 16_384


def check_sqlite() -> None:
    """Raise StartError if this Python's SQLite lacks what the index needs."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        options = {row[0] for row in connection.execute("PRAGMA compile_options")}
    if "ENABLE_RTREE" not in options:
        raise StartError(
            "This Python's SQLite was built without R-tree, which the index needs; use a Python from python.org,"
            " conda or your distribution."
        )


def open_reader(path: Path, *, patience: float = 30.0) -> sqlite3.Connection:
    """Open an index for reading; the file may be written by another process at the same time.

    `patience` is how many seconds to wait for a lock, which only an index that is being built has.
    """
    connection = _connect(path, "mode=ro", patience)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        connection.close()
        if not isinstance(error, sqlite3.OperationalError) or os.access(path.parent, os.W_OK):
            raise
        # a write-ahead log needs a folder that can be written; without one nobody can be writing either
        connection = _connect(path, "immutable=1", patience)
    connection.execute("PRAGMA query_only = 1")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB:d}")
    connection.execute(f"PRAGMA mmap_size = {MMAP_BYTES:d}")
    connection.create_function("s_intersects", 2, s_intersects, deterministic=True)
    connection.create_function("instant", 1, read_instant, deterministic=True)
    return connection


def _connect(path: Path, mode: str, patience: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=patience,
        cached_statements=128,
    )


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the file is an index of any version, or empty."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return bool(application_id == APPLICATION_ID or (application_id == 0 and tables == 0))


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the file is an index of this schema version."""
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return (application_id, version) == (APPLICATION_ID, SCHEMA_VERSION)


def read_fact(connection: sqlite3.Connection, name: str) -> str | None:
    """Return what the index says of itself under a name."""
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def check_source(connection: sqlite3.Connection, path: str | Path, source: str) -> None:
    """Raise StartError if the index is that of another source."""
    known = read_fact(connection, "source")
    if known != source:
        raise StartError(f"{path} is the index of {known}, not of {source}; name another file with --db.")


def is_usable(path: str | Path, source: str) -> bool:
    """Whether there is an index of a source that can be served: of this version, and complete.

    Raises StartError if the file is the index of another source.
    """
    if not Path(path).is_file():
        return False
    try:
        connection = open_reader(Path(path), patience=0.5)
    except (sqlite3.Error, UnicodeDecodeError):
        return False
    try:
        if not is_current(connection):
            return False
        check_source(connection, path, source)
        return read_fact(connection, "state") == "ready"
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return False
    finally:
        connection.close()


def s_intersects(left: bytes | None, right: bytes | None) -> int | None:
    """S_INTERSECTS of two geometries in WKB, for SQL; NULL where one is missing (OGC 21-065r2, 7.5)."""
    if left is None or right is None:
        return None
    if len(right) < len(left):
        left, right = right, left
    return int(shapely.intersects(_prepared(right, threading.get_ident()), shapely.from_wkb(left)))


def read_instant(text: str | None) -> int | None:
    """Return the microseconds of an RFC 3339 instant, for SQL; NULL for any other text."""
    try:
        return None if text is None else parse_instant(text)
    except ValueError:
        return None


@functools.lru_cache(maxsize=64)
def _prepared(wkb: bytes, thread: int) -> shapely.Geometry:
    """Return a prepared geometry for one thread: GEOS adds to it while it is used."""
    shape = shapely.from_wkb(wkb)
    shapely.prepare(shape)
    return shape
