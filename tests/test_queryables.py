"""Queryables tell what the items have: types, ranges and the values that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from searching import Item, find_ids, index_items, make_item, reading
from stacserve.store.queryables import describe_properties

ALWAYS = {"id", "collection", "geometry", "datetime"}
NOON = "2024-06-01T12:00:00Z"


def describe(folder: Path, items: list[Item], collection_id: str | None = None) -> dict[str, Any]:
    with reading(index_items(folder, items)) as snapshot:
        return describe_properties(snapshot, collection_id)


def describe_values(folder: Path, values: list[Any]) -> Any:
    """Return the schema of a property with these values."""
    found = describe(folder, [make_item(f"{number}", p=value) for number, value in enumerate(values)])
    schema = found.pop("p", None)
    assert found.keys() == ALWAYS
    return schema and {name: value for name, value in schema.items() if name != "title"}


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([1], {"type": "integer", "minimum": 1, "maximum": 1}),
        ([3, None, 1, 2], {"type": "integer", "minimum": 1, "maximum": 3}),
        ([0.5, -1.5, 2.0], {"type": "number", "minimum": -1.5, "maximum": 2.0}),
        ([1, 0.5], {"type": "number", "minimum": 0.5, "maximum": 1}),
        ([2**53 + 1, 1], {"type": "integer", "minimum": 1, "maximum": 2**53 + 1}),
        ([2**63 - 1, 1 - 2**63], {"type": "integer", "minimum": 1 - 2**63, "maximum": 2**63 - 1}),
        ([10**20, 1], {"type": "number", "minimum": 1, "maximum": 1e20}),
        (["b", "a", "b", None], {"type": "string", "enum": ["a", "b"]}),
        ([""], {"type": "string", "enum": [""]}),
        (
            [f"{number:02}" for number in range(19)],
            {"type": "string", "enum": [f"{number:02}" for number in range(19)]},
        ),
        ([f"{number:02}" for number in range(20)], {"type": "string"}),
        ([f"{number:02}" for number in range(99)], {"type": "string"}),
        (["a", "b" * 101], {"type": "string"}),
        ([NOON, "2023-01-01T00:00:00.5+01:00"], {"type": "string", "format": "date-time"}),
        ([NOON, "soon"], {"type": "string", "enum": [NOON, "soon"]}),
        (["2024-06-01"], {"type": "string", "enum": ["2024-06-01"]}),
        ([True, False, None], {"type": "boolean"}),
        ([1, "a"], {"type": ["number", "string"]}),
        ([1, "a", True], {"type": ["number", "string", "boolean"]}),
        ([True, NOON], {"type": ["string", "boolean"]}),
        ([None], None),
        ([[1], {"a": 1}], None),
        ([[1], 5], {"type": "integer", "minimum": 5, "maximum": 5}),
    ],
)
def test_a_schema_says_what_values_there_are(tmp_path: Path, values: list[Any], schema: Any) -> None:
    assert describe_values(tmp_path, values) == schema


def test_what_every_item_has_is_always_there(tmp_path: Path) -> None:
    found = describe(tmp_path, [])
    assert found.keys() == ALWAYS
    assert found["datetime"] == {"title": "Date and time", "type": "string", "format": "date-time"}
    assert all(schema["title"] for schema in found.values())


def test_properties_named_like_what_every_item_has_change_nothing(tmp_path: Path) -> None:
    item = make_item("a")
    item["properties"] |= {"id": 5, "collection": True, "geometry": "x"}
    assert describe(tmp_path, [item]) == describe(tmp_path / "empty", [])


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("gsd", "Ground sample distance (m)"),
        ("eo:cloud_cover", "Cloud cover (%)"),
        ("view:off_nadir", "View: off nadir"),
        ("platform", "Platform"),
        ("Größe (m)", "Größe (m)"),
        ("éa_b", "Éa b"),
        ("_", ""),
        ('"; DROP TABLE items; --', '"; DROP TABLE items; --'),
    ],
)
def test_a_title_reads_like_words(tmp_path: Path, name: str, title: str) -> None:
    properties: dict[str, Any] = {name: 1}
    assert describe(tmp_path, [make_item("a", **properties)])[name]["title"] == title


def test_each_collection_has_queryables_of_its_own(tmp_path: Path) -> None:
    items = [
        make_item("a", collection="a", p=1, q="a"),
        make_item("b", collection="b", p="x", q="b"),
        make_item("c", collection=None, p=True, r=1.5),
    ]
    index = index_items(tmp_path, items)
    with reading(index) as snapshot:
        first, second, both, none = (describe_properties(snapshot, name) for name in ("a", "b", None, "nobody"))
    assert first["p"] == {"title": "P", "type": "integer", "minimum": 1, "maximum": 1}
    assert (first["q"]["enum"], second["q"]["enum"], both["q"]["enum"]) == (["a"], ["b"], ["a", "b"])
    assert second["p"] == {"title": "P", "type": "string", "enum": ["x"]}
    assert both["p"]["type"] == ["number", "string", "boolean"]
    assert first.keys() == second.keys() == ALWAYS | {"p", "q"} and both.keys() == ALWAYS | {"p", "q", "r"}
    assert none.keys() == ALWAYS


def test_queryables_follow_the_items(tmp_path: Path) -> None:
    describe(tmp_path, [make_item("a", p=1, q="x"), make_item("b", p=9)])
    assert describe(tmp_path, [make_item("a", p=1), make_item("b", p="text")])["p"]["type"] == ["number", "string"]
    assert "q" not in describe(tmp_path, [make_item("a", p=2)])
    assert describe(tmp_path, []).keys() == ALWAYS


def test_every_value_that_is_listed_finds_its_items(tmp_path: Path) -> None:
    values = ["", "it's", 'say "x"', "50%", "ä", "😀", "back\\slash", "new\nline", "a"]
    index = index_items(tmp_path, [make_item(f"{number}", p=value) for number, value in enumerate(values)])
    with reading(index) as snapshot:
        listed = describe_properties(snapshot, None)["p"]["enum"]
        assert listed == sorted(values)
        for value in listed:
            found = find_ids(snapshot, {"filter": {"op": "=", "args": [{"property": "p"}, value]}})
            assert found == [f"{values.index(value)}"]
