"""What is asked in each row of the table, and how fast the answer should be.

Every request is new: its place, time and numbers are drawn around an item of the catalog, so that clustered data
are searched where they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from urllib.parse import quote, urlencode

from generate import MANIFEST, RARE_EVERY, Sample

BOX_SIDES = (0.05, 1, 5, 30, 120, 360)

_DAY = 86_400
_YEAR = 365 * _DAY

Query = dict[str, str]
Condition = Callable[[Random, "Dataset"], Query]


@dataclass(frozen=True)
class Dataset:
    """What there is to be asked for: some of the items, the collections and their sizes, the range of times."""

    items: int
    distribution: str
    sizes: dict[str, int]
    start: int
    end: int
    samples: tuple[Sample, ...]

    def smallest_collection(self) -> str:
        """Return the id of the collection with the fewest items."""
        return min(self.sizes, key=self.sizes.__getitem__)

    def largest_collection(self) -> str:
        """Return the id of the collection with the most items."""
        return max(self.sizes, key=self.sizes.__getitem__)


def read_dataset(folder: Path) -> Dataset:
    """Return what `generate.py` wrote about a catalog."""
    manifest = json.loads((folder / MANIFEST).read_text())
    samples = tuple(Sample(*sample) for sample in manifest["samples"])
    names = ("items", "distribution", "sizes", "start", "end")
    return Dataset(**{name: manifest[name] for name in names}, samples=samples)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of search. `page` is "first" or "later"; `goal` is how many times the ceiling it may take.

    No goal: it is a first page, which is held against the later one of the same name. A search whose matches fit
    on one page has no later page; its first one is measured then.
    """

    name: str
    condition: Condition
    limit: int = 100
    page: str = "later"
    goal: float | None = 2.0

    def query(self, random: Random, dataset: Dataset) -> Query:
        """Return the parameters of a new request."""
        return {**self.condition(random, dataset), "limit": str(self.limit)}


def search_target(query: Query) -> str:
    """Return path and query of a search, percent-encoded."""
    return f"/search?{urlencode(query, quote_via=quote)}"


def item_target(random: Random, dataset: Dataset) -> str:
    """Return the path of some item."""
    sample = random.choice(dataset.samples)
    return f"/collections/{sample.collection}/items/{sample.id}"


def until_some_time(random: Random, dataset: Dataset) -> Query:
    """Everything up to the time of some item: as good as no condition, and yet new."""
    newer_half = sorted(sample.time for sample in dataset.samples)[len(dataset.samples) // 2 :]
    return {"datetime": f"../{_instant(random.choice(newer_half) + random.uniform(1, _DAY))}"}


def box(side: float) -> Condition:
    """A box of that many degrees around some item; 360 is the world without a small margin."""

    def condition(random: Random, dataset: Dataset) -> Query:
        if side >= 360:
            margins = [random.uniform(0, 0.5) for _ in range(4)]
            return {"bbox": _numbers(-180 + margins[0], -90 + margins[1], 180 - margins[2], 90 - margins[3])}
        west, south = _corner(random, dataset, side)
        return {"bbox": _numbers(west, south, west + side, south + side)}

    return condition


def box_month_collection(random: Random, dataset: Dataset) -> Query:
    """A large box, a month around some item, and the largest collection."""
    sample = random.choice(dataset.samples)
    start = sample.time - random.uniform(0, 30 * _DAY)
    month = f"{_instant(start)}/{_instant(start + 30 * _DAY)}"
    return {**box(60)(random, dataset), "datetime": month, "collections": dataset.largest_collection()}


def polygon_of_twenty(random: Random, dataset: Dataset) -> Query:
    """A star of twenty vertices around some item."""
    sample = random.choice(dataset.samples)
    longitude = min(max(sample.longitude, -165.0), 165.0)
    latitude = min(max(sample.latitude, -75.0), 75.0)
    points = []
    for number in range(20):
        angle, radius = math.tau * number / 20, random.uniform(8, 14)
        points.append([round(longitude + radius * math.cos(angle), 4), round(latitude + radius * math.sin(angle), 4)])
    geometry = {"type": "Polygon", "coordinates": [[*points, points[0]]]}
    return {"intersects": json.dumps(geometry, separators=(",", ":"))}


def two_terms(random: Random, dataset: Dataset) -> Query:
    """A number below a bound and a text of three: one item in seven on average."""
    platform = random.choice("abc")
    return _filter(f"\"eo:cloud_cover\" < {random.uniform(5, 40):.3f} AND platform = 'sentinel-2{platform}'")


def terms_box_years(random: Random, dataset: Dataset) -> Query:
    """The two terms, a large box and three years; the default order is that of datetime."""
    start = dataset.start + random.uniform(0, max(1, dataset.end - dataset.start - 3 * _YEAR))
    years = f"{_instant(start)}/{_instant(start + 3 * _YEAR)}"
    if dataset.distribution != "uniform":
        years = f"{_instant(dataset.end - random.uniform(1, 3) * _YEAR)}/.."
    return {**two_terms(random, dataset), **box(90)(random, dataset), "datetime": years}


def rare_value(random: Random, dataset: Dataset) -> Query:
    """A value of a property that one item in ten thousand has, as every value of it."""
    return _filter(f"\"archive:batch\" = 'B{random.randrange(RARE_EVERY):04}'")


def rare_among_common(random: Random, dataset: Dataset) -> Query:
    """A value that one item in ten thousand has, of a property with few values."""
    return _filter(f'"quality:status" = \'recalled\' AND "quality:score" > {random.uniform(0, 0.001):.9f}')


def small_collection(random: Random, dataset: Dataset) -> Query:
    """The smallest collection up to some time."""
    return {"collections": dataset.smallest_collection(), **until_some_time(random, dataset)}


def search_rows() -> list[Row]:
    """Return the rows of searches, in the order of the table."""
    everything = [Row(name=f"all, limit {limit}", condition=until_some_time, limit=limit) for limit in (10, 100, 1000)]
    boxes = [Row(name=f"bbox of {side}°, limit 100", condition=box(side)) for side in BOX_SIDES]
    return [
        *both_pages([*everything, *boxes]),
        Row(name="bbox + month + collection, limit 10", condition=box_month_collection, limit=10, goal=3),
        Row(name="intersects, 20 vertices, limit 100", condition=polygon_of_twenty, goal=3),
        Row(name="CQL2, two terms, limit 100", condition=two_terms, goal=4),
        Row(name="CQL2 + bbox + years, limit 100", condition=terms_box_years, goal=4),
        Row(name="rare value, limit 100", condition=rare_value, page="first", goal=3),
        Row(name="rare among common values, limit 100", condition=rare_among_common, page="first", goal=3),
        Row(name="small collection, limit 10", condition=small_collection, limit=10, goal=2),
    ]


def both_pages(rows: list[Row]) -> Iterator[Row]:
    """Yield each row for its later and for its first page."""
    for row in rows:
        yield row
        yield Row(name=row.name, condition=row.condition, limit=row.limit, page="first", goal=None)


def mixed_targets(seed: str, dataset: Dataset, count: int) -> list[str]:
    """Return requests of all kinds, for the memory that they leave behind."""
    random = Random(seed)
    rows = search_rows()
    targets = []
    for number in range(count):
        if number % 5 == 0:
            targets.append(item_target(random, dataset))
            continue
        query = random.choice(rows).query(random, dataset)
        targets.append(search_target({**query, "limit": random.choice(["10", "100", "100", "1000"])}))
    return targets


def _corner(random: Random, dataset: Dataset, side: float) -> tuple[float, float]:
    """Return the lower left corner of a box that holds some item's middle and ends where the world ends."""
    sample = random.choice(dataset.samples)
    west = random.uniform(max(-180.0, sample.longitude - side), min(sample.longitude, 180.0 - side))
    south = random.uniform(max(-90.0, sample.latitude - side), min(sample.latitude, 90.0 - side))
    return west, south


def _filter(text: str) -> Query:
    return {"filter": text, "filter-lang": "cql2-text"}


def _numbers(*values: float) -> str:
    return ",".join(f"{value:.5f}" for value in values)


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
