"""What is measured around the server: reading the catalog, starting again, memory."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pystac
from conditions import Dataset, mixed_targets
from lines import OURS, Line
from load import Job, LoadClient
from measure import CLIENTS
from servers import ROOT, Server, start_stacserve

_MEGABYTE = 1_000_000
_BETWEEN_LOOKS = 0.05
_WALKED_ITEMS = 3_000


@dataclass(frozen=True)
class IndexRun:
    """One run of `stacserve index`: how long it took and the most memory of all its processes at a time."""

    seconds: float
    memory: int


def run_index(source: Path, index: Path) -> IndexRun:
    """Build or refresh an index, watching its memory."""
    command = [sys.executable, "-m", "stacserve", "index", str(source), "--db", str(index)]
    started = time.perf_counter()
    most = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, anonymous_memory(process.pid))
            time.sleep(_BETWEEN_LOOKS)
    if process.returncode:
        raise RuntimeError(f"stacserve index ended with status {process.returncode}")
    return IndexRun(time.perf_counter() - started, most)


def ingest_lines(source: Path, index: Path, dataset: Dataset) -> Iterator[Line]:
    """Yield what a cold ingest takes, and a second start when nothing has changed.

    `index` must not exist yet; it does afterwards.
    """
    first = run_index(source, index)
    rate, walked = dataset.items / first.seconds, pystac_rate(source, _WALKED_ITEMS)
    ratio = rate / walked
    work = f"ingest: {rate:.0f} items/s, pystac walk {walked:.0f} items/s"
    yield Line(work, "≥ 12 ×", f"{ratio:.1f} ×", ratio >= 12)
    memory = first.memory / _MEGABYTE
    yield Line("memory of the ingest, all its processes", "< 400 MB", f"{memory:.0f} MB", memory < 400)
    again = run_index(source, index)
    ratio = again.seconds / first.seconds
    work = f"refresh, nothing changed: {again.seconds:.1f} s after {first.seconds:.1f} s"
    yield Line(work, "≤ 0.2 ×", f"{ratio:.2f} ×", ratio <= 0.2)
    with start_stacserve(source, index) as server:
        seconds = server.seconds_to_start
    yield Line("second start, until it serves", "at once", f"{seconds:.2f} s", seconds < min(2.0, again.seconds + 1.0))


def memory_line(client: LoadClient, server: Server, dataset: Dataset, requests: int) -> Line:
    """Return the memory of the worker after requests of all kinds from many clients."""
    targets = mixed_targets("memory", dataset, requests)
    outcome = client.run(Job(url=server.url, targets=targets, clients=CLIENTS, seconds=3600))
    memory = anonymous_memory(server.pid) / _MEGABYTE
    line = Line(f"memory after {len(outcome.latencies)} mixed requests", "< 250 MB", f"{memory:.0f} MB", memory < 250)
    if outcome.failures:
        line.measured += f" {OURS}: {outcome.failures} {outcome.failed_target}"
        line.ok = False
    return line


def pystac_rate(source: Path, most: int) -> float:
    """Return how many items a second a walk with pystac reads, over the first so many."""
    started = time.perf_counter()
    root = pystac.Catalog.from_file(str(source / "catalog.json"))
    count = sum(1 for _ in itertools.islice(root.get_items(recursive=True), most))
    return count / (time.perf_counter() - started)


def anonymous_memory(pid: int) -> int:
    """Return the bytes of memory of a process and its descendants that no file backs (Linux; 0 elsewhere)."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1]) * 1024
        for thread in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
            total += sum(anonymous_memory(int(child)) for child in children)
    except OSError:
        return total
    return total
