"""The right to write an index: one process at a time has it, and loses it by ending in whatever way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacserve import ingest_catalog
from stacserve.errors import StartError
from stacserve.store.lease import IndexBusy, hold_lease, wait_for_writer

HOLDER = """
import sys
from pathlib import Path
from stacserve.store.lease import hold_lease
with hold_lease(Path(sys.argv[1]), wait_seconds=0):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Return the path of an index that is not there."""
    return tmp_path / "index.db"


@pytest.fixture
def holder(index: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Return another process that holds the lease until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(index)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def is_free(index: Path) -> bool:
    try:
        with hold_lease(index, wait_seconds=0):
            return True
    except IndexBusy:
        return False


def test_only_one_holds_it(index: Path) -> None:
    with hold_lease(index, wait_seconds=0):
        assert not is_free(index)
    assert is_free(index)


def test_it_is_free_again_after_a_failure(index: Path) -> None:
    with pytest.raises(RuntimeError), hold_lease(index, wait_seconds=0):
        raise RuntimeError
    assert is_free(index)


def test_each_index_has_its_own(tmp_path: Path) -> None:
    with hold_lease(tmp_path / "a.db", wait_seconds=0):
        assert is_free(tmp_path / "b.db")


def test_who_may_not_wait_is_told_so_in_a_sentence(index: Path) -> None:
    message = f"{index} is being written by another process."
    with (
        hold_lease(index, wait_seconds=0),
        pytest.raises(StartError, match="^" + message),
        hold_lease(index, wait_seconds=0),
    ):
        pass


def test_who_waits_gets_it(index: Path) -> None:
    held = threading.Event()

    def hold_for_a_moment() -> None:
        with hold_lease(index, wait_seconds=0):
            held.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold_for_a_moment)
    thread.start()
    held.wait()
    with hold_lease(index, wait_seconds=30):
        pass
    thread.join()


def test_another_process_holds_it(index: Path, holder: subprocess.Popen[bytes]) -> None:
    assert not is_free(index)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_death_releases_it(index: Path, holder: subprocess.Popen[bytes], number: str) -> None:
    holder.send_signal(getattr(signal, number))
    with hold_lease(index, wait_seconds=2):
        assert holder.wait() != 0


def test_stopped_process_keeps_it_and_its_file_stays(index: Path, holder: subprocess.Popen[bytes]) -> None:
    lock = index.with_name("index.db.lock")
    before = lock.stat().st_ino
    holder.communicate(b"")
    assert holder.returncode == 0
    assert is_free(index)
    assert lock.stat().st_ino == before


def test_ingest_waits_for_another_process(catalog: Path, index: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(IndexBusy):
        ingest_catalog(str(catalog), index)
    threading.Timer(0.3, holder.kill).start()
    assert ingest_catalog(str(catalog), index, wait_seconds=30).items > 0


def test_end_of_the_writer_is_awaited(index: Path, holder: subprocess.Popen[bytes]) -> None:
    started = time.time()
    threading.Timer(0.3, lambda: holder.stdin and holder.stdin.close()).start()
    assert wait_for_writer(index) >= started - 1
    assert is_free(index)
