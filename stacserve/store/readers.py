"""Reading: a few connections, one job for each request, each in one read transaction.

A job is a plain function of a `Snapshot`. One that is likely to be quick runs at once, for some milliseconds at
most: handing it to a thread would take as long as the job. All others, and those that turn out not to be quick, run
in a thread with a connection of their own. There they go one after the other, since several at a time would only
fight for Python's lock; a job that takes longer lets the next one in. A job is stopped when it takes too long, or when
nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy

from stacserve.errors import InvalidFilter, QueryTimeout, Unavailable
from stacserve.store.boxes import tree_bounds
from stacserve.store.connections import open_reader, read_fact
from stacserve.store.properties import read_properties
from stacserve.store.queries import split_statement
from stacserve.store.snapshot import Snapshot, SplitRows

Result = TypeVar("Result")
Job = Callable[[Snapshot], Result]

READERS = 8
QUICK_SECONDS = 0.005
TURN_SECONDS = 0.1
_STEPS_BETWEEN_CHECKS = 2_000
# What SQLite says of statements beyond its limits (https://www.sqlite.org/limits.html).
_TOO_COMPLEX = ("parser stack overflow", "too large (maximum depth", "too many SQL variables")


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
        run = self.connection.execute
        (root,) = run("SELECT data FROM item_boxes_node WHERE nodeno = 1").fetchone()
        return Snapshot(
            self.connection,
            version,
            read_properties(self.connection),
            reaches=tuple(run("SELECT reach, count(*) FROM items WHERE reach > 0 GROUP BY reach")),
            bounds=tree_bounds(root),
            box_rows=run("SELECT count(*) FROM item_boxes_rowid").fetchone()[0],
            split_rows=_read_split_rows(self.connection),
            items=run("SELECT count(*) FROM items").fetchone()[0],
        )


def _read_split_rows(connection: sqlite3.Connection) -> SplitRows:
    rows = connection.execute(*split_statement().with_values({})).fetchall()
    table = numpy.array(rows, dtype=float).reshape(-1, 5)
    return SplitRows(numpy.array([row[0] for row in rows], dtype=numpy.int64), table[:, 1:])


class Readers:
    """The threads and connections of one store in this process."""

    def __init__(self, path: Path, *, query_timeout: float) -> None:
        self.path = path
        self.query_timeout = query_timeout
        self._idle: queue.SimpleQueue[Reader] = queue.SimpleQueue()
        self._all: list[Reader] = []
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="stacserve-reader")
        # for the version alone, used from the event loop: PRAGMA data_version takes a microsecond
        self._watcher = open_reader(path)
        (mode,) = self._watcher.execute("PRAGMA journal_mode").fetchone()
        # without a write-ahead log a writer may keep readers waiting, which must not happen on the event loop
        self._watcher.execute("PRAGMA busy_timeout = 0")
        self._never_waits = mode == "wal"
        self._data_version: int | None = None
        self._version = ""

    def version(self) -> str:
        """Return the version of the store now, whoever wrote it."""
        with contextlib.suppress(sqlite3.OperationalError):  # locked, where there is no write-ahead log
            (data_version,) = self._watcher.execute("PRAGMA data_version").fetchone()
            if data_version != self._data_version:
                self._version = read_fact(self._watcher, "version") or ""
                self._data_version = data_version
        return self._version

    async def run(self, job: Job[Result], *, quick: bool = False) -> Result:
        """Run a job; interrupts it if this task is cancelled. `quick`: try it here and now first."""
        if quick and self._never_waits:
            with contextlib.suppress(_Stopped):
                return self._run(job, _Running(QUICK_SECONDS))
        running = _Running(self.query_timeout, self._turn)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._run_in_turn, job, running)
        except asyncio.CancelledError:
            running.stop()
            raise
        except _Stopped as error:
            seconds = f"{self.query_timeout:g} s"
            reason = f"The query took longer than {seconds}; narrow it with bbox, datetime or collections."
            raise QueryTimeout(reason) from error

    def _run_in_turn(self, job: Job[Result], running: _Running) -> Result:
        running.begin()
        try:
            if running.stopped:
                raise _Stopped
            return self._run(job, running)
        finally:
            running.end_turn()

    def _run(self, job: Job[Result], running: _Running) -> Result:
        reader = self._take()
        connection = reader.connection
        connection.set_progress_handler(running.should_stop, _STEPS_BETWEEN_CHECKS)
        try:
            connection.execute("BEGIN")
            return job(reader.snapshot())
        except sqlite3.OperationalError as error:
            if running.stopped:
                raise _Stopped from error
            if any(words in str(error) for words in _TOO_COMPLEX):
                raise InvalidFilter("is nested too deeply for the index; write it with fewer parentheses") from error
            raise
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


class _Stopped(Exception):
    """A job was stopped before its end."""


class _Running:
    """Whether a job should go on: until its time is over or its request is gone. Holds a turn for a while."""

    def __init__(self, seconds: float, turn: threading.Lock | None = None) -> None:
        self._seconds = seconds
        self._turn = turn
        self._has_turn = False
        self._turn_end = math.inf
        self._deadline = time.monotonic() + seconds
        self.stopped = False

    def begin(self) -> None:
        """Wait for the turn; the time of the job begins then."""
        if self._turn is not None:
            self._turn.acquire()
            self._has_turn = True
        now = time.monotonic()
        self._turn_end, self._deadline = now + TURN_SECONDS, now + self._seconds

    def should_stop(self) -> bool:
        """Tell SQLite whether to stop; called every few thousand steps."""
        now = time.monotonic()
        if now > self._turn_end:
            self.end_turn()
        self.stopped = self.stopped or now > self._deadline
        return self.stopped

    def end_turn(self) -> None:
        """Let the next job begin."""
        if self._has_turn and self._turn is not None:
            self._has_turn = False
            self._turn.release()

    def stop(self) -> None:
        """Stop the job as soon as SQLite asks."""
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
