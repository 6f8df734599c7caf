"""The route table: every address there is."""

from __future__ import annotations

from starlette.convertors import register_url_convertor
from starlette.routing import Route

from stacserve.api import assets, catalogs, collections, items, landing, problems, segments

register_url_convertor("segment", segments.SegmentConvertor())
register_url_convertor("segments", segments.SegmentsConvertor())


def routes() -> list[Route]:
    """Return the routes, in the order in which they are tried; where there is GET, there is HEAD."""
    collection, catalog = "/collections/{collection_id:segment}", "/catalogs/{address:segment}"
    return [
        Route("/", landing.get_landing_page),
        Route("/search", items.search_items, methods=["GET", "POST"]),
        Route("/collections", collections.get_collections),
        Route(collection, collections.get_collection),
        Route(f"{collection}/items", items.get_items),
        Route(f"{collection}/items/{{item_id:segment}}", items.get_item),
        Route(f"{collection}/queryables", collections.get_queryables),
        Route("/collections/{rest:segments}", segments.get_below_collections),
        Route(catalog, catalogs.get_catalog),
        Route(f"{catalog}/items", items.get_items),
        Route(f"{catalog}/items/{{item_id:segment}}", items.get_item),
        Route("/catalogs/{rest:segments}", segments.get_below_catalogs),
        Route("/assets/{path:segments}", assets.get_asset),
        Route("/queryables", collections.get_queryables),
        Route("/conformance", landing.get_conformance),
        Route("/api", landing.get_openapi),
        Route("/api.html", landing.get_openapi_page),
        Route("/problems", problems.get_problems),
        Route("/healthz", landing.get_health),
    ]
