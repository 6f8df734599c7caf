"""A second start: only what changed is read again, only what is gone is removed, and it is served as a whole."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from indexes import Served, find_faults, read_index, read_version, reasons, search_ids
from source_files import catalog, collection, item, link, write
from stacserve.errors import StartError
from stacserve.folder import Folder
from stacserve.ingest import Report, ingest_catalog
from stacserve.store import index as index_module
from walking import client_of


class Source:
    """A catalog and its index; what is written into it is not fresh (see `source_files.write`)."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = folder / "source"
        self.db = folder / "index.db"
        self.read: list[str] = []
        original = Folder.read

        def read(folder: Folder, path: str) -> Any:
            self.read.append(path)
            return original(folder, path)

        monkeypatch.setattr(Folder, "read", read)

    def write(self, **documents: Any) -> None:
        """Write documents; `a__b` is a/b.json. None removes the file."""
        for name, document in documents.items():
            path = self.root / (name.replace("__", "/") + ".json")
            if document is None:
                path.unlink()
            else:
                write(path, document)

    def ingest(self, **options: Any) -> Report:
        """Build or refresh the index; `read` holds what was read for it, without the look at the root before."""
        self.read.clear()
        report = ingest_catalog(str(self.root), self.db, **options)
        del self.read[0]
        assert find_faults(self.db) == {}
        return report

    def served(self) -> Served:
        """Return what is served."""
        return read_index(self.db)

    def items(self) -> list[str]:
        """Return the paths of all items, sorted."""
        return sorted(self.served().items)

    def reasons(self) -> list[tuple[str, str]]:
        """Return files and reasons of the problems."""
        return reasons(self.served())

    def search(self, **params: Any) -> list[str]:
        """Return the ids of what a search finds."""
        return search_ids(self.root, self.db, **params)

    def counter(self) -> int:
        """Return how often the index has changed."""
        return int(read_version(self.db).rpartition("-")[2])


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """Return a catalog with a collection `c` of items a and b, indexed."""
    source = Source(tmp_path, monkeypatch)
    source.write(
        catalog=catalog("root", link("child", "c/collection.json")),
        c__collection=collection("c", link("item", "a.json"), link("item", "b.json")),
        c__a=item("a", collection="c"),
        c__b=item("b", collection="c"),
    )
    source.ingest()
    return source


A, B = "/collections/c/items/a", "/collections/c/items/b"


# ---- what is read, and what a version is --------------------------------------------


def test_nothing_is_read_and_written_when_nothing_changed(source: Source) -> None:
    version = read_version(source.db)
    report = source.ingest()
    assert source.read == []
    assert (report.indexed, report.unchanged, report.removed, report.items) == (0, 2, 0, 2)
    assert read_version(source.db) == version


def test_only_what_changed_is_read_again(source: Source) -> None:
    before = source.counter()
    source.write(c__a=item("a", collection="c", properties={"datetime": "2020-01-01T00:00:00Z"}))
    report = source.ingest()
    assert source.read == ["c/a.json"]
    assert (report.indexed, report.unchanged) == (1, 1)
    assert source.counter() == before + 1


def test_many_changes_are_one_version(source: Source) -> None:
    before = source.counter()
    source.write(c__a=item("a2"), c__b=None, c__new=item("new"))
    source.write(c__collection=collection("d", link("item", "a.json"), link("item", "new.json")))
    report = source.ingest()
    assert (report.removed, source.counter()) == (1, before + 1)
    assert source.items() == ["/collections/d/items/a2", "/collections/d/items/new"]


def test_version_is_that_of_the_index_not_of_the_process(source: Source, tmp_path: Path) -> None:
    version = read_version(source.db)
    assert read_version(source.db) == version
    ingest_catalog(str(source.root), tmp_path / "other.db")
    assert read_version(tmp_path / "other.db") != version


def test_file_that_was_just_written_is_read_once_more(source: Source) -> None:
    source.write(c__a=item("a", assets={"x": {"href": "x.tif"}}))
    os.utime(source.root / "c/a.json", (time.time(), time.time()))
    source.ingest()
    source.write(c__a=item("a", assets={"y": {"href": "x.tif"}}))
    assert source.ingest().indexed == 1
    assert source.read == ["c/a.json"]
    assert list(source.served().items[A]["assets"]) == ["y"]
    source.ingest()
    assert source.read == []


def test_file_of_the_same_size_and_time_is_known_by_its_inode(source: Source) -> None:
    path = source.root / "c/a.json"
    status = path.stat()
    write(path.with_suffix(".new"), path.read_bytes().replace(b'"a"', b'"z"'))
    os.utime(path.with_suffix(".new"), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.with_suffix(".new").replace(path)
    source.ingest()
    assert source.items() == [B, "/collections/c/items/z"]


def test_changed_item_is_found_where_it_is_now(source: Source) -> None:
    moved: dict[str, Any] = {
        "geometry": {"type": "Point", "coordinates": [-60, -10]},
        "bbox": [-60, -10, -60, -10],
        "properties": {"datetime": "1999-01-01T00:00:00Z", "gsd": 10},
    }
    source.write(c__a=item("a", collection="c", **moved))
    source.ingest()
    assert source.search(bbox="-61,-11,-59,-9") == ["a"]
    assert source.search(bbox="7,46,8,47") == ["b"]
    assert source.search(datetime="../2000-01-01T00:00:00Z") == ["a"]
    assert source.search(filter="gsd = 10") == ["a"]
    assert source.search() == ["b", "a"]


def test_new_properties_are_found_by_filters(source: Source) -> None:
    names = [f"p{number}" for number in range(150)]
    source.write(c__a=item("a", properties={"datetime": None, **{name: 1 for name in names}}))
    source.write(c__b=item("b", properties={"datetime": None, **{name: "x" for name in names}}))
    source.ingest()
    for name in ("p0", "p74", "p149"):
        assert source.search(filter=f"{name} = 1") == ["a"]
        assert source.search(filter=f"{name} = 'x'") == ["b"]


# ---- what is gone, and what is not --------------------------------------------------


def test_item_that_is_linked_no_longer_is_removed(source: Source) -> None:
    source.write(c__collection=collection("c", link("item", "b.json")))
    report = source.ingest()
    assert source.read == ["c/collection.json"]
    assert (report.removed, report.items) == (1, 1)
    assert source.items() == [B]


def test_collection_that_is_linked_no_longer_is_removed_with_all_below(source: Source) -> None:
    source.write(catalog=catalog("root"))
    report = source.ingest()
    assert (report.collections, report.items, report.removed) == (0, 0, 2)
    assert list(source.served().nodes) == ["/"]


@pytest.mark.parametrize("name", ["c__a", "c__collection"])
def test_linked_file_that_is_gone_stays_served_until_it_is_back(source: Source, name: str) -> None:
    before = source.served()
    path = source.root / (name.replace("__", "/") + ".json")
    text = path.read_bytes()
    path.unlink()
    source.ingest()
    after = source.served()
    assert (after.items, after.nodes) == (before.items, before.nodes)
    assert [problem["path"] for problem in after.problems] == [str(path.relative_to(source.root))]
    version = read_version(source.db)
    source.ingest()
    assert read_version(source.db) == version
    write(path, text)
    source.ingest()
    assert source.served() == before


@pytest.mark.parametrize("text", [b"", b'{"type": "Collec', b"[]", b'{"type": "Feature"', b"\xff\xfe", b"{}"])
@pytest.mark.parametrize("name", ["c/a.json", "c/collection.json", "catalog.json"])
def test_half_written_file_keeps_what_it_said_and_all_below(source: Source, name: str, text: bytes) -> None:
    if (name, text) == ("catalog.json", b"{}"):
        return  # no STAC at all: see test_source_that_is_no_catalog_any_more
    before, whole = source.served(), (source.root / name).read_bytes()
    write(source.root / name, text)
    assert source.ingest().removed == 0
    after = source.served()
    assert (after.items, after.nodes) == (before.items, before.nodes)
    assert [problem["path"] for problem in after.problems] == [name]
    version = read_version(source.db)
    source.ingest()
    assert read_version(source.db) == version
    write(source.root / name, whole)
    source.ingest()
    assert source.served() == before


def test_items_below_a_broken_collection_are_refreshed(source: Source) -> None:
    source.write(c__collection="{", c__a=item("a", collection="c", properties={"datetime": None, "new": 1}))
    source.ingest()
    assert source.search(filter="new = 1") == ["a"]


@pytest.mark.parametrize("spoil", [lambda root: root.unlink(), lambda root: root.write_text('{"a": 1}')])
def test_source_that_is_no_catalog_any_more(source: Source, spoil: Any) -> None:
    spoil(source.root / "catalog.json")
    with pytest.raises(StartError):
        source.ingest()
    assert source.items() == [A, B]


@pytest.mark.parametrize("text", [None, "{", '{"a": 1}'])
def test_app_serves_what_it_has_when_the_root_is_broken(
    source: Source, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    source.write(catalog=text)

    async def ask() -> list[int]:
        async with client_of(source.root, source.db) as client:
            return [(await client.get(path)).status_code for path in ("/", A, "/collections", "/problems")]

    assert asyncio.run(ask()) == [200] * 4


def test_missing_file_that_comes_later_is_read(source: Source) -> None:
    source.write(c__collection=collection("c", link("item", "a.json"), link("child", "d/catalog.json")))
    source.ingest()
    assert [path for path, _ in source.reasons()] == ["c/collection.json"]
    source.write(c__d__catalog=catalog("d", link("item", "../b.json")))
    source.ingest()
    assert source.reasons() == []
    assert source.items() == [A, B]
    assert "/catalogs/c:d" in source.served().nodes


# ---- what depends on something else -------------------------------------------------


def test_items_follow_their_collection_to_another_id(source: Source) -> None:
    source.write(c__collection=collection("d", link("item", "a.json"), link("item", "b.json")))
    assert source.ingest().indexed == 2
    assert source.items() == ["/collections/d/items/a", "/collections/d/items/b"]
    assert {document["collection"] for document in source.served().items.values()} == {"d"}


def test_collection_becomes_a_catalog_and_back(source: Source) -> None:
    before = source.served()
    links = link("item", "a.json"), link("item", "b.json")
    source.write(c__collection=catalog("c", *links))
    source.ingest()
    assert source.items() == ["/catalogs/c/items/a", "/catalogs/c/items/b"]
    source.write(c__collection=collection("c", *links))
    source.ingest()
    assert source.served() == before


def test_catalog_moves_with_all_below(source: Source) -> None:
    source.write(catalog=catalog("root", link("child", "c/collection.json"), link("child", "x/catalog.json")))
    source.write(x__catalog=catalog("x", link("child", "y.json")), x__y=catalog("y", link("item", "i.json")))
    source.write(x__i=item("i"))
    source.ingest()
    assert "/catalogs/x:y/items/i" in source.items()
    source.write(x__catalog=catalog("x"))
    source.write(c__collection=collection("c", link("item", "a.json"), link("child", "../x/y.json")))
    source.ingest()
    assert source.items() == [A, "/collections/c/items/i"]
    assert source.served().nodes["/catalogs/c:y"]["parent"] == "/collections/c"


def test_item_of_two_catalogs_stays_with_the_one_that_is_left(source: Source) -> None:
    links = [link("child", "c/collection.json"), link("child", "d.json")]
    source.write(catalog=catalog("root", *links), d=collection("d", link("item", "c/a.json")))
    source.ingest()
    assert source.items() == [A, B]
    source.write(c__collection=collection("c", link("item", "b.json")), c__a=item("a"))
    source.ingest()
    assert source.items() == [B, "/collections/d/items/a"]
    source.write(d=collection("d"))
    source.ingest()
    assert source.items() == [B]


def test_collection_that_an_item_names_may_come_and_go(source: Source) -> None:
    source.write(c__a=item("a", collection="d"))
    source.ingest()
    assert source.items() == [A, B]
    assert [path for path, _ in source.reasons()] == ["c/a.json"]
    source.write(catalog=catalog("root", link("child", "c/collection.json"), link("child", "d.json")))
    source.write(d=collection("d"))
    source.ingest()
    assert source.items() == [B, "/collections/d/items/a"]
    source.write(catalog=catalog("root", link("child", "c/collection.json")))
    source.ingest()
    assert source.items() == [A, B]


def test_second_collection_of_an_id_is_served_when_the_first_goes(source: Source) -> None:
    first = collection("c", title="first")
    source.write(a=first, catalog=catalog("root", link("child", "c/collection.json"), link("child", "a.json")))
    source.ingest()
    assert source.served().nodes["/collections/c"]["title"] == "first"
    assert [path for path, _ in source.reasons()] == ["c/collection.json"]
    assert source.items() == [A, B]
    source.write(catalog=catalog("root", link("child", "c/collection.json")))
    source.ingest()
    assert "title" not in source.served().nodes["/collections/c"]
    assert source.reasons() == []


def twin(origin: str, item_id: str = "twin") -> dict[str, Any]:
    return item(item_id, properties={"datetime": None, "from": origin})


@pytest.mark.parametrize(
    ("change", "served"),
    [
        ({}, {"a": "twin"}),
        ({"c__collection": collection("c", link("item", "b.json"))}, {"b": "twin"}),
        ({"c__a": twin("a", "other")}, {"a": "other", "b": "twin"}),
        ({"c__b": twin("b", "other")}, {"a": "twin", "b": "other"}),
        ({"c__a": catalog("x")}, {"b": "twin"}),
        ({"c__a": "{"}, {"a": "twin"}),
    ],
)
def test_one_of_two_items_of_an_id_is_served(source: Source, change: dict[str, Any], served: dict[str, str]) -> None:
    source.write(c__a=twin("a"), c__b=twin("b"))
    source.ingest()
    assert [path for path, reason in source.reasons() if "'twin'" in reason] == ["c/b.json"]
    source.write(**change)
    source.ingest()
    assert {one["properties"]["from"]: one["id"] for one in source.served().items.values()} == served
    assert any("'twin'" in reason for _, reason in source.reasons()) == (served == {"a": "twin"})


@pytest.mark.parametrize("batch", [1, 250])
def test_ids_go_from_file_to_file(source: Source, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stacserve.ingest._BATCH", batch)
    names = ["c/d.json", "c/c.json", "c/b.json", "c/a.json"]
    source.write(c__collection=collection("c", *[link("item", Path(name).name) for name in names]))
    for shift in range(4):
        for number, name in enumerate(names):
            write(source.root / name, item(str((number + shift) % 4), properties={"datetime": None, "from": name}))
        source.ingest()
        served = {document["properties"]["from"]: document["id"] for document in source.served().items.values()}
        assert served == {name: str((number + shift) % 4) for number, name in enumerate(names)}
        assert not any("as well" in reason for _, reason in source.reasons())


def test_file_that_comes_first_by_path_takes_over_an_id(source: Source) -> None:
    source.write(c__collection=collection("c", *[link("item", name) for name in ("a.json", "b.json", "0.json")]))
    source.write(c__0=twin("0", "a"))
    source.ingest()
    assert source.served().items[A]["properties"]["from"] == "0"
    assert source.items() == [A, B]
    assert [path for path, reason in source.reasons() if "c/0.json" in reason] == ["c/a.json"]


def test_item_becomes_a_catalog_and_back(source: Source) -> None:
    before = source.served()
    source.write(c__a=catalog("inner", link("item", "i.json")), c__i=item("i"))
    source.ingest()
    assert source.items() == [B, "/collections/c/items/i"]
    source.write(c__a=item("a", collection="c"))
    source.ingest()
    assert source.served() == before


def test_collection_becomes_an_item_and_all_below_goes(source: Source) -> None:
    source.write(c__collection=item("c"))
    source.ingest()
    assert source.items() == ["/catalogs/root/items/c"]
    assert list(source.served().nodes) == ["/"]


def test_links_to_other_documents_follow_them(source: Source) -> None:
    asset = {"x": {"href": "b.json"}}
    source.write(c__a=item("a", collection="c", assets=asset, links=[link("derived_from", "b.json")]))
    source.ingest()
    assert related(source, A) == [B]
    assert source.served().items[A]["assets"]["x"]["href"] == "/assets/c/b.json"
    source.write(c__b=item("new", collection="c"))
    source.ingest()
    assert related(source, A) == ["/collections/c/items/new"]
    source.write(c__collection=collection("c", link("item", "a.json")))
    source.ingest()
    assert related(source, A) == ["/assets/c/b.json"]
    source.write(c__collection=collection("c", link("item", "a.json"), link("item", "b.json")))
    source.ingest()
    assert related(source, A) == ["/collections/c/items/new"]


def test_items_that_change_ids_with_each_other_keep_the_links_to_them(source: Source) -> None:
    links = [link("related", "a.json"), link("related", "b.json"), link("related", "collection.json")]
    source.write(catalog=catalog("root", link("child", "c/collection.json"), link("about", "c/a.json")))
    source.write(c__collection=collection("c", *[link("item", f"{name}.json") for name in "abz"]))
    source.write(c__z=item("z", links=links))
    source.ingest()
    assert related(source, "/collections/c/items/z") == [A, B, "/collections/c"]
    source.write(c__a=item("b"), c__b=item("a"))
    source.ingest()
    assert related(source, "/collections/c/items/z") == [B, A, "/collections/c"]
    assert [one["href"] for one in source.served().nodes["/"]["links"]] == [B]


def related(source: Source, path: str) -> list[str]:
    return [one["href"] for one in source.served().items[path]["links"]]


# ---- settings and roots -------------------------------------------------------------


def test_allowed_folder_has_all_read_again(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "beside/o.json", item("o"))
    source.write(catalog=catalog("root", link("child", "c/collection.json"), link("item", "../beside/o.json")))
    source.ingest()
    assert [path for path, _ in source.reasons()] == ["catalog.json"]
    monkeypatch.chdir(tmp_path)
    assert source.ingest(allow=["beside"]).indexed == 3
    assert "/catalogs/root/items/o" in source.items()
    assert source.ingest(allow=[str(tmp_path / "beside")]).indexed == 0
    assert source.ingest().removed == 1
    assert source.items() == [A, B]


def test_another_address_of_publication_has_all_read_again(source: Source) -> None:
    base = "https://example.com/stac/"
    source.write(c__collection=collection("c", link("item", base + "c/a.json")))
    source.ingest()
    assert source.items() == []
    source.write(catalog=catalog("root", link("child", "c/collection.json"), link("self", base + "catalog.json")))
    source.ingest()
    assert source.items() == [A]
    source.write(catalog="{")
    assert source.ingest().indexed == 0
    assert source.items() == [A]


def test_other_file_becomes_the_root(source: Source) -> None:
    source.write(collection=collection("top", link("child", "c/collection.json")), catalog=None)
    source.ingest()
    served = source.served()
    assert sorted(served.nodes) == ["/", "/collections/c", "/collections/top"]
    assert source.items() == [A, B]
    source.write(catalog=catalog("root", link("child", "collection.json")))
    source.ingest()
    assert source.served().nodes["/"]["id"] == "root"
    assert source.served().nodes["/collections/c"]["parent"] == "/collections/top"
    assert source.items() == [A, B]


def test_old_root_stays_until_the_new_one_can_be_read(source: Source) -> None:
    source.write(collection=(source.root / "catalog.json").read_bytes(), catalog=None)
    source.ingest()
    source.write(catalog="{")
    source.ingest()
    assert source.items() == [A, B]


# ---- readers meanwhile --------------------------------------------------------------


def test_readers_see_the_old_version_until_the_end(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = source.served(), []
    finish = index_module.Index.finish

    def look_and_finish(index: index_module.Index) -> None:
        seen.append(source.served())
        finish(index)

    monkeypatch.setattr(index_module.Index, "finish", look_and_finish)
    source.write(c__a=item("other"), c__collection=collection("d", link("item", "a.json")))
    source.ingest()
    assert seen == [before]
    assert source.items() == ["/collections/d/items/other"]


def test_open_app_answers_with_the_new_version(source: Source) -> None:
    async def ask() -> list[list[str]]:
        async with client_of(source.root, source.db, ingest=False) as client:
            found = []
            for new_id in ("x", "y"):
                source.write(c__a=item(new_id, collection="c"))
                await asyncio.to_thread(ingest_catalog, str(source.root), source.db)
                features = (await client.get("/search")).json()["features"]
                found.append(sorted(feature["id"] for feature in features))
            return found

    assert asyncio.run(ask()) == [["b", "x"], ["b", "y"]]


def test_ingest_that_fails_leaves_the_old_version(source: Source) -> None:
    version = read_version(source.db)
    source.write(c__a=item("other"))

    def stop(progress: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest_catalog(str(source.root), source.db, progress=stop)
    assert (read_version(source.db), source.items()) == (version, [A, B])
    source.ingest()
    assert source.items() == [B, "/collections/c/items/other"]


def test_app_refreshes_behind_its_back(source: Source) -> None:
    source.write(c__a=item("other"))

    async def ask() -> int:
        async with client_of(source.root, source.db) as client:
            for _ in range(200):
                answer = await client.get("/collections/c/items/other")
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.02)
            return answer.status_code

    assert asyncio.run(ask()) == 200
