"""Ranks: unique, rising along the default order, and the same in the R-tree, whatever comes and goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import expected, read_items
from searching import Item, find_pages, identities_of, index_items, make_item, reading
from stacserve.store import ranks
from stacserve.store.boxes import KIND_BITS, MARGIN
from stacserve.store.ranks import delete_boxes, rank_everything, rank_new
from stacserve.store.snapshot import RANKS
from stacserve.store.tables import create_late_indexes, create_tables

HALVES = shapely.MultiPolygon([shapely.box(170, 0, 180, 9), shapely.box(-180, 0, -170, 9)])
WKBS = [None, shapely.Point(7, 46).wkb, shapely.box(1, 2, 3, 4).wkb, HALVES.wkb]


class Place(NamedTuple):
    """What the default order looks at."""

    ordered: int | None
    container: str
    id: str


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    create_tables(connection)
    create_late_indexes(connection)
    yield connection
    connection.close()


def add(connection: sqlite3.Connection, places: Sequence[Place], first_key: int) -> None:
    """Write items that have no ranks yet, with geometries of every kind."""
    for key, place in enumerate(places, start=first_key):
        wkb = WKBS[key % len(WKBS)]
        connection.execute(
            "INSERT INTO items (key, container, id, parent, ordered, reach, boxes) VALUES (?, ?, ?, 1, ?, 0, ?)",
            (key, place.container, place.id, place.ordered, int(wkb is not None)),
        )
        if wkb is not None:
            connection.execute("INSERT INTO geometries VALUES (?, ?)", (key, wkb))


def remove(connection: sqlite3.Connection, keys: list[int]) -> None:
    delete_boxes(connection, keys)
    for table in ("items", "geometries"):
        connection.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])  # noqa: S608


def check_ranks(connection: sqlite3.Connection) -> list[float]:
    """Check all that ranks promise, and return them."""
    rows = connection.execute("SELECT key, rank, ordered, container, id FROM items").fetchall()
    rows.sort(key=lambda row: (row[2] is None, -(row[2] or 0), row[3], row[4]))
    found = [rank for _, rank, *_ in rows]
    assert all(low < high for low, high in zip([0.0, *found], [*found, RANKS], strict=True))
    boxes: dict[int, list[tuple[float, float]]] = {}
    for row, low, high in connection.execute("SELECT id, r0, r1 FROM item_boxes"):
        boxes.setdefault(row >> KIND_BITS, []).append((low, high))
    for key, rank, *_ in rows:
        sides = boxes.pop(key, [])
        assert len(sides) == (0, 1, 1, 2)[key % len(WKBS)]
        assert all(low <= rank <= high and high - low < MARGIN for low, high in sides)
    assert not boxes
    assert connection.execute("SELECT rtreecheck('item_boxes')").fetchone() == ("ok",)
    return found


def some_places(rng: Random, count: int, first: int = 0) -> list[Place]:
    """Return places of which many differ in nothing but the id."""
    instants = [None, 0, -1, 5, *[rng.randint(-(10**17), 10**17) for _ in range(3)]]
    containers = ["0/a", "0/b", "1/a"]
    return [
        Place(rng.choice(instants), rng.choice(containers), f"{rng.randint(0, 9**9)}-{number}")
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_a_cold_build_ranks_everything(connection: sqlite3.Connection, count: int) -> None:
    add(connection, some_places(Random(count), count), 1)
    rank_everything(connection)
    found = check_ranks(connection)
    assert found == pytest.approx([(number + 0.5) * RANKS / count for number in range(count)])


@pytest.mark.parametrize("gap", [1e-9, 0.05, 0.5])
@pytest.mark.parametrize("seed", range(4))
def test_items_that_come_and_go_keep_the_order(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, seed: int, gap: float
) -> None:
    monkeypatch.setattr(ranks, "_SMALLEST_GAP", gap)
    rng, keys, next_key = Random(seed), [], 1
    if seed % 2:
        add(connection, some_places(rng, 100), 1)
        rank_everything(connection)
        keys, next_key = list(range(1, 101)), 101
    for _ in range(20):
        gone = rng.sample(keys, rng.randint(0, min(25, len(keys))))
        remove(connection, gone)
        count = rng.choice([0, 1, 2, 30, 60])
        add(connection, some_places(rng, count, next_key), next_key)
        keys = [key for key in [*keys, *range(next_key, next_key + count)] if key not in gone]
        next_key += count
        rank_new(connection)
        check_ranks(connection)


# Items that stay around a spot, and the instant of those that pile up there.
SPOTS: dict[str, tuple[list[Place], int | None]] = {
    "newest": ([Place(4, "0/a", "x")], 5),
    "oldest": ([Place(6, "0/a", "x")], 5),
    "undated": ([Place(6, "0/a", "x")], None),
    "between": ([Place(6, "0/a", "x"), Place(5, "0/a", "y"), Place(5, "0/c", "x"), Place(None, "0/a", "z")], 5),
    "nothing there": ([], 5),
}


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("spot", SPOTS)
def test_one_after_the_other_at_one_spot(connection: sqlite3.Connection, spot: str, falling: bool) -> None:
    around, ordered = SPOTS[spot]
    add(connection, around, 1)
    rank_everything(connection)
    for number in range(300):
        name = f"{99_999 - number if falling else number:05}"
        add(connection, [Place(ordered, "0/b", name)], 100 + number)
        rank_new(connection)
    check_ranks(connection)


def test_always_into_the_middle(connection: sqlite3.Connection) -> None:
    """Halving one gap over and over uses up all digits of a float after fifty times."""
    add(connection, [Place(2**40, "0/a", "x"), Place(0, "0/a", "y")], 1)
    rank_everything(connection)
    low, high = 0, 2**40
    for number in range(200):
        middle = (low + high) // 2
        low, high = (middle, high) if number % 2 else (low, middle)
        add(connection, [Place(middle, "0/a", f"{number}")], 100 + number)
        rank_new(connection)
    check_ranks(connection)


@pytest.mark.parametrize("gap", [1e-9, 0.02, 0.07])
def test_thousands_at_one_spot_at_once(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, gap: float
) -> None:
    monkeypatch.setattr(ranks, "_SMALLEST_GAP", gap)
    add(connection, some_places(Random(1), 2_000), 1)
    rank_everything(connection)
    add(connection, [Place(3, "0/a", f"{number:05}") for number in range(3_000)], 10_000)
    rank_new(connection)
    check_ranks(connection)


def test_many_interleaved_with_many(connection: sqlite3.Connection) -> None:
    add(connection, [Place(7, "0/a", f"{number:05}") for number in range(0, 4_000, 2)], 1)
    rank_everything(connection)
    add(connection, [Place(7, "0/a", f"{number:05}") for number in range(1, 4_000, 2)], 10_000)
    rank_new(connection)
    check_ranks(connection)


def test_more_than_the_smallest_gap_has_room_for(
    connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When everything moves and gaps are still small, they are small."""
    monkeypatch.setattr(ranks, "_SMALLEST_GAP", 10.0)
    add(connection, some_places(Random(1), 50), 1)
    rank_everything(connection)
    add(connection, some_places(Random(2), 50, 100), 100)
    rank_new(connection)
    check_ranks(connection)


def test_nothing_new_changes_nothing(connection: sqlite3.Connection) -> None:
    add(connection, some_places(Random(1), 20), 1)
    rank_everything(connection)
    before = connection.total_changes
    rank_new(connection)
    assert connection.total_changes == before


# --- Through an ingest


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_refreshed_indexes_answer_like_the_oracle(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng, folder = Random(seed), tmp_path_factory.mktemp("refreshed")
    items: dict[str, Item] = {}
    for _ in range(4):
        for item_id in rng.sample(sorted(items), len(items) // 3):
            del items[item_id]
        for _ in range(rng.choice([1, 30])):
            item = random_item(rng)
            items[item["id"]] = item
        check_against_oracle(folder, list(items.values()))


def random_item(rng: Random) -> Item:
    """Return an item that may replace another one at another time and place."""
    instant = rng.choice(["2024-06-01T00:00:00Z", None, f"{rng.randint(1, 9999):04}-01-01T00:00:00Z"])
    west = rng.choice([5.0, 6.0, 7.5])
    geometry = rng.choice([None, {"type": "Point", "coordinates": [west, 46]}])
    return make_item(f"item-{rng.randint(0, 60)}", geometry=geometry, datetime=instant)


def check_against_oracle(folder: Path, items: list[Item]) -> None:
    index = index_items(folder, items)
    source = read_items(folder / "catalog")
    with reading(index) as snapshot:
        searches: list[dict[str, Any]] = [{}, {"bbox": [5, 45, 6, 47]}, {"datetime": "2000-01-01T00:00:00Z/.."}]
        for search in searches:
            pages = find_pages(snapshot, {**search, "limit": 7})
            assert identities_of(pages) == expected(source, search)
            assert {page.matched for page in pages} == {len(expected(source, search))}
