"""The generator of benchmark catalogs."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import generate
import pystac
import pytest
from conditions import read_dataset
from generate import CLUSTER, DISTRIBUTIONS, LINKS_MAX, RARE_EVERY, Recipe, collection_sizes, plan_parts, write_catalog
from shapely.geometry import shape

ITEMS = 600


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small catalog, written once."""
    folder = tmp_path_factory.mktemp("generated")
    write_catalog(folder, Recipe(items=ITEMS))
    return folder


def read_items(folder: Path) -> list[dict[str, Any]]:
    """Return all items, as they stand in the files."""
    return [json.loads(path.read_bytes()) for path in folder.glob("collection-*/*/S2*.json")]


def test_it_has_the_items_it_promises(catalog: Path) -> None:
    dataset = read_dataset(catalog)
    counts = Counter(item["collection"] for item in read_items(catalog))
    assert counts == dataset.sizes
    assert sum(counts.values()) == ITEMS


def test_the_links_lead_to_all_items(catalog: Path) -> None:
    walked = pystac.Catalog.from_file(str(catalog / "catalog.json")).get_items(recursive=True)
    assert {item.id for item in walked} == {item["id"] for item in read_items(catalog)}


def test_items_have_about_nine_kilobytes(catalog: Path) -> None:
    sizes = [path.stat().st_size for path in catalog.glob("collection-*/*/S2*.json")]
    assert 8_000 < sum(sizes) / len(sizes) < 10_000


def test_items_have_fifteen_assets_and_forty_properties(catalog: Path) -> None:
    for item in read_items(catalog):
        hrefs = [asset["href"] for asset in item["assets"].values()]
        assert len(hrefs) == 15
        assert sum(href.startswith(f"./{item['id']}_") for href in hrefs) == 12
        assert len(item["properties"].keys() - {"start_datetime", "end_datetime"}) == 40


def test_some_items_have_an_interval(catalog: Path) -> None:
    intervals = [item["properties"] for item in read_items(catalog) if item["properties"]["datetime"] is None]
    assert 1 < len(intervals) < ITEMS / 30
    assert all(properties["start_datetime"] < properties["end_datetime"] for properties in intervals)


def test_geometries_are_valid_and_have_their_bbox(catalog: Path) -> None:
    for item in read_items(catalog):
        if item["geometry"]:
            geometry, (west, south, east, north) = shape(item["geometry"]), item["bbox"]
            expected = (west, south, east, north) if west <= east else (-180, south, 180, north)
            assert geometry.is_valid
            assert geometry.bounds == pytest.approx(expected, abs=1e-9)


def test_the_same_recipe_gives_the_same_bytes(catalog: Path, tmp_path: Path) -> None:
    write_catalog(tmp_path, Recipe(items=ITEMS), processes=2)
    paths = sorted(path.relative_to(catalog) for path in catalog.rglob("*.json"))
    assert paths == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.json"))
    assert all((catalog / path).read_bytes() == (tmp_path / path).read_bytes() for path in paths)


def test_another_seed_gives_other_items(catalog: Path, tmp_path: Path) -> None:
    write_catalog(tmp_path, Recipe(items=20, seed=2))
    assert not {item["id"] for item in read_items(tmp_path)} & {item["id"] for item in read_items(catalog)}


def test_clustered_items_lie_in_one_square_and_the_last_month(tmp_path: Path) -> None:
    write_catalog(tmp_path, Recipe(items=400, distribution="clustered"))
    dataset = read_dataset(tmp_path)
    west, south, east, north = CLUSTER
    last_month = dataset.end - 31 * 86_400
    close = [one for one in dataset.samples if west <= one.longitude <= east and south <= one.latitude <= north]
    assert 0.88 < len([one for one in close if one.time >= last_month]) / len(dataset.samples) < 0.95


def test_items_of_an_instant_have_one_time(tmp_path: Path) -> None:
    write_catalog(tmp_path, Recipe(items=300, distribution="instant"))
    properties = [item["properties"] for item in read_items(tmp_path)]
    assert len({one["datetime"] or one["start_datetime"] for one in properties}) == 1


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("items", [7, 100_000, 1_000_000])
def test_no_catalog_has_too_many_links(distribution: str, items: int) -> None:
    recipe = Recipe(items=items, distribution=distribution)
    parts = list(plan_parts(recipe))
    assert sum(part.items for part in parts) == items
    assert max(part.items for part in parts) <= LINKS_MAX
    assert len({(part.collection, part.name) for part in parts}) == len(parts)


def test_sizes_of_collections_are_very_unequal() -> None:
    sizes = list(collection_sizes(Recipe(items=100_000)).values())
    assert sum(sizes) == 100_000
    assert sizes[-1] == 100
    assert all(larger > 2 * smaller for larger, smaller in pairwise(sizes))


def test_rare_values_are_one_in_ten_thousand(catalog: Path) -> None:
    properties = [item["properties"] for item in read_items(catalog)]
    assert sum(one["quality:status"] == "recalled" for one in properties) == 1
    assert len({one["archive:batch"] for one in properties}) == min(ITEMS, RARE_EVERY)


def test_the_command_writes_a_catalog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate.py", str(tmp_path / "made"), "--items", "10", "--collections", "2"]
    monkeypatch.setattr("sys.argv", arguments)
    generate.main()
    assert capsys.readouterr().out.startswith("10 items in ")
    assert len(read_items(tmp_path / "made")) == 10
