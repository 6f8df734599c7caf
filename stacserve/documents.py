"""Items in bulk: from files to what the index stores. Nearly all time of an ingest is spent here.

An item is parsed once and written once. What is common is handled inline; what is odd (old versions, members
that are missing, hrefs that need thought) is left to functions that only odd documents reach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from stacserve.catalog import ITEM, identify_document, read_id
from stacserve.folder import Folder, Stamp
from stacserve.geometry import index_geometries
from stacserve.hrefs import Rewriting, group_files, rewrite_assets, rewrite_links, start_rewriting, write_head
from stacserve.json_text import dump_json, parse_json
from stacserve.problems import WARNING, Problem, Unreadable, pointer_to, show_value
from stacserve.temporal import ItemTimes, item_times, parse_instant

CURRENT_VERSIONS = ("1.1.0", "1.0.0")
INTEGER_MAX = 2**63 - 1
NAMES_MAX = 10_000

Scalar = str | int | float | bool
Shape = tuple[Any, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_match_plain_instant = re.compile(
    r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{3}(?:\d{3})?)?Z", re.ASCII
).fullmatch


class ItemRequest(NamedTuple):
    """An item file to read; `collection` is the id of the nearest collection above it, if there is one."""

    key: int
    path: str
    collection: str | None


class ItemDocument(NamedTuple):
    """An item as it was read.

    `id` is None if it cannot be served: it is a `container` (a Catalog or Collection, for
    `catalog.read_container`), or an error in `problems` says why. `head` is as `store.interface.Document` says.

    `values` holds the scalar properties by class and name: `n` a number, `s` a text, `b` a boolean as 0 or 1, `t` the
    microseconds of a text that is an RFC 3339 instant (which is there as `s` too). `rest` is the JSON object
    of all other properties, or empty. Neither holds a NUL. `assets` and `cross_links` are as in
    `catalog.ContainerDocument`.
    """

    key: int
    path: str
    stamp: Stamp | None
    id: str | None
    collection: str | None
    head: bytes
    times: ItemTimes
    wkb: bytes | None
    values: dict[str, Scalar]
    rest: bytes
    assets: tuple[tuple[str, str], ...]
    cross_links: tuple[str, ...]
    problems: tuple[Problem, ...]
    container: bool = False


def unserved_item(
    request: ItemRequest, stamp: Stamp | None, problems: Sequence[Problem], *, container: bool = False
) -> ItemDocument:
    """Return the result for a file that cannot be served as an item."""
    times = ItemTimes(None, None, None)
    return ItemDocument(
        request.key, request.path, stamp, None, None, b"", times, None, {}, b"", (), (), tuple(problems), container
    )


class _Batch(NamedTuple):
    """What is the same for all items of a batch; `commons` are properties of collections before STAC 1.0."""

    folder: Folder
    collections: frozenset[str]
    commons: dict[str, dict[str, Any]]


class _Classed(dict[str, str]):
    """Names of properties behind the letter of a class; one text object for each, which keeps pickles small."""

    def __init__(self, letter: str) -> None:
        super().__init__()
        self.letter = letter

    def __missing__(self, name: str) -> str:
        if len(self) >= NAMES_MAX:
            self.clear()
        classed = self[name] = self.letter + name
        return classed


_NUMBER, _TEXT, _BOOLEAN, _INSTANT = map(_Classed, "nsbt")


def read_items(folder: Folder, requests: Sequence[ItemRequest], collections: frozenset[str]) -> list[ItemDocument]:
    """Read items, one result for each request, in order; `collections` are the ids of all that exist."""
    batch = _Batch(folder, collections, {})
    drafts = [_read_item(batch, request) for request in requests]
    geometries = iter(index_geometries([shape for _, shape in drafts if shape is not None]))
    return [document if shape is None else _add_geometry(document, *next(geometries)) for document, shape in drafts]


def _read_item(batch: _Batch, request: ItemRequest) -> tuple[ItemDocument, Shape | None]:
    """Read one item; its geometry and bbox come apart from it, to be read in bulk."""
    problems: list[Problem] = []
    path, stamp = request.path, None
    try:
        data, stamp = batch.folder.read(path)
        document = parse_json(data, path, problems)
        if document.get("type") != "Feature" or document.get("stac_version") not in CURRENT_VERSIONS:
            _add_common_properties(batch, document, path)
            kind, document = identify_document(document, path, problems)
            if kind != ITEM:
                return unserved_item(request, stamp, (), container=True), None
        item = _build_item(batch, request, stamp, document, problems, data)
        return item, (document["geometry"], document.get("bbox"))
    except Unreadable as error:
        return unserved_item(request, stamp, [*problems, error.problem(path)]), None


def _build_item(
    batch: _Batch,
    request: ItemRequest,
    stamp: Stamp,
    document: dict[str, Any],
    problems: list[Problem],
    data: bytes,
) -> ItemDocument:
    key, path, nearest = request
    item_id = read_id(document, path, problems)
    rewriting = start_rewriting(batch.folder, path, problems)
    links, properties, assets = document.get("links"), document.get("properties"), document.get("assets")
    if (
        type(links) is not list
        or type(properties) is not dict
        or type(assets) is not dict
        or "geometry" not in document
    ):
        links, properties, assets = _repair_members(document, rewriting)
    collection = document.get("collection")
    if collection != nearest:
        collection = _settle_collection(batch, document, nearest, rewriting)
    rewrite_assets(rewriting, assets, "assets")
    head = write_head(document, rewrite_links(rewriting, links))
    values, others, huge = _class_properties(properties)
    times = _read_times(properties, values, rewriting)
    if huge:
        _complain_of_huge_integers(huge, data, rewriting)
    if b"\\u0000" in data:
        values, others = _without_nul(values, others)
    return ItemDocument(
        key,
        path,
        stamp,
        item_id,
        collection,
        head,
        times,
        None,
        values,
        dump_json(others) if others else b"",
        group_files(rewriting),
        tuple(rewriting.cross_links),
        tuple(problems),
    )


def _add_geometry(document: ItemDocument, wkb: bytes | None, complaints: tuple[str, ...]) -> ItemDocument:
    if not complaints:
        return document._replace(wkb=wkb)
    advice = "correct the geometry (RFC 7946, section 3.1)"
    problems = [Problem(document.path, "/geometry", complaint, advice, WARNING) for complaint in complaints]
    return document._replace(wkb=wkb, problems=(*document.problems, *problems))


def _class_properties(properties: dict[str, Any]) -> tuple[dict[str, Scalar], dict[str, Any], list[str]]:
    """Return the scalar properties by class and name, the others, and the names of floats beyond 64-bit integers."""
    values: dict[str, Scalar] = {}
    others: dict[str, Any] = {}
    huge: list[str] = []
    for name, value in properties.items():
        kind = type(value)
        if kind is str:
            values[_TEXT[name]] = value
            if len(value) >= 20 and value[10] in "Tt" and (instant := _read_instant(value)) is not None:
                values[_INSTANT[name]] = instant
        elif kind is float:
            values[_NUMBER[name]] = value
            if not -INTEGER_MAX < value < INTEGER_MAX:
                huge.append(name)
        elif kind is int:
            values[_NUMBER[name]] = value if -INTEGER_MAX <= value <= INTEGER_MAX else float(value)
        elif kind is bool:
            # as SQLite keeps it; its adapter would be asked for each bool
            values[_BOOLEAN[name]] = int(value)
        elif value is not None:
            others[name] = value
    return values, others, huge


def _read_times(properties: dict[str, Any], values: dict[str, Scalar], rewriting: Rewriting) -> ItemTimes:
    instant = values.get("tdatetime")
    if type(instant) is int and properties.get("start_datetime") is None and properties.get("end_datetime") is None:
        # what item_times says of nearly all items, without reading the text again
        return ItemTimes(instant, instant, instant)
    times, complaints = item_times(properties)
    for complaint in complaints:
        rewriting.warn("/properties", complaint, "write times as in 2024-06-01T00:00:00Z")
    return times


def _read_instant(text: str) -> int | None:
    """Return the microseconds of an RFC 3339 instant, or None; the commonest way to write one is read in C."""
    try:
        if _match_plain_instant(text):
            return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
        return parse_instant(text)
    except ValueError:
        return None


# ---- what only odd items need -------------------------------------------------------


def _repair_members(document: dict[str, Any], rewriting: Rewriting) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """Put in what GeoJSON and STAC require and clients trip over; return links, properties and assets."""
    if "geometry" not in document:
        document["geometry"] = None
        rewriting.warn("/geometry", "there is no geometry", "add it; null says that there is none")
    for name, kind, what in (
        ("links", list, "a list"),
        ("properties", dict, "an object"),
        ("assets", dict, "an object"),
    ):
        if type(document.get(name)) is not kind:
            reason = f"{name} is not {what}" if name in document else f"there is no member {name!r}"
            rewriting.warn(pointer_to(name), f"{reason}; it is served empty", f"write {what}")
            document[name] = kind()
    return document["links"], document["properties"], document["assets"]


def _settle_collection(
    batch: _Batch, document: dict[str, Any], nearest: str | None, rewriting: Rewriting
) -> str | None:
    """Return the collection of an item that names another than the nearest above it, or none; also in the document."""
    named = document.get("collection")
    shown = f"collection {show_value(named)}"
    if isinstance(named, str) and named in batch.collections:
        if nearest is not None:
            advice = "link it from that collection, or correct its member `collection`"
            rewriting.warn("/collection", f"the item is in {shown}, but linked from {nearest!r}", advice)
        return named
    if nearest is None:
        rewriting.warn("/collection", f"there is no {shown}; the item is served without", "link the collection")
        return None
    if named is not None or any(
        isinstance(link, dict) and link.get("rel") == "collection" for link in document["links"]
    ):
        reason = "the item does not name its collection" if named is None else f"there is no {shown}"
        advice = f'write "collection": {dump_json(nearest).decode()}'
        rewriting.warn("/collection", f"{reason}; it is served in {nearest!r}, which links it", advice)
    document["collection"] = nearest
    return nearest


def _complain_of_huge_integers(names: list[str], data: bytes, rewriting: Rewriting) -> None:
    """Warn of integers that became floats; floats that were written as such are fine."""
    try:
        written = json.loads(data)["properties"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return
    for name in names:
        if isinstance(written, dict) and isinstance(written.get(name), int):
            reason = "the integer has more than 64 bits and becomes a float"
            rewriting.warn(pointer_to("properties", name), reason, "write it as text if every digit matters")


def _without_nul(values: dict[str, Scalar], others: dict[str, Any]) -> tuple[dict[str, Scalar], dict[str, Any]]:
    """Leave out what holds the character U+0000: SQLite ends a text there."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    bad = {name[1:] for name, text in texts.items() if "\0" in text}
    kept = {name: value for name, value in values.items() if "\0" not in name and name[1:] not in bad}
    clean = {name: value for name, value in others.items() if not _ESCAPED_NUL.search(dump_json([name, value]))}
    return kept, clean


def _add_common_properties(batch: _Batch, document: dict[str, Any], path: str) -> None:
    """Give an item what its collection says for all of its items (commons extension, STAC 0.8 and 0.9)."""
    properties = document.get("properties")
    href = _common_properties_href(document)
    if href is None or not isinstance(properties, dict):
        return
    collection = batch.folder.resolve(href, path).path
    if collection not in batch.commons:
        batch.commons[collection] = _read_common_properties(batch.folder, collection)
    for name, value in batch.commons[collection].items():
        properties.setdefault(name, value)


def _common_properties_href(document: dict[str, Any]) -> str | None:
    """Return the href of the collection whose properties an item has, if it is of a version that knows this."""
    version, extensions, links = (document.get(name) for name in ("stac_version", "stac_extensions", "links"))
    if not isinstance(version, str) or not isinstance(links, list) or not version < "0.9.1":
        return None
    if version >= "0.9" and (not isinstance(extensions, list) or "commons" not in extensions):
        return None
    hrefs = (link.get("href") for link in links if isinstance(link, dict) and link.get("rel") == "collection")
    return next((href for href in hrefs if isinstance(href, str)), None)


def _read_common_properties(folder: Folder, path: str) -> dict[str, Any]:
    try:
        properties = parse_json(folder.read(path)[0], path, []).get("properties")
    except Unreadable:
        return {}
    return properties if isinstance(properties, dict) else {}
