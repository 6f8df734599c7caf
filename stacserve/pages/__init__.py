"""Documents as HTML pages: readable without network, script or style sheet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
"""


def api_page(document: dict[str, Any], conformance: Sequence[str] = ()) -> str:
    """Return an OpenAPI document as a page: its operations by tag, with parameters and an example of each.

    `conformance` are the classes that the server conforms to.
    """
    title = f"{document['info']['title']} {document['info']['version']}"
    base_url = document["servers"][0]["url"]
    parts = [_HEAD.format(title=escape(title)), "<body>", _element("h1", title)]
    parts += [_element("p", paragraph) for paragraph in document["info"]["description"].split("\n\n")]
    parts += [_starting_points(base_url), "<main>"]
    for tag in document["tags"]:
        parts += [_element("h2", tag["name"]), _element("p", tag["description"]), *_operations(document, tag["name"])]
    if conformance:
        parts += [
            '<h2 id="conformance">Conformance</h2>',
            f"<ul>{''.join(_element('li', uri) for uri in conformance)}</ul>",
        ]
    return "\n".join([*parts, "</main>", "</body>", "</html>", ""])


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(text)}</{name}>"


def _starting_points(base_url: str) -> str:
    paths = ["/", "/conformance", "/collections", "/search", "/queryables", "/api"]
    items = (f'<li><a href="{escape(base_url + path)}">{escape(base_url + path)}</a></li>' for path in paths)
    return f"<nav><ul>{''.join(items)}</ul></nav>"


def _operations(document: dict[str, Any], tag: str) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield _operation(document, path, method.upper(), operation)


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = [_resolve(document, parameter) for parameter in operation.get("parameters", ())]
    media_types = ", ".join(operation["responses"]["200"]["content"])
    errors = ", ".join(status for status in operation["responses"] if status != "200")
    about = f"{operation['summary']}. {operation.get('description', '')}".strip()
    return "\n".join(
        [
            f'<section id="{escape(operation["operationId"])}">',
            f"<h3><code>{method} {escape(path)}</code></h3>",
            _element("p", about),
            _parameter_table(parameters),
            _element("p", f"Answers 200 with {media_types}; errors {errors}."),
            f"<pre>{escape(_example(document, path, operation, parameters))}</pre>",
            "</section>",
        ]
    )


def _resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Follow a `$ref` inside the document."""
    found: dict[str, Any] = part
    if "$ref" in part:
        found = document
        for key in part["$ref"].removeprefix("#/").split("/"):
            found = found[key]
    return found


def _parameter_table(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Parameter", "In", "Meaning", "Default", "Example"))
    rows = "\n".join(
        f'<tr><th scope="row"><code>{escape(parameter["name"])}</code></th>'
        f"<td>{parameter['in']}</td><td>{escape(parameter.get('description', ''))}</td>"
        f"<td>{escape(str(parameter.get('schema', {}).get('default', '')))}</td>"
        f"<td><code>{escape(_example_text(parameter))}</code></td></tr>"
        for parameter in parameters
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _example_text(parameter: dict[str, Any]) -> str:
    """Return the example of a parameter as it is written in a URL, before it is percent-encoded."""
    media = next(iter(parameter.get("content", {}).values()), None)
    if media is not None:
        return json.dumps(media["example"])
    example = parameter.get("example", "")
    return ",".join(map(str, example)) if isinstance(example, list) else str(example)


def _example(document: dict[str, Any], path: str, operation: dict[str, Any], parameters: list[dict[str, Any]]) -> str:
    """Return a command that asks for this operation, with the first two parameters that have an example."""
    texts = {(part["in"], part["name"]): _example_text(part) for part in parameters}
    url = document["servers"][0]["url"] + path
    for (place, name), text in texts.items():
        if place == "path":
            url = url.replace(f"{{{name}}}", quote(text))
    query = [f"{name}={quote(text, safe=',:/')}" for (place, name), text in texts.items() if place == "query" and text]
    command = f"curl '{url}{'?' if query else ''}{'&'.join(query[:2])}'"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is None:
        return command
    sent = json.dumps(_resolve(document, body["schema"])["example"])
    return f"{command} -H 'Content-Type: application/json' -d '{sent}'"
