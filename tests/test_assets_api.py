"""Asset files: what a document names, as it says, and nothing that could run as this server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import FakeStore, fetch
from stacserve.app import create_app
from stacserve.settings import Settings
from stacserve.store.interface import AssetFile

CONTENT = bytes(range(256)) * 400


def app_with(folder: Path, name: str, media_type: str | None) -> Any:
    """Return an app that serves one file."""
    path = folder / name.replace("/", "-")
    path.write_bytes(CONTENT)
    return create_app(Settings(), store=FakeStore(files={name: AssetFile(path, media_type)}))


@pytest.mark.parametrize("name", ["a.tif", "2024/june/a b.tif", "ü%20/100%.tif", "a?b#c.tif"])
def test_file_is_served_at_its_path(tmp_path: Path, name: str) -> None:
    app = app_with(tmp_path, name, "image/tiff; application=geotiff")
    path = "/assets/" + name.replace("%", "%25").replace(" ", "%20").replace("?", "%3F").replace("#", "%23")
    answer = fetch(app, path)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "image/tiff; application=geotiff"
    head = fetch(app, path, "HEAD")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(CONTENT)))


@pytest.mark.parametrize(
    ("declared", "sent"),
    [
        ("text/csv", "text/csv"),
        (None, "image/png"),
        ("", "image/png"),
        ("image/png\r\nSet-Cookie: a=b", "image/png"),
        ("bild", "image/png"),
    ],
)
def test_media_type_is_the_declared_one_where_it_is_one(tmp_path: Path, declared: str | None, sent: str) -> None:
    answer = fetch(app_with(tmp_path, "a.png", declared), "/assets/a.png")
    assert answer.headers["content-type"] == sent
    assert "set-cookie" not in answer.headers


def test_files_do_not_run_as_this_server(tmp_path: Path) -> None:
    headers = fetch(app_with(tmp_path, "a.html", "text/html"), "/assets/a.html").headers
    assert headers["content-security-policy"] == "sandbox"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/assets/b.tif", "/assets", "/assets/", "/assets/../a.tif", "/assets/%2e%2e/a.tif"])
def test_other_files_are_404(tmp_path: Path, path: str) -> None:
    assert fetch(app_with(tmp_path, "a.tif", None), path).status_code == 404


@pytest.mark.parametrize(
    "path", ["/assets/x/a.tif/", "/assets/x//a.tif", "/assets/x/./a.tif", "/assets//x/a.tif", "/assets/x/%2E/a.tif"]
)
def test_other_spellings_of_a_path_are_404(tmp_path: Path, path: str) -> None:
    name = path.removeprefix("/assets/").replace("%2E", ".")
    assert fetch(app_with(tmp_path, name, None), path).status_code == 404


@pytest.mark.parametrize(
    ("text", "status", "length"),
    [
        *(("bytes=0-9", 206, 10), ("bytes=5-", 206, len(CONTENT) - 5), ("Bytes=-7", 206, 7), ("bytes=,0-4 ,", 206, 5)),
        *(("bytes=999999-", 416, 0), ("bytes=-0", 416, 0)),
        *((text, 200, len(CONTENT)) for text in ("lines=0-9", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=9-5")),
        *((text, 200, len(CONTENT)) for text in ("bytes=0-4,9-5", "bytes=0-4;5-9", "0-9", "", "bytes=" + "1" * 5_000)),
        ("bytes=999999-5", 200, len(CONTENT)),
    ],
)
def test_range_that_cannot_be_read_is_ignored(tmp_path: Path, text: str, status: int, length: int) -> None:
    answer = fetch(app_with(tmp_path, "a.tif", None), "/assets/a.tif", headers={"Range": text})
    assert (answer.status_code, len(answer.content)) == (status, length)


def test_file_that_is_gone_or_no_file_is_404(tmp_path: Path) -> None:
    files = {"gone": AssetFile(tmp_path / "gone", None), "folder": AssetFile(tmp_path, None)}
    app = create_app(Settings(), store=FakeStore(files=files))
    assert fetch(app, "/assets/gone").status_code == 404
    assert fetch(app, "/assets/folder").status_code == 404
