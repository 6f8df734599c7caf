"""An index of items that a test makes up, and searches in it without HTTP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from oracle import Identity
from stacserve import ingest_catalog
from stacserve.search import ItemSearch, item_search_from_body, search_limits
from stacserve.settings import Settings
from stacserve.store.interface import Document, Page
from stacserve.store.pages import PageRules, search_items
from stacserve.store.readers import Memory, Reader
from stacserve.store.snapshot import Snapshot

Item = dict[str, Any]

RULES = PageRules(bytes_max=10**9)
# GEOS needs a moment to see that nothing is there
NOWHERE = {"type": "Point", "coordinates": [0, 0]}


def make_item(item_id: str, *, geometry: Any = NOWHERE, collection: str | None = "c", **properties: Any) -> Item:
    """Return an item, in 2024 if nothing else is said."""
    if not properties.keys() & {"datetime", "start_datetime"}:
        properties["datetime"] = "2024-06-01T00:00:00Z"
    item: Item = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "geometry": geometry,
        "properties": properties,
        "links": [],
        "assets": {},
    }
    if collection is not None:
        item["collection"] = collection
        item["links"].append({"rel": "collection", "href": "./collection.json"})
    return item


def make_box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """Return a rectangle as GeoJSON."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def write_items(folder: Path, items: Sequence[Item]) -> Path:
    """Write a catalog of these items, below their collections or right below the root; files are named by id."""
    root = _node("root", "Catalog")
    collections: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(items):
        name = item.get("collection")
        parent = root if name is None else collections.setdefault(name, _node(name, "Collection"))
        place = "" if name is None else f"{list(collections).index(name)}/"
        href = f"{number}-{abs(hash(item['id']))}.json"
        _write(folder / place / href, item)
        parent["links"].append({"rel": "item", "href": f"./{href}"})
    for number, collection in enumerate(collections.values()):
        _write(folder / str(number) / "collection.json", collection)
        root["links"].append({"rel": "child", "href": f"./{number}/collection.json"})
    _write(folder / "catalog.json", root)
    return folder


def index_items(folder: Path, items: Sequence[Item]) -> Path:
    """Write a catalog of these items and return its index, built or refreshed."""
    source, index = write_items(folder / "catalog", items), folder / "index.db"
    ingest_catalog(str(source), index, processes=0)
    return index


@contextmanager
def reading(index: Path) -> Iterator[Snapshot]:
    """Read an index in one transaction."""
    reader = Reader(index)
    try:
        reader.connection.execute("BEGIN")
        yield reader.snapshot()
        reader.connection.execute("ROLLBACK")
    finally:
        reader.connection.close()


def read_search(body: Mapping[str, Any]) -> ItemSearch:
    """Read the body of a search with the usual limits."""
    return item_search_from_body(dict(body), search_limits(Settings()))


def find_page(snapshot: Snapshot, search: ItemSearch | Mapping[str, Any], rules: PageRules = RULES) -> Page:
    """Return the page that a search or a body asks for."""
    return search_items(snapshot, _read(search), rules, Memory(100))


def find_pages(
    snapshot: Snapshot, search: ItemSearch | Mapping[str, Any], rel: str = "next", rules: PageRules = RULES
) -> list[Page]:
    """Return the page that a search or a body asks for and all that follow in one direction."""
    search, memory = _read(search), Memory(100)
    pages = [search_items(snapshot, search, rules, memory)]
    while token := getattr(pages[-1], rel):
        pages.append(search_items(snapshot, dataclasses.replace(search, token=token), rules, memory))
    return pages


def find_ids(snapshot: Snapshot, body: Mapping[str, Any]) -> list[str]:
    """Return the ids of all that match."""
    page = find_page(snapshot, {"limit": 10_000, **body})
    assert page.matched == len(page.documents)
    return [identity_of(document).id for document in page.documents]


def identities_of(pages: Sequence[Page]) -> list[Identity]:
    """Return who is on the pages, in their order."""
    return [identity_of(document) for page in pages for document in page.documents]


def identity_of(document: Document) -> Identity:
    """Return the identity that the path of a stored item says."""
    kind, container, _, item_id = map(unquote, document.path.decode().split("/")[1:])
    return Identity((("collections", "catalogs").index(kind), container), item_id)


def _read(search: ItemSearch | Mapping[str, Any]) -> ItemSearch:
    return search if isinstance(search, ItemSearch) else read_search(search)


def _node(node_id: str, kind: str) -> dict[str, Any]:
    document: dict[str, Any] = {
        "type": kind,
        "stac_version": "1.1.0",
        "id": node_id,
        "description": node_id,
        "links": [],
    }
    if kind == "Collection":
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        document |= {"license": "CC0-1.0", "extent": extent}
    return document


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
