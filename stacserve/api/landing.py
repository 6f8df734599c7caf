"""The landing page, what the server conforms to, how it describes itself, and how it is."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from stacserve.api.documents import complete_document
from stacserve.api.finished import Finished, answer_finished
from stacserve.api.links import fill_in_base, landing_links
from stacserve.api.messages import read_known, settings_of, store_within
from stacserve.api.openapi import openapi_document
from stacserve.pages import api_page
from stacserve.settings import Settings
from stacserve.stac import HTML, JSON, OPENAPI_JSON
from stacserve.store.interface import Capability, Status, Store

SECONDS_OF_HEALTH = 0.2

_STAC = "https://api.stacspec.org/v1.0.0/"
_OGC = "http://www.opengis.net/spec/ogcapi-features-"
_CQL2 = "http://www.opengis.net/spec/cql2/1.0/conf/"

# The conformance classes that every store gives, and those that a capability adds.
CONFORMANCE: dict[Capability | None, tuple[str, ...]] = {
    None: (
        f"{_STAC}core",
        f"{_STAC}collections",
        f"{_STAC}ogcapi-features",
        f"{_STAC}item-search",
        f"{_OGC}1/1.0/conf/core",
        f"{_OGC}1/1.0/conf/geojson",
        f"{_OGC}1/1.0/conf/oas30",
    ),
    Capability.FILTER: (
        f"{_STAC}item-search#filter",
        f"{_OGC}3/1.0/conf/filter",
        f"{_OGC}3/1.0/conf/features-filter",
        f"{_CQL2}cql2-text",
        f"{_CQL2}cql2-json",
        f"{_CQL2}basic-cql2",
        f"{_CQL2}advanced-comparison-operators",
        f"{_CQL2}basic-spatial-functions",
        f"{_CQL2}basic-spatial-functions-plus",
    ),
}


def conformance_classes(store: Store) -> list[str]:
    """Return the classes that this store's server conforms to."""
    return [uri for need, uris in CONFORMANCE.items() if need is None or need in store.capabilities for uri in uris]


async def get_landing_page(request: Request) -> Response:
    """GET /: the root of the catalog, and where everything else is (STAC API Core)."""
    read_known(request)
    return await answer_finished(request, _landing_page)


async def get_conformance(request: Request) -> Response:
    """GET /conformance: the list that the landing page holds too (OGC API Common)."""
    read_known(request)
    return await answer_finished(request, _conformance)


async def get_openapi(request: Request) -> Response:
    """GET /api: the OpenAPI document, whatever is asked for by Accept."""
    read_known(request)
    return await answer_finished(request, _openapi, settings_of(request))


async def get_openapi_page(request: Request) -> Response:
    """GET /api.html: the OpenAPI document to read."""
    read_known(request)
    return await answer_finished(request, _openapi_page, settings_of(request))


async def get_health(request: Request) -> Response:
    """GET /healthz: state and counts; it hardly waits for an index that is being built."""
    read_known(request)
    store = await store_within(request, SECONDS_OF_HEALTH)
    status = Status("building", "", 0, 0, 0) if store is None else await store.get_status()
    return Response(orjson.dumps(status._asdict()), media_type=JSON)


async def _landing_page(store: Store, base: str) -> Finished:
    root = await store.get_root()
    conformance = b',"conformsTo":' + orjson.dumps(conformance_classes(store))
    body = complete_document(root.document, landing_links(root, store.capabilities), conformance)
    return Finished(fill_in_base(body, base), link_header=f'<{base}/api>; rel="service-desc"; type="{OPENAPI_JSON}"')


async def _conformance(store: Store, base: str) -> Finished:
    return Finished(orjson.dumps({"conformsTo": conformance_classes(store)}))


async def _openapi(store: Store, base: str, settings: Settings) -> Finished:
    return Finished(orjson.dumps(openapi_document(settings, base)), OPENAPI_JSON)


async def _openapi_page(store: Store, base: str, settings: Settings) -> Finished:
    page = api_page(openapi_document(settings, base), conformance_classes(store))
    return Finished(page.encode(), HTML)
