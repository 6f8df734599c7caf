"""Walking page by page: nothing lost or twice while the catalog changes, and always a way on and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from oracle import Identity, expected, read_items
from searching import RULES, Item, find_page, find_pages, identities_of, identity_of, index_items, make_item, reading
from stacserve.search import ItemSearch
from stacserve.store import ranks
from stacserve.store.interface import Page
from stacserve.store.snapshot import Snapshot
from stacserve.store.tokens import Position
from stacserve.store.walk import locate

INSTANTS = ["2024-06-01T00:00:00Z"] * 4 + ["2024-06-02T00:00:00Z", "2024-05-31T23:59:59.999999Z", None]
SEARCHES: dict[str, dict[str, Any]] = {
    "everything": {},
    "bbox": {"bbox": [-1, -1, 1, 1]},
    "collection": {"collections": ["c"]},
    "filter": {"filter": {"op": "<", "args": [{"property": "n"}, 50]}},
    "datetime": {"datetime": "2024-06-01T00:00:00Z/.."},
}


def random_item(rng: Random, item_id: str) -> Item:
    """Return an item that differs from others in little but its id."""
    where = {"type": "Point", "coordinates": [rng.choice([0, 0, 1, 5]), 0]}
    collection = rng.choice(["c", "c", "d", None])
    return make_item(item_id, geometry=where, collection=collection, datetime=rng.choice(INSTANTS), n=rng.randrange(70))


def make_items(rng: Random, count: int) -> dict[str, Item]:
    return {f"{number:02}": random_item(rng, f"{number:02}") for number in range(count)}


def ids_of(page: Page) -> list[str]:
    return [identity_of(document).id for document in page.documents]


# --- While the catalog changes


def change(items: dict[str, Item], kept: set[str], rng: Random, number: int) -> None:
    """Take away, change and add some items, but none that are to be kept."""
    loose = sorted(items.keys() - kept)
    for item_id in rng.sample(loose, len(loose) // 3):
        del items[item_id]
    for item_id in rng.sample(loose, len(loose) // 3):
        items[item_id] = random_item(rng, item_id)
    for count in range(rng.choice([0, 3, 8])):
        item_id = f"{rng.randrange(40):02}-{number}-{count}"
        items[item_id] = random_item(rng, item_id)


def walk_while_changing(folder: Path, search: dict[str, Any], rng: Random, limit: int, rel: str) -> None:
    """Follow the pages in one direction with changes between them, and check who was on them."""
    items = make_items(rng, 40)
    kept = set(rng.sample(sorted(items), 15))
    index = index_items(folder, list(items.values()))
    wanted = {identity for identity in expected(read_items(folder / "catalog"), search) if identity.id in kept}
    body, found, number = {**search, "limit": limit}, list[Identity](), 0
    with reading(index) as snapshot:
        page = find_pages(snapshot, body)[-1] if rel == "prev" else find_page(snapshot, body)
    while True:
        found += identities_of([page])
        token = getattr(page, rel)
        if token is None:
            break
        number += 1
        change(items, kept, rng, number)
        index_items(folder, list(items.values()))
        with reading(index) as snapshot:
            page = find_page(snapshot, {**body, "token": token})
            assert page.matched == len(expected(read_items(folder / "catalog"), search))
    stayed = [identity for identity in found if identity.id in kept]
    assert sorted(stayed) == sorted(wanted)


@pytest.mark.parametrize("rel", ["next", "prev"])
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("gap", [1e-9, 1.0])
def test_what_stays_comes_exactly_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rel: str, search: str, gap: float
) -> None:
    monkeypatch.setattr(ranks, "_SMALLEST_GAP", gap)
    rng = Random(f"{rel} {search} {gap}")
    walk_while_changing(tmp_path, SEARCHES[search], rng, limit=rng.choice([4, 7]), rel=rel)


Remaining = Callable[[list[str]], list[str]]


@pytest.fixture
def ten(tmp_path: Path) -> Callable[[Remaining], Path]:
    """Return a function that indexes those of ten items that another function leaves."""

    def write(leave: Remaining) -> Path:
        return index_items(tmp_path, [make_item(item_id) for item_id in leave(list("abcdefghij"))])

    return write


def turn(index: Path, page: Page, rel: str, limit: int = 3) -> Page:
    """Return the page that a link of a page leads to, now."""
    token = getattr(page, rel)
    assert token is not None
    with reading(index) as snapshot:
        return find_page(snapshot, {"limit": limit, "token": token})


def second_page(index: Path) -> Page:
    with reading(index) as snapshot:
        return turn(index, find_page(snapshot, {"limit": 3}), "next")


def test_a_page_goes_on_after_its_last_item_has_gone(ten: Any) -> None:
    page = second_page(ten(lambda ids: ids))
    index = ten(lambda ids: [one for one in ids if one not in "ef"])
    assert ids_of(page) == ["d", "e", "f"]
    assert ids_of(turn(index, page, "next")) == ["g", "h", "i"]
    assert ids_of(turn(index, turn(index, page, "next"), "prev")) == ["b", "c", "d"]


def test_a_page_goes_back_before_its_first_item_when_that_has_gone(ten: Any) -> None:
    page = second_page(ten(lambda ids: ids))
    assert ids_of(turn(ten(lambda ids: [one for one in ids if one not in "cd"]), page, "prev")) == ["a", "b"]


def test_what_comes_before_the_position_is_on_the_way_back_only(ten: Any) -> None:
    page = second_page(ten(lambda ids: ids[:3] + ids[5:]))
    index = ten(lambda ids: ids)
    assert ids_of(page) == ["f", "g", "h"]
    assert ids_of(turn(index, page, "next")) == ["i", "j"]
    assert ids_of(turn(index, page, "prev")) == ["c", "d", "e"]


@pytest.mark.parametrize(("left", "back"), [("abcdef", "def"), ("abc", "abc"), ("b", "b")])
def test_an_empty_page_leads_back_to_what_is_left(ten: Any, left: str, back: str) -> None:
    page = second_page(ten(lambda ids: ids))
    index = ten(lambda ids: list(left))
    empty = turn(index, page, "next")
    assert ids_of(empty) == [] and empty.next is None and empty.matched == len(left)
    assert ids_of(turn(index, empty, "prev")) == list(back)


@pytest.mark.parametrize(("left", "on"), [("defghij", "def"), ("hij", "hij"), ("i", "i")])
def test_an_empty_page_before_all_leads_on_to_what_is_left(ten: Any, left: str, on: str) -> None:
    page = second_page(ten(lambda ids: ids))
    index = ten(lambda ids: list(left))
    empty = turn(index, page, "prev")
    assert ids_of(empty) == [] and empty.prev is None and empty.matched == len(left)
    assert ids_of(turn(index, empty, "next")) == list(on)


def test_an_empty_page_leads_nowhere_when_nothing_is_left(ten: Any) -> None:
    page = second_page(ten(lambda ids: ids))
    index = ten(lambda ids: [])
    for rel in ("next", "prev"):
        assert turn(index, page, rel) == Page([], None, None, 0)


def test_prev_goes_when_nothing_precedes_any_more(ten: Any) -> None:
    page = second_page(ten(lambda ids: ids))
    gone = turn(ten(lambda ids: ids[6:]), page, "next")
    assert ids_of(gone) == ["g", "h", "i"] and gone.prev is None and gone.next is not None


def test_next_comes_back_when_something_follows_again(ten: Any) -> None:
    index = ten(lambda ids: ids[:6])
    page = second_page(index)
    assert page.next is None
    first = turn(index, page, "prev")
    again = turn(ten(lambda ids: ids), first, "next")
    assert ids_of(again) == ["d", "e", "f"] and again.next is not None


# --- Sizes


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_items(tmp_path_factory.mktemp("many"), list(make_items(Random(1), 30).values()))


def there_and_back(snapshot: Snapshot, body: dict[str, Any], rules: Any = RULES) -> tuple[list[Page], list[Page]]:
    """Return the pages to the end, and those from there back to the beginning in their order."""
    pages = find_pages(snapshot, body, rules=rules)
    back = find_pages(snapshot, {**body, "token": pages[-1].prev}, "prev", rules) if pages[-1].prev else []
    return pages, back[::-1]


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("limit", [1, 2, 9, 29, 30, 31])
def test_pages_are_full_and_the_same_both_ways(many: Path, search: str, limit: int) -> None:
    wanted = expected(read_items(many.parent / "catalog"), SEARCHES[search])
    with reading(many) as snapshot:
        pages, back = there_and_back(snapshot, {**SEARCHES[search], "limit": limit})
    assert identities_of(pages) == wanted
    assert [len(page.documents) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert [page.documents for page in back] == [page.documents for page in pages[:-1]]
    assert [page.prev is None for page in pages] == [True, *[False] * (len(pages) - 1)]
    assert [page.next is None for page in pages] == [*[False] * (len(pages) - 1), True]
    assert {page.matched for page in [*pages, *back]} == {len(wanted)}


@pytest.mark.parametrize("size", [1, 700, 2_000, 10_000])
@pytest.mark.parametrize("limit", [3, 100])
def test_heavy_pages_end_early_both_ways(many: Path, size: int, limit: int) -> None:
    wanted = expected(read_items(many.parent / "catalog"), {})
    with reading(many) as snapshot:
        pages, back = there_and_back(snapshot, {"limit": limit}, dataclasses.replace(RULES, bytes_max=size))
    assert identities_of(pages) == wanted
    assert identities_of([*back, pages[-1]]) == wanted
    for page in [*pages, *back]:
        assert page.matched == len(wanted)
        assert len(page.documents) == 1 or sum(len(document.head) for document in page.documents) <= size
    assert len(pages) == 30 or size > 1


@pytest.mark.parametrize("search", [{"ids": ["nobody"]}, {"collections": ["nobody"]}, {"filter": False}])
def test_a_page_of_nothing_has_no_links(many: Path, search: dict[str, Any]) -> None:
    with reading(many) as snapshot:
        assert find_page(snapshot, search) == Page([], None, None, 0)


def test_a_search_that_cannot_match_is_answered_with_a_token_as_well(many: Path) -> None:
    with reading(many) as snapshot:
        search = ItemSearch(limit=3, collections=())
        assert find_page(snapshot, search) == Page([], None, None, 0)


# --- Places


def test_every_item_is_found_at_its_position_and_gaps_lead_to_what_follows(many: Path) -> None:
    with reading(many) as snapshot:
        rows = snapshot.connection.execute("SELECT ordered, container, id, rank FROM items ORDER BY rank").fetchall()
        for ordered, container, item_id, rank in rows:
            assert locate(snapshot.connection, Position(ordered, container, item_id)) == (rank, True)
            following = min((row[3] for row in rows if row[3] > rank), default=float("inf"))
            for after in [Position(ordered, container, item_id + "\0"), Position(ordered, container + "\0", "")]:
                found, exact = locate(snapshot.connection, after)
                assert not exact and (found == following or after.container != container)
            assert locate(snapshot.connection, Position(ordered, container, item_id[:-1]))[0] <= rank


@pytest.mark.parametrize("ordered", [2**61, -(2**61), 0, None])
def test_a_position_far_away_is_before_or_after_all(many: Path, ordered: int | None) -> None:
    with reading(many) as snapshot:
        (last,) = snapshot.connection.execute("SELECT max(rank) FROM items").fetchone()
        (first,) = snapshot.connection.execute("SELECT min(rank) FROM items").fetchone()
        found, exact = locate(snapshot.connection, Position(ordered, "9", "zzz"))
        assert not exact
        assert found == (first if ordered == 2**61 else float("inf") if ordered is None else found) <= max(last, found)
