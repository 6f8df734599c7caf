"""The command line: `stacserve ./catalog` indexes a folder and serves it.

Options are made from the fields of `Settings`; each is also a variable `STACSERVE_*`, and an option wins over
its variable. What goes wrong at the door is one sentence on stderr and exit status 2.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import functools
import gc
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, get_type_hints
from urllib.parse import quote, unquote

import click
import uvicorn
from tqdm import tqdm
from uvicorn.supervisors import Multiprocess

from stacserve import __version__
from stacserve.app import create_app
from stacserve.errors import StartError
from stacserve.ingest import Progress, Report, check_catalog, index_path, ingest_catalog, source_identity
from stacserve.problems import Problem
from stacserve.settings import Settings, check_settings, environ_from_settings, settings_from_environ
from stacserve.store import is_usable
from stacserve.store.lease import IndexBusy

SECONDS_BETWEEN_LINES = 5
SHUTDOWN_SECONDS = 10
BACKLOG = 2048
LOCAL_ADDRESS_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}

# uvicorn's own lines would repeat ours: only its warnings are shown. Worker processes are given the same.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "stacserve: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"stacserve": {"level": "INFO"}},
}


def main() -> None:
    """Run the command line and end the process with its exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container ignores it otherwise
    try:
        command_line(prog_name="stacserve")
    except StartError as error:
        click.echo(f"stacserve: {error.description}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"stacserve: {error.filename or 'the system'} says: {error.strerror or error}.", err=True)
        sys.exit(2)


class ServeUnlessNamed(click.Group):
    """Commands of which `serve` is the default: a first word that names no command is its source."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` in front, unless a command is named or the group itself is asked."""
        first = args[0] if args else ""
        if first not in self.commands and first not in ("--help", "--version"):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the default command, then the others."""
        formatter.write_usage(ctx.command_path, "SOURCE [OPTIONS]")
        formatter.write_usage(ctx.command_path, "index|check SOURCE [OPTIONS]", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the options of `serve`, which need no command, then the commands."""
        serve.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group(cls=ServeUnlessNamed)
@click.version_option(__version__, message="stacserve %(version)s")
def command_line() -> None:
    """Serve the STAC catalog in the folder SOURCE as a STAC API.

    SOURCE may also be the path of a catalog.json or collection.json. The first start reads all of it into an index;
    later ones read what has changed. A folder named like a command is written ./index.

    Every option is also an environment variable: --limit-max is STACSERVE_LIMIT_MAX, SOURCE is STACSERVE_SOURCE.
    Several values of one variable are separated like those of PATH.
    """


def settings_options(*names: str) -> list[click.Parameter]:
    """Return SOURCE and an option for each of these fields of `Settings`, or for every field."""
    kinds = get_type_hints(Settings)
    fields = [f for f in dataclasses.fields(Settings) if f.name != "source" and (not names or f.name in names)]
    return [click.Argument(["source"], required=False), *(_settings_option(f, kinds[f.name]) for f in fields)]


def _settings_option(field: dataclasses.Field[Any], kind: Any) -> click.Option:
    # To click every default is None, "not given": then the environment is asked, and Settings after it.
    flag = "--" + field.name.replace("_", "-")
    help_text, metavar = field.metadata["help"], field.metadata["metavar"]
    if kind is bool:
        default = flag if field.default else f"--no-{flag[2:]}"
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=None, help=f"{help_text}  [default: {default}]")
    if kind in (int, float, str):
        default = f"  [default: {field.default}]" if field.default != "" else ""
        metavar = metavar or {int: "N", float: "NUMBER", str: "TEXT"}[kind]
        return click.Option([flag], type=kind, default=None, metavar=metavar, help=help_text + default)
    return click.Option([flag], multiple=True, metavar=metavar, help=help_text)


@command_line.command(name="serve", params=settings_options())
@click.version_option(__version__, message="stacserve %(version)s")
@click.option(
    "--get",
    metavar="PATH",
    help="Refresh the index and answer one request, such as /search?limit=1, on stdout instead of opening a port. "
    "Exit status 1 if the answer is an error.",
)
def serve(source: str | None, get: str | None, **options: Any) -> None:
    """Serve SOURCE; the default, so that the word may be left out."""
    settings = read_settings(source, options)
    create_app(settings)  # what it refuses is told before anything long is begun
    if get is not None:
        sys.exit(asyncio.run(answer_request(prepare_answer(settings), get)))
    with bind_socket(settings.host, settings.port) as listener:
        settings = prepare_index(settings)
        start_listening(listener, settings)
        click.echo(f"http://{local_address(settings, listener.getsockname()[1])}")
        sys.exit(run_server(settings, listener))


@command_line.command(name="index", params=settings_options("db", "allow"))
def index(source: str | None, **options: Any) -> None:
    """Build or refresh the index of SOURCE and leave."""
    settings = read_settings(source, options)
    click.echo(describe_report(build_index(settings)))


@command_line.command(name="check", params=settings_options("allow"))
def check(source: str | None, **options: Any) -> None:
    """List every problem of SOURCE; exit status 1 if there are errors.

    One line each: file, JSON pointer, reason, what to do, and its severity. An error keeps a document from being
    served, a warning does not.
    """
    settings = read_settings(source, options)
    problems = check_catalog(settings.source, allow=settings.allow)
    for problem in sorted(problems, key=lambda problem: (problem.path, problem.pointer)):
        click.echo(describe_problem(problem))
    errors = sum(problem.severity == "error" for problem in problems)
    click.echo(f"{count(errors, 'error')}, {count(len(problems) - errors, 'warning')}")
    sys.exit(1 if errors else 0)


def read_settings(source: str | None, options: dict[str, Any]) -> Settings:
    """Return what the options say, then the environment, then the defaults; StartError if that cannot be."""
    settings = settings_from_environ()
    given = {name: value for name, value in options.items() if value not in (None, ())}
    settings = dataclasses.replace(settings, **given, source=source or settings.source)
    if not settings.source:
        raise click.UsageError("Give the folder of a STAC catalog: stacserve ./catalog")
    check_settings(settings)
    return settings


def prepare_index(settings: Settings) -> Settings:
    """Build the index where there is none, or refresh it first where `wait` says so, and tell what was done.

    Returns the settings for the app: it need not read again what was just read.
    """
    if has_usable_index(settings) and not (settings.wait and settings.ingest):
        return settings
    click.echo(describe_report(build_index(settings)))
    return dataclasses.replace(settings, ingest=False)


def prepare_answer(settings: Settings) -> Settings:
    """Bring the index up to date for one request, silently; leave it to another process that is about it already."""
    usable = has_usable_index(settings)
    if settings.ingest and not usable:
        build_index(settings)
    elif settings.ingest:
        try:
            with suppress(IndexBusy), shown_progress() as progress:
                ingest_catalog(settings.source, settings.db or None, allow=settings.allow, progress=progress)
        except (OSError, StartError) as error:
            click.echo(f"stacserve: the index could not be refreshed and is used as it is: {error}", err=True)
    return dataclasses.replace(settings, ingest=False)


def has_usable_index(settings: Settings) -> bool:
    """Return whether there is an index to serve; StartError if there is none and none may be built."""
    path = index_path(settings.source, settings.db or None)
    usable = is_usable(path, source_identity(settings.source))
    if not usable and not settings.ingest:
        raise StartError(f"no index of {settings.source} at {path}; build it with: stacserve index {settings.source}")
    return usable


def build_index(settings: Settings) -> Report:
    """Read the source into its index, showing progress; wait for another process that is writing it."""
    ingest = functools.partial(ingest_catalog, settings.source, settings.db or None, allow=settings.allow)
    with shown_progress() as progress, paused_garbage_collection():
        try:
            return ingest(progress=progress)
        except IndexBusy as error:
            click.echo(f"stacserve: {error.description} Waiting for it.", err=True)
            return ingest(progress=progress, wait_seconds=math.inf)


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Read without the garbage collector: documents are trees, freed without it, and it would walk through them all."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """Yield what shows progress on stderr: a bar on a terminal, otherwise a line every few seconds."""
    if not sys.stderr.isatty():
        yield lines_of_progress()
        return
    with tqdm(unit=" items", bar_format="{desc}{n_fmt} items, {rate_fmt}, {elapsed}", leave=False) as bar:

        def show(progress: Progress) -> None:
            bar.set_description_str(f"{thousands(progress.documents)} documents, ", refresh=False)
            bar.update(progress.items - bar.n)

        yield show


def lines_of_progress() -> Callable[[Progress], None]:
    """Return what writes a plain line whenever some seconds have passed."""
    due = float(SECONDS_BETWEEN_LINES)

    def show(progress: Progress) -> None:
        nonlocal due
        if progress.seconds >= due:
            due = progress.seconds + SECONDS_BETWEEN_LINES
            rate = progress.items / progress.seconds
            documents, items = thousands(progress.documents), thousands(progress.items)
            click.echo(f"{documents} documents, {items} items, {rate:.0f} items/s", err=True)

    return show


def describe_report(report: Report) -> str:
    """Return an ingest as one line of numbers."""
    served = f"{count(report.collections, 'collection')}, {count(report.items, 'item')}"
    rest = f"{thousands(report.unchanged)} unchanged, {thousands(report.removed)} removed"
    return f"{served} indexed in {report.seconds:.1f} s ({rest}, {count(report.problems, 'problem')})"


def describe_problem(problem: Problem) -> str:
    """Return a problem as one line: where, why, what to do."""
    place = f"{problem.path} {problem.pointer}".rstrip()
    return f"{place}: {problem.reason}; {problem.advice} ({problem.severity})"


def thousands(number: int) -> str:
    """Write a number in groups of three digits."""
    return f"{number:,}".replace(",", " ")


def count(number: int, noun: str) -> str:
    """Write a number with its noun, singular or plural."""
    return f"{thousands(number)} {noun}" if number == 1 else f"{thousands(number)} {noun}s"


def bind_socket(host: str, port: int) -> socket.socket:
    """Take the address before anything long is begun, so that a taken port is told at once."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise StartError(f"no such address as {host!r}; --host 127.0.0.1 is this machine alone.") from None
    family, kind, _, _, address = found[0]
    listener = socket.socket(family, kind)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(_why_not_bound(error, host, port)) from None
    return listener


def start_listening(listener: socket.socket, settings: Settings) -> None:
    """Open the port; another server may have opened it since it was bound."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise StartError(_why_not_bound(error, settings.host, settings.port)) from None


def _why_not_bound(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken; choose another with --port, or --port 0 for any free one."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be opened by this user; choose one above 1023 with --port."
    return f"{host} port {port} cannot be opened: {error.strerror}."


def local_address(settings: Settings, port: int) -> str:
    """Return host and port as a browser on this machine needs them."""
    host = LOCAL_ADDRESS_OF.get(settings.host, settings.host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def run_server(settings: Settings, listener: socket.socket) -> int:
    """Serve until a signal ends it; return the exit status.

    Forwarded headers and root path are the app's own business, so uvicorn is told of neither.
    """
    many = settings.workers > 1
    os.environ.update(environ_from_settings(settings) if many else {})
    config = uvicorn.Config(
        "stacserve.app:create_app" if many else create_app(settings),
        factory=many,
        workers=settings.workers,
        lifespan="on",
        ws="none",
        access_log=False,
        proxy_headers=False,
        log_config=LOGGING,
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    try:
        if many:
            supervisor = Multiprocess(config, sockets=[listener])
            supervisor.run()
            return int(any((process.exitcode or 0) > 0 for process in supervisor.processes))
        server = uvicorn.Server(config)
        server.run(sockets=[listener])
        return 0 if server.started else 1
    except KeyboardInterrupt:
        return 0


def get_scope(address: str, target: str) -> dict[str, Any]:
    """Return the ASGI scope of one GET; what may not stand in a URL as it is, is percent-encoded."""
    path, _, query = target.partition("?")
    raw_path = quote(os.fsencode("/" + path.removeprefix("/")), safe="/%!$&'()*+,:;=@~")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": quote(os.fsencode(query), safe="/%!$&'()*+,:;=@~?").encode(),
        "root_path": "",
        "headers": [(b"host", address.encode()), (b"accept", b"*/*")],
        "client": None,
        "server": None,
    }


async def answer_request(settings: Settings, target: str) -> int:
    """Send one GET through the app, write the answer's body to stdout, return the exit status."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        status = await call_app(app, get_scope(local_address(settings, settings.port), target))
    sys.stdout.buffer.flush()
    return 1 if status >= 400 else 0


async def call_app(app: Any, scope: dict[str, Any]) -> int:
    """Call an ASGI app once, write what it sends to stdout, return the HTTP status."""
    body = sys.stdout.buffer
    status, line_end, asked = 0, b"", False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # this client does not leave before it is answered
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, line_end
        if message["type"] == "http.response.start":
            status = message["status"]
            media_type = dict(message["headers"]).get(b"content-type", b"")
            line_end = b"\n" if b"json" in media_type or media_type.startswith(b"text/") else b""
        elif message["type"] == "http.response.body":
            body.write(message.get("body", b""))
            body.write(b"" if message.get("more_body") else line_end)

    await app(scope, receive, send)
    return status
