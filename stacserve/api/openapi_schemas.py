"""The JSON schemas of the OpenAPI document: what goes in and what comes out.

OpenAPI 3.0 has its own dialect (OpenAPI 3.0.3, "Schema Object"): `nullable` instead of a null type, no `const`.
They say what every answer keeps, and leave open what STAC leaves open.
"""

from __future__ import annotations

from typing import Any

from stacserve.settings import Settings

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Schema, **limits: int) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **limits}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITION: Schema = array_of(NUMBER, minItems=2, maxItems=4)
LINKS: Schema = array_of(ref("Link"))
BBOX: Schema = {"type": "array", "items": NUMBER, "oneOf": [{"minItems": n, "maxItems": n} for n in (4, 6)]}

FILTER_LANGS = ["cql2-text", "cql2-json"]
FILTER_CRS = ["http://www.opengis.net/def/crs/OGC/1.3/CRS84"]


def _object(required: str, properties: dict[str, Schema], **more: Any) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties, **more}


def _word(*words: str | None) -> Schema:
    return {"type": "string", "enum": list(words)}


def _shape(name: str, coordinates: Schema) -> Schema:
    return _object("type coordinates", {"type": _word(name), "coordinates": coordinates})


_LINE = array_of(POSITION, minItems=2)
_RING = array_of(POSITION, minItems=4)
_SHAPES = {
    "Point": _shape("Point", POSITION),
    "MultiPoint": _shape("MultiPoint", array_of(POSITION)),
    "LineString": _shape("LineString", _LINE),
    "MultiLineString": _shape("MultiLineString", array_of(_LINE)),
    "Polygon": _shape("Polygon", array_of(_RING)),
    "MultiPolygon": _shape("MultiPolygon", array_of(array_of(_RING))),
    "GeometryCollection": _object(
        "type geometries", {"type": _word("GeometryCollection"), "geometries": array_of(ref("Geometry"))}
    ),
}

_PAGE = {"links": LINKS, "numberMatched": COUNT, "numberReturned": COUNT}

_STATIC: dict[str, Schema] = {
    **_SHAPES,
    "Geometry": {"oneOf": [ref(name) for name in _SHAPES]},
    "Link": _object(
        "href rel",
        {
            "href": TEXT,
            "rel": TEXT,
            "type": TEXT,
            "title": TEXT,
            "method": _word("GET", "POST"),
            "body": {"type": "object", "description": "What to send with the method POST: complete, nothing to merge."},
            "merge": {"type": "boolean"},
        },
        description="Every href is absolute and percent-encoded.",
    ),
    "Catalog": _object(
        "type stac_version id description links",
        {"type": _word("Catalog"), "stac_version": TEXT, "id": TEXT, "description": TEXT, "links": LINKS},
    ),
    "LandingPage": {"allOf": [ref("Catalog"), ref("Conformance")]},
    "Conformance": _object("conformsTo", {"conformsTo": array_of(TEXT, minItems=1)}),
    "Collection": _object(
        "type stac_version id links",
        {
            "type": _word("Collection"),
            "stac_version": TEXT,
            "stac_extensions": array_of(TEXT),
            "id": TEXT,
            "title": TEXT,
            "description": TEXT,
            "license": TEXT,
            "extent": {"type": "object"},
            "links": LINKS,
        },
        description="A STAC collection as its document says it, with the links of this server.",
    ),
    "Collections": _object(
        "collections links numberMatched numberReturned", {"collections": array_of(ref("Collection")), **_PAGE}
    ),
    "Item": _object(
        "type stac_version id geometry properties assets links",
        {
            "type": _word("Feature"),
            "stac_version": TEXT,
            "stac_extensions": array_of(TEXT),
            "id": TEXT,
            "collection": {**TEXT, "nullable": True},
            "geometry": {"type": "object", "nullable": True, "required": ["type"]},
            "bbox": {**BBOX, "nullable": True},
            "properties": {"type": "object"},
            "assets": {"type": "object", "additionalProperties": _object("href", {"href": TEXT})},
            "links": LINKS,
        },
        description="A STAC item as its document says it; asset hrefs relative to it are absolute here.",
    ),
    "ItemCollection": _object(
        "type features links numberMatched numberReturned",
        {"type": _word("FeatureCollection"), "features": array_of(ref("Item")), **_PAGE},
        description="`numberMatched` is the exact number of items that match, on every page.",
    ),
    "Queryables": _object(
        "$schema $id type properties",
        {
            "$schema": TEXT,
            "$id": TEXT,
            "type": _word("object"),
            "title": TEXT,
            "properties": {"type": "object", "additionalProperties": {"type": "object"}},
            "additionalProperties": {"type": "boolean"},
        },
        description="A JSON schema (draft 2019-09) of the names that `filter` knows.",
    ),
    "Problem": _object(
        "path pointer reason advice severity",
        {"path": TEXT, "pointer": TEXT, "reason": TEXT, "advice": TEXT, "severity": _word("error", "warning")},
        description="Something wrong in a document of the source: which file, where in it, why, and what to do.",
    ),
    "Problems": _object("problems links numberMatched numberReturned", {"problems": array_of(ref("Problem")), **_PAGE}),
    "OpenApi": _object(
        "openapi info paths", {"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}
    ),
    "Health": _object(
        "state version collections items problems",
        {
            "state": _word("ready", "building"),
            "version": TEXT,
            "collections": COUNT,
            "items": COUNT,
            "problems": COUNT,
        },
    ),
    "Error": _object(
        "code description",
        {"code": TEXT, "description": {"type": "string", "description": "What is wrong, with a right example."}},
    ),
}


def schemas(settings: Settings) -> dict[str, Schema]:
    """Return all schemas by name; only the body of a search depends on the settings."""
    return {**_STATIC, "SearchBody": _search_body(settings)}


def _search_body(settings: Settings) -> Schema:
    text, listed = _or_null(TEXT), _or_null(array_of(TEXT, maxItems=settings.filter_list_max))
    return {
        "type": "object",
        "description": "The same names and meanings as in GET. Null and an empty list mean: not given; "
        "a member of any other name must be null, unless the name begins with a dot.",
        "properties": {
            "bbox": _or_null(BBOX),
            "datetime": text,
            "ids": listed,
            "collections": listed,
            "intersects": ref("Geometry"),
            "limit": _or_null({"type": "integer", "minimum": 1, "default": settings.limit_default}),
            "token": text,
            "filter": {
                "description": "CQL2 JSON: an object or a boolean. CQL2 text together with `filter-lang`: cql2-text.",
                "anyOf": [_or_null({"type": "object"}), {"type": "boolean"}, TEXT],
            },
            "filter-lang": _or_null({**_word(*FILTER_LANGS, None), "default": "cql2-json"}),
            "filter-crs": _or_null(_word(*FILTER_CRS, None)),
        },
        "additionalProperties": _or_null(_word(None)),
        "example": {"collections": ["sentinel-2"], "bbox": [5, 45, 15, 48], "limit": 10},
    }


def _or_null(schema: Schema) -> Schema:
    return {**schema, "nullable": True}
