"""Settings: every option of the server, declared once.

The command line makes its options from these fields, the environment uses the same names with the prefix
`STACSERVE_`, and the README's table is compared with them by a test. Nothing here reads the environment
unless `settings_from_environ` is called.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from stacserve.errors import StartError

ENVIRON_PREFIX = "STACSERVE_"
NUMBER_MAX = 1_000_000
RANGES = {"port": (0, 65_535), "page_bytes_max": (1, 2**40), "body_bytes_max": (1, 2**40)}  # others: 1, NUMBER_MAX
UNKNOWN_PROPERTIES = ("null", "error")
_KINDS = {bool: "true or false", int: "a whole number", float: "a number"}


def option(default: Any, help: str, *, metavar: str | None = None) -> Any:
    """Declare a field with its default and the sentence that `--help` and the README show."""
    return dataclasses.field(default=default, metadata={"help": help, "metavar": metavar})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to serve and how. Every field can be set by option, by environment, or here."""

    source: str = option("", "Folder with a STAC catalog, or the path of its catalog.json or collection.json.")
    host: str = option(
        "127.0.0.1", "Address to listen on. Only this machine by default; 0.0.0.0 opens it to the network."
    )
    port: int = option(8000, "Port to listen on; 0 takes any free one and prints it.")
    db: str = option("", "Index file. By default in the user's cache folder, named after the source.", metavar="PATH")
    workers: int = option(1, "Server processes. One answers thousands of requests a second; more use more cores.")
    root_path: str = option("", "Path prefix under which a proxy publishes the server, such as /stac.", metavar="PATH")
    public_url: str = option(
        "", "Base URL for every link, whatever the request says. A path in it is also the root path.", metavar="URL"
    )
    forwarded_allow_ips: str = option(
        "127.0.0.1,::1",
        "Addresses or networks whose Forwarded and X-Forwarded-* headers are believed, by comma; * believes all.",
        metavar="IPS",
    )
    allow: tuple[str, ...] = option(
        (), "Folder outside the catalog whose files may be read and served; repeatable. None by default.", metavar="DIR"
    )
    wait: bool = option(False, "Refresh the index before the port opens. By default a usable index is served at once.")
    query_timeout: float = option(
        30.0, "Seconds after which a query is stopped and answered with 503.", metavar="SECONDS"
    )
    limit_default: int = option(100, "Items on a page when a request names no limit.")
    limit_max: int = option(10_000, "Most items on a page; a larger limit is lowered to it.")
    collections_limit_default: int = option(1_000, "Collections on a page when a request names no limit.")
    page_bytes_max: int = option(32_000_000, "A page ends early at this many bytes, with a link to the next one.")
    body_bytes_max: int = option(2_000_000, "Longest request body; a longer one is answered with 413.")
    filter_length_max: int = option(50_000, "Longest CQL2 filter in characters.")
    filter_depth_max: int = option(64, "Deepest nesting of a CQL2 filter or a GeoJSON geometry collection.")
    filter_list_max: int = option(10_000, "Most values in one list of a CQL2 filter, of ids or of collections.")
    geometry_points_max: int = option(50_000, "Most points of a geometry in a request.")
    unknown_properties: str = option(
        "null", "What a filter on a property that no item has means: null (no item matches) or error (400)."
    )
    extra_parameters: tuple[str, ...] = option(
        (),
        "Query parameter to ignore instead of refusing it, such as an API key of a proxy; repeatable.",
        metavar="NAME",
    )
    ingest: bool = option(
        True, "Build and refresh the index at start. With --no-ingest an existing index is served as it is."
    )


def settings_from_environ(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that the `STACSERVE_*` variables give; StartError names a bad one."""
    values: dict[str, Any] = {}
    for name, kind in get_type_hints(Settings).items():
        text = environ.get(ENVIRON_PREFIX + name.upper())
        if text is not None:
            values[name] = _read_value(name, text, kind)
    return Settings(**values)


def check_settings(settings: Settings) -> None:
    """Refuse what no server can do; StartError names the option and shows a right value."""
    for field in dataclasses.fields(settings):
        fault = _find_fault(field.name, getattr(settings, field.name), type(field.default))
        if fault:
            flag = "--" + field.name.replace("_", "-")
            raise StartError(f"{flag} is {fault}; write {flag} {field.default}")


def _find_fault(name: str, value: Any, kind: type) -> str:
    """Return what the value of a field should be and is not, or an empty string."""
    if kind is int:
        low, high = RANGES.get(name, (1, NUMBER_MAX))
        right = type(value) is int and low <= value <= high
        return "" if right else f"a whole number from {low} to {high}, not {value!r}"
    if kind is float:
        right = type(value) in (int, float) and 0 < value <= NUMBER_MAX
        return "" if right else f"a number above 0, at most {NUMBER_MAX}, not {value!r}"
    if name == "unknown_properties" and value not in UNKNOWN_PROPERTIES:
        return f"{' or '.join(UNKNOWN_PROPERTIES)}, not {value!r}"
    return ""


def environ_from_settings(settings: Settings) -> dict[str, str]:
    """Return the variables that give these settings back: how they reach worker processes."""
    return {
        ENVIRON_PREFIX + field.name.upper(): _write_value(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
    }


def default_index_folder() -> Path:
    """Return the user's cache folder for indexes (XDG base directories; LOCALAPPDATA on Windows)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "stacserve"
    except RuntimeError:
        raise StartError("this user has no home folder for the index; set --db or XDG_CACHE_HOME") from None


def _read_value(name: str, text: str, kind: Any) -> Any:
    try:
        if kind is bool:
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[
                text.lower()
            ]
        if kind in (int, float, str):
            return kind(text)
        return tuple(part for part in text.split(os.pathsep) if part)
    except (KeyError, ValueError):
        variable, example = ENVIRON_PREFIX + name.upper(), _write_value(getattr(Settings, name))
        raise StartError(f"{variable}={text[:60]!r} is not {_KINDS[kind]}; write {variable}={example}") from None


def _write_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return os.pathsep.join(value) if isinstance(value, tuple) else str(value)
