"""A static STAC catalog on disk: its root, what a document of it is, and reading catalogs and collections.

How a walk uses this: `read_container` for every document behind a `child` link, `documents.read_items` for those
behind `item` links, in bulk. What a document is decides, not the link that leads to it: a container of type
"Item" is to be read as an item, and an item that says `container` as a container.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pystac
from pystac.serialization import STACVersionRange, migrate_to_latest
from pystac.serialization.identify import STACJSONDescription

from stacserve.errors import StartError, did_you_mean
from stacserve.folder import Folder, Stamp, Target, is_text, published_prefix
from stacserve.hrefs import Rewriting, group_files, rewrite_assets, rewrite_links, start_rewriting, write_head
from stacserve.json_text import parse_json
from stacserve.problems import ERROR, WARNING, Problem, Unreadable, pointer_to, show_value

__all__ = [
    "CATALOG",
    "COLLECTION",
    "ITEM",
    "ContainerDocument",
    "Folder",
    "Problem",
    "Source",
    "Stamp",
    "Target",
    "Unreadable",
    "identify_document",
    "open_source",
    "read_container",
    "read_id",
]

CATALOG = "Catalog"
COLLECTION = "Collection"
ITEM = "Item"
ROOT_NAMES = ("catalog.json", "collection.json")

_KINDS = {"Feature": ITEM, "Item": ITEM, "Catalog": CATALOG, "Collection": COLLECTION}
_TYPES = {ITEM: "Feature", CATALOG: "Catalog", COLLECTION: "Collection"}
_REQUIRED = {CATALOG: ("description",), COLLECTION: ("description", "license", "extent")}
_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:-(.+))?", re.ASCII)


class Source(NamedTuple):
    """What is served: a folder, and the document path of its root document."""

    folder: Folder
    root: str


class ContainerDocument(NamedTuple):
    """A catalog or collection as it was read.

    `type` is "Catalog", "Collection", "Item" (all else is empty then: read it as an item) or "" (not readable;
    `problems` says why). `head` is as `store.interface.Document` says. `children` and `items` are the document
    paths behind its links, in order, each once; `missing` those that are linked but not there. `assets` are pairs
    of a folder and names in it, joined by line feeds; `cross_links` the documents that kept links lead to, which
    `head` names by their `/assets/` paths. `extent` is the member as it stands in the file.
    """

    path: str
    stamp: Stamp | None
    type: str
    id: str = ""
    title: str | None = None
    head: bytes = b""
    children: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    assets: tuple[tuple[str, str], ...] = ()
    cross_links: tuple[str, ...] = ()
    extent: Any = None
    problems: tuple[Problem, ...] = ()


# ---- the root -----------------------------------------------------------------------


def open_source(source: str, allow: Sequence[str] = ()) -> Source:
    """Find the root document of a folder, or take the file that is named; raise StartError.

    A root that is half-written, and so no JSON, is no error here: an index made from it earlier can be served.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
        raise StartError(f"{source} is a URL; only local folders can be served, so download the catalog first.")
    for path in allow:
        if not os.path.isdir(path):
            raise StartError(f"--allow {path}: there is no such folder.{_nearest(path)}")
    directory, name = _find_root(source)
    folder = Folder(directory, allow)
    file = os.path.join(directory, name)
    try:
        folder.locate(name)
    except Unreadable as error:
        if error.kind != "outside":
            raise StartError(f"{file}: {error.reason}; {error.advice}.") from error
        # the source itself is a link: it is served from where it leads
        directory, name = os.path.split(os.path.realpath(file))
        folder = Folder(directory, allow)
    if not is_text(name):
        raise StartError(f"The name of {file!a} is not UTF-8; rename the file.")
    return Source(Folder(directory, allow, _read_published(folder, name, file)), name)


def _find_root(source: str) -> tuple[str, str]:
    if os.path.isfile(source):
        directory, name = os.path.split(source)
        return directory or ".", name
    if not os.path.isdir(source):
        what = "is neither a file nor a folder" if os.path.exists(source) else "does not exist"
        raise StartError(f"{source or 'The source'} {what}; give a folder with a STAC catalog.{_nearest(source)}")
    try:
        names = sorted(name for name in os.listdir(source) if name.lower().endswith(".json"))
    except OSError as error:
        raise StartError(f"{source} cannot be read: {error.strerror}; make it readable for this user.") from error
    named = [name for name in ROOT_NAMES if name in names]
    return source, named[0] if named else _find_only_container(source, names)


def _find_only_container(source: str, names: Sequence[str]) -> str:
    """Return the name of the only catalog or collection among the files of a folder; raise StartError."""
    found = [name for name in names if _is_container(Folder(source), name)]
    if not found:
        raise StartError(
            f"There is no STAC catalog in {source}: looked for {', '.join(ROOT_NAMES)}"
            f" and another *.json of type Catalog or Collection.{_suggest_subfolder(source)}"
        )
    if len(found) > 1:
        listed = ", ".join(found[:5]) + (" ..." if len(found) > 5 else "")
        raise StartError(f"{source} holds several catalogs ({listed}); name one: {os.path.join(source, found[0])}")
    return found[0]


def _is_container(folder: Folder, name: str) -> bool:
    try:
        return identify_document(parse_json(folder.read(name)[0], name, []), name, [])[0] != ITEM
    except Unreadable:
        return False


def _suggest_subfolder(source: str) -> str:
    with os.scandir(source) as entries:
        folders = sorted(entry.path for entry in entries if entry.is_dir())
    found = [path for path in folders[:1000] if any(os.path.isfile(os.path.join(path, name)) for name in ROOT_NAMES)]
    return f" Did you mean {found[0]!r}?" if found else ""


def _nearest(path: str) -> str:
    """Suggest the name that is nearest to the first part of a path that does not exist."""
    parent, name = os.path.split(os.path.abspath(path))
    while not os.path.isdir(parent) and parent != os.path.dirname(parent):
        parent, name = os.path.split(parent)
    try:
        return did_you_mean(name, os.listdir(parent))
    except OSError:
        return ""


def _read_published(folder: Folder, name: str, file: str) -> str:
    """Return where the root document says it was published; raise StartError if it is not a root document."""
    try:
        document = parse_json(folder.read(name)[0], name, [])
    except Unreadable as error:
        if error.kind == "denied":
            raise StartError(f"{file}: {error.reason}; {error.advice}.") from error
        return ""
    try:
        kind, document = identify_document(document, name, [])
    except Unreadable as error:
        raise StartError(f"{file} is not a STAC catalog: {error.reason}; give its catalog.json.") from error
    if kind == ITEM:
        raise StartError(f"{file} is an Item; give the folder or the catalog.json of the catalog that it is in.")
    return next((published_prefix(link["href"]) for _, link in _links_of(document, "self")), "")


# ---- any document -------------------------------------------------------------------


def identify_document(document: dict[str, Any], path: str, problems: list[Problem]) -> tuple[str, dict[str, Any]]:
    """Return what a document is ("Catalog", "Collection", "Item"), and it in STAC 1.0 or later.

    Older versions are migrated by pystac. What has no `type` (before STAC 1.0 only items had one) is told by
    its members, and gets one. Raise Unreadable for what is not STAC.
    """
    kind = _kind_of(document)
    version = document.get("stac_version")
    parts = _VERSION.fullmatch(version) if isinstance(version, str) else None
    is_old = parts is not None and (int(parts[1]) < 1 or (parts.group(1, 2, 3) == ("1", "0", "0") and bool(parts[4])))
    if parts is None:
        reason = "there is no stac_version" if version is None else f"stac_version is {show_value(version)}"
        problems.append(Problem(path, "/stac_version", f"{reason}; 1.0.0 is assumed", "write the version", WARNING))
        document["stac_version"] = "1.0.0"
    if document.get("type") != _TYPES[kind]:
        if not is_old:
            advice = f'write "type": "{_TYPES[kind]}"'
            problems.append(Problem(path, "/type", f"the type of this {kind} is not given", advice, WARNING))
        document["type"] = _TYPES[kind]
    if is_old:
        document = _migrate(document, kind, path, problems)
    return kind, document


def _kind_of(document: dict[str, Any]) -> str:
    given = document.get("type")
    if isinstance(given, str) and given in _KINDS:
        return _KINDS[given]
    if given is not None:
        reason = f"type is {show_value(given)}, and not that of a STAC document"
        advice = "link only to Catalogs, Collections and Items"
        raise Unreadable(reason, advice, pointer="/type", kind="foreign")
    if "stac_version" in document or "links" in document:
        if "geometry" in document:
            return ITEM
        if "extent" in document or "license" in document:
            return COLLECTION
        if "properties" in document:
            return ITEM
        if "links" in document:
            return CATALOG
    raise Unreadable("this is not a STAC document: it has no type", "link only to STAC documents", kind="foreign")


def _migrate(document: dict[str, Any], kind: str, path: str, problems: list[Problem]) -> dict[str, Any]:
    """Bring a document from before STAC 1.0 to the latest version, by pystac."""
    versions = STACVersionRange()
    versions.set_to_single(document["stac_version"])
    extensions = document.get("stac_extensions")
    known = extensions if isinstance(extensions, list) else []
    description = STACJSONDescription(pystac.STACObjectType(_TYPES[kind]), versions, known)
    try:
        return migrate_to_latest(document, description)
    except (pystac.STACError, ImportError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        reason = f"it could not be brought from STAC {document['stac_version']} to a later one ({type(error).__name__})"
        problems.append(Problem(path, "", f"{reason}; it is served as it is", "migrate it with pystac", WARNING))
        return document


def read_id(document: dict[str, Any], path: str, problems: list[Problem]) -> str:
    """Return the id of a document; raise Unreadable where there is none that could be served."""
    value = document.get("id")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        advice = "write it in quotes"
        problems.append(Problem(path, "/id", "the id is a number and is read as text", advice, WARNING))
        value = document["id"] = str(value)
    if not isinstance(value, str) or not value:
        reason = "there is no id" if value is None else "the id is empty" if value == "" else "the id is not a text"
        raise Unreadable(reason, "give it an id that is unique in its collection", pointer="/id")
    if "\0" in value:
        raise Unreadable("the id holds the character U+0000", "choose an id without it", pointer="/id")
    if value in (".", ".."):
        reason = "no URL can hold this id, so the document stands in lists only"
        problems.append(Problem(path, "/id", reason, "choose another id", WARNING))
    return value


# ---- catalogs and collections -------------------------------------------------------


def read_container(folder: Folder, path: str) -> ContainerDocument:
    """Read the catalog or collection at a document path."""
    problems: list[Problem] = []
    stamp = None
    try:
        data, stamp = folder.read(path)
        kind, document = identify_document(parse_json(data, path, problems), path, problems)
        if kind == ITEM:
            return ContainerDocument(path, stamp, ITEM)
        return _build_container(folder, document, ContainerDocument(path, stamp, kind), problems)
    except Unreadable as error:
        return ContainerDocument(path, stamp, "", problems=(*problems, error.problem(path)))


def _build_container(
    folder: Folder, document: dict[str, Any], container: ContainerDocument, problems: list[Problem]
) -> ContainerDocument:
    path = container.path
    rewriting = start_rewriting(folder, path, problems)
    container_id = _container_id(document, rewriting)
    for name in _REQUIRED[container.type]:
        if name not in document:
            rewriting.warn("", f"{container.type} without {name!r}, which STAC requires", f"add {name!r}")
    if not isinstance(document.get("links", []), list):
        rewriting.warn("/links", "links is not a list, so nothing below is found", "write a list of objects")
        del document["links"]
    links = document.get("links", [])
    missing: list[str] = []
    children = _linked_documents(rewriting, _links_of(document, "child"), missing)
    items = _linked_documents(rewriting, _links_of(document, "item"), missing)
    if isinstance(document.get("assets"), dict):
        rewrite_assets(rewriting, document["assets"], "assets")
    kept = rewrite_links(rewriting, links)
    title = document.get("title")
    return container._replace(
        id=container_id,
        title=title if isinstance(title, str) else None,
        head=write_head(document, kept),
        children=tuple(children),
        items=tuple(item for item in items if item not in children),
        missing=tuple(dict.fromkeys(missing)),
        assets=group_files(rewriting),
        cross_links=tuple(rewriting.cross_links),
        extent=document.get("extent"),
        problems=tuple(problems),
    )


def _container_id(document: dict[str, Any], rewriting: Rewriting) -> str:
    """Return the id; where there is none, the name of the folder, so that what lies below stays reachable."""
    try:
        return read_id(document, rewriting.path, rewriting.problems)
    except Unreadable as error:
        above = rewriting.path.split("/")[:-1] or [os.path.basename(rewriting.folder.root)]
        document["id"] = above[-1] or "root"
        rewriting.warn("/id", f"{error.reason}; {document['id']!r} is used", error.advice)
        return above[-1] or "root"


def _links_of(document: dict[str, Any], rel: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the links of a relation that have an href, with their numbers."""
    links = document.get("links")
    return [
        (number, link)
        for number, link in enumerate(links if isinstance(links, list) else [])
        if isinstance(link, dict) and link.get("rel") == rel and isinstance(link.get("href"), str)
    ]


def _linked_documents(
    rewriting: Rewriting, links: Iterable[tuple[int, dict[str, Any]]], missing: list[str]
) -> dict[str, None]:
    """Return the document paths that links lead to, each once; those not there are appended to `missing`."""
    found: dict[str, None] = {}
    for number, link in links:
        href = link["href"]
        target = rewriting.folder.resolve(href, rewriting.path)
        if target.kind == "file":
            found[target.path] = None
            continue
        if target.kind == "missing" and target.path:
            missing.append(target.path)
        reason, advice = _LEADS_NOWHERE[target.kind]
        reason = f"{link['rel']} link: {show_value(href)} {reason}"
        severity = WARNING if target.kind == "web" else ERROR
        pointer = pointer_to("links", number, "href")
        rewriting.problems.append(Problem(rewriting.path, pointer, reason, advice, severity))
    return found


_LEADS_NOWHERE = {
    "missing": ("does not exist", "correct the link, or restore the file"),
    "special": ("is not a file", "link to the document itself"),
    "outside": ("is outside of the catalog's folder", "move it into the folder, or admit its folder with --allow"),
    "web": ("is on the web and is not followed", "download it into the folder, and link to it there"),
}
