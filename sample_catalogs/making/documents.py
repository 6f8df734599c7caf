"""Documents and the links between them: a tree of nodes becomes the files of a static catalog."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from making.places import union_of_boxes

Document = dict[str, Any]
Files = dict[str, bytes]

STAC_VERSION = "1.1.0"
PNG = "image/png"
GEOTIFF = "image/tiff; application=geotiff"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"

_EXTENSIONS = "https://stac-extensions.github.io"
_RELATIONS = {"Feature": "item", "Collection": "child", "Catalog": "child"}
_TYPES = {"Feature": "application/geo+json", "Collection": "application/json", "Catalog": "application/json"}


@dataclass
class Node:
    """A document at a path below the catalog's root, what hangs below it, and the files beside it.

    `links` of the document hold only what is not made here: the tree gives root, parent, child, item and
    collection.
    """

    path: str
    document: Document
    children: list[Node] = field(default_factory=list)
    files: Files = field(default_factory=dict)


def tree_files(root: Node) -> Files:
    """Return every file of the catalog by its path, links written."""
    files: Files = {}
    _add_node(files, root, parents=[])
    return files


def extension(name: str, version: str) -> str:
    """Return the identifier of a STAC extension."""
    return f"{_EXTENSIONS}/{name}/v{version}/schema.json"


def make_catalog(catalog_id: str, title: str, description: str) -> Document:
    """Return a catalog without links."""
    head = {"type": "Catalog", "stac_version": STAC_VERSION, "id": catalog_id, "title": title}
    return {**head, "description": description, "links": []}


def make_item(item_id: str, *, geometry: Document | None, bbox: Sequence[float] | None, **members: Any) -> Document:
    """Return an item without links of the tree.

    `members` are `properties`, `assets` and, where there is one, `collection`, `extensions`, `links` and
    `version`.
    """
    item: Document = {
        "type": "Feature",
        "stac_version": members.get("version", STAC_VERSION),
        "stac_extensions": members.get("extensions", []),
        "id": item_id,
        "geometry": geometry,
        "bbox": bbox,
        "properties": members["properties"],
        "links": members.get("links", []),
        "assets": members["assets"],
        "collection": members.get("collection"),
    }
    return {key: value for key, value in item.items() if value is not None or key == "geometry"}


def local_asset(data: bytes, href: str, *, title: str, media_type: str, roles: Sequence[str]) -> Document:
    """Return an asset for a file that stands beside its document, with size and checksum."""
    checksum = "1220" + hashlib.sha256(data).hexdigest()  # a multihash: SHA-256, 32 bytes
    asset: Document = {"href": href, "title": title, "type": media_type, "roles": list(roles)}
    return asset | {"file:size": len(data), "file:checksum": checksum}


def extent_of(items: Iterable[Document], *, bbox: Sequence[float] | None = None) -> Document:
    """Return the extent of items; `bbox` is given where they lie on both sides of the antimeridian."""
    items = list(items)
    times = [value for item in items for value in _times(item["properties"])]
    box = bbox or union_of_boxes([item["bbox"] for item in items if "bbox" in item])
    return {"spatial": {"bbox": [list(box)]}, "temporal": {"interval": [[min(times), max(times)]]}}


def summaries_of(items: Sequence[Document], names: Iterable[str]) -> Document:
    """Return ranges of numbers and sets of everything else for the named properties."""
    summaries: Document = {}
    for name in names:
        found = [item["properties"][name] for item in items if name in item["properties"]]
        flat = [part for value in found for part in (value if isinstance(value, list) else [value])]
        if isinstance(flat[0], float):
            summaries[name] = {"minimum": min(flat), "maximum": max(flat)}
        else:
            summaries[name] = sorted(set(flat))
    return summaries


def pick(*key: object) -> float:
    """Return a number from 0 to 1 that depends on nothing but the key."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _add_node(files: Files, node: Node, parents: list[Node]) -> None:
    document = dict(node.document)
    document["links"] = [*_tree_links(node, parents), *document["links"]]
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    files[node.path] = text.encode() + b"\n"
    folder = posixpath.dirname(node.path)
    for name, data in node.files.items():
        files[posixpath.join(folder, name)] = data
    for child in node.children:
        _add_node(files, child, [*parents, node])


def _tree_links(node: Node, parents: list[Node]) -> list[Document]:
    links = [_link("root", node, (parents or [node])[0])]
    if parents:
        links.append(_link("parent", node, parents[-1]))
    collections = [parent for parent in parents if parent.document["type"] == "Collection"]
    if node.document["type"] == "Feature" and collections:
        links.append(_link("collection", node, collections[-1]))
    return links + [_link(_RELATIONS[child.document["type"]], node, child) for child in node.children]


def _link(relation: str, source: Node, target: Node) -> Document:
    path = posixpath.relpath(target.path, posixpath.dirname(source.path) or ".")
    href = quote(path if path.startswith("..") else f"./{path}")
    document = target.document
    link = {"rel": relation, "href": href, "type": _TYPES[document["type"]]}
    title = document.get("title") or document.get("properties", {}).get("title")
    return link | {"title": title} if title else link


def _times(properties: Mapping[str, Any]) -> list[str]:
    names = ("datetime", "start_datetime", "end_datetime")
    return [properties[name] for name in names if properties.get(name)]
