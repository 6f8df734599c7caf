"""Finding the root of a source, telling what a document is, and reading catalogs and collections."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pystac
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from source_files import catalog, collection, item, link, served, write
from stacserve.catalog import ContainerDocument, identify_document, open_source, read_container, read_id
from stacserve.errors import StartError
from stacserve.folder import Folder
from stacserve.problems import Problem, Unreadable


def read(root: Path, path: str = "catalog.json", **options: Any) -> ContainerDocument:
    return read_container(Folder(str(root), **options), path)


def complaints(container: ContainerDocument) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.severity) for problem in container.problems]


# ---- the root -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["catalog.json", "collection.json", "other.json"], "catalog.json"),
        (["collection.json", "other.json"], "collection.json"),
        (["überblick.json"], "überblick.json"),
    ],
)
def test_root_of_a_folder_is_found(tmp_path: Path, names: list[str], root: str) -> None:
    for name in names:
        write(tmp_path / name, catalog())
    write(tmp_path / "item.json", item())
    write(tmp_path / "notes.json", "no JSON")
    write(tmp_path / "package.json", {"name": "x", "license": "MIT"})
    assert open_source(str(tmp_path)).root == root


def test_root_may_be_named_and_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x/my.json", collection())
    monkeypatch.chdir(tmp_path / "x")
    source = open_source("my.json")
    assert (source.folder.root, source.root) == (str(tmp_path / "x"), "my.json")


def test_source_that_is_a_link_is_served_from_where_it_leads(tmp_path: Path) -> None:
    write(tmp_path / "data/v3/catalog.json", catalog("root", link("item", "a.json")))
    write(tmp_path / "data/v3/a.json", item())
    (tmp_path / "latest.json").symlink_to("data/v3/catalog.json")
    source = open_source(str(tmp_path / "data/../latest.json"))
    assert source.folder.root == str(tmp_path) and read_container(*source).type == "Catalog"
    (tmp_path / "links").mkdir()
    (tmp_path / "links/catalog.json").symlink_to(tmp_path / "data/v3/catalog.json")
    assert read_container(*open_source(str(tmp_path / "links"))).items == ("a.json",)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("https://example.com/catalog.json", "is a URL"),
        ("", "does not exist"),
        ("{}/alps", "does not exist.*Did you mean 'alpes'"),
        ("{}/alps/catalog.json", "does not exist.*Did you mean 'alpes'"),
        ("{}/empty", "no STAC catalog in .*empty.*catalog.json, collection.json.*Did you mean '.*empty/sub'"),
        ("{}/two", r"several catalogs \(a.json, b.json\).*two/a.json"),
        ("{}/item.json", "is an Item"),
        ("{}/json.json", "is not a STAC catalog: .*no type"),
        ("{}/pipe", "neither a file nor a folder"),
    ],
)
def test_wrong_source_is_one_sentence(tmp_path: Path, source: str, sentence: str) -> None:
    for path in ("alpes/catalog.json", "empty/sub/catalog.json", "two/a.json", "two/b.json"):
        write(tmp_path / path, catalog())
    write(tmp_path / "item.json", item())
    write(tmp_path / "json.json", {"a": 1})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StartError, match=sentence) as raised:
        open_source(source.format(tmp_path))
    assert "\n" not in str(raised.value)


def test_allowed_folder_must_exist(tmp_path: Path) -> None:
    write(tmp_path / "catalog.json", catalog())
    (tmp_path / "data").mkdir()
    with pytest.raises(StartError, match=r"--allow .*dato.*Did you mean 'data'"):
        open_source(str(tmp_path), [str(tmp_path / "dato")])
    assert open_source(str(tmp_path), [str(tmp_path / "data")]).folder.allow == (str(tmp_path / "data"),)


def test_half_written_root_is_no_reason_not_to_start(tmp_path: Path) -> None:
    write(tmp_path / "catalog.json", json.dumps(catalog())[:-5])
    source = open_source(str(tmp_path))
    container = read_container(*source)
    assert container.type == "" and container.stamp is not None
    assert complaints(container) == [("", "error")]


def test_catalog_published_elsewhere_is_read_here(tmp_path: Path) -> None:
    base = "https://example.com/stac/"
    links = [link("self", base + "catalog.json"), link("child", base + "x/collection.json")]
    links += [link("about", base + "x/a%20b.json"), link("about", base + "none.json"), link("icon", base + "i.png")]
    write(tmp_path / "catalog.json", catalog("root", *links, link("child", "https://example.com/other.json")))
    write(tmp_path / "x/collection.json", collection("c", link("item", base + "x/a%20b.json")))
    write(tmp_path / "x/a b.json", item())
    folder, root = open_source(str(tmp_path))
    container = read_container(folder, root)
    assert container.children == ("x/collection.json",)
    assert complaints(container) == [("/links/5/href", "warning")]
    hrefs = [kept["href"] for kept in served(container.head)["links"]]
    assert hrefs == ["BASE/assets/x/a%20b.json", base + "none.json", base + "i.png"]
    assert read_container(folder, "x/collection.json").items == ("x/a b.json",)


# ---- what a document is -------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (item(), "Item"),
        (catalog(), "Catalog"),
        (collection(), "Collection"),
        ({"stac_version": "0.8.1", "id": "a", "description": "d", "links": []}, "Catalog"),
        ({"stac_version": "0.9.0", "id": "a", "license": "MIT", "links": []}, "Collection"),
        ({"stac_version": "0.9.0", "id": "a", "extent": {}, "links": [], "properties": {}}, "Collection"),
        ({"stac_version": "0.8.0", "id": "a", "geometry": None, "properties": {}, "links": []}, "Item"),
        ({"stac_version": "1.0.0-rc.2", "id": "a", "type": "Catalog", "links": []}, "Catalog"),
    ],
)
def test_kind_is_told_and_written(document: dict[str, Any], kind: str) -> None:
    problems: list[Problem] = []
    found, latest = identify_document(dict(document), "a.json", problems)
    assert (found, problems) == (kind, [])
    assert latest["type"] == {"Item": "Feature"}.get(kind, kind)
    assert latest["stac_version"] in ("1.0.0", pystac.get_stac_version())


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"a": 1},
        {"type": "FeatureCollection", "links": []},
        {"type": ["Feature"]},
        {"type": 5, "stac_version": "1.0.0"},
    ],
)
def test_what_is_not_stac_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(Unreadable, match="STAC"):
        identify_document(document, "a.json", [])


@pytest.mark.parametrize("version", [None, 1.0, "", "one", "v1", ["1.0.0"], "9" * 5000, "1.0.0\n"])
def test_missing_or_strange_version_is_a_warning(version: Any) -> None:
    problems: list[Problem] = []
    assert identify_document(item(stac_version=version), "a.json", problems)[1]["stac_version"] == "1.0.0"
    assert [(problem.pointer, problem.severity) for problem in problems] == [("/stac_version", "warning")]


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0", "1.0", "1.1.0-beta.1", "2.3.4"])
def test_versions_since_1_are_left_as_they_are(version: str) -> None:
    document = collection(stac_version=version, license="proprietary")
    assert identify_document(dict(document), "a.json", []) == ("Collection", document)


def test_old_versions_are_migrated() -> None:
    extensions = ["eo", "https://example.com/own.json"]
    old = item(stac_version="0.9.0", stac_extensions=extensions, properties={"datetime": None, "eo:cloud_cover": 3})
    latest = identify_document(old, "a.json", [])[1]
    assert latest["stac_version"] == pystac.get_stac_version()
    assert latest["stac_extensions"][1] == "https://example.com/own.json"
    assert latest["stac_extensions"][0].startswith("https://stac-extensions.github.io/eo/")


@pytest.mark.parametrize("changes", [{"properties": 5}, {"stac_extensions": [[]]}, {"stac_extensions": {"a": 1}}])
def test_old_document_that_cannot_be_migrated_is_served_as_it_is(changes: dict[str, Any]) -> None:
    problems: list[Problem] = []
    kind, document = identify_document(item(stac_version="0.9.0", **changes), "a.json", problems)
    assert (kind, document["id"]) == ("Item", "a")
    assert all(problem.severity == "warning" for problem in problems)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "no id"), ("", "empty"), ([], "not a text"), (True, "not a text"), ("a\0b", "U\\+0000")],
)
def test_id_that_cannot_be_served_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as raised:
        read_id({"id": value}, "a.json", [])
    assert raised.value.pointer == "/id"


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (2.5, "2.5"), ("..", ".."), (".", ".")])
def test_id_that_is_odd_is_a_warning(value: Any, text: str) -> None:
    problems: list[Problem] = []
    document = {"id": value}
    assert read_id(document, "a.json", problems) == text == document["id"]
    assert [problem.pointer for problem in problems] == ["/id"]


# ---- catalogs and collections -------------------------------------------------------


def test_container_is_read(tmp_path: Path) -> None:
    links = [link("root", "../catalog.json"), link("child", "./sub/catalog.json"), link("item", "a.json")]
    write(
        tmp_path / "x/c.json", collection("c d", *links, link("item", "./b.json"), title="C", nothing=None, number=1.0)
    )
    for name in ("sub/catalog.json", "a.json", "b.json"):
        write(tmp_path / "x" / name, "{}")
    found = read(tmp_path, "x/c.json")
    assert (found.type, found.id, found.title, found.problems) == ("Collection", "c d", "C", ())
    assert (found.children, found.items) == (("x/sub/catalog.json",), ("x/a.json", "x/b.json"))
    assert found.head.endswith(b',"links":[')
    assert served(found.head) == collection("c d", title="C", nothing=None, number=1.0)
    assert b'"number":1.0' in found.head and b'"nothing":null' in found.head
    assert found.extent == collection()["extent"]


def test_links_are_kept_made_absolute_or_dropped(tmp_path: Path) -> None:
    links: list[Any] = [
        link("license", "https://example.com/license"),
        link("license", "../LICENSE.txt", title="ours"),
        link("derived_from", "../other/über.json"),
        link("preview", "/etc/passwd"),
        link("about", "../../outside.html"),
        link("icon", "file:///srv/icon.png"),
        {"rel": "nothing"},
        "no link",
        link("next", "page2.json"),
    ]
    write(tmp_path / "x/catalog.json", catalog("root", *links))
    found = read(tmp_path, "x/catalog.json")
    assert served(found.head)["links"] == [
        link("license", "https://example.com/license"),
        link("license", "BASE/assets/LICENSE.txt", title="ours"),
        link("derived_from", "BASE/assets/other/%C3%BCber.json"),
    ]
    assert found.assets == (("", "LICENSE.txt"), ("other", "über.json"))
    assert found.cross_links == ("other/über.json",)
    assert complaints(found) == [
        *((f"/links/{number}/href", "warning") for number in (3, 4, 5)),
        *((f"/links/{number}", "warning") for number in (6, 7)),
    ]


def test_links_to_nowhere_are_errors_and_the_rest_is_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    hrefs = ["no.json", "/etc/passwd", "pipe.json", "https://example.com/a.json", "a\0.json", "a.json", "./a.json"]
    write(tmp_path / "catalog.json", catalog("root", *(link("item", href) for href in hrefs), {"rel": "child"}))
    write(tmp_path / "a.json", item())
    found = read(tmp_path)
    assert (found.items, found.missing) == (("a.json",), ("no.json",))
    errors = [("/links/0/href", "error"), ("/links/1/href", "error"), ("/links/2/href", "error")]
    assert complaints(found) == [*errors, ("/links/3/href", "warning"), ("/links/4/href", "error")]
    assert served(found.head)["links"] == []


def test_document_linked_as_child_and_item_is_a_child_once(tmp_path: Path) -> None:
    links = [link("item", "a.json"), link("child", "./a.json"), link("child", "sub/../a.json")]
    write(tmp_path / "catalog.json", catalog("root", *links))
    write(tmp_path / "a.json", catalog())
    found = read(tmp_path)
    assert (found.children, found.items) == (("a.json",), ())


def test_item_behind_a_child_link_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.json", item())
    found = read(tmp_path, "a.json")
    assert (found.type, found.problems) == ("Item", ())
    assert found.stamp is not None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"type":"Point"}', "[" * 100_000])
def test_what_cannot_be_read_is_an_error_with_its_stamp(tmp_path: Path, text: str) -> None:
    write(tmp_path / "catalog.json", text)
    found = read(tmp_path)
    assert found.type == "" and found.stamp is not None
    assert [severity for _, severity in complaints(found)] == ["error"]
    assert read(tmp_path, "none.json")._replace(problems=()) == ContainerDocument("none.json", None, "")


@pytest.mark.parametrize("value", [None, "", "a\0b", {}])
def test_container_without_an_id_takes_the_name_of_its_folder(tmp_path: Path, value: Any) -> None:
    write(tmp_path / "alps/2024/catalog.json", catalog(id=value))
    write(tmp_path / "alps/catalog.json", catalog(id=value))
    found = read(tmp_path, "alps/2024/catalog.json")
    assert found.id == served(found.head)["id"] == "2024"
    assert complaints(found) == [("/id", "warning")]
    assert read(tmp_path / "alps").id == "alps"


@pytest.mark.parametrize("links", [None, "x", {"rel": "child"}, 5])
def test_links_that_are_no_list_are_a_warning(tmp_path: Path, links: Any) -> None:
    write(tmp_path / "catalog.json", catalog(links=links))
    found = read(tmp_path)
    assert (found.type, complaints(found)) == ("Catalog", [("/links", "warning")])
    assert served(found.head) == catalog()


def test_missing_members_that_stac_requires_are_warnings(tmp_path: Path) -> None:
    write(tmp_path / "c.json", {"type": "Collection", "stac_version": "1.0.0", "id": "c"})
    found = read(tmp_path, "c.json")
    assert [problem.advice for problem in found.problems] == ["add 'description'", "add 'license'", "add 'extent'"]
    assert served(found.head)["id"] == "c"


def test_assets_of_a_collection_are_named(tmp_path: Path) -> None:
    assets = {"a": {"href": "a b.png"}, "b": {"href": "../b.png"}, "c": {"href": "https://example.com/c.png"}}
    write(tmp_path / "x/c.json", collection(assets=assets))
    found = read(tmp_path, "x/c.json")
    hrefs = [asset["href"] for asset in served(found.head)["assets"].values()]
    assert hrefs == ["BASE/assets/x/a%20b.png", "BASE/assets/b.png", "https://example.com/c.png"]
    assert found.assets == (("x", "a b.png"), ("", "b.png"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["child", "../..", "0.9.0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["href", "rel"]), inner),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["type", "stac_version", "id", "links", "assets", "title", "extent", "stac_extensions", "summaries"]
)


@given(changes=st.dictionaries(MEMBERS, JSON, max_size=4), links=st.lists(JSON, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_container_is_read_or_refused(tmp_path: Path, changes: dict[str, Any], links: list[Any]) -> None:
    document = collection("c", *links, link("child", "c.json"))
    write(tmp_path / "c.json", {**document, **changes})
    found = read(tmp_path, "c.json")
    if found.type in ("Catalog", "Collection"):
        assert isinstance(served(found.head)["links"], list)
        assert found.id and str(tmp_path).encode() not in found.head
    else:
        assert found.type == "Item" or found.problems[-1].severity == "error"
