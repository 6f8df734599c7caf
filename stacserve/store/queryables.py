"""Queryables from the data: type, range and values of every property that items have."""

from __future__ import annotations

from typing import Any

from stacserve.paths import collection_container
from stacserve.store.properties import Kind
from stacserve.store.snapshot import Snapshot
from stacserve.store.tables import container_label

ENUM_MAX = 20
_ENUM_LENGTH_MAX = 100

_ALWAYS: dict[str, dict[str, Any]] = {
    "id": {"title": "Item id", "type": "string"},
    "collection": {"title": "Collection id", "type": "string"},
    "geometry": {"title": "Footprint", "$ref": "https://geojson.org/schema/Geometry.json"},
    "datetime": {"title": "Date and time", "type": "string", "format": "date-time"},
}
_TYPES = {Kind.NUMBER: "number", Kind.TEXT: "string", Kind.BOOL: "boolean"}
# Names that read better than what their words make of them.
_TITLES = {"gsd": "Ground sample distance (m)", "eo:cloud_cover": "Cloud cover (%)", "proj:epsg": "EPSG code"}


def describe_properties(snapshot: Snapshot, collection_id: str | None) -> dict[str, Any]:
    """Return a JSON schema for each property that items of a collection (None: of any) have, by name."""
    label = None if collection_id is None else container_label(collection_container(collection_id))
    stats = _read_stats(snapshot, label)
    found = {name: dict(schema) for name, schema in _ALWAYS.items()}
    for name, kinds in sorted(snapshot.properties.columns.items()):
        schema = _describe(snapshot, {Kind(kind): column for kind, column in kinds.items()}, stats, label)
        if schema and name not in found:
            found[name] = {"title": _title(name), **schema}
    return found


def _read_stats(snapshot: Snapshot, label: str | None) -> dict[str, tuple[int, Any, Any]]:
    """Return count, least and greatest value of every column, in one pass over the items."""
    columns = sorted(column for kinds in snapshot.properties.columns.values() for column in kinds.values())
    if not columns:
        return {}
    parts = ", ".join(f"count({column}), min({column}), max({column})" for column in columns)
    sql = f"SELECT {parts} FROM items" + (" WHERE container = ?" if label else "")  # noqa: S608 (numbered columns)
    row = snapshot.connection.execute(sql, (label,) if label else ()).fetchone()
    return {column: row[3 * number : 3 * number + 3] for number, column in enumerate(columns)}


def _describe(
    snapshot: Snapshot, kinds: dict[Kind, str], stats: dict[str, tuple[int, Any, Any]], label: str | None
) -> dict[str, Any] | None:
    there = {kind: column for kind, column in kinds.items() if stats[column][0]}
    types = [_TYPES[kind] for kind in _TYPES if kind in there]
    if len(types) > 1:
        return {"type": types}
    if Kind.NUMBER in there:
        column = there[Kind.NUMBER]
        _, least, greatest = stats[column]
        kind = "integer" if _are_integers(snapshot, column, label) else "number"
        return {"type": kind, "minimum": least, "maximum": greatest}
    if Kind.TEXT in there:
        times = stats[there[Kind.TIME]][0] if Kind.TIME in there else 0
        is_time = times == stats[there[Kind.TEXT]][0]
        detail = {"format": "date-time"} if is_time else _describe_values(snapshot, there[Kind.TEXT], label)
        return {"type": "string", **detail}
    return {"type": types[0]} if types else None


def _describe_values(snapshot: Snapshot, column: str, label: str | None) -> dict[str, Any]:
    values = _read_values(snapshot, column, label)
    is_enum = len(values) < ENUM_MAX and all(len(value) <= _ENUM_LENGTH_MAX for value in values)
    return {"enum": sorted(values)} if is_enum else {}


def _are_integers(snapshot: Snapshot, column: str, label: str | None) -> bool:
    condition = " AND container = ?" if label else ""
    sql = f"SELECT 1 FROM items WHERE typeof({column}) = 'real'{condition} LIMIT 1"  # noqa: S608 (numbered columns)
    return snapshot.connection.execute(sql, (label,) if label else ()).fetchone() is None


def _read_values(snapshot: Snapshot, column: str, label: str | None) -> list[str]:
    """Return the different values of a column, at most one more than an enum may have."""
    condition = " AND container = ?" if label else ""
    sql = f"SELECT DISTINCT {column} FROM items WHERE {column} IS NOT NULL{condition} LIMIT {ENUM_MAX:d}"  # noqa: S608
    return [value for (value,) in snapshot.connection.execute(sql, (label,) if label else ())]


def _title(name: str) -> str:
    """Return a name as words: `view:off_nadir` as "View: off nadir"."""
    if name in _TITLES:
        return _TITLES[name]
    words = name.replace("_", " ").replace(":", ": ").strip()
    return words[:1].upper() + words[1:]
