"""Writing an index: one session at a time, by the holder of the lease.

A cold index is built in batches that are committed one by one; until the end it is marked as building and not
served, and a build that was killed goes on where it stopped. A complete index is refreshed in one transaction,
so that readers see all of it or nothing.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson

from stacserve.documents import ItemDocument
from stacserve.errors import StartError
from stacserve.folder import Folder
from stacserve.paths import Container, asset_path, catalog_container, collection_container, item_path
from stacserve.problems import Problem
from stacserve.store.connections import check_source, check_sqlite, is_current, is_ours, read_fact
from stacserve.store.files import Files
from stacserve.store.lease import hold_lease
from stacserve.store.properties import BUILT_IN, ColumnWriter, create_property_indexes
from stacserve.store.ranks import delete_boxes, rank_everything, rank_new
from stacserve.store.tables import APPLICATION_ID, container_label, create_late_indexes, create_tables

logger = logging.getLogger(__name__)

_CACHE_KIB = 49_152
# Most documents are some kilobytes: fewer overflow pages than with SQLite's own 4096.
_PAGE_BYTES = 8_192
_SECONDS_BETWEEN_COMMITS = 3.0
# SQLite's messages may quote what is damaged, and not be UTF-8 then.
_UNUSABLE = (sqlite3.DatabaseError, UnicodeDecodeError)


class ContainerRow(NamedTuple):
    """A catalog or collection as the index keeps it; see `tables.containers`."""

    key: int
    kind: str
    id: str
    title: str | None
    parent: int | None
    position: int
    served: int
    address: str | None
    collection: str | None
    path: bytes | None
    parent_path: bytes | None
    head: bytes


_CONTAINER_COLUMNS = "key, kind, id, title, parent, position, served, address, collection, path, parent_path, head"


@contextmanager
def open_index(path: Path, source: str, *, wait_seconds: float = 0) -> Iterator[Index]:
    """Open an index for writing, creating or rebuilding it where needed.

    Raises StartError if the file is not ours or holds another source, IndexBusy if another process writes it.
    """
    check_sqlite()
    if path.is_dir():
        raise StartError(f"{path} is a folder; name a file for the index with --db.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_lease(path, wait_seconds=wait_seconds), _explained_failures(path):
        connection = sqlite3.connect(path, isolation_level=None, timeout=60, cached_statements=256)
        try:
            _prepare_file(connection, path, source)
            index = Index(connection)
            yield index
            index.checkpoint()
        finally:
            connection.close()


@contextmanager
def _explained_failures(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file that it cannot use into a StartError; mistakes of ours stay what they are."""
    try:
        yield
    except _UNUSABLE as error:
        if isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError)):
            raise
        advice = "if it is a damaged index, remove it, else make room or name another --db"
        raise StartError(f"{path} cannot be used: {error}; {advice}.") from error


def _prepare_file(connection: sqlite3.Connection, path: Path, source: str) -> None:
    try:
        ours = is_ours(connection)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        ours = False
    if not ours:
        raise StartError(f"{path} is not an index of stacserve; it is left as it is, name another file with --db.")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB:d}")
    if is_current(connection):
        check_source(connection, path, source)
        return
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES:d}")
    connection.execute("BEGIN IMMEDIATE")
    _drop_everything(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
    create_tables(connection)
    facts = {"source": source, "index_id": secrets.token_hex(6), "version": "0", "state": "building"}
    connection.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
    connection.execute("COMMIT")


def _drop_everything(connection: sqlite3.Connection) -> None:
    """Empty an index of another schema version inside its file, which others may have open."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY sql NOT LIKE 'CREATE VIRTUAL%'"
    )
    for (name,) in rows.fetchall():
        if not name.startswith("sqlite_"):
            quoted = name.replace('"', '""')
            connection.execute(f'DROP TABLE IF EXISTS "{quoted}"')


class Index:
    """The writing side of an index, for one session."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.is_cold = read_fact(connection, "state") != "ready"
        self.columns = ColumnWriter(connection)
        self.files = Files(connection)
        self._changes_at_start = connection.total_changes
        self._committed = time.monotonic()
        self._set_journal()

    def _set_journal(self) -> None:
        """Choose the journal: new pages of a cold build are written once, readers of a served index never wait."""
        # what is lost when the machine dies during a cold build is read again
        self.connection.execute(f"PRAGMA synchronous = {'OFF' if self.is_cold else 'NORMAL'}")
        with contextlib.suppress(sqlite3.OperationalError):
            # stays a write-ahead log where others have the file open
            (mode,) = self.connection.execute(
                f"PRAGMA journal_mode = {'TRUNCATE' if self.is_cold else 'WAL'}"
            ).fetchone()
            if not self.is_cold and mode != "wal":
                logger.warning("This file system does not take SQLite's write-ahead log; readers wait for writers.")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction around a whole refresh; inside it `commit_batch` does nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.OperationalError):
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT" if self.changed or self.is_cold else "ROLLBACK")

    def commit_batch(self) -> None:
        """Make a part of a cold build durable, every now and then."""
        now = time.monotonic()
        if self.is_cold and now - self._committed > _SECONDS_BETWEEN_COMMITS:
            self._committed = now
            self.connection.execute("COMMIT")
            self.connection.execute("BEGIN IMMEDIATE")

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the file, and a new index into the mode in which it is served."""
        if self.is_cold:
            self.is_cold = False
            self._set_journal()
        with contextlib.suppress(sqlite3.OperationalError):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @property
    def changed(self) -> bool:
        """Whether this session has written anything."""
        return self.connection.total_changes > self._changes_at_start

    def set_folder(self, folder: Folder) -> None:
        """Note where the source lies; a change of what may be read, or of what hrefs mean, has all read again."""
        facts = {"settings": orjson.dumps([folder.root, *folder.allow]).decode(), "root": folder.root}
        if folder.published:  # a root that cannot be read now says nothing of it
            facts["published"] = folder.published
        known = {name: read_fact(self.connection, name) for name in facts}
        if known == facts:
            return
        if known["settings"] is not None:
            self.files.mark_everything_changed()
        self.connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())

    def remove_documents(self, keys: Sequence[int]) -> int:
        """Forget documents and all below them; return the number of items that go."""
        doomed = list(keys)
        for key in doomed:
            children = self.connection.execute("SELECT key FROM files WHERE parent = ?", (key,))
            doomed.extend(child for (child,) in children)
        removed = self._forget(doomed)
        self.files.remove(doomed)
        return removed

    def remove_container(self, key: int) -> int:
        """Forget that a document was a container, and all below it; return the number of items that go."""
        removed = self.remove_documents([child.key for child in self.files.read_children(key)])
        self.files.set_extra_links(key, [])
        return removed + self._forget([key])

    def turn_into_containers(self, keys: Sequence[int]) -> None:
        """Note that documents behind item links, perhaps items before, are catalogs or collections."""
        if keys:
            self._forget(keys)
            self.files.turn_into_containers(keys)

    def _forget(self, keys: Sequence[int]) -> int:
        """Remove what documents became; return how many of them were items."""
        removed = self.remove_items(keys)
        if removed:
            self.files.mark_shadowed_changed()
        self.remove_references(keys)
        for statement in ("DELETE FROM containers WHERE key = ?", "DELETE FROM problems WHERE key = ?"):
            self.connection.executemany(statement, [(key,) for key in keys])
        return len(removed)

    # containers

    def read_containers(self) -> list[ContainerRow]:
        """Return all catalogs and collections, parents before children of equal age."""
        rows = self.connection.execute(f"SELECT {_CONTAINER_COLUMNS} FROM containers ORDER BY key")  # noqa: S608
        return [ContainerRow(*row) for row in rows]

    def put_containers(self, rows: Iterable[ContainerRow]) -> None:
        """Write catalogs and collections."""
        marks = ", ".join("?" * len(ContainerRow._fields))
        self.connection.executemany(f"INSERT OR REPLACE INTO containers ({_CONTAINER_COLUMNS}) VALUES ({marks})", rows)  # noqa: S608

    def mark_collections_changed(self, removed: Iterable[str]) -> None:
        """Have the items read again whose collection is gone, or may have come."""
        for collection in removed:
            label = container_label(collection_container(collection))
            keys = self.connection.execute("SELECT key FROM items WHERE container = ?", (label,)).fetchall()
            self.files.mark_changed(key for (key,) in keys)
        unsettled = self.connection.execute(
            "SELECT DISTINCT key FROM problems WHERE pointer = '/collection'"
        ).fetchall()
        self.files.mark_changed(key for (key,) in unsettled)

    # items

    def put_items(
        self, documents: Sequence[ItemDocument], parents: Mapping[int, ContainerRow], *, known: Sequence[int]
    ) -> None:
        """Write items that were read; `parents` gives for each key the container that links it.

        `known` are the keys that were read before. Of two files with the same identity the first by path is served,
        the other is a problem.
        """
        before = self.remove_items(known)
        self.remove_references(known)
        self.columns.add_missing(document.values for document in documents)
        homes = {document.key: _home_of(document, parents[document.key]) for document in documents}
        if before and before - {(str(one.id), container_label(homes[one.key])) for one in documents}:
            self.files.mark_shadowed_changed()
        changes = self.connection.total_changes
        self._insert_items(documents, homes, parents)
        if self.connection.total_changes - changes < len(documents):
            documents = self._settle_duplicates(documents, homes, parents)
        self._insert_parts(documents, homes, parents)

    def _insert_items(
        self, documents: Sequence[ItemDocument], homes: Mapping[int, Container], parents: Mapping[int, ContainerRow]
    ) -> None:
        columns = self.columns.columns
        names = "key, container, id, parent, ordered, datetime, start, end, reach, boxes"
        names = ", ".join([names, *columns.values()])
        marks = ", ".join("?" * (10 + len(columns)))
        self.connection.executemany(
            f"INSERT OR IGNORE INTO items ({names}) VALUES ({marks})",  # noqa: S608 (numbered columns)
            [_item_row(document, homes[document.key], parents[document.key].key, columns) for document in documents],
        )

    def _settle_duplicates(
        self, documents: Sequence[ItemDocument], homes: Mapping[int, Container], parents: Mapping[int, ContainerRow]
    ) -> list[ItemDocument]:
        """Decide between files of one identity; return the documents that are served."""
        served = {document.key: document for document in documents}
        for document in documents:
            label = container_label(homes[document.key])
            key, path = self.connection.execute(
                "SELECT key, path FROM items JOIN files USING (key) WHERE id = ? AND container = ?",
                (document.id, label),
            ).fetchone()
            if key == document.key:
                continue
            pair = sorted([(document.path, document.key), (path, key)])
            (winner_path, winner), (loser_path, loser) = pair
            if winner == document.key:
                self.remove_items([key])
                self.remove_references([key])
                self._insert_items([document], homes, parents)
            served.pop(loser, None)
            self.files.mark_shadowed(loser)
            self.add_problem(loser, _duplicate(loser_path, winner_path, str(document.id)))
        return list(served.values())

    def _insert_parts(
        self, documents: Sequence[ItemDocument], homes: Mapping[int, Container], parents: Mapping[int, ContainerRow]
    ) -> None:
        """Write what stands beside the rows in `items`."""
        run = self.connection.executemany
        run(
            "INSERT INTO documents VALUES (?, ?, ?, ?)",
            [(d.key, item_path(homes[d.key], str(d.id)).encode(), parents[d.key].path, d.head) for d in documents],
        )
        run("INSERT INTO geometries VALUES (?, ?)", [(d.key, d.wkb) for d in documents if d.wkb is not None])
        placed = self.columns.columns.keys() | BUILT_IN
        leftovers = [(d.key, _leftovers(d, placed)) for d in documents]
        run("INSERT INTO leftovers VALUES (?, ?)", [row for row in leftovers if row[1]])
        self.put_references([(d.key, d.assets, d.cross_links) for d in documents])

    def put_references(self, rows: Iterable[tuple[int, Sequence[tuple[str, str]], Sequence[str]]]) -> None:
        """Write which files documents name: keys, (folder, names) pairs, and paths of other documents."""
        rows = list(rows)
        self.connection.executemany(
            "INSERT OR REPLACE INTO assets VALUES (?, ?, ?)",
            [(key, folder, f"\n{names}\n") for key, assets, _ in rows for folder, names in assets],
        )
        self.connection.executemany(
            "INSERT OR REPLACE INTO cross_links VALUES (?, ?, ?)",
            [(key, target, asset_path(target)) for key, _, links in rows for target in links],
        )

    def remove_references(self, keys: Sequence[int]) -> None:
        """Forget which files documents name."""
        for statement in ("DELETE FROM assets WHERE key = ?", "DELETE FROM cross_links WHERE key = ?"):
            self.connection.executemany(statement, [(key,) for key in keys])

    def remove_items(self, keys: Sequence[int]) -> set[tuple[str, str]]:
        """Take items (those of the keys that are any) out of the search; return their (id, container label)."""
        if not keys:
            return set()
        text = orjson.dumps(list(keys)).decode()
        found = self.connection.execute(
            "SELECT key, id, container FROM items WHERE key IN (SELECT value FROM json_each(?))", (text,)
        ).fetchall()
        if found:
            delete_boxes(self.connection, [key for key, _, _ in found])
            for statement in _DELETE_ITEM:
                self.connection.executemany(statement, [(key,) for key, _, _ in found])
        return {(item_id, label) for _, item_id, label in found}

    # problems

    def put_problems(self, key: int, problems: Iterable[Problem]) -> None:
        """Note the problems of a document instead of those that it had."""
        self.connection.execute("DELETE FROM problems WHERE key = ?", (key,))
        self.connection.executemany(
            "INSERT INTO problems (key, path, pointer, reason, advice, severity) VALUES (?, ?, ?, ?, ?, ?)",
            [(key, *problem) for problem in problems],
        )

    def add_problem(self, key: int, problem: Problem) -> None:
        """Note one more problem of a document."""
        self.connection.execute(
            "INSERT INTO problems (key, path, pointer, reason, advice, severity) VALUES (?, ?, ?, ?, ?, ?)",
            (key, *problem),
        )

    def put_shadowed(self, problems: Sequence[tuple[int, Problem]]) -> None:
        """Note which collections lose their id to another, instead of those noted before."""
        known = self.connection.execute(
            "SELECT key, path, pointer, reason, advice, severity FROM problems"
            " WHERE pointer = '/id' AND severity = 'error' AND key IN (SELECT key FROM containers)"
        ).fetchall()
        wanted = [(key, *problem) for key, problem in problems]
        if sorted(known) == sorted(wanted):
            return
        self.connection.executemany(
            "DELETE FROM problems WHERE key = ? AND pointer = '/id' AND severity = 'error'",
            [(row[0],) for row in known],
        )
        for key, problem in problems:
            self.add_problem(key, problem)

    def read_problems(self) -> list[Problem]:
        """Return all problems, by path."""
        sql = "SELECT path, pointer, reason, advice, severity FROM problems ORDER BY path, number"
        return [Problem(*row) for row in self.connection.execute(sql)]

    def read_counts(self) -> tuple[int, int, int, int]:
        """Return the numbers of collections, items, problems, and errors among the problems."""
        row: tuple[int, int, int, int] = self.connection.execute(
            "SELECT (SELECT count(*) FROM containers WHERE kind = 'collections' AND served = 1),"
            " (SELECT count(*) FROM items), (SELECT count(*) FROM problems),"
            " (SELECT count(*) FROM problems WHERE severity = 'error')"
        ).fetchone()
        return row

    # the end of a session

    def finish(self) -> None:
        """Rank what is new, build what is missing, and let readers see it."""
        if not self.changed and not self.is_cold:
            return
        if self.is_cold:
            self.connection.execute("DELETE FROM item_boxes")
            create_late_indexes(self.connection)
            rank_everything(self.connection)
        else:
            rank_new(self.connection)
        create_property_indexes(self.connection)
        if self.is_cold:
            self.connection.execute("PRAGMA analysis_limit = 400")
            self.connection.execute("ANALYZE")
        self._write_version()

    def _write_version(self) -> None:
        index_id, version = read_fact(self.connection, "index_id"), read_fact(self.connection, "version") or "0"
        number = int(version.rpartition("-")[2]) + 1
        facts = {"version": f"{index_id}-{number}", "state": "ready", "refreshed": repr(time.time())}
        self.connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())


_DELETE_ITEM = tuple(
    f"DELETE FROM {name} WHERE key = ?"  # noqa: S608 (constants)
    for name in ("items", "documents", "geometries", "leftovers")
)


def _home_of(document: ItemDocument, parent: ContainerRow) -> Container:
    """Return what an item belongs to: its collection, else the catalog that links it."""
    if document.collection is not None:
        return collection_container(document.collection)
    return catalog_container(parent.address or "")


def _item_row(document: ItemDocument, home: Container, parent: int, columns: Mapping[str, str]) -> tuple[object, ...]:
    times, values = document.times, document.values
    return (
        document.key,
        container_label(home),
        document.id,
        parent,
        times.ordered,
        *times,
        _reach(times.ordered, times.start, times.end),
        int(document.wkb is not None),
        *map(values.get, columns),
    )


def _reach(ordered: int | None, start: int | None, end: int | None) -> int:
    if ordered is None or start is None or end is None:
        return 0
    return max(abs(ordered - start), abs(end - ordered)).bit_length()


def _leftovers(document: ItemDocument, placed: Set[str]) -> str | None:
    """Return the JSON of the properties that have no column: arrays, objects, scalars beyond the limit."""
    if document.values.keys() <= placed:
        return document.rest.decode() or None
    missing = [key for key in document.values if key not in placed and key[0] != "t"]
    members = orjson.loads(document.rest or b"{}")
    values = {key: document.values[key] for key in missing}
    members.update({key[1:]: bool(value) if key[0] == "b" else value for key, value in values.items()})
    return orjson.dumps(members).decode()


def _duplicate(path: str, winner: str, item_id: str) -> Problem:
    reason = f"the id {item_id!r} is that of {winner} as well; of such files the first by path is served"
    return Problem(path, "/id", reason, "give every item of a collection an id of its own", "error")
