"""The servers of a run, each a process: ours, one that does nothing, and one that does nothing but SQL.

*bare* answers `{}`; nothing made of Starlette and uvicorn is faster. *ceiling* runs the recorded statements of
a page with plain sqlite3 and joins the documents; no server that keeps them in SQLite is much faster.

    python servers.py bare
    python servers.py ceiling INDEX FOLDER_OF_RECORDINGS
"""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stacserve.app import LARGE_BUFFER
from stacserve.store.connections import open_reader

ROOT = Path(__file__).resolve().parents[2]

Statement = tuple[str, Any]
"""SQL and its parameters."""

_HEAD, _TAIL = b'{"type":"FeatureCollection","features":[', b"]}"
_LINK = b"{}]}"
_START_SECONDS = 600.0  # a first start reads the whole catalog


class Server:
    """A running server: its URL is the last line that it prints before it serves."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        started = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.url = self._read_url()
        self.seconds_to_start = time.perf_counter() - started

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def _read_url(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError(f"{self.name} has no output")
        for line in self._process.stdout:
            if line.startswith("http://"):
                return line.strip().rstrip("/")
        raise RuntimeError(f"{self.name} ended before it served")

    def stop(self) -> None:
        """End the process as a service manager would."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_stacserve(source: Path, index: Path, *options: str) -> Server:
    """Start our server with one worker on any free port."""
    command = [sys.executable, "-m", "stacserve", str(source), "--db", str(index), "--port", "0", *options]
    return Server("stacserve", command)


def start_bare() -> Server:
    """Start the server that answers `{}`."""
    return Server("bare", [sys.executable, __file__, "bare"])


def start_ceiling(index: Path, recordings: Path) -> Server:
    """Start the server that replays what `save_recording` put into a folder."""
    return Server("ceiling", [sys.executable, __file__, "ceiling", str(index), str(recordings)])


def save_recording(recordings: Path, name: str, pages: Sequence[Sequence[Statement]]) -> list[str]:
    """Save the statements of pages for the ceiling server; return the targets that replay them.

    The last statement of a page delivers the documents, in its last column.
    """
    with (recordings / f"{name}.pickle").open("wb") as file:
        pickle.dump([list(page) for page in pages], file)
    return [f"/{name}/{number}" for number in range(len(pages))]


def bare_app() -> Starlette:
    """Return an app that answers `{}` to everything."""

    async def answer(request: Request) -> Response:
        return Response(b"{}", media_type="application/json")

    return Starlette(routes=[Route("/{path:path}", answer)])


def ceiling_app(index: str, recordings: Path) -> Starlette:
    """Return an app that runs the statements of `/{name}/{number}` and joins the documents."""
    connection = open_reader(Path(index))
    bytes(LARGE_BUFFER)  # what it is good for, our server says
    pages: dict[str, list[list[Statement]]] = {}

    async def answer(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in pages:
            pages[name] = pickle.loads((recordings / f"{name}.pickle").read_bytes())
        rows: list[tuple[Any, ...]] = []
        for sql, values in pages[name][request.path_params["number"]]:
            rows = connection.execute(sql, values).fetchall()
        return Response(join_documents([row[-1] for row in rows]), media_type="application/geo+json")

    return Starlette(routes=[Route("/{name}/{number:int}", answer)])


def join_documents(heads: list[bytes]) -> bytes:
    """Return a feature collection of documents; the store keeps them open where links are added."""
    return _HEAD + b",".join([head + _LINK for head in heads]) + _TAIL


def _serve(app: Starlette) -> None:
    """Serve on a free port, with the loop and the parser that our server has."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(
        app, lifespan="off", ws="none", access_log=False, proxy_headers=False, log_level="warning", backlog=2048
    )
    uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Serve what the first argument names."""
    match sys.argv[1:]:
        case ["bare"]:
            _serve(bare_app())
        case ["ceiling", index, recordings]:
            _serve(ceiling_app(index, Path(recordings)))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
