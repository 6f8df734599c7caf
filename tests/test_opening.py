"""How an app comes by its store: at start-up or by the first request, built first or refreshed behind."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes import FakeStore, client_of, fetch, make_store
from stacserve import opening
from stacserve.app import create_app
from stacserve.errors import StacserveError, StartError
from stacserve.settings import Settings


class Index:
    """Stands for ingest and index file; `release` lets an ingest that waits go on."""

    def __init__(self, usable: bool) -> None:
        self.usable = usable
        self.ingests = 0
        self.stores: list[FakeStore] = []
        self.error: Exception | None = None
        self.release = threading.Event()
        self.release.set()
        self.ended = threading.Event()

    def ingest_catalog(self, source: str, db: object, *, allow: object) -> Any:
        """Count the call, fail if told to, and leave a usable index."""
        self.ingests += 1
        self.release.wait(30)
        self.ended.set()
        if self.error is not None:
            raise self.error
        self.usable = True
        return SimpleNamespace(collections=2, items=11)

    def open_store(self, path: Path, **options: object) -> FakeStore:
        """Open another store."""
        if not self.usable:
            raise StartError("there is no index")
        self.stores.append(make_store())
        return self.stores[-1]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    """Return an index that is not there yet."""
    index = Index(usable=False)
    monkeypatch.setattr(opening, "index_path", lambda source, db: Path("index.db"))
    monkeypatch.setattr(opening, "is_usable", lambda path, source: index.usable)
    monkeypatch.setattr(opening, "ingest_catalog", index.ingest_catalog)
    monkeypatch.setattr(opening, "open_store", index.open_store)
    return index


def start_and_ask(app: Any, path: str = "/search") -> int:
    """Run start-up, one request, and the end; return the status."""

    async def live() -> int:
        async with app.router.lifespan_context(app), client_of(app) as client:
            return (await client.get(path)).status_code

    return asyncio.run(live())


def test_index_is_built_before_the_first_answer(index: Index) -> None:
    assert fetch(create_app(Settings(source="x")), "/search").status_code == 200
    assert index.ingests == 1


def test_requests_that_come_at_once_share_one_opening(index: Index) -> None:
    app = create_app(Settings(source="x"))

    async def ask_often() -> list[int]:
        async with client_of(app) as client:
            return [answer.status_code for answer in await asyncio.gather(*[client.get("/search") for _ in range(5)])]

    assert asyncio.run(ask_often()) == [200] * 5
    assert (index.ingests, len(index.stores)) == (1, 1)


def test_health_is_told_while_the_index_is_built(index: Index) -> None:
    index.release.clear()
    app = create_app(Settings(source="x"))

    async def watch() -> tuple[Any, Any]:
        async with client_of(app) as client:
            search = asyncio.create_task(client.get("/search"))
            await asyncio.sleep(0.05)
            health = await client.get("/healthz")
            index.release.set()
            return health, await search

    health, search = asyncio.run(watch())
    assert (health.status_code, health.json()["state"]) == (200, "building")
    assert search.status_code == 200


def test_request_that_is_given_up_does_not_end_the_opening(index: Index) -> None:
    index.release.clear()
    app = create_app(Settings(source="x"))

    async def give_up() -> int:
        async with client_of(app) as client:
            impatient = asyncio.create_task(client.get("/search"))
            await asyncio.sleep(0.05)
            impatient.cancel()
            index.release.set()
            return (await client.get("/search")).status_code

    assert asyncio.run(give_up()) == 200
    assert index.ingests == 1


def test_usable_index_is_served_at_once_and_refreshed_behind(index: Index) -> None:
    index.usable = True
    index.release.clear()
    assert start_and_ask(create_app(Settings(source="x"))) == 200
    index.release.set()
    assert index.ended.wait(30)
    assert index.ingests == 1


@pytest.mark.parametrize("error", [StacserveError("half a file"), OSError("gone")])
def test_refresh_that_fails_is_logged(index: Index, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    index.usable, index.error = True, error
    opening._refresh(Settings(source="x"))
    assert "could not be refreshed" in caplog.text
    assert str(error) in caplog.text


def test_waiting_means_to_refresh_first(index: Index) -> None:
    index.usable = True
    assert start_and_ask(create_app(Settings(source="x", wait=True))) == 200
    assert index.ingests == 1


def test_index_is_served_as_it_is_without_ingest(index: Index) -> None:
    index.usable = True
    assert start_and_ask(create_app(Settings(source="x", ingest=False))) == 200
    assert index.ingests == 0


def test_no_index_and_no_ingest_is_unavailable(index: Index) -> None:
    answer = fetch(create_app(Settings(source="x", ingest=False)), "/")
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")
    assert "stacserve index" in answer.json()["description"]


@pytest.mark.parametrize("error", [StartError("no such folder: 'x'"), PermissionError("no such folder: 'x'")])
def test_mistake_ends_the_start(index: Index, error: Exception) -> None:
    index.error = error
    with pytest.raises(StartError, match="no such folder"):
        start_and_ask(create_app(Settings(source="x")))


def test_failed_opening_is_tried_again(index: Index) -> None:
    index.error = StartError("not mounted yet")
    app = create_app(Settings(source="x"))
    assert fetch(app, "/").status_code == 503
    index.error = None
    assert fetch(app, "/").status_code == 200


def test_long_building_goes_on_behind_the_start(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SECONDS_AT_START", 0.01)
    index.release.clear()
    app = create_app(Settings(source="x"))

    async def live() -> list[str]:
        async with app.router.lifespan_context(app), client_of(app) as client:
            states = [(await client.get("/healthz")).json()["state"]]
            index.release.set()
            await client.get("/search")
            return [*states, (await client.get("/healthz")).json()["state"]]

    assert asyncio.run(live()) == ["building", "ready"]


def test_end_before_the_index_is_built(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SECONDS_AT_START", 0.01)
    index.release.clear()
    app = create_app(Settings(source="x"))

    async def live() -> None:
        async with app.router.lifespan_context(app):
            pass

    asyncio.run(live())
    index.release.set()
    assert index.ended.wait(30)
    assert index.stores == []


def test_own_store_is_closed_at_the_end(index: Index) -> None:
    assert start_and_ask(create_app(Settings(source="x"))) == 200
    assert [store.closed for store in index.stores] == [True]
