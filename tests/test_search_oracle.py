"""Thousands of random searches, by GET and by POST, answer what the oracle answers, in its order, on every page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from conftest import SAMPLE_CATALOGS
from oracle import SourceItem, expected, read_items
from random_stac import RandomSearch, random_catalog, random_search
from walking import ask_by_get, ask_by_post, client_of, identities, walk

SAMPLES = ["alps", "drone", "pacific"]
COUNTS = [0, 1, 40, 80, 120, 160, 200, 300]
SEARCHES = 100

Check = Callable[[httpx.AsyncClient, list[SourceItem], RandomSearch, Random], Awaitable[None]]


async def check_by_get(client: httpx.AsyncClient, items: list[SourceItem], asked: RandomSearch, rng: Random) -> None:
    """Walk through the pages of a search by GET, each of another size."""
    first = await ask_by_get(client, {**asked.params, "limit": _limit(rng)})
    compare(await walk(client, first, limit=lambda: _limit(rng)), items, asked.search)


async def check_by_post(client: httpx.AsyncClient, items: list[SourceItem], asked: RandomSearch, rng: Random) -> None:
    """Walk through the pages of a search by POST, each of another size."""
    first = await ask_by_post(client, {**asked.body, "limit": _limit(rng)})
    compare(await walk(client, first, limit=lambda: _limit(rng)), items, asked.search)


async def check_backwards(client: httpx.AsyncClient, items: list[SourceItem], asked: RandomSearch, rng: Random) -> None:
    """Walk to the end and back again: the same pages."""
    limit = _limit(rng)
    if rng.random() < 0.5:
        first = await ask_by_get(client, {**asked.params, "limit": limit})
    else:
        first = await ask_by_post(client, {**asked.body, "limit": limit})
    pages = await walk(client, first)
    compare(pages, items, asked.search)
    back = await walk(client, pages[-1], "prev")
    assert [identities([page]) for page in back[::-1]] == [identities([page]) for page in pages]


async def check_below(client: httpx.AsyncClient, items: list[SourceItem], asked: RandomSearch, rng: Random) -> None:
    """Search below one collection or catalog, whose page of items takes every parameter of a search."""
    if not items:
        return
    item = rng.choice(items)
    if item.catalog is not None and (item.collection is None or rng.random() < 0.5):
        path, below = f"/catalogs/{quote(item.catalog, safe='')}/items", [x for x in items if x.catalog == item.catalog]
    else:
        path, below = f"/collections/{quote(str(item.collection), safe='')}/items", items_of(items, item.collection)
    compare(
        await walk(client, await ask_by_get(client, {**asked.params, "limit": _limit(rng)}, path)), below, asked.search
    )


def items_of(items: list[SourceItem], collection: str | None) -> list[SourceItem]:
    return [item for item in items if item.collection == collection]


def _limit(rng: Random) -> int:
    return rng.choice([7, 30, 100, 10_000]) if rng.random() < 0.9 else rng.randint(1, 20)


def compare(pages: list[dict[str, Any]], items: list[SourceItem], search: dict[str, Any]) -> None:
    wanted = expected(items, search)
    found = identities(pages)
    assert set(found) == set(wanted)
    assert found == wanted
    assert {page["numberMatched"] for page in pages} == {len(wanted)}
    assert all(page["features"] for page in pages) or len(pages) == 1


async def check_all(check: Check, source: Path, db: Path, seed: int, count: int) -> None:
    """Check some random searches over a catalog; a failure names the seed and the search."""
    items, rng = read_items(source), Random(seed)
    async with client_of(source, db, wait=True) as client:
        for number in range(count):
            asked = random_search(rng, items) if items else RandomSearch({}, {}, {})
            try:
                await check(client, items, asked, rng)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, search {number}: {asked}") from error


CHECKS: list[Check] = [check_by_get, check_by_post, check_backwards, check_below]


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, int], Path]:
    """Return a function that gives the folder of the generated catalog of a seed, written once."""
    folder = tmp_path_factory.mktemp("generated")

    def catalog_of(seed: int, count: int) -> Path:
        if not (folder / str(seed)).exists():
            random_catalog(folder / str(seed), seed, count)
        return folder / str(seed)

    return catalog_of


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(("seed", "count"), list(enumerate(COUNTS)))
def test_generated_catalogs_answer_like_the_oracle(
    generated: Callable[[int, int], Path], seed: int, count: int, check: Check
) -> None:
    source = generated(seed, count)
    asyncio.run(check_all(check, source, source.with_suffix(".db"), seed, SEARCHES))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SAMPLES)
def test_sample_catalogs_answer_like_the_oracle(tmp_path: Path, name: str, check: Check) -> None:
    asyncio.run(check_all(check, SAMPLE_CATALOGS / name, tmp_path / "index.db", len(name), SEARCHES // 2))
