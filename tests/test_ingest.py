"""A catalog into an index that was not there: the same as the oracle reads, whatever the number of processes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from conftest import SAMPLE_CATALOGS
from indexes import Served, find_faults, read_index, reasons, search_ids
from oracle import Identity, read_items
from random_stac import random_catalog
from source_files import catalog, collection, item, link, write
from stacserve import ingest, ingest_catalog
from stacserve.errors import StartError
from stacserve.ingest import Progress, check_catalog, index_path, source_identity


def identities(served: Served) -> set[Identity]:
    """Return who is served, from the paths."""
    parts = [[unquote(part) for part in path.split("/")] for path in served.items]
    return {Identity((int(kind == "catalogs"), container), item_id) for _, kind, container, _, item_id in parts}


def write_flat(folder: Path, count: int, make: Callable[[int], dict[str, Any]]) -> Path:
    """Write a collection `c` of so many items below a folder."""
    links = [link("item", f"{number}.json") for number in range(count)]
    write(folder / "collection.json", collection("c", *links))
    for number in range(count):
        write(folder / f"{number}.json", make(number))
    return folder


# ---- what is served -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["alps", "drone", "pacific"])
def test_sample_catalog_is_served_whole(tmp_path: Path, name: str) -> None:
    report = ingest_catalog(str(SAMPLE_CATALOGS / name), tmp_path / "index.db")
    served = read_index(tmp_path / "index.db")
    wanted = {one.identity for one in read_items(SAMPLE_CATALOGS / name)}
    assert identities(served) == wanted
    assert (report.items, report.indexed, report.unchanged, report.removed) == (len(wanted), len(wanted), 0, 0)
    assert (report.problems, report.errors) == (0, 0)
    assert report.collections == sum(path.startswith("/collections/") for path in served.nodes)
    assert find_faults(tmp_path / "index.db") == {}


@pytest.mark.parametrize("seed", range(4))
def test_nasty_catalog_is_served_whole(tmp_path: Path, seed: int) -> None:
    root = random_catalog(tmp_path / "source", seed, 60)
    ingest_catalog(str(root), tmp_path / "index.db")
    assert identities(read_index(tmp_path / "index.db")) == {one.identity for one in read_items(root)}
    assert find_faults(tmp_path / "index.db") == {}


@pytest.mark.parametrize("processes", [1, 2])
def test_number_of_processes_makes_no_difference(
    tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_POOL_MIN", 1)
    monkeypatch.setattr(ingest, "_BATCH", 16)
    root = random_catalog(tmp_path / "source", 5, 100)
    write(root.parent / "items/broken.json", "{")
    ingest_catalog(str(root), tmp_path / "many.db", processes=processes)
    ingest_catalog(str(root), tmp_path / "none.db", processes=0)
    assert read_index(tmp_path / "many.db") == read_index(tmp_path / "none.db")
    assert find_faults(tmp_path / "many.db") == {}


def test_flat_folder_of_ten_thousand_items(tmp_path: Path) -> None:
    source = write_flat(tmp_path / "source", 10_000, lambda number: item(str(number), collection="c"))
    report = ingest_catalog(str(source), tmp_path / "index.db")
    assert (report.items, report.problems) == (10_000, 0)
    assert len(read_index(tmp_path / "index.db").items) == 10_000
    assert ingest_catalog(str(source), tmp_path / "index.db").unchanged == 10_000


def test_catalog_without_items(tmp_path: Path) -> None:
    write(tmp_path / "source/catalog.json", catalog())
    report = ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    assert (report.collections, report.items, report.problems) == (0, 0, 0)
    assert read_index(tmp_path / "index.db").items == {}


# ---- items and their collections ----------------------------------------------------


@pytest.mark.parametrize(
    ("own", "served_in", "complains"),
    [
        ("c", "/collections/c", False),
        (None, "/collections/c", False),
        ("d", "/collections/d", True),
        ("nobody", "/collections/c", True),
        (7, "/collections/c", True),
    ],
)
def test_collection_of_an_item(tmp_path: Path, own: Any, served_in: str, complains: bool) -> None:
    write(tmp_path / "source/catalog.json", catalog("root", link("child", "c.json"), link("child", "d.json")))
    write(tmp_path / "source/c.json", collection("c", link("item", "i.json")))
    write(tmp_path / "source/d.json", collection("d"))
    write(tmp_path / "source/i.json", item("i", **({} if own is None else {"collection": own})))
    ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    served = read_index(tmp_path / "index.db")
    assert list(served.items) == [f"{served_in}/items/i"]
    assert served.items[f"{served_in}/items/i"]["collection"] == served_in.rpartition("/")[2]
    assert [problem["pointer"] for problem in served.problems] == ["/collection"] * complains


def test_collection_that_is_found_last_still_has_its_items(tmp_path: Path) -> None:
    write(tmp_path / "source/catalog.json", catalog("root", link("item", "i.json"), link("item", "z.json")))
    write(tmp_path / "source/i.json", item("i", collection="z"))
    write(tmp_path / "source/z.json", collection("z"))
    ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    assert list(read_index(tmp_path / "index.db").items) == ["/collections/z/items/i"]


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
@pytest.mark.parametrize("batch", [1, 100])
def test_first_item_of_an_id_by_path_is_served(
    tmp_path: Path, order: tuple[str, ...], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_BATCH", batch)
    write(tmp_path / "source/collection.json", collection("c", *[link("item", f"{name}.json") for name in order]))
    for name in order:
        write(tmp_path / f"source/{name}.json", item("same", properties={"datetime": None, "from": name}))
    report = ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    served = read_index(tmp_path / "index.db")
    assert [one["properties"]["from"] for one in served.items.values()] == ["a"]
    assert (report.items, report.errors) == (1, 2)
    assert sorted(path for path, reason in reasons(served) if "'same'" in reason) == ["b.json", "c.json"]
    assert find_faults(tmp_path / "index.db") == {}


def test_same_id_in_two_collections_is_no_problem(tmp_path: Path) -> None:
    write(tmp_path / "source/catalog.json", catalog("root", link("child", "c.json"), link("child", "d.json")))
    for name in "cd":
        write(tmp_path / f"source/{name}.json", collection(name, link("item", f"{name}1.json")))
        write(tmp_path / f"source/{name}1.json", item("same"))
    assert ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db").problems == 0
    assert len(read_index(tmp_path / "index.db").items) == 2


# ---- properties ---------------------------------------------------------------------


def test_properties_beyond_the_columns_are_found_as_well(tmp_path: Path) -> None:
    def make(number: int) -> dict[str, Any]:
        values = {f"p{n}": f"{number}.{n}" for n in range(number * 50, number * 50 + 120)}
        return item(str(number), properties={"datetime": None, "n": number, **values})

    write_flat(tmp_path / "source", 5, make)
    ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    for number, name in [(0, 0), (1, 169), (4, 319), (4, 200)]:
        found = search_ids(tmp_path / "source", tmp_path / "index.db", filter=f"p{name} = '{number}.{name}'")
        assert found == [str(number)]
    assert search_ids(tmp_path / "source", tmp_path / "index.db", filter="p60 IS NULL") == ["2", "3", "4"]


def test_property_of_several_types_is_found_by_each(tmp_path: Path) -> None:
    values = [1, 1.5, "1", True, False, None, [1], {"a": 1}, "2024-01-01T00:00:00Z", 2**70, "x"]
    write_flat(
        tmp_path / "source", len(values), lambda n: item(f"{n:02}", properties={"datetime": None, "mixed": values[n]})
    )
    ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    for condition, found in [
        ("mixed = 1", ["00"]),
        ("mixed >= 1", ["00", "01", "09"]),
        ("mixed = '1'", ["02"]),
        ("mixed = TRUE", ["03"]),
        ("mixed < TIMESTAMP('2025-01-01T00:00:00Z')", ["08"]),
        ("mixed IS NULL", ["05"]),
    ]:
        assert search_ids(tmp_path / "source", tmp_path / "index.db", filter=condition) == found


def test_property_names_that_differ_in_case_or_quotes_are_different(tmp_path: Path) -> None:
    names = ["a", "A", 'a"b', "a'b", "ä", "key", "rank", "select", "p1_number"]
    write_flat(tmp_path / "source", len(names), lambda n: item(str(n), properties={"datetime": None, names[n]: 1}))
    ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    for number, name in enumerate(names):
        quoted = name.replace('"', '""')
        found = search_ids(tmp_path / "source", tmp_path / "index.db", filter=f'"{quoted}" = 1')
        assert found == [str(number)]


# ---- reports ------------------------------------------------------------------------


def test_progress_is_told_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_BATCH", 20)
    told: list[Progress] = []
    ingest_catalog(str(SAMPLE_CATALOGS / "alps"), tmp_path / "index.db", progress=told.append)
    assert [one.items for one in told][-3:] == [20, 40, 60]
    assert [one.documents for one in told] == sorted(one.documents for one in told)
    assert told[-1].documents == len(list((SAMPLE_CATALOGS / "alps").rglob("*.json")))


def test_check_tells_all_problems_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path / "source/catalog.json", catalog("root", link("item", "b.json"), link("item", "a.json")))
    write(tmp_path / "source/a.json", "{")
    write(tmp_path / "source/b.json", item("b", geometry={"type": "Nonsense"}))
    problems = check_catalog(str(tmp_path / "source"))
    assert [(problem.path, problem.severity) for problem in problems] == [("a.json", "error"), ("b.json", "warning")]
    assert not (tmp_path / "cache").exists()
    assert check_catalog(str(SAMPLE_CATALOGS / "alps")) == []


def test_index_is_named_after_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(SAMPLE_CATALOGS)
    path = index_path("alps")
    assert path.parent == tmp_path / "stacserve"
    assert path.name.startswith("alps-")
    assert index_path("./alps/catalog.json") == index_path(str(SAMPLE_CATALOGS / "alps/")) == path
    assert index_path("drone") != path
    assert index_path("alps", "x.db") == Path("x.db")


def test_source_is_its_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(SAMPLE_CATALOGS)
    assert source_identity("alps/../alps/") == str(SAMPLE_CATALOGS / "alps")
    assert source_identity("alps/other.json") == str(SAMPLE_CATALOGS / "alps/other.json")


@pytest.mark.parametrize("name", ["ümläut 😀", "a'b\"c", "-x", "%41", "x" * 250, "漢" * 80])
def test_name_of_a_source_may_be_odd(tmp_path: Path, name: str) -> None:
    write(tmp_path / name / "catalog.json", catalog("root", link("item", "i.json")))
    write(tmp_path / name / "i.json", item("i"))
    assert ingest_catalog(str(tmp_path / name)).items == 1
    assert index_path(str(tmp_path / name)).is_file()
    assert len(read_index(index_path(str(tmp_path / name))).items) == 1


def test_name_of_a_source_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    write(folder / "catalog.json", catalog())
    with pytest.raises(StartError, match="is not UTF-8"):
        ingest_catalog(str(folder))


def test_wrong_source_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(StartError):
        ingest_catalog(str(tmp_path / "nothing"), tmp_path / "index.db")
    assert list(tmp_path.iterdir()) == []
