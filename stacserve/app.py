"""create_app: the middleware, what answers errors, start and end; the addresses are in `api.routes`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware

from stacserve.api.cors import AllowAnyOrigin
from stacserve.api.encoding import Gzip
from stacserve.api.failures import ERROR_HANDLERS, AnswerUnforeseen
from stacserve.api.finished import FinishedDocuments
from stacserve.api.proxy import PublicAddress, address_rules
from stacserve.api.routes import routes
from stacserve.opening import ServedStore
from stacserve.search import search_limits
from stacserve.settings import Settings, check_settings, settings_from_environ
from stacserve.store.interface import Store

# Pages of some megabytes are put together and freed all the time. The C library gives such memory back to the system
# at once, and getting it again costs more than everything else in a page of 100 items (0.9 ms of 1.0); glibc raises
# its threshold when a block of this size is freed.
LARGE_BUFFER = 16_000_000


def create_app(settings: Settings | None = None, *, store: Store | None = None) -> Starlette:
    """Return the ASGI app that serves the catalog of `settings`, or of the environment without them.

    Its index is built and refreshed by the app, unless `settings.ingest` is off. With `store`, that store is served
    and no source is read. StartError says in one sentence what is wrong with the settings.
    """
    settings = settings_from_environ() if settings is None else settings
    check_settings(settings)
    bytes(LARGE_BUFFER)
    app = Starlette(
        routes=routes(),
        middleware=[
            Middleware(AllowAnyOrigin),
            Middleware(PublicAddress, rules=address_rules(settings)),
            Middleware(Gzip),
            Middleware(AnswerUnforeseen),
        ],
        exception_handlers=ERROR_HANDLERS,
        lifespan=_open_and_close,
    )
    app.router.redirect_slashes = False
    app.state.settings = settings
    app.state.search_limits = search_limits(settings)
    app.state.finished = FinishedDocuments()
    app.state.served = ServedStore(settings, store)
    return app


@asynccontextmanager
async def _open_and_close(app: Starlette) -> AsyncIterator[None]:
    await app.state.served.start()
    yield
    await app.state.served.close()
