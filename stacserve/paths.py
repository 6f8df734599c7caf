"""The API path of everything that is served, relative to the base URL and percent-encoded.

Ids are anything in STAC. Each becomes exactly one path segment (RFC 3986, section 3.3), encoded once;
the router decodes it once. A path starts with a slash and never ends with one.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple
from urllib.parse import quote

_match_plain = re.compile(r"[\w.~-]+", re.ASCII).fullmatch


class Container(NamedTuple):
    """What items belong to: a collection by its id, or a catalog by its address.

    `kind` is "collections" or "catalogs"; (container, item id) identifies an item.
    """

    kind: str
    id: str


def collection_container(collection_id: str) -> Container:
    """Return the container that a collection is."""
    return Container("collections", collection_id)


def catalog_container(address: str) -> Container:
    """Return the container that a catalog is, for items that belong to no collection."""
    return Container("catalogs", address)


def quote_segment(text: str) -> str:
    """Percent-encode one path segment; `.` and `..` cannot be encoded and stay as they are."""
    # nearly every id is plain, and this is asked for every item of an ingest
    return text if _match_plain(text) else quote(text, safe="!$&'()*,:=@~")


@functools.lru_cache(maxsize=1000)
def container_path(container: Container) -> str:
    """Return `/collections/{id}` or `/catalogs/{address}`."""
    return f"/{container.kind}/{quote_segment(container.id)}"


def item_path(container: Container, item_id: str) -> str:
    """Return `/collections/{id}/items/{item id}`, or the same below `/catalogs/{address}`."""
    return f"{container_path(container)}/items/{quote_segment(item_id)}"


def asset_path(file_path: str) -> str:
    """Return `/assets/{path}` of a file, from its path below the catalog root (forward slashes)."""
    return "/assets/" + "/".join(map(quote_segment, file_path.split("/")))
