"""What can be asked: ItemSearch, from a query string or a body.

The parameters are those of STAC API Item Search and its filter extension; both spellings, GET and POST, end in
the same object. Nothing here knows HTTP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import shapely

from stacserve import cql2
from stacserve.cql2 import Expression
from stacserve.cql2_text import expression_from_text
from stacserve.errors import InvalidBody, InvalidFilter, InvalidParameter, did_you_mean
from stacserve.geometry import BBox, parse_bbox, parse_geometry
from stacserve.settings import Settings
from stacserve.temporal import Interval, parse_interval

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
TEXT_LANG, JSON_LANG = "cql2-text", "cql2-json"

# A right value of each parameter of a search, as it stands in a query string and in a body.
EXAMPLES = {
    "ids": ("ids=a,b", '"ids": ["a", "b"]'),
    "collections": ("collections=a,b", '"collections": ["a", "b"]'),
    "bbox": ("bbox=5.5,46,10,48", '"bbox": [5.5, 46, 10, 48]'),
    "datetime": ("datetime=2024-06-01T00:00:00Z/..", '"datetime": "2024-06-01T00:00:00Z/.."'),
    "intersects": (
        'intersects={"type":"Point","coordinates":[7.5,46.9]}',
        '"intersects": {"type": "Point", "coordinates": [7.5, 46.9]}',
    ),
    "limit": ("limit=10", '"limit": 10'),
    "token": ("the one of the link next", "the one of the link next"),
    "filter": (
        'filter="eo:cloud_cover" < 10',
        '"filter": {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]}',
    ),
    "filter-lang": ("filter-lang=cql2-text", '"filter-lang": "cql2-json"'),
    "filter-crs": (f"filter-crs={CRS84}", f'"filter-crs": "{CRS84}"'),
}
ITEM_PARAMETERS = frozenset(EXAMPLES)
_MAY_BE_EMPTY = frozenset(["ids", "collections"])


@dataclass(frozen=True, kw_only=True)
class ItemSearch:
    """A search for items, checked and typed. None means: no such condition.

    An empty tuple of `collections` is a condition that nothing meets: it comes from intersecting.
    """

    limit: int
    token: str | None = None
    ids: tuple[str, ...] | None = None
    collections: tuple[str, ...] | None = None
    catalog: str | None = None
    bbox: BBox | None = None
    intersects: shapely.Geometry | None = None
    datetime: Interval | None = None
    filter: Expression | None = None


@dataclass(frozen=True, kw_only=True)
class SearchLimits:
    """How much a request may ask for, and what it may say that is not read here."""

    limit_default: int
    limit_max: int
    list_max: int
    depth_max: int
    points_max: int
    filter: cql2.Limits
    ignored: frozenset[str]


def search_limits(settings: Settings) -> SearchLimits:
    """Return the limits that the settings say."""
    return SearchLimits(
        limit_default=min(settings.limit_default, settings.limit_max),
        limit_max=settings.limit_max,
        list_max=settings.filter_list_max,
        depth_max=settings.filter_depth_max,
        points_max=settings.geometry_points_max,
        filter=cql2.Limits(
            length=settings.filter_length_max,
            depth=settings.filter_depth_max,
            list=settings.filter_list_max,
            points=settings.geometry_points_max,
        ),
        ignored=frozenset(settings.extra_parameters),
    )


def read_parameters(
    params: Sequence[tuple[str, str]], known: Collection[str], ignored: Collection[str]
) -> dict[str, str]:
    """Return the parameters of a query string by name; each is known and given once.

    (OGC API Features part 1, "query-param-unknown".) Names that begin with a dot are a client's own business.
    """
    values: dict[str, str] = {}
    for name, text in params:
        if name in known:
            if name in values:
                raise InvalidParameter(name, f"is given more than once; write {_example(name, 0)}")
            values[name] = text
        elif not name.startswith(".") and name not in ignored:
            raise InvalidParameter(_named(name), _unknown(name, known, "parameter"))
    return values


def item_search_from_query(params: Sequence[tuple[str, str]], limits: SearchLimits) -> ItemSearch:
    """Read a search from the decoded pairs of a query string."""
    values = read_parameters(params, ITEM_PARAMETERS, limits.ignored)
    read: dict[str, Any] = {}
    for name, text in values.items():
        if not text and name not in _MAY_BE_EMPTY:
            raise InvalidParameter(name, f"is empty; leave it out or write {_example(name, 0)}")
        if name in _TEXT_READERS:
            read[name] = _TEXT_READERS[name](text, limits)
    _check_filter_parameters(values)
    if "filter" in values:
        read["filter"] = _filter_from_text(values["filter"], values.get("filter-lang", TEXT_LANG), limits)
    return _checked_search(read, limits)


def item_search_from_body(body: Any, limits: SearchLimits) -> ItemSearch:
    """Read a search from the parsed JSON of a body; a member that is null counts as not given."""
    if not isinstance(body, dict):
        raise InvalidBody('the body is not a JSON object; write {"bbox": [5.5, 46, 10, 48], "limit": 10}')
    for name in body:
        if name not in ITEM_PARAMETERS and not name.startswith(".") and name not in limits.ignored:
            raise InvalidParameter(_named(name), _unknown(name, ITEM_PARAMETERS, "member"))
    values = {name: value for name, value in body.items() if value is not None}
    read = {name: _JSON_READERS[name](value, limits) for name, value in values.items() if name in _JSON_READERS}
    _check_filter_parameters(values)
    if "filter" in values:
        read["filter"] = _filter_from_body(values["filter"], values.get("filter-lang"), limits)
    return _checked_search(read, limits)


def search_in_collection(search: ItemSearch, collection_id: str) -> ItemSearch:
    """Return the search below one collection: `collections`, if given, is intersected with it."""
    inside = search.collections is None or collection_id in search.collections
    return dataclasses.replace(search, collections=(collection_id,) if inside else ())


def search_in_catalog(search: ItemSearch, address: str) -> ItemSearch:
    """Return the search below one catalog."""
    return dataclasses.replace(search, catalog=address)


def _checked_search(read: dict[str, Any], limits: SearchLimits) -> ItemSearch:
    if "bbox" in read and "intersects" in read:
        raise InvalidParameter("bbox", "cannot stand beside intersects; leave one of the two out")
    read.setdefault("limit", limits.limit_default)
    return ItemSearch(**read)


def _check_filter_parameters(values: Mapping[str, Any]) -> None:
    if values.get("filter-lang", TEXT_LANG) not in (TEXT_LANG, JSON_LANG):
        raise InvalidParameter("filter-lang", f"is {TEXT_LANG} or {JSON_LANG}, not {_shown(values['filter-lang'])}")
    if values.get("filter-crs", CRS84) != CRS84:
        raise InvalidParameter("filter-crs", f"only {CRS84} is read, which is longitude and latitude")


def read_limit(text: str, maximum: int) -> int:
    """Return the number of a `limit` in a query string, at most `maximum`."""
    digits = text.lstrip("0")
    if not digits or not (text.isascii() and text.isdigit()):
        raise InvalidParameter("limit", f"{_shown(text)} is not a whole number from 1 on; write limit=10")
    return min(int(digits[:18]), maximum)


def _limit_from_json(value: Any, limits: SearchLimits) -> int:
    # 10.0 is an integer to JSON Schema, and a number beyond 64 bits is a float to the JSON parser
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or value < 1:
        raise InvalidParameter("limit", f'{_shown(value)} is not a whole number from 1 on; write "limit": 10')
    return int(min(value, limits.limit_max))


def _list_from_text(name: str) -> Callable[[str, SearchLimits], tuple[str, ...] | None]:
    return lambda text, limits: _checked_list(name, [part for part in text.split(",") if part], limits)


def _list_from_json(name: str) -> Callable[[Any, SearchLimits], tuple[str, ...] | None]:
    def read(value: Any, limits: SearchLimits) -> tuple[str, ...] | None:
        # validators and old clients send the one collection as a string
        values = [value] if isinstance(value, str) and name == "collections" else value
        if not isinstance(values, list) or not all(isinstance(part, str) for part in values):
            raise InvalidParameter(name, f"is not a list of strings; write {_example(name, 1)}")
        return _checked_list(name, values, limits)

    return read


def _checked_list(name: str, values: list[str], limits: SearchLimits) -> tuple[str, ...] | None:
    if len(values) > limits.list_max:
        raise InvalidParameter(name, f"has {len(values)} values, at most {limits.list_max} are read at once")
    return tuple(dict.fromkeys(values)) or None


def _bbox_from_json(value: Any, limits: SearchLimits) -> BBox:
    if not isinstance(value, list) or any(isinstance(number, str) for number in value):
        raise InvalidParameter("bbox", f"is not a list of numbers; write {_example('bbox', 1)}")
    return parse_bbox(value)


def _text_of(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidParameter(name, f"{_shown(value)} is not a text; write {_example(name, 1)}")
    return value


def _geometry_from_text(text: str, limits: SearchLimits) -> shapely.Geometry:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidParameter("intersects", f"is not JSON ({error}); write {_example('intersects', 0)}") from None
    return _geometry_from_json(value, limits)


def _geometry_from_json(value: Any, limits: SearchLimits) -> shapely.Geometry:
    return parse_geometry(value, "intersects", depth_max=limits.depth_max, points_max=limits.points_max)


def _filter_from_text(text: str, lang: str, limits: SearchLimits) -> Expression:
    if lang != JSON_LANG:
        return expression_from_text(text, limits.filter)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidFilter(f"is not JSON ({error.msg}), as filter-lang={JSON_LANG} asks", error.pos) from None
    return cql2.expression_from_json(value, limits.filter)


def _filter_from_body(value: Any, lang: Any, limits: SearchLimits) -> Expression:
    if not isinstance(value, str):
        if lang == TEXT_LANG:
            raise InvalidFilter(f'is JSON, but "filter-lang" says {TEXT_LANG}; leave "filter-lang" out')
        return cql2.expression_from_json(value, limits.filter)
    if lang != TEXT_LANG:
        raise InvalidFilter(f'is text; add "filter-lang": "{TEXT_LANG}" or write {_example("filter", 1)}')
    return _filter_from_text(_text_of("filter", value), TEXT_LANG, limits)


def _named(name: str) -> str:
    return name[:60] or "''"


def _unknown(name: str, known: Collection[str], what: str) -> str:
    names = f"Known are {', '.join(sorted(known))}" if known else f"No {what}s are known here"
    return f"is no {what} here.{did_you_mean(name, known)} {names}"


def _example(name: str, spelling: int) -> str:
    return EXAMPLES[name][spelling] if name in EXAMPLES else f"{name} once"


def _shown(value: Any) -> str:
    return repr(value)[:60]


_TEXT_READERS: dict[str, Callable[[str, SearchLimits], Any]] = {
    "ids": _list_from_text("ids"),
    "collections": _list_from_text("collections"),
    "bbox": lambda text, limits: parse_bbox(text.split(",")),
    "datetime": lambda text, limits: parse_interval(text),
    "intersects": _geometry_from_text,
    "limit": lambda text, limits: read_limit(text, limits.limit_max),
    "token": lambda text, limits: text,
}
_JSON_READERS: dict[str, Callable[[Any, SearchLimits], Any]] = {
    "ids": _list_from_json("ids"),
    "collections": _list_from_json("collections"),
    "bbox": _bbox_from_json,
    "datetime": lambda value, limits: parse_interval(_text_of("datetime", value)),
    "intersects": _geometry_from_json,
    "limit": _limit_from_json,
    "token": lambda value, limits: _text_of("token", value),
}
