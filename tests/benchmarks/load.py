"""The client of the benchmark: HTTP/1.1 over kept connections, and hardly anything done with what comes back.

It runs in a process of its own (`python load.py`, a job a line on stdin, its outcome a line on stdout), so that
neither the measuring program nor a server shares its interpreter.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, cast
from urllib.parse import urlsplit

if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

_END_OF_CHUNKS = b"0\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class Job:
    """Requests to send: `targets` are paths with query, `clients` connections share them.

    After `seconds` no further request is begun.
    """

    url: str
    targets: Sequence[str]
    clients: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 60.0


@dataclass(kw_only=True)
class Outcome:
    """What became of a job: latencies in seconds, bytes of bodies, statuses other than 200 by their number."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    bytes: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    failed_target: str | None = None

    def rate(self) -> float:
        """Return requests per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


class LoadClient:
    """The client's process, as the measuring program sees it."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, job: Job) -> Outcome:
        """Send a job's requests and wait for their answers."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the load client has no pipes")
        self._process.stdin.write(json.dumps(asdict(job)) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load client ended; its error stands above")
        return Outcome(**json.loads(line))

    def __enter__(self) -> LoadClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.stdout.close()
        self._process.wait(10)


async def send_job(job: Job) -> Outcome:
    """Send the requests of a job over as many connections as it has clients."""
    parts = urlsplit(job.url)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    host = parts.hostname or "127.0.0.1"
    port = parts.port or (443 if secure else 80)
    run = _Run(job, parts.netloc)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    for _ in range(job.clients):
        try:
            await loop.create_connection(run.connect, host, port, ssl=secure)
        except OSError as error:
            run.fail(job.url, type(error).__name__)
    await asyncio.gather(*(connection.done for connection in run.connections))
    run.outcome.seconds = time.perf_counter() - started
    return run.outcome


class _Run:
    """What the connections of a job share: the targets that are left, and the outcome."""

    def __init__(self, job: Job, host: str) -> None:
        self.targets: Iterator[str] = iter(job.targets)
        self.connections: list[_Connection] = []
        self.outcome = Outcome()
        self.failures: Counter[str] = Counter()
        self.ends_at = time.perf_counter() + job.seconds
        headers = {"Host": host, "Accept": "*/*", "Connection": "keep-alive", **job.headers}
        self.tail = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"

    def connect(self) -> _Connection:
        connection = _Connection(self)
        self.connections.append(connection)
        return connection

    def next_target(self) -> str | None:
        return next(self.targets, None) if time.perf_counter() < self.ends_at else None

    def fail(self, target: str, reason: str) -> None:
        self.failures[reason] += 1
        self.outcome.failures = dict(self.failures)
        self.outcome.failed_target = self.outcome.failed_target or target


class _Connection(asyncio.Protocol):
    """One connection: a request at a time; of an answer only status and length are looked at."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.target: str | None = None
        self.started = 0.0
        self.head = b""
        self.missing: int | None = None  # bytes of the body; -1 where it comes in chunks
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.target is not None:
            self.run.fail(self.target, "connection lost")
        if not self.done.done():
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.missing is None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self.head[end + 4 :]
            self.missing = _body_length(self.head[:end])
        self.run.outcome.bytes += len(data)
        if self.missing < 0:
            self.tail = (self.tail + data)[-len(_END_OF_CHUNKS) :]
            if self.tail != _END_OF_CHUNKS:
                return
        else:
            self.missing -= len(data)
            if self.missing > 0:
                return
        self._finish()

    def _finish(self) -> None:
        self.run.outcome.latencies.append(time.perf_counter() - self.started)
        status = self.head[9:12].decode("ascii", "replace")
        if status != "200":
            self.run.fail(self.target or "", status)
        self._send_next()

    def _send_next(self) -> None:
        self.head, self.missing, self.tail = b"", None, b""
        self.target = self.run.next_target()
        if self.transport is None:
            return
        if self.target is None:
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(f"GET {self.target} HTTP/1.1\r\n{self.run.tail}".encode("ascii"))


def _body_length(head: bytes) -> int:
    """Return the length that the headers tell; -1 for a body in chunks, which ends with an empty one."""
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return -1
    return 0


def main() -> None:
    """Answer jobs from stdin until it ends."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        for line in sys.stdin:
            given: dict[str, Any] = json.loads(line)
            outcome = runner.run(send_job(Job(**given)))
            print(json.dumps(asdict(outcome)), flush=True)


if __name__ == "__main__":
    main()
