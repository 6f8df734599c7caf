"""Settings are declared once: from the environment, back to it, and where indexes go."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacserve.settings import Settings, default_index_folder, environ_from_settings, settings_from_environ

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
    with pytest.raises(ValueError, match=f"STACSERVE_{name}='{text}'"):
        settings_from_environ({f"STACSERVE_{name}": text})


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
