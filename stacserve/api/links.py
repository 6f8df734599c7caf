"""Every URL we hand out.

A link is JSON with a NUL byte where the base URL belongs, as in stored documents; `fill_in_base` puts it in, once
for a whole answer. Paths are percent-encoded ASCII, so that they need no escaping in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

import orjson

from stacserve.stac import GEOJSON, HTML, JSON, OPENAPI_JSON, REL_QUERYABLES, SCHEMA_JSON
from stacserve.store.interface import Capability, Child, Document, Node

BASE_URL = "stacserve.base_url"  # where the outermost middleware leaves it in the ASGI scope
HEADER_MAX = 8_000  # longer header lines are refused by proxies

_LEGAL_QUERY = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*")
_LONE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def base_url(scope: Mapping[str, Any]) -> str:
    """Return the URL of the landing page without its last slash: what every link begins with."""
    base: str = scope[BASE_URL]
    return base


def escape_base(base: str) -> bytes:
    """Return the base URL as it stands inside a JSON string."""
    return orjson.dumps(base)[1:-1]


def fill_in_base(body: bytes, base: str) -> bytes:
    """Put the base URL wherever a NUL byte stands for it."""
    return body.replace(b"\0", escape_base(base))


def link(rel: str, path: str, media_type: str, **more: Any) -> bytes:
    """Return a link to an address of this server."""
    tail = orjson.dumps({"type": media_type, **more})[1:]
    return b'{"rel":"%b","href":"\0%b",%b' % (rel.encode(), path.encode(), tail)


def child_link(child: Child) -> bytes:
    """Return the link to a catalog, collection or item directly below a document."""
    title = {} if child.title is None else {"title": child.title}
    return link(child.rel, child.path, GEOJSON if child.rel == "item" else JSON, **title)


def landing_links(root: Node, capabilities: Collection[Capability]) -> list[bytes]:
    """Return the links of the landing page (STAC API Core, "Landing Page")."""
    return [
        link("self", "/", JSON),
        link("root", "/", JSON),
        link("service-desc", "/api", OPENAPI_JSON),
        link("service-doc", "/api.html", HTML),
        link("conformance", "/conformance", JSON),
        link("data", "/collections", JSON),
        link("search", "/search", GEOJSON, method="GET"),
        link("search", "/search", GEOJSON, method="POST"),
        *queryables_links("", capabilities),
        *map(child_link, root.children),
    ]


def queryables_links(path: str, capabilities: Collection[Capability]) -> list[bytes]:
    """Return the link to what can be filtered by, below a path, if anything can."""
    return [link(REL_QUERYABLES, f"{path}/queryables", SCHEMA_JSON)] if Capability.FILTER in capabilities else []


def catalog_links(document: Document) -> list[bytes]:
    """Return the links of a catalog, but for its children."""
    path = document.path.decode()
    return [
        link("self", path, JSON),
        link("root", "/", JSON),
        link("parent", document.parent.decode() or "/", JSON),
        link("items", f"{path}/items", GEOJSON),
    ]


def collection_links(document: Document, capabilities: Collection[Capability]) -> list[bytes]:
    """Return the links of a collection, but for its children."""
    return [*catalog_links(document), *queryables_links(document.path.decode(), capabilities)]


def page_paths(path: str, query: bytes, next_token: str | None, prev_token: str | None) -> dict[str, str]:
    """Return the paths of a page asked for by GET and of its neighbours, by link relation.

    Every parameter goes along as it was written; only the token changes.
    """
    text = clean_query(query)
    paths = {"self": f"{path}?{text}" if text else path}
    for rel, token in (("next", next_token), ("prev", prev_token)):
        if token is not None:
            paths[rel] = f"{path}?{_query_with_token(text, token)}"
    return paths


def page_links(paths: Mapping[str, str], media_type: str) -> list[bytes]:
    """Return the links for `page_paths`."""
    return [
        link(rel, path, media_type) if rel == "self" else link(rel, path, media_type, method="GET")
        for rel, path in paths.items()
    ]


def posted_page_links(
    path: str, body: Mapping[str, Any], next_token: str | None, prev_token: str | None
) -> list[bytes]:
    """Return the links to the neighbours of a page asked for by POST; their bodies are complete.

    (STAC API Item Search, "POST Search Example".)
    """
    return [
        link(rel, path, GEOJSON, method="POST", body={**body, "token": token}, merge=False)
        for rel, token in (("next", next_token), ("prev", prev_token))
        if token is not None
    ]


def link_header(paths: Mapping[str, str], media_type: str, base: str) -> str:
    """Return `page_paths` as a Link header (RFC 8288), by which generic harvesters page."""
    links = (f'<{base}{path}>; rel="{rel}"; type="{media_type}"' for rel, path in paths.items())
    return ", ".join(text for text in links if len(text) < HEADER_MAX // 3)


def clean_query(query: bytes) -> str:
    """Return a raw query string as it may stand in a URI: what is legal there stays as it was written."""
    if not _LEGAL_QUERY.fullmatch(query):
        query = quote(_LONE_PERCENT.sub(b"%25", query), safe="%-._~!$&'()*+,;=:@/?").encode()
    return query.decode("ascii")


def _query_with_token(query: str, token: str) -> str:
    kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != "token"]
    return "&".join([*kept, f"token={quote(token, safe='')}"])
