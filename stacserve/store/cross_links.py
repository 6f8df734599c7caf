"""Links from one document of the catalog to another, which become links to its API address.

While documents are read it is not known yet what a file will be, so such a link first names the file. When all
are read, the address takes its place in the stored document.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Mapping
from operator import itemgetter

from stacserve.paths import asset_path

_BATCH = 1_000
# What links say, and what they should say: the address of the item or container that the file became, NULL if it
# became neither. All links of some documents.
_LINKS = """
SELECT cross_links.key, cross_links.target, cross_links.href, coalesce(documents.path, containers.path)
FROM cross_links LEFT JOIN files ON files.path = cross_links.target
LEFT JOIN documents ON documents.key = files.key
LEFT JOIN containers ON containers.key = files.key
WHERE cross_links.key > :after AND cross_links.key <=
  (SELECT max(key) FROM (SELECT key FROM cross_links WHERE key > :after ORDER BY key LIMIT :batch))
ORDER BY cross_links.key
"""
_HREF = re.compile(rb'"href":"(\0[^"]*)"')


def resolve_cross_links(connection: sqlite3.Connection) -> None:
    """Bring every link between documents up to date."""
    after = -1
    while rows := connection.execute(_LINKS, {"after": after, "batch": _BATCH}).fetchall():
        after = rows[-1][0]
        for key, links in itertools.groupby(rows, key=itemgetter(0)):
            wanted = [(target, old, path.decode() if path else asset_path(target)) for _, target, old, path in links]
            stale = [(new, key, target) for target, old, new in wanted if new != old]
            if stale:
                _replace_hrefs(connection, key, {old: new for _, old, new in wanted})
                connection.executemany("UPDATE cross_links SET href = ? WHERE key = ? AND target = ?", stale)


def _replace_hrefs(connection: sqlite3.Connection, key: int, hrefs: Mapping[str, str]) -> None:
    """Replace hrefs in the links of a document, all at once: two may have to change places."""
    members = {b"\0" + old.encode(): b'"href":"\0' + new.encode() + b'"' for old, new in hrefs.items()}
    for table in ("documents", "containers"):
        row = connection.execute(f"SELECT head FROM {table} WHERE key = ?", (key,)).fetchone()  # noqa: S608 (constants)
        if row is not None:
            # assets, which name files, stand before
            start = row[0].find(b'"links":[')
            links = _HREF.sub(lambda found: members.get(found[1], found[0]), row[0][start:])
            connection.execute(f"UPDATE {table} SET head = ? WHERE key = ?", (row[0][:start] + links, key))  # noqa: S608
