from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

import cql2 as oracle
from random_cql2 import FUNCTIONS, PATIENT, expressions, plain_expressions
from stacserve.cql2 import (
    DEPTH_MAX,
    SIGNATURES,
    Expression,
    GeometryLiteral,
    Limits,
    Operation,
    Property,
    expression_from_json,
    expression_to_json,
)
from stacserve.cql2_text import expression_from_text, expression_to_text
from stacserve.errors import InvalidFilter

CASES = Path(__file__).parent / "cql2"


def read_lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (CASES / name).read_text("utf-8").splitlines()]


EXPRESSIONS = [(text, value) for _, text, value in read_lines("expressions.jsonl")]
DEVIATIONS = dict(read_lines("deviations.jsonl"))


def read_geometry(text: str) -> GeometryLiteral:
    expression = expression_from_text(f"S_INTERSECTS(geometry, {text})")
    assert isinstance(expression, Operation) and isinstance(expression.args[1], GeometryLiteral)
    return expression.args[1]


# ---- reading and writing ----


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_text_reads_as_its_json(text: str, value: Any) -> None:
    expression = expression_from_text(text, FUNCTIONS)
    assert json.dumps(expression_to_json(expression)) == json.dumps(value)
    assert expression == expression_from_json(value, FUNCTIONS)


@pytest.mark.parametrize("text", [text for text, _ in EXPRESSIONS])
def test_text_that_was_written_reads_as_the_same_tree(text: str) -> None:
    expression = expression_from_text(text, FUNCTIONS)
    written = expression_to_text(expression)
    assert expression_from_text(written, FUNCTIONS) == expression
    assert expression_to_text(expression_from_text(written, FUNCTIONS)) == written


@given(expressions)
@PATIENT
def test_any_tree_survives_text(expression: Expression) -> None:
    assert expression_from_text(expression_to_text(expression), FUNCTIONS) == expression


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a=1 and(b=2 or not c in(1,2))", "a = 1 AND (b = 2 OR c NOT IN (1, 2))"),
        ("not not a is not null", "NOT (NOT (a IS NOT NULL))"),
        ("(a - (b - c)) * 2 ^ -d = 1", "(a - (b - c)) * 2 ^ (-1 * d) = 1"),
        ("casei(\"a b\") like casei('it\\'s%')", "CASEI(\"a b\") LIKE CASEI('it''s%')"),
        ("t_during(datetime, interval('2024-06-01','..'))", "T_DURING(datetime, INTERVAL('2024-06-01', '..'))"),
        ("s_within(a, linestring z(0 0 1,1 1 1))", "S_WITHIN(a, LINESTRING(0 0 1, 1 1 1))"),
        ("a_equals(a, ('x'))", "A_EQUALS(a, ('x'))"),
        ("true", "TRUE"),
    ],
)
def test_text_is_written_in_one_style(text: str, written: str) -> None:
    assert expression_to_text(expression_from_text(text)) == written


@pytest.mark.parametrize("op", SIGNATURES)
def test_the_example_of_every_operator_is_right(op: str) -> None:
    example = Operation(op, SIGNATURES[op].example)
    assert expression_from_text(f"({expression_to_text(example)}) IS NULL") == Operation("isNull", (example,))


@pytest.mark.parametrize("text", ["C:\\new", "ends with \\", "\\'", "\\\\", "100\\%"])
def test_backslashes_of_json_texts_survive_text(text: str) -> None:
    expression = Operation("=", (Property("a"), text))
    assert expression_from_text(expression_to_text(expression)) == expression


@pytest.mark.parametrize(("pattern", "same"), [("\\n%", "n%"), ("a\\", "a\\\\"), ("\\'", "'"), ("\\\\n", "\\\\n")])
def test_patterns_that_text_cannot_say_are_written_as_ones_that_match_the_same(pattern: str, same: str) -> None:
    written = expression_to_text(Operation("like", (Property("a"), pattern)))
    assert expression_from_text(written) == Operation("like", (Property("a"), same))


# ---- agreement with another reader ----


@pytest.mark.parametrize(("text", "value"), [case for case in EXPRESSIONS if case[0] not in DEVIATIONS])
def test_the_oracle_reads_the_same(text: str, value: Any) -> None:
    assert oracle.parse_text(text).to_json() == value
    assert oracle.parse_json(json.dumps(value)).to_json() == value


@given(plain_expressions)
@PATIENT
def test_the_oracle_reads_what_is_written(expression: Expression) -> None:
    assert oracle.parse_text(expression_to_text(expression)).to_json() == expression_to_json(expression)


@given(plain_expressions)
@PATIENT
def test_what_the_oracle_writes_is_read(expression: Expression) -> None:
    written = oracle.parse_json(json.dumps(expression_to_json(expression)))
    assert expression_from_text(written.to_text()) == expression
    assert expression_from_json(written.to_json()) == expression


# ---- geometries ----


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("POINT(1 2)", ["POINT(1 2)"]),
        ("Point Z (1 2 3)", ["POINT(1 2)"]),
        ("POLYGON((0 0, 2 2, 2 0, 0 2, 0 0))", ["POLYGON((0 0, 1 1, 0 2, 0 0))", "POLYGON((2 2, 1 1, 2 0, 2 2))"]),
        ("LINESTRING(179 0, 181 0)", ["LINESTRING(179 0, 180 0)", "LINESTRING(-180 0, -179 0)"]),
        ("POLYGON((0 95, 1 95, 1 96, 0 95))", ["POLYGON((0 95, 1 95, 1 96, 0 95))"]),
        (
            "BBOX(170, 0, -170, 1)",
            ["POLYGON((170 0, 180 0, 180 1, 170 1, 170 0))", "POLYGON((-180 0, -170 0, -170 1, -180 1, -180 0))"],
        ),
        ("BBOX(1, 2, 1, 2)", ["POINT(1 2)"]),
    ],
)
def test_geometries_are_flat_valid_and_within_180_degrees(text: str, parts: list[str]) -> None:
    shape = read_geometry(text).shape
    assert shape.is_valid and not shape.has_z
    assert shape.equals(shapely.union_all(shapely.from_wkt(parts)))


@given(st.lists(st.tuples(st.floats(-200, 200), st.floats(-90, 90)), min_size=3, max_size=8), st.integers(0, 12))
@PATIENT
def test_any_polygon_is_read_as_its_geojson(positions: list[tuple[float, float]], digits: int) -> None:
    ring = [[round(x, digits), round(y, digits)] for x, y in [*positions, positions[0]]]
    wkt = ", ".join(f"{x:.{digits}f} {y:.{digits}f}" for x, y in ring)
    value = {"op": "s_within", "args": [{"property": "a"}, {"type": "Polygon", "coordinates": [ring]}]}
    assert expression_from_text(f"S_WITHIN(a, POLYGON(({wkt})))") == expression_from_json(value)


# ---- errors ----


@pytest.mark.parametrize(("text", "position", "words"), read_lines("refused_text.jsonl"), ids=ascii)
def test_wrong_text_is_refused_with_place_reason_and_example(text: str, position: int, words: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        expression_from_text(text)
    reason, _, example = caught.value.reason.partition("; for example ")
    assert reason.startswith(f"at character {position}: {words}") and caught.value.position == position
    assert expression_from_text(f"({example}) IS NULL")


def test_unknown_functions_are_named_with_the_nearest_known_one() -> None:
    assert expression_from_text("Mean(a) > 1", FUNCTIONS)
    for text, nearest in [("Meann(a) > 1", "Mean"), ("S_INTERSECT(a, b)", "s_intersects"), ("POINTS(1 2)", "Point")]:
        with pytest.raises(InvalidFilter, match=f"did you mean '{nearest}'"):
            expression_from_text(text, FUNCTIONS)


PIECES = [
    *"ab1.'\"\\(),=<>+-*/ :",
    "AND ",
    " NOT ",
    " IN(",
    "CASEI(",
    "POINT(",
    "DATE('",
    "LIKE '",
    "IS NULL",
    "A_EQUALS(",
]


@given(st.lists(st.sampled_from(PIECES), max_size=16).map("".join))
@PATIENT
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = expression_from_text(text)
    except InvalidFilter:
        return
    assert expression_from_text(expression_to_text(expression)) == expression


# ---- hostile input ----

MANY = 20_000
HOSTILE = {
    "parentheses": "(" * MANY + "a = 1" + ")" * MANY,
    "opening": "(" * MANY,
    "not": "NOT " * MANY + "a = 1",
    "minus": "a = " + "-" * MANY + "b",
    "minus apart": "a = " + "- " * MANY + "5",
    "casei": "CASEI(" * MANY + "a" + ")" * MANY + " = 'x'",
    "pattern": "a LIKE " + "ACCENTI(" * MANY,
    "collections": "S_WITHIN(a, " + "GEOMETRYCOLLECTION(" * MANY,
    "polygons": "S_WITHIN(a, " + "POLYGON((" * MANY,
    "rings": "S_WITHIN(a, MULTIPOLYGON(" + "(" * MANY,
    "open ring": "S_WITHIN(a, POLYGON((" + "1 2, " * MANY,
    "points": "S_WITHIN(a, MULTIPOINT(" + "1 2, " * 50_000 + "1 2))",
    "sum": "a = " + "+".join("1" * MANY),
    "powers": "a = " + "^".join("1" * MANY),
    "products in sums": "a = " + "1 + 2 * (" * MANY,
    "conditions": " AND ".join(["a = 1"] * MANY),
    "comparisons": "a" + " = 1" * MANY,
    "null": "a" + " IS NULL" * MANY,
    "lists": "A_EQUALS(a, " + "(" * MANY,
    "list": "a IN (" + ",".join("1" * MANY) + ")",
    "in": "a IN (" * MANY,
    "intervals": "INTERVAL(" * MANY,
    "quotes": "a = '" + "''" * MANY,
    "backslashes": "a LIKE '" + "\\" * MANY,
    "names": '"' + '""' * MANY,
    "name": "a" * MANY,
    "function": "a" * MANY + "(",
    "digits": "a = " + "9" * MANY,
    "exponent": "a = 1e" + "9" * MANY,
    "position": "S_WITHIN(a, POINT(" + "9" * MANY + " 1))",
    "spaces": " " * MANY,
    "spaces inside": "S_WITHIN(a, POINT" + " " * MANY + "(1" + " " * MANY + "2" + " " * MANY,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("limits", [Limits(), Limits(10**7), Limits(10**7, 10**9)], ids=["usual", "long", "deep"])
def test_hostile_text_is_refused_in_few_words(text: str, limits: Limits) -> None:
    with pytest.raises(InvalidFilter) as caught:
        expression_from_text(text, limits)
    assert len(caught.value.description) < 700


def test_limits_are_exact() -> None:
    text = "(((a = 1)))"
    assert expression_from_text(text, Limits(length=11, depth=2))
    for limits in (Limits(length=10), Limits(depth=1)):
        with pytest.raises(InvalidFilter):
            expression_from_text(text, limits)


def test_a_text_at_the_limits_is_read_and_its_json_and_text_too() -> None:
    limits = Limits(depth=DEPTH_MAX)
    for text in ("NOT " * DEPTH_MAX + "TRUE", "a = " + "(1 + " * (DEPTH_MAX - 1) + "1" + ")" * (DEPTH_MAX - 1)):
        expression = expression_from_text(text, limits)
        assert expression_from_json(expression_to_json(expression), limits) == expression
        assert expression_from_text(expression_to_text(expression), limits) == expression
        with pytest.raises(InvalidFilter):
            expression_from_text(text, Limits(depth=DEPTH_MAX - 1))


def test_long_lists_and_many_conditions_are_read_up_to_the_limit() -> None:
    limits = Limits(list=1_000)
    assert expression_from_text(f"a IN ({','.join(['1'] * 1_000)})", limits)
    assert expression_from_text(" OR ".join(["a = 1"] * 1_000), limits)
    for text in (f"a IN ({','.join(['1'] * 1_001)})", " OR ".join(["a = 1"] * 1_001)):
        with pytest.raises(InvalidFilter, match="more than 1000"):
            expression_from_text(text, limits)
