"""The store of an app: its index built where there is none, opened, and refreshed behind.

A mounted app and httpx's ASGI transport run no start-up, so the first request opens the store as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from stacserve.errors import StacserveError, StartError
from stacserve.ingest import index_path, ingest_catalog, source_identity
from stacserve.settings import Settings
from stacserve.store import is_usable, open_store
from stacserve.store.interface import Store
from stacserve.store.lease import IndexBusy, wait_for_writer

SECONDS_AT_START = 1.0

logger = logging.getLogger(__name__)


class ServedStore:
    """Opens the store of `settings` once; or serves the one it is given, which its owner closes."""

    def __init__(self, settings: Settings, store: Store | None = None) -> None:
        self.settings = settings
        self.opened = store
        self._is_own = store is None
        self._opening: asyncio.Task[Store] | None = None

    async def open(self, seconds: float | None = None) -> Store | None:
        """Return the store, or None if it is still being opened after some seconds; by default, wait for ever.

        Whoever comes meanwhile waits for the same opening. StartError says why there is none.
        """
        if self.opened is None:
            opening = self._begin()
            await asyncio.wait([opening], timeout=seconds)
            return opening.result() if opening.done() else None
        return self.opened

    async def start(self) -> None:
        """Open the store at start-up.

        A usable index is open when this returns. Building one has a second for itself, so that small catalogs are
        ready and mistakes in the settings end the start; a longer building goes on behind, and requests wait for it.
        """
        await self.open(None if self.settings.wait else SECONDS_AT_START)

    async def close(self) -> None:
        """Close the store, unless it was given."""
        if self._opening is not None and not self._opening.done():
            self._opening.cancel()
        if self._is_own and self.opened is not None:
            store, self.opened = self.opened, None
            await store.close()

    def _begin(self) -> asyncio.Task[Store]:
        # one that failed, or whose event loop has ended, is begun again by the next request
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_log_failure)
        return self._opening

    async def _open(self) -> Store:
        settings = self.settings
        path = index_path(settings.source, settings.db or None)
        usable = await asyncio.to_thread(is_usable, path, source_identity(settings.source))
        if not usable and not settings.ingest:
            raise StartError(f"there is no index of {settings.source} at {path}; build it with: stacserve index")
        ingest_first = settings.ingest and (settings.wait or not usable)
        if ingest_first:
            await _ingest_in_thread(settings)
        self.opened = await asyncio.to_thread(_open_index, path, settings)
        if settings.ingest and not ingest_first:
            _start_thread(_refresh, settings)
        return self.opened


def _log_failure(opening: asyncio.Task[Store]) -> None:
    error = None if opening.cancelled() else opening.exception()
    if error is not None:
        logger.error("the index could not be opened: %s", error)


def _open_index(path: Path, settings: Settings) -> Store:
    return open_store(
        path,
        query_timeout=settings.query_timeout,
        page_bytes_max=settings.page_bytes_max,
        unknown_properties=settings.unknown_properties,
        allow=settings.allow,
    )


def _start_thread(target: Callable[..., None], *arguments: object) -> None:
    # a daemon: reading a large catalog must not keep the process from ending, and the index survives its death
    threading.Thread(target=target, args=arguments, name="stacserve-ingest", daemon=True).start()


async def _ingest_in_thread(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def end(error: StacserveError | None) -> None:
        if not ended.done():
            ended.set_result(error)

    def ingest() -> None:
        error: StacserveError | None = StartError(f"{settings.source} could not be read; the log says why")
        try:
            error = _ingest_or_wait(settings)
        finally:
            with suppress(RuntimeError):  # the event loop has ended meanwhile
                loop.call_soon_threadsafe(end, error)

    _start_thread(ingest)
    error = await ended
    if error is not None:
        raise error


def _refresh(settings: Settings) -> None:
    error = _ingest_or_wait(settings)
    if error is not None:
        logger.error("the index could not be refreshed and is served as it is: %s", error.description)


def _ingest_or_wait(settings: Settings) -> StacserveError | None:
    """Read the source into its index, or wait for the process that does; should that one die, take over."""
    path, started = index_path(settings.source, settings.db or None), time.time()
    error = _ingest(settings)
    while isinstance(error, IndexBusy):
        logger.info("%s Waiting for it.", error.description)
        is_done = wait_for_writer(path) >= started and is_usable(path, source_identity(settings.source))
        error = None if is_done else _ingest(settings)
    return error


def _ingest(settings: Settings) -> StacserveError | None:
    """Read the source into its index; return what went wrong."""
    try:
        report = ingest_catalog(settings.source, settings.db or None, allow=settings.allow)
    except StacserveError as error:
        return error
    except OSError as error:
        return StartError(f"{settings.source} could not be read: {error}")
    logger.info("%s: %d collections, %d items", settings.source, report.collections, report.items)
    return None
