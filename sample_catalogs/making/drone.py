"""`drone/`: one collection at the root, flights over a town, one of them with a real GeoTIFF."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from making.documents import (
    COG,
    GEOTIFF,
    PNG,
    Document,
    Node,
    extension,
    extent_of,
    local_asset,
    make_item,
    pick,
    summaries_of,
)
from making.places import Point, bounds, box_ring, polygon, rotated_rectangle
from making.rasters import Place, geotiff_bytes
from making.terrain import Frame, cut_out, draw, hill_light, lattice_value, make_palette, noise

_PIXELS = 128
_GEOTIFF_PIXELS = 256
_TOWN = (9.377, 47.602)
_METRES_EAST, _METRES_NORTH = 75_000.0, 111_200.0  # of a degree, there
_BLOCK, _STREET, _LOT = 84.0, 9.0, 15.0  # metres

_WATER, _PATH, _ROOF = 1, 2, 3
_ROOFS = ((168, 84, 62), (146, 66, 54), (188, 116, 84), (120, 122, 128), (206, 202, 196))
_GROUND = make_palette(
    [(0.0, (62, 92, 46)), (0.4, (96, 128, 60)), (0.7, (148, 158, 84)), (1.0, (196, 180, 118))],
    20,
    extra=((52, 92, 110), (176, 172, 166), *_ROOFS),
)

_EXTENSIONS = [extension("view", "1.0.0"), extension("projection", "2.0.0"), extension("file", "2.1.0")]
_OFFICE: Document = {
    "name": "Survey office",
    "description": "An office that exists in this sample only.",
    "roles": ["producer", "licensor", "host"],
    "url": "https://survey.example.com",
}


def build_drone() -> Node:
    """Return the collection, which is the root."""
    flights = [_flight(number, date(2025, 7, 12) + timedelta(days=number)) for number in range(9)]
    items = [node.document for node in flights]
    document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": "drone-flights",
        "title": "Drone flights",
        "description": "Orthophotos of a town after a flood, 5 cm. **A sample**: the town is made up.",
        "keywords": ["drone", "orthophoto", "flood"],
        "license": "CC0-1.0",
        "providers": [_OFFICE],
        "extent": extent_of(items),
        "summaries": summaries_of(items, ["platform", "instruments", "gsd", "flight:height", "flight:pilot"]),
        "links": [],
    }
    return Node("collection.json", document, flights)


def _flight(number: int, day: date) -> Node:
    item_id = f"flight-{day.isoformat()}"
    ring = _footprint(number)
    west, south, east, north = bounds(ring)
    files = {"thumbnail.png": _paint_thumbnail(Frame(west, south, east, north, _PIXELS, _PIXELS), ring)}
    height = round(80 + 40 * pick(number, "height"), 1)
    properties = {
        "title": f"Flight {number + 1}",
        "datetime": f"{day.isoformat()}T0{5 + number % 3}:0{number % 6}:30Z",
        "created": f"{day.isoformat()}T19:00:00Z",
        "updated": f"{(day + timedelta(days=3)).isoformat()}T10:00:00Z",
        "platform": "quadcopter-2",
        "instruments": ["rgb-camera"],
        "gsd": 0.05,
        "view:off_nadir": 0,
        "proj:code": "EPSG:4326",
        "flight:height": height,
        "flight:pilot": ["Amina", "Beat", "Chiara"][number % 3],
        "flight:wind": round(7 * pick(number, "wind"), 1),
        "flight:after_flood": number < 4,
    }
    assets = {
        "thumbnail": local_asset(
            files["thumbnail.png"], "./thumbnail.png", title="Thumbnail", media_type=PNG, roles=["thumbnail"]
        ),
        "orthophoto": {
            "href": f"https://data.example.com/drone/{item_id}/orthophoto.tif",
            "title": "Orthophoto, 5 cm",
            "type": COG,
            "roles": ["data", "visual"],
        },
        "points": {
            "href": f"https://data.example.com/drone/{item_id}/points.copc.laz",
            "title": "Point cloud",
            "type": "application/vnd.laszip+copc",
            "roles": ["data"],
        },
    }
    if number == 0:
        files["overview.tif"] = _paint_geotiff(ring)
        assets["overview"] = _overview(files["overview.tif"], ring)
    item = make_item(
        item_id,
        geometry=polygon(ring),
        bbox=[west, south, east, north],
        properties=properties,
        assets=assets,
        collection="drone-flights",
        extensions=_EXTENSIONS,
    )
    return Node(f"{item_id}/{item_id}.json", item, [], files)


def _footprint(number: int) -> list[Point]:
    """Return where a flight went: a grid of three by three, each turned its own way but the first."""
    column, row = number % 3, number // 3
    if number == 0:
        return box_ring(9.364, 47.596, 9.3768, 47.6024)
    centre = (_TOWN[0] + 0.0105 * (column - 0.5), _TOWN[1] + 0.0055 * (row - 0.5))
    return rotated_rectangle(centre, 900, 560, 50 * pick(number, "turn") - 25)


def _overview(tiff: bytes, ring: Sequence[Point]) -> Document:
    place = _place_of(ring)
    asset = local_asset(tiff, "./overview.tif", title="Overview", media_type=GEOTIFF, roles=["overview", "visual"])
    return asset | {
        "gsd": 3.8,
        "data_type": "uint8",
        "proj:shape": [_GEOTIFF_PIXELS, _GEOTIFF_PIXELS],
        "proj:transform": [place.pixel_width, 0.0, place.west, 0.0, -place.pixel_height, place.north],
    }


def _place_of(ring: Sequence[Point]) -> Place:
    west, south, east, north = bounds(ring)
    width, height = (east - west) / _GEOTIFF_PIXELS, (north - south) / _GEOTIFF_PIXELS
    return Place(west, north, round(width, 10), round(height, 10))


def _paint_geotiff(ring: Sequence[Point]) -> bytes:
    west, south, east, north = bounds(ring)
    frame = Frame(west, south, east, north, _GEOTIFF_PIXELS, _GEOTIFF_PIXELS)
    colours = [bytes(colour) for colour in _GROUND.colours()]
    rows = [b"".join(colours[index] for index in row) for row in cut_out(frame, _paint_town(frame), [ring])]
    return geotiff_bytes(rows, _place_of(ring))


def _paint_thumbnail(frame: Frame, ring: Sequence[Point]) -> bytes:
    return draw(frame, _GROUND, _paint_town(frame), [ring])


def _paint_town(frame: Frame) -> list[list[int]]:
    meadow = noise(frame, 0.004, 77)
    light = hill_light(meadow, 5.0)
    return [
        [_ground_at(x, y, value, shade) for x, value, shade in zip(frame.xs(), values, shades, strict=True)]
        for y, values, shades in zip(frame.ys(), meadow, light, strict=True)
    ]


def _ground_at(longitude: float, latitude: float, meadow: float, light: float) -> int:
    """Return the colour of a place: a river, streets askew, a roof on most lots near the middle, meadows."""
    x, y = (longitude - _TOWN[0]) * _METRES_EAST, (latitude - _TOWN[1]) * _METRES_NORTH
    bend = (x % 1200 - 600) / 600
    if abs(y + 180 - 260 * bend * (1 - abs(bend))) < 26 + 30 * meadow:
        return _WATER
    along, across = 0.88 * x + 0.475 * y, 0.88 * y - 0.475 * x
    remoteness = (x * x + y * y) / 810_000
    if remoteness > 0.45 + meadow:
        return _GROUND.index(meadow * 1.5 - 0.25, light)
    if along % _BLOCK < _STREET or across % (2 * _BLOCK) < _STREET:
        return _PATH
    lot = int(along // _LOT), int(across // _LOT)
    inside = 2.5 < along % _LOT < 12.5 and 3.0 < across % _LOT < 12.0
    if inside and lattice_value(*lot, 5) > 0.3 + 0.5 * remoteness:
        return _ROOF + int(lattice_value(*lot, 6) * len(_ROOFS))
    return _GROUND.index(meadow * 0.9, light)
