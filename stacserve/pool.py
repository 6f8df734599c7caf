"""Reading items in several processes.

Each worker is a fresh Python that runs this module: no fork of a process with threads, and nothing of the
program that embeds us is imported again. Messages are pickles behind their length: first the folder, then
batches, over the worker's standard input; results come back over its standard output. A worker ends when its
input does, so none outlives the process that started it. A document that kills its worker is found by
reading its batch again one by one, and becomes a Problem.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, NamedTuple

from stacserve.documents import ItemDocument, ItemRequest, read_items, unserved_item
from stacserve.folder import Folder, Stamp
from stacserve.problems import ERROR, Problem
from stacserve.temporal import ItemTimes

Batch = tuple[list[ItemRequest], frozenset[str]]

BATCHES_PER_WORKER = 2
PIPE_BYTES = 2**20
PART_BYTES = 16 * 2**20
FIRST_PART = 64
PART_MAX = 2_000

_LENGTH = struct.Struct("!Q")
_READY = b"ready"
_LOG = logging.getLogger(__name__)


def read_items_parallel(
    folder: Folder, batches: Iterable[Batch], processes: int
) -> Generator[list[ItemDocument], None, None]:
    """Read batches of items in so many worker processes (0: in this one); yield results in the order asked.

    A list holds what a batch asked for, or a part of it: large documents come a few at a time, so that what
    is in memory is bounded. Not more than two batches for each worker are taken in advance.
    """
    pool = _Pool(folder, processes)
    try:
        yield from pool.read(batches)
    finally:
        pool.close()


class _Parts:
    """Reads a batch in parts of about `PART_BYTES`, judging by the documents before."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.size = FIRST_PART

    def read(self, requests: Sequence[ItemRequest], collections: frozenset[str]) -> Iterator[list[ItemDocument]]:
        """Yield the results of a batch, in order."""
        start = 0
        while start < len(requests):
            part = read_items(self.folder, requests[start : start + self.size], collections)
            start += self.size
            mean = sum(len(document.head) for document in part) // len(part) + 1
            self.size = max(1, min(PART_MAX, PART_BYTES // mean))
            yield part


# ---- the process that asks ----------------------------------------------------------


class _WorkerDied(Exception):
    """A worker ended before it had answered."""


class _Worker:
    """A process that reads batches, in the order in which they are sent."""

    def __init__(self, folder: Folder) -> None:
        self.pending = 0
        self.is_ready = False
        self.is_closed = False
        self.collections: frozenset[str] | None = None
        # -P and no empty path: never a module that lies in the folder where somebody stands
        path = [*filter(None, sys.path), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "stacserve.pool"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            # Ctrl-C is for the process that asks
            process_group=0 if os.name == "posix" else None,
            # of Linux: pipes of a megabyte, so that the two sides take turns less often
            pipesize=PIPE_BYTES,
        )
        self._send(folder)

    def ask(self, requests: Sequence[ItemRequest], collections: frozenset[str]) -> None:
        """Send a batch; the collections go with it only when they are others than before."""
        self._send((requests, None if collections is self.collections else collections))
        self.collections = collections
        self.pending += 1

    def answers(self) -> Iterator[list[ItemDocument]]:
        """Yield the parts of the answer to the oldest batch; raise _WorkerDied."""
        if self.is_closed:
            raise _WorkerDied
        if not self.is_ready:
            self.is_ready = self._receive() == _READY
            if not self.is_ready:
                raise _WorkerDied
        while part := pickle.loads(self._receive()):
            yield _unpack(part)
        self.pending -= 1

    def close(self, *, has_died: bool = False) -> str:
        """End the process, whatever it does; return how it ended if it did so by itself."""
        self.is_closed = True
        if has_died:
            # its output has ended, which comes a moment before it has
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        status = self.process.poll()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                _given(stream).close()
        return "" if status is None else f"signal {-status}" if status < 0 else f"status {status}"

    def _send(self, message: Any) -> None:
        # a worker that has died is noticed when its answer is awaited
        with suppress(OSError):
            _write_frame(_given(self.process.stdin), pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def _receive(self) -> bytes:
        frame = _read_frame(_given(self.process.stdout))
        if frame is None:
            raise _WorkerDied
        return frame


class _Ticket(NamedTuple):
    """A batch that was given to a worker, or is still to be read here."""

    worker: _Worker | None
    requests: list[ItemRequest]
    collections: frozenset[str]


class _Pool:
    """Workers, and the batches that they have been given, oldest first."""

    def __init__(self, folder: Folder, processes: int) -> None:
        self.folder = folder
        self.processes = processes if sys.executable else 0
        self.parts = _Parts(folder)
        self.workers: list[_Worker] = []
        self.tickets: deque[_Ticket] = deque()
        self.has_worked = False

    def read(self, batches: Iterable[Batch]) -> Iterator[list[ItemDocument]]:
        """Yield the results of all batches, in order."""
        for requests, collections in batches:
            self.tickets.append(self._hand_out(requests, collections))
            while len(self.tickets) >= max(1, BATCHES_PER_WORKER * self.processes):
                yield from self._finish(self.tickets.popleft())
        while self.tickets:
            yield from self._finish(self.tickets.popleft())

    def close(self) -> None:
        """End all workers."""
        while self.workers:
            self.workers.pop().close()

    def _hand_out(self, requests: list[ItemRequest], collections: frozenset[str]) -> _Ticket:
        if self.processes <= 0:
            return _Ticket(None, requests, collections)
        idlest = min(self.workers, key=lambda worker: worker.pending, default=None)
        if idlest is None or (idlest.pending > 0 and len(self.workers) < self.processes):
            idlest = self._start_worker() or idlest
        if idlest is not None:
            idlest.ask(requests, collections)
        return _Ticket(idlest, requests, collections)

    def _start_worker(self) -> _Worker | None:
        try:
            worker = _Worker(self.folder)
        except OSError as error:
            _LOG.warning("No process can be started to read items: %s", error)
            return None
        self.workers.append(worker)
        return worker

    def _finish(self, ticket: _Ticket) -> Iterator[list[ItemDocument]]:
        """Yield the results of a batch, from whoever reads it."""
        if ticket.worker is None:
            yield from self.parts.read(ticket.requests, ticket.collections)
            return
        done = 0
        try:
            for part in ticket.worker.answers():
                self.has_worked = True
                done += len(part)
                yield part
        except _WorkerDied:
            self._bury(ticket.worker)
            if self.has_worked or ticket.worker.is_ready:
                yield from self._read_one_by_one(ticket.requests[done:], ticket.collections)
                return
            if self.processes:
                _LOG.warning("Worker processes do not start with %s; items are read in this one", sys.executable)
            self.processes = 0
            yield from self.parts.read(ticket.requests, ticket.collections)

    def _bury(self, worker: _Worker) -> str:
        if worker in self.workers:
            self.workers.remove(worker)
        return worker.close(has_died=True)

    def _read_one_by_one(
        self, requests: Sequence[ItemRequest], collections: frozenset[str]
    ) -> Iterator[list[ItemDocument]]:
        """Read requests that a worker may have died of, each alone; those that kill again are Problems."""
        worker = None
        for request in requests:
            worker = worker or self._start_worker()
            if worker is None:
                yield [_failed(request, "no process could be started to read it")]
                continue
            worker.ask([request], collections)
            try:
                yield from worker.answers()
            except _WorkerDied:
                end = self._bury(worker)
                worker = None
                yield [_failed(request, f"the process that read it ended ({end}); it may need too much memory")]


def _failed(request: ItemRequest, reason: str) -> ItemDocument:
    # without a stamp: the next ingest tries again
    problem = Problem(request.path, "", reason, "split the document, or give the server more memory", ERROR)
    return unserved_item(request, None, [problem])


# ---- the worker ---------------------------------------------------------------------


def main() -> None:
    """Read batches from standard input until it ends, and write their results to standard output."""
    # documents are trees, which are freed without the garbage collector; it would walk through all of them in vain
    gc.disable()
    output = os.fdopen(os.dup(1), "wb")
    # what anything else prints must not get among the results
    os.dup2(2, 1)
    # before anything is read: who dies later has died of a document
    _write_frame(output, _READY)
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    results: queue.Queue[bytes] = queue.Queue(maxsize=1)
    threading.Thread(target=_receive_tasks, args=(sys.stdin.buffer, tasks), daemon=True).start()
    threading.Thread(target=_send_results, args=(results, output), daemon=True).start()
    parts = _Parts(tasks.get())
    collections: frozenset[str] = frozenset()
    while True:
        requests, others = tasks.get()
        collections = collections if others is None else others
        try:
            for part in parts.read(requests, collections):
                results.put(pickle.dumps(_pack(part), pickle.HIGHEST_PROTOCOL))
        except MemoryError:
            os._exit(1)
        results.put(pickle.dumps([]))


def _receive_tasks(stream: IO[bytes], tasks: queue.SimpleQueue[Any]) -> None:
    while (frame := _read_frame(stream)) is not None:
        tasks.put(pickle.loads(frame))
    # the process that asked has ended, or wants no more; also in the middle of a batch
    os._exit(0)


def _send_results(results: queue.Queue[bytes], stream: IO[bytes]) -> None:
    with suppress(OSError):
        while True:
            _write_frame(stream, results.get())
    os._exit(0)


# ---- messages -----------------------------------------------------------------------


def _write_frame(stream: IO[bytes], frame: bytes) -> None:
    stream.write(_LENGTH.pack(len(frame)))
    stream.write(frame)
    stream.flush()


def _read_frame(stream: IO[bytes]) -> bytes | None:
    """Return the next message, or None at the end, also if that is within a message."""
    header = stream.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        return None
    length = _LENGTH.unpack(header)[0]
    frame = stream.read(length)
    return frame if len(frame) == length else None


def _pack(documents: Sequence[ItemDocument]) -> list[tuple[Any, ...]]:
    """Return documents as plain tuples, which take half the time to pickle."""
    return [
        (key, path, stamp and tuple(stamp), id_, collection, head, tuple(times), *others)
        for key, path, stamp, id_, collection, head, times, *others in documents
    ]


def _unpack(rows: Sequence[tuple[Any, ...]]) -> list[ItemDocument]:
    return [
        ItemDocument(key, path, stamp and Stamp(*stamp), id_, collection, head, ItemTimes(*times), *others)
        for key, path, stamp, id_, collection, head, times, *others in rows
    ]


def _given(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise OSError("the process was started without this pipe")
    return stream


if __name__ == "__main__":
    main()
