"""The OpenAPI document says what is served, no more and no less, and can be read as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator
from starlette.routing import Route

from stacserve import Settings, create_app
from stacserve.api.openapi import openapi_document
from stacserve.pages import api_page

BASE = "https://example.org/stac"


@pytest.fixture
def document() -> dict[str, Any]:
    return openapi_document(Settings(), BASE)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
        yield from references(child)


def parameter(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["parameters"][name]
    return found


def test_the_document_is_valid_openapi_3_0(document: dict[str, Any]) -> None:
    OpenAPIV30SpecValidator(document).validate()
    assert document["openapi"].startswith("3.0.")
    assert document["servers"] == [{"url": BASE}]


def test_every_reference_leads_somewhere_and_every_component_is_used(document: dict[str, Any]) -> None:
    components = document["components"]
    known = {f"#/components/{kind}/{name}" for kind, parts in components.items() for name in parts}
    assert set(references(document)) == known


def test_operations_are_the_routes_of_the_app(document: dict[str, Any]) -> None:
    routes = [route for route in create_app(Settings(source="nowhere")).routes if isinstance(route, Route)]
    served = {
        (re.sub(r":\w+}", "}", route.path), method)
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if "{rest:" not in route.path  # addresses that a proxy has decoded once too often
    }
    described = {(path, method.upper()) for path, methods in document["paths"].items() for method in methods}
    assert described == served


def test_path_parameters_are_those_of_the_path(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        references = [part["$ref"].rsplit("/", 1)[1] for part in methods["get"]["parameters"]]
        in_path = [name for name in references if parameter(document, name)["in"] == "path"]
        assert in_path == re.findall(r"{(\w+)}", path)


def test_search_takes_the_same_parameters_everywhere(document: dict[str, Any]) -> None:
    body = set(document["components"]["schemas"]["SearchBody"]["properties"])
    for path in ("/search", "/collections/{collection_id}/items", "/catalogs/{address}/items"):
        names = {part["$ref"].rsplit("/", 1)[1] for part in document["paths"][path]["get"]["parameters"]}
        assert {name for name in names if parameter(document, name)["in"] == "query"} == body


def test_limits_are_those_of_the_settings() -> None:
    settings = Settings(limit_default=7, limit_max=70, collections_limit_default=3, page_bytes_max=5_000_000)
    document = openapi_document(settings, BASE)
    assert parameter(document, "limit")["schema"] == {"type": "integer", "minimum": 1, "default": 7}
    assert "70" in parameter(document, "limit")["description"]
    assert parameter(document, "limit-collections")["schema"]["default"] == 3
    assert "5 MB" in document["paths"]["/search"]["get"]["description"]


def test_other_limits_are_told_in_the_description() -> None:
    settings = Settings(body_bytes_max=1_500_000, filter_depth_max=13, query_timeout=2.5, extra_parameters=("api_key",))
    text = openapi_document(settings, BASE)["info"]["description"]
    assert all(part in text for part in ("1.5 MB", "13 levels", "2.5 seconds", "`api_key`"))


@pytest.mark.parametrize(("setting", "told"), [("null", "is null"), ("error", "is refused")])
def test_unknown_properties_are_told_as_they_are_set(setting: str, told: str) -> None:
    document = openapi_document(Settings(unknown_properties=setting), BASE)
    assert told in parameter(document, "filter")["description"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "application/json"),
        ("/api", "application/vnd.oai.openapi+json;version=3.0"),
        ("/api.html", "text/html"),
        ("/search", "application/geo+json"),
        ("/collections/{collection_id}/items/{item_id}", "application/geo+json"),
        ("/queryables", "application/schema+json"),
    ],
)
def test_media_types_are_exact(document: dict[str, Any], path: str, media_type: str) -> None:
    assert list(document["paths"][path]["get"]["responses"]["200"]["content"]) == [media_type]


def test_errors_have_a_code_and_a_description(document: dict[str, Any]) -> None:
    responses = document["paths"]["/search"]["post"]["responses"]
    assert set(responses) == {"200", "400", "405", "413", "415", "503"}
    assert set(document["components"]["schemas"]["Error"]["required"]) == {"code", "description"}


@pytest.mark.anyio
async def test_the_app_serves_the_document_with_its_own_address(client: httpx.AsyncClient) -> None:
    response = await client.get("/api")
    assert response.headers["content-type"] == "application/vnd.oai.openapi+json;version=3.0"
    assert response.json()["servers"] == [{"url": "http://testserver"}]
    page = await client.get("/api.html")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://testserver/search?bbox=" in page.text


class Tags(HTMLParser):
    """Collects start tags with their attributes, and checks that tags are closed in their order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself(document: dict[str, Any]) -> None:
    tags = Tags(api_page(document))
    assert tags.open == []
    assert not {"script", "style", "link", "img", "iframe"} & {name for name, _ in tags.seen}
    assert not any({"style", "src", "onclick"} & set(attributes) for _, attributes in tags.seen)
    assert all((attributes["href"] or "").startswith(BASE) for name, attributes in tags.seen if name == "a")


def test_the_page_shows_every_operation_and_parameter(document: dict[str, Any]) -> None:
    page = api_page(document, ["https://api.stacspec.org/v1.0.0/core"])
    assert all(f"<code>GET {path}</code>" in page for path in document["paths"])
    assert "<code>POST /search</code>" in page
    assert all(f"<code>{part['name']}</code>" in page for part in document["components"]["parameters"].values())
    assert "<li>https://api.stacspec.org/v1.0.0/core</li>" in page


def test_the_page_escapes_what_it_is_given() -> None:
    evil = "\"><script>alert('x')</script>"
    page = api_page(openapi_document(Settings(extra_parameters=(evil,)), f"http://{evil}"), [evil])
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_example_of_a_search_body_can_be_sent_as_it_stands(document: dict[str, Any]) -> None:
    example = document["components"]["schemas"]["SearchBody"]["example"]
    assert f"-d &#x27;{json.dumps(example).replace(chr(34), '&quot;')}&#x27;" in api_page(document)
