"""Processes that are killed, and several that want one index: nothing is lost, and nobody waits who need not."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from indexes import find_faults, read_index, read_json
from oracle import read_items
from random_stac import random_catalog
from source_files import collection, item, link, write
from stacserve import ingest, ingest_catalog
from stacserve.ingest import source_identity
from stacserve.search import ItemSearch
from stacserve.store import index, is_usable, open_store
from stacserve.store.lease import hold_lease
from test_ingest import identities
from test_lease import HOLDER
from walking import client_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

COMMAND = [sys.executable, "-m", "stacserve"]
ITEMS = 300


def index_in_small_steps(source: Path, db: Path, opened: Connection) -> None:
    """Ingest with small batches, each of which is committed, as those of a large catalog are; tell when it begins."""

    class Index(index.Index):
        def __init__(self, connection: sqlite3.Connection) -> None:
            super().__init__(connection)
            opened.send(None)

    index.Index, ingest._BATCH, index._SECONDS_BETWEEN_COMMITS = Index, 10, 0  # type: ignore[misc]
    ingest_catalog(str(source), db)


@contextmanager
def indexing(source: Path, db: Path) -> Iterator[BaseProcess]:
    """Run an ingest in another process; the block is entered when it has opened the index."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["httpx", "pytest", "stacserve.app"])
    ours, theirs = context.Pipe()
    process = context.Process(target=index_in_small_steps, args=(source, db, theirs))
    process.start()
    theirs.close()
    ours.recv()
    yield process
    process.kill()
    process.join()
    ours.close()


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command as long as the block runs, at most."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def documents_of(db: Path) -> Any:
    """Return all that is served but queryables: which properties have columns of their own depends on batches."""
    return read_index(db)[:3]


def pages_of(db: Path) -> list[tuple[str, Any]]:
    """Return all items, which one read transaction sees."""

    async def read() -> list[tuple[str, Any]]:
        store = open_store(db)
        page = await store.search_items(ItemSearch(limit=10_000))
        await store.close()
        return [(document.path.decode(), read_json(document)) for document in page.documents]

    return asyncio.run(read())


# ---- killed while an index is built -------------------------------------------------


def test_building_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    rng, db = Random(1), tmp_path / "index.db"
    root = random_catalog(tmp_path / "source", 1, ITEMS)
    source = root.parent
    ingest_catalog(str(source), tmp_path / "whole.db")
    kills, length = 0, 0.5
    for _ in range(20):
        with indexing(source, db) as process:
            begun = time.monotonic()
            process.join(rng.uniform(0, length))
            if process.exitcode is None:
                kills += 1
            else:
                length = min(length, time.monotonic() - begun)
        if is_usable(db, source_identity(str(source))):
            assert documents_of(db) == documents_of(tmp_path / "whole.db")
            db.unlink()
    ingest_catalog(str(source), db)
    assert kills > 3
    assert find_faults(db) == {}
    assert documents_of(db) == documents_of(tmp_path / "whole.db")
    assert identities(read_index(db)) == {one.identity for one in read_items(root)}


# ---- killed while an index is refreshed ---------------------------------------------


def change(source: Path, number: int) -> None:
    """Change, add and remove items of a collection."""
    names = [f"{n}.json" for n in range(number, ITEMS + number)]
    for n, name in enumerate(names):
        if n % 3 == 0 or n > ITEMS - 3:
            write(source / name, item(name, properties={"datetime": None, "number": number}))
    write(source / "collection.json", collection("c", *[link("item", name) for name in names], title=str(number)))


def test_refresh_may_be_killed_at_any_moment_and_is_seen_whole(tmp_path: Path) -> None:
    rng, source, db = Random(2), tmp_path / "source", tmp_path / "index.db"
    for name in range(ITEMS):
        write(source / f"{name}.json", item(f"{name}.json"))
    change(source, 0)
    ingest_catalog(str(source), db)
    old = pages_of(db)
    change(source, 1)
    ingest_catalog(str(source), tmp_path / "new.db")
    new = pages_of(tmp_path / "new.db")
    for _ in range(6):
        with indexing(source, db):
            end = time.monotonic() + rng.uniform(0, 0.3)
            seen = []
            while time.monotonic() < end:
                seen.append(pages_of(db))
        assert all(one in (old, new) for one in [*seen, pages_of(db)])
        assert find_faults(db) == {}
    ingest_catalog(str(source), db)
    assert pages_of(db) == new
    assert find_faults(db) == {}


# ---- several servers ----------------------------------------------------------------


def url_of(process: subprocess.Popen[str]) -> str:
    """Return the address that a server prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("http"):
            return line.strip()
    raise AssertionError(process.communicate()[1])


def test_two_servers_share_an_index_that_is_not_there_yet(catalog: Path, tmp_path: Path) -> None:
    options = [str(catalog), "--port", "0", "--db", str(tmp_path / "index.db")]
    with started(*COMMAND, *options) as first, started(*COMMAND, *options) as second:
        for url in (url_of(first), url_of(second)):
            assert httpx.get(f"{url}/search", params={"limit": 1}).json()["numberMatched"] == 60
    assert find_faults(tmp_path / "index.db") == {}


def test_who_waits_for_an_index_takes_over_when_its_writer_dies(catalog: Path, tmp_path: Path) -> None:
    db = tmp_path / "index.db"
    with started(sys.executable, "-c", HOLDER, str(db)) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with started(*COMMAND, "index", str(catalog), "--db", str(db)) as waiting:
            assert waiting.stderr is not None
            assert "is being written by another process. Waiting for it." in waiting.stderr.readline()
            assert not db.exists()
            holder.kill()
            assert "60 items indexed" in waiting.communicate(timeout=30)[0]
            assert waiting.returncode == 0


def test_served_index_is_not_waited_for(catalog: Path, index: Path) -> None:
    with hold_lease(index, wait_seconds=0), started(*COMMAND, str(catalog), "--port", "0", "--db", str(index)) as one:
        assert httpx.get(url_of(one) + "/collections").json()["numberMatched"] == 3


@pytest.mark.parametrize("finishes", [True, False])
def test_app_waits_for_who_builds_its_index(
    catalog: Path, tmp_path: Path, finishes: bool, caplog: pytest.LogCaptureFixture
) -> None:
    db = tmp_path / "index.db"
    caplog.set_level("INFO")

    async def ask() -> tuple[str, int]:
        with started(sys.executable, "-c", HOLDER, str(db)) as holder:
            assert holder.stdout and holder.stdout.readline() == "held\n"
            async with client_of(catalog, db) as client:
                state = (await client.get("/healthz")).json()["state"]
                if finishes:
                    ingest_elsewhere(catalog, db, tmp_path)
                holder.kill()
                return state, (await client.get("/search")).json()["numberMatched"]

    assert asyncio.run(ask()) == ("building", 60)
    assert "is being written by another process. Waiting for it." in caplog.text


def ingest_elsewhere(catalog: Path, db: Path, folder: Path) -> None:
    """Put a finished index in place, as the holder of the lease would."""
    ingest_catalog(str(catalog), folder / "other.db")
    (folder / "other.db").replace(db)
    os.utime(folder / "index.db.lock")
