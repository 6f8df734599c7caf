"""The plan of a search changes its time and never its answer: each one that applies is tried on random searches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from oracle import Identity, SourceItem, expected, read_items
from random_stac import random_catalog, random_search
from searching import find_pages, identities_of, index_items, read_search, reading
from stacserve import ingest_catalog
from stacserve.search import ItemSearch
from stacserve.store import counts, planner, properties, walk
from stacserve.store.conditions import Conditions
from stacserve.store.interface import Page
from stacserve.store.planner import Plan
from stacserve.store.queries import Source
from stacserve.store.snapshot import Snapshot

SEEDS = {1: 150, 2: 40, 3: 250}
SEARCHES = 40


class Served(NamedTuple):
    """A generated catalog with its index."""

    items: list[SourceItem]
    db: Path


@pytest.fixture(scope="module", params=SEEDS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("plans")
    random_catalog(folder / "catalog", request.param, SEEDS[request.param])
    ingest_catalog(str(folder / "catalog"), folder / "index.db", processes=0)
    return Served(read_items(folder / "catalog"), folder / "index.db")


def plans_for(conditions: Conditions) -> list[Plan]:
    """Return every plan that delivers all candidates for these conditions."""
    sources = [
        (Source.RANK, True),
        (Source.CONTAINER, conditions.labels is not None),
        (Source.PARENT, conditions.parent is not None),
        (Source.IDENTITY, conditions.ids is not None),
        (Source.BOXES, bool(conditions.areas)),
    ]
    plans = [Plan(source) for source, applies in sources if applies]
    plans += [Plan(Source.PROPERTY, term.column) for term in conditions.terms]
    return [plan._replace(whole=whole) for plan in plans for whole in (False, True)]


class Planner:
    """Stands for `choose_plan`: takes the plans for a search by number, and notes how many there are."""

    def __init__(self) -> None:
        self.number = self.count = 0

    def __call__(self, connection: Any, conditions: Conditions, *_: Any) -> Plan:
        plans = plans_for(conditions)
        self.count = len(plans)
        return plans[self.number]


def searches_of(items: list[SourceItem], seed: int) -> Iterator[tuple[ItemSearch, list[Identity]]]:
    """Yield random searches, every third below a catalog, and who must be found."""
    rng = Random(seed)
    for number in range(SEARCHES):
        asked = random_search(rng, items)
        search, below = read_search(asked.body), items
        catalog = rng.choice(items).catalog
        if number % 3 == 0 and catalog is not None:
            search, below = dataclasses.replace(search, catalog=catalog), [x for x in items if x.catalog == catalog]
        yield search, expected(below, asked.search)


def check_pages(snapshot: Snapshot, search: ItemSearch, wanted: list[Identity], limit: int) -> None:
    """Walk to the end and back again."""
    search = dataclasses.replace(search, limit=limit)
    pages = find_pages(snapshot, search)
    found = [identities_of([page]) for page in pages]
    assert [identity for page in found for identity in page] == wanted
    assert {page.matched for page in pages} == {len(wanted)}
    assert all(len(page) == limit for page in found[:-1])
    back = find_pages(snapshot, dataclasses.replace(search, token=pages[-1].prev), "prev") if len(pages) > 1 else []
    assert [identities_of([page]) for page in back[::-1]] == found[:-1]
    assert {page.matched for page in back} <= {len(wanted)}


@pytest.mark.parametrize("looked_up", [0, 5, 2_000])
def test_every_plan_gives_the_same_pages(served: Served, monkeypatch: pytest.MonkeyPatch, looked_up: int) -> None:
    forced = Planner()
    monkeypatch.setattr(walk, "choose_plan", forced)
    monkeypatch.setattr(walk, "LOOKED_UP_MAX", looked_up)
    monkeypatch.setattr(counts, "_CHUNK", 7)
    with reading(served.db) as snapshot:
        for number, (search, wanted) in enumerate(searches_of(served.items, looked_up)):
            forced.number, forced.count = 0, 1
            while forced.number < forced.count:
                check_pages(snapshot, search, wanted, limit=(1, 2, 7, 30)[number % 4] if len(wanted) < 40 else 30)
                forced.number += 1


@pytest.mark.parametrize(("cap", "cost"), [(0, 10**9), (1, 5), (10, 1)])
def test_what_the_planner_chooses_gives_the_same_pages(
    served: Served, monkeypatch: pytest.MonkeyPatch, cap: int, cost: int
) -> None:
    monkeypatch.setattr(planner, "CAP", cap)
    monkeypatch.setattr(counts, "SCATTERED_COST", cost)
    with reading(served.db) as snapshot:
        for search, wanted in searches_of(served.items, cap):
            check_pages(snapshot, search, wanted, limit=11)


def test_properties_without_columns_are_found_as_well(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(properties, "COLUMNS_MAX", 3)
    ingest_catalog(str(served.db.parent / "catalog"), tmp_path / "index.db", processes=0)
    with reading(tmp_path / "index.db") as snapshot:
        assert len([column for kinds in snapshot.properties.columns.values() for column in kinds]) == 3
        for search, wanted in searches_of(served.items, 3):
            check_pages(snapshot, search, wanted, limit=11)


@pytest.mark.parametrize("number", range(2))
def test_an_empty_catalog_answers_everything_with_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    forced = Planner()
    monkeypatch.setattr(walk, "choose_plan", forced)
    with reading(index_items(tmp_path, [])) as snapshot:
        for search, _ in searches_of(served.items, number):
            forced.number, forced.count = 0, 1
            while forced.number < forced.count:
                assert find_pages(snapshot, dataclasses.replace(search, catalog=None)) == [Page([], None, None, 0)]
                forced.number += 1
