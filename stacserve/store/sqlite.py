"""SqliteStore: an index file as a store, for reading."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from stacserve.errors import NotFound, did_you_mean
from stacserve.folder import Folder
from stacserve.paths import Container, asset_path, container_path
from stacserve.problems import Unreadable
from stacserve.search import ItemSearch
from stacserve.stac import STAC_VERSION
from stacserve.store.connections import read_fact
from stacserve.store.interface import AssetFile, Capability, Child, Document, Node, Page, ProblemPage, Status
from stacserve.store.pages import PageRules, is_light, search_items
from stacserve.store.queryables import describe_properties
from stacserve.store.readers import Memory, Readers
from stacserve.store.snapshot import Snapshot
from stacserve.store.tables import container_label
from stacserve.store.tokens import read_name_token, read_problem_token, write_name_token, write_problem_token

_REMEMBERED = 5_000
_NODE = "SELECT key, kind, id, title, path, parent_path, head FROM containers WHERE "


class SqliteStore:
    """Reads an index file; see `store.interface.Store` for the methods."""

    capabilities = frozenset([Capability.FILTER])

    def __init__(self, path: Path, *, query_timeout: float, rules: PageRules, allow: Sequence[str]) -> None:
        self.path = path
        self._readers = Readers(path, query_timeout=query_timeout)
        self._rules = rules
        self._allow = tuple(allow)
        self._memory = Memory(_REMEMBERED)

    def version(self) -> str:
        """Return the version of the index now, whoever wrote it."""
        return self._readers.version()

    async def get_status(self) -> Status:
        """Return state and counts."""
        return await self._readers.run(_read_status, quick=True)

    async def get_root(self) -> Node:
        """Return the root document, or a synthetic catalog around a root collection."""
        return await self._readers.run(_read_root, quick=True)

    async def get_catalog(self, address: str) -> Node:
        """Return the catalog of an address."""
        return await self._readers.run(functools.partial(_read_catalog, address=address), quick=True)

    async def get_collection(self, collection_id: str) -> Node:
        """Return a collection."""
        return await self._readers.run(functools.partial(_read_collection, collection_id=collection_id), quick=True)

    async def search_collections(self, limit: int, token: str | None) -> Page:
        """Return collections in the order of their ids."""
        job = functools.partial(_search_collections, limit=limit, token=token, bytes_max=self._rules.bytes_max)
        return await self._readers.run(job)

    async def get_item(self, container: Container, item_id: str) -> Document:
        """Return one item."""
        return await self._readers.run(functools.partial(_read_item, container=container, item_id=item_id), quick=True)

    async def search_items(self, search: ItemSearch) -> Page:
        """Return a page of items."""
        job = functools.partial(search_items, search=search, rules=self._rules, memory=self._memory)
        return await self._readers.run(job, quick=is_light(search))

    async def get_queryables(self, collection_id: str | None) -> dict[str, Any]:
        """Return the JSON schemas of the properties that items have."""
        job = functools.partial(_read_queryables, collection_id=collection_id, memory=self._memory)
        return await self._readers.run(job)

    async def get_problems(self, limit: int, token: str | None) -> ProblemPage:
        """Return problems by path."""
        return await self._readers.run(functools.partial(_read_problems, limit=limit, token=token))

    async def find_asset(self, path: str) -> AssetFile:
        """Return the file that documents name by this path."""
        return await self._readers.run(functools.partial(_find_asset, path=path, allow=self._allow), quick=True)

    async def close(self) -> None:
        """End the reading threads."""
        self._readers.close()


def _read_status(snapshot: Snapshot) -> Status:
    row = snapshot.connection.execute(
        "SELECT (SELECT count(*) FROM containers WHERE kind = 'collections' AND served = 1),"
        " (SELECT count(*) FROM items), (SELECT count(*) FROM problems)"
    ).fetchone()
    return Status("ready", snapshot.version, *row)


def _read_root(snapshot: Snapshot) -> Node:
    row = snapshot.connection.execute(_NODE + "parent IS NULL").fetchone()
    if row is None:
        raise NotFound("The catalog has no root document that could be read; /problems says why.")
    if row[1] == "catalogs":
        return _node(snapshot, row)
    _, _, collection_id, title, path, _, head = row
    collection = _parse_head(head)
    root = {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": collection_id,
        "title": title or collection_id,
        "description": collection.get("description") or collection_id,
        "links": [],
    }
    document = Document(b"/", b"/", orjson.dumps(root)[:-2])
    return Node(document, collection_id, title, [Child("child", path.decode(), title or collection_id)])


def _parse_head(head: bytes) -> dict[str, Any]:
    """Return a stored document as JSON, its links to this server without a base URL."""
    document: dict[str, Any] = orjson.loads(head.replace(b"\0", b"").removesuffix(b",") + b"]}")
    return document


def _read_catalog(snapshot: Snapshot, address: str) -> Node:
    row = snapshot.connection.execute(_NODE + "address = ?", (address,)).fetchone()
    if row is None:
        known = snapshot.connection.execute("SELECT address FROM containers WHERE address > '' LIMIT 1000")
        raise NotFound(f"There is no catalog {address!r}.{did_you_mean(address, [name for (name,) in known])}")
    return _node(snapshot, row)


def _read_collection(snapshot: Snapshot, collection_id: str) -> Node:
    row = snapshot.connection.execute(
        _NODE + "kind = 'collections' AND served = 1 AND id = ?", (collection_id,)
    ).fetchone()
    if row is None:
        known = snapshot.connection.execute("SELECT id FROM containers WHERE kind = 'collections' LIMIT 1000")
        nearest = did_you_mean(collection_id, [name for (name,) in known])
        raise NotFound(f"There is no collection {collection_id!r}.{nearest}")
    return _node(snapshot, row)


def _node(snapshot: Snapshot, row: tuple[Any, ...]) -> Node:
    key, _, node_id, title, path, parent_path, head = row
    below = snapshot.connection.execute(
        "SELECT path, coalesce(title, id) FROM containers WHERE parent = ? AND served = 1 ORDER BY position", (key,)
    )
    children = [Child("child", child.decode(), name) for child, name in below]
    loose = snapshot.connection.execute(
        "SELECT documents.path, items.id FROM items JOIN documents USING (key)"
        " WHERE items.parent = ? AND items.container >= '1/' ORDER BY items.rank",
        (key,),
    )
    children += [Child("item", child.decode(), name) for child, name in loose]
    return Node(Document(path, parent_path, head), node_id, title, children)


def _search_collections(snapshot: Snapshot, limit: int, token: str | None, bytes_max: int) -> Page:
    direction, name = ("next", "") if token is None else read_name_token(token)
    if token is None:
        sql, parameters = "id >= ? ORDER BY id", ("",)
    else:
        sql = "id < ? ORDER BY id DESC" if direction == "prev" else "id > ? ORDER BY id"
        parameters = (name,)
    collections = "FROM containers WHERE kind = 'collections' AND served = 1"
    rows = snapshot.connection.execute(
        f"SELECT id, path, parent_path, head {collections} AND {sql} LIMIT ?",
        (*parameters, limit + 1),
    ).fetchall()
    kept = _first_fitting(rows[:limit], bytes_max)
    more, rows = len(rows) > len(kept), kept
    backwards = direction == "prev"
    if backwards:
        rows.reverse()
    count = snapshot.connection.execute(f"SELECT count(*) {collections}").fetchone()[0]
    first = snapshot.connection.execute(f"SELECT min(id), max(id) {collections}").fetchone()
    follows = bool(rows) and (more if not backwards else rows[-1][0] < first[1])
    precedes = bool(rows) and (more if backwards else rows[0][0] > first[0])
    return Page(
        [Document(*row[1:]) for row in rows],
        write_name_token("next", rows[-1][0]) if follows else None,
        write_name_token("prev", rows[0][0]) if precedes else None,
        count,
    )


def _first_fitting(rows: list[tuple[Any, ...]], bytes_max: int) -> list[tuple[Any, ...]]:
    """Return the first rows whose documents, their last members, fit into so many bytes; at least one."""
    sizes = itertools.accumulate(len(row[-1]) for row in rows)
    count = sum(1 for size in sizes if size <= bytes_max)
    return rows[: max(1, count)]


def _read_item(snapshot: Snapshot, container: Container, item_id: str) -> Document:
    row = snapshot.connection.execute(
        "SELECT documents.path, documents.parent, documents.head FROM items JOIN documents USING (key)"
        " WHERE items.id = ? AND items.container = ?",
        (item_id, container_label(container)),
    ).fetchone()
    if row is not None:
        return Document(*row)
    if container.kind == "collections":
        _read_collection(snapshot, container.id)
    else:
        _read_catalog(snapshot, container.id)
    raise NotFound(f"There is no item {item_id!r} in {container_path(container)}.")


def _read_queryables(snapshot: Snapshot, collection_id: str | None, memory: Memory) -> dict[str, Any]:
    key = ("queryables", snapshot.version, collection_id)
    found: dict[str, Any] | None = memory.get(key)
    if found is None:
        if collection_id is not None:
            _read_collection(snapshot, collection_id)
        found = describe_properties(snapshot, collection_id)
        memory.put(key, found)
    return found


def _read_problems(snapshot: Snapshot, limit: int, token: str | None) -> ProblemPage:
    after = ["", 0] if token is None else read_problem_token(token)
    rows = snapshot.connection.execute(
        "SELECT path, pointer, reason, advice, severity, number FROM problems"
        " WHERE (path, number) > (?, ?) ORDER BY path, number LIMIT ?",
        (*after, limit + 1),
    ).fetchall()
    more, rows = len(rows) > limit, rows[:limit]
    (count,) = snapshot.connection.execute("SELECT count(*) FROM problems").fetchone()
    names = ("path", "pointer", "reason", "advice", "severity")
    problems = [dict(zip(names, row, strict=False)) for row in rows]
    last = write_problem_token(rows[-1][0], rows[-1][5]) if more else None
    return ProblemPage(problems, last, count)


def _find_asset(snapshot: Snapshot, path: str, allow: Sequence[str]) -> AssetFile:
    folder_path, _, name = path.rpartition("/")
    named = snapshot.connection.execute(
        "SELECT key FROM assets WHERE folder = ? AND instr(names, ?) LIMIT 1", (folder_path, f"\n{name}\n")
    ).fetchone()
    missing = NotFound(f"No document names a file {path!r} as an asset.")
    if named is None or "\n" in name or "\0" in path:
        raise missing
    root = read_fact(snapshot.connection, "root") or ""
    try:
        # made anew each time: a folder may have become a link out of the catalog since
        file = Folder(root, allow).locate(path)
    except Unreadable:
        raise NotFound(f"The file {path!r} is named as an asset, but it is not there.") from None
    return AssetFile(Path(file), _media_type(snapshot, named[0], path))


def _media_type(snapshot: Snapshot, key: int, path: str) -> str | None:
    """Return the type that the document which names a file declares for it."""
    row = snapshot.connection.execute(
        "SELECT head FROM documents WHERE key = ? UNION ALL SELECT head FROM containers WHERE key = ?", (key, key)
    ).fetchone()
    document = _parse_head(row[0]) if row else {}
    href = asset_path(path)
    assets = document.get("assets")
    named = [*(assets.values() if isinstance(assets, dict) else ()), *document.get("links", ())]
    for one in named:
        if isinstance(one, dict) and one.get("href") == href:
            return one.get("type") if isinstance(one.get("type"), str) else None
    return None
