"""The words of STAC and OGC: versions, media types, link relations. No logic."""

from __future__ import annotations

STAC_VERSION = "1.1.0"

JSON = "application/json"
GEOJSON = "application/geo+json"
SCHEMA_JSON = "application/schema+json"
OPENAPI_JSON = "application/vnd.oai.openapi+json;version=3.0"
HTML = "text/html"

REL_QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"

# Links of these relations belong to the server: dropped from source documents, made anew when served.
OWN_RELS = frozenset(
    [
        *("self", "root", "parent", "collection", "items", "item", "child", "next", "prev", "previous"),
        *("search", "data", "conformance", "service-desc", "service-doc", "queryables", REL_QUERYABLES),
    ]
)
