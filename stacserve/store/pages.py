"""Pages of items: the documents, the tokens around them, and the count. Jobs for the reading threads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import shapely

from stacserve.cql2 import Expression, GeometryLiteral, Operation, Property
from stacserve.errors import InvalidFilter, NotFound, did_you_mean
from stacserve.search import ItemSearch
from stacserve.store.conditions import search_conditions
from stacserve.store.interface import Document, Page
from stacserve.store.planner import Plan
from stacserve.store.queries import document_statement
from stacserve.store.readers import Memory
from stacserve.store.snapshot import Snapshot
from stacserve.store.tokens import PageToken, Position, hash_search, read_token, write_token
from stacserve.store.walk import Finder, Found, locate

# Longer pages take their time whatever was asked.
LIGHT_LIMIT = 250
LIGHT_POINTS = 1_000


@dataclass(frozen=True)
class PageRules:
    """Settings of a store that decide about pages."""

    bytes_max: int
    unknown_properties: str = "null"


def is_light(search: ItemSearch) -> bool:
    """Whether a search is likely to be quick: a short page, and no geometry that takes time outside of SQLite."""
    return search.limit <= LIGHT_LIMIT and sum(_count_points([search.intersects, search.filter])) <= LIGHT_POINTS


def _count_points(nodes: Sequence[object]) -> Iterator[int]:
    """Yield the numbers of points of geometries among expressions and in them."""
    for node in nodes:
        if isinstance(node, GeometryLiteral):
            yield int(shapely.get_num_coordinates(node.shape))
        elif isinstance(node, shapely.Geometry):
            yield int(shapely.get_num_coordinates(node))
        elif isinstance(node, Operation):
            yield from _count_points(node.args)


class _Known(NamedTuple):
    """What was found out about a query in one version of the store."""

    plan: Plan
    matched: int


def search_items(snapshot: Snapshot, search: ItemSearch, rules: PageRules, memory: Memory) -> Page:
    """Return the page of items that a search asks for (see Store.search_items)."""
    query = hash_search(search)
    token = None if search.token is None else read_token(search.token, query)
    if rules.unknown_properties == "error" and search.filter is not None:
        _check_properties(snapshot, search.filter)
    conditions = search_conditions(search, snapshot.properties, _parent_key(snapshot, search.catalog))
    known: _Known | None = memory.get((snapshot.version, query))
    finder = Finder(snapshot, conditions, known.plan if known else None)
    window = _take_window(finder, snapshot, token, search.limit)
    documents = read_documents(snapshot, window.found, rules.bytes_max)
    window = _cut(window, len(documents))
    count = known.matched if known else None
    if count is None:
        proven = token is None and not window.more
        count = len(documents) if proven else finder.count()
    memory.put((snapshot.version, query), _Known(finder.plan, count))
    next_token, prev_token = _tokens(snapshot, window, token, query)
    return Page(documents[::-1] if window.backwards else documents, next_token, prev_token, count)


class _Window(NamedTuple):
    """Matches in the order of the walk; whether there are more ahead, and others behind."""

    found: Sequence[Found]
    more: bool
    behind: bool
    backwards: bool


def _take_window(finder: Finder, snapshot: Snapshot, token: PageToken | None, limit: int) -> _Window:
    if token is None:
        found = finder.take(limit + 1)
        return _Window(found[:limit], more=len(found) > limit, behind=False, backwards=False)
    rank, exists = locate(snapshot.connection, token.position)
    # the border between what precedes and what follows runs right after the token's item, or right before it
    item_precedes = exists and token.inclusive == token.backwards
    low, high = (rank, math.nextafter(rank, math.inf)) if item_precedes else (math.nextafter(rank, -math.inf), rank)
    following, preceding = {"low": low}, {"high": high}
    ahead, behind = (preceding, following) if token.backwards else (following, preceding)
    found = finder.take(limit + 1, backwards=token.backwards, **ahead)
    # in the version that made the token, the item at its position is a match
    certain = exists and not token.inclusive and token.store_version == snapshot.version
    others = certain or bool(finder.take(1, backwards=not token.backwards, **behind))
    return _Window(found[:limit], more=len(found) > limit, behind=others, backwards=token.backwards)


def _cut(window: _Window, documents: int) -> _Window:
    """Return the window as far as documents were read: a page ends early when it grows too long."""
    if documents == len(window.found):
        return window
    return window._replace(found=window.found[:documents], more=True)


def read_documents(snapshot: Snapshot, found: Sequence[Found], bytes_max: int) -> list[Document]:
    """Return the documents of matches in order, as many as fit into so many bytes, at least one."""
    if not found:
        return []
    keys = [one.key for one in found]
    parameters = {"keys": orjson.dumps(keys).decode()}
    documents: dict[int, Document] = {}
    size = 0
    for key, path, parent, head in snapshot.connection.execute(*document_statement().with_values(parameters)):
        size += len(head)
        if size > bytes_max and documents:
            break
        documents[key] = Document(path, parent, head)
    return [documents[key] for key in keys if key in documents]


def _tokens(snapshot: Snapshot, window: _Window, token: PageToken | None, query: str) -> tuple[str | None, str | None]:
    """Return the tokens `next` and `prev`, each None where there is no such page."""
    ahead = behind = None
    if window.found:
        ahead = PageToken(_position_of(snapshot, window.found[-1]), snapshot.version, window.backwards)
        behind = PageToken(_position_of(snapshot, window.found[0]), snapshot.version, not window.backwards)
    elif token is not None:
        # nothing is left on this side; the way back begins with what the token stands for
        behind = token._replace(backwards=not token.backwards, inclusive=not token.inclusive)
    ahead_text = write_token(ahead, query) if ahead and window.more else None
    behind_text = write_token(behind, query) if behind and window.behind else None
    return (behind_text, ahead_text) if window.backwards else (ahead_text, behind_text)


def _position_of(snapshot: Snapshot, found: Found) -> Position:
    row = snapshot.connection.execute("SELECT ordered, container, id FROM items WHERE key = ?", (found.key,)).fetchone()
    return Position(*row)


def _parent_key(snapshot: Snapshot, address: str | None) -> int | None:
    if address is None:
        return None
    row = snapshot.connection.execute("SELECT key FROM containers WHERE address = ?", (address,)).fetchone()
    if row is None:
        raise NotFound(f"There is no catalog {address!r}.")
    key: int = row[0]
    return key


def _check_properties(snapshot: Snapshot, expression: Expression) -> None:
    known = {"id", "collection", "datetime", "geometry", *snapshot.properties.columns}
    for name in _names_in(expression):
        if name not in known and not _is_left_over(snapshot, name):
            raise InvalidFilter(f"no item has a property {name!r}.{did_you_mean(name, known)}")


def _is_left_over(snapshot: Snapshot, name: str) -> bool:
    """Whether some item has a property that has no column: an array, an object, or one beyond the limit of columns."""
    found = snapshot.connection.execute(
        "SELECT 1 FROM leftovers, json_each(leftovers.properties) AS member WHERE member.key = ? LIMIT 1", (name,)
    )
    return found.fetchone() is not None


def _names_in(node: object) -> list[str]:
    if isinstance(node, Property):
        return [node.name]
    members = node.args if isinstance(node, Operation) else node if isinstance(node, tuple) else ()
    return [name for member in members for name in _names_in(member)]
