"""Bad catalogs: each fault is a problem that says where, why and what to do; all else is served, and nothing raises."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes import Served, find_faults, read_index, search_ids
from source_files import catalog, collection, item, link, write
from stacserve import ingest_catalog

GOOD = "/collections/c/items/good"
BAD = "/collections/c/items/bad"
WORLD = {"bbox": "-180,-90,180,90"}


def serve_bad(folder: Path, bad: Any) -> Served:
    """Serve a collection of a good item and of one that a test makes."""
    source, db = folder / "source", folder / "index.db"
    write(source / "catalog.json", catalog("root", link("child", "collection.json")))
    write(source / "collection.json", collection("c", link("item", "bad.json"), link("item", "good.json")))
    write(source / "good.json", item("good"))
    if bad is not None:
        write(source / "bad.json", bad)
    ingest_catalog(str(source), db)
    assert find_faults(db) == {}
    served = read_index(db)
    assert GOOD in served.items
    assert all(problem["path"] and problem["reason"] and problem["advice"] for problem in served.problems)
    return served


def complaints(served: Served, path: str = "bad.json") -> list[tuple[str, str]]:
    return [(problem["pointer"], problem["severity"]) for problem in served.problems if problem["path"] == path]


# ---- items --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" \n",
        b"{",
        json.dumps(item("bad")).encode()[:-20],
        json.dumps(item("bad")).encode() + b"}",
        json.dumps(item("bad", properties={"datetime": None, "x": float("nan")})).encode(),
        json.dumps(item("bad", properties={"datetime": None, "x": float("inf")})).encode(),
        json.dumps(item("bä")).replace("\\u00e4", "ä").encode("latin-1"),
        json.dumps(item("bad")).encode("utf-16"),
        json.dumps(item("\ud800")).encode(),
        bytes(range(256)),
        b"\x1f\x8b\x08\x00",
        b"null",
        b"[]",
        b"3",
        b'"Feature"',
        b"{}",
        b'{"type": "Feature", "id": ' + b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        json.dumps(item("bad", deep="x")).replace('"x"', "[" * 600 + "]" * 600).encode(),
    ],
    ids=range(20),
)
def test_file_that_is_no_item_is_an_error(tmp_path: Path, text: bytes) -> None:
    served = serve_bad(tmp_path, text)
    assert list(served.items) == [GOOD]
    assert complaints(served) == [("", "error")]


@pytest.mark.parametrize("kind", ["FeatureCollection", "Point", "feature", 5])
def test_json_of_another_type_is_an_error(tmp_path: Path, kind: Any) -> None:
    served = serve_bad(tmp_path, {"type": kind, "id": "bad", "features": []})
    assert list(served.items) == [GOOD]
    assert complaints(served) == [("/type", "error")]


@pytest.mark.parametrize("wrong", [None, "", "a\0b", [], {}, True])
def test_item_without_a_usable_id_is_an_error(tmp_path: Path, wrong: Any) -> None:
    served = serve_bad(tmp_path, item(wrong))
    assert list(served.items) == [GOOD]
    assert complaints(served) == [("/id", "error")]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"links": None}, "/links"),
        ({"links": 5}, "/links"),
        ({"links": [1, None, {}, {"rel": "x"}, {"rel": [], "href": {}}]}, "/links/0"),
        ({"properties": None}, "/properties"),
        ({"properties": ["datetime"]}, "/properties"),
        ({"assets": [1]}, "/assets"),
        ({"assets": {"x": 1}}, "/assets/x"),
        ({"assets": {"x": {"href": 1}}}, "/assets/x"),
        ({"assets": {"x": {"href": "/etc/passwd"}}}, "/assets/x/href"),
        ({"assets": {"x": {"href": "file:///etc/passwd"}}}, "/assets/x/href"),
        ({"geometry": 1}, "/geometry"),
        ({"geometry": {}}, "/geometry"),
        ({"geometry": {"type": "Point", "coordinates": []}}, "/geometry"),
        ({"geometry": {"type": "Point", "coordinates": ["a", "b"]}}, "/geometry"),
        ({"geometry": {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}}, "/geometry"),
        ({"geometry": {"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection"}]}}, "/geometry"),
        ({"properties": {"datetime": "yesterday"}}, "/properties"),
        ({"properties": {"datetime": 5}}, "/properties"),
        ({"properties": {}}, "/properties"),
        ({"properties": {"datetime": "2024-13-41T25:61:61Z"}}, "/properties"),
        ({"properties": {"start_datetime": "2025-01-01T00:00:00Z", "end_datetime": "2024-01-01T00:00:00Z"}},
         "/properties"),
        ({"stac_version": 7}, "/stac_version"),
        ({"collection": {"id": "c"}}, "/collection"),
    ],
)  # fmt: skip
def test_item_that_is_wrong_in_parts_is_served_with_a_warning(
    tmp_path: Path, changes: dict[str, Any], pointer: str
) -> None:
    served = serve_bad(tmp_path, item("bad", **changes))
    assert sorted(served.items) == [BAD, GOOD]
    assert (pointer, "warning") in complaints(served)
    assert search_ids(tmp_path / "source", tmp_path / "index.db", ids="bad") == ["bad"]
    assert "etc/passwd" not in json.dumps(served.items)


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [1e999, 0]},
        {"type": "Polygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "LineString", "coordinates": [[0, 0]]},
        {"type": "Circle", "coordinates": [0, 0]},
        None,
    ],
)
def test_geometry_that_is_none_matches_nothing_in_space(tmp_path: Path, geometry: Any) -> None:
    text = json.dumps(item("bad", geometry=geometry)).replace("Infinity", "1e999")
    serve_bad(tmp_path, text)
    assert search_ids(tmp_path / "source", tmp_path / "index.db", **WORLD) == ["good"]
    assert search_ids(tmp_path / "source", tmp_path / "index.db", filter="id = 'bad'") == ["bad"]


def test_ring_that_crosses_itself_is_found_in_space(tmp_path: Path) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]]}
    served = serve_bad(tmp_path, item("bad", geometry=bow_tie))
    assert search_ids(tmp_path / "source", tmp_path / "index.db", bbox="-1,-1,0.1,3") == ["bad"]
    assert complaints(served) == [("/geometry", "warning")]
    assert served.items[BAD]["geometry"] == bow_tie


def test_item_of_ten_megabytes_is_served(tmp_path: Path) -> None:
    line = [[n / 1e5, (n % 2) / 1e3] for n in range(100_000)]
    large = item("bad", geometry={"type": "LineString", "coordinates": line}, text="x" * 10**7)
    served = serve_bad(tmp_path, large)
    assert len(served.items[BAD]["geometry"]["coordinates"]) == 100_000
    assert served.problems == []


@pytest.mark.parametrize("text", ["\0", "a\0b", "\x01", "\u2028", "\ufeff", "\x7f", "<script>", "');--", "\U0010ffff"])
def test_odd_texts_are_served_as_they_are(tmp_path: Path, text: str) -> None:
    properties = {"datetime": None, "x": text, "y": [text], f"name{text}": 1}
    served = serve_bad(tmp_path, item("bad", title=text, properties=properties))
    assert served.items[BAD]["properties"] == properties
    assert search_ids(tmp_path / "source", tmp_path / "index.db", filter="id LIKE 'b%'") == ["bad"]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "1" + "0" * 30, "1e-400", "-0", "0.1e1"])
def test_odd_numbers_are_served(tmp_path: Path, number: str) -> None:
    text = json.dumps(item("bad", properties={"datetime": None, "x": "N"})).replace('"N"', number)
    assert BAD in serve_bad(tmp_path, text).items
    assert search_ids(tmp_path / "source", tmp_path / "index.db", filter="x IS NOT NULL") == ["bad"]


# ---- files --------------------------------------------------------------------------


def test_missing_file_is_an_error_of_what_links_it(tmp_path: Path) -> None:
    assert complaints(serve_bad(tmp_path, None), "collection.json") == [("/links/0/href", "error")]


@pytest.mark.parametrize("kind", ["folder", "pipe", "link outside", "link to itself", "link to nothing", "device"])
def test_special_file_is_never_opened(tmp_path: Path, kind: str) -> None:
    bad, outside = tmp_path / "source/bad.json", write(tmp_path / "outside.json", item("secret"))
    bad.parent.mkdir()
    makers: dict[str, Any] = {
        "folder": bad.mkdir,
        "pipe": lambda: os.mkfifo(bad),
        "link outside": lambda: bad.symlink_to(outside),
        "link to itself": lambda: bad.symlink_to(bad),
        "link to nothing": lambda: bad.symlink_to("nothing"),
        "device": lambda: bad.symlink_to("/dev/zero"),
    }
    makers[kind]()
    served = serve_bad(tmp_path, None)
    assert list(served.items) == [GOOD]
    assert complaints(served, "collection.json") == [("/links/0/href", "error")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "source/bad.json", item("bad")).chmod(0)
    assert complaints(serve_bad(tmp_path, None)) == [("", "error")]


@pytest.mark.parametrize(
    "name",
    ["a b.json", "100%.json", "a%20b.json", "ä.json", "😀.json", "a\nb.json", "'.json", "+1/x.json", "con", "x" * 240],
)
def test_files_of_odd_names_are_served(tmp_path: Path, name: str) -> None:
    write(tmp_path / "source" / name, item("bad", assets={"x": {"href": "./x.tif"}}))
    write(tmp_path / "source/catalog.json", catalog("root", link("item", name)))
    ingest_catalog(str(tmp_path / "source"), tmp_path / "index.db")
    assert list(read_index(tmp_path / "index.db").items) == ["/catalogs/root/items/bad"]


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.json")
    try:
        (tmp_path / "source").mkdir()
        write(tmp_path / "source" / name, item("bad"))
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    served = serve_bad(tmp_path, None)
    assert list(served.items) == [GOOD]


# ---- catalogs and collections -------------------------------------------------------


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"\xff", b"null", b'{"type": "Catalog"' + b"[" * 10_000])
def test_broken_catalog_costs_no_other(tmp_path: Path, text: bytes) -> None:
    source = tmp_path / "source"
    write(source / "catalog.json", catalog("root", link("child", "bad.json"), link("child", "c.json")))
    write(source / "bad.json", text)
    write(source / "c.json", collection("c", link("item", "good.json")))
    write(source / "good.json", item("good"))
    ingest_catalog(str(source), tmp_path / "index.db")
    served = read_index(tmp_path / "index.db")
    assert list(served.items) == [GOOD]
    assert complaints(served) == [("", "error")]


@pytest.mark.parametrize(
    "changes",
    [
        {"links": 5},
        {"links": [None, 1, {"rel": "child"}, {"rel": "item", "href": 5}, {"rel": 5, "href": "x"}]},
        {"extent": None},
        {"extent": {"spatial": [], "temporal": 5}},
        {"description": None},
        {"title": 5},
        {"stac_version": "x"},
        {"assets": 5},
        {"summaries": [1]},
        {"providers": "x"},
        {"id": 5},
    ],
)
@pytest.mark.parametrize("make", [catalog, collection])
def test_container_that_is_wrong_in_parts_is_served(tmp_path: Path, make: Any, changes: dict[str, Any]) -> None:
    source = tmp_path / "source"
    write(source / "catalog.json", catalog("root", link("child", "x/bad.json")))
    write(source / "x/bad.json", make("bad", **changes))
    ingest_catalog(str(source), tmp_path / "index.db")
    assert len(read_index(tmp_path / "index.db").nodes) == 2
    assert find_faults(tmp_path / "index.db") == {}


@pytest.mark.parametrize("wrong", [None, "", [], "a\0b"])
def test_container_without_a_usable_id_is_named_after_its_folder(tmp_path: Path, wrong: Any) -> None:
    source = tmp_path / "source"
    write(source / "catalog.json", catalog("root", link("child", "x/collection.json")))
    write(source / "x/collection.json", collection(wrong, link("item", "i.json")))
    write(source / "x/i.json", item("i"))
    ingest_catalog(str(source), tmp_path / "index.db")
    assert list(read_index(tmp_path / "index.db").items) == ["/collections/x/items/i"]


# ---- whatever happens to the files --------------------------------------------------


def nested_catalog() -> dict[str, Any]:
    """Return documents by file name; ids are long enough that no small change makes two of them equal."""
    documents: dict[str, Any] = {"catalog.json": catalog("the-root")}
    for number, kind in enumerate([catalog, collection, collection]):
        name = f"c{number}"
        items = [f"{name}/{n}.json" for n in range(3)]
        links = [link("item", f"{n}.json") for n in range(3)]
        documents["catalog.json"]["links"].append(link("child", f"{name}/node.json"))
        documents[f"{name}/node.json"] = kind(f"container-{name * 5}", *links)
        for n, file in enumerate(items):
            related = link("related", f"{(n + 1) % 3}.json")
            documents[file] = item(f"item-{number}-{str(n) * 20}", links=[related], assets={"x": {"href": "x.tif"}})
    return documents


DOCUMENTS = nested_catalog()
NASTY: list[Any] = [
    None, True, 0, -1, 2**70, 1e308, "", "\0", "\u0001", "x" * 5_000, [], {}, [[[]]], {"a": None}, [None] * 3,
    "Feature", "Catalog", "Collection", "0.8.1", "../../..", "file:///", "//x", "9999-99",
    {"type": "Point", "coordinates": [[1]]},
]  # fmt: skip


@st.composite
def spoilt_files(draw: st.DrawFn) -> dict[str, bytes]:
    """Draw new contents for some of the files."""
    # all but the root: one that is no STAC at all ends the start with a sentence
    below = sorted(DOCUMENTS.keys() - {"catalog.json"})
    names = draw(st.lists(st.sampled_from(below), min_size=1, max_size=4, unique=True))
    return {name: draw(st.one_of(spoilt_bytes(name), spoilt_members(name))) for name in names}


@st.composite
def spoilt_bytes(draw: st.DrawFn, name: str) -> bytes:
    """Draw the text of a file, cut or with other bytes in it."""
    data = bytearray(json.dumps(DOCUMENTS[name]).encode())
    for position, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=3)):
        data[position] = value
    return bytes(data[: draw(st.one_of(st.none(), st.integers(0, len(data))))])


@st.composite
def spoilt_members(draw: st.DrawFn, name: str) -> bytes:
    """Draw a document of which some members are gone or something else."""
    document = copy.deepcopy(DOCUMENTS[name])
    for _ in range(draw(st.integers(1, 3))):
        place = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], (dict, list)) and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                del place[key]
            else:
                place[key] = copy.deepcopy(draw(st.sampled_from(NASTY)))
            break
    return json.dumps(document).encode()


def untouched(files: dict[str, bytes]) -> set[str]:
    """Return the ids of the items whose files and those above are as they were."""
    ways = {name: ["catalog.json", f"{name[:2]}/node.json", name] for name in DOCUMENTS if name[-6].isdigit()}
    return {DOCUMENTS[name]["id"] for name, way in ways.items() if not files.keys() & set(way)}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=spoilt_files())
def test_nothing_that_happens_to_files_raises_or_costs_others(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, db = Path(folder) / "source", Path(folder) / "index.db"
        for name, document in (DOCUMENTS | files).items():
            write(root / name, document)
        ingest_catalog(str(root), db)
        assert find_faults(db) == {}
        served = read_index(db)
        assert {document["id"] for document in served.items.values()} >= untouched(files)
        assert all(problem["reason"] and problem["advice"] for problem in served.problems)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files=spoilt_files(), later=spoilt_files())
def test_what_was_spoilt_can_be_mended(files: dict[str, bytes], later: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, db = Path(folder) / "source", Path(folder) / "index.db"
        for one in (DOCUMENTS, files, later, {name: DOCUMENTS[name] for name in files | later}):
            for name, document in one.items():
                write(root / name, document)
            ingest_catalog(str(root), db)
            assert find_faults(db) == {}
        ingest_catalog(str(root), Path(folder) / "other.db")
        assert read_index(db) == read_index(Path(folder) / "other.db")
