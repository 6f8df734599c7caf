"""Reading in several processes: the same results, whatever happens to the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stacserve
from source_files import item, served, write
from stacserve import pool
from stacserve.documents import ItemDocument, ItemRequest, read_items
from stacserve.folder import Folder
from stacserve.pool import Batch, read_items_parallel

COLLECTIONS = frozenset(["a"])


def batches_of(root: Path, count: int = 12, size: int = 3) -> list[Batch]:
    """Write items and return requests for them."""
    for number in range(count):
        write(root / f"{number}.json", item(str(number), collection="a", assets={"a": {"href": "b.tif"}}))
    requests = [ItemRequest(number, f"{number}.json", "a") for number in range(count)]
    return [(requests[start : start + size], COLLECTIONS) for start in range(0, count, size)]


def read(root: Path, batches: list[Batch], processes: int) -> list[ItemDocument]:
    return [document for part in read_items_parallel(Folder(str(root)), batches, processes) for document in part]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Return the list that collects the processes that are started."""
    processes: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return processes


def make_deadly(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every new Python process end when it opens a file of this name."""
    hook = f"""
        import os, sys
        def end(event, arguments):
            if event == "open" and str(arguments[0]).endswith({name!r}):
                os._exit(7)
        sys.addaudithook(end)
    """
    write(folder / "sitecustomize.py", textwrap.dedent(hook))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@pytest.mark.parametrize("processes", [0, 2])
def test_results_are_those_of_one_process_in_order(tmp_path: Path, processes: int) -> None:
    batches = [*batches_of(tmp_path), ([], COLLECTIONS), ([ItemRequest(99, "none.json", None)], COLLECTIONS)]
    expected = [found for requests, _ in batches for found in read_items(Folder(str(tmp_path)), requests, COLLECTIONS)]
    found = read(tmp_path, batches, processes)
    assert [document.key for document in found] == [*range(12), 99]
    assert [document._replace(head=b"") for document in found] == [document._replace(head=b"") for document in expected]
    assert [served(document.head) for document in found[:-1]] == [served(document.head) for document in expected[:-1]]
    assert [type(document.stamp) for document in found] == [type(document.stamp) for document in expected]


def test_nothing_to_read_starts_nothing(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    assert read(tmp_path, [], 3) == []
    assert started == []


def test_few_batches_start_few_processes(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    assert len(read(tmp_path, batches_of(tmp_path, count=4, size=2), 9)) == 4
    assert len(started) == 2


def test_batches_are_taken_when_they_are_needed(tmp_path: Path) -> None:
    taken: list[int] = []

    def take() -> Iterator[Batch]:
        for number, batch in enumerate(batches_of(tmp_path, count=30, size=1)):
            taken.append(number)
            yield batch

    results = read_items_parallel(Folder(str(tmp_path)), take(), 2)
    next(results)
    assert len(taken) <= 4
    assert len(list(results)) == 29


def test_collections_may_change_between_batches(tmp_path: Path) -> None:
    requests = [[request._replace(collection=None) for request in batch] for batch, _ in batches_of(tmp_path)]
    batches = [(batch, frozenset([name])) for batch, name in zip(requests, "abab", strict=True)]
    warned = [bool(document.problems) for document in read(tmp_path, batches, 1)]
    assert warned == [*[False] * 3, *[True] * 3, *[False] * 3, *[True] * 3]


def test_large_documents_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PART_BYTES", 500)
    monkeypatch.setattr(pool, "FIRST_PART", 4)
    parts = list(read_items_parallel(Folder(str(tmp_path)), batches_of(tmp_path, size=12), 0))
    assert [document.key for part in parts for document in part] == list(range(12))
    assert len(parts[0]) == 4 and all(1 <= len(part) < 4 for part in parts[1:])


def test_processes_end_when_the_results_are_not_wanted(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    results = read_items_parallel(Folder(str(tmp_path)), batches_of(tmp_path), 2)
    next(results)
    results.close()
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


def test_killed_process_costs_no_document(tmp_path: Path, started: list[subprocess.Popen[bytes]]) -> None:
    results = read_items_parallel(Folder(str(tmp_path)), batches_of(tmp_path), 2)
    found = [*next(results)]
    for process in started:
        process.send_signal(signal.SIGKILL)
    found += [document for part in results for document in part]
    assert [document.id for document in found] == [str(number) for number in range(12)]


def test_document_that_kills_its_reader_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = batches_of(tmp_path / "source")
    make_deadly(tmp_path, "/4.json", monkeypatch)
    found = read(tmp_path / "source", batches, 1)
    assert [document.key for document in found] == list(range(12))
    assert [document.id for document in found if document.key != 4] == [str(n) for n in range(12) if n != 4]
    assert (found[4].id, found[4].stamp) == (None, None)
    assert [(problem.path, problem.severity) for problem in found[4].problems] == [("4.json", "error")]
    assert "status 7" in found[4].problems[0].reason


@pytest.mark.parametrize("executable", ["/bin/false", "/nowhere/python", "", None])
def test_without_processes_items_are_read_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert [document.id for document in read(tmp_path, batches_of(tmp_path), 2)] == [str(n) for n in range(12)]


def test_modules_in_the_current_folder_are_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: list[subprocess.Popen[bytes]]
) -> None:
    batches = batches_of(tmp_path / "source")
    for name in ("orjson.py", "struct.py", "stacserve/__init__.py"):
        write(tmp_path / name, f"open({str(tmp_path / 'proof')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert len(read(tmp_path / "source", batches, 1)) == 12
    assert len(started) == 1 and not (tmp_path / "proof").exists()


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    batches_of(tmp_path / "source")
    program = """
        import sys, os, signal
        from stacserve.documents import ItemRequest
        from stacserve.folder import Folder
        from stacserve.pool import read_items_parallel

        requests = [([ItemRequest(n, f"{n}.json", None)], frozenset()) for n in range(12)]
        next(read_items_parallel(Folder(sys.argv[1]), requests, 2))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    home = os.path.dirname(os.path.dirname(stacserve.__file__))
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "source")],
        env={**os.environ, "PYTHONPATH": home},
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    # standard error is read to its end: it ends when all who inherited it have
    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, b"")
