"""Settings are declared once: from the environment, back to it, and where indexes go."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacserve.app import create_app
from stacserve.errors import StartError
from stacserve.settings import (
    Settings,
    check_settings,
    default_index_folder,
    environ_from_settings,
    settings_from_environ,
)

WORDS = st.text(st.characters(codec="utf-8", exclude_characters=f"\0{os.pathsep}"), min_size=1)


def test_empty_environment_gives_the_defaults() -> None:
    assert settings_from_environ({}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("source", "./catalog", "./catalog"),
        ("port", "0", 0),
        ("query_timeout", "2.5", 2.5),
        ("wait", "yes", True),
        ("wait", "1", True),
        ("ingest", "False", False),
        ("ingest", "", False),
        ("allow", "", ()),
        ("allow", "/data", ("/data",)),
        ("allow", os.pathsep.join(["/data", "/more"]), ("/data", "/more")),
    ],
)
def test_variable_sets_its_field(name: str, text: str, value: object) -> None:
    settings = settings_from_environ({f"STACSERVE_{name.upper()}": text})
    assert settings == dataclasses.replace(Settings(), **{name: value})


@pytest.mark.parametrize(("name", "text"), [("PORT", "http"), ("QUERY_TIMEOUT", "soon"), ("WAIT", "perhaps")])
def test_bad_variable_is_named(name: str, text: str) -> None:
    with pytest.raises(StartError, match=rf"^STACSERVE_{name}='{text}' is not [a-z ]+; write STACSERVE_{name}=[\w.]+$"):
        settings_from_environ({f"STACSERVE_{name}": text})


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [
        *(("limit_default", 0, "100"), ("limit_max", 1_000_001, "10000"), ("limit_max", "10", "10000")),
        *(("page_bytes_max", 2**40 + 1, "32000000"), ("body_bytes_max", -1, "2000000"), ("workers", True, "1")),
        *(("port", 65_536, "8000"), ("port", -1, "8000"), ("filter_depth_max", 1.5, "64")),
        *(
            ("query_timeout", 0, "30.0"),
            ("query_timeout", float("nan"), "30.0"),
            ("query_timeout", float("inf"), "30.0"),
        ),
        ("unknown_properties", "maybe", "null"),
    ],
)
def test_impossible_value_is_refused_with_a_right_one(name: str, value: Any, example: str) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(StartError, match=rf"^{flag} is .*; write {flag} {example}$"):
        create_app(Settings(**{name: value}))


@pytest.mark.parametrize(("name", "value"), [("port", 0), ("page_bytes_max", 2**40), ("query_timeout", 1)])
def test_extreme_values_are_possible(name: str, value: Any) -> None:
    check_settings(Settings(**{name: value}))


def test_other_variables_are_ignored() -> None:
    assert settings_from_environ({"STACSERVE_COLOUR": "blue", "PORT": "9"}) == Settings()


@given(
    source=WORDS,
    port=st.integers(),
    wait=st.booleans(),
    query_timeout=st.floats(allow_nan=False),
    allow=st.lists(WORDS).map(tuple),
)
def test_environment_gives_the_same_settings_back(
    source: str, port: int, wait: bool, query_timeout: float, allow: tuple[str, ...]
) -> None:
    settings = Settings(source=source, port=port, wait=wait, query_timeout=query_timeout, allow=allow)
    assert settings_from_environ(environ_from_settings(settings)) == settings


def test_every_field_says_what_it_does() -> None:
    assert [field.name for field in dataclasses.fields(Settings) if not field.metadata["help"].endswith(".")] == []


def test_indexes_go_to_the_users_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_index_folder() == Path("/cache/stacserve")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_index_folder() == Path("/home/somebody/.cache/stacserve")


def test_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", find_no_home)
    with pytest.raises(StartError, match="set --db or XDG_CACHE_HOME"):
        default_index_folder()
