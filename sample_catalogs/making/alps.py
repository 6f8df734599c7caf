"""`alps/`: three collections, each with a catalog for every year; two satellites and elevation tiles."""

from __future__ import annotations

from making.documents import Node, make_catalog
from making.elevation import elevation_collection
from making.landsat import landsat_collection
from making.sentinel import sentinel_collection

_TERMS = b"""Terms of use of the sample catalog

Every scene, tile and picture in this catalog is made up. Do with it what you like.
"""


def build_alps() -> Node:
    """Return the root of the catalog."""
    root = make_catalog(
        "alps",
        "Alps",
        "Satellite scenes and elevation tiles of the Alps. **A sample**: places, dates and properties are like real "
        "ones, the scenes themselves are made up, and the files of their bands do not exist.",
    )
    root["links"] = [{"rel": "license", "href": "./terms.txt", "type": "text/plain", "title": "Terms of use"}]
    children = [sentinel_collection(), landsat_collection(), elevation_collection()]
    return Node("catalog.json", root, children, {"terms.txt": _TERMS})
