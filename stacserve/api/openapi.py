"""The OpenAPI 3.0 document at `/api`: exactly what this server answers, with its limits.

(OGC API Features part 1, requirements class "OpenAPI 3.0"; the error body is that of STAC API, "commons".)
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stacserve import __version__
from stacserve.api.openapi_schemas import BBOX, FILTER_CRS, FILTER_LANGS, Schema, array_of, ref, schemas
from stacserve.settings import Settings
from stacserve.stac import GEOJSON, HTML, JSON, OPENAPI_JSON, SCHEMA_JSON

_DESCRIPTION = """A static STAC catalog as a STAC API.

Every address that answers GET answers HEAD and OPTIONS too. A query parameter that is not described here is refused \
with 400, except {exceptions}. Every error is JSON with `code` and `description`.

A request body may have {body}, a filter {filter_length:,} characters and {filter_depth:,} levels, a list \
{filter_list:,} values, a geometry {points:,} points. A query that runs longer than {timeout:g} seconds is answered \
with 503."""

_TAGS = {
    "Core": "What this server is and can do",
    "Collections": "The collections and what is known of them",
    "Items": "The items of one collection (OGC API Features)",
    "Item Search": "The items of all collections (STAC API Item Search)",
    "Catalogs": "Catalogs as the source has them, with items that belong to no collection",
    "Files": "Files that documents name as assets",
    "Server": "The state of the server and of its source",
}

_ERRORS = {
    400: "A parameter or the body says something that cannot be.",
    404: "What the address names does not exist.",
    405: "The address exists, but not for this method.",
    413: "The request body is too long.",
    415: "The request body is not `application/json`.",
    503: "The query ran too long, or the index is being built.",
}


class _Get(NamedTuple):
    """A GET operation; `answer` names a schema, and is None for what is not JSON."""

    path: str
    operation_id: str
    tag: str
    summary: str
    answer: str | None
    media_type: str = JSON
    parameters: tuple[str, ...] = ()


_PAGE = ("limit", "token")
_SEARCH = ("bbox", "datetime", "ids", "collections", "intersects", "filter", "filter-lang", "filter-crs", *_PAGE)
_COLLECTION = "/collections/{collection_id}"
_CATALOG = "/catalogs/{address}"

_OPERATIONS = (
    _Get("/", "getLandingPage", "Core", "Landing page", "LandingPage"),
    _Get("/conformance", "getConformance", "Core", "Conformance classes", "Conformance"),
    _Get("/api", "getApi", "Core", "This description as OpenAPI", "OpenApi", OPENAPI_JSON),
    _Get("/api.html", "getApiPage", "Core", "This description to read", None, HTML),
    _Get("/collections", "getCollections", "Collections", "All collections", "Collections", JSON, _PAGE),
    _Get(_COLLECTION, "getCollection", "Collections", "One collection", "Collection"),
    _Get(
        f"{_COLLECTION}/queryables",
        "getCollectionQueryables",
        "Collections",
        "What the items of a collection can be filtered by",
        "Queryables",
        SCHEMA_JSON,
    ),
    _Get(f"{_COLLECTION}/items", "getItems", "Items", "Items of a collection", "ItemCollection", GEOJSON, _SEARCH),
    _Get(f"{_COLLECTION}/items/{{item_id}}", "getItem", "Items", "One item", "Item", GEOJSON),
    _Get("/search", "getSearch", "Item Search", "Search items", "ItemCollection", GEOJSON, _SEARCH),
    _Get("/queryables", "getQueryables", "Item Search", "What items can be filtered by", "Queryables", SCHEMA_JSON),
    _Get(_CATALOG, "getCatalog", "Catalogs", "One catalog", "Catalog"),
    _Get(f"{_CATALOG}/items", "getCatalogItems", "Catalogs", "Items of a catalog", "ItemCollection", GEOJSON, _SEARCH),
    _Get(f"{_CATALOG}/items/{{item_id}}", "getCatalogItem", "Catalogs", "One item of a catalog", "Item", GEOJSON),
    _Get("/assets/{path}", "getAsset", "Files", "A file that a document names as an asset", None, "*/*"),
    _Get("/problems", "getProblems", "Server", "What is wrong in documents of the source", "Problems", JSON, _PAGE),
    _Get("/healthz", "getHealth", "Server", "Whether the server answers, and what it holds", "Health"),
)


def openapi_document(settings: Settings, base_url: str) -> dict[str, Any]:
    """Return the OpenAPI document of a server whose links begin with `base_url`."""
    paths: dict[str, Any] = {operation.path: {"get": _get_operation(operation, settings)} for operation in _OPERATIONS}
    paths["/search"]["post"] = _post_search(settings)
    return {
        "openapi": "3.0.3",
        "info": {"title": "stacserve", "version": __version__, "description": _describe_limits(settings)},
        "servers": [{"url": base_url}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {
            "parameters": _parameters(settings),
            "responses": {f"Error{status}": _answer(text, ref("Error"), JSON) for status, text in _ERRORS.items()},
            "schemas": schemas(settings),
        },
    }


def _get_operation(operation: _Get, settings: Settings) -> dict[str, Any]:
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    names = [*in_path, *(_parameter_key(operation, name) for name in operation.parameters)]
    schema = ref(operation.answer) if operation.answer else {"type": "string", "format": "binary"}
    statuses = [400, 404, 405, 503] if in_path else [400, 405, 503]
    return {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        **_describe_page(operation.answer, settings),
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in names],
        "responses": _responses(_answer(operation.summary, schema, operation.media_type), statuses),
    }


def _parameter_key(operation: _Get, name: str) -> str:
    """Return the key of a parameter among the components; the limit of collections differs from that of items."""
    return "limit-collections" if (operation.path, name) == ("/collections", "limit") else name


def _post_search(settings: Settings) -> dict[str, Any]:
    answer = _answer("Search items", ref("ItemCollection"), GEOJSON)
    return {
        "operationId": "postSearch",
        "tags": ["Item Search"],
        "summary": "Search items, with the parameters in a body",
        **_describe_page("ItemCollection", settings),
        "requestBody": {"required": True, "content": {JSON: {"schema": ref("SearchBody")}}},
        "responses": _responses(answer, [400, 405, 413, 415, 503]),
    }


def _responses(answer: dict[str, Any], statuses: list[int]) -> dict[str, Any]:
    return {"200": answer} | {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in statuses}


def _answer(description: str, schema: Schema, media_type: str) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _describe_limits(settings: Settings) -> str:
    names = ["names that begin with a dot", *(f"`{name}`" for name in settings.extra_parameters)]
    return _DESCRIPTION.format(
        exceptions=" and ".join(names),
        body=_bytes_text(settings.body_bytes_max),
        filter_length=settings.filter_length_max,
        filter_depth=settings.filter_depth_max,
        filter_list=settings.filter_list_max,
        points=settings.geometry_points_max,
        timeout=settings.query_timeout,
    )


def _describe_page(answer: str | None, settings: Settings) -> dict[str, str]:
    if answer not in ("ItemCollection", "Collections"):
        return {}
    order = "Newest first, then by collection and id" if answer == "ItemCollection" else "Ordered by id"
    size = _bytes_text(settings.page_bytes_max)
    return {"description": f"{order}. A page ends early at {size}. As long as there is more, there is a link `next`."}


def _bytes_text(count: int) -> str:
    return f"{count / 1_000_000:g} MB" if count >= 1_000_000 else f"{count:,} bytes"


def _parameters(settings: Settings) -> dict[str, Any]:
    return {
        **{name: _path_parameter(name, *texts) for name, texts in _PATH_PARAMETERS.items()},
        "limit": _limit_parameter(settings.limit_default, settings.limit_max),
        "limit-collections": _limit_parameter(settings.collections_limit_default, settings.limit_max),
        **{name: {"name": name, "in": "query", **parts} for name, parts in _QUERY_PARAMETERS.items()},
        "filter": _filter_parameter(settings),
    }


def _limit_parameter(default: int, maximum: int) -> dict[str, Any]:
    return {
        "name": "limit",
        "in": "query",
        "description": f"Most entries on a page. A number above {maximum} is no error: it is lowered to {maximum}.",
        "schema": {"type": "integer", "minimum": 1, "default": default},
        "example": 10,
    }


def _filter_parameter(settings: Settings) -> dict[str, Any]:
    unknown = "refused with 400" if settings.unknown_properties == "error" else "null"
    return {
        "name": "filter",
        "in": "query",
        "description": f"A condition in CQL2 on the properties that the queryables list; any other is {unknown}.",
        "schema": _TEXT,
        "example": "\"eo:cloud_cover\" < 10 AND platform = 'sentinel-2a'",
    }


def _path_parameter(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "minLength": 1}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }


_PATH_PARAMETERS = {
    "collection_id": ("Id of a collection.", "sentinel-2"),
    "item_id": ("Id of an item.", "S2A_32TMS_20240601"),
    "address": ("The ids from below the root down to the catalog, joined by colons.", "europe:2024"),
    "path": ("Path of a file below the root of the catalog.", "europe/2024/thumbnail.png"),
}

_LIST: dict[str, Any] = {"style": "form", "explode": False}
_TEXT: Schema = {"type": "string"}
_QUERY_PARAMETERS: dict[str, dict[str, Any]] = {
    "bbox": {
        **_LIST,
        "description": "west,south,east,north in degrees; with six numbers, the third and the sixth are elevations "
        "and ignored. West greater than east crosses the antimeridian. Compared with the geometry itself.",
        "schema": BBOX,
        "example": [5, 45, 15, 48],
    },
    "datetime": {
        "description": "An RFC 3339 instant, or a closed interval of two by a slash, one of which may be `..`.",
        "schema": _TEXT,
        "example": "2024-06-01T00:00:00Z/..",
    },
    "ids": {
        **_LIST,
        "description": "Ids of items, by comma.",
        "schema": array_of(_TEXT),
        "example": ["S2A_32TMS_20240601"],
    },
    "collections": {
        **_LIST,
        "description": "Ids of collections, by comma.",
        "schema": array_of(_TEXT),
        "example": ["sentinel-2"],
    },
    "intersects": {
        "description": "A GeoJSON geometry of any type. Not together with bbox.",
        "content": {JSON: {"schema": ref("Geometry"), "example": {"type": "Point", "coordinates": [7.6, 45.9]}}},
    },
    "filter-lang": {
        "description": "The language of the filter.",
        "schema": {"type": "string", "enum": FILTER_LANGS, "default": FILTER_LANGS[0]},
        "example": FILTER_LANGS[0],
    },
    "filter-crs": {
        "description": "The coordinate reference system of the filter: longitude and latitude, always.",
        "schema": {"type": "string", "enum": FILTER_CRS, "default": FILTER_CRS[0]},
        "example": FILTER_CRS[0],
    },
    "token": {"description": "A place in the pages, as links `next` and `prev` give it.", "schema": _TEXT},
}
