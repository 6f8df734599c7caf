"""Writes a catalog for measuring: `python tests/benchmarks/generate.py DIR --items 100000 --distribution uniform`.

Collections of very unequal size, below each a catalog for every month (several where a month has many items),
below those the items, each a file of about 9 KB with 15 assets and 40 properties. The same arguments give the
same bytes, whatever the number of processes. `benchmark.json` beside the root says what was made.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

DISTRIBUTIONS = ("uniform", "clustered", "instant")
MANIFEST = "benchmark.json"
LINKS_MAX = 2_000  # items below one catalog
SMALL_COLLECTION = 100
RARE_EVERY = 10_000
CLUSTER = (5.0, 42.0, 15.0, 52.0)
FIRST_YEAR, YEARS = 2018, 8
SAMPLES = 2_000

Point = tuple[float, float]

_EVERYWHERE = (-180.0, -75.0, 180.0, 75.0)
_DAY = 86_400
_INTERVALS, _NULL_GEOMETRIES = 0.01, 0.001
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
_EXTENSIONS = (
    "eo/v2.0.0",
    "projection/v2.0.0",
    "view/v1.0.0",
    "sat/v1.1.0",
    "grid/v1.1.0",
    "raster/v2.0.0",
    "file/v2.1.0",
)
_WORDS = ("agriculture", "coast", "forest", "glacier", "night", "ocean", "snow", "urban", "volcano", "wetland")
_FACILITIES = ("CGS1", "CGS2", "EPAE", "MTI_", "SGS_", "VGS4")
_STATUSES = ("nominal",) * 90 + ("degraded",) * 7 + ("preliminary",) * 3
_RARE_STATUS = "recalled"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides about every byte of the catalog."""

    items: int
    distribution: str = "uniform"
    collections: int = 5
    seed: int = 1


class Part(NamedTuple):
    """One catalog of items: those of a month, or some of them. `clustered` of them lie in the cluster."""

    collection: str
    name: str
    start: int
    end: int
    first: int
    items: int
    clustered: int


class Sample(NamedTuple):
    """Where and when some item is; conditions of searches are made from these."""

    collection: str
    id: str
    time: float
    longitude: float
    latitude: float


def main() -> None:
    """Read the command line and write the catalog."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--distribution", choices=DISTRIBUTIONS, default="uniform")
    parser.add_argument("--collections", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    given = vars(parser.parse_args())
    folder, processes = given.pop("folder"), given.pop("processes")
    started = time.perf_counter()
    write_catalog(folder, Recipe(**given), processes=processes)
    seconds = time.perf_counter() - started
    print(f"{given['items']} items in {seconds:.1f} s, {given['items'] / seconds:.0f} items/s: {folder}")


def write_catalog(folder: Path, recipe: Recipe, *, processes: int = 1) -> None:
    """Write the catalog; `benchmark.json` comes last, so that it tells a complete one."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = collection_sizes(recipe)
    parts = list(plan_parts(recipe))
    for collection in sizes:
        names = [part.name for part in parts if part.collection == collection]
        _write_json(folder / collection / "collection.json", _collection_document(collection, names))
    _write_json(folder / "catalog.json", _root_document(recipe, list(sizes)))
    jobs = [(str(folder), recipe, part) for part in parts]
    if processes > 1:
        with multiprocessing.Pool(processes) as pool:
            samples = pool.starmap(write_part, jobs, chunksize=1)
    else:
        samples = [write_part(*job) for job in jobs]
    times = {"start": min(part.start for part in parts), "end": max(part.end for part in parts)}
    manifest = {**asdict(recipe), "sizes": sizes, **times, "samples": [s for found in samples for s in found]}
    (folder / MANIFEST).write_text(json.dumps(manifest))


def collection_sizes(recipe: Recipe) -> dict[str, int]:
    """Return how many items each collection has: the last a hundred, each other a third of the one before."""
    names = [f"collection-{number + 1}" for number in range(recipe.collections)]
    sizes: dict[str, int] = {}
    if len(names) > 1:
        sizes[names.pop()] = min(SMALL_COLLECTION, recipe.items // 10)
    left = recipe.items - sum(sizes.values())
    weights = [0.35**number for number in range(len(names))]
    for name, weight in zip(reversed(names), reversed(weights), strict=True):
        sizes[name] = int(left * weight / sum(weights)) if name != names[0] else recipe.items - sum(sizes.values())
    return dict(sorted(sizes.items()))


def plan_parts(recipe: Recipe) -> Iterator[Part]:
    """Yield every catalog of items, no one of them with too many."""
    months = [_month(FIRST_YEAR + number // 12, number % 12 + 1) for number in range(12 * YEARS)]
    if recipe.distribution == "instant":
        months = [months[-1]]
    first = 0
    for collection, size in collection_sizes(recipe).items():
        clustered = size * 9 // 10 if recipe.distribution == "clustered" else 0
        for number, (name, start, end) in enumerate(months):
            scattered = _share(size - clustered, len(months), number)
            close = clustered if number == len(months) - 1 else 0
            parts = max(1, math.ceil((scattered + close) / LINKS_MAX))
            for part in range(parts):
                near = _share(close, parts, part)
                count = near + _share(scattered, parts, part)
                if count:
                    part_name = name if parts == 1 else f"{name}.{part + 1:03}"
                    yield Part(collection, part_name, start, end, first, count, near)
                first += count


def write_part(folder: str, recipe: Recipe, part: Part) -> list[Sample]:
    """Write a catalog and its items; return the samples among them."""
    random = Random(f"{recipe.seed} {recipe.distribution} {part.collection} {part.name}")
    target = os.path.join(folder, part.collection, part.name)
    os.makedirs(target, exist_ok=True)
    every = recipe.items // SAMPLES + 1
    names, samples = [], []
    for number in range(part.items):
        index = part.first + number
        at = random_footprint(random, CLUSTER if number < part.clustered else _EVERYWHERE)
        moment = part.end - 1 if recipe.distribution == "instant" else random.uniform(part.start, part.end)
        item_id, data = item_bytes(random, part, index, at, moment)
        _write_bytes(os.path.join(target, f"{item_id}.json"), data)
        names.append(item_id)
        if index % every == 0:
            samples.append(Sample(part.collection, item_id, moment, at.longitude, at.latitude))
    _write_json(Path(target, "catalog.json"), _part_document(part, names))
    return samples


class Footprint(NamedTuple):
    """A square about a degree wide, turned by up to twenty degrees; may go on beyond 180 degrees."""

    longitude: float
    latitude: float
    ring: list[Point]


def random_footprint(random: Random, box: Sequence[float]) -> Footprint:
    """Return a footprint whose middle lies in a box."""
    west, south, east, north = box
    longitude, latitude = random.uniform(west, east), random.uniform(south, north)
    angle, half = random.uniform(-0.35, 0.35), random.uniform(0.45, 0.55)
    sine, cosine = half * math.sin(angle), half * math.cos(angle)
    offsets = ((-cosine + sine, -sine - cosine), (cosine + sine, sine - cosine))
    near = [(longitude + x, latitude + y) for x, y in offsets]
    far = [(longitude - x, latitude - y) for x, y in offsets]
    return Footprint(longitude, latitude, near + far)


def geometry_and_bbox(ring: list[Point]) -> tuple[str, str]:
    """Return both as JSON; cut in two at the antimeridian (RFC 7946, section 3.1.9)."""
    xs, ys = [x for x, _ in ring], [y for _, y in ring]
    west, east = min(xs), max(xs)
    geometry = f'{{"type":"Polygon","coordinates":[{_ring(ring)}]}}'
    if west < -180 or east > 180:
        edge = 180.0 if east > 180 else -180.0
        western = _ring(_clip(ring, edge, 1), 0.0 if edge > 0 else 360.0)
        eastern = _ring(_clip(ring, edge, -1), -360.0 if edge > 0 else 0.0)
        geometry = f'{{"type":"MultiPolygon","coordinates":[[{western}],[{eastern}]]}}'
        west, east = (west, east - 360) if edge > 0 else (west + 360, east)
    return geometry, f"[{west:.5f},{min(ys):.5f},{east:.5f},{max(ys):.5f}]"


def item_bytes(random: Random, part: Part, index: int, at: Footprint, moment: float) -> tuple[str, bytes]:
    """Return id and document of an item."""
    zone = int((at.longitude + 180) // 6) % 60 + 1
    band = _LATITUDE_BANDS[int(at.latitude + 80) // 8]
    square = f"{zone:02}{band}{random.choice(_LETTERS)}{random.choice(_LETTERS)}"
    taken = datetime.fromtimestamp(moment, UTC)
    item_id = f"S2{'ABC'[index % 3]}_{square}_{taken:%Y%m%dT%H%M%S}_{index:07d}"
    is_interval = random.random() < _INTERVALS
    geometry, bbox = geometry_and_bbox(at.ring)
    place = "null" if random.random() < _NULL_GEOMETRIES else f'{geometry},"bbox":{bbox}'
    text = "".join(
        (
            _HEAD % (item_id, place),
            _times(random, taken, moment, is_interval),
            _properties(random, part, index, item_id, square, moment),
            _LINKS % (part.collection, index),
            _ASSETS.replace("\0", item_id).replace("\1", str(int(at.longitude * 1000) * 10)),
            _TAIL % part.collection,
        )
    )
    return item_id, text.encode()


def _times(random: Random, taken: datetime, moment: float, is_interval: bool) -> str:
    if not is_interval:
        return f'"datetime":"{_zulu(taken)}",'
    length = 3600 * 1440 ** random.random()  # an hour to sixty days
    end = datetime.fromtimestamp(moment + length, UTC)
    return f'"datetime":null,"start_datetime":"{_zulu(taken)}","end_datetime":"{_zulu(end)}",'


def _properties(random: Random, part: Part, index: int, item_id: str, square: str, moment: float) -> str:
    """Return the other 39 properties."""
    created = datetime.fromtimestamp(moment + random.uniform(3_600, 10 * _DAY), UTC)
    updated = datetime.fromtimestamp(moment + random.uniform(20 * _DAY, 200 * _DAY), UTC)
    status = _RARE_STATUS if index % RARE_EVERY == 0 else random.choice(_STATUSES)
    numbers = random.random
    vegetation = 100 * numbers()
    orbit = random.randrange(143) + 1
    return _PROPERTIES % (
        item_id,
        _zulu(created),
        _zulu(updated),
        "abc"[index % 3],
        100 * numbers() ** 2,
        100 * numbers() ** 6,
        12 * numbers(),
        360 * numbers(),
        11 * numbers(),
        90 + 180 * numbers(),
        90 * numbers(),
        32600 + int(square[:2]),
        square,
        "descending" if numbers() < 0.6 else "ascending",
        orbit,
        random.randrange(10_000, 60_000),
        random.choice(_FACILITIES),
        random.randrange(12),
        item_id,
        int(moment) // 600,
        orbit,
        item_id,
        _zulu(created),
        100 * numbers() ** 3,
        vegetation,
        (100 - vegetation) * numbers(),
        0.97 + 0.06 * numbers(),
        "true" if numbers() < 0.03 else "false",
        "true" if numbers() < 0.5 else "false",
        status,
        numbers(),
        random.randrange(4),
        index * 7919 % RARE_EVERY,
        random.choice(_WORDS),
        random.choice(_WORDS),
    )


def _clip(ring: list[Point], edge: float, side: int) -> list[Point]:
    """Return the part of a convex ring west (1) or east (-1) of a meridian."""
    kept = []
    for (x1, y1), (x2, y2) in zip(ring, [*ring[1:], ring[0]], strict=True):
        if (edge - x1) * side >= 0:
            kept.append((x1, y1))
        if (edge - x1) * (edge - x2) < 0:
            kept.append((edge, y1 + (y2 - y1) * (edge - x1) / (x2 - x1)))
    return kept


def _ring(points: list[Point], shift: float = 0.0) -> str:
    corners = [f"[{x + shift:.5f},{y:.5f}]" for x, y in [*points, points[0]]]
    return f"[{','.join(corners)}]"


def _zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _month(year: int, month: int) -> tuple[str, int, int]:
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return f"{year}-{month:02}", int(start.timestamp()), int(end.timestamp())


def _share(total: int, parts: int, number: int) -> int:
    """Return how many of `total` things fall to one of `parts` equal shares."""
    return total * (number + 1) // parts - total * number // parts


def _asset(key: str, href: str, title: str, media_type: str, **more: Any) -> str:
    return (
        json.dumps(key)
        + ":"
        + json.dumps({"href": href, "type": media_type, "title": title, **more}, separators=(",", ":"))
    )


def _assets() -> str:
    """Return the assets of every item, with placeholders for its id and its place on the grid."""
    cog = "image/tiff; application=geotiff; profile=cloud-optimized"
    bands = [
        _asset(
            band.lower(),
            f"./\0_{band}.tif",
            f"Band {number + 1} ({band}), surface reflectance",
            cog,
            roles=["data", "reflectance"],
            gsd=(10, 20, 60)[number % 3],
            data_type="uint16",
            nodata=0,
            **{"proj:shape": [10980, 10980], "proj:transform": [10, 0, "\1", 0, -10, 5_300_040]},
            **{
                "raster:scale": 0.0001,
                "raster:offset": -0.1,
                "file:size": 91_537_020 + number,
                "file:checksum": f"1220{number:064x}",
            },
            bands=[{"name": band, "eo:center_wavelength": 0.443 + number / 10, "eo:full_width_half_max": 0.027}],
        )
        for number, band in enumerate(_BANDS)
    ]
    base = "https://data.example.com/archive/\0/"
    others = [
        _asset("thumbnail", base + "thumbnail.jpg", "Thumbnail of the scene", "image/jpeg", roles=["thumbnail"]),
        _asset("metadata", base + "metadata.xml", "Metadata of the product", "application/xml", roles=["metadata"]),
        _asset("product", base + "product.zip", "The whole product", "application/zip", roles=["archive"]),
    ]
    return ",".join(bands + others).replace('"\\u0001"', "\1").replace("\\u0000", "\0")


def _root_document(recipe: Recipe, collections: list[str]) -> dict[str, Any]:
    links = [{"rel": "root", "href": "./catalog.json", "type": "application/json"}]
    links += [_link("child", f"./{name}/collection.json") for name in collections]
    text = f"{recipe.items} items, {recipe.distribution}, for measuring."
    return {**_catalog("benchmark", "Benchmark"), "description": text, "links": links}


def _collection_document(collection: str, names: list[str]) -> dict[str, Any]:
    last_year = FIRST_YEAR + YEARS
    interval = [f"{FIRST_YEAR}-01-01T00:00:00Z", f"{last_year}-03-01T00:00:00Z"]
    return {
        **_catalog(collection, collection.replace("-", " ").capitalize()),
        "type": "Collection",
        "description": "Items of one kind, made for measuring.",
        "license": "CC0-1.0",
        "keywords": list(_WORDS),
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [interval]}},
        "summaries": {"platform": [f"sentinel-2{letter}" for letter in "abc"], "gsd": [10]},
        "links": [
            _link("root", "../catalog.json"),
            _link("parent", "../catalog.json"),
            *(_link("child", f"./{name}/catalog.json") for name in names),
        ],
    }


def _part_document(part: Part, names: list[str]) -> dict[str, Any]:
    links = [_link("root", "../../catalog.json"), _link("parent", "../collection.json")]
    links += [{"rel": "item", "href": f"./{name}.json", "type": "application/geo+json"} for name in names]
    return {**_catalog(f"{part.collection}-{part.name}", part.name), "description": "Items by month.", "links": links}


def _catalog(catalog_id: str, title: str) -> dict[str, Any]:
    return {"type": "Catalog", "stac_version": "1.1.0", "id": catalog_id, "title": title}


def _link(relation: str, href: str) -> dict[str, str]:
    return {"rel": relation, "href": href, "type": "application/json"}


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(document, separators=(",", ":")).encode())


def _write_bytes(path: str, data: bytes) -> None:
    # a plain descriptor: half the time of open() when there are a hundred thousand
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


_LATITUDE_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_HEAD = (
    '{"type":"Feature","stac_version":"1.1.0","stac_extensions":['
    + ",".join(f'"https://stac-extensions.github.io/{name}/schema.json"' for name in _EXTENSIONS)
    + '],"id":"%s","geometry":%s,"properties":{'
)
_PROPERTIES = (
    '"title":"Scene %s","created":"%s","updated":"%s","platform":"sentinel-2%s","constellation":"sentinel-2",'
    '"instruments":["msi"],"gsd":10,"eo:cloud_cover":%.2f,"eo:snow_cover":%.2f,"view:off_nadir":%.3f,'
    '"view:azimuth":%.3f,"view:incidence_angle":%.3f,"view:sun_azimuth":%.3f,"view:sun_elevation":%.3f,'
    '"proj:code":"EPSG:%d","proj:bbox":[600000,5190220,709800,5300040],"grid:code":"MGRS-%s","sat:orbit_state":"%s",'
    '"sat:relative_orbit":%d,"sat:absolute_orbit":%d,"processing:level":"L2","processing:facility":"%s",'
    '"processing:version":"05.%02d","product:type":"S2MSI2A","s2:tile_id":"%s_T","s2:datatake_id":"GS2_%d_%03d",'
    '"s2:product_uri":"%s.SAFE","s2:generation_time":"%s","s2:nodata_pixel_percentage":%.4f,'
    '"s2:vegetation_percentage":%.4f,"s2:water_percentage":%.4f,"s2:reflectance_conversion_factor":%.6f,'
    '"s2:degraded_msi_data":%s,"quality:validated":%s,"quality:status":"%s","quality:score":%.6f,'
    '"quality:flags":["flag-%d"],"archive:batch":"B%04d","keywords":["%s","%s"]},"links":['
)
_LINKS = (
    '{"rel":"root","href":"../../catalog.json","type":"application/json"},'
    '{"rel":"parent","href":"./catalog.json","type":"application/json"},'
    '{"rel":"collection","href":"../collection.json","type":"application/json"},'
    '{"rel":"derived_from","href":"https://data.example.com/%s/level-1/%d.json","type":"application/geo+json",'
    '"title":"Level 1 scene"}],"assets":{'
)
_ASSETS = _assets()
_TAIL = '},"collection":"%s"}'

if __name__ == "__main__":
    main()
