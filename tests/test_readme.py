"""The README tells the truth: its commands print what it says, its examples run, its table is that of `Settings`."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import click
import pytest

from stacserve import cli
from stacserve.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVED = "http://localhost:8000"


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """Return the commands of the console blocks, each with what it is said to print; what installs is left out."""
    parts = [part.partition("\n") for block in blocks("console") for part in re.split(r"^\$ ", block, flags=re.M)[1:]]
    return [(command.rpartition("pip install -q . && ")[2], output) for command, _, output in parts]


def is_server(command: str) -> bool:
    """Return whether a command goes on until it is stopped."""
    return command.startswith("stacserve") and not re.search(r"--get|--help|--version| index | check |alsp", command)


def shape(text: str) -> str:
    """Make a pattern of printed text: `...` is anything, and no clock or port is the same twice."""
    pattern = re.escape(text).replace(r"\.\.\.", ".*")
    return re.sub(r"indexed\\ in\\ \d+\\\.\d\\ s", r"indexed in \\d+\\.\\d s", pattern)


@pytest.fixture(scope="session")
def served() -> Iterator[str]:
    """Return the URL of a server on the sample catalog of the first section."""
    command = [sys.executable, "-m", "stacserve", "sample_catalogs/alps", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield next(line.strip() for line in iter(process.stdout.readline, "") if line.startswith("http"))
        finally:
            process.kill()


@pytest.mark.parametrize(("command", "output"), [pair for pair in commands() if not is_server(pair[0])])
def test_command_prints_what_it_is_said_to(command: str, output: str, served: str) -> None:
    words = shlex.split(command.replace(SERVED, served))
    if words[0] == "stacserve":
        words[:1] = [sys.executable, "-m", "stacserve"]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert re.fullmatch(shape(output.strip()), (run.stdout + run.stderr).strip(), re.DOTALL)


@pytest.mark.parametrize(("command", "output"), [pair for pair in commands() if is_server(pair[0])])
def test_server_prints_what_it_is_said_to(
    command: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = [sys.executable, "-m", *shlex.split(command), "--port", "0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in output.splitlines())
        process.kill()
    assert re.fullmatch(shape(output), re.sub(r":\d+\n$", ":8000\n", printed), re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"))
def test_example_runs(code: str, served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
        pytest.importorskip(module)
    (tmp_path / "sample_catalogs").symlink_to(ROOT / "sample_catalogs")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace(SERVED, served)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr


def test_table_of_options_is_that_of_the_command_line() -> None:
    rows = re.findall(r"^\| `(SOURCE|--[a-z-]+)[^|]*\| (?:`([^|]*)`)? ?\| (.*) \|$", README, re.MULTILINE)
    settings = [(option_name(f.name), default_text(f), f.metadata["help"]) for f in dataclasses.fields(Settings)]
    options = {param.opts[0]: param for param in cli.serve.get_params(click.Context(cli.serve))}
    others = [(name, "", getattr(options[name], "help", "")) for name in ("--get", "--version", "--help")]
    assert rows == [*settings, *others]


def option_name(name: str) -> str:
    """Return how the table calls a field of Settings."""
    return "SOURCE" if name == "source" else "--" + name.replace("_", "-")


def default_text(field: dataclasses.Field[object]) -> str:
    """Return how the table writes a default."""
    if get_type_hints(Settings)[field.name] is bool:
        return f"--{field.name}" if field.default else f"--no-{field.name}"
    return "" if field.default in ("", ()) else str(field.default)


def test_first_answer_stands_on_the_first_page() -> None:
    head = "\n".join(README.splitlines()[:25])
    assert all(words in head for words in ("pip install", "stacserve sample_catalogs/alps\n", "FeatureCollection"))
