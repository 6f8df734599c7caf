"""The sample catalogs: valid STAC, complete, and what their script writes."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pystac
import pytest
import shapely
from pystac import STACObjectType
from pystac.validation.stac_validator import JsonSchemaSTACValidator

SAMPLES = Path(__file__).parent.parent / "sample_catalogs"
ROOTS = {"alps": "catalog.json", "pacific": "catalog.json", "drone": "collection.json"}
KINDS = {"Feature": STACObjectType.ITEM, "Collection": STACObjectType.COLLECTION, "Catalog": STACObjectType.CATALOG}
MEGABYTE = 1_000_000

Document = dict[str, Any]
Tree = dict[Path, Document]


def read_tree(path: Path) -> Tree:
    """Return a document and all that its links to children and items lead to, by path."""
    document = json.loads(path.read_bytes())
    tree = {path: document}
    for link in document["links"]:
        if link["rel"] in ("child", "item"):
            tree |= read_tree(target_of(path, link["href"]))
    return tree


def target_of(path: Path, href: str) -> Path:
    """Return the file that a relative href in a document means."""
    return Path(os.path.normpath(path.parent / unquote(href)))


TREES = {name: read_tree(SAMPLES / name / root) for name, root in ROOTS.items()}


def items_of(tree: Tree) -> list[Document]:
    """Return the items of a tree."""
    return [document for document in tree.values() if document["type"] == "Feature"]


def local_assets(tree: Tree) -> Iterator[tuple[Path, Document]]:
    """Yield each asset that is in the catalog, with its file."""
    for path, document in tree.items():
        for asset in document.get("assets", {}).values():
            if not asset["href"].startswith("https://"):
                yield target_of(path, asset["href"]), asset


def item_by_id(name: str, item_id: str) -> Document:
    """Return an item of a catalog."""
    return next(item for item in items_of(TREES[name]) if item["id"] == item_id)


def test_script_writes_the_same_bytes_again(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, SAMPLES / "make.py", tmp_path], check=True, capture_output=True, env=environment)
    for name in ROOTS:
        kept = {path.relative_to(SAMPLES) for path in (SAMPLES / name).rglob("*") if path.is_file()}
        made = {path.relative_to(tmp_path) for path in (tmp_path / name).rglob("*") if path.is_file()}
        assert kept == made
        assert [path for path in made if (SAMPLES / path).read_bytes() != (tmp_path / path).read_bytes()] == []


def test_all_of_it_stays_small() -> None:
    assert sum(path.stat().st_size for name in ROOTS for path in (SAMPLES / name).rglob("*")) < 1.5 * MEGABYTE


@pytest.mark.parametrize("name", ROOTS)
def test_documents_are_valid_stac(name: str) -> None:
    validator = JsonSchemaSTACValidator()
    for path, document in TREES[name].items():
        # pystac brings the schemas of STAC 1.1.0; what is older is migrated first
        old = document["stac_version"] != "1.1.0"
        checked = pystac.read_dict(document).to_dict(False, False) if old else document
        validator.validate_core(checked, KINDS[document["type"]], "1.1.0", str(path))


@pytest.mark.parametrize("name", ROOTS)
def test_every_document_is_linked_and_links_back(name: str) -> None:
    tree = TREES[name]
    root = SAMPLES / name / ROOTS[name]
    assert set(tree) == set((SAMPLES / name).rglob("*.json"))
    for path, document in tree.items():
        links = {link["rel"]: link["href"] for link in document["links"]}
        assert target_of(path, links["root"]) == root
        assert path == root or target_of(path, links["parent"]) in tree
        if "collection" in document:
            assert tree[target_of(path, links["collection"])]["id"] == document["collection"]


@pytest.mark.parametrize("name", ROOTS)
def test_relative_links_lead_to_files(name: str) -> None:
    for path, document in TREES[name].items():
        hrefs = [link["href"] for link in document["links"]]
        assert all(target_of(path, href).is_file() for href in hrefs if not href.startswith("https://"))


@pytest.mark.parametrize("name", ROOTS)
def test_local_assets_are_what_they_say(name: str) -> None:
    assets = list(local_assets(TREES[name]))
    assert len(assets) >= 9
    for path, asset in assets:
        data = path.read_bytes()
        assert asset.get("file:size", len(data)) == len(data)
        assert (
            asset.get("file:checksum", "1220" + hashlib.sha256(data).hexdigest())[4:]
            == hashlib.sha256(data).hexdigest()
        )


@pytest.mark.parametrize("name", ROOTS)
def test_pictures_are_whole_and_not_of_one_colour(name: str) -> None:
    pictures = [path for path in (SAMPLES / name).rglob("*.png")]
    assert pictures
    for path in pictures:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", data[16:24])
        start = data.index(b"IDAT") + 4
        (length,) = struct.unpack(">I", data[start - 8 : start - 4])
        pixels = zlib.decompress(data[start : start + length])
        assert len(pixels) == height * (width + 1)
        assert len(set(pixels)) > 3


@pytest.mark.parametrize("name", ROOTS)
def test_extents_hold_all_items(name: str) -> None:
    for path, collection in TREES[name].items():
        if collection["type"] == "Collection":
            west, south, east, north = collection["extent"]["spatial"]["bbox"][0]
            start, end = collection["extent"]["temporal"]["interval"][0]
            items = [item for item in items_of(TREES[name]) if item.get("collection") == collection["id"]]
            assert items, path
            for item in items:
                times = item["properties"]["datetime"] or item["properties"]["start_datetime"]
                assert start <= times <= end
                assert west <= item["bbox"][0] or west > east
                assert south <= item["bbox"][1] and item["bbox"][3] <= north


def test_alps_has_three_collections_with_years() -> None:
    kinds = Counter(document["type"] for document in TREES["alps"].values())
    assert kinds == {"Catalog": 1 + 3 * 2, "Collection": 3, "Feature": 60}
    versions = Counter(item["stac_version"] for item in items_of(TREES["alps"]))
    assert versions == {"1.1.0": 44, "1.0.0": 16}


def test_elevation_tiles_are_squares_of_one_instant_in_each_edition() -> None:
    tiles = [item for item in items_of(TREES["alps"]) if item["collection"] == "elevation-30"]
    assert all(shapely.equals(shapely.box(*tile["bbox"]), shapely.geometry.shape(tile["geometry"])) for tile in tiles)
    assert len({tile["properties"]["datetime"] for tile in tiles}) == 2


def test_scenes_are_askew() -> None:
    for item in items_of(TREES["alps"]):
        if item["collection"] != "elevation-30":
            assert shapely.geometry.shape(item["geometry"]).area < 0.99 * shapely.box(*item["bbox"]).area


@pytest.mark.parametrize(("item_id", "kind"), [("date-line-cut", "MultiPolygon"), ("date-line-uncut", "Polygon")])
def test_pacific_has_items_across_the_antimeridian(item_id: str, kind: str) -> None:
    item = item_by_id("pacific", item_id)
    west, _, east, _ = item["bbox"]
    assert item["geometry"]["type"] == kind
    assert west > 178 and east < -177
    assert shapely.geometry.shape(item["geometry"]).is_valid


def test_pacific_has_items_on_both_sides() -> None:
    plain = [
        item["bbox"] for item in items_of(TREES["pacific"]) if item["geometry"] and item["bbox"][0] < item["bbox"][2]
    ]
    assert any(box[0] > 170 for box in plain)
    assert any(box[2] < -170 for box in plain)


def test_pacific_has_an_interval_and_an_item_that_is_nowhere() -> None:
    interval = item_by_id("pacific", "samoa-2025-05")["properties"]
    assert interval["datetime"] is None
    assert interval["start_datetime"] < interval["end_datetime"]
    nowhere = item_by_id("pacific", "season report")
    assert nowhere["geometry"] is None
    assert "bbox" not in nowhere


@pytest.mark.parametrize("character", [" ", "/", "%", "ü", "🐢"])
def test_pacific_has_ids_with_any_character_outside_of_collections(character: str) -> None:
    free = [item["id"] for item in items_of(TREES["pacific"]) if "collection" not in item]
    assert any(character in item_id for item_id in free)


def test_drone_has_a_geotiff_where_its_item_is() -> None:
    item = item_by_id("drone", "flight-2025-07-12")
    fields = read_tiff(SAMPLES / "drone" / item["id"] / "overview.tif")
    west, south, east, north = item["bbox"]
    (width,), (height,) = fields[256], fields[257]
    x_size, y_size, _ = fields[33550]
    assert fields[33922] == (0, 0, 0, west, north, 0)
    assert (west + width * x_size, north - height * y_size) == pytest.approx((east, south))
    keys = fields[34735]
    assert dict(zip(keys[4::4], keys[7::4], strict=True)) == {1024: 2, 1025: 1, 2048: 4326}


def test_the_geotiff_has_all_its_pixels() -> None:
    path = SAMPLES / "drone" / "flight-2025-07-12" / "overview.tif"
    fields = read_tiff(path)
    (start,), (length,) = fields[273], fields[279]
    assert len(zlib.decompress(path.read_bytes()[start : start + length])) == 256 * 256 * 3


def read_tiff(path: Path) -> dict[int, tuple[Any, ...]]:
    """Return the fields of the first directory of a little-endian TIFF."""
    data = path.read_bytes()
    mark, version, start = struct.unpack_from("<2sHI", data)
    assert (mark, version) == (b"II", 42)
    fields = {}
    (count,) = struct.unpack_from("<H", data, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from("<HHI", data, at)
        layout = f"<{length}{ {3: 'H', 4: 'I', 12: 'd'}[kind] }"
        inline = struct.calcsize(layout) <= 4
        fields[tag] = struct.unpack_from(layout, data, at + 8 if inline else struct.unpack_from("<I", data, at + 8)[0])
    return fields
