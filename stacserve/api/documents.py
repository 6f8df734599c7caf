"""Stored documents as answers: bytes put together, never parsed.

A stored document ends inside its `links`; own links and two brackets complete it. The base URL is filled in item by
item: a second buffer as large as a page would cost more than all the rest (its memory is new to the process each time).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stacserve.api.links import escape_base, fill_in_base
from stacserve.store.interface import Document

_ITEM_LINKS = (
    b'{"rel":"self","href":"\0%b","type":"application/geo+json"},'
    b'{"rel":"root","href":"\0/","type":"application/json"},'
    b'{"rel":"parent","href":"\0%b","type":"application/json"}'
)
_COLLECTION_LINK = b',{"rel":"collection","href":"\0%b","type":"application/json"}'


def complete_document(document: Document, links: Iterable[bytes], more: bytes = b"") -> bytes:
    """Return a collection or catalog with its own links, and members after them (`,"name":value`)."""
    return b"%b%b]%b}" % (document.head, b",".join(links), more)


def item_document(document: Document, base: str) -> bytes:
    """Return one item as it is served."""
    return b"".join(_item_parts([document], base)[:-1])


def item_collection(documents: Sequence[Document], links: Iterable[bytes], *, matched: int, base: str) -> bytes:
    """Return a page of items (OGC API Features part 1, section 7.15.8; STAC API, ItemCollection)."""
    parts = [b'{"type":"FeatureCollection","features":[', *_item_parts(documents, base)[:-1]]
    parts.append(fill_in_base(_end_of_page(links, matched=matched, returned=len(documents)), base))
    return b"".join(parts)


def document_list(name: str, documents: Sequence[bytes], links: Iterable[bytes], *, matched: int, base: str) -> bytes:
    """Return a page of complete documents as `{name: [...]}`."""
    end = _end_of_page(links, matched=matched, returned=len(documents))
    return fill_in_base(b'{"%b":[%b%b' % (name.encode(), b",".join(documents), end), base)


def _item_parts(documents: Sequence[Document], base: str) -> list[bytes]:
    """Return what the items are joined from, a comma after each."""
    base_bytes = escape_base(base)
    alone, in_collection = (
        (links + b"]}").replace(b"\0", base_bytes.replace(b"%", b"%%"))
        for links in (_ITEM_LINKS, _ITEM_LINKS + _COLLECTION_LINK)
    )
    parts: list[bytes] = []
    for path, parent, head in documents:
        if path.startswith(b"/collections/"):
            end = in_collection % (path, parent or b"/", path.rpartition(b"/items/")[0])
        else:
            end = alone % (path, parent or b"/")
        parts += (head.replace(b"\0", base_bytes), end, b",")
    return parts


def _end_of_page(links: Iterable[bytes], *, matched: int, returned: int) -> bytes:
    return b'],"links":[%b],"numberMatched":%d,"numberReturned":%d}' % (b",".join(links), matched, returned)
