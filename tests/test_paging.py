"""Pages and their tokens: nothing lost, nothing twice, and no token of another query."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import expected, read_items
from random_stac import random_catalog, random_item
from stacserve import ingest_catalog
from walking import ask_by_get, ask_by_post, client_of, follow, identities, walk

COUNT = 60
LISTS = ["/search", "/collections", "/collections/plain/items", "/problems"]
Ask = Callable[..., httpx.Response]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_catalog(tmp_path_factory.mktemp("paging") / "catalog", 5, COUNT).parent


@pytest.fixture(scope="module")
def ask(source: Path) -> Iterator[Ask]:
    """Return a function that sends one request to the app and waits for the answer."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(client_of(source, source.parent / "index.db", wait=True)) as client,
    ):

        def send(method: str, path: str, **options: Any) -> httpx.Response:
            return portal.call(lambda: client.request(method, path, **options))

        yield send


def token_of(response: httpx.Response, rel: str = "next") -> str:
    link = next(link for link in response.json()["links"] if link["rel"] == rel)
    token: str = link["body"]["token"] if "body" in link else httpx.URL(link["href"]).params["token"]
    return token


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 400
    assert response.json()["code"] == "InvalidParameterValue"
    assert response.json()["description"].startswith("token: ")


# --- Tokens


@settings(max_examples=60, deadline=None)
@given(text=st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.binary().map(lambda raw: raw.hex())))
@pytest.mark.parametrize("path", LISTS)
def test_garbage_is_no_token(ask: Ask, path: str, text: str) -> None:
    assert_refused(ask("GET", path, params={"token": text}))


@settings(max_examples=60, deadline=None)
@given(value=st.recursive(st.text(st.characters(exclude_categories=["Cs"])) | st.integers() | st.booleans(), st.lists))
def test_garbage_in_a_body_is_no_token(ask: Ask, value: Any) -> None:
    assert_refused(ask("POST", "/search", json={"token": value}))


@pytest.mark.parametrize("path", ["/search", "/collections"])
def test_no_part_of_a_token_is_a_token(ask: Ask, path: str) -> None:
    token = token_of(ask("GET", path, params={"limit": 1}))
    for length in range(len(token)):
        assert_refused(ask("GET", path, params={"limit": 1, "token": token[:length]}))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_changed_token_is_refused_or_leads_into_the_same_search(ask: Ask, data: st.DataObject) -> None:
    query = {"collections": "plain", "limit": 5}
    token = token_of(ask("GET", "/search", params=query))
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ "))
    response = ask("GET", "/search", params={**query, "token": token[:place] + letter + token[place + 1 :]})
    if response.status_code == 200:
        assert all(feature["collection"] == "plain" for feature in response.json()["features"])
    else:
        assert_refused(response)


SEARCHES: list[dict[str, str]] = [
    {},
    {"ids": "item-1,item-2,item-3,item-4,a"},
    {"collections": "plain"},
    {"bbox": "-180,-90,180,90"},
    {"bbox": "-180,-90,180,89"},
    {"datetime": "1900-01-01T00:00:00Z/.."},
    {"datetime": "../2100-01-01T00:00:00Z"},
    {"filter": "id <> 'x'"},
    {"filter": "id <> 'y'"},
]


@pytest.mark.parametrize("own", SEARCHES)
def test_a_token_of_another_search_is_refused(ask: Ask, own: dict[str, str]) -> None:
    token = token_of(ask("GET", "/search", params={**own, "limit": 1}))
    for other in SEARCHES:
        response = ask("GET", "/search", params={**other, "limit": 1, "token": token})
        if other == own:
            assert response.status_code == 200
        else:
            assert_refused(response)


def test_a_token_can_be_used_again_with_another_limit_and_by_the_other_method(ask: Ask) -> None:
    token = token_of(ask("GET", "/search", params={"collections": "plain", "limit": 3}))
    first = ask("GET", "/search", params={"collections": "plain", "limit": 3, "token": token}).json()
    again = ask("GET", "/search", params={"collections": "plain", "limit": 3, "token": token}).json()
    longer = ask("POST", "/search", json={"collections": ["plain"], "limit": 6, "token": token}).json()
    assert identities([first]) == identities([again]) == identities([longer])[:3]


# --- Links


def test_links_keep_every_parameter_as_it_was_written(ask: Ask) -> None:
    params = {"filter": "text LIKE '%a%' OR text IS NULL", "filter-lang": "cql2-text", "limit": "1", ".x": "a b+c"}
    params |= {"datetime": "1900-01-01T00:00:00.5+01:00/..", "bbox": "-180,-90,180,90"}
    page = ask("GET", "/search", params=params).json()
    links = {link["rel"]: httpx.URL(link["href"]).params for link in page["links"]}
    assert dict(links["next"].multi_items()) == {**params, "token": links["next"]["token"]}


def test_the_next_body_is_complete(ask: Ask) -> None:
    body = {"limit": 1, "collections": ["plain"], "bbox": [-180, -90, 180, 90]}
    link = next(link for link in ask("POST", "/search", json=body).json()["links"] if link["rel"] == "next")
    assert link["method"] == "POST"
    assert {**body, **link["body"]} == link["body"]


@pytest.mark.parametrize("limit", [1, COUNT // 2, COUNT - 1, COUNT, COUNT + 1])
def test_the_first_page_has_no_prev_and_the_last_no_next(ask: Ask, limit: int) -> None:
    rels = []
    response = ask("GET", "/search", params={"limit": limit})
    while True:
        rels.append({link["rel"] for link in response.json()["links"]} & {"next", "prev"})
        if "next" not in rels[-1]:
            break
        response = ask("GET", "/search", params={"limit": limit, "token": token_of(response)})
    pages = -(-COUNT // limit)
    assert rels == [{"next"} if pages > 1 else set(), *[{"next", "prev"}] * (pages - 2), *[{"prev"}] * (pages > 1)]


# --- Sizes


@settings(max_examples=30, deadline=None)
@given(limit=st.integers(1, 200))
def test_every_limit_pages_through_everything_once(ask: Ask, source: Path, limit: int) -> None:
    pages = [ask("GET", "/search", params={"limit": limit})]
    while any(link["rel"] == "next" for link in pages[-1].json()["links"]):
        pages.append(ask("GET", "/search", params={"limit": limit, "token": token_of(pages[-1])}))
    assert identities([page.json() for page in pages]) == expected(read_items(source), {})
    assert all(page.json()["numberReturned"] == limit for page in pages[:-1])


def test_a_limit_above_the_maximum_is_lowered_and_none_is_the_default(source: Path, tmp_path: Path) -> None:
    async def sizes() -> list[int]:
        async with client_of(source, tmp_path / "index.db", wait=True, limit_default=4, limit_max=9) as client:
            asked: list[dict[str, Any]] = [{}, {"limit": 9}, {"limit": 10}, {"limit": 10**30}]
            return [(await ask_by_get(client, params))["numberReturned"] for params in asked]

    assert asyncio.run(sizes()) == [4, 9, 9, 9]


@pytest.mark.parametrize("bytes_max", [1, 2_000, 10_000])
def test_a_page_ends_early_when_it_is_heavy(source: Path, tmp_path: Path, bytes_max: int) -> None:
    async def check() -> None:
        async with client_of(source, tmp_path / "index.db", wait=True, page_bytes_max=bytes_max) as client:
            pages = await walk(client, await ask_by_get(client, {"limit": 100}))
            assert identities(pages) == expected(read_items(source), {})
            assert len(pages) > 2 and all(1 <= page["numberReturned"] < COUNT for page in pages)
            assert {page["numberMatched"] for page in pages} == {COUNT}
            back = await walk(client, pages[-1], "prev")
            assert identities(back[::-1]) == expected(read_items(source), {})

    asyncio.run(check())


def test_collections_are_paged_in_the_order_of_their_ids(ask: Ask) -> None:
    everything = [one["id"] for one in ask("GET", "/collections").json()["collections"]]
    response, found = ask("GET", "/collections", params={"limit": 1}), []
    for _ in everything:
        found += [one["id"] for one in response.json()["collections"]]
        assert response.json()["numberMatched"] == len(everything)
        if len(found) < len(everything):
            response = ask("GET", "/collections", params={"limit": 1, "token": token_of(response)})
    assert found == everything == sorted(everything)
    assert not any(link["rel"] == "next" for link in response.json()["links"])


# --- While the catalog changes


def change_catalog(source: Path, rng: Random, kept: set[str], number: int) -> None:
    """Unlink some items of the root that are not to be kept, and link new ones of every time."""
    path = source / "catalog.json"
    root = json.loads(path.read_text())
    removable = [link for link in root["links"] if link["rel"] == "item" and link["href"] not in kept]
    for link in rng.sample(removable, len(removable) // 2):
        root["links"].remove(link)
    for count in range(5):
        href = f"items/new-{number}-{count}.json"
        (source / href).write_text(json.dumps(random_item(rng, f"new-{number}-{count}", None)))
        root["links"].append({"rel": "item", "href": href})
    path.write_text(json.dumps(root))


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("rel", ["next", "prev"])
@pytest.mark.parametrize("seed", range(3))
def test_what_stays_comes_once_while_other_items_come_and_go(tmp_path: Path, seed: int, rel: str, method: str) -> None:
    source, db, rng = tmp_path / "catalog", tmp_path / "index.db", Random(seed)
    random_catalog(source, seed, 60)
    before = read_items(source)
    links = [link["href"] for link in json.loads((source / "catalog.json").read_text())["links"]]
    kept = {href for href in links if rng.random() < 0.5}

    async def check() -> None:
        async with client_of(source, db, ingest=False) as client:
            page: dict[str, Any] | None
            page = await (ask_by_get(client, {"limit": 7}) if method == "GET" else ask_by_post(client, {"limit": 7}))
            if rel == "prev":
                page = (await walk(client, page))[-1]
            pages = []
            while page is not None:
                pages.append(page)
                change_catalog(source, rng, kept, len(pages))
                ingest_catalog(str(source), db)
                page = await follow(client, page, rel)
            found = identities(pages)
            stayed = {item.identity for item in before} & {item.identity for item in read_items(source)}
            assert len(found) == len(set(found))
            assert stayed <= set(found)

    ingest_catalog(str(source), db)
    asyncio.run(check())
