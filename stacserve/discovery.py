"""Walking a catalog: reading catalogs and collections, following their links, and giving each its place.

Items are only noted here, to be read in bulk afterwards. A document that was there before is removed only if a
container that could be read links it no longer; what lies below an unreadable document stays.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable

from stacserve.catalog import ContainerDocument, Source, read_container
from stacserve.paths import catalog_container, collection_container, container_path
from stacserve.problems import ERROR, WARNING, Problem
from stacserve.store.files import FileRow
from stacserve.store.index import ContainerRow, Index

ROOT_PATH = b"/"
# Of an address: beyond it the ids of catalogs far above are hashed, for URLs have an end.
_PREFIX_LENGTH = 1_000


class Discovery:
    """One walk over the containers of a source."""

    def __init__(self, index: Index, source: Source, *, on_document: Callable[[], None]) -> None:
        self.index = index
        self.source = source
        self.on_document = on_document
        self.known = {row.key: row for row in index.read_containers()}
        self.collections_before = _served_collections(self.known.values())
        self.seen: set[int] = set()
        self.paths: dict[int, str] = {}
        self.removed = 0

    def walk(self) -> None:
        """Read what is new or changed among the containers, from the root down, then whatever else waits."""
        files = self.index.files
        files.mark_changed(key for key, path in files.read_missing_links() if self.source.folder.stamp(path))
        root = self._root_file()
        self._walk_from([(root, None, 0)])
        if root.key in self.known:
            self.removed += self.index.remove_documents([key for key in files.read_roots() if key != root.key])
        while files.heirs:
            self._read_again(files.take_heirs())

    def _root_file(self) -> FileRow:
        self.index.files.add_root(self.source.root)
        file = self.index.files.read(self.source.root)
        if file is None:
            raise LookupError(self.source.root)
        return file

    def _read_again(self, keys: list[int]) -> None:
        """Walk once more from containers that have other children than they had when they were read."""
        self.seen.difference_update(keys)
        self.index.files.mark_changed(keys)
        for file in self.index.files.read_keys(keys):
            self._walk_from([(file, file.parent, self._position(file))])

    def _walk_from(self, starts: Iterable[tuple[FileRow, int | None, int]]) -> None:
        queue = deque(starts)
        while queue:
            file, parent, position = queue.popleft()
            if file.key in self.seen:
                self._move(self.known.get(file.key), parent, position)
                continue
            self.seen.add(file.key)
            self.paths[file.key] = file.path
            children = self._visit(file, parent, position)
            queue.extend((child, file.key, number) for child, number in children)

    def _visit(self, file: FileRow, parent: int | None, position: int) -> list[tuple[FileRow, int]]:
        """Read one container unless it is unchanged; return the containers that it links, and their positions."""
        row = self.known.get(file.key)
        if file.is_unchanged(self.source.folder.stamp(file.path)):
            self._move(row, parent, position)
            return self._remembered_children(file.key)
        self.on_document()
        document = read_container(self.source.folder, file.path)
        if document.type == "Item":
            self.removed += self.index.remove_container(file.key)
            self.known.pop(file.key, None)
            self.index.files.set_outcome(file.key, "new", None, is_container=False)
            return []
        if not document.type:
            self._move(row, parent, position)
            self.index.files.set_outcome(file.key, "problem", document.stamp, is_container=True)
            self.index.put_problems(file.key, document.problems)
            return self._remembered_children(file.key)
        if row is None and file.state == "problem" and parent is not None:
            # its place among the others was not known as long as it could not be read
            self.index.files.heirs.add(parent)
        self._put(file, document, parent, position)
        return self._sync_children(file, document)

    def _move(self, row: ContainerRow | None, parent: int | None, position: int) -> None:
        if row is not None and (row.parent, row.position) != (parent, position):
            self.known[row.key] = row._replace(parent=parent, position=position)
            self.index.put_containers([self.known[row.key]])

    def _put(self, file: FileRow, document: ContainerDocument, parent: int | None, position: int) -> None:
        kind = "collections" if document.type == "Collection" else "catalogs"
        # address, collection and paths follow from the whole tree: see `place_containers`
        old = self.known.get(file.key)
        row = ContainerRow(
            key=file.key,
            kind=kind,
            id=document.id,
            title=document.title,
            parent=parent,
            position=position,
            served=old.served if old else 1,
            address=old.address if old else None,
            collection=old.collection if old else None,
            path=old.path if old else None,
            parent_path=old.parent_path if old else None,
            head=document.head,
        )
        self.known[file.key] = row
        self.index.put_containers([row])
        self.index.files.set_outcome(file.key, "indexed", document.stamp, is_container=True)
        self.index.remove_references([file.key])
        self.index.put_references([(file.key, document.assets, document.cross_links)])
        self.index.put_problems(file.key, document.problems)

    def _remembered_children(self, key: int) -> list[tuple[FileRow, int]]:
        files = [file for file in self.index.files.read_children(key) if file.is_container]
        return [
            (file, self.known[file.key].position if file.key in self.known else number)
            for number, file in enumerate(files)
        ]

    def _position(self, file: FileRow) -> int:
        siblings = [] if file.parent is None else self._remembered_children(file.parent)
        return next((number for sibling, number in siblings if sibling.key == file.key), 0)

    def _sync_children(self, file: FileRow, document: ContainerDocument) -> list[tuple[FileRow, int]]:
        """Add what is linked for the first time, remove what is linked no longer."""
        remembered = {child.path: child for child in self.index.files.read_children(file.key)}
        linked = {*document.children, *document.items, *document.missing}
        # first what goes, so that a document from below it can move here
        self.index.files.set_extra_links(file.key, [])
        gone = [child.key for path, child in remembered.items() if path not in linked]
        self.removed += self.index.remove_documents(gone)
        for key in gone:
            self.known.pop(key, None)
        for paths, is_container in ((document.children, True), (document.items, False)):
            new = [path for path in paths if path not in remembered]
            self.index.files.add(file.key, new, is_container=is_container)
        files = {child.path: child for child in self.index.files.read_children(file.key)}
        foreign = [path for path in linked if path not in files]
        self.index.files.set_extra_links(file.key, [*foreign, *document.missing])
        if foreign:
            self._complain_of_loops(file, foreign)
        order = {path: number for number, path in enumerate([*document.children, *document.items])}
        children = [child for child in files.values() if child.is_container]
        children.sort(key=lambda child: order.get(child.path, len(order)))
        return [(child, number) for number, child in enumerate(children)]

    def _complain_of_loops(self, file: FileRow, paths: list[str]) -> None:
        above = {file.path}
        row = self.known[file.key]
        while row.parent is not None:
            above.add(self.paths[row.parent])
            row = self.known[row.parent]
        loops = [path for path in paths if path in above]
        if loops:
            reason = f"a link leads back to {loops[0]}, which is above this document"
            self.index.add_problem(file.key, Problem(file.path, "/links", reason, "remove the link", WARNING))

    def place_containers(self) -> None:
        """Give each container its address, nearest collection and API path; have items of moved ones read again."""
        rows = {row.key: row for row in self.index.read_containers()}
        paths = {file.key: file.path for file in self.index.files.read_keys(rows)}
        placed = _place(rows, paths)
        changed = [row for key, row in placed.items() if row != rows[key]]
        self.index.put_containers(changed)
        moved = [row.key for row in changed if _home(row) != _home(rows[row.key])]
        self.index.files.mark_children_changed(moved)
        after = _served_collections(placed.values())
        if self.collections_before != after:
            self.index.mark_collections_changed(self.collections_before - after)
        self.index.put_shadowed(_shadowed(placed, paths))


def _served_collections(rows: Iterable[ContainerRow]) -> set[str]:
    return {row.id for row in rows if row.kind == "collections" and row.path and row.served}


def _home(row: ContainerRow) -> tuple[str | None, str | None, bytes | None]:
    return row.collection, row.address, row.path


def _place(rows: dict[int, ContainerRow], paths: dict[int, str]) -> dict[int, ContainerRow]:
    """Return the rows with address, collection, served and paths as the tree gives them."""
    placed = _place_below_root(rows)
    _separate(placed, paths)
    served = _first_by_path((row for row in placed.values() if row.kind == "collections"), paths)
    for key, row in placed.items():
        is_served = row.kind == "catalogs" or served[row.id] == key
        placed[key] = row._replace(served=int(is_served), path=_path_of(row))
    for key, row in placed.items():
        parent_path = ROOT_PATH if row.parent is None else placed[row.parent].path
        placed[key] = row._replace(parent_path=parent_path)
    return placed


def _place_below_root(rows: dict[int, ContainerRow]) -> dict[int, ContainerRow]:
    """Return the rows that hang together with address and nearest collection; addresses may be equal."""
    children: defaultdict[int | None, list[ContainerRow]] = defaultdict(list)
    for row in sorted(rows.values(), key=lambda row: (row.position, row.key)):
        children[row.parent].append(row)
    placed: dict[int, ContainerRow] = {}
    queue: deque[tuple[ContainerRow, str, str | None]] = deque((row, "", None) for row in children[None])
    while queue:
        row, prefix, collection = queue.popleft()
        if len(prefix) > _PREFIX_LENGTH:
            prefix = "~" + _hash(prefix) + ":"
        address = prefix + row.id
        if row.kind == "collections":
            collection = row.id
        placed[row.key] = row._replace(address=address if row.kind == "catalogs" else None, collection=collection)
        below = "" if row.parent is None else address + ":"
        queue.extend((child, below, collection) for child in children[row.key])
    return placed


def _path_of(row: ContainerRow) -> bytes:
    """Return the API path; the root catalog is the landing page."""
    if row.kind == "collections":
        return container_path(collection_container(row.id)).encode()
    return ROOT_PATH if row.parent is None else container_path(catalog_container(row.address or "")).encode()


def _first_by_path(rows: Iterable[ContainerRow], paths: dict[int, str]) -> dict[str, int]:
    """Return for each id the key of the document whose path comes first."""
    first: dict[str, int] = {}
    for row in sorted(rows, key=lambda row: paths[row.key]):
        first.setdefault(row.id, row.key)
    return first


def _separate(placed: dict[int, ContainerRow], paths: dict[int, str]) -> None:
    """Give equal addresses a suffix made from the path, but for the first by path."""
    taken: set[str] = set()
    for key in sorted(placed, key=lambda key: (placed[key].parent is not None, paths[key])):
        address = placed[key].address
        if address is None:
            continue
        if address in taken:
            address += "~" + _hash(paths[key])
            placed[key] = placed[key]._replace(address=address)
        taken.add(address)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=5).hexdigest()


def _shadowed(placed: dict[int, ContainerRow], paths: dict[int, str]) -> list[tuple[int, Problem]]:
    """Return a problem for each collection whose id another one has."""
    first = _first_by_path((row for row in placed.values() if row.kind == "collections"), paths)
    return [
        (
            row.key,
            Problem(
                paths[row.key],
                "/id",
                f"the collection id {row.id!r} is that of {paths[first[row.id]]} as well, which is served instead",
                "give every collection an id of its own; items of both are in the one that is served",
                ERROR,
            ),
        )
        for row in placed.values()
        if row.kind == "collections" and not row.served
    ]
