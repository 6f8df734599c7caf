"""What a store is: the questions the web asks, and the shapes of the answers.

Methods raise the errors of `stacserve.errors`. Documents travel as bytes: everything a source document
said, with its `links` as the last member and still open, so that the server's own links can be appended
without parsing. A NUL byte stands wherever the base URL belongs (NUL cannot occur in JSON text).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from stacserve.paths import Container
from stacserve.search import ItemSearch


class Capability(enum.Enum):
    """What a store can do; conformance classes, links and routes follow from it."""

    FILTER = "filter"


class Document(NamedTuple):
    """A stored item, collection or catalog.

    `path` and `parent` are API paths (`/collections/a/items/b`, percent-encoded, without the base URL) as
    ASCII bytes. `head` is the JSON up to where the server's own links go: it ends in `"links":[`, or in
    `"links":[{...},` when links of the source were kept; own links and `]}` complete it.
    """

    path: bytes
    parent: bytes
    head: bytes


class Child(NamedTuple):
    """A catalog, collection or item directly below another document; for its link."""

    rel: str  # "child" or "item"
    path: str
    title: str | None


class Node(NamedTuple):
    """A catalog or collection with what hangs directly below it.

    Children are all catalogs and collections; items only where they belong to no collection.
    """

    document: Document
    id: str
    title: str | None
    children: Sequence[Child]


class Page(NamedTuple):
    """A page of documents. `next` and `prev` are opaque tokens; `matched` is the exact number of all."""

    documents: Sequence[Document]
    next: str | None
    prev: str | None
    matched: int


class ProblemPage(NamedTuple):
    """A page of problems: dictionaries with path, pointer, reason, advice, severity."""

    problems: Sequence[dict[str, str]]
    next: str | None
    matched: int


class AssetFile(NamedTuple):
    """A file that a document names as an asset, and the media type it declares."""

    path: Path
    media_type: str | None


class Status(NamedTuple):
    """How the store is: `state` is "ready" or "building"; counts of what is served."""

    state: str
    version: str
    collections: int
    items: int
    problems: int


class Store(Protocol):
    """Where collections and items are kept, for reading."""

    capabilities: frozenset[Capability]

    def version(self) -> str:
        """Return what changes whenever an answer could; cheap enough for every request."""
        ...

    async def get_status(self) -> Status:
        """Return state and counts."""
        ...

    async def get_root(self) -> Node:
        """Return the root document (a synthetic catalog when the source is a collection)."""
        ...

    async def get_catalog(self, address: str) -> Node:
        """Return the catalog of that address, or raise NotFound."""
        ...

    async def get_collection(self, collection_id: str) -> Node:
        """Return the collection, or raise NotFound with the nearest id."""
        ...

    async def search_collections(self, limit: int, token: str | None) -> Page:
        """Return collections in the order of their ids."""
        ...

    async def get_item(self, container: Container, item_id: str) -> Document:
        """Return one item, or raise NotFound."""
        ...

    async def search_items(self, search: ItemSearch) -> Page:
        """Return the page of items that `search` asks for."""
        ...

    async def get_queryables(self, collection_id: str | None) -> dict[str, Any]:
        """Return JSON schemas by property name, from the items of one collection or of all."""
        ...

    async def get_problems(self, limit: int, token: str | None) -> ProblemPage:
        """Return what was wrong with the source's documents, in the order of their paths."""
        ...

    async def find_asset(self, path: str) -> AssetFile:
        """Return the file at a path below the catalog root (decoded) if a document names it, or raise NotFound."""
        ...

    async def close(self) -> None:
        """Release files and threads."""
        ...
