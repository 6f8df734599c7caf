"""Which files may be read, where hrefs lead, and when a file has to be read again."""

from __future__ import annotations

import os
import pickle
import shutil
import time
from pathlib import Path

import pytest

from source_files import write
from stacserve.folder import Folder, Stamp, Target, is_relative, published_prefix
from stacserve.problems import Unreadable


def folder_with(root: Path, *paths: str, allow: tuple[str, ...] = (), published: str = "") -> Folder:
    for path in paths:
        write(root / path, "{}")
    return Folder(str(root), allow, published)


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("b.json", "x/b.json"),
        ("./b.json", "x/b.json"),
        ("././b.json", "x/b.json"),
        ("../x/b.json", "x/b.json"),
        ("sub/../b.json", "x/b.json"),
        (".\\b.json", "x/b.json"),
        ("b.json#part", "x/b.json"),
        ("b.json?v=2", "x/b.json"),
        ("%62.json", "x/b.json"),
        ("../top.json", "top.json"),
        ("with space.json", "x/with space.json"),
        ("with%20space.json", "x/with space.json"),
        ("100%25.json", "x/100%.json"),
        ("100%.json", "x/100%.json"),
        ("ümläut.json", "x/ümläut.json"),
        ("%C3%BCml%C3%A4ut.json", "x/ümläut.json"),
        ("sub\\c.json", "x/sub/c.json"),
        ("", "x/a.json"),
        ("#here", "x/a.json"),
    ],
)
def test_spellings_of_an_href_are_one_file(tmp_path: Path, href: str, path: str) -> None:
    names = ("a.json", "b.json", "with space.json", "100%.json", "ümläut.json", "sub/c.json")
    folder = folder_with(tmp_path, "top.json", *(f"x/{name}" for name in names))
    assert folder.resolve(href, "x/a.json") == Target("file", path)


def test_name_that_looks_encoded_is_taken_as_it_is_where_it_exists(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a%20b.json", "a b.json", "c#d.json")
    assert folder.resolve("a%20b.json", "x.json").path == "a%20b.json"
    assert folder.resolve("a%2520b.json", "x.json").path == "a%20b.json"
    assert folder.resolve("c#d.json", "x.json").path == "c#d.json"


def test_absolute_paths_and_file_urls_inside_are_files(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/a b.json")
    for href in (f"{tmp_path}/x/a b.json", f"file://{tmp_path}/x/a%20b.json", f"FILE:{tmp_path}/x/../x/a%20b.json"):
        assert folder.resolve(href, "root.json") == Target("file", "x/a b.json")


@pytest.mark.parametrize(
    "href",
    [
        "../cat-outside/a.json",
        "../../../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://server/share/a.json",
        "%2e%2e/cat-outside/a.json",
        "..%2Fcat-outside%2Fa.json",
        "..\\cat-outside\\a.json",
        "C:\\data\\a.json",
        "\\\\server\\share\\a.json",
        "folder-out/a.json",
        "file-out.json",
    ],
)
def test_nothing_outside_is_reached(tmp_path: Path, href: str) -> None:
    write(tmp_path / "cat-outside/a.json", "{}")
    root = tmp_path / "cat"
    folder = folder_with(root, "catalog.json")
    (root / "folder-out").symlink_to(tmp_path / "cat-outside")
    (root / "file-out.json").symlink_to(tmp_path / "cat-outside/a.json")
    assert folder.resolve(href, "catalog.json").kind == "outside"
    with pytest.raises(Unreadable):
        folder.read(href)


def test_link_at_any_level_of_a_remembered_path_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "out/x/a.json", "{}")
    folder_with(tmp_path / "cat", "deep/x/a.json")
    shutil.rmtree(tmp_path / "cat/deep")
    (tmp_path / "cat/deep").symlink_to(tmp_path / "out")
    folder = Folder(str(tmp_path / "cat"))
    with pytest.raises(Unreadable, match="outside"):
        folder.read("deep/x/a.json")
    assert folder.stamp("deep/x/a.json") is None


def test_links_inside_lead_to_the_real_folder(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/y/a.json")
    (tmp_path / "short").symlink_to("x/y")
    (tmp_path / "x/loop").symlink_to(tmp_path)
    (tmp_path / "latest.json").symlink_to("x/y/a.json")
    assert folder.resolve("short/a.json", "c.json").path == "x/y/a.json"
    assert folder.resolve("loop/x/loop/x/y/a.json", "x/c.json").path == "x/y/a.json"
    assert folder.resolve("latest.json", "c.json").path == "latest.json"
    assert folder.read("latest.json")[0] == b"{}"


def test_root_may_be_a_link(tmp_path: Path) -> None:
    folder_with(tmp_path / "real", "x/a.json")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folder = Folder(str(tmp_path / "link"))
    for href in ("x/a.json", f"{tmp_path}/link/x/a.json", f"{tmp_path}/real/x/a.json"):
        assert folder.resolve(href, "c.json") == Target("file", "x/a.json")


def test_allowed_folders_have_numbers(tmp_path: Path) -> None:
    write(tmp_path / "one/a.json", "{}")
    write(tmp_path / "two/b/c.json", b'{"c":1}')
    folder = folder_with(tmp_path / "cat", "x/d.json", allow=(str(tmp_path / "one"), str(tmp_path / "two")))
    (tmp_path / "cat/x/far").symlink_to(tmp_path / "two/b")
    assert folder.resolve("../one/a.json", "d.json") == Target("file", "+1/a.json")
    assert folder.resolve("far/c.json", "x/d.json") == Target("file", "+2/b/c.json")
    assert folder.resolve("../../cat/x/d.json", "+2/b/c.json").path == "x/d.json"
    assert folder.read("+2/b/c.json")[0] == b'{"c":1}'
    assert folder.resolve("../../three/a.json", "+2/b/c.json").kind == "outside"


def test_folder_with_the_name_of_an_allowed_one_keeps_its_files(tmp_path: Path) -> None:
    write(tmp_path / "other/a.json", b"[1]")
    folder = folder_with(tmp_path / "cat", "+1/a.json", allow=(str(tmp_path / "other"),))
    found = folder.resolve("+1/a.json", "c.json")
    assert found == Target("file", "+0/+1/a.json")
    assert folder.read(found.path)[0] == b"{}"
    assert folder.read("+1/a.json")[0] == b"[1]"
    assert folder.resolve("a.json", found.path) == found


def test_unlikely_numbers_of_allowed_folders_are_missing(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.json")
    for path in ("+7/a.json", "+99999999999/a.json", "+1", "a//b.json", "./a.json", "a.json/b"):
        with pytest.raises(Unreadable):
            folder.read(path)


@pytest.mark.parametrize("href", ["nowhere.json", "x/y/z.json", "a\0b.json", "%00.json", "a" * 300 + "%20.json"])
def test_what_is_not_there_is_missing_or_told_when_read(tmp_path: Path, href: str) -> None:
    folder = folder_with(tmp_path, "a.json")
    target = folder.resolve(href, "a.json")
    assert target.kind == "missing" or folder.stamp(target.path) is None


def test_pipes_and_folders_are_not_opened(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/a.json")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "link.json").symlink_to("pipe.json")
    for name in ("pipe.json", "link.json", "x"):
        assert folder.resolve(name, "c.json").kind == "special"
        with pytest.raises(Unreadable, match="not a file"):
            folder.read(name)


def test_links_that_go_in_circles_are_missing(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (tmp_path / "a.json").symlink_to("b.json")
    (tmp_path / "b.json").symlink_to("a.json")
    with pytest.raises(Unreadable):
        folder.read("a.json")
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(Unreadable):
        folder.read("x/a.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_says_so_when_it_is_read(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.json")
    (tmp_path / "a.json").chmod(0)
    assert folder.resolve("a.json", "c.json").kind == "file"
    with pytest.raises(Unreadable, match="Permission denied"):
        folder.read("a.json")


def test_paths_on_the_web_are_files_below_the_published_prefix(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/a b.json", published="https://example.com/stac/")
    assert folder.resolve("https://example.com/stac/x/a%20b.json", "y/c.json") == Target("file", "x/a b.json")
    for href in ("https://example.com/stac/none.json", "https://example.com/a.json", "s3://b/a.json", "//host/a.json"):
        assert folder.resolve(href, "x/c.json") == Target("web", "")
    assert folder.resolve("https://example.com/stac/../../../etc/passwd", "x/c.json") == Target("web", "")


def test_paths_of_another_machine_are_files_below_the_published_prefix(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/a.json", published="/home/somebody/stac/")
    assert folder.resolve("/home/somebody/stac/x/a.json", "y/c.json") == Target("file", "x/a.json")
    assert folder.resolve("/home/somebody/stac/none.json", "y/c.json").kind == "missing"
    assert folder.resolve("/home/somebody/else/a.json", "y/c.json").kind == "outside"


@pytest.mark.parametrize(
    ("href", "prefix"),
    [
        ("https://example.com/stac/catalog.json", "https://example.com/stac/"),
        ("/home/a/catalog.json", "/home/a/"),
        ("C:\\stac\\catalog.json", "C:\\stac\\"),
        ("./catalog.json", ""),
        ("catalog.json", ""),
    ],
)
def test_published_prefix_is_the_folder_of_an_absolute_href(href: str, prefix: str) -> None:
    assert published_prefix(href) == prefix
    assert is_relative(href) == (prefix == "")


def test_assets_are_not_looked_up_unless_they_have_two_spellings(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/there%20.tif")
    assert folder.resolve("none.tif", "x/a.json", exists=False) == Target("file", "x/none.tif")
    assert folder.resolve("../none.tif", "x/a.json", exists=False) == Target("file", "none.tif")
    assert folder.resolve("there%20.tif", "x/a.json", exists=False) == Target("file", "x/there%20.tif")
    assert folder.resolve("none%20.tif", "x/a.json", exists=False).path == "x/none .tif"


def test_stamp_tells_changes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.json")
    before = folder.read("a.json")[1]
    assert folder.stamp("a.json") == before
    write(tmp_path / "a.json", '{"a":1}')
    assert folder.stamp("a.json") != before
    assert folder.stamp("none.json") is None


@pytest.mark.parametrize("age", [0, 1, -5])
def test_fresh_file_must_be_read_again(tmp_path: Path, age: int) -> None:
    folder = folder_with(tmp_path, "a.json")
    os.utime(tmp_path / "a.json", (time.time() - age,) * 2)
    assert folder.read("a.json")[1] == Stamp(-1, 2, (tmp_path / "a.json").stat().st_ino)


def test_folder_travels_to_other_processes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "x/a.json", allow=(str(tmp_path),), published="https://example.com/")
    copy = pickle.loads(pickle.dumps(folder))
    assert copy.read("x/a.json") == folder.read("x/a.json")
    assert copy.resolve("https://example.com/x/a.json", "b.json") == Target("file", "x/a.json")


def test_deep_folders_are_no_recursion(tmp_path: Path) -> None:
    path = "/".join(["d"] * 1500) + "/a.json"
    folder = Folder("/")
    with pytest.raises(Unreadable):
        folder.read(path)
    write(tmp_path / "/".join(["d"] * 400) / "a.json", "{}")
    assert Folder(str(tmp_path)).read("/".join(["d"] * 400) + "/a.json")[0] == b"{}"


def test_name_in_another_encoding_is_outside_of_what_can_be_stored(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.json")
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    os.symlink(b"\xff", os.fsencode(tmp_path) + b"/link")
    (tmp_path / "\udcff/b.json").write_text("{}")
    assert folder.resolve("link/b.json", "a.json").kind == "outside"
    assert folder.resolve("%FF/b.json", "a.json").kind == "missing"
