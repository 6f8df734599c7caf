"""Catalogs as the source has them; their items are in `items`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.documents import complete_document
from stacserve.api.finished import Finished, answer_finished
from stacserve.api.links import catalog_links, child_link, fill_in_base
from stacserve.api.messages import read_known
from stacserve.store.interface import Store


async def get_catalog(request: Request) -> Response:
    """GET /catalogs/{address}: one catalog, with links to what is directly below it."""
    read_known(request)
    return await answer_finished(request, _catalog, request.path_params["address"])


async def _catalog(store: Store, base: str, address: str) -> Finished:
    node = await store.get_catalog(address)
    links = [*catalog_links(node.document), *map(child_link, node.children)]
    return Finished(fill_in_base(complete_document(node.document, links), base))
