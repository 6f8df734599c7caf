"""The house holds its own limits, and the measuring finds what breaks them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import house

FLOORS = [["__init__"], ["low", "beside"], ["middle"], ["room.*", "store.*"], ["top", "api.*"]]


def package_with(folder: Path, **files: str) -> list[house.Module]:
    """Write modules into a folder and read them; two underscores stand for a subfolder."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'"""Words."""\n{text}\n', encoding="utf-8")
    return house.read_package(folder)


def test_package_keeps_its_limits() -> None:
    assert house.broken_limits(house.read_package()) == []


def test_imports_go_down_and_stay_in_their_rooms() -> None:
    assert house.broken_imports(house.read_package(), house.read_floors()) == []


def test_every_floor_is_lived_on() -> None:
    names = {module.name for module in house.read_package()}
    named = {name for floor in house.read_floors() for name in floor if not name.endswith("*")}
    assert named <= names


def test_nothing_foreign_lies_in_the_repository() -> None:
    if not (house.ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    assert house.foreign_entries() == []


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("def f(a): ...", "a parameter without a type"),
        ("def f(a: int): ...", "returns something without a type"),
        ("def f() -> None: ...", "low.f has no docstring"),
        ("class C:\n    def m(self) -> None: ...", "low.C.m has no docstring"),
        ("def _f({}) -> None: ...".format(", ".join(f"a{n}: int" for n in range(9))), "9 parameters"),
        ("def _f() -> None:\n" + "".join(f"{' ' * n}if 1:\n" for n in range(1, 6)) + "      ...", "5 blocks"),
        ("def _f() -> int:\n    return " + " or ".join("1" * 13), "13 branches"),
        ("def _f() -> None:\n" + "    ...\n" * 60, "61 code lines"),
        ("x = 1\n" * 401, "401 code lines"),
        ("try: ...\nexcept Exception: ...\n" * 4, "4 places catch every exception"),
        ("x = 1  # noqa" + ": E1", "1 lines silence a checker"),
        ("class A: ...\nclass B(A): ...\nclass C(B): ...", "low.C is 3 classes deep"),
    ],
)
def test_broken_limit_is_found(tmp_path: Path, body: str, complaint: str) -> None:
    modules = package_with(tmp_path, low=body, other="def _f() -> None: ...")
    assert any(complaint in found for found in house.broken_limits(modules))


def test_elif_is_as_deep_as_its_if(tmp_path: Path) -> None:
    chain = "def _f(a: int) -> None:\n    if a == 0: ...\n" + "".join(f"    elif a == {n}: ...\n" for n in range(1, 7))
    assert house.broken_limits(package_with(tmp_path, low=chain)) == []


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"low": "import stacserve.middle"}, "low imports middle, which is not on a lower floor"),
        ({"low": "from stacserve import beside", "beside": ""}, "low imports beside, which is not on a lower floor"),
        ({"low": "from stacserve.room.chair import x", "room__chair": ""}, "low imports room.chair"),
        ({"cellar": ""}, "cellar stands on no floor"),
        ({"top": "def f() -> None:\n    import stacserve.low"}, "top imports inside f"),
        ({"top": "from typing import TYPE_CHECKING\nif TYPE_CHECKING: ..."}, "top imports for types alone"),
        ({"top": "import starlette.routing"}, "top imports starlette, which is at home in"),
        ({"api__a": "from stacserve.store.b import c", "store__b": ""}, "api.a imports store.b, knowing only"),
        ({"top": "import flask"}, "top imports flask, which is at home in no module"),
    ],
)
def test_broken_import_is_found(tmp_path: Path, files: dict[str, str], complaint: str) -> None:
    modules = package_with(tmp_path, **{"low": "", "middle": "", **files})
    assert any(found.startswith(complaint) for found in house.broken_imports(modules, FLOORS))


def test_imports_of_lower_floors_are_fine(tmp_path: Path) -> None:
    modules = package_with(tmp_path, low="", middle="from stacserve.low import x", top="import json, stacserve.middle")
    assert house.broken_imports(modules, FLOORS) == []
