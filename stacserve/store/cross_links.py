"""Links from one document of the catalog to another, which become links to its API address.

While documents are read it is not known yet what a file will be, so such a link first names the file. When all
are read, the address takes its place in the stored document.
"""

from __future__ import annotations

import sqlite3

from stacserve.paths import asset_path

_BATCH = 1_000
# What a link should say now: the address of the item or container that the file became, NULL if it became neither.
_LINKS = """
SELECT cross_links.key, cross_links.target, cross_links.href, coalesce(documents.path, containers.path)
FROM cross_links LEFT JOIN files ON files.path = cross_links.target
LEFT JOIN documents ON documents.key = files.key
LEFT JOIN containers ON containers.key = files.key
"""


def resolve_cross_links(connection: sqlite3.Connection) -> None:
    """Bring every link between documents up to date."""
    cursor = connection.execute(_LINKS)
    stale: list[tuple[int, str, str, str]] = []
    while rows := cursor.fetchmany(_BATCH):
        for key, target, href, path in rows:
            wanted = path.decode() if path is not None else asset_path(target)
            if wanted != href:
                stale.append((key, target, href, wanted))
    for key, target, href, wanted in stale:
        _replace_href(connection, key, href, wanted)
        connection.execute("UPDATE cross_links SET href = ? WHERE key = ? AND target = ?", (wanted, key, target))


def _replace_href(connection: sqlite3.Connection, key: int, old: str, new: str) -> None:
    parameters = (_member(old), _member(new), key)
    for statement in (
        "UPDATE documents SET head = CAST(replace(head, ?, ?) AS BLOB) WHERE key = ?",
        "UPDATE containers SET head = CAST(replace(head, ?, ?) AS BLOB) WHERE key = ?",
    ):
        connection.execute(statement, parameters)


def _member(path: str) -> bytes:
    return b'"href":"\0' + path.encode() + b'"'
