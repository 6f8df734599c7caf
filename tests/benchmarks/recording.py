"""The statements of a page, as our store runs them: what the ceiling server replays."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from servers import Statement

from stacserve.search import item_search_from_query, search_limits
from stacserve.settings import Settings
from stacserve.store.pages import PageRules, search_items
from stacserve.store.readers import Memory, Reader

_NO_DOCUMENTS: Statement = ("SELECT NULL WHERE 0", {})


class Recorder:
    """Records the statements of searches in one index."""

    def __init__(self, index: Path) -> None:
        settings = Settings()
        self._limits = search_limits(settings)
        self._rules = PageRules(settings.page_bytes_max)
        self._reader = Reader(index)

    def statements_for(self, target: str) -> list[Statement]:
        """Return what is run for the page that `/search?...` asks for, its documents last.

        The page is taken twice, and recorded the second time: then its count and its plan are known, and what
        remains is what any page needs.
        """
        query = parse_qsl(urlsplit(target).query, keep_blank_values=True)
        search = item_search_from_query(query, self._limits)
        memory = Memory(16)
        connection = _RecordingConnection(self._reader.connection)
        snapshot = self._reader.snapshot()
        search_items(snapshot, search, self._rules, memory)
        recorded = replace(snapshot, connection=cast(sqlite3.Connection, connection))
        search_items(recorded, search, self._rules, memory)
        delivering = [one for one in connection.statements if _delivers_documents(one)]
        others = [one for one in connection.statements if not _delivers_documents(one)]
        return others + (delivering or [_NO_DOCUMENTS])

    def close(self) -> None:
        """Close the index."""
        self._reader.connection.close()


class _RecordingConnection:
    """Stands in for a connection and remembers what it is asked."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.statements: list[Statement] = []

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        self.statements.append((sql, parameters))
        return self._connection.execute(sql, parameters)


def _delivers_documents(statement: Statement) -> bool:
    return "documents.head" in statement[0]
