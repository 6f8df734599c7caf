"""Documents that change only with the store: made once per base URL and version, and kept as bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.links import base_url
from stacserve.api.messages import store_of
from stacserve.stac import JSON


class Finished(NamedTuple):
    """A document as it is sent."""

    body: bytes
    media_type: str = JSON
    link_header: str | None = None


MakeDocument = Callable[..., Awaitable[Finished]]  # (store, base, *arguments)


class FinishedDocuments:
    """The documents used last, up to a number of bytes. Clients choose part of the keys, so these count too."""

    def __init__(self, bytes_max: int = 32_000_000) -> None:
        self.bytes_max = bytes_max
        self.size = 0
        self._kept: OrderedDict[Hashable, tuple[Finished, int]] = OrderedDict()

    def get(self, key: Hashable) -> Finished | None:
        """Return what is kept under a key, and count it as used."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, document: Finished) -> None:
        """Keep a document; those unused for longest make room. One longer than a quarter of it all is not kept."""
        size = len(document.body) + len(repr(key)) + 500
        if size > self.bytes_max // 4 or key in self._kept:
            return
        self._kept[key] = document, size
        self.size += size
        while self.size > self.bytes_max:
            self.size -= self._kept.popitem(last=False)[1][1]


async def answer_finished(request: Request, make: MakeDocument, *arguments: Hashable) -> Response:
    """Answer with what `make(store, base, *arguments)` returns, made anew only when the store has changed.

    The arguments are checked values, never a client's spelling of them.
    """
    store = await store_of(request)
    base = base_url(request.scope)
    finished: FinishedDocuments = request.app.state.finished
    key = (make, base, store.version(), *arguments)
    document = finished.get(key)
    if document is None:
        document = await make(store, base, *arguments)
        finished.put(key, document)
    return finished_response(document)


def finished_response(document: Finished) -> Response:
    """Return the response that sends a document."""
    headers = {"Link": document.link_header} if document.link_header else None
    return Response(document.body, headers=headers, media_type=document.media_type)
