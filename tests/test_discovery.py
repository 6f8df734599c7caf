"""Walking a catalog: what is reached, where it is served, and what is said of links that lead astray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from indexes import Served, find_faults, read_index, reasons
from source_files import catalog, collection, item, link, write
from stacserve import ingest_catalog


def serve(folder: Path, documents: dict[str, Any], **options: Any) -> Served:
    """Write documents (names without .json), ingest them and return what is served."""
    for name, document in documents.items():
        write(folder / "source" / f"{name}.json", document)
    ingest_catalog(str(folder / "source"), folder / "index.db", **options)
    assert find_faults(folder / "index.db") == {}
    return read_index(folder / "index.db")


def child(name: str) -> dict[str, Any]:
    return link("child", f"{name}.json")


def items(*names: str) -> list[dict[str, Any]]:
    return [link("item", f"{name}.json") for name in names]


# ---- what is reached, and its address -----------------------------------------------


def test_items_are_served_below_their_nearest_collection_or_catalog(tmp_path: Path) -> None:
    served = serve(
        tmp_path,
        {
            "catalog": catalog("root", child("a"), child("c"), *items("1")),
            "a": catalog("a", child("b"), *items("2")),
            "b": catalog("b", *items("3")),
            "c": collection("c", child("d"), *items("4")),
            "d": catalog("d", child("e"), *items("5")),
            "e": collection("e", child("f"), *items("6")),
            "f": catalog("f", *items("7")),
            **{str(number): item(str(number)) for number in range(1, 8)},
        },
    )
    assert sorted(served.items) == [
        "/catalogs/a/items/2",
        "/catalogs/a:b/items/3",
        "/catalogs/root/items/1",
        "/collections/c/items/4",
        "/collections/c/items/5",
        "/collections/e/items/6",
        "/collections/e/items/7",
    ]
    assert {path: node["parent"] for path, node in served.nodes.items()} == {
        "/": "/",
        "/catalogs/a": "/",
        "/catalogs/a:b": "/catalogs/a",
        "/collections/c": "/",
        "/catalogs/c:d": "/collections/c",
        "/collections/e": "/catalogs/c:d",
        "/catalogs/c:d:e:f": "/collections/e",
    }
    assert served.items["/collections/e/items/7"]["parent"] == "/catalogs/c:d:e:f"


def test_children_are_listed_in_the_order_of_the_links(tmp_path: Path) -> None:
    names = ["d", "b", "c", "a"]
    documents = {name: catalog(name, title=name.upper()) for name in names}
    served = serve(tmp_path, {"catalog": catalog("root", *[child(name) for name in names]), **documents})
    assert served.nodes["/"]["children"] == [("child", f"/catalogs/{name}", name.upper()) for name in names]


def test_collection_may_be_the_root(tmp_path: Path) -> None:
    documents = {"collection": collection("c", child("a"), *items("1")), "a": catalog("a", *items("2"))}
    served = serve(tmp_path, {**documents, "1": item("1"), "2": item("2")})
    assert sorted(served.items) == ["/collections/c/items/1", "/collections/c/items/2"]
    assert sorted(served.nodes) == ["/", "/catalogs/a", "/collections/c"]


def test_equal_addresses_get_suffixes_but_for_the_first_by_path(tmp_path: Path) -> None:
    links = [link("child", f"{name}/catalog.json") for name in ("z", "y", "x")]
    documents: dict[str, Any] = {f"{name}/catalog": catalog("same", *items("i")) for name in "xyz"}
    documents |= {f"{name}/i": item(name) for name in "xyz"}
    documents |= {"w": catalog("a:b", *items("i")), "i": item("w"), "a": catalog("a", child("b")), "b": catalog("b")}
    root = catalog("root", *links, child("a"), child("w"))
    served = serve(tmp_path, {"catalog": root, **documents})
    assert [path for path in served.items if path.endswith("/x")] == ["/catalogs/same/items/x"]
    suffixed = sorted(path for path in served.nodes if "~" in path)
    assert [path.partition("~")[0] for path in suffixed] == ["/catalogs/a:b", "/catalogs/same", "/catalogs/same"]
    again = serve(tmp_path / "again", {"catalog": root, **documents})
    assert again == served


def test_same_id_may_occur_in_different_places(tmp_path: Path) -> None:
    places = {"a": catalog("2024", *items("a/1")), "b": collection("b", child("b/2024"), *items("b/2"))}
    documents = {"catalog": catalog("root", child("a"), child("b")), **places, "b/2024": catalog("2024")}
    served = serve(tmp_path, {**documents, "a/1": item("same"), "b/2": item("same")})
    assert sorted(served.items) == ["/catalogs/2024/items/same", "/collections/b/items/same"]
    assert served.problems == []


@pytest.mark.parametrize("container_id", ["a/b", "100%", "ä", "😀", "a b", "..", "a:b", "q?x#y"])
def test_odd_ids_are_one_segment(tmp_path: Path, container_id: str) -> None:
    documents = {"catalog": catalog("root", child("a"), child("c")), "1": item("1"), "2": item("2")}
    documents |= {"a": catalog(container_id, *items("1")), "c": collection(container_id, *items("2"))}
    served = serve(tmp_path, documents)
    assert all(path.count("/") == 4 for path in served.items)
    assert len(served.items) == 2


def test_chain_of_a_thousand_catalogs_is_walked(tmp_path: Path) -> None:
    count = 1_000
    documents: dict[str, Any] = {str(n): catalog(f"{n}", child(str(n + 1))) for n in range(1, count)}
    documents |= {"catalog": catalog("root", child("1")), str(count): catalog("last", *items("i")), "i": item("deep")}
    served = serve(tmp_path, documents)
    assert len(served.nodes) == count + 1
    (path,) = served.items
    assert path.endswith(":999:last/items/deep")
    assert len(path) < 1_100
    assert served.problems == []


def test_chain_in_which_every_catalog_links_back_ends(tmp_path: Path) -> None:
    count = 300
    documents: dict[str, Any] = {str(n): catalog(f"{n}", child(str(n + 1)), child("catalog")) for n in range(1, count)}
    served = serve(tmp_path, {"catalog": catalog("root", child("1")), str(count): catalog("last"), **documents})
    assert len(served.nodes) == count + 1
    assert len(reasons(served)) == count - 1


# ---- what a document is decides, not the link ---------------------------------------


def test_item_behind_a_child_link_is_an_item(tmp_path: Path) -> None:
    served = serve(tmp_path, {"catalog": catalog("root", child("i")), "i": item("i")})
    assert list(served.items) == ["/catalogs/root/items/i"]
    assert list(served.nodes) == ["/"]


def test_catalog_behind_an_item_link_is_a_catalog(tmp_path: Path) -> None:
    links = [*items("b", "i", "c"), child("a")]
    documents = {"a": catalog("a"), "b": catalog("b", *items("j")), "c": collection("c", *items("d"))}
    documents |= {"d": catalog("d", *items("k")), **{name: item(name) for name in "ijk"}}
    served = serve(tmp_path, {"catalog": catalog("root", *links), **documents})
    assert sorted(served.items) == ["/catalogs/b/items/j", "/catalogs/root/items/i", "/collections/c/items/k"]
    assert [path for _, path, _ in served.nodes["/"]["children"]] == [
        "/catalogs/a",
        "/catalogs/b",
        "/collections/c",
        "/catalogs/root/items/i",
    ]


def test_document_that_is_linked_often_is_served_once(tmp_path: Path) -> None:
    links = [child("a"), child("a"), child("b"), *items("i", "i"), link("child", "./x/../a.json")]
    documents = {"a": catalog("a", *items("i")), "b": catalog("b", child("a"), *items("i")), "i": item("i")}
    served = serve(tmp_path, {"catalog": catalog("root", *links), **documents})
    assert sorted(served.nodes) == ["/", "/catalogs/a", "/catalogs/b"]
    assert list(served.items) == ["/catalogs/root/items/i"]
    assert served.problems == []


# ---- links astray -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("documents", "loops"),
    [
        ({"catalog": catalog("root", child("catalog"))}, ["catalog.json"]),
        ({"catalog": catalog("root", child("a")), "a": catalog("a", child("catalog"))}, ["a.json"]),
        ({"catalog": catalog("root", child("a")), "a": catalog("a", child("a"))}, ["a.json"]),
        (
            {"catalog": catalog("root", child("a")), "a": catalog("a", child("b")), "b": catalog("b", child("a"))},
            ["b.json"],
        ),
        (
            {
                "catalog": catalog("root", child("a"), child("b")),
                "a": catalog("a", child("b")),
                "b": catalog("b", child("a")),
            },
            [],
        ),
        ({"catalog": catalog("root", child("a")), "a": catalog("a", *items("catalog"))}, ["a.json"]),
    ],
)
def test_loops_end(tmp_path: Path, documents: dict[str, Any], loops: list[str]) -> None:
    served = serve(tmp_path, documents)
    assert len(served.nodes) == len(documents)
    assert [path for path, reason in reasons(served) if "leads back" in reason] == loops


def test_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/again").symlink_to(tmp_path / "source", target_is_directory=True)
    served = serve(
        tmp_path, {"catalog": catalog("root", child("again/again/catalog"), child("again/a")), "a": catalog("a")}
    )
    assert sorted(served.nodes) == ["/", "/catalogs/a"]


@pytest.mark.parametrize(
    ("href", "word"),
    [
        ("none.json", "does not exist"),
        ("folder", "is not a file"),
        ("../outside.json", "outside"),
        ("/etc/passwd", "outside"),
        ("file:///etc/passwd", "outside"),
        ("link.json", "outside"),
        ("https://example.com/catalog.json", "on the web"),
        ("a\0b.json", "does not exist"),
        ("", None),
        ("#x", None),
    ],
)
@pytest.mark.parametrize("rel", ["child", "item"])
def test_link_astray_is_a_problem_and_all_else_is_served(tmp_path: Path, rel: str, href: str, word: str | None) -> None:
    write(tmp_path / "outside.json", item("outside"))
    (tmp_path / "source/folder").mkdir(parents=True)
    (tmp_path / "source/link.json").symlink_to(tmp_path / "outside.json")
    served = serve(tmp_path, {"catalog": catalog("root", link(rel, href), *items("i")), "i": item("i")})
    assert list(served.items) == ["/catalogs/root/items/i"]
    assert [path for path, reason in reasons(served) if word and word in reason] == ["catalog.json"] * bool(word)
    assert all(problem["advice"] and problem["pointer"].startswith("/links") for problem in served.problems)


def test_allowed_folder_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "data/c.json", collection("c", *items("i")))
    write(tmp_path / "data/i.json", item("i", assets={"x": {"href": "x.tif"}}))
    root = catalog("root", link("child", "../data/c.json"))
    served = serve(tmp_path, {"catalog": root}, allow=[str(tmp_path / "data")])
    assert served.items["/collections/c/items/i"]["assets"]["x"]["href"] == "/assets/%2B1/x.tif"
    assert served.problems == []


# ---- equal ids ----------------------------------------------------------------------


def test_first_collection_of_an_id_is_served_with_the_items_of_both(tmp_path: Path) -> None:
    documents = {"catalog": catalog("root", child("z"), child("a")), "1": item("1"), "2": item("2")}
    documents |= {"z": collection("c", *items("1"), title="z"), "a": collection("c", *items("2"), title="a")}
    served = serve(tmp_path, documents)
    assert served.nodes["/collections/c"]["title"] == "a"
    assert sorted(served.items) == ["/collections/c/items/1", "/collections/c/items/2"]
    assert [(problem["path"], problem["pointer"], problem["severity"]) for problem in served.problems] == [
        ("z.json", "/id", "error")
    ]


def test_ids_that_differ_in_case_are_different(tmp_path: Path) -> None:
    documents = {"catalog": catalog("root", child("1"), child("2")), "1": collection("C"), "2": collection("c")}
    served = serve(tmp_path, documents)
    assert sorted(served.nodes) == ["/", "/collections/C", "/collections/c"]
    assert served.problems == []
