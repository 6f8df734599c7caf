"""Gzip: for whom, of what, and what the headers then say."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from fakes import call, fetch, make_store
from stacserve.api.encoding import accepts_gzip
from stacserve.app import create_app
from stacserve.settings import Settings
from stacserve.store.interface import AssetFile


@pytest.fixture
def app() -> Any:
    """Return an app with a page of more than 64 kB."""
    return create_app(Settings(), store=make_store(items=100))


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (b"", False),
        (b"gzip", True),
        (b"gzip, deflate, br, zstd", True),
        (b"GZIP", True),
        (b"br, *;q=0.1", True),
        (b"*", True),
        (b"*;q=0", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.0, *", False),
        (b"deflate, br", False),
        (b"identity, gzip;q=0.5", False),
        (b"identity;q=0.5, gzip;q=1.0", True),
        (b"gzip;q=nonsense", False),
        (b"identity;q=0, *", True),
        (b"gzip;q=1;x=y", True),
        (b"gzip;x=0", True),
        (b"gzip;x=1 ; q = 0", False),
        (b",;=,gzip", True),
    ],
)
def test_accept_encoding_is_weighed(header: bytes, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize("path", ["/", "/search?limit=3", "/search?limit=100", "/api.html"])
def test_long_answers_are_compressed_for_who_asks(app: Any, path: str) -> None:
    plain = fetch(app, path, headers={"Accept-Encoding": "identity"})
    packed = fetch(app, path, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.content == plain.content


def test_compressed_bytes_are_gzip(app: Any) -> None:
    sent = call(app, "/search", headers=[(b"host", b"testserver"), (b"accept-encoding", b"gzip")])
    assert gzip.decompress(sent[1]["body"]).startswith(b'{"type":"FeatureCollection"')


def test_head_has_the_headers_of_get(app: Any) -> None:
    headers = {"Accept-Encoding": "gzip"}
    assert fetch(app, "/search", "HEAD", headers=headers).headers == fetch(app, "/search", headers=headers).headers


def test_short_answers_are_sent_as_they_are(app: Any) -> None:
    answer = fetch(app, "/healthz", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"


def test_several_lines_are_one_list(app: Any) -> None:
    for lines, encoding in (([b"br", b"gzip"], "gzip"), ([b"gzip;q=0.5", b"identity"], None)):
        headers = [(b"accept-encoding", line) for line in lines]
        assert fetch(app, "/search", headers=headers).headers.get("content-encoding") == encoding


def test_files_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "features.geojson"
    path.write_text("[]" * 5_000)
    store = make_store()
    store.files["features.geojson"] = AssetFile(path, "application/geo+json")
    answer = fetch(create_app(Settings(), store=store), "/assets/features.geojson", headers={"Accept-Encoding": "gzip"})
    assert not {"content-encoding", "vary"} & set(answer.headers)
    assert answer.headers["content-length"] == "10000"
