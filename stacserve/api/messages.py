"""Requests: what they ask for, from query strings and bodies; the store for them; clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from stacserve.errors import (
    BodyTooLarge,
    InvalidBody,
    InvalidParameter,
    StacserveError,
    Unavailable,
    Unsupported,
)
from stacserve.search import read_limit, read_parameters
from stacserve.settings import Settings
from stacserve.stac import JSON
from stacserve.store.interface import Store

SECONDS_UNWATCHED = 1.0
BRACKETS_UNCHECKED = 200  # orjson reads deeper than it writes, but writes at least as deep as this

Answer = TypeVar("Answer")


async def store_of(request: Request) -> Store:
    """Return the store; the first request opens it, and others wait for that."""
    store: Store | None = request.app.state.served.opened
    return store or cast(Store, await store_within(request, None))


async def store_within(request: Request, seconds: float | None) -> Store | None:
    """Return the store, or None if it is not open after some seconds."""
    try:
        store: Store | None = await request.app.state.served.open(seconds)
    except StacserveError as error:
        raise Unavailable(error.description) from error
    return store


def settings_of(request: Request) -> Settings:
    """Return the settings of the app."""
    settings: Settings = request.app.state.settings
    return settings


def read_query(scope: Scope) -> list[tuple[str, str]]:
    """Return the pairs of the query string, decoded once; what is not UTF-8 is refused."""
    query: bytes = scope["query_string"]
    if not query:
        return []
    try:
        return parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=100)
    except UnicodeDecodeError:
        raise InvalidParameter("query string", "is not percent-encoded UTF-8; write ü as %C3%BC") from None
    except ValueError:
        raise InvalidParameter("query string", "has more than 100 parameters") from None


def read_known(request: Request, *known: str) -> dict[str, str]:
    """Return the query parameters by name; every one must be among the known."""
    if not request.scope["query_string"]:
        return {}
    return read_parameters(read_query(request.scope), known, settings_of(request).extra_parameters)


def read_paging(request: Request, limit_default: int) -> tuple[int, str | None]:
    """Return `limit` and `token`, the only parameters of a plain list."""
    values = read_known(request, "limit", "token")
    limit_max = settings_of(request).limit_max
    limit = read_limit(values["limit"], limit_max) if "limit" in values else min(limit_default, limit_max)
    return limit, values.get("token")


async def read_json(request: Request) -> Any:
    """Return the body as JSON: right media type, not too long, no NaN, not too deep."""
    media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if media_type != JSON and not media_type.endswith("+json"):
        raise Unsupported(f"the body is {media_type[:60]!r}; send JSON with the header Content-Type: {JSON}")
    body = await _read_body(request, settings_of(request).body_bytes_max)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidBody(f'the body is not JSON: {error}; write {{"limit": 10}}') from None
    if body.count(b"[") + body.count(b"{") > BRACKETS_UNCHECKED:
        _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Refuse what could be read, but not written into the link to the next page."""
    try:
        orjson.dumps([value])  # the link is one level more
    except orjson.JSONEncodeError:
        raise InvalidBody('the body is nested too deeply; write {"limit": 10}') from None


async def _read_body(request: Request, maximum: int) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > maximum:
            raise BodyTooLarge(f"the body is longer than {maximum} bytes; ask for less, or raise body_bytes_max")
        chunks.append(chunk)
    return b"".join(chunks)


async def unless_gone(request: Request, answer: Coroutine[Any, Any, Answer]) -> Answer:
    """Wait for what may take long, and cancel it when the client leaves.

    The request must have been read. The connection is looked at only after a second: a quick answer pays for
    one timer.
    """
    watch = _Watch(request)
    try:
        return await answer
    except asyncio.CancelledError:
        if not watch.gone:
            raise
        watch.task.uncancel()
        raise ClientDisconnect from None
    finally:
        watch.stop()


class _Watch:
    """Cancels the current task when its client disconnects, from one second on."""

    def __init__(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task
        self.gone = False
        self._receive = request.receive
        self._listener: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(SECONDS_UNWATCHED, self._start)

    def _start(self) -> None:
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.task.cancel()

    def stop(self) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
