"""The Landsat-like collection of `alps/`: scenes that lie askew, documented in STAC 1.0.0."""

from __future__ import annotations

from datetime import date, timedelta

from making.documents import COG, Document, Node, extension, extent_of, make_item, pick, summaries_of
from making.land import INFRARED, paint_scene
from making.places import bounds, polygon, rotated_rectangle
from making.scenes import (
    DATA,
    HOST,
    Made,
    frame_of,
    instant,
    item_node,
    stamps,
    sun_angles,
    thumbnail,
    yearly_collection,
)

_SCENES = [(196, 28), (195, 28), (194, 28), (193, 28), (195, 27), (194, 27), (193, 27), (192, 27)]

_EXTENSIONS = [
    extension("eo", "1.1.0"),
    extension("view", "1.0.0"),
    extension("projection", "1.1.0"),
    extension("landsat", "2.0.0"),
    extension("file", "2.1.0"),
]

# asset key, band, common name, centre and width in micrometres, metres per pixel
_BANDS = [
    ("green", "SR_B3", "green", 0.56, 0.06, 30),
    ("red", "SR_B4", "red", 0.65, 0.04, 30),
    ("nir08", "SR_B5", "nir08", 0.87, 0.03, 30),
    ("swir16", "SR_B6", "swir16", 1.61, 0.09, 30),
]
_USGS = {"name": "USGS", "roles": ["producer", "licensor"], "url": "https://www.usgs.gov"}


def landsat_collection() -> Node:
    """Return the collection with sixteen scenes of two years."""
    days = [date(2022, 2, 3) + timedelta(days=45 * step + step % 3) for step in range(16)]
    made = [_item(*_SCENES[step * 3 % len(_SCENES)], day, step) for step, day in enumerate(days)]
    items = [node.document for node, _ in made]
    bands = {key: _band(key) for key, *_ in _BANDS}
    extras: Document = {
        "stac_version": "1.0.0",
        "stac_extensions": [extension("item-assets", "1.0.0"), extension("eo", "1.1.0")],
        "keywords": ["landsat", "usgs", "nasa", "surface reflectance", "30 m"],
        "license": "CC0-1.0",
        "providers": [_USGS, HOST],
        "extent": extent_of(items),
        "summaries": summaries_of(
            items, ["platform", "instruments", "gsd", "eo:cloud_cover", "landsat:wrs_path", "landsat:wrs_row"]
        ),
        "item_assets": bands,
        "links": [{"rel": "about", "href": "https://www.usgs.gov/landsat-missions", "type": "text/html"}],
    }
    text = "Landsat 8 and 9 over the Alps, 30 m. The documents of this collection are STAC 1.0.0."
    return yearly_collection("landsat-c2-l2", "Landsat Collection 2 Level-2", text, made, extras)


def _item(path: int, row: int, day: date, step: int) -> Made:
    number = 8 + step % 2
    item_id = f"LC0{number}_L2SP_{path:03}{row:03}_{day:%Y%m%d}_02_T1"
    centre = (10.75 - (path - 193) * 1.545 + (28 - row) * 0.45, 46.03 + (28 - row) * 1.43)
    ring = rotated_rectangle(centre, 184_000, 178_000, 11.5)
    bbox = bounds(ring)
    scene = paint_scene(
        frame_of(bbox), ring, INFRARED, month=day.month, clouds=0.6 * pick(item_id, "clouds"), seed=day.toordinal()
    )
    properties = {
        "title": f"Landsat {number}, path {path}, row {row}, {day.isoformat()}",
        "datetime": instant(day, 9, 58 + step % 2, 7, 512_345),
        **stamps(day, 14),
        "platform": f"landsat-{number}",
        "instruments": ["oli", "tirs"],
        "gsd": 30,
        "eo:cloud_cover": scene.cloud_cover,
        **sun_angles(day, item_id),
        "view:off_nadir": 0,
        "proj:epsg": 32632 if centre[0] < 12 else 32633,
        "proj:shape": [7761, 7651],
        "landsat:scene_id": f"LC{number}{path:03}{row:03}{day:%Y%j}LGN00",
        "landsat:collection_category": "T1",
        "landsat:collection_number": "02",
        "landsat:wrs_type": "2",
        "landsat:wrs_path": f"{path:03}",
        "landsat:wrs_row": f"{row:03}",
        "landsat:cloud_cover_land": scene.cloud_cover,
        "landsat:correction": "L2SP",
    }
    folder = f"{DATA}/landsat-c2-l2/{day.year}/{path:03}/{row:03}/{item_id}/{item_id}"
    assets = {
        "thumbnail": thumbnail(scene.png, "Thumbnail in infrared colours"),
        **{key: {"href": f"{folder}_{band}.TIF", **_band(key)} for key, band, *_ in _BANDS},
        "lwir11": {
            "href": f"{folder}_ST_B10.TIF",
            "type": COG,
            "title": "Surface temperature",
            "roles": ["data", "temperature"],
        },
        "qa_pixel": {"href": f"{folder}_QA_PIXEL.TIF", "type": COG, "title": "Pixel quality", "roles": ["cloud"]},
        "mtl.json": {
            "href": f"{folder}_MTL.json",
            "type": "application/json",
            "title": "Product metadata",
            "roles": ["metadata"],
        },
    }
    item = make_item(
        item_id,
        geometry=polygon(ring),
        bbox=bbox,
        properties=properties,
        assets=assets,
        collection="landsat-c2-l2",
        extensions=_EXTENSIONS,
        version="1.0.0",
    )
    return item_node(item, scene.png, day)


def _band(key: str) -> Document:
    _, band, name, centre, width, gsd = next(entry for entry in _BANDS if entry[0] == key)
    described = {"name": band, "common_name": name, "center_wavelength": centre, "full_width_half_max": width}
    return {
        "type": COG,
        "title": f"{name}, {gsd} m",
        "roles": ["data", "reflectance"],
        "eo:bands": [described],
    }
