"""Filters in SQL: what is true, false and unknown of values of every kind, wherever the index keeps them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import SourceItem, evaluate, read_items
from random_stac import INSTANTS, NUMBERS, TEXTS
from searching import (
    RULES,
    Item,
    find_ids,
    find_page,
    identity_of,
    index_items,
    make_box,
    make_item,
    read_search,
    reading,
)
from stacserve.errors import InvalidFilter
from stacserve.store import open_store, properties
from stacserve.store.filters import SUPPORTED, glob_from_like
from stacserve.store.interface import Store
from stacserve.store.snapshot import Snapshot

P, Q, DAY, FLAG = ({"property": name} for name in ("p", "q", "day", "flag"))
SIGNS = ["=", "<>", "<", "<=", ">", ">="]
HARD_NUMBERS = [2**53 - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 2, -(2**63) + 1, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]
SCALARS: list[Any] = [
    *NUMBERS, *HARD_NUMBERS, *[text for text in TEXTS if text != "2024-06-01"], *INSTANTS, True, False,
    "2024-06-31T00:00:00Z", "2024-06-01T12:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
    "\u007f", "a ",
]  # fmt: skip
DAYS = ["2024-06-01", "2024-05-31", "1969-12-31", "0001-01-01", "9999-12-31", "2024-06-31"]
LITERALS: list[Any] = [
    *SCALARS,
    *[{"timestamp": text} for text in INSTANTS],
    *[{"date": text} for text in ("2024-06-01", "1969-12-31", "9999-12-31", "2023-12-31")],
]

Ids = set[str]
Served = tuple[Snapshot, list[SourceItem]]


def make_items() -> list[Item]:
    """Return items with one value each of a property of every kind, and some with two to compare."""
    values = [*SCALARS, None, [1], {"a": 1}]
    items = [make_item(f"p-{number}", p=value) for number, value in enumerate(values)]
    items += [make_item(f"day-{number}", day=day) for number, day in enumerate(DAYS)]
    some = [1, 1.0, 2, "a", "1", True, None, *INSTANTS[:2], "2024-06-01T13:00:00Z"]
    pairs = itertools.product(some, repeat=2)
    items += [make_item(f"pair-{number}", p=left, q=right) for number, (left, right) in enumerate(pairs)]
    items.append(make_item("nothing"))
    return items


@pytest.fixture(scope="module", params=[100, 2], ids="{} columns".format)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return the items in an index with columns for all or a few of their properties."""
    folder = tmp_path_factory.mktemp("filters")
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(properties, "COLUMNS_MAX", request.param)
            snapshot = stack.enter_context(reading(index_items(folder, make_items())))
        yield snapshot, read_items(folder / "catalog")


def check(served: Served, tree: Any) -> None:
    """Compare who a filter is true, false and unknown for with the oracle."""
    snapshot, items = served
    truth = {item.identity.id: evaluate(tree, item) for item in items}
    asked = {True: tree, False: {"op": "not", "args": [tree]}, None: {"op": "isNull", "args": [tree]}}
    for value, question in asked.items():
        wanted = {item_id for item_id, found in truth.items() if found is value}
        assert set(find_ids(snapshot, {"filter": question})) == wanted, (value, tree)


# --- Comparisons


@pytest.mark.parametrize("sign", SIGNS)
def test_a_property_compares_with_literals_of_its_kind(served: Served, sign: str) -> None:
    for literal in LITERALS:
        check(served, {"op": sign, "args": [P, literal]})


@pytest.mark.parametrize("sign", SIGNS)
def test_the_literal_may_come_first(served: Served, sign: str) -> None:
    for literal in LITERALS[::5]:
        check(served, {"op": sign, "args": [literal, P]})


@pytest.mark.parametrize("sign", SIGNS)
def test_two_properties_compare_where_they_are_of_one_kind(served: Served, sign: str) -> None:
    check(served, {"op": sign, "args": [P, Q]})


@pytest.mark.parametrize("sign", SIGNS)
def test_the_datetime_compares_as_time(served: Served, sign: str) -> None:
    for literal in [
        {"property": "datetime"},
        {"timestamp": "2024-06-01T02:00:00+02:00"},
        {"date": "2024-06-01"},
        "2024-06-01",
        5,
    ]:
        check(served, {"op": sign, "args": [{"property": "datetime"}, literal]})


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("literal", [literal for literal in LITERALS if isinstance(literal, dict)], ids=str)
def test_a_property_that_holds_dates_compares_as_days(served: Served, sign: str, literal: Any) -> None:
    check(served, {"op": sign, "args": [DAY, literal]})
    check(served, {"op": sign, "args": [literal, DAY]})


@pytest.mark.parametrize("sign", SIGNS)
def test_literals_compare_with_each_other(served: Served, sign: str) -> None:
    times = [{"date": "2024-06-01"}, {"date": "2024-06-02"}, {"timestamp": "2024-06-01T12:00:00Z"}]
    for left, right in [*itertools.product([1, 1.0, 2], repeat=2), *itertools.product(times, repeat=2), ("a", "b")]:
        check(served, {"op": sign, "args": [left, right]})


@pytest.mark.parametrize("bounds", [(0, 10), (10, 0), (0.1, 2**53 + 1), ("a", "b"), (0, "z"), (True, 5)])
def test_between_includes_both_ends(served: Served, bounds: tuple[Any, Any]) -> None:
    if not any(isinstance(bound, bool) for bound in bounds):
        check(served, {"op": "between", "args": [P, *bounds]})


def test_between_times(served: Served) -> None:
    for low, high in [
        ({"date": "2024-06-01"}, {"date": "2024-06-01"}),
        ({"timestamp": INSTANTS[0]}, {"date": DAYS[0]}),
    ]:
        check(served, {"op": "between", "args": [P, low, high]})
        check(served, {"op": "between", "args": [DAY, low, high]})


# --- Lists

LISTS: list[list[Any]] = [
    [],
    [1],
    [1, 2],
    ["a", "b"],
    [True],
    [True, False],
    [1, "a", True],
    ["a", 1, {"timestamp": INSTANTS[0]}],
    [0.1, 0.30000000000000004, 2**53 + 1, 2**63, 1e300, -0.0],
    [INSTANTS[1]],
    [INSTANTS[1], "a"],
    [{"date": "2024-06-01"}],
    [{"date": "2024-06-01"}, 1, "a"],
    ["2024-06-01", "1899-01-01"],
    [{"timestamp": INSTANTS[2]}, {"timestamp": "2024-06-01T12:00:00+00:00"}],
    TEXTS,
    NUMBERS,
]


@pytest.mark.parametrize("values", LISTS, ids=lambda values: str(values)[:30])
def test_in_is_equal_to_one_of_the_list(served: Served, values: list[Any]) -> None:
    check(served, {"op": "in", "args": [P, values]})
    check(served, {"op": "in", "args": [{"property": "id"}, values]})


@pytest.mark.parametrize("name", ["day", "datetime"])
def test_dates_are_found_in_lists_as_well(served: Served, name: str) -> None:
    for values in [{"date": "2024-06-01"}], ["2024-06-01"], [{"date": "1969-12-31"}, {"date": "2024-05-31"}]:
        check(served, {"op": "in", "args": [{"property": name}, values]})


@pytest.mark.parametrize(
    "values", [range(9_999), [f"a{number}" for number in range(9_999)], [0.5 + n for n in range(99)]]
)
def test_a_list_may_be_long(served: Served, values: Iterable[Any]) -> None:
    snapshot, items = served
    long = list(values)
    wanted = {
        item.identity.id for item in items if evaluate({"op": "in", "args": [P, [*long[:60], *long[-60:]]]}, item)
    }
    assert set(find_ids(snapshot, {"filter": {"op": "in", "args": [P, long]}})) == wanted


# --- Logic

UNKNOWN = {"op": "=", "args": [{"property": "nobody has it"}, 1]}
TRUTH: dict[bool | None, Any] = {True: True, False: False, None: UNKNOWN}


@pytest.mark.parametrize("op", ["and", "or"])
@pytest.mark.parametrize(("left", "right"), list(itertools.product(TRUTH, repeat=2)))
def test_logic_has_three_values(served: Served, op: str, left: bool | None, right: bool | None) -> None:
    check(served, {"op": op, "args": [TRUTH[left], TRUTH[right]]})
    check(served, {"op": op, "args": [{"op": "not", "args": [TRUTH[left]]}, TRUTH[right], {"op": "=", "args": [P, 1]}]})


@pytest.mark.parametrize("truth", TRUTH)
def test_a_constant_is_a_filter(served: Served, truth: bool | None) -> None:
    check(served, TRUTH[truth])


@pytest.mark.parametrize("name", ["p", "q", "day", "nobody has it", "id", "collection", "datetime", "geometry"])
def test_null_is_what_an_item_does_not_have(served: Served, name: str) -> None:
    snapshot, items = served
    is_null = {"op": "isNull", "args": [{"property": name}]}
    wanted = {item.identity.id for item in items if evaluate(is_null, item)}
    assert set(find_ids(snapshot, {"filter": is_null})) == wanted
    assert (
        set(find_ids(snapshot, {"filter": {"op": "not", "args": [is_null]}}))
        == {item.identity.id for item in items} - wanted
    )
    assert find_ids(snapshot, {"filter": {"op": "isNull", "args": [is_null]}}) == []


@pytest.mark.parametrize("value", [1, "a", True, {"timestamp": INSTANTS[0]}, {"date": "2024-06-01"}])
def test_a_literal_is_not_null(served: Served, value: Any) -> None:
    assert find_ids(served[0], {"filter": {"op": "isNull", "args": [value]}}) == []


# --- LIKE

PIECES = st.sampled_from(
    ["%", "_", "\\", "[", "]", "*", "?", "^", "-", "a", "A", "ä", "😀", "\n", "[a-z]", "\\%", "\\_"]
)
PATTERNS = st.lists(PIECES | st.characters(exclude_categories=["Cs", "Cn"], exclude_characters="\0"), max_size=6)


def regex_from_like(pattern: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    return re.compile("".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in parts), re.DOTALL)


@settings(max_examples=400, deadline=None)
@given(pattern=PATTERNS.map("".join), text=PATTERNS.map("".join), data=st.data())
def test_like_matches_what_a_regular_expression_does(pattern: str, text: str, data: st.DataObject) -> None:
    texts = [text, re.sub(r"\\(.)|[%_]", lambda found: found.group(1) or "x", pattern, flags=re.DOTALL), pattern]
    connection = sqlite3.connect(":memory:")
    for candidate in texts:
        (found,) = connection.execute("SELECT ? GLOB ?", (candidate, glob_from_like(pattern))).fetchone()
        assert bool(found) == bool(regex_from_like(pattern).fullmatch(candidate))
    connection.close()


@pytest.mark.parametrize(
    "pattern", ["%", "a%", "A", "_", "", "%\\\\%", "100\\%", "_%_", "2024%", "stra_e", "%\n%", "[a]"]
)
@pytest.mark.parametrize("name", ["p", "day", "id", "collection", "nobody has it"])
def test_like_reads_texts_only(served: Served, pattern: str, name: str) -> None:
    check(served, {"op": "like", "args": [{"property": name}, pattern]})


def test_like_reads_literals_and_no_other_kind(served: Served) -> None:
    assert len(find_ids(served[0], {"filter": {"op": "like", "args": ["abc", "a%"]}})) == len(served[1])
    assert find_ids(served[0], {"filter": {"op": "like", "args": ["Abc", "a%"]}}) == []
    for name in ("datetime", "geometry"):
        assert find_ids(served[0], {"filter": {"op": "like", "args": [{"property": name}, "%"]}}) == []


def test_a_pattern_full_of_wildcards_is_no_burden(served: Served) -> None:
    assert find_ids(served[0], {"filter": {"op": "like", "args": [P, "%" * 10_000]}})
    assert find_ids(served[0], {"filter": {"op": "like", "args": [P, "%a%b" * 2_000]}}) == []


# --- Names

NAMES = [
    "Name", "name", "NAME", 'quo"ted', "it's", "a.b", "a b", "p1_number", "rank", "ordered", "items.key", "key", "🌍",
    "e\u0301", "é", "x'); DROP TABLE items; --", "%(name)s", ":name", "?", "$.a", "[0]", "back\\slash", "f0", "low",
    "label", "properties", "a" * 500, "new\nline", "end_datetime", "eo:cloud_cover", "Straße", "strasse",
]  # fmt: skip


@pytest.mark.parametrize("columns", [100, 5])
def test_every_name_is_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(properties, "COLUMNS_MAX", columns)
    named: list[dict[str, Any]] = [{name: number} for number, name in enumerate(NAMES)]
    items = [make_item(f"{number}", **own) for number, own in enumerate(named)]
    with reading(index_items(tmp_path, items)) as snapshot:
        for number, name in enumerate(NAMES):
            for tree in [
                {"op": "=", "args": [{"property": name}, number]},
                {"op": ">=", "args": [{"property": name}, 0]},
                {"op": "not", "args": [{"op": "isNull", "args": [{"property": name}]}]},
            ]:
                assert find_ids(snapshot, {"filter": tree}) == [f"{number}"]


def test_id_collection_and_datetime_are_those_of_the_item(tmp_path: Path) -> None:
    items = [
        make_item("a", id="x", collection="c"),
        make_item("b", collection=None, **{"collection ": 1}),
    ]
    items[0]["properties"] |= {"id": "b", "collection": "d", "geometry": "text"}
    with reading(index_items(tmp_path, items)) as snapshot:
        assert find_ids(snapshot, {"filter": {"op": "=", "args": [{"property": "id"}, "b"]}}) == ["b"]
        assert find_ids(snapshot, {"filter": {"op": "=", "args": [{"property": "collection"}, "c"]}}) == ["a"]
        assert find_ids(snapshot, {"filter": {"op": "isNull", "args": [{"property": "collection"}]}}) == ["b"]
        assert find_ids(snapshot, {"filter": {"op": "isNull", "args": [{"property": "geometry"}]}}) == []


# --- Space


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    geometries = {"in": make_box(1, 1, 2, 2), "edge": make_box(5, 5, 6, 6), "out": make_box(7, 7, 8, 8), "none": None}
    items = [make_item(name, geometry=geometry) for name, geometry in geometries.items()]
    with reading(index_items(tmp_path_factory.mktemp("places"), items)) as snapshot:
        yield snapshot


INSIDE = {"op": "s_intersects", "args": [{"property": "geometry"}, make_box(0, 0, 5, 5)]}
IS_OUT = {"op": "=", "args": [{"property": "id"}, "out"]}


@pytest.mark.parametrize(
    ("tree", "found"),
    [
        (INSIDE, {"in", "edge"}),
        ({"op": "s_intersects", "args": INSIDE["args"][::-1]}, {"in", "edge"}),
        ({"op": "not", "args": [INSIDE]}, {"out"}),
        ({"op": "isNull", "args": [INSIDE]}, {"none"}),
        ({"op": "or", "args": [INSIDE, IS_OUT]}, {"in", "edge", "out"}),
        ({"op": "or", "args": [INSIDE, {"op": "isNull", "args": [{"property": "geometry"}]}]}, {"in", "edge", "none"}),
        ({"op": "and", "args": [{"op": "not", "args": [INSIDE]}, IS_OUT]}, {"out"}),
        ({"op": "and", "args": [INSIDE, {"op": "not", "args": [INSIDE]}]}, set()),
        ({"op": "s_intersects", "args": [make_box(0, 0, 1, 1), make_box(1, 1, 2, 2)]}, {"in", "edge", "out", "none"}),
        ({"op": "s_intersects", "args": [make_box(0, 0, 1, 1), make_box(2, 2, 3, 3)]}, set()),
        ({"op": "s_intersects", "args": [{"property": "geometry"}, {"property": "geometry"}]}, {"in", "edge", "out"}),
        ({"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [170, -90, 1, 90]}]}, {"in"}),
    ],
)
def test_a_spatial_predicate_stands_anywhere(places: Snapshot, tree: Any, found: Ids) -> None:
    assert set(find_ids(places, {"filter": tree})) == found


# --- What is refused

WRONG: list[Any] = [
    {"op": "s_within", "args": [{"property": "geometry"}, make_box(0, 0, 5, 5)]},
    {"op": "t_after", "args": [{"property": "datetime"}, {"date": "2024-06-01"}]},
    {"op": "a_contains", "args": [P, [1]]},
    {"op": "=", "args": [{"op": "+", "args": [P, 1]}, 2]},
    {"op": "=", "args": [{"op": "casei", "args": [P]}, "a"]},
    {"op": "like", "args": [P, {"op": "casei", "args": ["a"]}]},
    {"op": "like", "args": [{"op": "accenti", "args": [P]}, "a"]},
    {"op": "in", "args": [P, [{"op": "casei", "args": ["a"]}]]},
    {"op": "in", "args": [P, [P]]},
    {"op": "between", "args": [{"op": "*", "args": [P, 1]}, 1, 2]},
    {"op": "isNull", "args": [{"op": "casei", "args": [P]}]},
    {"op": "isNull", "args": [{"interval": ["2024-06-01", ".."]}]},
    {"op": "s_intersects", "args": [P, make_box(0, 0, 5, 5)]},
]
WRAPPINGS: list[Any] = [
    lambda tree: tree,
    lambda tree: {"op": "not", "args": [tree]},
    lambda tree: {"op": "or", "args": [True, {"op": "and", "args": [False, tree]}]},
    lambda tree: {"op": "and", "args": [IS_OUT, {"op": "isNull", "args": [tree]}]},
]


@pytest.mark.parametrize("wrap", WRAPPINGS)
@pytest.mark.parametrize("tree", WRONG, ids=lambda tree: tree["op"])
def test_what_cannot_be_searched_for_is_refused_anywhere(places: Snapshot, tree: Any, wrap: Any) -> None:
    with pytest.raises(InvalidFilter):
        find_ids(places, {"filter": wrap(tree)})


def test_only_what_cql2_knows_is_supported() -> None:
    assert {"and", "or", "not", "between", "in", "like", "isNull", "s_intersects", *SIGNS} == SUPPORTED


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800"])
def test_a_text_that_no_item_can_hold_is_refused(places: Snapshot, text: str) -> None:
    with pytest.raises(InvalidFilter):
        find_ids(places, {"filter": {"op": "like", "args": [P, text]}})
    with pytest.raises(InvalidFilter):
        find_ids(places, {"filter": {"op": "=", "args": [{"property": text}, 1]}})


STRICT = dataclasses.replace(RULES, unknown_properties="error")


@pytest.mark.parametrize("name", ["p", "q", "day", "id", "collection", "datetime", "geometry"])
def test_a_property_that_items_have_is_known(served: Served, name: str) -> None:
    for tree in [
        {"op": "isNull", "args": [{"property": name}]},
        {"op": "or", "args": [True, {"op": "=", "args": [1, P]}]},
    ]:
        assert find_page(served[0], {"filter": tree}, STRICT) == find_page(served[0], {"filter": tree})


def test_a_property_of_lists_is_known(tmp_path: Path) -> None:
    tree = {"op": "isNull", "args": [{"property": "list"}]}
    with reading(index_items(tmp_path, [make_item("a", list=[1]), make_item("b", list=None)])) as snapshot:
        assert [identity_of(one).id for one in find_page(snapshot, {"filter": tree}, STRICT).documents] == ["b"]


@pytest.mark.parametrize("wrap", WRAPPINGS)
def test_a_property_that_no_item_has_can_be_an_error(served: Served, wrap: Any) -> None:
    for tree in [{"op": "=", "args": [1, {"property": "dya"}]}, {"op": "in", "args": [{"property": "dya"}, [1]]}]:
        with pytest.raises(InvalidFilter, match="no item has a property 'dya'"):
            find_page(served[0], {"filter": wrap(tree)}, STRICT)


def test_the_nearest_name_is_told(served: Served) -> None:
    with pytest.raises(InvalidFilter, match="Did you mean 'datetime'"):
        find_page(served[0], {"filter": {"op": "=", "args": [1, {"property": "date_time"}]}}, STRICT)


# --- How much is too much


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    items = [make_item(f"{number}", n=number, name=f"name {number}") for number in range(3)]
    store = open_store(index_items(tmp_path_factory.mktemp("store"), items))
    yield store
    asyncio.run(store.close())


def ask(store: Store, tree: Any) -> list[str] | None:
    """Return who is found, or None if the filter is refused; it must be the one or the other."""
    try:
        search = read_search({"filter": tree})
        return [identity_of(document).id for document in asyncio.run(store.search_items(search)).documents]
    except InvalidFilter:
        return None


N, NAME = {"property": "n"}, {"property": "name"}
IS_ONE = {"op": "=", "args": [N, 1]}
NESTINGS: dict[str, Any] = {
    "not": lambda tree: {"op": "not", "args": [{"op": "not", "args": [tree]}]},
    "left": lambda tree: {"op": "and", "args": [{"op": "or", "args": [tree, False]}, True]},
    "right": lambda tree: {"op": "and", "args": [True, {"op": "or", "args": [False, tree]}]},
    "both": lambda tree: {"op": "not", "args": [{"op": "or", "args": [False, {"op": "not", "args": [tree]}]}]},
    "null": lambda tree: {
        "op": "and",
        "args": [tree, {"op": "not", "args": [{"op": "isNull", "args": [{"op": "isNull", "args": [tree]}]}]}],
    },
}


@pytest.mark.parametrize("name", NESTINGS)
def test_deep_filters_are_answered_or_refused(store: Store, name: str) -> None:
    tree: Any = IS_ONE
    answers = []
    for _ in range(40 if name != "null" else 6):
        tree = NESTINGS[name](tree)
        answers.append(ask(store, tree))
    assert answers[:5] == [["1"]] * 5
    refused = answers.index(None) if None in answers else len(answers)
    assert answers == [["1"]] * refused + [None] * (len(answers) - refused)


@pytest.mark.parametrize("op", ["and", "or"])
@pytest.mark.parametrize(
    "term",
    [
        {"op": "<>", "args": [N, 5]},
        {"op": "in", "args": [NAME, ["name 0", "name 1", "name 2"]]},
        {"op": "not", "args": [{"op": "like", "args": [NAME, "x%"]}]},
        {"op": "s_intersects", "args": [{"property": "geometry"}, {"bbox": [-1, -1, 1, 1]}]},
        {"op": "not", "args": [{"op": "between", "args": [{"property": "datetime"}, "1999-01-01", "2000-01-01"]}]},
    ],
    ids=lambda term: term["op"],
)
def test_wide_filters_are_answered_or_refused(store: Store, op: str, term: Any) -> None:
    assert ask(store, {"op": op, "args": [term] * 100}) == ["0", "1", "2"]
    assert ask(store, {"op": op, "args": [term] * 400}) in (["0", "1", "2"], None)
    assert ask(store, {"op": op, "args": [term] * 9_999}) is None


def test_a_wide_and_deep_filter_is_answered_or_refused(store: Store) -> None:
    tree: Any = IS_ONE
    for _ in range(20):
        tree = {"op": "and", "args": [*[{"op": "<>", "args": [N, 0]}] * 19, {"op": "or", "args": [tree, IS_ONE]}]}
    assert ask(store, tree) in (["1"], None)


@pytest.mark.parametrize("pattern", ["*", "[", "%b", "😀", "_", "a"])
@pytest.mark.parametrize("length", [1_000, 12_500, 100_000])
def test_long_patterns_are_answered_or_refused(store: Store, pattern: str, length: int) -> None:
    assert ask(store, {"op": "like", "args": [NAME, pattern * length]}) in ([], None)


def test_long_texts_are_only_texts(store: Store) -> None:
    assert ask(store, {"op": "<>", "args": [NAME, "%" * 500_000]}) == ["0", "1", "2"]
    assert ask(store, {"op": "=", "args": [{"property": "x" * 100_000}, 1]}) == []


@pytest.mark.parametrize("number", [2**63, -(2**63), 2**64, 10**300, -(10**308), 1e308, 5e-324, -0.0])
def test_any_number_may_be_compared(store: Store, number: float) -> None:
    assert ask(store, {"op": "=", "args": [N, number]}) == (["0"] if number == 0 else [])
    assert ask(store, {"op": "in", "args": [N, [number, 1]]}) == (["0", "1"] if number == 0 else ["1"])


@pytest.mark.parametrize("number", [float("inf"), float("nan"), 10**400])
def test_what_is_no_finite_number_is_refused(store: Store, number: float) -> None:
    assert ask(store, {"op": "=", "args": [N, number]}) is None
