"""The elevation tiles of `alps/`: squares of one degree, all of an edition at one instant."""

from __future__ import annotations

from datetime import date

from making.documents import COG, PNG, Document, Node, extension, extent_of, make_item, pick, summaries_of
from making.land import paint_elevation
from making.places import bounds, box_ring, polygon
from making.scenes import DATA, HOST, Made, frame_of, instant, item_node, stamps, thumbnail, yearly_collection
from making.terrain import Frame

_FIRST_EDITION = [(45, 6), (45, 7), (45, 8), (45, 9), (46, 6), (46, 7), (46, 8), (46, 9), (46, 10), (46, 11)]
_SECOND_EDITION = [(46, 12), (47, 10), (47, 11), (47, 12)]

_EXTENSIONS = [extension("projection", "2.0.0"), extension("raster", "2.0.0"), extension("file", "2.1.0")]

_SURVEY = {
    "name": "Alpine Elevation Survey",
    "description": "A survey that exists in this sample only.",
    "roles": ["producer", "processor", "licensor"],
    "url": "https://elevation.example.com",
}


def elevation_collection() -> Node:
    """Return the collection with its tiles in two editions."""
    made = [_item(*square, date(2021, 4, 22), edition=1) for square in _FIRST_EDITION]
    made += [_item(*square, date(2024, 3, 15), edition=2) for square in _SECOND_EDITION]
    items = [node.document for node, _ in made]
    overview, *_ = paint_elevation(Frame(6.0, 45.0, 13.0, 48.0, 280, 170), box_ring(6.0, 45.0, 13.0, 48.0))
    extras: Document = {
        "stac_extensions": [extension("raster", "2.0.0")],
        "keywords": ["elevation", "DEM", "relief", "30 m"],
        "license": "CC-BY-4.0",
        "providers": [_SURVEY, HOST],
        "extent": extent_of(items),
        "summaries": summaries_of(items, ["gsd", "elevation:lowest", "elevation:highest", "elevation:edited"]),
        "item_assets": {"elevation": _band()},
        "assets": {"overview": {"href": "./overview.png", "type": PNG, "title": "All tiles", "roles": ["overview"]}},
        "links": [],
    }
    text = "Height above the sea in tiles of one degree. All tiles of an edition have the same datetime."
    node = yearly_collection("elevation-30", "Elevation tiles", text, made, extras)
    node.files["overview.png"] = overview
    return node


def _item(north: int, east: int, day: date, *, edition: int) -> Made:
    item_id = f"elevation_N{north:02}_E{east:03}"
    ring = box_ring(east, north, east + 1.0, north + 1.0)
    bbox = bounds(ring)
    png, lowest, highest = paint_elevation(frame_of(bbox), ring)
    properties = {
        "title": f"Elevation {north}° N, {east}° E",
        "description": f"Edition {edition}. Heights in metres above EGM2008.",
        "datetime": instant(day, 0, 0, 0),
        **stamps(day, 30),
        "gsd": 30,
        "proj:code": "EPSG:4326",
        "proj:shape": [3600, 3600],
        "proj:transform": [1 / 3600, 0.0, float(east), 0.0, -1 / 3600, north + 1.0],
        "elevation:lowest": lowest,
        "elevation:highest": highest,
        "elevation:edited": pick(item_id) > 0.6,
        "elevation:sources": ["radar", "lidar"] if edition == 2 else ["radar"],
        "elevation:edition": edition,
    }
    assets = {
        "thumbnail": thumbnail(png, "Thumbnail, shaded relief"),
        "elevation": {"href": f"{DATA}/elevation-30/{edition}/{item_id}.tif", **_band()},
        "water": {
            "href": f"{DATA}/elevation-30/{edition}/{item_id}_water.tif",
            "type": COG,
            "title": "Water mask",
            "roles": ["data-mask"],
        },
    }
    item = make_item(
        item_id,
        geometry=polygon(ring),
        bbox=bbox,
        properties=properties,
        assets=assets,
        collection="elevation-30",
        extensions=_EXTENSIONS,
    )
    return item_node(item, png, day)


def _band() -> Document:
    return {
        "type": COG,
        "title": "Elevation",
        "roles": ["data"],
        "data_type": "float32",
        "nodata": -32767,
        "unit": "m",
        "raster:sampling": "point",
    }
