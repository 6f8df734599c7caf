"""Items from files to what the index stores: all that can be served is, and what is wrong is told."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pystac
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from source_files import catalog, collection, item, link, served, write
from stacserve.documents import ItemDocument, ItemRequest, read_items
from stacserve.folder import Folder
from stacserve.temporal import ItemTimes, parse_instant

NOON = 1717243200000000


def read(root: Path, document: Any, path: str = "x/a.json", nearest: str | None = None, **options: Any) -> ItemDocument:
    """Write and read one item; `collections` and what `Folder` takes are options."""
    collections = frozenset(options.pop("collections", ()))
    write(root / path, document)
    return read_items(Folder(str(root), **options), [ItemRequest(1, path, nearest)], collections)[0]


def pointers(found: ItemDocument) -> list[str]:
    assert all(problem.path == found.path for problem in found.problems)
    return [problem.pointer for problem in found.problems if problem.severity == "warning"]


def errors(found: ItemDocument) -> list[str]:
    return [problem.reason for problem in found.problems if problem.severity == "error"]


def test_item_is_read(tmp_path: Path) -> None:
    document = item("ä b", stac_extensions=["https://example.com/e.json"], extra={"z": None, "a": [1.0, 1]})
    found = read(tmp_path, document)
    assert (found.key, found.path, found.id, found.collection) == (1, "x/a.json", "ä b", None)
    assert found.head.endswith(b',"links":[')
    assert json.dumps(served(found.head), sort_keys=True) == json.dumps(document, sort_keys=True)
    assert found.wkb == shapely.Point(7.5, 46.9).wkb
    assert found.stamp == Folder(str(tmp_path)).stamp("x/a.json")
    assert (found.problems, found.assets, found.cross_links, found.rest, found.container) == ((), (), (), b"", False)


def test_results_keep_the_order_of_the_requests(tmp_path: Path) -> None:
    write(tmp_path / "a.json", item("a"))
    write(tmp_path / "n.json", item("n", geometry=None))
    write(tmp_path / "c.json", catalog())
    write(tmp_path / "z.json", item("z", geometry={"type": "Point", "coordinates": [1, 2]}))
    names = ["z", "none", "n", "c", "a", "z"]
    requests = [ItemRequest(number, f"{name}.json", None) for number, name in enumerate(names)]
    found = read_items(Folder(str(tmp_path)), requests, frozenset())
    assert [document.key for document in found] == list(range(6))
    assert [document.id for document in found] == ["z", None, "n", None, "a", "z"]
    assert [document.wkb is not None for document in found] == [True, False, False, False, True, True]
    assert found[3].container and not found[3].problems
    assert read_items(Folder(str(tmp_path)), [], frozenset()) == []


# ---- properties and times -----------------------------------------------------------


def test_properties_are_classed(tmp_path: Path) -> None:
    properties = {
        "datetime": "2024-06-01T12:00:00Z",
        "created": "2024-06-01T14:00:00.5+02:00",
        "day": "2024-06-01",
        "long": "this is no instant at all",
        "number": 1.5,
        "count": 3,
        "flag": True,
        "nothing": None,
        "list": [1, None],
        "object": {"a": "b"},
        "": "no name",
    }
    found = read(tmp_path, item(properties=properties))
    assert found.values == {
        **{"sdatetime": "2024-06-01T12:00:00Z", "tdatetime": NOON, "sday": "2024-06-01", "s": "no name"},
        **{"screated": "2024-06-01T14:00:00.5+02:00", "tcreated": NOON + 500_000, "nnumber": 1.5, "ncount": 3},
        **{"bflag": 1, "slong": "this is no instant at all"},
    }
    assert type(found.values["bflag"]) is int
    assert json.loads(found.rest) == {"list": [1, None], "object": {"a": "b"}}
    assert found.times == ItemTimes(NOON, NOON, NOON)


def test_integers_beyond_64_bits_are_floats(tmp_path: Path) -> None:
    properties = {"datetime": None, "a": 2**63 - 1, "b": 2**63, "c": 2**70, "d": -(2**63) - 1, "e": 1e30}
    text = json.dumps(item(properties=properties)).replace("1e+30", "1e30")
    found = read(tmp_path, text)
    assert [found.values[f"n{name}"] for name in "abcde"] == [2**63 - 1, 2.0**63, 2.0**70, -(2.0**63), 1e30]
    assert [type(found.values[f"n{name}"]) for name in "abcde"] == [int, *[float] * 4]
    assert [pointer for pointer in pointers(found) if "properties/" in pointer] == ["/properties/c", "/properties/d"]


def test_numbers_beyond_doubles_are_served_as_the_largest(tmp_path: Path) -> None:
    text = json.dumps(item(properties={"datetime": "2024-06-01T12:00:00Z", "n": 12345})).replace(
        "12345", "1" + "0" * 400
    )
    found = read(tmp_path, text)
    assert found.id == "a" and found.values["nn"] == sys.float_info.max
    assert served(found.head)["properties"]["n"] == found.values["nn"]
    assert pointers(found)[0] == ""


def test_nothing_with_nul_goes_into_the_index(tmp_path: Path) -> None:
    properties = {"a": "x\0", "b\0": "y", "c": ["\0"], "d": ["\\u0000"], "e\0": 1, "f": "\\u0000", "g": {"h\0": 1}}
    found = read(tmp_path, item(properties={"datetime": "2024-06-01T12:00:00Z", **properties}))
    assert set(found.values) == {"sdatetime", "tdatetime", "sf"}
    assert json.loads(found.rest) == {"d": ["\\u0000"]}
    assert b"\0" not in found.rest and b"\0" not in found.head
    assert served(found.head)["properties"] == {"datetime": "2024-06-01T12:00:00Z", **properties}


def test_nothing_in_a_document_passes_for_the_base_url(tmp_path: Path) -> None:
    found = read(tmp_path, item("a", title="\0/assets/x", assets={"a": {"href": "b.tif", "title": "\0 \x7f"}}))
    assert found.head.count(b"\0") == 1
    assert served(found.head)["assets"]["a"] == {"href": "BASE/assets/x/b.tif", "title": "\0 \x7f"}


@pytest.mark.parametrize(
    ("properties", "times"),
    [
        (
            {"datetime": None, "start_datetime": "2024-06-01T12:00:00Z", "end_datetime": "2024-06-01T12:00:01Z"},
            (None, 0, 1),
        ),
        ({"datetime": "2024-06-01T12:00:00Z", "start_datetime": None, "end_datetime": None}, (0, 0, 0)),
        ({"datetime": "2024-06-01T12:00:00.000001999Z"}, (1e-6, 1e-6, 1e-6)),
    ],
)
def test_times_are_those_of_the_item(
    tmp_path: Path, properties: dict[str, Any], times: tuple[float | None, float, float]
) -> None:
    found = read(tmp_path, item(properties=properties))
    assert found.times == tuple(None if t is None else NOON + round(t * 1_000_000) for t in times)
    assert found.problems == ()


@pytest.mark.parametrize("value", ["yesterday", "2024-02-30T00:00:00Z", 5, ["2024-06-01T00:00:00Z"], "2024-06-01"])
def test_unusable_datetime_is_a_warning(tmp_path: Path, value: Any) -> None:
    found = read(tmp_path, item(properties={"datetime": value}))
    assert found.id == "a" and set(pointers(found)) == {"/properties"}


@given(
    st.datetimes(),
    st.sampled_from(["Z", "z", "+00:00", "-11:30"]),
    st.sampled_from(["", ".5", ".123", ".123456", ".1234567"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_instants_are_read_as_everywhere(tmp_path: Path, moment: Any, zone: str, fraction: str) -> None:
    text = moment.replace(microsecond=0).isoformat() + fraction + zone
    found = read(tmp_path, item(properties={"datetime": text, "x": text}))
    assert found.values["tx"] == found.times.datetime == parse_instant(text)


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-01T24:00:00Z",
        "2024-06-01T12:60:00Z",
        "2024-13-01T12:00:00Z",
        "0000-06-01T12:00:00Z",
        "2024-06-01T12:00:00ZZ",
    ],
)
def test_text_that_only_looks_like_an_instant_is_text(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, item(properties={"datetime": "2024-06-01T12:00:00Z", "x": text}))
    assert found.values["sx"] == text and "tx" not in found.values


def test_leap_second_is_read_as_everywhere(tmp_path: Path) -> None:
    found = read(tmp_path, item(properties={"datetime": "2016-12-31T23:59:60Z"}))
    assert found.times.datetime == found.values["tdatetime"] == parse_instant("2017-01-01T00:00:00Z")


# ---- the collection -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "nearest", "settled", "warns"),
    [
        ("a", "a", "a", False),
        ("b", "a", "b", True),
        ("b", None, "b", False),
        ("none", "a", "a", True),
        ("none", None, None, True),
        (5, "a", "a", True),
        (["a"], "a", "a", True),
        (None, "a", "a", False),
        (None, None, None, False),
    ],
)
def test_collection_is_settled(
    tmp_path: Path, named: Any, nearest: str | None, settled: str | None, warns: bool
) -> None:
    found = read(tmp_path, item(collection=named), nearest=nearest, collections=["a", "b"])
    assert found.collection == settled
    assert served(found.head)["collection"] == (settled if settled is not None else named)
    assert pointers(found) == (["/collection"] if warns else [])


def test_item_that_links_a_collection_and_names_none_is_a_warning(tmp_path: Path) -> None:
    found = read(tmp_path, item(links=[link("collection", "c.json")]), nearest="a", collections=["a"])
    assert served(found.head)["collection"] == found.collection == "a"
    assert pointers(found) == ["/collection"]


# ---- hrefs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "new"),
    [
        ("b.tif", "BASE/assets/x/b.tif"),
        ("./b.tif", "BASE/assets/x/b.tif"),
        ("sub/b.tif", "BASE/assets/x/sub/b.tif"),
        ("../b.tif", "BASE/assets/b.tif"),
        (".\\sub\\b.tif", "BASE/assets/x/sub/b.tif"),
        (".hidden/b.tif", "BASE/assets/x/.hidden/b.tif"),
        ("with space.tif", "BASE/assets/x/with%20space.tif"),
        ("with%20space.tif", "BASE/assets/x/with%20space.tif"),
        ("ü+100%.tif", "BASE/assets/x/%C3%BC%2B100%25.tif"),
        ("scene.zip#band1.tif", "BASE/assets/x/scene.zip#band1.tif"),
        ("b.tif?x=1", "BASE/assets/x/b.tif"),
        ("{root}/y/b.tif", "BASE/assets/y/b.tif"),
        ("file://{root}/y/b.tif", "BASE/assets/y/b.tif"),
        ("https://example.com/b c.tif", "https://example.com/b c.tif"),
        ("s3://bucket/../b.tif", "s3://bucket/../b.tif"),
        ("../../../b.tif", "../../../b.tif"),
        ("a\0b.tif", "a\0b.tif"),
        ("a%0Ab.tif", "a%0Ab.tif"),
    ],
)
def test_asset_hrefs_are_made_absolute(tmp_path: Path, href: str, new: str) -> None:
    found = read(tmp_path, item(assets={"a": {"href": href.format(root=tmp_path), "title": "t"}}))
    assert served(found.head)["assets"] == {"a": {"href": new, "title": "t"}}


@pytest.mark.parametrize("href", ["/etc/passwd", "file:///etc/passwd", "file://host/a", "C:\\a.tif", "\\\\host\\a.tif"])
def test_assets_with_paths_of_this_machine_are_left_out(tmp_path: Path, href: str) -> None:
    found = read(tmp_path, item(assets={"a": {"href": href}, "b/~": {"href": "b.tif"}}))
    assert list(served(found.head)["assets"]) == ["b/~"]
    assert pointers(found) == ["/assets/a/href"]
    assert read(tmp_path, item(assets={"b/~": {"href": href}})).problems[0].pointer == "/assets/b~1~0/href"


@pytest.mark.parametrize(
    "href",
    [
        *(
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "vbscript:x",
            "data:text/html,<script>",
            "data:image/png;base64,AAAA",
        ),
        *(" javascript:alert(1)", "\tjavascript:alert(1)/../../../..", "java\nscript:alert(1)", "\x01data:,a"),
        "javascript:alert(1)//a.json",
    ],
)
def test_hrefs_that_are_scripts_are_left_out(tmp_path: Path, href: str) -> None:
    assets = {"a": {"href": href}, "b": {"href": "b.tif", "alternate": {"c": {"href": href}}}}
    found = read(tmp_path, item(assets=assets, links=[link("icon", href), link("about", "https://e.com/data:a")]))
    assert served(found.head)["assets"] == {"b": {"href": "BASE/assets/x/b.tif", "alternate": {}}}
    assert [each["rel"] for each in served(found.head)["links"]] == ["about"]
    assert pointers(found) == ["/assets/a/href", "/assets/b/alternate/c/href", "/links/0/href"]


def test_alternatives_of_assets_are_assets(tmp_path: Path) -> None:
    alternatives = {"near": {"href": "n.tif"}, "here": {"href": "/srv/n.tif"}, "far": {"href": "s3://b/n.tif"}}
    found = read(tmp_path, item(assets={"a": {"href": "https://example.com/n.tif", "alternate": alternatives}}))
    expected = {"near": {"href": "BASE/assets/x/n.tif"}, "far": {"href": "s3://b/n.tif"}}
    assert served(found.head)["assets"]["a"]["alternate"] == expected
    assert pointers(found) == ["/assets/a/alternate/here/href"]
    assert found.assets == (("x", "n.tif"),)


def test_files_are_named_by_folder(tmp_path: Path) -> None:
    hrefs = ["b.tif", "./b.tif", "c.tif", "sub/d.tif", "../e.tif", "sub/f.tif", "https://example.com/g.tif"]
    assets = {str(number): {"href": href} for number, href in enumerate(hrefs)}
    found = read(tmp_path, item(assets=assets, links=[link("about", "sub/h.html"), link("root", "../r.json")]))
    assert found.assets == (("x", "b.tif\nc.tif"), ("x/sub", "d.tif\nf.tif\nh.html"), ("", "e.tif"))
    assert read(tmp_path, item(assets={"a": {"href": "b.tif"}}), path="a.json").assets == (("", "b.tif"),)


def test_files_of_allowed_folders_are_named_and_served(tmp_path: Path) -> None:
    found = read(tmp_path / "cat", item(assets={"a": {"href": "../../data/b.tif"}}), allow=[str(tmp_path / "data")])
    assert served(found.head)["assets"]["a"]["href"] == "BASE/assets/%2B1/b.tif"
    assert found.assets == (("+1", "b.tif"),)


def test_paths_of_the_machine_that_wrote_the_catalog_are_files_of_the_root(tmp_path: Path) -> None:
    assets = {"a": {"href": "/home/me/stac/x/b c.tif"}, "b": {"href": "/home/me/else.tif"}}
    found = read(tmp_path, item(assets=assets), published="/home/me/stac/")
    assert served(found.head)["assets"] == {"a": {"href": "BASE/assets/x/b%20c.tif"}}


def test_kept_links_are_rewritten_and_own_ones_dropped(tmp_path: Path) -> None:
    own = [link(rel, "../r.json") for rel in ("self", "root", "parent", "collection")]
    kept = [link("derived_from", "b.json#x"), link("via", "https://example.com/a.json")]
    found = read(tmp_path, item(links=[*own, *kept, link("source", "/etc/passwd")]))
    assert found.head.endswith(b"},")
    assert served(found.head)["links"] == [link("derived_from", "BASE/assets/x/b.json"), kept[1]]
    assert (found.cross_links, pointers(found)) == (("x/b.json",), ["/links/6/href"])


def test_hrefs_mean_what_they_mean_to_pystac(tmp_path: Path) -> None:
    assets = {
        str(n): {"href": href} for n, href in enumerate(["./a.tif", "b/c.tif", "../d.tif", "https://e.com/f.tif"])
    }
    found = read(tmp_path, item(assets=assets))
    theirs = pystac.Item.from_file(str(tmp_path / "x/a.json")).make_asset_hrefs_absolute()
    ours = served(found.head.replace(b"\0/assets", str(tmp_path).encode()))["assets"]
    assert {name: asset["href"] for name, asset in ours.items()} == {n: a.href for n, a in theirs.assets.items()}


# ---- what is wrong ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "empty"),
        ('{"type":"Feature"', "not JSON"),
        (json.dumps(item(properties={"datetime": None, "a": float("nan")})), "NaN"),
        ("[" * 2_000_000, "nested"),
        (json.dumps(item(extra="\ud800")), "half of a surrogate"),
        (json.dumps(item(extra="ä"), ensure_ascii=False).encode("latin-1"), "not UTF-8"),
        (item(type="FeatureCollection"), "type is 'FeatureCollection'"),
        ({"type": "Point", "coordinates": [1, 2]}, "type is 'Point'"),
        ({}, "not a STAC document"),
        (item(id=None), "no id"),
        (item(id="a\0"), "U\\+0000"),
        (item(id={}), "not a text"),
    ],
)
def test_item_that_cannot_be_served_is_an_error(tmp_path: Path, document: Any, reason: str) -> None:
    found = read(tmp_path, document)
    assert (found.id, found.head, found.container) == (None, b"", False)
    assert found.stamp is not None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(*errors(found))


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "out.json").symlink_to("/etc/passwd")
    requests = [
        ItemRequest(0, path, None) for path in ("none.json", "pipe.json", "out.json", "../a.json", "/etc/passwd")
    ]
    found = read_items(Folder(str(tmp_path)), requests, frozenset())
    assert [(document.id, document.stamp) for document in found] == [(None, None)] * 5
    assert all(len(errors(document)) == 1 for document in found)


@pytest.mark.parametrize("document", [catalog(), collection(), {"stac_version": "0.9.0", "id": "a", "links": []}])
def test_container_behind_an_item_link_says_so(tmp_path: Path, document: dict[str, Any]) -> None:
    found = read(tmp_path, document)
    assert (found.id, found.container, found.problems) == (None, True, ())
    assert found.stamp is not None


@pytest.mark.parametrize(
    ("changes", "pointer", "repaired"),
    [
        ({"properties": None}, "/properties", {}),
        ({"properties": [1]}, "/properties", {}),
        ({"assets": None}, "/assets", {}),
        ({"assets": ["a"]}, "/assets", {}),
        ({"links": {"a": 1}}, "/links", []),
        ({"links": None}, "/links", []),
    ],
)
def test_member_of_a_wrong_type_is_served_empty(
    tmp_path: Path, changes: dict[str, Any], pointer: str, repaired: Any
) -> None:
    found = read(tmp_path, item(**changes))
    assert found.id == "a" and pointers(found)[0] == pointer
    assert served(found.head)[pointer[1:]] == repaired


def test_missing_members_are_added(tmp_path: Path) -> None:
    found = read(tmp_path, {"type": "Feature", "stac_version": "1.0.0", "id": 17})
    assert found.id == "17"
    expected: dict[str, Any] = {"id": "17", "geometry": None, "properties": {}, "assets": {}, "links": []}
    assert {name: served(found.head)[name] for name in expected} == expected
    assert pointers(found) == ["/id", "/geometry", "/links", "/properties", "/assets", "/properties"]


def test_odd_assets_do_not_cost_the_item(tmp_path: Path) -> None:
    assets = {"text": "a.tif", "none": {}, "number": {"href": 5}, "good": {"href": "a.tif", "alternate": ["x"]}}
    found = read(tmp_path, item(assets=assets))
    assert list(served(found.head)["assets"]) == ["none", "number", "good"]
    assert pointers(found) == ["/assets/text", "/assets/none", "/assets/number"]


@pytest.mark.parametrize("geometry", [{"type": "Polygon"}, "x", {"type": "Point", "coordinates": ["a"]}, [1]])
def test_item_with_a_broken_geometry_is_served(tmp_path: Path, geometry: Any) -> None:
    found = read(tmp_path, item(geometry=geometry))
    assert (found.id, found.wkb, pointers(found)) == ("a", None, ["/geometry"])
    assert served(found.head)["geometry"] == geometry


def test_byte_order_mark_and_missing_version_are_warnings(tmp_path: Path) -> None:
    document = item()
    del document["stac_version"]
    found = read(tmp_path, b"\xef\xbb\xbf" + json.dumps(document).encode())
    assert (found.id, pointers(found)) == ("a", ["", "/stac_version"])
    assert served(found.head)["stac_version"] == "1.0.0"


def test_large_item_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, item(properties={"datetime": "2024-06-01T12:00:00Z", "a": ["x" * 1000] * 10_000}))
    assert found.id == "a" and len(found.head) > 10_000_000


# ---- old versions -------------------------------------------------------------------


def test_old_item_gets_what_its_collection_says_for_all(tmp_path: Path) -> None:
    common = {"platform": "landsat", "gsd": 30}
    write(
        tmp_path / "c.json", {"stac_version": "0.8.1", "id": "c", "license": "MIT", "links": [], "properties": common}
    )
    properties = {"datetime": "2024-06-01T12:00:00Z", "gsd": 15}
    document = item(stac_version="0.8.1", properties=properties, links=[link("collection", "../c.json")])
    found = read(tmp_path, document, nearest="c", collections=["c"])
    assert (found.values["splatform"], found.values["ngsd"]) == ("landsat", 15)
    assert served(found.head)["stac_version"] == pystac.get_stac_version()
    assert (
        "splatform" not in read(tmp_path, {**document, "stac_version": "0.9.0"}, nearest="c", collections=["c"]).values
    )


@pytest.mark.parametrize("links", [None, [5], [link("collection", "none.json")], [link("collection", "/etc/passwd")]])
def test_old_item_without_a_readable_collection_is_served(tmp_path: Path, links: Any) -> None:
    assert read(tmp_path, item(stac_version="0.8.0", links=links)).id == "a"


# ---- anything -----------------------------------------------------------------------

HREFS = st.sampled_from(
    ["a.tif", "../../../x", "/etc/passwd", "file:///etc/passwd", "%2e%2e/%2e%2e/x", "\0", "http://[", "", "#"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | HREFS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["href", "rel"]), inner),
    max_leaves=8,
)
MEMBERS = [
    "type",
    "stac_version",
    "id",
    "geometry",
    "bbox",
    "properties",
    "links",
    "assets",
    "collection",
    "stac_extensions",
]


@given(
    changes=st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4),
    asset=st.dictionaries(st.sampled_from(["href", "alternate"]), HREFS | JSON),
    properties=st.dictionaries(st.text() | st.just("datetime"), JSON),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_item_is_served_or_refused(
    tmp_path: Path, changes: dict[str, Any], asset: dict[str, Any], properties: dict[str, Any]
) -> None:
    found = read(
        tmp_path, {**item(assets={"a": asset}, properties=properties), **changes}, nearest="c", collections=["c"]
    )
    if found.id is None:
        assert found.container or errors(found)
        return
    document = served(found.head)
    assert document["id"] == found.id and document["collection"] == found.collection == "c"
    assert isinstance(document["properties"], dict) and isinstance(document["assets"], dict)
    assert b"\0" not in orjson.dumps(found.values) and b"\0" not in found.rest
    hrefs = [member.get("href") for member in [*document["assets"].values(), *document["links"]]]
    assert not any(str(href).startswith(("/", "file:")) for href in hrefs)
    assert str(tmp_path).encode() not in found.head
