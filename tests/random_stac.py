"""Small nasty catalogs and searches over them, each made from a seed; for comparing the server with the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import shapely
import shapely.geometry

from oracle import SourceItem, read_instant

COLLECTIONS = ["plain", "with space/and slash", "100% a%20b", "ünïcödé 🌍", "Plain"]
HOT_SPOTS = [(7, 46), (8, 46), (-60, -10), (179, 10), (-179, 10), (178, -40)]
ODD_IDS = [
    "a b", "a/b", "a%20b", "100%", "a+b", "q?x=1&y=2", "#fragment", "a:b", "ä", "a\u0308", "😀", "'quoted'", '"double"',
    "back\\slash", "..a", "-", "_", "A", "a", "aa", "Z", "{curly}", "semi;colon", "*", "tab\there", "a//b",
    "/lead", "trail/",
]  # fmt: skip
INSTANTS = [
    "2024-06-01T12:00:00Z", "2024-06-01T14:00:00+02:00", "2024-06-01T12:00:00.000001Z", "2024-06-01T12:00:00.5Z",
    "2024-06-01T23:59:59.999999Z", "2024-06-02T00:00:00Z", "2023-12-31T23:59:59Z", "1969-12-31T23:59:59.999999Z",
    "1899-01-01T00:00:00Z", "2024-02-29T00:00:00-11:30", "2024-06-01t12:00:00z", "9999-12-31T23:59:59Z",
    "2024-06-01T12:00:00.123456789Z",
]  # fmt: skip
NUMBERS = [0, -0.0, 1, -1, 1.5, 10, 10.0, 9.999999999999998, 0.1, 0.30000000000000004, 2**53, 2**53 + 1, 2**53 + 1.0,
           2**63 - 1, 2**63, -(2**63), 10**20, 1e300, -1e-300, 42]  # fmt: skip
TEXTS = ["", "a", "A", "ab", "100%", "a_b", "axb", "back\\slash", "new\nline", "Straße", "straße", "e\u0301", "é", "😀",
         "10", "true", "null", "it's", 'say "hi"', "2024-06-01"]  # fmt: skip
PATTERNS = ["%", "_", "a%", "%b", "a_b", "a\\_b", "100\\%", "%\\%%", "__", "", "%line", "stra_e", "back\\\\%", "😀",
            "%'%"]  # fmt: skip
VALUES: dict[str, list[Any]] = {
    "n:number": [*NUMBERS, None],
    "eo:cloud_cover": [*range(0, 101, 5), 0.5, None],
    "text": [*TEXTS, None],
    "flag": [True, False, None],
    "when": [*INSTANTS, None],
    "mixed": [1, 0, 1.0, "1", True, False, None, [1], {"a": 1}, "", "true", "yesterday", *INSTANTS[:2]],
    "Größe (m)": [1, 2, 3.5],
    "a.b": [1, "one"],
    "rare": [None] * 30 + [7],
}


class RandomSearch(NamedTuple):
    """One search: as the oracle reads it, as query parameters and as a body."""

    search: dict[str, Any]
    params: dict[str, str]
    body: dict[str, Any]


# --- Catalogs


class _Node(NamedTuple):
    folder: Path
    document: dict[str, Any]
    collection: str | None


def random_catalog(folder: Path, seed: int, count: int) -> Path:
    """Write a catalog of `count` items below a folder and return the path of its root."""
    rng = Random(seed)
    root = _node(folder, "root", None, "Catalog")
    places = [root]
    for number, collection_id in enumerate(COLLECTIONS[: rng.randint(1, len(COLLECTIONS))]):
        parent = rng.choice([root, _child(root, f"group {number}", None, "Catalog")])
        collection = _child(parent, collection_id, collection_id, "Collection")
        places += [collection, _child(collection, f"{rng.randint(2019, 2025)}", collection_id, "Catalog")]
    loose = _child(root, "löse/items", None, "Catalog")
    places += [loose, _child(loose, "2024", None, "Catalog")]
    names = [f"x:{number}" for number in range(rng.choice([0, 150]))]  # more than have columns of their own
    used: set[tuple[str, str]] = set()
    for number in range(count):
        place = rng.choice(places)
        item_id = rng.choice([*ODD_IDS, f"item-{number}", f"item-{number}"])
        key = (place.collection or str(place.folder), item_id)
        item = random_item(rng, f"item-{number}" if key in used else item_id, place.collection)
        item["properties"] |= {name: rng.choice(VALUES["mixed"]) for name in rng.sample(names, len(names) // 3)}
        _add_item(place, item, number)
        used.add(key)
    _write_nodes(root)
    return folder / "catalog.json"


_CHILDREN = "_children"


def _node(folder: Path, node_id: str, collection: str | None, kind: str) -> _Node:
    document: dict[str, Any] = {
        "type": kind,
        "stac_version": "1.1.0",
        "id": node_id,
        "description": f"{kind} {node_id}",
        "links": [],
    }
    if kind == "Collection":
        extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
        document |= {"license": "CC0-1.0", "extent": extent}
    return _Node(folder, document | {_CHILDREN: []}, collection)


def _child(parent: _Node, node_id: str, collection: str | None, kind: str) -> _Node:
    number = len(parent.document[_CHILDREN])
    node = _node(parent.folder / f"child{number}", node_id, collection, kind)
    parent.document[_CHILDREN].append(node)
    parent.document["links"].append({"rel": "child", "href": f"./child{number}/catalog.json"})
    return node


def _add_item(place: _Node, item: dict[str, Any], number: int) -> None:
    place.document["links"].append({"rel": "item", "href": f"items/{number}.json", "type": "application/geo+json"})
    path = place.folder / "items" / f"{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item, ensure_ascii=number % 2 == 0), encoding="utf-8")


def _write_nodes(node: _Node) -> None:
    for child in node.document.pop(_CHILDREN):
        _write_nodes(child)
    node.folder.mkdir(parents=True, exist_ok=True)
    (node.folder / "catalog.json").write_text(json.dumps(node.document), encoding="utf-8")


def random_item(rng: Random, item_id: str, collection: str | None) -> dict[str, Any]:
    """Return an item of everything that is hard to index."""
    geometry, bbox = random_footprint(rng)
    properties: dict[str, Any] = _random_times(rng)
    for name, values in VALUES.items():
        if rng.random() < 0.6:
            properties[name] = rng.choice(values)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        "geometry": geometry,
        "properties": properties,
        "links": [],
        "assets": {},
    }
    if bbox is not None and rng.random() < 0.95:
        item["bbox"] = bbox
    if collection is not None:
        item["collection"] = collection
        item["links"] = [{"rel": "collection", "href": "../catalog.json"}]
    return item


def _random_times(rng: Random) -> dict[str, Any]:
    early, late = sorted(rng.sample([f"20{year}-01-01T00:00:00Z" for year in range(15, 26)], 2))
    end = rng.choice([early, late, "9999-12-31T23:59:59Z"])
    kind = rng.random()
    if kind < 0.15:
        return {"datetime": None, "start_datetime": early, "end_datetime": end}
    if kind < 0.25:
        return {"datetime": rng.choice([early, INSTANTS[0]]), "start_datetime": early, "end_datetime": late}
    if kind < 0.28:
        return {"datetime": None}
    return {"datetime": rng.choice([*INSTANTS, early, late, INSTANTS[0], INSTANTS[0]])}


# --- Footprints


def random_footprint(rng: Random) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Return the geometry and bbox of an item."""
    kind = rng.random()
    if kind < 0.05:
        return None, None
    if kind < 0.2:
        return _random_crossing(rng)
    if kind < 0.23:  # wider than 180 degrees, without a sign that it crosses
        return shapely.geometry.mapping(shapely.box(-100, -5, 100, rng.randint(1, 50))), [-100, -5, 100, 50]
    geometry = random_geometry(rng)
    west, south, east, north = shapely.geometry.shape(geometry).bounds
    return geometry, rng.choice([[west, south, east, north], [west, south, 0, east, north, 100]])


def _random_crossing(rng: Random) -> tuple[dict[str, Any], list[float]]:
    """Return a polygon or line across the antimeridian in each of the ways it is written."""
    west, east = 180 - rng.choice([0.5, 1, 3, 20]), -180 + rng.choice([0.25, 2, 5, 30])
    south, north = rng.randint(-40, 5), rng.randint(6, 60)
    bbox = [west, south, east, north]
    whole: list[list[float]] = [[west, south], [east + 360, south], [east + 358, north], [west, north], [west, south]]
    if rng.random() < 0.3:
        return {"type": "Polygon", "coordinates": [whole]}, rng.choice([bbox, [west, south, east + 360, north]])
    if rng.random() < 0.3:
        return {"type": "Polygon", "coordinates": [[[x - 360, y] for x, y in whole]]}, bbox
    if rng.random() < 0.2:
        return {"type": "LineString", "coordinates": [[west, south], [east, north]]}, bbox
    if rng.random() < 0.5:
        wrapped = [[x - 360 if x > 180 else x, y] for x, y in whole]
        small = [[[-170.0, south - 9], [-169.0, south - 9], [-169.0, south - 8], [-170.0, south - 9]]]
        if rng.random() < 0.5:
            return {"type": "MultiPolygon", "coordinates": [[wrapped], small]}, [west, south - 9, east, north]
        return {"type": "Polygon", "coordinates": [wrapped]}, bbox
    halves = [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
    return json.loads(json.dumps(shapely.geometry.mapping(shapely.MultiPolygon(halves)))), bbox


def random_geometry(rng: Random, *, valid: bool = False) -> dict[str, Any]:
    """Return a GeoJSON geometry of any type within the usual longitudes."""
    w, h = rng.choice([0.5, 1, 2, 5]), rng.choice([0.5, 1, 2, 4])
    x, y = random_position(rng)
    x = min(x, 179.9 - 2 * w)
    square = [[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]]
    hole = [[x + w * a, y + h * b] for a, b in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.75), (0.75, 0.25), (0.25, 0.25))]
    diamond = [[x + w, y], [x + 2 * w, y + h], [x + w, y + 2 * h], [x, y + h], [x + w, y]]
    corner = [[x + w * a, y + h * b] for a, b in ((0, 0), (2, 0), (2, 0.25), (0.25, 0.25), (0.25, 2), (0, 2), (0, 0))]
    far = [[a, b + 5] for a, b in square]
    shapes: list[dict[str, Any]] = [
        {"type": "Point", "coordinates": [x, y]},
        {"type": "Point", "coordinates": [x, y, 1234.5]},
        {"type": "MultiPoint", "coordinates": [[x, y], [x + w, y + h]]},
        {"type": "LineString", "coordinates": [[x, y], [x + w, y + h]]},
        {"type": "MultiLineString", "coordinates": [[[x, y], [x + w, y + h]], [[x, y + h], [x + w, y]]]},
        {"type": "Polygon", "coordinates": [square]},
        {"type": "Polygon", "coordinates": [square[::-1]]},
        {"type": "Polygon", "coordinates": [[[*position, 50] for position in square]]},
        {"type": "Polygon", "coordinates": [square, hole]},
        {"type": "Polygon", "coordinates": [diamond]},
        {"type": "Polygon", "coordinates": [corner]},
        {"type": "MultiPolygon", "coordinates": [[square, hole], [far]]},
        {"type": "GeometryCollection", "geometries": [
            {"type": "Point", "coordinates": [x, y - 5]}, {"type": "Polygon", "coordinates": [diamond]}]},
        {"type": "Polygon", "coordinates": [[square[i] for i in (0, 2, 1, 3, 0)]]},
    ]  # fmt: skip
    return rng.choice(shapes[:-1] if valid else shapes)


def random_position(rng: Random) -> tuple[float, float]:
    """Return a place near one of a few, often exactly the same."""
    near_x, near_y = rng.choice(HOT_SPOTS)
    step = rng.choice([1, 0.5, 0.1, 0.01])
    x, y = near_x + rng.randint(-4, 4) * step, near_y + rng.randint(-4, 4) * step
    return round(min(max(x, -179.9), 179.9), 2), round(y, 2)


# --- Searches


def random_search(rng: Random, items: list[SourceItem]) -> RandomSearch:
    """Return a search that has a fair chance to find some of the items."""
    search: dict[str, Any] = {}
    chances = {"ids": 0.1, "collections": 0.25, "datetime": 0.3, "filter": 0.45}
    makers = [_random_ids, _random_collections, _random_datetime, _random_tree]
    for (name, chance), make in zip(chances.items(), makers, strict=True):
        if rng.random() < chance:
            search[name] = make(rng, items)
    place = rng.random()
    if place < 0.35:
        search["bbox"] = _random_bbox(rng, items)
    elif place < 0.55:
        search["intersects"] = _random_area(rng)
    return RandomSearch(search, _params_of(rng, search), _body_of(rng, search))


def _random_area(rng: Random) -> dict[str, Any]:
    """Return a geometry to search by; some reach beyond 180 degrees, which is the other side."""
    if rng.random() < 0.85:
        return random_geometry(rng, valid=True)
    west, south = rng.choice([175, 178.5, -184, -190]), rng.randint(-45, 10)
    x = [west, west + 8]
    if rng.random() < 0.3:
        return {"type": "LineString", "coordinates": [[x[0], south], [x[1], south + 30]]}
    ring = [[x[0], south], [x[1], south], [x[1], south + 15], [x[0], south + 15], [x[0], south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _random_ids(rng: Random, items: list[SourceItem]) -> list[str]:
    return [rng.choice(items).identity.id for _ in range(rng.randint(1, 6))] + ["nobody"]


def _random_collections(rng: Random, items: list[SourceItem]) -> list[str]:
    known = sorted({item.collection for item in items if item.collection is not None})
    return rng.sample(known, rng.randint(1, len(known))) if known else ["nobody"]


def _random_instant(rng: Random, items: list[SourceItem]) -> str:
    properties = rng.choice(items).document["properties"]
    own: list[str | None] = [properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
    return rng.choice([text for text in own if text] or INSTANTS)


def _random_datetime(rng: Random, items: list[SourceItem]) -> str:
    ends = [_random_instant(rng, items), _random_instant(rng, items)]
    first, last = sorted(ends, key=lambda text: read_instant(text) or 0)
    both = f"{first}/{last}"
    return rng.choice([first, f"{first}/..", f"../{last}", f"/{last}", f"{first}/", both, both])


def _random_bbox(rng: Random, items: list[SourceItem]) -> list[float]:
    x, y = random_position(rng)
    w, h = rng.choice([0, 0.5, 3, 40]), rng.choice([0, 0.25, 2, 30])
    bounds = (rng.choice(items).shape or shapely.Point(x, y)).bounds
    south, north = max(y - h, -90), min(y + h, 90)
    return rng.choice(
        [
            [x, south, x + w, north],
            [x, south, -50.0, x + w, north, 9000.0],
            [170.0 + rng.random() * 9, south, -179.5 + rng.random() * 5, north],
            [179.0, south, 181.0 + rng.random() * 5, north],
            [x, south, x - 1, north],
            list(bounds),
            [bounds[2], bounds[3], min(bounds[2] + w, 180.0), min(bounds[3] + h, 90)],
            [-180, -90, 180, 90],
        ]
    )


def _params_of(rng: Random, search: dict[str, Any]) -> dict[str, str]:
    params = {name: search[name] for name in ("datetime",) if name in search}
    params |= {name: ",".join(search[name]) for name in ("ids", "collections") if name in search}
    if "bbox" in search:
        params["bbox"] = ",".join(map(str, search["bbox"]))
    if "intersects" in search:
        params["intersects"] = json.dumps(search["intersects"])
    if "filter" in search:
        text = cql2_text(search["filter"])
        if "\\" in text or rng.random() < 0.2:
            params |= {"filter": json.dumps(search["filter"]), "filter-lang": "cql2-json"}
        else:
            params |= {"filter": text} | rng.choice([{}, {"filter-lang": "cql2-text"}])
    return params


def _body_of(rng: Random, search: dict[str, Any]) -> dict[str, Any]:
    noise: list[dict[str, Any]] = [
        {},
        {"ids": None},
        {"ids": []},
        {"collections": None},
        {"datetime": None},
        {"filter-lang": "cql2-json"},
    ]
    return rng.choice(noise) | search


# --- Filters


def _random_tree(rng: Random, items: list[SourceItem], depth: int = 3) -> Any:
    kind = rng.random()
    if depth and kind < 0.35:
        args = [_random_tree(rng, items, depth - 1) for _ in range(rng.randint(2, 4))]
        return {"op": rng.choice(["and", "or"]), "args": args}
    if depth and kind < 0.5:
        return {"op": "not", "args": [_random_tree(rng, items, depth - 1)]}
    return rng.choice(PREDICATES)(rng, items)


def _compare(rng: Random, items: list[SourceItem]) -> Any:
    name, value = _random_value(rng, items)
    if rng.random() < 0.2:
        value = rng.choice([1, "a", True])
    signs = ["=", "<>"] if isinstance(value, bool) else ["=", "<>", "<", "<=", ">", ">="]
    args: list[Any] = [{"property": name}, value]
    return {"op": rng.choice(signs), "args": args if rng.random() < 0.8 else args[::-1]}


def _random_value(rng: Random, items: list[SourceItem]) -> tuple[str, Any]:
    """Return a property with a scalar that it may have; half of the time one of an item."""
    own = rng.choice(items).document["properties"]
    pools = VALUES if rng.random() < 0.5 else {name: [value] for name, value in own.items()}
    pairs = [
        (name, value) for name, values in pools.items() for value in values if isinstance(value, (int, float, str))
    ]
    return rng.choice([(name, value) for name, value in pairs if read_instant(value) is None] or [("rare", 7)])


def _compare_instant(rng: Random, items: list[SourceItem]) -> Any:
    text = _random_instant(rng, items)
    literal: Any = {"timestamp": text} if rng.random() < 0.6 else {"date": text[:10]}
    name = rng.choice(["datetime", "datetime", "when", "start_datetime", "mixed", "n:number"])
    if name in ("datetime", "when") and rng.random() < 0.3:  # clients leave TIMESTAMP and DATE out
        literal = rng.choice([text, text[:10]])
    return {"op": rng.choice(["=", "<>", "<", "<=", ">", ">="]), "args": [{"property": name}, literal]}


def _compare_identity(rng: Random, items: list[SourceItem]) -> Any:
    item = rng.choice(items)
    name, value = rng.choice([("id", item.identity.id), ("collection", item.collection or "nobody")])
    return {"op": rng.choice(["=", "<>", "<", ">="]), "args": [{"property": name}, value]}


def _like(rng: Random, items: list[SourceItem]) -> Any:
    name = rng.choice(["text", "text", "text", "mixed", "n:number", "id"])
    return {"op": "like", "args": [{"property": name}, rng.choice(PATTERNS)]}


def _between(rng: Random, items: list[SourceItem]) -> Any:
    name = rng.choice(["n:number", "eo:cloud_cover", "mixed", "text"])
    return {"op": "between", "args": [{"property": name}, *rng.sample(NUMBERS, 2)]}


def _in(rng: Random, items: list[SourceItem]) -> Any:
    name = rng.choice(["n:number", "text", "mixed", "id"])
    pool: list[Any] = TEXTS if name in ("text", "id") else NUMBERS
    values = rng.sample(pool, 4)
    return {"op": "in", "args": [{"property": name}, values]}


def _is_null(rng: Random, items: list[SourceItem]) -> Any:
    own = rng.choice(items).document["properties"]
    name = rng.choice([*VALUES, *own, "datetime", "collection", "geometry", "end_datetime", "unknown"])
    return {"op": "isNull", "args": [{"property": name}]}


def _intersects(rng: Random, items: list[SourceItem]) -> Any:
    args: list[Any] = [{"property": "geometry"}, _random_area(rng)]
    if rng.random() < 0.3:
        args[1] = {"bbox": rng.choice([[170, -60, -170, 60], [5, 40, 10, 50], [-180, -90, 180, 90]])}
    return {"op": "s_intersects", "args": args if rng.random() < 0.8 else args[::-1]}


def _literal(rng: Random, items: list[SourceItem]) -> Any:
    return rng.random() < 0.5


PREDICATES = [_compare, _compare, _compare, _compare_instant, _compare_instant, _compare_identity, _like, _between, _in,
              _is_null, _intersects, _literal]  # fmt: skip


# --- CQL2 text


def cql2_text(tree: Any) -> str:
    """Write a tree of CQL2 JSON as CQL2 text."""
    if not isinstance(tree, dict):
        return _literal_text(tree)
    if "op" in tree:
        return _operation_text(tree["op"], tree["args"])
    if "property" in tree:
        return '"{}"'.format(tree["property"].replace('"', '""'))
    if "bbox" in tree:
        return f"BBOX({', '.join(map(str, tree['bbox']))})"
    for name in ("timestamp", "date"):
        if name in tree:
            return f"{name.upper()}('{tree[name]}')"
    return str(shapely.geometry.shape(tree).wkt)


def _literal_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return "'{}'".format(value.replace("'", "''"))
    return repr(value)


def _operation_text(op: str, args: list[Any]) -> str:
    if op in ("and", "or"):
        return f" {op} ".join(f"({cql2_text(arg)})" for arg in args)
    if op == "not":
        return f"NOT ({cql2_text(args[0])})"
    first, *rest = (cql2_text(arg) for arg in args if not isinstance(arg, list))
    if op == "isNull":
        return f"{first} IS NULL"
    if op == "between":
        return f"{first} BETWEEN {rest[0]} AND {rest[1]}"
    if op == "in":
        return f"{first} IN ({', '.join(map(cql2_text, args[1]))})"
    if op == "s_intersects":
        return f"S_INTERSECTS({first}, {rest[0]})"
    return f"{first} {op.upper()} {rest[0]}"
