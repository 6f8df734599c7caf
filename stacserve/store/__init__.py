"""Stores: where collections and items are kept, and how to open one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stacserve.store.connections import is_usable
from stacserve.store.interface import Store
from stacserve.store.pages import PageRules
from stacserve.store.sqlite import SqliteStore

__all__ = ["is_usable", "open_store"]


def open_store(
    path: str | Path,
    *,
    query_timeout: float = 30.0,
    page_bytes_max: int = 32_000_000,
    unknown_properties: str = "null",
    allow: Sequence[str] = (),
) -> Store:
    """Open an index file for reading. See `Settings` for the options."""
    rules = PageRules(page_bytes_max, unknown_properties)
    return SqliteStore(Path(path), query_timeout=query_timeout, rules=rules, allow=allow)
