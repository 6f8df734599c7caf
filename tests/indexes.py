"""Reading an index whole: everything that is served from it, and whether its tables fit together."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from stacserve.paths import quote_segment
from stacserve.search import ItemSearch
from stacserve.store import open_store
from stacserve.store.interface import Document, Node, Store
from walking import ask_by_get, client_of

LIMIT = 10_000
# Each finds rows that should not be there.
FAULTS = {
    "document without an item": "SELECT key FROM documents WHERE key NOT IN (SELECT key FROM items)",
    "item without a document": "SELECT key FROM items WHERE key NOT IN (SELECT key FROM documents)",
    "item without a file": "SELECT key FROM items WHERE key NOT IN (SELECT key FROM files WHERE is_container = 0)",
    "container without a file": "SELECT key FROM containers WHERE key NOT IN (SELECT key FROM files)",
    "container below nothing": "SELECT key FROM containers WHERE parent NOT IN (SELECT key FROM containers)",
    "file below nothing": "SELECT key FROM files WHERE parent NOT IN (SELECT key FROM files WHERE is_container = 1)",
    "two roots": "SELECT max(key) FROM containers WHERE parent IS NULL HAVING count(*) > 1",
    "parents that differ": "SELECT key FROM files JOIN containers USING (key)"
    " WHERE files.parent IS NOT containers.parent",
    "file not read": "SELECT key FROM files WHERE state IN ('new', 'changed')",
    "shadowed item in the search": "SELECT key FROM files JOIN items USING (key) WHERE state = 'shadowed'",
    "indexed item not in the search": "SELECT key FROM files WHERE state = 'indexed' AND is_container = 0"
    " AND key NOT IN (SELECT key FROM items)",
    "geometry without an item": "SELECT key FROM geometries WHERE key NOT IN (SELECT key FROM items)",
    "properties without an item": "SELECT key FROM leftovers WHERE key NOT IN (SELECT key FROM items)",
    "reference without a document": "SELECT key FROM (SELECT key FROM assets UNION SELECT key FROM cross_links)"
    " WHERE key NOT IN (SELECT key FROM documents UNION SELECT key FROM containers)",
    "problem without a file": "SELECT key FROM problems WHERE key NOT IN (SELECT key FROM files)",
    "link of nothing": "SELECT parent FROM extra_links WHERE parent NOT IN (SELECT key FROM containers)",
    "item without a rank": "SELECT key FROM items WHERE rank IS NULL",
    "equal ranks": "SELECT rank FROM items GROUP BY rank HAVING count(*) > 1",
    "ranks out of order": "SELECT key FROM (SELECT key, rank, lag(rank) OVER (ORDER BY ordered DESC, container, id)"
    " AS before FROM items) WHERE rank <= before",
    "box without an item": "SELECT id FROM item_boxes WHERE id >> 3 NOT IN (SELECT key FROM items WHERE boxes > 0)",
    "item without its boxes": "SELECT key FROM items WHERE boxes <>"
    " (SELECT count(*) FROM item_boxes WHERE id BETWEEN items.key << 3 AND (items.key << 3) + 7)",
    "box at another rank": "SELECT key FROM item_boxes JOIN items ON key = item_boxes.id >> 3"
    " WHERE rank NOT BETWEEN r0 AND r1",
    "address twice": "SELECT address FROM containers WHERE address IS NOT NULL GROUP BY address HAVING count(*) > 1",
}


class Served(NamedTuple):
    """What a client can get: documents by their path, in the order in which they are listed."""

    nodes: dict[str, Any]
    items: dict[str, Any]
    problems: list[dict[str, str]]
    queryables: dict[str, Any]


def read_index(db: Path) -> Served:
    """Return everything that an index serves."""

    async def read() -> Served:
        store = open_store(db)
        try:
            return await _read_store(store)
        finally:
            await store.close()

    return asyncio.run(read())


def read_version(db: Path) -> str:
    """Return the version of an index."""
    store = open_store(db)
    try:
        return store.version()
    finally:
        asyncio.run(store.close())


def search_ids(source: Path, db: Path, **params: Any) -> list[str]:
    """Return the ids of the items that a search by GET finds, in its order; nothing is ingested."""

    async def search() -> list[str]:
        async with client_of(source, db, ingest=False) as client:
            return [feature["id"] for feature in (await ask_by_get(client, params))["features"]]

    return asyncio.run(search())


def reasons(served: Served) -> list[tuple[str, str]]:
    """Return the files and reasons of the problems."""
    return [(problem["path"], problem["reason"]) for problem in served.problems]


def find_faults(db: Path) -> dict[str, Any]:
    """Return what is wrong within an index: rows that should not be there, by what they are."""
    connection = sqlite3.connect(db)
    try:
        found = {name: connection.execute(sql).fetchall() for name, sql in FAULTS.items()}
        found["pages"] = [row for row in connection.execute("PRAGMA integrity_check") if row != ("ok",)]
        found["tree"] = [row for row in connection.execute("SELECT rtreecheck('item_boxes')") if row != ("ok",)]
        return {name: rows for name, rows in found.items() if rows}
    finally:
        connection.close()


async def _read_store(store: Store) -> Served:
    collections = (await store.search_collections(LIMIT, None)).documents
    nodes = await _read_nodes(store, [f"/collections/{quote_segment(read_json(one)['id'])}" for one in collections])
    page = await store.search_items(ItemSearch(limit=LIMIT))
    assert page.matched == len(page.documents)
    items = {document.path.decode(): read_json(document) for document in page.documents}
    assert len(items) == page.matched
    problems = list((await store.get_problems(LIMIT, None)).problems)
    return Served(nodes, items, problems, await store.get_queryables(None))


async def _read_nodes(store: Store, paths: list[str]) -> dict[str, Any]:
    """Return the root, these containers and all that is reached from them."""
    nodes: dict[str, Any] = {}
    waiting = [await store.get_root()]
    while waiting or paths:
        if not waiting:
            waiting.append(await _read_node(store, paths.pop()))
        node = waiting.pop()
        path = node.document.path.decode()
        if path not in nodes:
            children = [(child.rel, child.path, child.title) for child in node.children]
            nodes[path] = {**read_json(node.document), "children": children}
            paths += [child for rel, child, _ in children if rel == "child"]
    return nodes


async def _read_node(store: Store, path: str) -> Node:
    kind, name = path.split("/")[1:]
    return await (store.get_catalog if kind == "catalogs" else store.get_collection)(unquote(name))


def read_json(document: Document) -> dict[str, Any]:
    """Return a served document with the path of its parent; addresses of this server have no base URL."""
    head = document.head.replace(b"\0", b"").removesuffix(b",") + b"]}"
    return {**json.loads(head), "parent": document.parent.decode()}
