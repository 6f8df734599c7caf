"""What was wrong with documents of the source, for the users of the server."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.documents import document_list
from stacserve.api.links import base_url, link, link_header, page_links, page_paths
from stacserve.api.messages import read_paging, settings_of, store_of
from stacserve.stac import JSON


async def get_problems(request: Request) -> Response:
    """GET /problems: each with path, pointer, reason, advice and severity, in the order of the paths."""
    page = await (await store_of(request)).get_problems(*read_paging(request, settings_of(request).limit_default))
    base = base_url(request.scope)
    paths = page_paths("/problems", request.scope["query_string"], page.next, None)
    links = [*page_links(paths, JSON), link("root", "/", JSON)]
    body = document_list("problems", [*map(orjson.dumps, page.problems)], links, matched=page.matched, base=base)
    return Response(body, headers={"Link": link_header(paths, JSON, base)}, media_type=JSON)
