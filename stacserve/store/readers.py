"""Reading from threads: a few connections, one job for each request, each in one read transaction.

A job is a plain function of a `Snapshot`. It runs in a thread with a connection of its own, so that a request
costs one hop; it is stopped when it takes too long or when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from stacserve.errors import QueryTimeout, Unavailable
from stacserve.store.boxes import tree_bounds
from stacserve.store.connections import open_reader, read_fact
from stacserve.store.properties import Properties, read_properties
from stacserve.store.snapshot import Snapshot

Result = TypeVar("Result")
Job = Callable[[Snapshot], Result]

READERS = 4
_STEPS_BETWEEN_CHECKS = 20_000


class Reader:
    """A connection with what it knows of the version that it read last."""

    def __init__(self, path: Path) -> None:
        self.connection = open_reader(path)
        self.known: Snapshot | None = None

    def snapshot(self) -> Snapshot:
        """Return the snapshot of the transaction that is open."""
        version = read_fact(self.connection, "version") or ""
        if self.known is None or self.known.version != version:
            self.known = self._read_snapshot(version)
        return self.known

    def _read_snapshot(self, version: str) -> Snapshot:
        if read_fact(self.connection, "state") != "ready":
            raise Unavailable("The index is being built; try again in a moment, /healthz tells when it is ready.")
        rows = self.connection.execute("SELECT reach, count(*) FROM items WHERE reach > 0 GROUP BY reach").fetchall()
        (root,) = self.connection.execute("SELECT data FROM item_boxes_node WHERE nodeno = 1").fetchone()
        properties: Properties = read_properties(self.connection)
        return Snapshot(self.connection, version, properties, tuple(rows), tree_bounds(root))


class Readers:
    """The threads and connections of one store in this process."""

    def __init__(self, path: Path, *, query_timeout: float) -> None:
        self.path = path
        self.query_timeout = query_timeout
        self._idle: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        self._all: list[Reader] = []
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="stacserve-reader")
        # for the version alone, used from the event loop: PRAGMA data_version takes a microsecond
        self._watcher = open_reader(path)
        self._data_version: int | None = None
        self._version = ""

    def version(self) -> str:
        """Return the version of the store now, whoever wrote it."""
        (data_version,) = self._watcher.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._version = read_fact(self._watcher, "version") or ""
            self._data_version = data_version
        return self._version

    async def run(self, job: Job[Result]) -> Result:
        """Run a job in a thread; interrupts it if this task is cancelled."""
        running = _Running(self.query_timeout)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, job, running)
        except asyncio.CancelledError:
            running.stop()
            raise

    def _run(self, job: Job[Result], running: _Running) -> Result:
        reader = self._take()
        connection = reader.connection
        connection.set_progress_handler(running.should_stop, _STEPS_BETWEEN_CHECKS)
        try:
            connection.execute("BEGIN")
            return job(reader.snapshot())
        except sqlite3.OperationalError as error:
            if not running.stopped:
                raise
            seconds = f"{self.query_timeout:g} s"
            raise QueryTimeout(
                f"The query took longer than {seconds}; narrow it with bbox, datetime or collections."
            ) from error
        finally:
            connection.set_progress_handler(None, 0)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._idle.put(reader)

    def _take(self) -> Reader:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            reader = Reader(self.path)
            with self._lock:
                self._all.append(reader)
            return reader

    def close(self) -> None:
        """End the threads and close the connections."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for reader in self._all:
            reader.connection.close()
        self._watcher.close()


class _Running:
    """Whether a job should go on: until its time is over or its request is gone."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self.stopped = False

    def should_stop(self) -> bool:
        self.stopped = self.stopped or time.monotonic() > self._deadline
        return self.stopped

    def stop(self) -> None:
        self.stopped = True


class Memory:
    """What was found out at some cost, for the latest versions; bounded, and shared by the reading threads."""

    def __init__(self, entries: int) -> None:
        self._entries: OrderedDict[Hashable, Any] = OrderedDict()
        self._most = entries
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """Return what was remembered, or None."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: Hashable, value: Any) -> None:
        """Remember a value and forget the one that was not asked for the longest."""
        with self._lock:
            self._entries[key] = value
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
