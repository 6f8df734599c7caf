"""The hrefs of a source document as they will be served, and its JSON with them.

A file below the root becomes `/assets/...`, whatever is on the web stays, and no path of this machine gets
out. A NUL byte stands where the base URL goes; until the document is JSON text a random word takes its
place, so that nothing in a document can pass for one.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import Any, NamedTuple

from stacserve.folder import Folder, Target, is_relative, match_plain_path
from stacserve.json_text import dump_json
from stacserve.paths import asset_path
from stacserve.problems import WARNING, Problem, pointer_to, show_value
from stacserve.stac import OWN_RELS

_BASE_URL = f"\x7f{secrets.token_hex(16)}\x7f"
_BASE_URL_BYTES = _BASE_URL.encode()
_WEB = ("https://", "http://", "s3://")
# What a browser would run or show as its own; it skips blanks and controls before and within the name of a scheme.
_SCRIPTS = ("javascript:", "data:", "vbscript:")
_SKIPPED = re.compile(r"[\x00-\x20]+")
_ADVICE = "move the file into the catalog's folder, or admit its folder with --allow"


class Rewriting(NamedTuple):
    """A document whose hrefs are being rewritten, and what is found on the way."""

    folder: Folder
    path: str
    problems: list[Problem]
    beside: list[str]  # local files that it names, relative to its own folder
    elsewhere: list[str]  # document paths of others
    cross_links: dict[str, None]  # document paths that kept links lead to

    def warn(self, pointer: str, reason: str, advice: str) -> None:
        """Add a warning about the document."""
        self.problems.append(Problem(self.path, pointer, reason, advice, WARNING))


def start_rewriting(folder: Folder, path: str, problems: list[Problem]) -> Rewriting:
    """Return a rewriting of the document at `path` that has found nothing yet."""
    return Rewriting(folder, path, problems, [], [], {})


def rewrite_assets(rewriting: Rewriting, assets: dict[str, Any], *above: str) -> None:
    """Make the hrefs of assets absolute, in place; what only this machine could find is removed.

    `above` are the names that lead to the member. The alternatives of an asset (alternate assets extension)
    are assets as well.
    """
    prefix = _asset_prefix(rewriting.path.rpartition("/")[0])
    removed: list[str] = []
    for name, asset in assets.items():
        href = asset.get("href") if type(asset) is dict else None
        if type(href) is not str:
            if not _keep_asset_without_href(rewriting, asset, pointer_to(*above, name)):
                removed.append(name)
            continue
        plain = match_plain_path(href)
        if plain:
            rewriting.beside.append(plain[1])
            asset["href"] = prefix + plain[1]
        elif not href.startswith(_WEB):
            served = _served_asset_href(rewriting, href, (*above, name, "href"))
            if served is None:
                removed.append(name)
            asset["href"] = served
        if "alternate" in asset and len(above) == 1 and type(asset["alternate"]) is dict:
            rewrite_assets(rewriting, asset["alternate"], *above, name, "alternate")
    for name in removed:
        del assets[name]


def rewrite_links(rewriting: Rewriting, links: list[Any]) -> list[dict[str, Any]]:
    """Return the links that are kept, their hrefs absolute: not the server's own, not those to files outside."""
    kept: list[dict[str, Any]] = []
    for number, link in enumerate(links):
        rel = link.get("rel") if type(link) is dict else None
        if type(rel) is str and rel in OWN_RELS:
            continue
        if type(link) is not dict or type(link.get("href")) is not str:
            rewriting.warn(pointer_to("links", number), "a link without an href is left out", "give it an href")
        elif (served := _served_link_href(rewriting, link["href"], number)) is not None:
            kept.append({**link, "href": served})
    return kept


def write_head(document: dict[str, Any], links: list[dict[str, Any]]) -> bytes:
    """Return the document as JSON up to where more links can follow, as `store.interface.Document` says."""
    document.pop("links", None)
    document["links"] = links
    head = dump_json(document)[:-2]
    if links:
        head += b","
    return head.replace(_BASE_URL_BYTES, b"\0")


def group_files(rewriting: Rewriting) -> tuple[tuple[str, str], ...]:
    """Return the files that were named, as pairs of a folder and its names joined by line feeds."""
    folder = rewriting.path.rpartition("/")[0]
    names = "\n".join(dict.fromkeys(rewriting.beside))
    if not rewriting.elsewhere and "/" not in names:
        return ((folder, names),) if names else ()
    groups: dict[str, dict[str, None]] = {}
    prefix = folder + "/" if folder else ""
    for path in [*(prefix + name for name in rewriting.beside), *rewriting.elsewhere]:
        folder, _, name = path.rpartition("/")
        groups.setdefault(folder, {})[name] = None
    return tuple((folder, "\n".join(group)) for folder, group in groups.items())


@lru_cache(maxsize=1000)
def _asset_prefix(folder: str) -> str:
    if not folder:
        return _BASE_URL + "/assets/"
    plain = match_plain_path(folder)
    return f"{_BASE_URL}/assets/{folder}/" if plain else f"{_BASE_URL}{asset_path(folder)}/"


def _keep_asset_without_href(rewriting: Rewriting, asset: Any, pointer: str) -> bool:
    if type(asset) is dict:
        rewriting.warn(pointer, "the asset has no href", "give it the path or URL of its file")
        return True
    rewriting.warn(pointer, "the asset is not an object and is left out", 'write {"href": ...}')
    return False


def _served_asset_href(rewriting: Rewriting, href: str, names: tuple[str, ...]) -> str | None:
    """Return what is served for an asset's href, or None if that would tell a path of this machine, or is a script."""
    if _is_script(href):
        _warn_of_script(rewriting, "asset", *names)
        return None
    target = rewriting.folder.resolve(href, rewriting.path, exists=False)
    if target.kind == "web":
        return href
    if _is_servable(target):
        # what follows # is kept: a part of a file, which only the client can look up
        fragment = "#" + href.partition("#")[2] if "#" in href and "#" not in target.path else ""
        return _served_file(rewriting, target) + fragment
    where = "outside of the catalog's folder" if target.kind == "outside" else "not the name of a file"
    if is_relative(href):
        rewriting.warn(pointer_to(*names), f"{show_value(href)} is {where}; it is not served", _ADVICE)
        return href
    rewriting.warn(pointer_to(*names), f"the local path of the asset is {where}; the asset is left out", _ADVICE)
    return None


def _served_link_href(rewriting: Rewriting, href: str, number: int) -> str | None:
    """Return what is served for the href of a kept link, or None if it leads outside, or is a script."""
    is_document = href.partition("#")[0].partition("?")[0].lower().endswith((".json", ".geojson"))
    if not is_document and href.startswith(_WEB):
        return href
    if _is_script(href):
        _warn_of_script(rewriting, "link", "links", number, "href")
        return None
    target = rewriting.folder.resolve(href, rewriting.path, exists=False)
    if target.kind == "web":
        return href
    if not _is_servable(target):
        where = "outside of the catalog's folder" if target.kind == "outside" else "to no file"
        rewriting.warn(pointer_to("links", number, "href"), f"the link leads {where}; it is left out", _ADVICE)
        return None
    if is_document:
        rewriting.cross_links[target.path] = None
    return _served_file(rewriting, target)


def _is_script(href: str) -> bool:
    return _SKIPPED.sub("", href).lower().startswith(_SCRIPTS)


def _warn_of_script(rewriting: Rewriting, what: str, *names: str | int) -> None:
    reason = f"the {what} is no address, but a script or the data itself; it is left out"
    rewriting.warn(pointer_to(*names), reason, "write the path or URL of a file")


def _is_servable(target: Target) -> bool:
    # names with line feeds cannot be listed, see `group_files`
    return target.kind != "outside" and target.path != "" and "\n" not in target.path


def _served_file(rewriting: Rewriting, target: Target) -> str:
    rewriting.elsewhere.append(target.path)
    return _BASE_URL + asset_path(target.path)
