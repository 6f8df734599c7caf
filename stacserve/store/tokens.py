"""Paging tokens: where a page ends, told by the sort values of its last item, so that no page is counted off.

A token is base64url of a JSON list: version, direction, hash of the query, then the sort values and the
identity of an item, and the version of the store that made it. Ranks are not in it: they may change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any, NamedTuple

import orjson
import shapely

from stacserve.errors import InvalidParameter
from stacserve.search import ItemSearch

NO_TOKEN = "this is no page token; follow the links `next` and `prev` as they are"

_VERSION = 1
# direction letters: next and prev, capital where the item at the position is included
_DIRECTIONS = {"n": (False, False), "p": (True, False), "N": (False, True), "P": (True, True)}
_LETTERS = {meaning: letter for letter, meaning in _DIRECTIONS.items()}


class Position(NamedTuple):
    """A place in the default order: that of an item which is or was in the store."""

    ordered: int | None
    container: str
    id: str


class PageToken(NamedTuple):
    """The page after (or, `backwards`, before) a position, as seen in `store_version`.

    `inclusive`: the page begins with the item at the position.
    """

    position: Position
    store_version: str
    backwards: bool = False
    inclusive: bool = False


def hash_search(search: ItemSearch) -> str:
    """Return a hash of all that decides which items match; page size and token left out."""
    shape = None if search.intersects is None else shapely.to_wkb(search.intersects)
    parts = (search.ids, search.collections, search.catalog, search.bbox, shape, search.datetime, repr(search.filter))
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def write_token(token: PageToken, query: str) -> str:
    """Return the text of a token for a query's hash."""
    letter = _LETTERS[token.backwards, token.inclusive]
    return _encode([_VERSION, letter, query, *token.position, token.store_version])


def read_token(text: str, query: str) -> PageToken:
    """Return the token of a text, or raise InvalidParameter: garbage, or a token of another query."""
    content = _decode(text)
    if not _is_token(content):
        raise InvalidParameter("token", NO_TOKEN)
    if content[2] != query:
        raise InvalidParameter("token", "this token belongs to another query; start again without a token")
    return PageToken(Position(*content[3:6]), content[6], *_DIRECTIONS[content[1]])


def _is_token(content: Any) -> bool:
    if not isinstance(content, list) or len(content) != 7:
        return False
    version, direction, *texts = content[0], content[1], content[2], content[4], content[5], content[6]
    ordered = content[3]
    return (
        version == _VERSION
        and all(isinstance(one, str) for one in (direction, *texts))
        and direction in _DIRECTIONS
        and (ordered is None or (type(ordered) is int and abs(ordered) < 2**62))
    )


def write_name_token(direction: str, name: str) -> str:
    """Return a token for the page of a list beyond a name, "next" or "prev" of it."""
    return _encode([_VERSION, direction, name])


def read_name_token(text: str) -> tuple[str, str]:
    """Return direction and name of a token of `write_name_token`, or raise InvalidParameter."""
    content = _decode(text)
    if not _has_types(content, (int, str, str)) or content[0] != _VERSION or content[1] not in ("next", "prev"):
        raise InvalidParameter("token", NO_TOKEN)
    return content[1], content[2]


def write_problem_token(path: str, number: int) -> str:
    """Return a token for the problems after one, by path and number."""
    return _encode([_VERSION, path, number])


def read_problem_token(text: str) -> tuple[str, int]:
    """Return path and number of a token of `write_problem_token`, or raise InvalidParameter."""
    content = _decode(text)
    if not _has_types(content, (int, str, int)) or content[0] != _VERSION or abs(content[2]) >= 2**62:
        raise InvalidParameter("token", NO_TOKEN)
    return content[1], content[2]


def _has_types(content: Any, types: tuple[type, ...]) -> bool:
    return isinstance(content, list) and [type(member) for member in content] == list(types)


def _encode(content: list[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(content)).rstrip(b"=").decode()


def _decode(text: str) -> Any:
    """Return the JSON in a token, or None for garbage."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeEncodeError, binascii.Error, orjson.JSONDecodeError):
        return None
