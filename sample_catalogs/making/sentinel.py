"""The Sentinel-2-like collection of `alps/`: tiles of a UTM grid, some cut by the edge of a swath."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from making.documents import COG, Document, Node, extension, extent_of, make_item, pick, summaries_of
from making.land import NATURAL, paint_scene
from making.places import Point, bounds, box_ring, lonlat_from_utm, polygon, utm_tile
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

_TILE = 109_800  # metres along the side of a Sentinel-2 tile, 9 800 of them shared with its neighbours
_TILES = [(32, "LR"), (32, "LS"), (32, "MS"), (32, "NS"), (32, "PS"), (32, "PT"), (32, "QT"), (33, "UN"), (33, "UM")]

_EXTENSIONS = [
    extension("eo", "2.0.0"),
    extension("view", "1.0.0"),
    extension("projection", "2.0.0"),
    extension("grid", "1.1.0"),
    extension("sat", "1.1.0"),
    extension("raster", "2.0.0"),
    extension("file", "2.1.0"),
]

# asset key, band, common name, centre and width in micrometres, metres per pixel
_BANDS = [
    ("blue", "B02", "blue", 0.49, 0.098, 10),
    ("green", "B03", "green", 0.56, 0.045, 10),
    ("red", "B04", "red", 0.665, 0.038, 10),
    ("nir", "B08", "nir", 0.842, 0.145, 10),
    ("swir16", "B11", "swir16", 1.61, 0.143, 20),
]
_ESA = {"name": "ESA", "roles": ["producer", "licensor"], "url": "https://www.esa.int"}


def sentinel_collection() -> Node:
    days = [date(2023, 1, 9) + timedelta(days=24 * step) for step in range(30)]
    made = [_item(_TILES[step * 4 % len(_TILES)], day, step) for step, day in enumerate(days)]
    items = [node.document for node, _ in made]
    extras: Document = {
        "stac_extensions": [extension("eo", "2.0.0"), extension("raster", "2.0.0")],
        "keywords": ["sentinel", "copernicus", "optical", "surface reflectance", "10 m"],
        "license": "other",
        "providers": [_ESA, HOST],
        "extent": extent_of(items),
        "summaries": summaries_of(
            items, ["platform", "constellation", "instruments", "gsd", "eo:cloud_cover", "sat:orbit_state", "grid:code"]
        ),
        "item_assets": {key: _band(key) for key, *_ in _BANDS},
        "links": [
            {
                "rel": "license",
                "href": "https://sentinel.esa.int/documents/247904/690755/Sentinel_Data_Legal_Notice",
                "title": "Legal notice on the use of Copernicus Sentinel data",
            },
            {"rel": "about", "href": "../terms.txt", "type": "text/plain", "title": "What this sample is"},
        ],
    }
    text = "Surface reflectance over the Alps, 10 m."
    return yearly_collection("sentinel-2-l2a", "Sentinel-2 Level-2A", text, made, extras)


def _item(tile: tuple[int, str], day: date, step: int) -> Made:
    zone, square = tile
    code = f"{zone}T{square}"
    satellite = "AB"[step % 2]
    item_id = f"S2{satellite}_{code}_{day:%Y%m%d}_0_L2A"
    west, south = utm_tile(zone, square)
    box = [west, south - _TILE + 100_000, west + _TILE, south + 100_000]
    ring = [lonlat_from_utm(zone, *corner) for corner in _swath_edge(box, step)]
    bbox = bounds(ring)
    clouds = pick(item_id, "clouds")
    scene = paint_scene(
        frame_of(bbox), ring, NATURAL, month=day.month, clouds=clouds * clouds * clouds, seed=day.toordinal()
    )
    taken = instant(day, 10, 18 + step % 14, 31)
    properties = {
        "title": f"Sentinel-2{satellite}, tile {code}, {day.isoformat()}",
        "datetime": taken,
        **stamps(day, 9),
        "platform": f"sentinel-2{satellite.lower()}",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "gsd": 10,
        "eo:cloud_cover": scene.cloud_cover,
        "eo:snow_cover": scene.snow_cover,
        **sun_angles(day, item_id),
        "view:off_nadir": round(2 + 7 * pick(item_id, "nadir"), 2),
        "proj:code": f"EPSG:{32600 + zone}",
        "proj:bbox": box,
        "proj:centroid": _centroid(bbox),
        "grid:code": f"MGRS-{code}",
        "sat:orbit_state": "descending",
        "sat:relative_orbit": {"L": 108, "M": 108, "N": 65}.get(square[0], 22),
    }
    folder = f"{DATA}/sentinel-2-l2a/{zone}/T/{square}/{day.year}/{day.month}/{item_id}"
    assets = {"thumbnail": thumbnail(scene.png, "Thumbnail in natural colours"), **_remote_assets(folder, box)}
    item = make_item(
        item_id,
        geometry=polygon(ring),
        bbox=bbox,
        properties=properties,
        assets=assets,
        collection="sentinel-2-l2a",
        extensions=_EXTENSIONS,
    )
    return item_node(item, scene.png, day)


def _remote_assets(folder: str, box: Sequence[float]) -> dict[str, Document]:
    return {
        "visual": {
            "href": f"{folder}/TCI.tif",
            "type": COG,
            "title": "Natural colours",
            "roles": ["visual"],
            "bands": [{"name": name, "eo:common_name": name} for name in ("red", "green", "blue")],
            **_grid(box, 10),
        },
        **{key: {"href": f"{folder}/{band}.tif", **_band(key), **_grid(box, gsd)} for key, band, *_, gsd in _BANDS},
        "scl": {
            "href": f"{folder}/SCL.tif",
            "type": COG,
            "title": "Scene classification",
            "roles": ["data"],
            **_grid(box, 20),
        },
        "metadata": {
            "href": f"{folder}/granule_metadata.xml",
            "type": "application/xml",
            "title": "Metadata of the granule",
            "roles": ["metadata"],
        },
    }


def _swath_edge(box: Sequence[float], step: int) -> list[Point]:
    """Return the corners of what was seen of a tile: two in five lie on an edge of the satellite's swath."""
    west, south, east, north = box
    if step % 5 == 1:
        return [(west, south), (west + 0.45 * _TILE, south), (west + 0.68 * _TILE, north), (west, north)]
    if step % 5 == 3:
        return [(west + 0.22 * _TILE, south), (east, south), (east, north), (west + 0.45 * _TILE, north)]
    return box_ring(west, south, east, north)


def _band(key: str) -> Document:
    _, band, name, centre, width, gsd = next(entry for entry in _BANDS if entry[0] == key)
    described = {
        "name": band,
        "eo:common_name": name,
        "eo:center_wavelength": centre,
        "eo:full_width_half_max": width,
    }
    return {
        "type": COG,
        "title": f"{name}, {gsd} m",
        "roles": ["data", "reflectance"],
        "gsd": gsd,
        "data_type": "uint16",
        "nodata": 0,
        "raster:scale": 0.0001,
        "raster:offset": -0.1,
        "bands": [described],
    }


def _centroid(bbox: Sequence[float]) -> dict[str, float]:
    return {"lat": round((bbox[1] + bbox[3]) / 2, 5), "lon": round((bbox[0] + bbox[2]) / 2, 5)}


def _grid(box: Sequence[float], gsd: int) -> Document:
    """Return shape and transform of a raster that fills a box of a UTM zone."""
    side = _TILE // gsd
    return {"proj:shape": [side, side], "proj:transform": [gsd, 0, box[0], 0, -gsd, box[3]]}
