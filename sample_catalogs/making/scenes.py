"""What the collections of `alps/` share: catalogs by year, thumbnails, sun, dates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from making.documents import PNG, STAC_VERSION, Document, Node, local_asset, make_catalog, pick
from making.terrain import Frame

Made = tuple[Node, date]

DATA = "https://data.example.com"
HOST = {"name": "Alpine Sample Data", "roles": ["host"], "url": DATA}

_PIXELS = 96


def yearly_collection(collection_id: str, title: str, description: str, made: Iterable[Made], extras: Document) -> Node:
    """Return a collection over a catalog for each year."""
    years = []
    for year, group in groupby(made, key=lambda pair: pair[1].year):
        catalog = make_catalog(f"{collection_id}-{year}", str(year), f"{title}, {year}.")
        catalog["stac_version"] = extras.get("stac_version", catalog["stac_version"])
        nodes = [Node(f"{collection_id}/{year}/{node.path}", node.document, [], node.files) for node, _ in group]
        years.append(Node(f"{collection_id}/{year}/catalog.json", catalog, nodes))
    document = {
        "type": "Collection",
        "stac_version": extras.get("stac_version", STAC_VERSION),
        "stac_extensions": extras["stac_extensions"],
        "id": collection_id,
        "title": title,
        "description": description,
    }
    return Node(f"{collection_id}/collection.json", document | extras, years)


def item_node(item: Document, png: bytes, day: date) -> Made:
    """Return the item in a folder of its own, the thumbnail beside it."""
    path = f"{item['id']}/{item['id']}.json"
    return Node(path, item, [], {"thumbnail.png": png}), day


def thumbnail(png: bytes, title: str) -> Document:
    """Return the asset for the thumbnail beside an item."""
    return local_asset(png, "./thumbnail.png", title=title, media_type=PNG, roles=["thumbnail"])


def frame_of(bbox: Sequence[float]) -> Frame:
    """Return the frame of a thumbnail over a box."""
    west, south, east, north = bbox
    return Frame(west, south, east, north, _PIXELS, _PIXELS)


def sun_angles(day: date, item_id: str) -> dict[str, Any]:
    """Return roughly where the sun stands over the Alps at ten in the morning."""
    season = abs((day.timetuple().tm_yday - 172 + 183) % 365 - 183) / 183  # 0 at midsummer, 1 at midwinter
    height = 62 - 42 * season * season * (3 - 2 * season)
    return {
        "view:sun_azimuth": round(146 + 20 * season + pick(item_id, "sun"), 2),
        "view:sun_elevation": round(height + pick(item_id, "height"), 2),
    }


def stamps(day: date, days_later: int) -> dict[str, str]:
    """Return when the document was made, some days after the scene, and when it was changed."""
    created = day + timedelta(days=days_later)
    return {"created": instant(created, 3, 12, 45), "updated": instant(created + timedelta(days=210), 17, 0, 2)}


def instant(day: date, hour: int, minute: int, second: int, microsecond: int = 0) -> str:
    """Return a moment of a day in the spelling of RFC 3339."""
    moment = datetime(day.year, day.month, day.day, hour, minute, second, microsecond, tzinfo=UTC)
    return moment.isoformat().replace("+00:00", "Z")
