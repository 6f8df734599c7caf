"""Reading threads: time limits, cancelled requests, versions, and a memory that stays small."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from searching import find_ids, index_items, make_item
from stacserve.errors import InvalidFilter, NotFound, QueryTimeout, Unavailable
from stacserve.store import readers as rooms
from stacserve.store.connections import open_reader
from stacserve.store.readers import Memory, Readers
from stacserve.store.snapshot import Snapshot

COUNT_FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index_items(tmp_path_factory.mktemp("readers"), [make_item(f"{number}") for number in range(5)])


@pytest.fixture
def readers(index: Path) -> Iterator[Readers]:
    readers = Readers(index, query_timeout=30)
    yield readers
    readers.close()


def count_items(snapshot: Snapshot) -> int:
    return len(find_ids(snapshot, {}))


def run_forever(snapshot: Snapshot, started: threading.Event | None = None) -> None:
    if started is not None:
        started.set()
    snapshot.connection.execute(COUNT_FOREVER).fetchone()


@pytest.mark.parametrize("quick", [False, True])
def test_a_job_is_answered(readers: Readers, quick: bool) -> None:
    assert asyncio.run(readers.run(count_items, quick=quick)) == 5


@pytest.mark.parametrize("quick", [False, True])
def test_a_job_that_takes_too_long_is_stopped_and_the_next_one_is_answered(index: Path, quick: bool) -> None:
    readers = Readers(index, query_timeout=0.05)
    with pytest.raises(QueryTimeout, match=r"longer than 0\.05 s"):
        asyncio.run(readers.run(run_forever, quick=quick))
    assert asyncio.run(readers.run(count_items, quick=quick)) == 5
    readers.close()


def test_a_search_that_takes_too_long_is_a_timeout(index: Path) -> None:
    readers = Readers(index, query_timeout=-1)

    def search(snapshot: Snapshot) -> int:
        snapshot.connection.execute(COUNT_FOREVER.replace("FROM n) SELECT", "FROM n LIMIT 100000) SELECT")).fetchone()
        return count_items(snapshot)

    with pytest.raises(QueryTimeout):
        asyncio.run(readers.run(search))
    readers.close()


@pytest.mark.parametrize("count", [1, 3, 20])
def test_a_request_that_goes_stops_its_job_and_leaves_the_reader_usable(readers: Readers, count: int) -> None:
    async def check() -> None:
        started = threading.Event()
        job = functools.partial(run_forever, started=started)
        tasks = [asyncio.create_task(readers.run(job)) for _ in range(count)]
        await asyncio.to_thread(started.wait)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}
        assert await asyncio.gather(*[readers.run(count_items) for _ in range(20)]) == [5] * 20

    asyncio.run(check())


def test_a_long_job_lets_others_in(readers: Readers) -> None:
    async def check() -> None:
        started = threading.Event()
        task = asyncio.create_task(readers.run(functools.partial(run_forever, started=started)))
        await asyncio.to_thread(started.wait)
        assert await asyncio.gather(*[readers.run(count_items) for _ in range(5)]) == [5] * 5
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(check())


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (NotFound("x"), NotFound),
        (ValueError("x"), ValueError),
        (sqlite3.OperationalError("no such table: x"), sqlite3.OperationalError),
        (sqlite3.OperationalError("parser stack overflow"), InvalidFilter),
        (sqlite3.OperationalError("Expression tree is too large (maximum depth 1000)"), InvalidFilter),
    ],
)
def test_the_error_of_a_job_comes_back_and_the_next_job_is_answered(
    readers: Readers, quick: bool, error: Exception, raised: type[Exception]
) -> None:
    def fail(snapshot: Snapshot) -> None:
        snapshot.connection.execute("SELECT key FROM items")  # left open
        raise error

    for _ in range(20):
        with pytest.raises(raised):
            asyncio.run(readers.run(fail, quick=quick))
    assert asyncio.run(readers.run(count_items, quick=quick)) == 5


def write(index: Path, *statements: str) -> None:
    """Write into an index as another process would."""
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def test_a_job_sees_one_version_to_its_end(tmp_path: Path) -> None:
    index = index_items(tmp_path, [make_item("a"), make_item("b")])
    readers = Readers(index, query_timeout=30)

    def read_twice(snapshot: Snapshot) -> tuple[int, int]:
        before = count_items(snapshot)
        write(index, "DELETE FROM items WHERE id = 'a'", "UPDATE facts SET value = 'x-2' WHERE name = 'version'")
        return before, count_items(snapshot)

    assert readers.version() != "x-2"
    assert asyncio.run(readers.run(read_twice)) == (2, 2)
    assert readers.version() == asyncio.run(readers.run(lambda snapshot: snapshot.version)) == "x-2"
    assert asyncio.run(readers.run(count_items)) == 1
    readers.close()


def test_an_index_that_is_being_built_says_so(tmp_path: Path) -> None:
    index = index_items(tmp_path, [make_item("a")])
    write(index, "UPDATE facts SET value = 'building' WHERE name = 'state'")
    readers = Readers(index, query_timeout=30)
    with pytest.raises(Unavailable):
        asyncio.run(readers.run(count_items))
    readers.close()


def test_nothing_is_written_by_a_job(readers: Readers) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        asyncio.run(readers.run(lambda snapshot: snapshot.connection.execute("DELETE FROM items")))
    assert asyncio.run(readers.run(count_items)) == 5


def test_there_are_no_more_connections_than_threads(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def open_and_note(path: Path) -> sqlite3.Connection:
        opened.append(path)
        return open_reader(path)

    monkeypatch.setattr(rooms, "open_reader", open_and_note)

    async def many() -> list[int]:
        return await asyncio.gather(*[readers.run(count_items) for _ in range(100)])

    assert asyncio.run(many()) == [5] * 100
    assert len(opened) <= rooms.READERS


# --- Memory


def test_memory_forgets_what_was_not_asked_for_the_longest() -> None:
    memory = Memory(3)
    for key in "abc":
        memory.put(key, key.upper())
    assert memory.get("a") == "A"
    memory.put("d", "D")
    assert [memory.get(key) for key in "abcd"] == ["A", None, "C", "D"]


def test_memory_holds_the_latest_value_of_a_key() -> None:
    memory = Memory(2)
    for number in range(10):
        memory.put("a", number)
        memory.put("b", number)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (9, 9, None)


def test_memory_takes_part_in_many_threads() -> None:
    memory = Memory(10)

    def use(start: int) -> None:
        for number in range(2_000):
            memory.put((start + number) % 50, number)
            memory.get(number % 50)

    threads = [threading.Thread(target=use, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(memory.get(key) is not None for key in range(50)) <= 10
