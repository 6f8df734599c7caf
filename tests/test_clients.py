"""The clients that people use, and the validators, against a real server on a port of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pystac
import pytest
import schemathesis
import stac_api_validator.validations as validator
import stac_asset
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pystac.validation.local_validator import get_local_schema_cache
from pystac_client import Client, CollectionClient
from pystac_client.warnings import strict
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import positive_data_acceptance
from urllib3 import HTTPConnectionPool, HTTPResponse

from conftest import SAMPLE_CATALOGS
from oracle import read_items
from random_stac import random_catalog
from stacserve import Settings, create_app
from stacserve.api.openapi import openapi_document
from walking import client_of

SOURCE = SAMPLE_CATALOGS / "alps"


@contextmanager
def serve(source: Path, folder: Path) -> Iterator[str]:
    """Serve a catalog by uvicorn, in a thread, with its index in a folder; give the base URL."""
    app = create_app(Settings(source=str(source), db=str(folder / "index.db"), wait=True))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", proxy_headers=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the base URL of a server for a sample catalog."""
    with serve(SOURCE, tmp_path_factory.mktemp("live")) as url:
        yield url


# --- pystac-client


@pytest.fixture
def catalog_client(live_server: str) -> Iterator[Client]:
    with strict():
        yield Client.open(live_server)


def test_pystac_client_lists_collections_and_items(catalog_client: Client) -> None:
    items = read_items(SOURCE)
    in_collections = Counter(item.collection for item in items if item.collection is not None)
    collections = {collection.id: collection for collection in catalog_client.get_collections()}
    assert set(in_collections) <= set(collections)
    for collection_id, count in in_collections.items():
        assert len(list(collections[collection_id].get_items())) == count


def test_pystac_client_gets_one_collection_and_one_item(catalog_client: Client) -> None:
    wanted = next(item for item in read_items(SOURCE) if item.collection is not None)
    collection = catalog_client.get_collection(str(wanted.collection))
    assert collection is not None
    item = collection.get_item(wanted.identity.id)
    assert item is not None
    assert item.properties == wanted.document["properties"]
    assert collection.get_item("nobody") is None


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pystac_client_searches_and_pages(catalog_client: Client, method: str) -> None:
    search = catalog_client.search(method=method, limit=3, max_items=None)
    found = [item["id"] for item in search.items_as_dicts()]
    assert sorted(found) == sorted(item.identity.id for item in read_items(SOURCE))
    assert search.matched() == len(found)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pystac_client_sends_every_condition(catalog_client: Client, method: str) -> None:
    wanted = next(item for item in read_items(SOURCE) if item.shape is not None and item.collection is not None)
    assert wanted.shape is not None
    search = catalog_client.search(
        method=method,
        ids=[wanted.identity.id],
        collections=[str(wanted.collection)],
        intersects=json.loads(json.dumps(wanted.document["geometry"])),
        datetime="1980-01-01/2100-01-01",
        filter=f"id = '{wanted.identity.id}'"
        if method == "GET"
        else {"op": "=", "args": [{"property": "id"}, wanted.identity.id]},
    )
    assert [item.id for item in search.items()] == [wanted.identity.id]


def test_pystac_client_reads_queryables(catalog_client: Client) -> None:
    collection = next(iter(catalog_client.get_collections()))
    assert isinstance(collection, CollectionClient)
    assert {"id", "collection", "geometry", "datetime"} <= set(collection.get_queryables()["properties"])
    assert "properties" in catalog_client.get_queryables()


def test_pystac_walks_from_the_landing_page_to_every_item(live_server: str) -> None:
    catalog = pystac.Catalog.from_file(f"{live_server}/")
    below = {item.id for item in catalog.get_items(recursive=True)}
    assert {item.identity.id for item in read_items(SOURCE) if item.collection is None} <= below


# --- stac-asset


def test_stac_asset_downloads_an_item(catalog_client: Client, tmp_path: Path) -> None:
    item = next(item for item in catalog_client.search().items() if "thumbnail" in item.assets)
    served = httpx.get(item.assets["thumbnail"].href).content
    asyncio.run(stac_asset.download_item(item, tmp_path, config=stac_asset.Config(include=["thumbnail"])))
    files = [path for path in tmp_path.rglob("*") if path.suffix == ".png"]
    assert [path.read_bytes() for path in files] == [served]
    assert served.startswith(b"\x89PNG")


# --- Every link


async def crawl(client: httpx.AsyncClient) -> Counter[str]:
    """Ask for everything that is linked from the landing page; return how many links of each relation there were."""
    waiting: list[tuple[str, str, Any, str | None]] = [("GET", "http://testserver/", None, "application/json")]
    seen: set[str] = set()
    relations: Counter[str] = Counter()
    while waiting:
        method, href, body, promised = waiting.pop()
        key = f"{method} {href} {body}"
        if key in seen or urlsplit(href).netloc != "testserver":
            continue
        seen.add(key)
        response = (
            await client.request(method, href, json=body) if body is not None else await client.request(method, href)
        )
        assert response.status_code == 200, f"{key}: {response.text[:300]}"
        answered = response.headers["content-type"]
        assert promised is None or answered.replace("; ", ";").removesuffix(";charset=utf-8") == promised.replace(
            "; ", ";"
        ), key
        if "json" in answered and "/assets/" not in href and "openapi" not in answered:
            for link in links_in(response.json()):
                relations[link.get("rel", "asset")] += 1
                body = link.get("body", {} if link.get("method") == "POST" else None)
                waiting.append((link.get("method", "GET"), link["href"], body, link.get("type")))
    return relations


def links_in(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return every link and asset of a document and of those inside it."""
    yield from document.get("links", [])
    yield from document.get("assets", {}).values()
    for child in [*document.get("features", []), *document.get("collections", [])]:
        yield from links_in(child)


@pytest.mark.anyio
async def test_every_link_of_a_sample_catalog_answers_with_the_type_it_promises(tmp_path: Path) -> None:
    async with client_of(SOURCE, tmp_path / "index.db", wait=True, limit_default=20) as client:
        relations = await crawl(client)
    wanted = [
        "self",
        "root",
        "parent",
        "child",
        "items",
        "data",
        "conformance",
        "search",
        "next",
        "prev",
        "service-desc",
    ]
    assert not {"collection", "asset", "service-doc", *wanted} - set(relations)


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(3))
async def test_every_link_of_a_catalog_with_odd_ids_answers(tmp_path: Path, seed: int) -> None:
    random_catalog(tmp_path / "catalog", seed, 80)
    async with client_of(tmp_path / "catalog", tmp_path / "index.db", wait=True, limit_default=20) as client:
        relations = await crawl(client)
    assert relations["parent"] >= 80


# --- stac-api-validator


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer what validators ask of the network: schemas of STAC as pystac has them, others that allow everything."""
    schemas, ask, resolve = get_local_schema_cache(), HTTPConnectionPool.urlopen, socket.getaddrinfo

    def ask_locally(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **options: Any) -> Any:
        if pool.host == "127.0.0.1":
            return ask(pool, method, url, *args, **options)
        address = f"{pool.scheme}://{pool.host}{url}"
        schema = schemas.get(address, {"$id": address, "$schema": "http://json-schema.org/draft-07/schema#"})
        body = BytesIO(json.dumps(schema).encode())
        return HTTPResponse(body, status=200, preload_content=options.get("preload_content", True))

    def resolve_locally(host: Any, *args: Any, **options: Any) -> Any:
        if host != "127.0.0.1":
            raise socket.gaierror(f"{host} is not asked in tests")
        return resolve(host, *args, **options)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", ask_locally)
    monkeypatch.setattr(socket, "getaddrinfo", resolve_locally)


@pytest.mark.filterwarnings("ignore:get_all_items is deprecated")
def test_stac_api_validator_finds_nothing(live_server: str, no_network: None) -> None:
    item = next(item for item in read_items(SOURCE) if item.shape is not None and item.collection is not None)
    _, errors = validator.validate_api(
        root_url=f"{live_server}/",
        ccs_to_validate=[
            "core",
            "collections",
            "features",
            "item-search",
            "filter",
            "features#filter",
            "item-search#filter",
        ],
        collection=item.collection,
        geometry=json.dumps(item.document["geometry"]),
        auth_bearer_token=None,
        auth_query_parameter=None,
        fields_nested_property=None,
        validate_pagination=True,
        query_config=validator.QueryConfig(*[None] * 13),
        transaction_collection=None,
        headers={},
    )
    assert errors.as_list() == []


# --- schemathesis


OPERATIONS = [
    (path, method) for path, methods in openapi_document(Settings(), "")["paths"].items() for method in methods
]
WITH_PARAMETERS = [(path, method) for path, method in OPERATIONS if path.endswith(("search", "items", "problems"))]
# What there is in the catalog that is served; other cases ask for what there is not.
REAL_IDS = {"collection_id": "ocean-colour", "address": "reef surveys"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    with serve(SAMPLE_CATALOGS / "pacific", tmp_path_factory.mktemp("described")) as url:
        yield schemathesis.openapi.from_url(f"{url}/api")


def call_some(operation: Any, mode: schemathesis.GenerationMode, *, excluded: list[Any] | None = None) -> None:
    """Call an operation some times, with the same cases in every run, and check every answer."""

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), is_real=st.booleans())
    def call(case: schemathesis.Case[Any], is_real: bool) -> None:
        if is_real:
            case.path_parameters.update({name: REAL_IDS.get(name, old) for name, old in case.path_parameters.items()})
        case.call_and_validate(excluded_checks=excluded)

    call()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_answers_are_as_described(described: BaseSchema, path: str, method: str) -> None:
    # what the description cannot say, such as south above north, is refused all the same
    call_some(described[path][method], schemathesis.GenerationMode.POSITIVE, excluded=[positive_data_acceptance])


@pytest.mark.parametrize(("path", "method"), WITH_PARAMETERS)
def test_what_the_description_forbids_is_refused(described: BaseSchema, path: str, method: str) -> None:
    call_some(described[path][method], schemathesis.GenerationMode.NEGATIVE)
