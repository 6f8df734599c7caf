"""Items: those of a collection or catalog, one, and the search through all."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.documents import item_collection, item_document
from stacserve.api.links import base_url, link, link_header, page_links, page_paths, posted_page_links
from stacserve.api.messages import read_json, read_known, read_query, store_of, unless_gone
from stacserve.paths import Container, catalog_container, collection_container, container_path
from stacserve.search import (
    ItemSearch,
    item_search_from_body,
    item_search_from_query,
    search_in_catalog,
    search_in_collection,
)
from stacserve.stac import GEOJSON, JSON
from stacserve.store.interface import Page, Store


async def search_items(request: Request) -> Response:
    """GET and POST /search: items of any collection that match (STAC API Item Search)."""
    if request.method == "POST":
        body = await read_json(request)
        page = await _find_page(request, item_search_from_body(body, request.app.state.search_limits))
        return _posted_page(request, page, body)
    page = await _find_page(request, _read_search(request))
    return _page_of_items(request, page, "/search")


async def get_items(request: Request) -> Response:
    """GET /collections/{collection_id}/items, and the items below a catalog (OGC API Features part 1)."""
    container = _container_of(request)
    narrow = search_in_collection if container.kind == "collections" else search_in_catalog
    page = await _find_page(request, narrow(_read_search(request), container.id))
    if not page.documents:
        await _require_container(await store_of(request), container)
    path = container_path(container)
    rel = "collection" if container.kind == "collections" else "parent"
    return _page_of_items(request, page, f"{path}/items", link(rel, path, JSON))


async def get_item(request: Request) -> Response:
    """GET /collections/{collection_id}/items/{item_id}, or of an item that belongs to no collection."""
    read_known(request)
    store = await store_of(request)
    document = await store.get_item(_container_of(request), request.path_params["item_id"])
    return Response(item_document(document, base_url(request.scope)), media_type=GEOJSON)


def _container_of(request: Request) -> Container:
    address = request.path_params.get("address")
    return collection_container(request.path_params["collection_id"]) if address is None else catalog_container(address)


def _read_search(request: Request) -> ItemSearch:
    return item_search_from_query(read_query(request.scope), request.app.state.search_limits)


async def _find_page(request: Request, search: ItemSearch) -> Page:
    store = await store_of(request)
    return await unless_gone(request, store.search_items(search))


async def _require_container(store: Store, container: Container) -> None:
    """Raise NotFound for the items of what does not exist: an empty page would hide a typing error."""
    if container.kind == "collections":
        await store.get_collection(container.id)
    else:
        await store.get_catalog(container.id)


def _page_of_items(request: Request, page: Page, path: str, *links: bytes) -> Response:
    base = base_url(request.scope)
    paths = page_paths(path, request.scope["query_string"], page.next, page.prev)
    links = (*page_links(paths, GEOJSON), link("root", "/", JSON), *links)
    body = item_collection(page.documents, links, matched=page.matched, base=base)
    return Response(body, headers={"Link": link_header(paths, GEOJSON, base)}, media_type=GEOJSON)


def _posted_page(request: Request, page: Page, asked: dict[str, Any]) -> Response:
    links = (link("root", "/", JSON), *posted_page_links("/search", asked, page.next, page.prev))
    body = item_collection(page.documents, links, matched=page.matched, base=base_url(request.scope))
    return Response(body, media_type=GEOJSON)
