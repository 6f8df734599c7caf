"""Asking an app for a search and following its pages, as the tests of searching and paging do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from oracle import Identity
from stacserve import Settings, create_app

Limits = Callable[[], int]


@asynccontextmanager
async def client_of(source: Path, db: Path, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a catalog for as long as the block runs."""
    app = create_app(Settings(source=str(source), db=str(db), **options))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield client


async def ask_by_get(client: httpx.AsyncClient, params: dict[str, Any], path: str = "/search") -> dict[str, Any]:
    """Return the page that the parameters ask for."""
    return _page(await client.get(path, params=params))


async def ask_by_post(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    """Return the page that the body asks for."""
    return _page(await client.post("/search", json=body))


async def follow(
    client: httpx.AsyncClient, page: dict[str, Any], rel: str, limit: int | None = None
) -> dict[str, Any] | None:
    """Return the page that a link leads to, if there is one; `limit` changes its size."""
    link = next((link for link in page["links"] if link["rel"] == rel), None)
    if link is None:
        return None
    if link.get("method", "GET") == "POST":
        body = link["body"] if limit is None else {**link["body"], "limit": limit}
        return _page(await client.post(link["href"], json=body))
    url = httpx.URL(link["href"])
    return _page(await client.get(url if limit is None else url.copy_set_param("limit", limit)))


async def walk(
    client: httpx.AsyncClient, page: dict[str, Any], rel: str = "next", limit: Limits | None = None
) -> list[dict[str, Any]]:
    """Return this page and all that follow in one direction."""
    pages: list[dict[str, Any]] = []
    following: dict[str, Any] | None = page
    while following is not None:
        pages.append(following)
        following = await follow(client, following, rel, None if limit is None else limit())
    return pages


def identities(pages: list[dict[str, Any]]) -> list[Identity]:
    """Return who is on the pages, in their order, as their own links say."""
    return [identity_of(feature) for page in pages for feature in page["features"]]


def identity_of(feature: dict[str, Any]) -> Identity:
    """Return the identity that the `self` link of a served item says."""
    href = next(link["href"] for link in feature["links"] if link["rel"] == "self")
    kind, container, items, item_id = map(unquote, urlsplit(href).path.split("/")[1:])
    assert items == "items"
    assert item_id == feature["id"]
    return Identity((("collections", "catalogs").index(kind), container), item_id)


def _page(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, f"{response.request.method} {response.url}: {response.text[:500]}"
    page: dict[str, Any] = response.json()
    assert page["numberReturned"] == len(page["features"])
    return page
