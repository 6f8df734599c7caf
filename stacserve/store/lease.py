"""One writer per index: an operating system's lock on a file beside it, released by the death of its holder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stacserve.errors import StartError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_SECONDS_BETWEEN_TRIES = 0.2


class IndexBusy(StartError):
    """Another process writes this index."""


@contextmanager
def hold_lease(index: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold the right to write an index; raise IndexBusy when another process holds it for longer than the wait.

    The lock file's time of change tells when a holder last came to a good end.
    """
    path = _lock_file(index)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + wait_seconds
    try:
        while not _is_locked(descriptor):
            if time.monotonic() >= deadline:
                raise IndexBusy(f"{index} is being written by another process.")
            time.sleep(_SECONDS_BETWEEN_TRIES)
        yield
        os.utime(path)
    finally:
        os.close(descriptor)


def _lock_file(index: Path) -> Path:
    return index.with_name(index.name + ".lock")


def _is_locked(descriptor: int) -> bool:
    try:
        _try_lock(descriptor)
    except OSError:
        return False
    return True


def wait_for_writer(index: Path) -> float:
    """Wait until nobody writes an index; return when it was last written to a good end (seconds since 1970)."""
    descriptor = os.open(_lock_file(index), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        while not _is_locked(descriptor):
            time.sleep(_SECONDS_BETWEEN_TRIES)
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
