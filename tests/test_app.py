"""The app as a whole: its routes and methods, the one shape of errors, cross-origin requests, start and end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.routing import Route

from fakes import FakeStore, call, client_of, fetch, make_store
from stacserve.api.routes import routes
from stacserve.app import create_app
from stacserve.errors import QueryTimeout, Unavailable
from stacserve.settings import Settings

PATHS = [
    "/",
    "/conformance",
    "/api",
    "/api.html",
    "/healthz",
    "/problems",
    "/search",
    "/queryables",
    "/collections",
    "/collections/a",
    "/collections/a/queryables",
    "/collections/a/items",
    "/collections/a/items/a-1",
    "/catalogs/loose",
    "/catalogs/loose/items",
    "/catalogs/loose/items/single",
]


@pytest.fixture
def store() -> FakeStore:
    """Return a store of two collections and a catalog."""
    return make_store()


@pytest.fixture
def app(store: FakeStore) -> Any:
    """Return the app that serves it."""
    return create_app(Settings(), store=store)


@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_get_head_and_options(app: Any, path: str) -> None:
    answers = [fetch(app, path, method) for method in ("GET", "HEAD", "OPTIONS")]
    assert [answer.status_code for answer in answers] == [200, 200, 204]
    assert answers[1].content == b""
    assert answers[1].headers == answers[0].headers
    assert {"GET", "HEAD", "OPTIONS"} <= set(answers[2].headers["allow"].split(", "))


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/search"])
def test_every_path_refuses_parameters_that_it_does_not_know(app: Any, path: str) -> None:
    answer = fetch(app, f"{path}?limitt=1")
    assert answer.status_code == 400
    assert answer.json()["description"].startswith("limitt: ")
    assert fetch(app, f"{path}?.language=de").status_code == 200


def test_every_route_is_tried_here() -> None:
    tried = {path.replace("a-1", "{").replace("single", "{") for path in PATHS}
    simple = [route.path for route in routes() if "segments" not in route.path]
    assert len(tried) == len(simple)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_other_method_is_405_with_allow(app: Any, method: str) -> None:
    answer = fetch(app, "/collections/a", method)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.json()["code"] == "MethodNotAllowed"
    assert method in answer.json()["description"]


def test_search_is_for_get_and_post(app: Any) -> None:
    assert fetch(app, "/search", "DELETE").headers["allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("path", "hint"),
    [("/serch", "'/search'"), ("/collection", "'/collections'"), ("/nope/nope/nope", "http://testserver/")],
)
def test_unknown_path_is_404_with_a_hint(app: Any, path: str, hint: str) -> None:
    answer = fetch(app, path)
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
    assert hint in answer.json()["description"]
    assert fetch(app, path, "OPTIONS").status_code == 404


@pytest.mark.parametrize("path", ["/", "/search", "/search?limit=0", "/nope", "/collections/nope"])
def test_pages_of_any_origin_may_read_everything(app: Any, path: str) -> None:
    answer = fetch(app, path, headers={"Origin": "https://example.org"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"ETag", "Link", "Location"} <= set(answer.headers["access-control-expose-headers"].split(", "))


def test_preflight_request_is_answered(app: Any) -> None:
    headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    answer = fetch(app, "/search", "OPTIONS", headers={**headers, "Access-Control-Request-Headers": "content-type"})
    assert answer.status_code == 204
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Content-Type" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("error", [QueryTimeout("too long"), Unavailable("not yet")])
def test_error_of_the_store_has_its_status(
    app: Any, store: FakeStore, error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(search: Any) -> Any:
        raise error

    monkeypatch.setattr(store, "search_items", fail)
    answer = fetch(app, "/search")
    assert answer.status_code == 503
    assert answer.json() == {"code": error.code, "description": error.description}


def test_unforeseen_error_is_500_and_logged_with_its_trace(
    app: Any, store: FakeStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(search: Any) -> Any:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(store, "search_items", fail)
    with caplog.at_level(logging.ERROR):
        answer = fetch(app, "/search")
    assert answer.status_code == 500
    assert answer.json()["code"] == "InternalServerError"
    assert "secret" not in answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "ZeroDivisionError: secret" in caplog.text


def test_unforeseen_error_amid_an_answer_is_left_to_the_server(app: Any) -> None:
    async def half(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    app.router.routes.insert(0, Route("/half", type("Half", (), {"__call__": staticmethod(half)})()))
    with pytest.raises(ZeroDivisionError):
        call(app, "/half")


def test_client_that_leaves_while_sending_is_not_answered(app: Any) -> None:
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    assert call(app, "/search", messages, method="POST") == []


def test_given_store_is_served_and_left_open(store: FakeStore) -> None:
    app = create_app(Settings(), store=store)

    async def live() -> int:
        async with app.router.lifespan_context(app), client_of(app) as client:
            return (await client.get("/healthz")).status_code

    assert asyncio.run(live()) == 200
    assert not store.closed


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACSERVE_PUBLIC_URL", "https://example.org")
    app = create_app(store=make_store())
    assert "https://example.org/collections" in fetch(app, "/").text
