"""The index file: whose it is, in what state, and what becomes of it when it is old, foreign, damaged or locked."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import sqlite3
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import SAMPLE_CATALOGS
from indexes import find_faults, read_index, read_version
from stacserve import ingest_catalog
from stacserve.errors import StacserveError, StartError
from stacserve.folder import Folder
from stacserve.ingest import source_identity
from stacserve.store import connections, is_usable
from stacserve.store import index as index_module
from stacserve.store.index import open_index
from stacserve.store.tables import SCHEMA_VERSION
from walking import client_of


def run_sql(path: Path, *statements: str) -> list[Any]:
    """Run statements on a database and return the rows of the last."""
    connection = sqlite3.connect(path, isolation_level=None)
    rows: list[Any] = []
    for statement in statements:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


def usable(catalog: Path, index: Path) -> bool:
    return is_usable(index, source_identity(str(catalog)))


# ---- what a new one is like ---------------------------------------------------------


def test_new_index_is_complete_and_in_one_file(catalog: Path, index: Path, tmp_path: Path) -> None:
    assert usable(catalog, index)
    assert find_faults(index) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog", "index.db", "index.db.lock"]
    assert run_sql(index, "PRAGMA journal_mode") == [("wal",)]
    assert run_sql(index, "PRAGMA application_id") == [(int.from_bytes(b"STAC"),)]


def test_folder_of_the_index_is_made(catalog: Path, tmp_path: Path) -> None:
    path = tmp_path / "a/b/index.db"
    ingest_catalog(str(catalog), path)
    assert usable(catalog, path)


def test_served_folder_is_left_as_it_is(catalog: Path, tmp_path: Path) -> None:
    before = sorted(catalog.rglob("*"))
    ingest_catalog(str(catalog))
    assert sorted(catalog.rglob("*")) == before


def test_copy_of_an_index_is_an_index(catalog: Path, index: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(index, copy)
    assert read_index(copy) == read_index(index)
    assert ingest_catalog(str(catalog), copy).indexed == 0


def test_unfinished_index_is_not_served_and_gone_on_with(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_SECONDS_BETWEEN_COMMITS", 0)
    monkeypatch.setattr("stacserve.ingest._BATCH", 10)
    path = tmp_path / "index.db"
    calls = itertools.count()

    def stop(progress: Any) -> None:
        if progress.items >= 30:
            next(calls)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_catalog(str(catalog), path, progress=stop)
    assert not usable(catalog, path)
    report = ingest_catalog(str(catalog), path)
    assert (report.indexed, report.unchanged) == (40, 20)
    assert find_faults(path) == {}
    ingest_catalog(str(catalog), tmp_path / "other.db")
    assert read_index(path) == read_index(tmp_path / "other.db")


# ---- what is not ours ---------------------------------------------------------------


def test_foreign_database_is_refused_and_not_touched(catalog: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    run_sql(path, "CREATE TABLE letters (text)", "INSERT INTO letters VALUES ('dear')")
    before = path.read_bytes()
    with pytest.raises(StartError, match=r"mine.db is not an index of stacserve; .* --db"):
        ingest_catalog(str(catalog), path)
    assert path.read_bytes() == before
    assert not usable(catalog, path)


@pytest.mark.parametrize("text", [b"dear diary", b"SQLite format 3\0", bytes(100), b"x" * 100_000])
def test_other_file_is_refused_and_not_touched(catalog: Path, tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "diary.txt"
    path.write_bytes(text)
    with pytest.raises(StartError, match=r"diary.txt .* --db"):
        ingest_catalog(str(catalog), path)
    assert path.read_bytes() == text
    assert not usable(catalog, path)


def test_folder_in_place_of_an_index(catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is a folder"):
        ingest_catalog(str(catalog), tmp_path)
    assert not usable(catalog, tmp_path)


def test_empty_file_becomes_an_index(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "index.db").touch()
    assert not usable(catalog, tmp_path / "index.db")
    ingest_catalog(str(catalog), tmp_path / "index.db")
    assert usable(catalog, tmp_path / "index.db")


def test_index_of_another_source_is_named(catalog: Path, index: Path) -> None:
    before = read_index(index)
    with pytest.raises(StartError, match=f"index.db is the index of {catalog}, not of .*drone"):
        ingest_catalog(str(SAMPLE_CATALOGS / "drone"), index)
    assert read_index(index) == before


# ---- other versions -----------------------------------------------------------------


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_index_of_another_version_is_rebuilt_inside_its_file(catalog: Path, index: Path, version: int) -> None:
    before, served, old = index.stat().st_ino, read_index(index), read_version(index)
    run_sql(index, "ALTER TABLE items RENAME TO things", f"PRAGMA user_version = {version}")
    assert not usable(catalog, index)
    assert ingest_catalog(str(catalog), index).indexed == 60
    assert (index.stat().st_ino, read_index(index)) == (before, served)
    assert read_version(index) != old
    assert find_faults(index) == {}


def test_whoever_has_an_index_open_outlives_its_rebuilding(catalog: Path, index: Path) -> None:
    async def ask() -> list[int]:
        async with client_of(catalog, index, ingest=False) as client:
            answers = [await client.get("/search")]
            run_sql(index, "PRAGMA user_version = 99")
            with open_index(index, source_identity(str(catalog))):
                answers.append(await client.get("/search"))
            answers.append(await client.get("/search"))
            await asyncio.to_thread(ingest_catalog, str(catalog), index)
            answers.append(await client.get("/search"))
            assert answers[-1].json()["numberMatched"] == 60
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [200, 503, 503, 200]


# ---- damage -------------------------------------------------------------------------


def test_damaged_index_is_told_in_a_sentence(catalog: Path, index: Path) -> None:
    os.truncate(index, index.stat().st_size // 2)
    assert not usable(catalog, index)
    with pytest.raises(StartError, match=r"index.db cannot be used: .*malformed; .*remove it.*\.$"):
        ingest_catalog(str(catalog), index)
    index.unlink()
    assert ingest_catalog(str(catalog), index).indexed == 60


@pytest.mark.parametrize("seed", range(20))
def test_no_damage_is_more_than_a_sentence(catalog: Path, index: Path, seed: int) -> None:
    rng, data = Random(seed), bytearray(index.read_bytes())
    if seed % 4 == 0:
        data = data[: rng.randrange(len(data))]
    for _ in range(rng.choice([1, 30, 1000])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    index.write_bytes(data)
    os.utime(catalog / "catalog.json", (seed, seed))
    usable(catalog, index)
    try:
        ingest_catalog(str(catalog), index)
    except StacserveError as error:
        assert str(error).count("\n") == 0


def test_full_disk_is_told_in_a_sentence(catalog: Path, index: Path) -> None:
    served = read_index(index)
    with pytest.raises(StartError, match="full"), open_index(index, source_identity(str(catalog))) as opened:
        opened.connection.execute("PRAGMA max_page_count = 1")
        with opened.transaction():
            opened.connection.execute("CREATE TABLE large AS SELECT zeroblob(10000000)")
    assert read_index(index) == served


# ---- places that cannot be written, and file systems that lack something ------------


def forbid_shared_memory(index: Path) -> None:
    """Have SQLite fail to make the file of shared memory, without which it reads no write-ahead log."""
    index.with_name("index.db-wal").unlink(missing_ok=True)
    index.with_name("index.db-shm").unlink(missing_ok=True)
    index.with_name("index.db-shm").symlink_to("/nowhere/at/all")


def test_index_in_a_folder_that_cannot_be_written_is_read(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = read_index(index)
    forbid_shared_memory(index)
    with pytest.raises(sqlite3.OperationalError):
        read_index(index)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert read_index(index) == served


def test_index_that_cannot_be_opened_is_not_usable(catalog: Path, index: Path) -> None:
    forbid_shared_memory(index)
    assert not usable(catalog, index)
    with pytest.raises(StartError, match=r"index\.db cannot be used: "):
        ingest_catalog(str(catalog), index)


def test_file_system_without_shared_memory_is_served_with_a_warning(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = sqlite3.connect

    def connect_without(path: Any, **options: Any) -> Any:
        uri = str(path) if options.pop("uri", False) else Path(path).absolute().as_uri() + "?mode=rwc"
        return connect(uri + "&vfs=unix-none", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_without)
    monkeypatch.setattr(connections, "check_sqlite", lambda: None)
    monkeypatch.setattr(index_module, "check_sqlite", lambda: None)
    ingest_catalog(str(catalog), tmp_path / "index.db")
    assert "does not take SQLite's write-ahead log" in caplog.text
    assert len(read_index(tmp_path / "index.db").items) == 60
    assert ingest_catalog(str(catalog), tmp_path / "index.db").indexed == 0


def test_sqlite_without_r_tree_is_told_in_a_sentence(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = SimpleNamespace(execute=lambda sql: [("ENABLE_FTS5",)], close=lambda: None)
    monkeypatch.setattr(connections, "sqlite3", SimpleNamespace(connect=lambda path: connection))
    with pytest.raises(StartError, match="without R-tree"):
        ingest_catalog(str(catalog))


# ---- parts --------------------------------------------------------------------------


def test_settings_are_those_of_folders_not_of_their_spelling(index: Path, catalog: Path) -> None:
    with open_index(index, source_identity(str(catalog))) as opened, opened.transaction():
        opened.set_folder(Folder(str(catalog) + "/./"))
        assert not opened.changed
        opened.set_folder(Folder(str(catalog), [str(catalog.parent)]))
        assert opened.changed
        assert opened.files.count_waiting() == 60
