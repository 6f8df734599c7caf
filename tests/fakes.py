"""A store in memory, for tests of everything above it, and a client for an app."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any

import httpx
import orjson

from stacserve.errors import InvalidParameter, NotFound
from stacserve.paths import Container, catalog_container, collection_container, container_path, item_path
from stacserve.search import ItemSearch
from stacserve.store.interface import AssetFile, Capability, Child, Document, Node, Page, ProblemPage, Status

BASE = "http://testserver"


def document(path: str, parent: str, content: dict[str, Any], *links: dict[str, str]) -> Document:
    """Return a stored document: its JSON, open inside `links`; `\\0` in a text is the base URL."""
    head = orjson.dumps(content)[:-1] + b',"links":[' + b"".join(orjson.dumps(link) + b"," for link in links)
    return Document(path.encode(), parent.encode(), head.replace(b"\\u0000", b"\0"))


def item_content(collection_id: str | None, item_id: str) -> dict[str, Any]:
    """Return a small item without links, with one asset of ours."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "collection": collection_id,
        "geometry": {"type": "Point", "coordinates": [7.5, 46.9]},
        "bbox": [7.5, 46.9, 7.5, 46.9],
        "properties": {"datetime": "2024-06-01T00:00:00Z"},
        "assets": {"thumbnail": {"href": "\0/assets/thumbnail.png"}},
    }


@dataclasses.dataclass
class FakeStore:
    """Serves the documents it is given; remembers the searches it was asked for, and applies ids and containers."""

    items: dict[tuple[Container, str], Document] = dataclasses.field(default_factory=dict)
    nodes: dict[Container, Node] = dataclasses.field(default_factory=dict)
    files: dict[str, AssetFile] = dataclasses.field(default_factory=dict)
    problems: list[dict[str, str]] = dataclasses.field(default_factory=list)
    children: list[Child] = dataclasses.field(default_factory=list)
    capabilities: frozenset[Capability] = frozenset(Capability)
    searches: list[ItemSearch] = dataclasses.field(default_factory=list)
    counter: int = 1
    delay: float = 0.0
    closed: bool = False

    def add_collection(self, collection_id: str, parent: str = "", children: Sequence[Child] = ()) -> None:
        """Add a collection."""
        container = collection_container(collection_id)
        content = {"type": "Collection", "stac_version": "1.1.0", "id": collection_id, "license": "other"}
        found = document(container_path(container), parent, content)
        self.nodes[container] = Node(found, collection_id, f"Title of {collection_id}", children)
        self.children.append(Child("child", container_path(container), f"Title of {collection_id}"))

    def add_catalog(self, address: str, children: Sequence[Child] = ()) -> None:
        """Add a catalog."""
        container = catalog_container(address)
        content = {"type": "Catalog", "stac_version": "1.1.0", "id": address, "description": "a catalog"}
        self.nodes[container] = Node(document(container_path(container), "", content), address, None, children)
        self.children.append(Child("child", container_path(container), None))

    def add_item(self, container: Container, item_id: str) -> None:
        """Add an item."""
        collection_id = container.id if container.kind == "collections" else None
        content = item_content(collection_id, item_id)
        found = document(item_path(container, item_id), container_path(container), content)
        self.items[container, item_id] = found

    def version(self) -> str:
        return f"fake-{self.counter}"

    async def get_status(self) -> Status:
        return Status("ready", self.version(), len(self._nodes("collections")), len(self.items), len(self.problems))

    async def get_root(self) -> Node:
        content = {"type": "Catalog", "stac_version": "1.1.0", "id": "root", "description": "the root"}
        license_link = {"rel": "license", "href": "https://example.org/license"}
        return Node(document("", "", content, license_link), "root", "The root", self.children)

    async def get_catalog(self, address: str) -> Node:
        return self._node(catalog_container(address))

    async def get_collection(self, collection_id: str) -> Node:
        return self._node(collection_container(collection_id))

    async def search_collections(self, limit: int, token: str | None) -> Page:
        return _page([node.document for node in self._nodes("collections")], limit, token)

    async def get_item(self, container: Container, item_id: str) -> Document:
        if (container, item_id) not in self.items:
            raise NotFound(f"no item {item_id!r} in {container.id!r}")
        return self.items[container, item_id]

    async def search_items(self, search: ItemSearch) -> Page:
        self.searches.append(search)
        await asyncio.sleep(self.delay)
        found = [
            item
            for (container, item_id), item in self.items.items()
            if (search.ids is None or item_id in search.ids)
            and (search.catalog is None or container == catalog_container(search.catalog))
            and (search.collections is None or (container.kind == "collections" and container.id in search.collections))
        ]
        return _page(found, search.limit, search.token)

    async def get_queryables(self, collection_id: str | None) -> dict[str, Any]:
        if collection_id is not None:
            self._node(collection_container(collection_id))
        return {"id": {"type": "string"}}

    async def get_problems(self, limit: int, token: str | None) -> ProblemPage:
        start = int(token or 0)
        end = start + limit
        return ProblemPage(self.problems[start:end], str(end) if end < len(self.problems) else None, len(self.problems))

    async def find_asset(self, path: str) -> AssetFile:
        if path not in self.files:
            raise NotFound(f"no document names {path!r} as an asset")
        return self.files[path]

    async def close(self) -> None:
        self.closed = True

    def _nodes(self, kind: str) -> list[Node]:
        return [node for container, node in self.nodes.items() if container.kind == kind]

    def _node(self, container: Container) -> Node:
        if container not in self.nodes:
            raise NotFound(f"no {container.kind[:-1]} {container.id!r}")
        return self.nodes[container]


def _page(documents: list[Document], limit: int, token: str | None) -> Page:
    try:
        start = int(token or 0)
    except ValueError:
        raise InvalidParameter("token", "is none of this server's") from None
    end = start + limit
    return Page(
        documents=documents[start:end],
        next=str(end) if end < len(documents) else None,
        prev=str(max(start - limit, 0)) if start else None,
        matched=len(documents),
    )


def make_store(collections: Sequence[str] = ("a", "b"), items: int = 5) -> FakeStore:
    """Return a store with some collections of some items each, and a catalog with one item of its own."""
    store = FakeStore()
    for collection_id in collections:
        store.add_collection(collection_id)
        for number in range(items):
            store.add_item(collection_container(collection_id), f"{collection_id}-{number}")
    store.add_catalog("loose", [Child("item", "/catalogs/loose/items/single", None)])
    store.add_item(catalog_container("loose"), "single")
    return store


def client_of(app: Any, base: str = BASE, **transport: Any) -> httpx.AsyncClient:
    """Return a client that calls an app without a port."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, **transport), base_url=base)


def fetch(app: Any, path: str, method: str = "GET", *, base: str = BASE, **options: Any) -> httpx.Response:
    """Send one request to an app; `client` is the address of the peer."""
    transport = {name: options.pop(name) for name in ("client", "root_path") if name in options}

    async def send() -> httpx.Response:
        async with client_of(app, base, **transport) as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def call(app: Any, path: str, messages: Sequence[dict[str, Any]] = (), **scope: Any) -> list[Any]:
    """Call an app as a server does, with what the client sends; return what the app sends."""
    waiting = list(messages) or [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    request = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"testserver")],
    }
    asyncio.run(app({**request, **scope}, receive, send))
    return sent


def links_of(document: dict[str, Any], rel: str) -> list[dict[str, Any]]:
    """Return the links of a document that have this relation."""
    return [link for link in document["links"] if link["rel"] == rel]


def href_of(document: dict[str, Any], rel: str) -> str:
    """Return where the only link of this relation leads."""
    (found,) = links_of(document, rel)
    href: str = found["href"]
    return href
