"""The remembered documents of a source: what each was when it was read, and which container links it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from stacserve.folder import Stamp

_COLUMNS = "key, path, parent, is_container, state, mtime_ns, size, inode"
_SELECT = f"SELECT {_COLUMNS} FROM files WHERE "  # noqa: S608 (constants)
_WAITING = "state IN ('new', 'changed')"


class FileRow(NamedTuple):
    """A remembered document.

    `state` is "new" (never read), "changed" (to be read again), "indexed", "shadowed" (another document of the same
    identity is served) or "problem" (not to be served as it is).
    """

    key: int
    path: str
    parent: int | None
    is_container: int
    state: str
    mtime_ns: int | None
    size: int | None
    inode: int | None

    def is_unchanged(self, stamp: Stamp | None) -> bool:
        """Whether the file is as it was when it was read; without a stamp, whether it was not there then either."""
        known = (self.mtime_ns, self.size, self.inode)
        return known == (stamp or (None, None, None)) and self.state not in ("new", "changed")


class Files:
    """Reads and writes the table `files` within the transaction of an `Index`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.heirs: set[int] = set()

    def read(self, path: str) -> FileRow | None:
        """Return what is remembered of a document."""
        return next(self._rows(_SELECT + "path = ?", path), None)

    def read_keys(self, keys: Iterable[int]) -> list[FileRow]:
        """Return what is remembered of the documents of some keys."""
        return [row for key in keys for row in self._rows(_SELECT + "key = ?", key)]

    def read_children(self, parent: int) -> list[FileRow]:
        """Return the remembered documents that a container links."""
        return list(self._rows(_SELECT + "parent = ? ORDER BY key", parent))

    def read_items(self, after: int, most: int) -> list[FileRow]:
        """Return documents that were read and are no containers, in the order of their keys."""
        condition = f"key > ? AND is_container = 0 AND NOT {_WAITING} ORDER BY key LIMIT ?"
        return list(self._rows(_SELECT + condition, after, most))

    def read_waiting(self, after: int, most: int) -> list[FileRow]:
        """Return documents that are to be read, containers left out, in the order of their keys."""
        condition = f"key > ? AND {_WAITING} AND is_container = 0 ORDER BY key LIMIT ?"
        return list(self._rows(_SELECT + condition, after, most))

    def read_roots(self) -> list[int]:
        """Return the keys of documents that no container links: the root, and one that was the root before."""
        return [key for (key,) in self.connection.execute("SELECT key FROM files WHERE parent IS NULL")]

    def read_missing_links(self) -> list[tuple[int, str]]:
        """Return containers with paths that they link, but that were not there when they were read."""
        return self.connection.execute(
            "SELECT extra_links.parent, path FROM extra_links LEFT JOIN files USING (path)"
            " WHERE files.size IS NULL OR files.parent = extra_links.parent"
        ).fetchall()

    def count_waiting(self) -> int:
        """Return how many documents are to be read, containers left out."""
        sql = f"SELECT count(*) FROM files WHERE {_WAITING} AND is_container = 0"  # noqa: S608 (constants)
        return int(self.connection.execute(sql).fetchone()[0])

    def _rows(self, sql: str, *parameters: object) -> Iterator[FileRow]:
        return (FileRow(*row) for row in self.connection.execute(sql, parameters).fetchall())

    def add(self, parent: int | None, paths: Iterable[str], *, is_container: bool) -> None:
        """Remember documents that a container links; those that another one links stay there."""
        self.connection.executemany(
            "INSERT INTO files (path, parent, is_container, state) VALUES (?, ?, ?, 'new')"
            " ON CONFLICT (path) DO NOTHING",
            [(path, parent, int(is_container)) for path in paths],
        )

    def add_root(self, path: str) -> None:
        """Remember the root document, which another one may have linked before."""
        self.add(None, [path], is_container=True)
        self.connection.execute("UPDATE files SET parent = NULL WHERE path = ? AND parent IS NOT NULL", (path,))

    def set_outcome(self, key: int, state: str, stamp: Stamp | None, *, is_container: bool) -> None:
        """Note what became of a document."""
        self.connection.execute(
            "UPDATE files SET state = ?, is_container = ?, mtime_ns = ?, size = ?, inode = ? WHERE key = ?",
            (state, int(is_container), *(stamp or (None, None, None)), key),
        )

    def set_outcomes(self, outcomes: Iterable[tuple[int, str, Stamp | None]]) -> None:
        """Note what became of many items: (key, state, stamp)."""
        self.connection.executemany(
            "UPDATE files SET state = ?, mtime_ns = ?, size = ?, inode = ? WHERE key = ?",
            [(state, *(stamp or (None, None, None)), key) for key, state, stamp in outcomes],
        )

    def turn_into_containers(self, keys: Sequence[int]) -> None:
        """Note that documents behind item links are catalogs or collections; what links them is read again."""
        rows = [(key,) for key in keys]
        self.connection.executemany("UPDATE files SET is_container = 1 WHERE key = ?", rows)
        self.connection.executemany(
            "UPDATE files SET state = 'changed' WHERE key = (SELECT parent FROM files WHERE key = ?)", rows
        )

    def mark_changed(self, keys: Iterable[int]) -> None:
        """Have documents read again."""
        sql = "UPDATE files SET state = 'changed' WHERE key = ? AND state <> 'new'"
        self.connection.executemany(sql, [(key,) for key in keys])

    def mark_children_changed(self, parents: Iterable[int]) -> None:
        """Have the items read again that containers link."""
        sql = "UPDATE files SET state = 'changed' WHERE parent = ? AND is_container = 0 AND state <> 'new'"
        self.connection.executemany(sql, [(parent,) for parent in parents])

    def mark_shadowed(self, key: int) -> None:
        """Note that another document of the same identity is served, unless this one is still to be read again."""
        sql = f"UPDATE files SET state = 'shadowed' WHERE key = ? AND NOT {_WAITING}"  # noqa: S608 (constants)
        self.connection.execute(sql, (key,))

    def mark_shadowed_changed(self) -> None:
        """Have the documents read again that lost to another of the same identity."""
        shadowed = self.connection.execute(
            "SELECT key FROM files WHERE state = 'shadowed' AND is_container = 0"
        ).fetchall()
        self.mark_changed(key for (key,) in shadowed)

    def mark_everything_changed(self) -> None:
        """Have every document read again."""
        self.connection.execute("UPDATE files SET state = 'changed' WHERE state <> 'new'")

    def remove(self, keys: Iterable[int]) -> None:
        """Forget documents. Those that another container links as well begin anew below that one, an heir."""
        rows = [(key,) for key in keys]
        again = [
            row
            for (key,) in rows
            for row in self.connection.execute(
                "SELECT files.path, extra_links.parent, files.is_container FROM files"
                " JOIN extra_links USING (path) WHERE files.key = ?",
                (key,),
            )
        ]
        self.connection.executemany("DELETE FROM files WHERE key = ?", rows)
        self.connection.executemany("DELETE FROM extra_links WHERE parent = ?", rows)
        gone = {key for (key,) in rows}
        for path, parent, is_container in again:
            if parent not in gone:
                self.add(parent, [path], is_container=bool(is_container))
                self.heirs.add(parent)

    def take_heirs(self) -> list[int]:
        """Return the containers that have got documents that others left, each once."""
        heirs, self.heirs = sorted(self.heirs), set()
        return heirs

    def set_extra_links(self, parent: int, paths: Iterable[str]) -> None:
        """Note which documents a container links that stand below another one or are not there.

        They take the place of those noted before.
        """
        self.connection.execute("DELETE FROM extra_links WHERE parent = ?", (parent,))
        self.connection.executemany(
            "INSERT OR IGNORE INTO extra_links VALUES (?, ?)", [(path, parent) for path in paths]
        )
