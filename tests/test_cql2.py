from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely
from hypothesis import given

from random_cql2 import FUNCTIONS, PATIENT, expressions
from stacserve.cql2 import (
    DEPTH_MAX,
    MISTAKEN,
    SIGNATURES,
    Expression,
    GeometryLiteral,
    Instant,
    IntervalLiteral,
    Limits,
    Operation,
    Property,
    expression_from_json,
    expression_to_json,
    find_fault,
)
from stacserve.errors import InvalidFilter

CASES = Path(__file__).parent / "cql2"
A = {"property": "a"}
POINT = {"type": "Point", "coordinates": [7, 46]}


def read_lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (CASES / name).read_text("utf-8").splitlines()]


def read_argument(value: Any) -> Expression:
    """Read a value as the second operand of a condition that takes anything."""
    expression = expression_from_json({"op": "isNull", "args": [value]}, FUNCTIONS)
    assert isinstance(expression, Operation)
    return expression.args[0]


def read_geometry(value: Any) -> GeometryLiteral:
    geometry = read_argument(value)
    assert isinstance(geometry, GeometryLiteral)
    return geometry


# ---- reading and writing ----


@pytest.mark.parametrize("value", [value for _, _, value in read_lines("expressions.jsonl")], ids=json.dumps)
def test_json_comes_back_as_it_was(value: Any) -> None:
    written = expression_to_json(expression_from_json(value, FUNCTIONS))
    assert json.dumps(written) == json.dumps(value)


@given(expressions)
@PATIENT
def test_any_tree_survives_json(expression: Expression) -> None:
    written = json.loads(json.dumps(expression_to_json(expression)))
    assert expression_from_json(written, FUNCTIONS) == expression


def test_a_filter_becomes_a_tree_of_plain_nodes() -> None:
    value = {
        "op": "and",
        "args": [
            {"op": "<", "args": [{"property": "eo:cloud_cover"}, 10]},
            {"op": "in", "args": [{"property": "platform"}, ["a", "b"]]},
            {"op": "t_during", "args": [{"property": "datetime"}, {"interval": ["..", {"property": "end"}]}]},
        ],
    }
    assert expression_from_json(value) == Operation(
        "and",
        (
            Operation("<", (Property("eo:cloud_cover"), 10)),
            Operation("in", (Property("platform"), ("a", "b"))),
            Operation("t_during", (Property("datetime"), IntervalLiteral(None, Property("end")))),
        ),
    )


def test_a_date_is_a_day_and_a_timestamp_an_instant() -> None:
    day, moment = read_argument({"date": "1970-01-02"}), read_argument({"timestamp": "1970-01-01T00:00:01.5+00:00"})
    assert day == Instant("1970-01-02", 86_400_000_000, 2 * 86_400_000_000 - 1) and day.is_date
    assert moment == Instant("1970-01-01T00:00:01.5+00:00", 1_500_000, 1_500_000) and not moment.is_date


def test_ends_of_an_interval_may_be_written_as_literals() -> None:
    assert read_argument({"interval": [{"date": "2024-06-01"}, ".."]}) == read_argument(
        {"interval": ["2024-06-01", ".."]}
    )


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (5, 5),
        (5.0, 5.0),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, float(2**63)),
        (-(10**30), -1e30),
        (True, True),
    ],
)
def test_numbers_keep_their_type_within_64_bits(written: Any, read: Any) -> None:
    expression = read_argument(written)
    assert (expression, type(expression)) == (read, type(read))


@pytest.mark.parametrize("name", ["AND", "S_Intersects", "t_finishedby", "ISNULL", "a_containedby", "CaseI"])
def test_operators_are_known_in_any_case(name: str) -> None:
    official = next(op for op in SIGNATURES if op.lower() == name.lower())
    example = expression_to_json(Operation(official, SIGNATURES[official].example))
    assert read_argument({**example, "op": name}) == read_argument(example)


def test_the_prefix_of_properties_is_dropped_and_comes_back_where_it_is_needed() -> None:
    assert read_argument({"property": "properties.eo:cloud_cover"}) == Property("eo:cloud_cover")
    name = {"property": "properties.properties.a"}
    assert read_argument(name) == Property("properties.a")
    assert expression_to_json(Property("properties.a")) == name


@pytest.mark.parametrize("op", ["and", "or"])
def test_conditions_of_one_operator_are_merged(op: str) -> None:
    inner = {"op": op, "args": [True, {"op": "isNull", "args": [A]}]}
    merged = expression_from_json({"op": op.upper(), "args": [inner, False, inner]})
    assert isinstance(merged, Operation) and len(merged.args) == 5
    assert expression_from_json({"op": op, "args": [True]}) is True


@pytest.mark.parametrize(
    ("deviant", "official"),
    [
        ({"op": "between", "args": [A, [1, 2]]}, {"op": "between", "args": [A, 1, 2]}),
        ({"function": "casei", "args": [A]}, {"op": "casei", "args": [A]}),
        ({"function": {"name": "casei"}, "args": [A]}, {"op": "casei", "args": [A]}),
        ({"function": {"name": "Mean", "args": [A]}}, {"op": "Mean", "args": [A]}),
    ],
)
def test_forms_of_older_drafts_are_read(deviant: Any, official: Any) -> None:
    assert read_argument(deviant) == read_argument(official)


# ---- geometries ----


def test_a_bbox_is_a_box_and_its_heights_are_ignored() -> None:
    flat, tall = read_geometry({"bbox": [5, 46, 10, 48]}), read_geometry({"bbox": [5, 46, -9, 10, 48, 9]})
    assert flat.shape.equals(shapely.box(5, 46, 10, 48)) and tall.shape == flat.shape
    assert tall.source == {"bbox": [5, 46, -9, 10, 48, 9]}


def test_a_bbox_whose_west_lies_east_of_its_east_crosses_the_antimeridian() -> None:
    shape = read_geometry({"bbox": [170, -10, -170, 10]}).shape
    assert shape.geom_type == "MultiPolygon"
    assert shape.equals(shapely.MultiPolygon([shapely.box(170, -10, 180, 10), shapely.box(-180, -10, -170, 10)]))


def test_self_crossing_polygons_are_made_valid_and_heights_dropped() -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0, 5], [2, 2, 5], [2, 0, 5], [0, 2, 5], [0, 0, 5]]]}
    geometry = read_geometry(bow_tie)
    assert geometry.shape.is_valid and not geometry.shape.has_z and geometry.shape.area == pytest.approx(2)
    assert geometry.source == bow_tie


def test_a_geometry_beyond_180_degrees_is_split() -> None:
    shape = read_geometry({"type": "LineString", "coordinates": [[170, 0], [190, 0]]}).shape
    assert shape.bounds == (-180, 0, 180, 0) and shape.length == pytest.approx(20)


def test_only_what_makes_the_geometry_is_kept_of_geojson() -> None:
    collection = {"type": "GeometryCollection", "geometries": [{**POINT, "crs": 1}], "bbox": []}
    assert read_geometry(collection).source == {"type": "GeometryCollection", "geometries": [POINT]}


# ---- errors ----


def test_place_of_a_deep_mistake_is_cut() -> None:
    value: Any = {"op": "nonsense"}
    for _ in range(40):
        value = {"op": "not", "args": [value]}
    with pytest.raises(InvalidFilter) as caught:
        expression_from_json(value)
    assert caught.value.reason.startswith("at args[0].args[0]")
    assert 60 <= len(caught.value.reason.partition(": ")[0]) <= 70


@pytest.mark.parametrize(("value", "place", "words"), read_lines("refused_json.jsonl"), ids=json.dumps)
def test_wrong_json_is_refused_with_place_reason_and_example(value: Any, place: str, words: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        expression_from_json(value)
    reason, _, example = caught.value.reason.partition("; for example ")
    assert reason.startswith(f"at {place}: {words}")
    read_argument(json.loads(example))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_numbers_that_are_not_finite_are_refused(number: float) -> None:
    with pytest.raises(InvalidFilter, match=r"args\[1\]: a number is not finite"):
        expression_from_json({"op": "=", "args": [A, number]})


@pytest.mark.parametrize("op", SIGNATURES)
def test_every_operator_refuses_too_few_too_many_and_wrong_arguments(op: str) -> None:
    signature = SIGNATURES[op]
    assert find_fault(op, signature.example) is None
    assert find_fault(op, ()) is not None
    assert signature.many or find_fault(op, (*signature.example, 1)) is not None
    wrong = IntervalLiteral(None, None) if op != "isNull" and not op.startswith("t_") else ((),)
    fault = find_fault(op, (wrong, *signature.example[1:]))
    assert fault is not None and fault.argument == 0 and fault.example.op == op


@pytest.mark.parametrize(("mistake", "meant"), MISTAKEN.items())
def test_operators_of_other_languages_are_explained(mistake: str, meant: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        expression_from_json({"op": mistake, "args": [A, 1]})
    assert f"(write {meant!r}); for example" in caught.value.reason and f'"op": "{meant}"' in caught.value.reason


def test_functions_are_known_by_name_and_the_nearest_one_is_suggested() -> None:
    assert expression_from_json({"op": "Mean", "args": []}, FUNCTIONS) == Operation("Mean", ())
    with pytest.raises(InvalidFilter, match="did you mean 'Mean'"):
        expression_from_json({"op": "Meen", "args": []}, FUNCTIONS)


# ---- hostile input ----


def nest(times: int, value: Any, wrap: Callable[[Any], Any]) -> Any:
    for _ in range(times):
        value = wrap(value)
    return value


HOSTILE = {
    "not": nest(50_000, True, lambda v: {"op": "not", "args": [v]}),
    "and": nest(50_000, True, lambda v: {"op": "and", "args": [v, v]}),
    "functions": nest(50_000, A, lambda v: {"function": {"name": "casei", "args": [v]}}),
    "lists": {"op": "a_equals", "args": [A, nest(50_000, 1, lambda v: [v])]},
    "intervals": nest(50_000, "..", lambda v: {"interval": [v, v]}),
    "collections": {
        "op": "s_within",
        "args": [A, nest(50_000, POINT, lambda v: {"type": "GeometryCollection", "geometries": [v]})],
    },
    "coordinates": {"op": "s_within", "args": [A, {"type": "Polygon", "coordinates": nest(50_000, 1, lambda v: [v])}]},
    "type": {"op": "s_within", "args": [A, {"type": nest(50_000, 1, lambda v: [v])}]},
    "bbox": {"op": "s_within", "args": [A, {"bbox": nest(50_000, 1, lambda v: [v])}]},
    "date": {"op": "=", "args": [A, {"date": nest(50_000, 1, lambda v: [v])}]},
    "property": {"op": "=", "args": [nest(50_000, "a", lambda v: {"property": v}), 1]},
    "name": {"op": "x" * 1_000_000, "args": []},
    "members": {str(number): 1 for number in range(100_000)},
    "one list": {"op": "in", "args": [A, [1] * 10_001]},
    "many lists": {"op": "and", "args": [{"op": "in", "args": [A, [1] * 10_000]}] * 6},
    "points": {"op": "s_within", "args": [A, {"type": "MultiPoint", "coordinates": [[1, 2]] * 50_001}]},
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("limits", [Limits(), Limits(depth=10**9)], ids=["as usual", "no depth"])
def test_hostile_json_is_refused_in_few_words(value: Any, limits: Limits) -> None:
    with pytest.raises(InvalidFilter) as caught:
        expression_from_json(value, limits)
    assert len(caught.value.description) < 700


def test_limits_are_exact() -> None:
    deep = nest(8, True, lambda v: {"op": "not", "args": [v]})
    assert expression_from_json(deep, Limits(depth=8, length=9)) is not None
    for limits in (Limits(depth=7), Limits(length=8)):
        with pytest.raises(InvalidFilter):
            expression_from_json(deep, limits)
    listed = {"op": "in", "args": [A, [1, 2, 3]]}
    assert expression_from_json(listed, Limits(list=3)) is not None
    with pytest.raises(InvalidFilter, match=r"args\[1\]: a list has more than 2 values"):
        expression_from_json(listed, Limits(list=2))


def test_the_deepest_tree_can_be_written_compared_and_pickled() -> None:
    deep = expression_from_json(nest(DEPTH_MAX, True, lambda v: {"op": "not", "args": [v]}), Limits(depth=DEPTH_MAX))
    assert expression_from_json(expression_to_json(deep), Limits(depth=DEPTH_MAX)) == deep
    assert pickle.loads(pickle.dumps(deep)) == deep
