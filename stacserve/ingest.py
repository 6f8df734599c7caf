"""A catalog into an index: once, or again for what has changed.

Containers are read first (`discovery`), which tells what items there are; then items are read in bulk by a few
processes and written by this one. Memory does not grow with the catalog: what waits is in the index itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stacserve.catalog import Source, open_source
from stacserve.discovery import Discovery
from stacserve.documents import ItemDocument, ItemRequest
from stacserve.errors import StartError
from stacserve.folder import is_text
from stacserve.pool import read_items_parallel
from stacserve.problems import WARNING, Problem
from stacserve.settings import default_index_folder
from stacserve.store.cross_links import resolve_cross_links
from stacserve.store.files import FileRow
from stacserve.store.index import ContainerRow, Index, open_index
from stacserve.store.tables import SCHEMA_VERSION

_BATCH = 250
_STAMPS = 5_000
# Below this, starting processes takes longer than reading.
_POOL_MIN = 1_500
_GONE_ADVICE = "remove the link, or bring the file back; what was served of it still is"
# File names have at most 255 bytes, and SQLite appends to them.
_NAME_LENGTH = 40


@dataclass(frozen=True)
class Report:
    """What an ingest found and did. `collections` and `items` are all that are served now."""

    collections: int
    items: int
    indexed: int
    unchanged: int
    removed: int
    problems: int
    errors: int
    seconds: float


@dataclass(frozen=True)
class Progress:
    """How far an ingest is: documents read, items among them, seconds since the start."""

    documents: int
    items: int
    seconds: float


def index_path(source: str, db: str | Path | None = None) -> Path:
    """Return the index file of a source: `db`, or one in the user's cache folder that is named after the source."""
    if db:
        return Path(db)
    identity = source_identity(source)
    name = re.sub(r"[^\w.-]+", "-", Path(identity).stem)[:_NAME_LENGTH] or "catalog"
    digest = hashlib.blake2b(os.fsencode(identity), digest_size=6).hexdigest()
    return default_index_folder() / f"{name}-{digest}-v{SCHEMA_VERSION}.sqlite"


def source_identity(source: str) -> str:
    """Return the absolute path that stands for a source; a folder and the catalog.json in it are one."""
    path = os.path.abspath(source)
    if not is_text(path):
        raise StartError(f"The name of {path!a} is not UTF-8, which nothing could store or link; rename the folder.")
    folder, name = os.path.split(path)
    return folder if name in ("catalog.json", "collection.json") else path


def ingest_catalog(
    source: str,
    db: str | Path | None = None,
    *,
    allow: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    processes: int | None = None,
    wait_seconds: float = 0.0,
) -> Report:
    """Build or refresh the index of a static catalog.

    `processes` read items beside this one (None: by the number of cores; 0: none). `wait_seconds` is how long to
    wait for another process that writes the same index. Raises StartError for a source or index that cannot be
    used, and never for a document: what is wrong with those is counted in the report and kept in the index.
    """
    started = time.monotonic()
    opened = open_source(source, allow)
    with open_index(index_path(source, db), source_identity(source), wait_seconds=wait_seconds) as index:
        ingest = _Ingest(index, opened, processes, progress)
        with index.transaction():
            index.set_folder(opened.folder)
            ingest.run()
            index.finish()
        return ingest.report(time.monotonic() - started)


def check_catalog(source: str, *, allow: Sequence[str] = ()) -> list[Problem]:
    """Return every problem of a catalog, by path; it is read into an index that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="stacserve-check-") as folder:
        path = Path(folder) / "index.sqlite"
        ingest_catalog(source, path, allow=allow)
        with open_index(path, source_identity(source)) as index:
            return index.read_problems()


class _Ingest:
    """One run over a source."""

    def __init__(
        self, index: Index, source: Source, processes: int | None, progress: Callable[[Progress], None] | None
    ) -> None:
        self.index = index
        self.source = source
        self.processes = processes
        self.progress = progress
        self.started = time.monotonic()
        self.documents = self.items = self.unchanged = self.removed = 0

    def run(self) -> None:
        """Read what is new or changed and forget what is gone."""
        first = True
        while True:
            discovery = Discovery(self.index, self.source, on_document=self._count_document)
            discovery.walk()
            discovery.place_containers()
            self.removed += discovery.removed
            self.index.commit_batch()
            if first:
                self._check_root(discovery)
                self._compare_items()
            first = False
            found_containers = False
            # an item that goes may leave its id to one that was read before
            while self.index.files.count_waiting():
                found_containers |= self._read_waiting()
            if not found_containers:
                break
        if self.index.changed:
            resolve_cross_links(self.index.connection)

    def _check_root(self, discovery: Discovery) -> None:
        """Refuse to serve nothing: without a root document, now or remembered, there is no catalog."""
        if not discovery.known:
            reasons = [problem.reason for problem in self.index.read_problems()]
            file = os.path.join(self.source.folder.root, self.source.root)
            raise StartError(f"{file} cannot be served: {'; '.join(reasons) or 'it is not a catalog'}.")

    def report(self, seconds: float) -> Report:
        """Return what this run did."""
        collections, items, problems, errors = self.index.read_counts()
        return Report(collections, items, self.items, self.unchanged, self.removed, problems, errors, seconds)

    def _count_document(self) -> None:
        self.documents += 1
        self._tell()

    def _tell(self) -> None:
        if self.progress:
            self.progress(Progress(self.documents, self.items, time.monotonic() - self.started))

    def _compare_items(self) -> None:
        """Find out which of the items read before have changed since."""
        after = 0
        while files := self.index.files.read_items(after, _STAMPS):
            after = files[-1].key
            changed = [file.key for file in files if self._has_changed(file)]
            self.unchanged += len(files) - len(changed)
            self.index.files.mark_changed(changed)

    def _has_changed(self, file: FileRow) -> bool:
        stamp = self.source.folder.stamp(file.path)
        if stamp is None:
            if file.size is not None:
                # the last version stays; without a stamp the file is read as soon as it is back
                self.index.files.set_outcome(file.key, file.state, None, is_container=False)
                reason = "a link leads to this file, which is gone or cannot be read"
                self.index.add_problem(file.key, Problem(file.path, "", reason, _GONE_ADVICE, WARNING))
            return False
        return not file.is_unchanged(stamp)

    def _read_waiting(self) -> bool:
        """Read the documents that wait; return whether some of them are containers, to be walked in turn."""
        containers = {row.key: row for row in self.index.read_containers()}
        collections = frozenset(row.id for row in containers.values() if row.kind == "collections")
        rows: dict[int, FileRow] = {}
        found_containers = False
        batches = self._waiting_batches(containers, collections, rows)
        for documents in read_items_parallel(self.source.folder, batches, self._process_count()):
            files = {document.key: rows.pop(document.key) for document in documents}
            found_containers |= self._write(documents, files, containers)
            self.index.commit_batch()
        return found_containers

    def _process_count(self) -> int:
        if self.index.files.count_waiting() < _POOL_MIN:
            return 0
        return min(os.cpu_count() or 1, 8) if self.processes is None else self.processes

    def _waiting_batches(
        self, containers: dict[int, ContainerRow], collections: frozenset[str], rows: dict[int, FileRow]
    ) -> Iterator[tuple[list[ItemRequest], frozenset[str]]]:
        after = 0
        while files := self.index.files.read_waiting(after, _BATCH):
            after = files[-1].key
            rows.update((file.key, file) for file in files)
            yield [ItemRequest(f.key, f.path, containers[_parent(f)].collection) for f in files], collections

    def _write(
        self, documents: list[ItemDocument], files: dict[int, FileRow], containers: dict[int, ContainerRow]
    ) -> bool:
        good = [document for document in documents if document.id is not None]
        containers_found = [document.key for document in documents if document.container]
        self.index.files.set_outcomes((document.key, _outcome(document), document.stamp) for document in documents)
        for document in documents:
            if document.problems or files[document.key].state == "changed":
                self.index.put_problems(document.key, document.problems)
        known = [one.key for one in good if files[one.key].state == "changed"]
        parents = {key: containers[_parent(file)] for key, file in files.items()}
        self.index.turn_into_containers(containers_found)
        self.index.put_items(good, parents, known=known)
        self.documents += len(documents)
        self.items += len(good)
        self._tell()
        return bool(containers_found)


def _parent(file: FileRow) -> int:
    if file.parent is None:
        raise LookupError(file.path)
    return file.parent


def _outcome(document: ItemDocument) -> str:
    if document.container:
        return "new"
    return "problem" if document.id is None else "indexed"
