"""Ids in paths: raw segments decoded once, and ids whose slashes a proxy has decoded before us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import unquote_to_bytes

from starlette.convertors import Convertor
from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.catalogs import get_catalog
from stacserve.api.collections import get_collection, get_queryables
from stacserve.api.items import get_item, get_items
from stacserve.errors import NotFound
from stacserve.paths import quote_segment

TRIES_MAX = 8  # each asks the store

Handler = Callable[[Request], Awaitable[Response]]


class SegmentConvertor(Convertor[str]):
    """A path segment as an id: percent-decoded exactly once, so that `a%2520b` is the id `a%20b`."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        """Return the text of a raw segment; what is not UTF-8, or holds a NUL, names nothing."""
        if "%" not in value:
            return value
        try:
            text = unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise NotFound(f"{value[:60]!r} is not percent-encoded UTF-8, so nothing is named like this") from None
        if "\0" in text:
            raise NotFound(f"{value[:60]!r} holds a NUL, so nothing is named like this")
        return text

    def to_string(self, value: str) -> str:
        """Return the raw segment of an id."""
        return quote_segment(value)


class SegmentsConvertor(SegmentConvertor):
    """The rest of a path, decoded once."""

    regex = ".+"


async def get_below_collections(request: Request) -> Response:
    """GET /collections/...: an id with slashes that arrived decoded, tried against the store."""
    return await _answer_joined(request, "collection_id", get_collection)


async def get_below_catalogs(request: Request) -> Response:
    """GET /catalogs/...: the same for catalogs."""
    return await _answer_joined(request, "address", get_catalog)


async def _answer_joined(request: Request, name: str, get_container: Handler) -> Response:
    missing: NotFound | None = None
    for tried, (handler, container_id, item_id) in enumerate(_readings(request.path_params["rest"], get_container)):
        if tried == TRIES_MAX:
            break
        request.scope["path_params"] = {name: container_id, "item_id": item_id}
        try:
            return await handler(request)
        except NotFound as error:
            missing = missing or error
    raise missing or NotFound("there is nothing here")


def _readings(path: str, get_container: Handler) -> Iterator[tuple[Handler, str, str]]:
    """Yield what a path can mean: handler, id of the collection or catalog, id of the item."""
    segments = path.split("/")
    for place in range(1, len(segments) - 1):
        if segments[place] == "items":
            yield get_item, "/".join(segments[:place]), "/".join(segments[place + 1 :])
    if segments[-1] == "items":
        yield get_items, "/".join(segments[:-1]), ""
    if segments[-1] == "queryables" and get_container is get_collection:
        yield get_queryables, "/".join(segments[:-1]), ""
    yield get_container, path, ""
