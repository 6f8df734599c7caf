"""`pacific/`: everything that is unusual about places and names, on both sides of the antimeridian."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from making.documents import (
    COG,
    PNG,
    Document,
    Files,
    Node,
    extension,
    extent_of,
    local_asset,
    make_catalog,
    make_item,
    pick,
    summaries_of,
)
from making.places import Point, bounds, box_ring, multi_polygon, polygon, rotated_rectangle
from making.terrain import Frame, draw, hill_light, make_palette, noise

_PIXELS = 128
_ISLAND = 1
_OCEAN = make_palette(
    [
        (0.0, (10, 28, 84)),
        (0.35, (18, 70, 130)),
        (0.55, (26, 128, 150)),
        (0.75, (92, 178, 140)),
        (1.0, (214, 220, 120)),
    ],
    30,
    extra=((92, 104, 60),),
)
_REEF = make_palette(
    [
        (0.0, (8, 60, 110)),
        (0.45, (34, 140, 170)),
        (0.62, (120, 200, 196)),
        (0.75, (216, 206, 160)),
        (1.0, (96, 120, 70)),
    ],
    30,
)

_FILE = extension("file", "2.1.0")
_EXTENSIONS = [extension("eo", "2.0.0"), extension("projection", "2.0.0"), _FILE]
_CENTRE: Document = {
    "name": "Pacific Colour Centre",
    "description": "A centre that exists in this sample only.",
    "roles": ["producer", "processor", "host"],
    "url": "https://ocean.example.com",
}


def build_pacific() -> Node:
    """Return the root: a collection across the antimeridian, and a catalog whose items belong to no collection."""
    root = make_catalog(
        "pacific",
        "Pacific",
        "Ocean colour and reef surveys on both sides of the antimeridian, with names in several scripts. **A sample**: "
        "everything in it is made up.",
    )
    return Node("catalog.json", root, [_colour_collection(), _survey_catalog()])


def _colour_collection() -> Node:
    west, east = (
        rotated_rectangle((177.2, -17.6), 280_000, 200_000, 12),
        rotated_rectangle((-175.4, -20.4), 240_000, 200_000, -9),
    )
    scenes = [
        _colour_item("fiji-west", "West of Fiji", ring=west, day="2025-03-04T22:14:05Z", geometry=polygon(west)),
        _colour_item("tonga", "Tonga", ring=east, day="2025-03-05T21:33:40.250Z", geometry=polygon(east)),
        _crossing_multi_polygon(),
        _crossing_polygon(),
        _colour_item(
            "wallis",
            "Wallis and Futuna",
            ring=box_ring(-178.6, -14.8, -175.9, -12.9),
            day="2025-06-19T22:01:11+00:00",
            geometry=polygon(box_ring(-178.6, -14.8, -175.9, -12.9)),
        ),
        _composite_item(),
    ]
    items = [node.document for node in scenes]
    document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [extension("eo", "2.0.0")],
        "id": "ocean-colour",
        "title": "Ocean colour",
        "description": "Chlorophyll near Fiji, Tonga and Samoa. Two scenes cross the antimeridian.",
        "keywords": ["ocean", "chlorophyll", "antimeridian"],
        "license": "CC-BY-4.0",
        "providers": [_CENTRE],
        "extent": extent_of(items, bbox=[175.58, -21.7, -172.0, -12.9]),
        "summaries": summaries_of(items, ["platform", "instruments", "gsd", "eo:cloud_cover", "ocean:chlorophyll"]),
        "links": [],
    }
    nodes = [Node(f"ocean-colour/{node.path}", node.document, [], node.files) for node in scenes]
    return Node("ocean-colour/collection.json", document, nodes)


def _crossing_multi_polygon() -> Node:
    """Return the item that crosses as RFC 7946, section 3.1.9, wants it: cut in two at the antimeridian."""
    halves = [
        [(178.1, -19.4), (180.0, -19.15), (180.0, -16.35), (178.4, -16.6)],
        [(-180.0, -19.15), (-178.4, -18.94), (-178.1, -16.1), (-180.0, -16.35)],
    ]
    ring = [(178.1, -19.4), (181.6, -18.94), (181.9, -16.1), (178.4, -16.6)]
    geometry = multi_polygon(halves)
    return _colour_item("date-line-cut", "Koro Sea", ring=ring, day="2025-03-06T21:58:02Z", geometry=geometry)


def _crossing_polygon() -> Node:
    """Return the item that crosses as many catalogs have it: one ring that jumps from +180 to -180."""
    ring = [(179.2, -16.3), (182.3, -15.9), (182.0, -13.4), (178.9, -13.8)]
    geometry = polygon((x - 360 if x > 180 else x, y) for x, y in ring)
    return _colour_item("date-line-uncut", "Rotuma", ring=ring, day="2025-04-11T22:20:47Z", geometry=geometry)


def _composite_item() -> Node:
    """Return the item of an interval: no datetime, a start and an end."""
    ring = box_ring(-175.0, -16.0, -172.0, -13.0)
    interval = {
        "datetime": None,
        "start_datetime": "2025-05-01T00:00:00Z",
        "end_datetime": "2025-05-31T23:59:59.999Z",
    }
    return _colour_item("samoa-2025-05", "Samoa, May 2025", ring=ring, day=interval, geometry=polygon(ring))


def _colour_item(
    item_id: str, title: str, *, ring: Sequence[Point], day: str | dict[str, str | None], geometry: Document
) -> Node:
    """Return a scene; `ring` goes on beyond 180 degrees where the scene crosses the antimeridian."""
    west, south, east, north = bounds(ring)
    png, chlorophyll = _paint_ocean(Frame(west, south, east, north, _PIXELS, _PIXELS), ring)
    times = day if isinstance(day, dict) else {"datetime": day}
    properties: Document = {
        "title": title,
        **times,
        "created": "2025-07-01T08:00:00Z",
        "updated": "2025-09-15T16:30:00Z",
        "platform": "sentinel-3b",
        "constellation": "sentinel-3",
        "instruments": ["olci"],
        "gsd": 300,
        "proj:code": "EPSG:4326",
        "eo:cloud_cover": round(20 * pick(item_id), 1),
        "ocean:chlorophyll": chlorophyll,
    }
    thumbnail = local_asset(png, "./thumbnail.png", title="Thumbnail", media_type=PNG, roles=["thumbnail"])
    assets = {
        "thumbnail": thumbnail,
        "chlorophyll": {
            "href": f"https://data.example.com/ocean-colour/{item_id}/chl.tif",
            "title": "Chlorophyll",
            "type": COG,
            "roles": ["data"],
            "data_type": "float32",
            "unit": "mg/m3",
        },
        "turbidity": {
            "href": f"https://data.example.com/ocean-colour/{item_id}/tur.tif",
            "title": "Turbidity",
            "type": COG,
            "roles": ["data"],
        },
    }
    item = make_item(
        item_id,
        geometry=geometry,
        bbox=[west, south, round(east - 360, 5) if east > 180 else east, north],
        properties=properties,
        assets=assets,
        collection="ocean-colour",
        extensions=_EXTENSIONS,
    )
    return Node(f"{item_id}/{item_id}.json", item, [], {"thumbnail.png": png})


def _paint_ocean(frame: Frame, ring: Sequence[Point]) -> tuple[bytes, float]:
    """Paint the sea with islands; return the picture and the mean chlorophyll in milligrams per cubic metre."""
    bloom, land = noise(frame, 1.3, 301), noise(frame, 0.8, 907)
    light = hill_light(bloom, 4.0)
    pixels = [
        [
            _ISLAND if ground > 0.74 else _OCEAN.index(1.6 * value - 0.35, shade)
            for value, shade, ground in zip(*rows, strict=True)
        ]
        for rows in zip(bloom, light, land, strict=True)
    ]
    mean = sum(map(sum, bloom)) / (frame.width * frame.height)
    return draw(frame, _OCEAN, pixels, [ring]), round(2.4 * mean * mean, 4)


def _survey_catalog() -> Node:
    """Return the catalog whose items belong to no collection; their ids hold what ids may hold."""
    catalog = make_catalog(
        "reef surveys", "Reef surveys", "Dives and drone flights. Its items belong to no collection."
    )
    surveys = [
        _survey_item("Funafuti north", "funafuti-north", (179.13, -8.44), depth=12.5),
        _survey_item("Nadi/2025/07", "nadi", (177.36, -17.73), depth=8.0),
        _survey_item("100% coral", "coral", (-171.78, -13.92), depth=4.25),
        _survey_item("Südsee-Übersicht", "suedsee", (-175.15, -21.06), depth=31.0),
        _survey_item("🐢 turtles", "turtles", (-169.9, -19.05), depth=2.0),
        _report_item(),
    ]
    nodes = [Node(f"reef-surveys/{node.path}", node.document, [], node.files) for node in surveys]
    return Node("reef-surveys/catalog.json", catalog, nodes)


def _survey_item(item_id: str, slug: str, place: Point, *, depth: float) -> Node:
    ring = rotated_rectangle(place, 2_400, 1_800, 360 * pick(slug, "turn"))
    bbox = bounds(ring)
    west, south, east, north = bbox
    frame = Frame(west, south, east, north, _PIXELS, _PIXELS)
    ground = noise(frame, 0.012, 55)
    light = hill_light(ground, 5.0)
    pixels = [
        [_REEF.index(1.8 * v - 0.4, shade) for v, shade in zip(*rows, strict=True)]
        for rows in zip(ground, light, strict=True)
    ]
    png = draw(frame, _REEF, pixels, [ring])
    table = _transect(slug, depth)
    day = 1 + int(27 * pick(slug, "day"))
    properties = {
        "title": item_id,
        "datetime": f"2025-07-{day:02}T02:30:00Z",
        "created": "2025-08-02T08:00:00Z",
        "platform": "diver",
        "reef:depth": depth,
        "reef:bleached": depth < 5,
    }
    preview = "preview picture.png"
    assets = {
        "preview": local_asset(png, f"./{quote(preview)}", title="Preview", media_type=PNG, roles=["thumbnail"]),
        "transect": local_asset(table, "./transect.csv", title="Transect", media_type="text/csv", roles=["data"]),
    }
    item = make_item(
        item_id, geometry=polygon(ring), bbox=bbox, properties=properties, assets=assets, extensions=[_FILE]
    )
    return Node(f"{slug}/{slug}.json", item, [], {preview: png, "transect.csv": table})


def _report_item() -> Node:
    """Return the item that is nowhere: a report has a date and no place."""
    text = b"# Season 2025\n\nFive sites were surveyed. The water was warm, the turtles were many.\n"
    properties: dict[str, Any] = {
        "title": "Report of the season",
        "datetime": "2025-12-01T00:00:00Z",
        "created": "2025-12-01T09:00:00Z",
        "reef:depth": None,
    }
    report = local_asset(text, "./report.md", title="Report", media_type="text/markdown", roles=["overview"])
    item = make_item(
        "season report",
        geometry=None,
        bbox=None,
        properties=properties,
        assets={"report": report},
        extensions=[_FILE],
    )
    files: Files = {"report.md": text}
    return Node("report/report.json", item, [], files)


def _transect(slug: str, depth: float) -> bytes:
    rows: Iterable[str] = (f"{metre},{depth * (0.8 + 0.4 * pick(slug, metre)):.2f}" for metre in range(0, 50, 5))
    return "\n".join(["metre,depth", *rows, ""]).encode()
