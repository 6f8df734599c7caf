"""CQL2 as a tree, and its JSON form (OGC 21-065r2).

`expression_from_json` and `cql2_text.expression_from_text` give the same tree for the same filter. Every
operator stands in `SIGNATURES`; both readers check counts and kinds of arguments against it, so a tree that
was read holds only what is listed there (and the functions that `Limits` allows).
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import shapely

from stacserve.errors import InvalidFilter, InvalidParameter
from stacserve.geometry import bbox_shape, parse_bbox, parse_geometry
from stacserve.temporal import parse_date, parse_instant

# Readers, writers and compilers recurse over a tree; deeper ones would meet Python's recursion limit.
DEPTH_MAX = 80
PLACE_MAX = 60
PREFIX = "properties."
_INTEGERS = range(-(2**63), 2**63)
_LARGEST = int(1.7976931348623157e308)
# What no text of an item can hold: NUL, and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Limits:
    """How large a filter may be, and which functions it may call beside those of CQL2.

    `length` counts characters of a text and values of a JSON filter, `depth` nested operations and lists
    (more than DEPTH_MAX is read as DEPTH_MAX), `list` the values of one list, `points` those of one geometry.
    """

    length: int = 50_000
    depth: int = 64
    list: int = 10_000
    points: int = 50_000
    functions: frozenset[str] = frozenset()

    @property
    def nesting(self) -> int:
        """The depth that is enforced."""
        return min(self.depth, DEPTH_MAX)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Property:
    """A property of an item by name, without the prefix `properties.`."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator or function with its arguments; `op` as CQL2 JSON spells it (`and`, `isNull`, `s_intersects`)."""

    op: str
    args: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Instant:
    """TIMESTAMP or DATE: `text` as written; [`start`, `end`] in microseconds since 1970, equal for a timestamp."""

    text: str
    start: int
    end: int

    @property
    def is_date(self) -> bool:
        """Whether this is a whole day."""
        return self.start != self.end


@dataclass(frozen=True, slots=True)
class IntervalLiteral:
    """INTERVAL(start, end); None is an open end (`..`)."""

    start: Expression | None
    end: Expression | None


@dataclass(frozen=True, slots=True)
class GeometryLiteral:
    """A geometry in longitude and latitude; `source` is its GeoJSON, or `{"bbox": [...]}`."""

    shape: shapely.Geometry
    source: Any


Expression = (
    Property | Operation | Instant | IntervalLiteral | GeometryLiteral | tuple[Any, ...] | bool | int | float | str
)


class Slot(NamedTuple):
    """What may stand in one place: in words, and as kinds (see `kind_of`)."""

    words: str
    kinds: frozenset[str]


class Signature(NamedTuple):
    """What an operator gives and takes; `many` lets the last slot repeat; `example` are right arguments."""

    result: str
    slots: tuple[Slot, ...]
    example: tuple[Expression, ...]
    many: bool = False


class Fault(NamedTuple):
    """What is wrong with an operation, in which argument (None: their number), and a right one."""

    reason: str
    argument: int | None
    example: Operation


def _slot(words: str, *kinds: str) -> Slot:
    return Slot(words, frozenset(kinds))


_CONDITION = _slot("a condition", "condition", "boolean", "function")
_SCALAR = _slot(
    "a property, number, text, date, timestamp, true or false",
    *("property", "number", "text", "instant", "boolean", "function"),
)
_ORDERED = _slot("a property, number, date or timestamp", "property", "number", "text", "instant", "function")
_NUMBER = _slot("a number or a property", "number", "property", "function")
_TEXT = _slot("a text or a property", "text", "property", "function")
_PATTERN = _slot("a text with the wildcards % and _", "text")
_GEOMETRY = _slot("a geometry or a property", "geometry", "property", "function")
_TIME = _slot("a date, a timestamp, an interval or a property", "instant", "interval", "property", "function")
_LIST = _slot("a list or a property", "list", "property", "function")
_SCALARS = _slot("a list of values", "list")
_ANYTHING = _slot(
    "a property or a value",
    *("property", "number", "text", "instant", "interval", "geometry", "boolean", "condition", "function"),
)

_CLOUDS = Property("eo:cloud_cover")
_CLEAR = Operation("<", (_CLOUDS, 10))
_PLATFORM = Property("platform")
_IS_SENTINEL = Operation("=", (_PLATFORM, "sentinel-2a"))
_DAY = Instant("2024-06-01", *parse_date("2024-06-01"))
_SUMMER = IntervalLiteral(_DAY, Instant("2024-08-31", *parse_date("2024-08-31")))
_ALPS = GeometryLiteral(
    shapely.Polygon([(7, 46), (8, 46), (8, 47), (7, 46)]),
    {"type": "Polygon", "coordinates": [[[7, 46], [8, 46], [8, 47], [7, 46]]]},
)
_SPATIAL = "contains crosses disjoint equals intersects overlaps touches within"
_TEMPORAL = (
    "after before contains disjoint during equals finishedBy finishes intersects meets metBy overlappedBy overlaps"
    " startedBy starts"
)
_ARRAY = "containedBy contains equals overlaps"
_PERIOD = IntervalLiteral(Property("start_datetime"), Property("end_datetime"))

SIGNATURES: dict[str, Signature] = {
    **dict.fromkeys(("and", "or"), Signature("condition", (_CONDITION,), (_CLEAR, _IS_SENTINEL), many=True)),
    "not": Signature("condition", (_CONDITION,), (_CLEAR,)),
    **dict.fromkeys(("=", "<>", "<", ">", "<=", ">="), Signature("condition", (_SCALAR, _SCALAR), (_CLOUDS, 10))),
    "like": Signature("condition", (_TEXT, _PATTERN), (_PLATFORM, "sentinel-2%")),
    "between": Signature("condition", (_ORDERED,) * 3, (_CLOUDS, 10, 20)),
    "in": Signature("condition", (_SCALAR, _SCALARS), (_PLATFORM, ("sentinel-2a", "sentinel-2b"))),
    "isNull": Signature("condition", (_ANYTHING,), (_CLOUDS,)),
    **dict.fromkeys(("+", "-", "*", "/", "%", "div", "^"), Signature("number", (_NUMBER, _NUMBER), (_CLOUDS, 2))),
    **dict.fromkeys(("casei", "accenti"), Signature("text", (_TEXT,), (_PLATFORM,))),
    **{
        f"s_{name}": Signature("condition", (_GEOMETRY, _GEOMETRY), (Property("geometry"), _ALPS))
        for name in _SPATIAL.split()
    },
    **{f"t_{name}": Signature("condition", (_TIME, _TIME), (_PERIOD, _SUMMER)) for name in _TEMPORAL.split()},
    **{
        f"a_{name}": Signature("condition", (_LIST, _LIST), (Property("instruments"), ("msi", "oli")))
        for name in _ARRAY.split()
    },
}
# A right use of what is no operator, by the member that marks it in JSON.
LITERALS: dict[str, Expression] = {
    "property": _CLOUDS,
    "type": _ALPS,
    "bbox": GeometryLiteral(shapely.box(5.5, 46, 10, 48), {"bbox": [5.5, 46, 10, 48]}),
    "interval": IntervalLiteral(_DAY, None),
    "date": _DAY,
    "timestamp": Instant("2024-06-01T00:00:00Z", _DAY.start, _DAY.start),
}
# CQL2 spells operators in any case; these are the official spellings by the lower-case ones.
SPELLINGS = {name.lower(): name for name in SIGNATURES}
# What people write instead, from other filter languages and from drafts of this one.
MISTAKEN = {
    **{"eq": "=", "==": "=", "neq": "<>", "ne": "<>", "!=": "<>", "lt": "<", "lte": "<=", "le": "<=", "gt": ">"},
    **{"gte": ">=", "ge": ">=", "&&": "and", "||": "or", "!": "not", "ilike": "like", "lower": "casei"},
    **{"is null": "isNull", "intersects": "s_intersects", "anyinteracts": "t_intersects", "during": "t_during"},
}
_KINDS: dict[type, str] = {
    **{bool: "boolean", int: "number", float: "number", str: "text", tuple: "list", Property: "property"},
    **{Instant: "instant", IntervalLiteral: "interval", GeometryLiteral: "geometry"},
}


def kind_of(expression: Expression) -> str:
    """Return what an expression is, in one word; a property or a function may turn out to be anything.

    The words: boolean, number, text, instant, interval, geometry, list, property, condition, function.
    """
    if isinstance(expression, Operation):
        signature = SIGNATURES.get(expression.op)
        return signature.result if signature else "function"
    return _KINDS[type(expression)]


def find_fault(op: str, args: tuple[Expression, ...]) -> Fault | None:
    """Return what is wrong with the number or the kinds of an operation's arguments, if they can be known."""
    signature = SIGNATURES.get(op)
    if signature is None:
        return None
    slots = signature.slots * len(args) if signature.many else signature.slots
    if len(args) != len(slots) or not args:
        needed = "at least one argument" if signature.many else f"{len(slots)} argument{'s' * (len(slots) > 1)}"
        return Fault(f"`{op}` takes {needed}, found {len(args)}", None, example_of(op))
    for number, slot in enumerate(slots):
        arg = args[number]
        if kind_of(arg) not in slot.kinds or (slot is _PATTERN and not _is_pattern(arg)):
            return Fault(f"`{op}` takes {slot.words} here, {_found(arg)}", number, example_of(op))
    return _find_fault_in_list(args) if op == "in" else None


def _find_fault_in_list(args: tuple[Expression, ...]) -> Fault | None:
    values = args[1] if isinstance(args[1], tuple) else ()
    for value in values:
        if kind_of(value) not in _SCALAR.kinds:
            return Fault(f"the list of `in` holds {_SCALAR.words}, {_found(value)}", 1, example_of("in"))
    return None


def _is_pattern(expression: Expression) -> bool:
    while isinstance(expression, Operation):
        expression = expression.args[0]
    return isinstance(expression, str)


def find_fault_at_top(expression: Expression) -> Fault | None:
    """Return what is wrong with an expression as a whole filter, which must be true or false for an item."""
    if kind_of(expression) in _CONDITION.kinds:
        return None
    is_short_name = isinstance(expression, Property) and len(expression.name) <= 40
    example = Operation("=", (expression, True)) if is_short_name else _CLEAR
    return Fault(f"a filter is a condition, {_found(expression)}", None, example)


def example_of(op: str) -> Operation:
    """Return a right use of an operator."""
    return Operation(op, SIGNATURES[op].example)


def _found(expression: Expression) -> str:
    if isinstance(expression, Property):
        return f"found the property {expression.name[:40]!r}"
    if isinstance(expression, bool | int | float | str):
        return f"found {json.dumps(expression)[:40]}"
    if isinstance(expression, Operation):
        return f"found a {kind_of(expression)} (`{expression.op}`)"
    words = {"list": "a list", "instant": "a date or timestamp", "interval": "an interval", "geometry": "a geometry"}
    return "found " + words[kind_of(expression)]


def explain_unknown(name: str, known: Iterable[str]) -> Fault:
    """Return what is wrong with the name of an operator or function that does not exist: what may have been meant."""
    reason = f"there is no operator or function {name[:40]!r}"
    meant = MISTAKEN.get(name.lower())
    if meant:
        return Fault(f"{reason} (write {meant!r})", None, example_of(meant))
    spellings = {known_name.lower(): known_name for known_name in known}
    nearest = difflib.get_close_matches(name[:40].lower(), spellings, n=1)
    return Fault(reason + (f" (did you mean {spellings[nearest[0]]!r}?)" if nearest else ""), None, _CLEAR)


def explain_error(place: str, reason: str, example: str) -> str:
    """Return the words of an InvalidFilter: where, what, and a right one."""
    return f"at {place}: {reason}; for example {example}"


def join_conditions(op: str, terms: Sequence[Expression]) -> Expression:
    """Return `and` or `or` of conditions, those of the same operator merged; one condition stays itself."""
    merged: list[Expression] = []
    for term in terms:
        if isinstance(term, Operation) and term.op == op:
            merged.extend(term.args)
        else:
            merged.append(term)
    return merged[0] if len(merged) == 1 else Operation(op, tuple(merged))


def find_unstorable(text: str) -> int | None:
    """Return where a text has a character that no item can hold, or None."""
    if text.isascii() and "\0" not in text:
        return None
    found = _UNSTORABLE.search(text)
    return found.start() if found else None


def make_number(number: int | float) -> int | float:
    """Return the number; an integer beyond 64 bits becomes a float (as the store compares those)."""
    return number if isinstance(number, float) or number in _INTEGERS else float(number)


def make_property(name: str) -> Property:
    """Return the property of that name; `properties.` before it is allowed and dropped."""
    name = name.removeprefix(PREFIX)
    if not name:
        raise ValueError("a property has a name such as eo:cloud_cover")
    return Property(name)


def make_instant(text: Any, kind: str = "") -> Instant:
    """Return a `date` or a `timestamp` (of which both, without `kind`); `ValueError` says what is wrong."""
    if not isinstance(text, str):
        raise ValueError(f"a {kind} is a text")
    if kind == "date" or (not kind and len(text) <= 10):
        return Instant(text, *parse_date(text))
    instant = parse_instant(text)
    return Instant(text, instant, instant)


def make_interval(ends: Sequence[Expression]) -> IntervalLiteral:
    """Return the interval between two texts, properties or functions; `ValueError` says what is wrong."""
    if len(ends) != 2:
        raise ValueError(f"an interval has 2 ends, found {len(ends)}")
    start, end = map(_make_end, ends)
    if isinstance(start, Instant) and isinstance(end, Instant) and start.start > end.end:
        raise ValueError("the interval ends before it starts")
    return IntervalLiteral(start, end)


def _make_end(end: Expression) -> Expression | None:
    if isinstance(end, str):
        return None if end == ".." else make_instant(end)
    if kind_of(end) not in ("property", "function", "instant"):
        raise ValueError(f"an end of an interval is a date, a timestamp, '..' or a property, {_found(end)}")
    return end


def make_bbox(values: Any) -> GeometryLiteral:
    """Return a box of 4 or 6 numbers; heights are ignored, west > east crosses the antimeridian."""
    if not isinstance(values, list) or any(type(value) not in (int, float) for value in values):
        raise ValueError("a bbox is 4 or 6 numbers: west, south, east, north")
    try:
        shape = bbox_shape(parse_bbox(values))
    except InvalidParameter as error:
        raise ValueError(_without_example(error)) from error
    return GeometryLiteral(shape, {"bbox": [make_number(value) for value in values]})


def make_geometry(value: dict[str, Any], limits: Limits) -> GeometryLiteral:
    """Return the geometry of a GeoJSON object; `ValueError` says what is wrong."""
    source = _without_other_members(value, limits.nesting)
    try:
        shape = parse_geometry(source, depth_max=limits.nesting, points_max=limits.points)
    except InvalidParameter as error:
        raise ValueError(_without_example(error)) from error
    return GeometryLiteral(shape, source)


def _without_other_members(value: Any, depth: int) -> dict[str, Any]:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str):
        raise ValueError("a geometry is a GeoJSON object with a `type`")
    if depth < 0:
        raise ValueError("geometry collections are nested too deeply")
    if kind != "GeometryCollection":
        return {"type": kind, "coordinates": value.get("coordinates")}
    members = value.get("geometries")
    if not isinstance(members, list):
        raise ValueError("a GeometryCollection needs a list `geometries`")
    return {"type": kind, "geometries": [_without_other_members(member, depth - 1) for member in members]}


def _without_example(error: InvalidParameter) -> str:
    """Return the reason alone; filters show examples of their own."""
    return error.reason.partition("; ")[0]


def expression_from_json(value: Any, limits: Limits = DEFAULT_LIMITS) -> Expression:
    """Read CQL2 JSON; `InvalidFilter` gives the place as a path such as `args[1].args[0]`."""
    reader = _JsonReader(limits)
    expression = reader.read(value, "", 0)
    fault = find_fault_at_top(expression)
    if fault:
        raise reader.fail(fault.reason, "", fault.example)
    return expression


class _JsonReader:
    """Reads one filter; counts its values."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.left = limits.length

    def fail(self, reason: str, path: str, example: Expression = _CLEAR) -> InvalidFilter:
        """Return the error that says what is wrong where, with a right example."""
        place = path.lstrip(".") or "the top"
        shown = json.dumps(expression_to_json(example), ensure_ascii=False)
        place = place if len(place) <= PLACE_MAX else place[:PLACE_MAX] + "..."
        return InvalidFilter(explain_error(place, reason, shown))

    def read(self, value: Any, path: str, depth: int) -> Expression:
        """Return any JSON value as an expression; `depth` counts the operations and lists around it."""
        self.left -= 1
        if self.left < 0:
            raise self.fail(f"the filter has more than {self.limits.length} values", path)
        if isinstance(value, str):
            return self.read_text(value, path)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self.read_number(value, path)
        if isinstance(value, list):
            return self.read_list(value, path, depth)
        if isinstance(value, dict):
            return self.read_object(value, path, depth)
        reason = f"found {_json_type(value)}, expected an operation or a value (a test for null is an operation)"
        raise self.fail(reason, path, example_of("isNull"))

    def read_text(self, value: Any, path: str) -> str:
        if not isinstance(value, str):
            raise self.fail(f"found {_json_type(value)}, expected a text", path)
        if find_unstorable(value) is not None:
            raise self.fail("a text holds a NUL or half of a surrogate pair, which no item has", path)
        return value

    def read_number(self, value: int | float, path: str) -> int | float:
        if isinstance(value, float):
            if math.isfinite(value):
                return value
        elif -_LARGEST <= value <= _LARGEST:
            return make_number(value)
        raise self.fail("a number is not finite", path)

    def read_list(self, values: Any, path: str, depth: int) -> tuple[Expression, ...]:
        if not isinstance(values, list):
            raise self.fail(f"found {_json_type(values)}, expected a list", path, example_of("in"))
        if len(values) > self.limits.list:
            raise self.fail(f"a list has more than {self.limits.list} values", path)
        if depth >= self.limits.nesting:
            raise self.fail(f"nested more than {self.limits.nesting} deep", path)
        return tuple([self.read(value, f"{path}[{number}]", depth + 1) for number, value in enumerate(values)])

    def read_object(self, value: dict[Any, Any], path: str, depth: int) -> Expression:
        if "op" in value:
            return self.read_operation(value["op"], value.get("args"), path, depth)
        if "function" in value:
            return self.read_function(value, path, depth)
        kind = next((member for member in LITERALS if member in value), None)
        if kind is None:
            found = str(list(value))[:60]
            raise self.fail(f"found the members {found}, expected `op` and `args`, `property` or a value", path)
        content = value[kind]
        if kind == "property":
            self.read_text(content, f"{path}.property")
        if kind == "interval":
            content = self.read_list(content, f"{path}.interval", depth)
        try:
            return self.make_literal(kind, content, value)
        except ValueError as error:
            raise self.fail(str(error), path, LITERALS[kind]) from error

    def make_literal(self, kind: str, content: Any, value: dict[Any, Any]) -> Expression:
        """Return what an object without operator is; `ValueError` says what is wrong."""
        if kind == "property":
            return make_property(content)
        if kind == "type":
            return make_geometry(value, self.limits)
        if kind == "bbox":
            return make_bbox(content)
        return make_interval(content) if kind == "interval" else make_instant(content, kind)

    def read_function(self, value: dict[Any, Any], path: str, depth: int) -> Expression:
        """Read `{"function": name, "args": [...]}` and `{"function": {"name": ..., "args": [...]}}` of older drafts."""
        function = value["function"]
        if not isinstance(function, dict):
            return self.read_operation(function, value.get("args"), path, depth)
        return self.read_operation(function.get("name"), function.get("args", value.get("args")), path, depth)

    def read_operation(self, name: Any, args: Any, path: str, depth: int) -> Expression:
        op = self.read_name(name, path)
        if op == "between" and isinstance(args, list) and len(args) == 2 and isinstance(args[1], list):
            args = [args[0], *args[1]]  # the form of an older draft
        values = self.read_list(args, f"{path}.args", depth)
        fault = find_fault(op, values)
        if fault:
            place = "" if fault.argument is None else f".args[{fault.argument}]"
            raise self.fail(fault.reason, path + place, fault.example)
        return join_conditions(op, values) if op in ("and", "or") else Operation(op, values)

    def read_name(self, name: Any, path: str) -> str:
        if not isinstance(name, str):
            raise self.fail(f"found {_json_type(name)} as `op`, expected a name", path)
        op = SPELLINGS.get(name.lower(), name)
        if op in SIGNATURES or op in self.limits.functions:
            return op
        fault = explain_unknown(name, [*SIGNATURES, *self.limits.functions])
        raise self.fail(fault.reason, path, fault.example)


def _json_type(value: Any) -> str:
    words = {type(None): "null", dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return words.get(type(value), "a number")


def expression_to_json(expression: Expression | None) -> Any:
    """Return CQL2 JSON as plain data; None, the open end of an interval, is `..`."""
    match expression:
        case Operation(op, args):
            return {"op": op, "args": [expression_to_json(arg) for arg in args]}
        case Property(name):
            return {"property": PREFIX + name if name.startswith(PREFIX) else name}
        case tuple():
            return [expression_to_json(value) for value in expression]
        case Instant(text):
            return {"date" if expression.is_date else "timestamp": text}
        case IntervalLiteral(start, end):
            return {"interval": [_end_to_json(start), _end_to_json(end)]}
        case GeometryLiteral():
            return expression.source
    return expression


def _end_to_json(end: Expression | None) -> Any:
    if end is None:
        return ".."
    return end.text if isinstance(end, Instant) else expression_to_json(end)
