"""The base URL of every link: behind proxies, below prefixes, mounted; and the path that routes are matched with."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from fakes import call, fetch, href_of, make_store
from stacserve.api.proxy import Trusted
from stacserve.app import create_app
from stacserve.errors import StartError
from stacserve.settings import Settings

PROXY = {"client": ("10.0.0.1", 1)}


def base_of(headers: dict[str, str] | None = None, path: str = "/", **settings: Any) -> str:
    """Return the base URL that links have when a proxy at 10.0.0.1 sends these headers."""
    settings.setdefault("forwarded_allow_ips", "10.0.0.0/8")
    app = create_app(Settings(**settings), store=make_store())
    response = fetch(app, path, base="http://inner:8000", headers=headers, **PROXY)
    assert response.status_code == 200, response.text
    return href_of(response.json(), "root").removesuffix("/")


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://inner:8000"),
        ({"X-Forwarded-Proto": "https"}, "https://inner:8000"),
        ({"X-Forwarded-Proto": "HTTPS", "X-Forwarded-Host": "example.org"}, "https://example.org"),
        ({"X-Forwarded-Host": "example.org:8443"}, "http://example.org:8443"),
        ({"X-Forwarded-Host": "[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443"),
        ({"X-Forwarded-Host": "example.org", "X-Forwarded-Port": "8443"}, "http://example.org:8443"),
        ({"X-Forwarded-Host": "example.org:8443", "X-Forwarded-Port": "443"}, "http://example.org:8443"),
        ({"X-Forwarded-Proto": "https", "Host": "example.org", "X-Forwarded-Port": "443"}, "https://example.org"),
        ({"X-Forwarded-Proto": "https", "Host": "example.org", "X-Forwarded-Port": "80"}, "https://example.org"),
        ({"Host": "example.org", "X-Forwarded-Port": "example.org:8080"}, "http://example.org"),
        ({"Host": "example.org:8080", "X-Forwarded-Port": "9090"}, "http://example.org:9090"),
        ({"Host": "example.org", "X-Forwarded-Port": "0"}, "http://example.org"),
        ({"Host": "example.org", "X-Forwarded-Port": "65536"}, "http://example.org"),
        ({"X-Forwarded-Proto": "gopher"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "/stac"}, "http://inner:8000/stac"),
        (
            {"X-Forwarded-Prefix": "/geo/, /stac/", "X-Forwarded-For": "192.0.2.9, 10.0.0.2"},
            "http://inner:8000/geo/stac",
        ),
        ({"X-Forwarded-Prefix": "/evil, /stac", "X-Forwarded-For": "192.0.2.9"}, "http://inner:8000/stac"),
        ({"X-Forwarded-Prefix": "/evil, /stac"}, "http://inner:8000/stac"),
        ({"X-Forwarded-Prefix": "/a%20b/%C3%BC"}, "http://inner:8000/a%20b/%C3%BC"),
        ({"X-Forwarded-Prefix": "/a/../b"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "/a/%2e%2E/b"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "/a/.%2Fb"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "/a%0d%0ab"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "/100%"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "/%ff"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": "//evil.org"}, "http://inner:8000"),
        ({"X-Forwarded-Prefix": '/a"b'}, "http://inner:8000"),
        ({"Forwarded": "for=192.0.2.1;host=example.org;proto=https"}, "https://example.org"),
        ({"Forwarded": 'for="[2001:db8::1]:4711"; Host="example.org:8443"; Proto=https'}, "https://example.org:8443"),
        ({"Forwarded": "host=example.org", "X-Forwarded-Host": "other.org"}, "http://example.org"),
        ({"Forwarded": "for=192.0.2.1", "X-Forwarded-Host": "example.org"}, "http://example.org"),
        ({"Forwarded": '"broken', "X-Forwarded-Host": "example.org"}, "http://example.org"),
        ({"Forwarded": "for=10.0.0.2;host=a.org, for=10.0.0.3;host=b.org;proto=https"}, "https://a.org"),
        ({"Forwarded": "for=10.0.0.2;host=a.org, for=192.0.2.9;host=b.org"}, "http://b.org"),
        ({"X-Forwarded-Host": "a.org, b.org", "X-Forwarded-For": "192.0.2.9, 10.0.0.2"}, "http://a.org"),
        ({"X-Forwarded-Host": "a.org, b.org", "X-Forwarded-For": "10.0.0.2, 192.0.2.9"}, "http://b.org"),
        ({"X-Forwarded-Host": "a.org, b.org"}, "http://b.org"),
    ],
)
def test_base_url_is_what_trusted_proxies_say(headers: dict[str, str], base: str) -> None:
    assert base_of(headers) == base


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded"])
def test_others_are_not_believed(name: str) -> None:
    headers = {name: "host=evil.org" if name == "Forwarded" else "/evil"}
    assert base_of(headers, forwarded_allow_ips="127.0.0.1") == "http://inner:8000"
    assert base_of(headers, forwarded_allow_ips="") == "http://inner:8000"


def test_everybody_is_believed_with_a_star() -> None:
    headers = {"X-Forwarded-Host": "a.org, b.org", "X-Forwarded-For": "192.0.2.9"}
    assert base_of(headers, forwarded_allow_ips="*") == "http://a.org"


@pytest.mark.parametrize(
    ("address", "included"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::5", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("", False),
        ("unix", False),
    ],
)
def test_trusted_are_addresses_and_networks(address: str, included: bool) -> None:
    assert Trusted("10.0.0.0/8, 2001:db8::/32,192.0.2.7").includes(address) is included


@pytest.mark.parametrize("host", ["a b", 'a"b', "a/b", "", "a:99999", "a:b", "user@a", "[::1", "ä.org", "a.org,b.org"])
def test_bad_host_is_refused(host: str) -> None:
    app = create_app(Settings(), store=make_store())
    response = fetch(app, "/", headers={"Host": host.encode()})
    assert response.status_code == 400
    assert response.json()["description"].startswith("Host header: ")


def test_request_without_host_uses_the_address_of_the_server() -> None:
    app = create_app(Settings(), store=make_store())
    sent = call(app, "/", headers=[], server=("127.0.0.1", 8123))
    assert b'"http://127.0.0.1:8123/"' in sent[1]["body"]


def test_host_given_twice_is_refused() -> None:
    app = create_app(Settings(), store=make_store())
    assert call(app, "/", headers=[(b"host", b"a"), (b"host", b"b")])[0]["status"] == 400


@pytest.mark.parametrize("settings", [{"root_path": "/stac"}, {"root_path": "stac/"}, {"root_path": "/a b/ü"}])
@pytest.mark.parametrize("kept", [True, False])
def test_root_path_is_in_links_whether_the_proxy_keeps_or_strips_it(settings: dict[str, str], kept: bool) -> None:
    prefix = {"/stac": "/stac", "stac/": "/stac", "/a b/ü": "/a%20b/%C3%BC"}[settings["root_path"]]
    path = f"{prefix}/collections/a" if kept else "/collections/a"
    assert base_of({}, path, **settings) == f"http://inner:8000{prefix}"


@pytest.mark.parametrize("path", ["/stac", "/stac/", "/", "/stac/search", "/stac/search/", "/search/"])
def test_prefix_alone_and_trailing_slashes_are_no_redirect(path: str) -> None:
    assert base_of({}, path, root_path="/stac") == "http://inner:8000/stac"


@pytest.mark.parametrize("path", ["/stac/collections/a", "/collections/a"])
def test_forwarded_prefix_may_be_kept_or_stripped(path: str) -> None:
    assert base_of({"X-Forwarded-Prefix": "/stac"}, path) == "http://inner:8000/stac"


def test_root_path_wins_over_a_forwarded_prefix() -> None:
    assert base_of({"X-Forwarded-Prefix": "/other"}, root_path="/stac") == "http://inner:8000/stac"


@pytest.mark.parametrize("path", ["/collections/a", "/stac/v1/collections/a"])
def test_public_url_wins_over_everything(path: str) -> None:
    headers = {"X-Forwarded-Host": "evil.org", "Host": "not a host"}
    assert base_of(headers, path, public_url="https://example.org/stac/v1/") == "https://example.org/stac/v1"


@pytest.mark.parametrize(
    "url",
    [
        *(
            "example.org",
            "ftp://example.org",
            "https://",
            "https:///stac",
            "https://example.org/?a=b",
            "https://e.org/#a",
        ),
        *(
            "https://e.org:99999",
            "https://e.org:http",
            "https://[::1",
            "https://user@e.org",
            "https://ä.org",
            " https://e.org",
        ),
        *("https://e.org/a b", "https://e.org/ü", "https://e.org/100%", "https://e.org/a/../b", "https://e.org/%2e%2e"),
        *("https://e.org//a", "https://e.org/\n", 'https://e.org/"a"', "https://e.org/" + " " * 10_000),
    ],
)
def test_public_url_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(StartError, match=r"^--public-url .{1,250}; write https://example\.org/stac$"):
        create_app(Settings(public_url=url))


@pytest.mark.parametrize(
    "url",
    ["https://example.org", "http://[2001:db8::1]:8443/stac", "HTTPS://e.org:443/a%20b/%C3%BC", "http://e.org/~a"],
)
def test_public_url_is_the_base_as_it_is_written(url: str) -> None:
    assert base_of({}, public_url=url) == base_of({}, public_url=url + "/") == url


@pytest.mark.parametrize(("path", "status"), [("/search/", 200), ("/search//", 404), ("/stac/search//", 404)])
def test_one_slash_at_the_end_is_taken_off(path: str, status: int) -> None:
    app = create_app(Settings(root_path="/stac"), store=make_store())
    assert fetch(app, path).status_code == status


def test_trusted_address_that_is_none_is_refused_at_the_start() -> None:
    with pytest.raises(StartError, match=r"'10\.0\.0\.300' is no address"):
        create_app(Settings(forwarded_allow_ips="127.0.0.1,10.0.0.300"))


def mounted(prefix: str, **settings: Any) -> Starlette:
    """Return an app that holds ours below a prefix, and runs no start-up for it."""
    return Starlette(routes=[Mount(prefix, create_app(Settings(**settings), store=make_store()))])


@pytest.mark.parametrize("path", ["/", "/collections/a", "/search", "/collections/a/items/a-1", "/catalogs/loose/"])
def test_mounted_app_links_below_its_mount(path: str) -> None:
    response = fetch(mounted("/stac/v1"), f"/stac/v1{path}")
    assert response.status_code == 200
    assert href_of(response.json(), "root") == "http://testserver/stac/v1/"


def test_mounted_app_decodes_ids_once() -> None:
    app = Starlette(routes=[Mount("/a b", create_app(Settings(), store=make_store(["x/y%20z"])))])
    response = fetch(app, "/a%20b/collections/x%2Fy%2520z")
    assert href_of(response.json(), "self") == "http://testserver/a%20b/collections/x%2Fy%2520z"


def test_mount_and_prefix_of_a_proxy_are_joined() -> None:
    response = fetch(mounted("/stac"), "/stac/search", headers={"X-Forwarded-Prefix": "/geo"})
    assert href_of(response.json(), "root") == "http://testserver/geo/stac/"


@pytest.mark.parametrize("root_path", ["/stac", "/geo/stac"])
def test_prefix_that_includes_the_mount_is_not_doubled(root_path: str) -> None:
    response = fetch(mounted("/stac", root_path=root_path), "/stac/collections/a")
    assert href_of(response.json(), "root") == f"http://testserver{root_path}/"


def test_server_with_a_root_path_of_its_own() -> None:
    app = create_app(Settings(), store=make_store())
    response = fetch(app, "/collections/a", root_path="/stac")
    assert href_of(response.json(), "self") == "http://testserver/stac/collections/a"


def test_every_kind_of_link_has_the_base() -> None:
    app = create_app(Settings(root_path="/stac"), store=make_store())
    for path in [
        "/search?limit=1&token=1",
        "/collections?limit=1",
        "/collections/a/items?limit=2",
        "/api",
        "/queryables",
    ]:
        response = fetch(app, path, headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.org"})
        assert "http://" not in response.text.replace("http://www.opengis.net", "")
        assert "https://example.org/stac/" in response.text or response.json()["servers"]
        assert "testserver" not in response.headers.get("link", "")


def test_path_without_raw_path_is_encoded_again() -> None:
    app = create_app(Settings(), store=make_store(["a b"]))
    sent = call(app, "/collections/a b")
    assert sent[0]["status"] == 200


def test_raw_path_that_is_not_ascii_is_read_as_utf8() -> None:
    app = create_app(Settings(), store=make_store(["ä"]))
    sent = call(app, "/collections/ä", raw_path="/collections/ä".encode())
    assert sent[0]["status"] == 200
