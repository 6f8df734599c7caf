"""CQL2 as SQL conditions on `items`.

An expression is first divided into its outline, in which each literal is a `Slot`, and the values of the
slots. SQL is made from outlines alone and remembered, so that filters that differ only in their literals are
compiled once.

A property may hold values of several kinds. An operand is therefore a mapping from kind to SQL, and an operator
applies to the kinds that both sides have. Where they share none, the result is NULL, as for a missing property.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import shapely
import sqlalchemy as sa

from stacserve.cql2 import Expression, GeometryLiteral, Instant, IntervalLiteral, Operation, Property
from stacserve.errors import InvalidFilter, did_you_mean
from stacserve.store.properties import Kind, Properties
from stacserve.store.tables import geometries, items, leftovers
from stacserve.temporal import DAY, parse_date, parse_instant

Sql = sa.ColumnElement[Any]
Operand = Mapping[Kind, Sql]

COMPARISONS: dict[str, Callable[[Any, Any], Sql]] = {
    "=": lambda left, right: left == right,
    "<>": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
# Which end of a day a comparison with a DATE looks at.
_DAY_ENDS = {"<": 0, ">=": 0, "<=": 1, ">": 1}
# A text that is an instant is a TIME as well, and compares as such with another one.
_KINDS = (Kind.TIME, Kind.NUMBER, Kind.TEXT, Kind.BOOL)
_TIMES = ("date", Kind.TIME)
# SQLite's expressions are at most 1000 deep, and a chain of ANDs is as deep as it is long.
_PREDICATES_MAX = 500

_JSON_TYPES = {Kind.NUMBER: ("integer", "real"), Kind.TEXT: ("text",), Kind.BOOL: ("true", "false")}
# SQLite's limit for the length of a pattern.
_GLOB_BYTES_MAX = 50_000
_BUILT_IN = ("id", "collection", "datetime", "geometry")

# Constants go in as parameters: SQLite refuses a forced index when it sees that nothing can match.
CONSTANTS = {"true": 1, "false": 0, "unknown": None}
NULL: sa.ColumnElement[Any] = sa.bindparam("unknown")
TRUE: sa.ColumnElement[Any] = sa.bindparam("true")
FALSE: sa.ColumnElement[Any] = sa.bindparam("false")


@dataclass(frozen=True, slots=True)
class Slot:
    """A literal of the outline: its kind, and the number of its (first) value.

    Kinds are those of values and "date" (its start and end), "only" and "list" with a kind (JSON), "pattern" and
    "geometry". A TIME has a second value: where its day starts.
    """

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition and the values of its parameters."""

    outline: Any
    values: tuple[Any, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """The values by the names that the SQL uses."""
        return {f"f{number}": value for number, value in enumerate(self.values)}


def outline_filter(expression: Expression, properties: Properties) -> Compiled:
    """Divide an expression into outline and values. Raises InvalidFilter for what cannot be searched for."""
    outliner = _Outliner(properties)
    return Compiled(outliner.outline(expression), tuple(outliner.values))


class _Outliner:
    """Walks an expression once; `values` collects the literals."""

    def __init__(self, properties: Properties) -> None:
        self.properties = properties
        self.values: list[Any] = []
        self.predicates = 0

    def outline(self, node: Any) -> Any:
        """Return a node with slots for its literals."""
        if isinstance(node, Operation):
            return self._outline_operation(node)
        if isinstance(node, Property):
            return node
        if isinstance(node, bool):
            return node
        if isinstance(node, Instant):
            second = node.end if node.is_date else node.start - node.start % DAY
            return self._slot("date" if node.is_date else Kind.TIME, node.start, second)
        if isinstance(node, (int, float)):
            return self._slot(Kind.NUMBER, sql_number(node))
        if isinstance(node, str):
            return self._slot(Kind.TEXT, node)
        if isinstance(node, GeometryLiteral):
            return self._slot("geometry", shapely.to_wkb(node.shape))
        if isinstance(node, IntervalLiteral):
            raise InvalidFilter("INTERVAL is not supported; compare datetime with TIMESTAMP('2024-01-01T00:00:00Z')")
        raise InvalidFilter("an array cannot stand here; arrays are not supported")

    def _outline_operation(self, node: Operation) -> Any:
        if node.op not in SUPPORTED:
            raise InvalidFilter(f"{node.op} is not supported.{did_you_mean(node.op, SUPPORTED)}")
        self.predicates += node.op not in ("and", "or", "not", "between")
        check_length(self.predicates)
        if node.op == "like":
            return _outlined("like", self.outline(node.args[0]), self._pattern(node.args[1]))
        if node.op == "in":
            return self._outline_in(node.args[0], node.args[1])
        if node.op == "between":
            value, low, high = node.args
            return self.outline(Operation("and", (Operation(">=", (value, low)), Operation("<=", (value, high)))))
        if node.op in COMPARISONS and any(isinstance(arg, Property) and self._may_be_time(arg) for arg in node.args):
            return self._outline_timely(node)
        return Operation(node.op, tuple(self.outline(arg) for arg in node.args))

    def _outline_timely(self, node: Operation) -> Any:
        """Compare a text that is a time with values that are times as time, with all others as text.

        Clients leave TIMESTAMP out, and other spellings of an instant are the same instant.
        """
        as_times = tuple(as_instant(arg) for arg in node.args)
        plain = Operation(node.op, tuple(self.outline(arg) for arg in node.args))
        if as_times == node.args:
            return plain
        return Operation("first", (Operation(node.op, tuple(self.outline(arg) for arg in as_times)), plain))

    def _outline_in(self, operand: Any, members: Any) -> Any:
        """Divide IN into a list of values and comparisons with days, each of which stands for many instants."""
        if not members:
            return False
        timely = isinstance(operand, Property) and self._may_be_time(operand)
        days: list[Any] = []
        others: list[Any] = []
        for member in members:
            (days if _is_day(as_instant(member) if timely else member) else others).append(member)
        if not days:
            return _outlined("in", self.outline(operand), *self._lists(others, timely))
        tests = [Operation("=", (operand, day)) for day in days]
        if others:
            tests.append(Operation("in", (operand, tuple(others))))
        return self.outline(Operation("or", tuple(tests)))

    def _slot(self, kind: str, *values: Any) -> Slot:
        self.values.extend(values)
        return Slot(kind, len(self.values) - len(values))

    def _may_be_time(self, node: Property) -> bool:
        is_time = node.name == "datetime" or self.properties.column(node.name, Kind.TIME) is not None
        return is_time or self.properties.is_full

    def _pattern(self, pattern: Any) -> Slot:
        if not isinstance(pattern, str):
            raise InvalidFilter("LIKE needs a text as its pattern, such as name LIKE 'S2%'")
        glob = glob_from_like(pattern)
        if len(glob.encode("utf-8", "surrogatepass")) > _GLOB_BYTES_MAX:
            raise InvalidFilter(f"the pattern of LIKE is too long ({len(pattern)} characters); 10000 are always taken")
        return self._slot("pattern", glob)

    def _lists(self, members: Any, timely: bool) -> list[Slot]:
        """Return one list for each kind of the members of IN; "only" where all are written as one kind."""
        by_kind: dict[Kind, list[Any]] = {}
        written = set()
        for member in members:
            kind, value = _plain_value(member)
            written.add(kind)
            by_kind.setdefault(kind, []).append(value)
            instant = as_instant(member) if timely else member
            if isinstance(member, str) and isinstance(instant, Instant):
                by_kind.setdefault(Kind.TIME, []).append(instant.start)
        word = "only" if len(written) == 1 else "list"
        return [self._slot(f"{word} {kind}", orjson.dumps(by_kind[kind]).decode()) for kind in sorted(by_kind)]


def check_length(predicates: int) -> None:
    """Raise InvalidFilter if a filter has so many predicates that SQLite may not take them."""
    if predicates > _PREDICATES_MAX:
        raise InvalidFilter(f"has more than {_PREDICATES_MAX} conditions; write lists such as id IN ('a', 'b')")


def _outlined(op: str, *args: Any) -> Operation:
    """Return an operation whose arguments are outlines, slots among them."""
    return Operation(op, args)


def _plain_value(member: Any) -> tuple[Kind, Any]:
    if isinstance(member, bool):
        return Kind.BOOL, int(member)
    if isinstance(member, (int, float)):
        return Kind.NUMBER, sql_number(member)
    if isinstance(member, str):
        return Kind.TEXT, member
    if isinstance(member, Instant):
        return Kind.TIME, member.start
    raise InvalidFilter("IN needs numbers, texts, booleans or times, such as platform IN ('sentinel-2a', 'landsat-8')")


def as_instant(node: Any) -> Any:
    """Return the instant or day that a text stands for, or whatever else it is as it is."""
    if not isinstance(node, str):
        return node
    try:
        return Instant(node, *parse_date(node)) if len(node) == 10 else Instant(node, *[parse_instant(node)] * 2)
    except ValueError:
        return node


def _is_day(node: Any) -> bool:
    return isinstance(node, Instant) and node.is_date


def sql_number(value: float) -> float:
    """Return a number as SQLite can hold it: integers beyond 64 bits become floats."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    return value


def glob_from_like(pattern: str) -> str:
    """Return a GLOB pattern for a LIKE pattern: % any run, _ one character, a backslash escapes (OGC 21-065r2, 7.1).

    SQLite's LIKE ignores case, its GLOB does not.
    """
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            character = next(characters, "\\")
        elif character in "%_":
            # runs of % say no more than one, and cost time
            if character == "_" or not parts or parts[-1] != "*":
                parts.append("*" if character == "%" else "?")
            continue
        parts.append(f"[{character}]" if character in "*?[" else character)
    return "".join(parts)


def compile_outline(outline: Any, columns_key: tuple[Any, ...]) -> Sql:
    """Return the SQL condition of an outline; `columns_key` is `columns_of(outline, properties)`."""
    return _Compiler(
        {name: dict(kinds) for name, kinds, _ in columns_key}, {n: full for n, _, full in columns_key}
    ).condition(outline)


def columns_of(outline: Any, properties: Properties) -> tuple[Any, ...]:
    """Return what the SQL of an outline depends on: the columns of the properties in it."""
    names = sorted({name for name in _property_names(outline) if name not in _BUILT_IN})
    return tuple((name, tuple(sorted(properties.columns.get(name, {}).items())), properties.is_full) for name in names)


def _property_names(node: Any) -> list[str]:
    if isinstance(node, Property):
        return [node.name]
    return list(itertools.chain.from_iterable(map(_property_names, node.args))) if isinstance(node, Operation) else []


class _Compiler:
    """Makes SQL from an outline."""

    def __init__(self, columns: dict[str, dict[str, str]], has_overflow: dict[str, bool]) -> None:
        self.columns = columns
        self.has_overflow = has_overflow

    def condition(self, node: Any) -> Sql:
        """Return the SQL of a boolean expression."""
        if isinstance(node, bool):
            return TRUE if node else FALSE
        if isinstance(node, Operation):
            return OPERATORS[node.op](self, node.op, node.args)
        raise InvalidFilter("a filter must be a condition, such as eo:cloud_cover < 10")

    def operand(self, node: Any) -> Operand:
        """Return the SQL of a value, by the kinds it can be of."""
        if isinstance(node, bool):
            return {Kind.BOOL: TRUE if node else FALSE}
        if isinstance(node, Slot) and node.kind in set(Kind):
            return {Kind(node.kind): _parameter(node.number)}
        if isinstance(node, Property):
            return self._property_operand(node.name)
        if isinstance(node, Operation) and node.op in OPERATORS:
            return {Kind.BOOL: self.condition(node)}
        return {}

    def _property_operand(self, name: str) -> Operand:
        if name == "id":
            return {Kind.TEXT: items.c.id}
        if name == "collection":
            return {Kind.TEXT: sa.case((items.c.container < "1/", sa.func.substr(items.c.container, 3)))}
        if name == "datetime":
            return {Kind.TIME: items.c.datetime}
        found: dict[Kind, Sql] = {Kind(kind): sa.column(column) for kind, column in self.columns.get(name, {}).items()}
        if self.has_overflow.get(name):
            for kind, types in _JSON_TYPES.items():
                found.setdefault(kind, _leftover(name, types))
            found.setdefault(Kind.TIME, sa.func.instant(found[Kind.TEXT]))
        return found

    def has_instants(self, node: Any) -> bool:
        """Whether a property has a column of instants."""
        return isinstance(node, Property) and Kind.TIME in self.columns.get(node.name, {})

    def geometry(self, node: Any) -> Sql:
        """Return the SQL of a geometry: the item's own (WKB), or a parameter."""
        if isinstance(node, Slot) and node.kind == "geometry":
            return _parameter(node.number)
        if isinstance(node, Property) and node.name == "geometry":
            return sa.select(geometries.c.wkb).where(geometries.c.key == items.c.key).correlate(items).scalar_subquery()
        raise InvalidFilter("S_INTERSECTS needs a geometry, such as S_INTERSECTS(geometry, POINT(7.5 46.9))")


def _parameter(number: int) -> Sql:
    return sa.bindparam(f"f{number}")


def _leftover(name: str, types: tuple[str, ...] | None) -> Sql:
    """Return a property's value from the JSON of what has no column; any value at all where types is None."""
    member = sa.func.json_each(leftovers.c.properties).table_valued("key", "value", "type").alias("member")
    found = sa.select(member.c.value if types else member.c.type).select_from(leftovers, member)
    found = found.where(leftovers.c.key == items.c.key, member.c.key == sa.literal(name))
    if types:
        found = found.where(member.c.type.in_([sa.literal_column(f"'{one}'") for one in types]))
    return found.correlate(items).scalar_subquery()


def _first_of(conditions: list[Sql]) -> Sql:
    """Combine the comparisons of several kinds, of which at most one is not NULL."""
    return NULL if not conditions else conditions[0] if len(conditions) == 1 else sa.func.coalesce(*conditions)


def _compile_logic(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    parts = [compiler.condition(arg) for arg in args]
    return (sa.and_ if op == "and" else sa.or_)(*parts)


def _compile_not(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    # `sa.not_` would turn comparisons around, which reads worse and gains nothing
    return sa.UnaryExpression(sa.sql.elements.Grouping(compiler.condition(args[0])), operator=sa.sql.operators.inv)


def _compile_comparison(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    left, right = args
    if _slot_kind(left) in _TIMES and _slot_kind(right) != "date":
        left, right, op = right, left, FLIPPED[op]
    if _slot_kind(right) in _TIMES:
        return _compare_time(compiler, left, op, right)
    ours, theirs = compiler.operand(left), compiler.operand(right)
    return _first_of([COMPARISONS[op](ours[kind], theirs[kind]) for kind in _KINDS if kind in ours and kind in theirs])


def _slot_kind(node: Any) -> str | None:
    return node.kind if isinstance(node, Slot) else None


def _compare_time(compiler: _Compiler, left: Any, op: str, literal: Slot) -> Sql:
    """Compare with a literal time; a property without a column of instants may hold dates, which compare as days."""
    start, is_instant = _parameter(literal.number), literal.kind == Kind.TIME
    if _slot_kind(left) == "date":
        return COMPARISONS[op](_parameter(left.number), start)
    operand, found = compiler.operand(left), list[Sql]()
    if Kind.TIME in operand:
        time = operand[Kind.TIME]
        found.append(COMPARISONS[op](time, start) if is_instant else _compare_day(time, op, literal))
    if Kind.TEXT in operand and not compiler.has_instants(left):
        day = sa.func.instant(operand[Kind.TEXT].concat("T00:00:00Z"))
        found.append(COMPARISONS[op](day, _parameter(literal.number + is_instant)))
    return _first_of(found)


def _compare_day(time: Sql, op: str, day: Slot) -> Sql:
    start, end = _parameter(day.number), _parameter(day.number + 1)
    if op in _DAY_ENDS:
        return COMPARISONS[op](time, (start, end)[_DAY_ENDS[op]])
    return time.between(start, end) if op == "=" else sa.or_(time < start, time > end)


def _compile_first(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    found = [compiler.condition(arg) for arg in args]
    return _first_of([condition for condition in found if condition is not NULL])


def _compile_in(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    operand = compiler.operand(args[0])
    members = {Kind(slot.kind[-1]): slot for slot in args[1:]}
    tests: list[Sql] = []
    for kind in _KINDS:
        if kind in operand and kind in members:
            listed = sa.func.json_each(_parameter(members[kind].number)).table_valued("value")
            found = operand[kind].in_(sa.select(listed.c.value))
            # beside members of other kinds, which compare to NULL, "not found" is NULL as well
            is_only = members[kind].kind.startswith("only")
            tests.append(found if is_only else sa.case((found, sa.literal_column("1"))))
    return _first_of(tests)


def _compile_like(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    text = compiler.operand(args[0]).get(Kind.TEXT)
    return NULL if text is None else text.op("GLOB", is_comparison=True)(_parameter(args[1].number))


def _compile_is_null(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    node = args[0]
    if isinstance(node, Slot):
        return FALSE
    if isinstance(node, Property) and node.name == "geometry":
        return items.c.boxes == sa.literal_column("0")
    if isinstance(node, Property):
        tests = [expression.is_(None) for expression in compiler.operand(node).values()]
        if node.name not in _BUILT_IN:
            tests.append(_leftover(node.name, None).is_(None))
        return sa.and_(*tests)
    return compiler.condition(node).is_(None)


def _compile_s_intersects(compiler: _Compiler, op: str, args: tuple[Any, ...]) -> Sql:
    return sa.func.s_intersects(compiler.geometry(args[0]), compiler.geometry(args[1]))


# Every operator of an outline; another one is a line here and a function above.
OPERATORS: dict[str, Callable[[_Compiler, str, tuple[Any, ...]], Sql]] = {
    "and": _compile_logic,
    "or": _compile_logic,
    "not": _compile_not,
    **dict.fromkeys(COMPARISONS, _compile_comparison),
    "first": _compile_first,
    "in": _compile_in,
    "like": _compile_like,
    "isNull": _compile_is_null,
    "s_intersects": _compile_s_intersects,
}
# Every operator of CQL2 that can be searched with.
SUPPORTED = (OPERATORS.keys() - {"first"}) | {"between"}
