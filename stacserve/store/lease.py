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
    """Hold the right to write an index; raise IndexBusy when another process holds it for longer than the wait."""
    descriptor = os.open(index.with_name(index.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + wait_seconds
    try:
        while True:
            try:
                _try_lock(descriptor)
                break
            except OSError:
                if time.monotonic() >= deadline:
                    raise IndexBusy(f"{index} is being written by another process.") from None
                time.sleep(_SECONDS_BETWEEN_TRIES)
        yield
    finally:
        os.close(descriptor)
