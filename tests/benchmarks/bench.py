"""Measures the server: `python tests/benchmarks/bench.py [--items 100000] [--url NAME=URL ...] [--output table.md]`.

Makes the catalogs it needs (or takes those of an earlier run), indexes them, serves them with one worker, and
writes a table: what was measured, the goal, whether it is reached. Every figure is held against servers that run
beside ours in the same run; `README.md` says which.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from conditions import Dataset, read_dataset
from generate import DISTRIBUTIONS, MANIFEST, Recipe, write_catalog
from lines import Line, Session, compare_sizes, measure_all
from load import LoadClient
from loading import ingest_lines, memory_line, run_index
from measure import Effort
from recording import Recorder
from report import write_table
from servers import start_bare, start_ceiling, start_stacserve

_QUICK = Effort(rounds=3, requests=8)
_FULL = Effort(rounds=5, requests=20)
_PROCESSES = 2


def main() -> None:
    """Read the command line, measure, write the table."""
    arguments = read_arguments()
    with ExitStack() as stack:
        folder = arguments.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stacserve-bench-")))
        tables = []
        for distribution in arguments.distributions:
            lines = measure_distribution(arguments, Path(folder), distribution)
            title = f"{arguments.items} items, {distribution}"
            tables.append(write_table(title, lines, [name for name, _ in arguments.url]))
    text = "\n".join(tables)
    if arguments.output:
        arguments.output.write_text(text)
    print(text)


def read_arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description="Measure the server against its goals.")
    parser.add_argument("--items", type=int, default=100_000, help="items of the catalog  [default: 100000]")
    parser.add_argument(
        "--distributions",
        type=_distributions,
        default=["uniform"],
        metavar="NAMES",
        help="uniform, clustered, instant, by comma; or all  [default: uniform]",
    )
    parser.add_argument(
        "--url",
        type=_peer,
        action="append",
        default=[],
        metavar="NAME=URL",
        help="STAC API with the same items, measured in the same run; repeatable",
    )
    parser.add_argument("--compare", type=int, metavar="ITEMS", help="also measure against a catalog of so many items")
    parser.add_argument("--memory-requests", type=int, default=10_000, metavar="N")
    parser.add_argument("--quick", action="store_true", help="few requests: does it run, not how fast")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="keep catalogs and indexes there  [default: a temporary folder]"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table there as well")
    return parser.parse_args()


def measure_distribution(arguments: argparse.Namespace, folder: Path, distribution: str) -> list[Line]:
    """Return the lines for one catalog: the ingest, then everything that is asked of a running server."""
    source, dataset = prepare_catalog(folder, Recipe(items=arguments.items, distribution=distribution))
    index = folder / f"{source.name}.sqlite"
    _remove_index(index)
    show_progress(f"{distribution}: ingest")
    lines = list(ingest_lines(source, index, dataset))
    with ExitStack() as stack:
        recordings = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        session = Session(
            dataset=dataset,
            ours=stack.enter_context(start_stacserve(source, index, "--no-ingest")),
            bare=stack.enter_context(start_bare()),
            ceiling=stack.enter_context(start_ceiling(index, recordings)),
            recorder=stack.enter_context(closing(Recorder(index))),
            recordings=recordings,
            peers=dict(arguments.url),
            client=stack.enter_context(LoadClient()),
            effort=_QUICK if arguments.quick else _FULL,
            progress=lambda work: show_progress(f"{distribution}: {work}"),
        )
        lines += measure_all(session)
        if arguments.compare:
            lines += _compare(session, folder, Recipe(items=arguments.compare, distribution=distribution))
        show_progress(f"{distribution}: memory")
        # a server of its own: what came before must not count
        with start_stacserve(source, index, "--no-ingest") as fresh:
            requests = min(arguments.memory_requests, 200 if arguments.quick else sys.maxsize)
            lines.append(memory_line(session.client, fresh, dataset, requests))
    return lines


def prepare_catalog(folder: Path, recipe: Recipe) -> tuple[Path, Dataset]:
    """Return the folder of a catalog and what is in it; it is written unless an earlier run has."""
    source = folder / f"{recipe.distribution}-{recipe.items}"
    if not (source / MANIFEST).exists():
        show_progress(f"writing {source}")
        write_catalog(source, recipe, processes=_PROCESSES)
    return source, read_dataset(source)


def show_progress(text: str) -> None:
    """Say on stderr what is being done."""
    print(text, file=sys.stderr, flush=True)


def _compare(session: Session, folder: Path, recipe: Recipe) -> Sequence[Line]:
    source, dataset = prepare_catalog(folder, recipe)
    index = folder / f"{source.name}.sqlite"
    run_index(source, index)
    with start_stacserve(source, index, "--no-ingest") as small:
        return list(compare_sizes(session, small, dataset))


def _remove_index(index: Path) -> None:
    """Remove the index of an earlier run, with what SQLite keeps beside it."""
    for path in index.parent.glob(f"{index.name}*"):
        path.unlink()


def _peer(text: str) -> tuple[str, str]:
    name, equals, url = text.partition("=")
    if not equals or not url.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not like rustac=http://127.0.0.1:7822")
    return name, url.rstrip("/")


def _distributions(text: str) -> list[str]:
    names = list(DISTRIBUTIONS) if text == "all" else text.split(",")
    if unknown := set(names) - set(DISTRIBUTIONS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(DISTRIBUTIONS)}")
    return names


if __name__ == "__main__":
    main()
