"""Collections, and what their items can be filtered by."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.documents import complete_document, document_list
from stacserve.api.finished import Finished, answer_finished, finished_response
from stacserve.api.links import (
    base_url,
    child_link,
    collection_links,
    fill_in_base,
    link,
    link_header,
    page_links,
    page_paths,
    queryables_links,
)
from stacserve.api.messages import read_known, read_paging, settings_of, store_of
from stacserve.paths import collection_container, container_path
from stacserve.stac import JSON, SCHEMA_JSON
from stacserve.store.interface import Store

SCHEMA_DRAFT = "https://json-schema.org/draft/2019-09/schema"


async def get_collections(request: Request) -> Response:
    """GET /collections: all collections, paged (STAC API Collections)."""
    limit, token = read_paging(request, settings_of(request).collections_limit_default)
    query: bytes = request.scope["query_string"]
    if not query:
        return await answer_finished(request, _collections, limit, None, b"")
    return finished_response(await _collections(await store_of(request), base_url(request.scope), limit, token, query))


async def get_collection(request: Request) -> Response:
    """GET /collections/{collection_id}."""
    read_known(request)
    return await answer_finished(request, _collection, request.path_params["collection_id"])


async def get_queryables(request: Request) -> Response:
    """GET /queryables and /collections/{collection_id}/queryables (OGC API Features part 3, "Queryables")."""
    read_known(request)
    any_property = settings_of(request).unknown_properties == "null"
    return await answer_finished(request, _queryables, request.path_params.get("collection_id"), any_property)


async def _collections(store: Store, base: str, limit: int, token: str | None, query: bytes) -> Finished:
    page = await store.search_collections(limit, token)
    paths = page_paths("/collections", query, page.next, page.prev)
    links = [*page_links(paths, JSON), link("root", "/", JSON), *queryables_links("", store.capabilities)]
    collections = [
        complete_document(document, collection_links(document, store.capabilities)) for document in page.documents
    ]
    body = document_list("collections", collections, links, matched=page.matched, base=base)
    return Finished(body, link_header=link_header(paths, JSON, base))


async def _collection(store: Store, base: str, collection_id: str) -> Finished:
    node = await store.get_collection(collection_id)
    links = [*collection_links(node.document, store.capabilities), *map(child_link, node.children)]
    return Finished(fill_in_base(complete_document(node.document, links), base))


async def _queryables(store: Store, base: str, collection_id: str | None, any_property: bool) -> Finished:
    properties = await store.get_queryables(collection_id)
    path = "" if collection_id is None else container_path(collection_container(collection_id))
    schema = {
        "$schema": SCHEMA_DRAFT,
        "$id": f"{base}{path}/queryables",
        "type": "object",
        "title": "Queryables" if collection_id is None else f"Queryables of {collection_id}",
        "properties": properties,
        "additionalProperties": any_property,
    }
    return Finished(orjson.dumps(schema), SCHEMA_JSON)
