"""Documents of a source, valid unless a test changes them, and how they get on disk."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


def item(item_id: str = "a", **changes: Any) -> dict[str, Any]:
    """Return an Item; changes replace members."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "geometry": {"type": "Point", "coordinates": [7.5, 46.9]},
        "bbox": [7.5, 46.9, 7.5, 46.9],
        "properties": {"datetime": "2024-06-01T00:00:00Z"},
        "links": [],
        "assets": {},
        **changes,
    }


def catalog(catalog_id: str = "root", *links: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a Catalog with these links."""
    base = {"type": "Catalog", "stac_version": "1.0.0", "id": catalog_id, "description": "a catalog"}
    return {**base, "links": list(links), **changes}


def collection(collection_id: str = "c", *links: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a Collection with these links."""
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    return catalog(collection_id, *links, **{"type": "Collection", "license": "other", "extent": extent, **changes})


def link(rel: str, href: str, **others: Any) -> dict[str, Any]:
    """Return a link."""
    return {"rel": rel, "href": href, **others}


def write(path: Path, document: Any) -> Path:
    """Write a document (text and bytes as they are) with folders as needed, aged so that it is not fresh."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    return path


def served(head: bytes) -> Any:
    """Return the document that a head becomes, with the base URL BASE and no links of the server."""
    return json.loads(head.replace(b"\0", b"BASE").removesuffix(b",") + b"]}")
