"""Whatever changes in a catalog, and in whatever order, a refreshed index serves what one built anew would."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexes import Served, find_faults, read_index, read_version
from random_changes import RandomCatalog
from stacserve import ingest, ingest_catalog

STEPS = 6


def refresh(source: Path, db: Path) -> None:
    """Refresh an index twice: the second time nothing is read or written, and what is in it fits together."""
    ingest_catalog(str(source), db)
    version = read_version(db)
    assert ingest_catalog(str(source), db).indexed == 0
    assert read_version(db) == version
    assert find_faults(db) == {}


def build(source: Path, db: Path) -> Served:
    """Return what an index serves that is built from nothing."""
    ingest_catalog(str(source), db)
    assert find_faults(db) == {}
    return read_index(db)


def compare(refreshed: Served, built: Served) -> None:
    """Everything is the same; only which of several files with one id a problem names depends on the past."""
    assert refreshed.nodes == built.nodes
    assert refreshed.items == built.items
    assert list(refreshed.items) == list(built.items)
    assert refreshed.queryables == built.queryables
    assert places(refreshed) == places(built)


def places(served: Served) -> list[tuple[str, str, str]]:
    return sorted((problem["path"], problem["pointer"], problem["severity"]) for problem in served.problems)


@pytest.fixture(autouse=True)
def _batches(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read one item at a time for every other seed: then each may meet what those before have done."""
    if seed % 2:
        monkeypatch.setattr(ingest, "_BATCH", 1)


@pytest.mark.parametrize("seed", range(8))
def test_refreshed_index_is_like_one_built_anew(tmp_path: Path, seed: int) -> None:
    source, db = tmp_path / "source", tmp_path / "index.db"
    changing = RandomCatalog(source, seed)
    refresh(source, db)
    for step in range(STEPS):
        changing.change()
        refresh(source, db)
        compare(read_index(db), build(source, tmp_path / f"{step}.db"))


@pytest.mark.parametrize("seed", range(8))
def test_files_that_were_broken_and_mended_leave_no_trace(tmp_path: Path, seed: int) -> None:
    source, db = tmp_path / "source", tmp_path / "index.db"
    changing = RandomCatalog(source, 1000 + seed)
    refresh(source, db)
    for step in range(STEPS):
        changing.change()
        changing.break_files()
        refresh(source, db)
        changing.mend_files()
        refresh(source, db)
        compare(read_index(db), build(source, tmp_path / f"{step}.db"))
