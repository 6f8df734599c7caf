"""What many tests need: a catalog of their own, its index, and a client on the app."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

import stacserve

SAMPLE_CATALOGS = Path(__file__).resolve().parent.parent / "sample_catalogs"


@pytest.fixture(scope="session", autouse=True)
def _own_cache_and_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep indexes out of the user's cache folder, and the user's options out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in [name for name in os.environ if name.startswith("STACSERVE_")]:
            patch.delenv(name)
        yield


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Return a copy of a sample catalog that the test may change."""
    return shutil.copytree(SAMPLE_CATALOGS / "alps", tmp_path / "catalog")


@pytest.fixture
def index(catalog: Path, tmp_path: Path) -> Path:
    """Return the finished index of `catalog`."""
    path = tmp_path / "index.db"
    stacserve.ingest_catalog(str(catalog), path)
    return path


@pytest.fixture
async def client(catalog: Path, index: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client on the app that serves `catalog` from `index`."""
    app = stacserve.create_app(stacserve.Settings(source=str(catalog), db=str(index), ingest=False))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client
