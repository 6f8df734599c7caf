"""Reading query strings and bodies, the shape of errors, and clients that leave."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from fakes import FakeStore, call, fetch, make_store
from stacserve.api import messages
from stacserve.api.failures import error_response
from stacserve.api.messages import read_query
from stacserve.app import create_app
from stacserve.errors import InvalidParameter, NotFound
from stacserve.settings import Settings


@pytest.fixture
def store() -> FakeStore:
    """Return a store of two collections."""
    return make_store()


@pytest.fixture
def app(store: FakeStore) -> Any:
    """Return the app that serves it, with a small limit for bodies."""
    return create_app(Settings(body_bytes_max=1_000, extra_parameters=("apikey",)), store=store)


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        (b"", []),
        (b"a=1&b=", [("a", "1"), ("b", "")]),
        (b"a", [("a", "")]),
        (b"&a=1&&", [("a", "1")]),
        (b"ids=a%2520b%2Fc+d", [("ids", "a%20b/c d")]),
        (b"filter=a LIKE '50%'", [("filter", "a LIKE '50%'")]),
        ("a=ü".encode(), [("a", "ü")]),
        (b"a=%F0%9F%9B%B0", [("a", "🛰")]),
    ],
)
def test_query_is_decoded_once(query: bytes, pairs: list[tuple[str, str]]) -> None:
    assert read_query({"query_string": query}) == pairs


@pytest.mark.parametrize("query", [b"a=%ff", b"a=%ED%A0%80", b"a=\xff", b"a=1&" * 101])
def test_query_that_is_no_text_is_refused(query: bytes, app: Any) -> None:
    with pytest.raises(InvalidParameter):
        read_query({"query_string": query})
    assert call(app, "/search", query_string=query)[0]["status"] == 400


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/geo+json", None],
)
def test_json_is_read_under_any_of_its_names(app: Any, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert fetch(app, "/search", "POST", content=b'{"limit": 1}', headers=headers).status_code == 200


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"])
def test_foreign_body_is_415(app: Any, content_type: str) -> None:
    answer = fetch(app, "/search", "POST", content=b"{}", headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")
    assert "application/json" in answer.json()["description"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"7", b'"limit"', b"[" * 900, b'{"intersects":' * 60 + b"{}" + b"}" * 60),
        *(b'{"limit": NaN}', b'{"a": "\xff"}', b'{"a":"\\ud800"}'),
    ],
)
def test_body_that_is_no_json_object_is_400(app: Any, body: bytes) -> None:
    answer = fetch(app, "/search", "POST", content=body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "description"}


def test_deeply_nested_body_is_400() -> None:
    app = create_app(Settings(), store=make_store())
    assert fetch(app, "/search", "POST", content=b"[" * 1_000_000).json()["code"] == "InvalidBody"


def test_body_that_could_not_be_written_into_a_link_is_400() -> None:
    app = create_app(Settings(), store=make_store())
    for depth, status in ((200, 200), (251, 200), (254, 400), (300, 400)):
        body = b'{"limit":1,".x":%b%b}' % (b"[" * depth, b"]" * depth)
        answer = fetch(app, "/search", "POST", content=body)
        assert answer.status_code == status, depth
    assert answer.json()["code"] == "InvalidBody"
    assert "nested too deeply" in answer.json()["description"]


def test_wide_body_is_no_deep_one() -> None:
    app = create_app(Settings(), store=make_store())
    assert fetch(app, "/search", "POST", content=b'{".x":[%b]}' % b",".join([b"[]"] * 300)).status_code == 200


def test_parameter_without_name_is_named(app: Any) -> None:
    description = fetch(app, "/problems?=1").json()["description"]
    assert description.startswith("'': is no parameter here. Known are ")
    assert fetch(app, "/?=1").json()["description"] == "'': is no parameter here. No parameters are known here"
    assert fetch(app, "/search", "POST", content=b'{"": 1}').json()["description"].startswith("'': is no member here. ")


def test_body_too_long_is_413_before_it_is_all_read(app: Any) -> None:
    part = {"type": "http.request", "body": b" " * 600, "more_body": True}
    sent = call(app, "/search", [part, part], method="POST")
    assert sent[0]["status"] == 413
    assert b"1000 bytes" in sent[1]["body"]


def test_error_has_one_shape() -> None:
    answer = error_response(NotFound("no item '\ud800'"))
    assert (answer.status_code, answer.media_type) == (404, "application/json")
    assert answer.body == b'{"code":"NotFound","description":"no item \'?\'"}'


def test_extra_parameter_is_ignored_everywhere(app: Any) -> None:
    for path in ("/", "/search", "/collections", "/problems", "/collections/a/items/a-1"):
        assert fetch(app, f"{path}?apikey=x").status_code == 200


def test_client_that_leaves_cancels_its_search(app: Any, store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "SECONDS_UNWATCHED", 0.01)
    cancelled = []

    async def search_items(search: Any) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(search)
            raise

    monkeypatch.setattr(store, "search_items", search_items)
    request = {"type": "http.request", "body": b"", "more_body": False}
    started = time.monotonic()
    assert call(app, "/search", [request, {"type": "http.disconnect"}]) == []
    assert len(cancelled) == 1
    assert time.monotonic() - started < 30


def test_slow_search_of_a_client_that_stays_is_answered(
    app: Any, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SECONDS_UNWATCHED", 0.001)
    store.delay = 0.1
    assert call(app, "/search")[0]["status"] == 200


def test_search_cancelled_by_the_server_stays_cancelled(app: Any, store: FakeStore) -> None:
    store.delay = 60

    async def shut_down() -> None:
        async def receive() -> Any:
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            raise AssertionError(message)

        scope = {"type": "http", "method": "GET", "path": "/search", "query_string": b"", "headers": [(b"host", b"a")]}
        task = asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(shut_down())
