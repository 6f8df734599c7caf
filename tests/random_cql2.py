"""Random trees of CQL2, as hypothesis strategies: anything a reader may return."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from stacserve.cql2 import (
    SIGNATURES,
    Expression,
    IntervalLiteral,
    Limits,
    Operation,
    Property,
    join_conditions,
    make_bbox,
    make_geometry,
    make_instant,
    make_interval,
)

# For machines that are busy with other things.
PATIENT = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FUNCTIONS = Limits(functions=frozenset(["area", "Mean"]))

Strategy = st.SearchStrategy[Any]

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(characters, max_size=8) | st.sampled_from(["it's", "a\\", "C:\\new", "''", "50\\%", "ß\n"])
plain_names = st.sampled_from(["a", "eo:cloud_cover", "date", "s_within", "point", "Über", "a.b:c_1", "z"])
names = (
    plain_names | st.sampled_from(["and", "a b", 'x"y', "properties.x", "1a", "a-b"]) | st.text(characters, min_size=1)
)
properties = names.map(Property)
plain_numbers = st.integers(-(10**6), 10**6) | st.decimals(-1000, 1000, places=3).map(float)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | plain_numbers
# What LIKE reads alike with and without a backslash is written without it, hence is no part of a pattern here.
patterns = st.lists(
    st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "n"])
    | st.text(characters, max_size=3).map(lambda t: t.replace("\\", "")),
    max_size=4,
).map("".join)

dates = st.dates(date(1, 1, 1)).map(date.isoformat)
timestamps = st.datetimes(datetime(1, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 (naive by hypothesis' rule)
    lambda moment: moment.isoformat().replace("+00:00", "Z")
)
instants = dates.map(lambda text: make_instant(text, "date")) | timestamps.map(
    lambda text: make_instant(text, "timestamp")
)

# eighths of a degree are exact, so that sums of them are written in few digits
degrees = st.integers(-170 * 8, 170 * 8).map(lambda eighths: eighths / 8)
latitudes = st.integers(-80 * 8, 80 * 8).map(lambda eighths: eighths / 8)
positions = st.tuples(degrees, latitudes).map(list)


def _polygon(corner: list[float], width: int, height: int) -> list[list[list[float]]]:
    x, y = corner
    return [[[x, y], [x + width, y], [x + width, y + height], [x, y]]]


rings = st.builds(_polygon, positions, st.integers(1, 9), st.integers(1, 9))
geojson = st.one_of(
    positions.map(lambda c: {"type": "Point", "coordinates": c}),
    st.lists(positions, min_size=1, max_size=3).map(lambda c: {"type": "MultiPoint", "coordinates": c}),
    st.lists(positions, min_size=2, max_size=4, unique_by=tuple).map(
        lambda c: {"type": "LineString", "coordinates": c}
    ),
    rings.map(lambda c: {"type": "Polygon", "coordinates": c}),
    st.lists(rings, min_size=1, max_size=2).map(lambda c: {"type": "MultiPolygon", "coordinates": c}),
)
collections = st.lists(geojson, min_size=1, max_size=3).map(lambda g: {"type": "GeometryCollection", "geometries": g})
boxes = st.tuples(degrees, latitudes, degrees, st.integers(0, 9)).map(
    lambda b: make_bbox([b[0], b[1], b[2], b[1] + b[3]])
)
geometries = (geojson | collections).map(lambda value: make_geometry(value, FUNCTIONS)) | boxes


def operations(ops: str, *args: Strategy) -> Strategy:
    """Draw one of the operators and its arguments."""
    return st.builds(Operation, st.sampled_from(ops.split()), st.tuples(*args))


def many(values: Strategy, most: int = 3) -> Strategy:
    """Draw a tuple of values."""
    return st.lists(values, max_size=most).map(tuple)


functions = st.builds(Operation, st.sampled_from(["area", "Mean"]), many(properties | numbers | texts, 2))


def intervals() -> Strategy:
    """Draw intervals: two instants in order, or one end that is open, a property or a function."""
    ordered = st.tuples(instants, instants).filter(lambda pair: pair[0].start <= pair[1].end).map(make_interval)
    end = properties | functions | st.none()
    return ordered | st.builds(IntervalLiteral, instants, end) | st.builds(IntervalLiteral, end, instants)


def numerics(names: Strategy = properties | functions, numbers: Strategy = numbers) -> Strategy:
    """Draw arithmetic of numbers and properties."""
    return st.recursive(names | numbers, lambda inner: operations("+ - * / % div ^", inner, inner), max_leaves=5)


def characterized(inner: Strategy) -> Strategy:
    """Wrap some texts in CASEI and ACCENTI."""
    return st.recursive(inner, lambda text: operations("casei accenti", text), max_leaves=2)


def predicates() -> Strategy:
    """Draw one condition of any class of CQL2."""
    numeric, text, instant = numerics(), characterized(texts | properties), instants
    scalar = numeric | text | instant | st.booleans()
    moment, shape = instant | intervals() | properties, geometries | properties
    array = st.recursive(many(scalar | geometries | intervals()), many, max_leaves=3)
    groups: dict[str, list[str]] = {
        letter: [op for op in SIGNATURES if op.startswith(letter + "_")] for letter in "sta"
    }
    return st.one_of(
        operations("= <> < > <= >=", scalar, scalar),
        operations("like", text, characterized(patterns)),
        operations("between", numeric | instant, numeric | instant, numeric | instant),
        operations("in", scalar, many(scalar)),
        operations("isNull", scalar | geometries | intervals()),
        operations(" ".join(groups["s"]), shape, shape),
        operations(" ".join(groups["t"]), moment, moment),
        operations(" ".join(groups["a"]), array, properties | array),
        functions,
        st.booleans(),
    )


def filters(predicate: Strategy | None = None) -> Strategy:
    """Draw a whole filter."""

    def widen(inner: Strategy) -> Strategy:
        several = st.lists(inner, min_size=2, max_size=3)
        return (
            st.builds(join_conditions, st.sampled_from(["and", "or"]), several)
            | operations("not", inner)
            | operations("isNull", inner)
        )

    return st.recursive(predicates() if predicate is None else predicate, widen, max_leaves=6)


def plain_predicates() -> Strategy:
    """Draw conditions within what the oracle reads and writes without loss."""
    names = plain_names.filter(lambda name: name[0].isascii() and name not in ("z", "point")).map(Property)
    numeric = numerics(names, plain_numbers).filter(lambda tree: "'div'" not in repr(tree))
    text = characterized(
        st.text(st.characters(min_codepoint=32, exclude_categories=["C"], exclude_characters='\\"'), max_size=5) | names
    )
    seconds = st.datetimes(datetime(1970, 1, 1)).map(lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}")  # noqa: DTZ001
    instant = (dates | seconds).map(make_instant)
    interval = st.builds(IntervalLiteral, instant, names | st.none())
    scalar = numeric | text | instant | st.booleans()
    array = st.lists(scalar, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        operations("= <> < > <= >=", scalar, scalar),
        operations("like", text, characterized(patterns)),
        operations("between", numeric, numeric, numeric),
        operations("in", scalar, array),
        operations("isNull", scalar | geometries),
        operations("s_intersects s_within s_disjoint", geometries | names, geometries | names),
        operations("t_after t_finishedBy t_during", instant | interval | names, instant | interval | names),
        operations("a_equals a_containedBy", array, array | names),
    )


expressions: st.SearchStrategy[Expression] = filters()
plain_expressions: st.SearchStrategy[Expression] = filters(plain_predicates())
