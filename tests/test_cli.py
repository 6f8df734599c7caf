"""The command line: what it prints, where, and with which exit status."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from stacserve import __version__, cli
from stacserve.ingest import Progress, Report
from stacserve.problems import Problem
from stacserve.settings import Settings
from stacserve.store.lease import hold_lease

REPORT = Report(collections=3, items=1204, indexed=1204, unchanged=0, removed=0, problems=2, errors=0, seconds=0.41)


class Outcome(NamedTuple):
    """What a finished command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return a function that runs the command line in this process."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["stacserve", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        code = end.value.code
        return Outcome(code if isinstance(code, int) else 0, *capfd.readouterr())

    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)


@contextmanager
def serving(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server of its own on a free port; yield the process and the URL that it prints."""
    command = [sys.executable, "-m", "stacserve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            yield process, next((line.strip() for line in lines if line.startswith("http")), "")
        finally:
            process.kill()


def read_json(url: str) -> Any:
    """Return what a server answers to a GET."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def rename_an_item(catalog: Path, title: str) -> str:
    """Give an item another title; return its path in the API."""
    file = items_of(catalog)[0]
    item = json.loads(file.read_bytes())
    item["properties"]["title"] = title
    file.write_text(json.dumps(item), encoding="utf-8")
    return f"/collections/{item['collection']}/items/{item['id']}"


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    for _ in range(300):
        if is_so():
            return
        time.sleep(0.1)
    raise AssertionError("waited for 30 s")


def items_of(catalog: Path) -> list[Path]:
    """Return the files of the items, in the order of their paths."""
    return sorted(path for path in catalog.rglob("*.json") if json.loads(path.read_bytes())["type"] == "Feature")


# ---- words --------------------------------------------------------------------------


def test_report_is_one_line_of_numbers() -> None:
    assert cli.describe_report(REPORT) == (
        "3 collections, 1 204 items indexed in 0.4 s (0 unchanged, 0 removed, 2 problems)"
    )


def test_report_of_single_things() -> None:
    report = dataclasses.replace(REPORT, collections=1, items=1, unchanged=1000000, problems=1)
    assert cli.describe_report(report).startswith("1 collection, 1 item indexed in")
    assert cli.describe_report(report).endswith("(1 000 000 unchanged, 0 removed, 1 problem)")


@pytest.mark.parametrize(
    ("pointer", "line"),
    [("/id", "a.json /id: no id; add one (error)"), ("", "a.json: no id; add one (error)")],
)
def test_problem_is_one_line(pointer: str, line: str) -> None:
    assert cli.describe_problem(Problem("a.json", pointer, "no id", "add one", "error")) == line


def test_progress_is_a_line_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    show = cli.lines_of_progress()
    for tenths in range(0, 121):
        show(Progress(documents=110 * tenths, items=100 * tenths, seconds=tenths / 10))
    assert capsys.readouterr().err.splitlines() == [
        "5 500 documents, 5 000 items, 1000 items/s",
        "11 000 documents, 10 000 items, 1000 items/s",
    ]


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with cli.shown_progress() as show:
        show(Progress(documents=1300, items=1200, seconds=1.0))
    assert "items/s" in capsys.readouterr().err


# ---- options ------------------------------------------------------------------------


def test_version(run: Run) -> None:
    assert run("--version") == Outcome(0, f"stacserve {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_help_tells_every_option(run: Run, arguments: list[str]) -> None:
    out = run(*arguments).out
    options = ["--" + field.name.replace("_", "-") for field in dataclasses.fields(Settings) if field.name != "source"]
    assert [option for option in [*options, "--get"] if f"  {option}" not in out] == []


def test_help_names_the_commands(run: Run) -> None:
    out = run("--help").out
    assert all(f"\n  {name}" in out for name in ("check", "index", "serve"))


def test_no_source_is_told(run: Run) -> None:
    outcome = run()
    assert outcome.status == 2
    assert "stacserve ./catalog" in outcome.err


def test_source_and_options_come_from_the_environment(run: Run, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACSERVE_SOURCE", str(catalog))
    monkeypatch.setenv("STACSERVE_LIMIT_DEFAULT", "2")
    assert json.loads(run("--get", "/search").out)["numberReturned"] == 2


def test_option_wins_over_its_variable(run: Run, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACSERVE_LIMIT_DEFAULT", "2")
    assert json.loads(run(catalog, "--limit-default", "1", "--get", "/search").out)["numberReturned"] == 1


def test_flag_can_be_taken_back(run: Run, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACSERVE_INGEST", "false")
    assert run(catalog, "--ingest", "--get", "/search").status == 0


def test_command_wins_over_a_folder_of_its_name(
    run: Run, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.rename(tmp_path / "index")
    monkeypatch.chdir(tmp_path)
    assert run("index", "--db", "i.db").status == 2
    assert run("./index", "--db", "i.db", "--get", "/").status == 0
    assert run("index", "index", "--db", "i.db").status == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "65536"),
        ("--port", "-1"),
        ("--workers", "0"),
        ("--limit-default", "0"),
        ("--query-timeout", "nan"),
        ("--unknown-properties", "maybe"),
        ("--public-url", "example.org"),
    ],
)
def test_impossible_value_is_one_sentence(run: Run, catalog: Path, option: str, value: str) -> None:
    outcome = run(catalog, option, value)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith(f"stacserve: {option} ")
    assert outcome.err.count("\n") == 1


def test_bad_variable_is_one_sentence(run: Run, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACSERVE_PORT", "http")
    outcome = run(catalog)
    assert outcome.status == 2
    assert "STACSERVE_PORT='http'" in outcome.err
    assert outcome.err.count("\n") == 1


# ---- errors at the door -------------------------------------------------------------


@pytest.mark.parametrize("command", [[], ["index"], ["check"]])
def test_missing_folder_names_the_nearest(run: Run, catalog: Path, command: list[str]) -> None:
    outcome = run(*command, catalog.with_name("catalgo"))
    assert outcome.status == 2
    assert outcome.err.startswith("stacserve: ")
    assert str(catalog.name) in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("command", [[], ["index"], ["check"]])
def test_folder_without_catalog_says_what_was_looked_for(run: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "empty").mkdir()
    outcome = run(*command, tmp_path / "empty")
    assert outcome.status == 2
    assert "catalog.json" in outcome.err
    assert outcome.err.count("\n") == 1


def test_taken_port_is_told_before_anything_is_read(run: Run, catalog: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run(catalog, "--port", str(port), "--db", tmp_path / "i.db")
    assert outcome.status == 2
    assert f"port {port} of 127.0.0.1 is taken" in outcome.err
    assert not (tmp_path / "i.db").exists()


def test_unknown_host_is_told(run: Run, catalog: Path) -> None:
    outcome = run(catalog, "--host", "no such host")
    assert outcome.status == 2
    assert "no such host" in outcome.err


def test_no_ingest_needs_an_index(run: Run, catalog: Path) -> None:
    outcome = run(catalog, "--no-ingest", "--get", "/")
    assert outcome.status == 2
    assert f"stacserve index {catalog}" in outcome.err


# ---- one request --------------------------------------------------------------------


def test_get_prints_the_answer_alone(run: Run, catalog: Path) -> None:
    outcome = run(catalog, "--get", "/search?limit=1")
    assert outcome.status == 0
    assert outcome.err == ""
    assert outcome.out.endswith("}\n")
    assert json.loads(outcome.out)["type"] == "FeatureCollection"


def test_get_of_an_error_prints_it_and_fails(run: Run, catalog: Path) -> None:
    outcome = run(catalog, "--get", "/search?bbox=1,2,3")
    assert outcome.status == 1
    assert json.loads(outcome.out)["code"] == "InvalidParameterValue"


def test_get_needs_no_slash_and_encodes_what_must_be(run: Run, catalog: Path) -> None:
    answer = json.loads(run(catalog, "--get", "search?ids=ü b&limit=1").out)
    assert answer["numberMatched"] == 0


def test_get_links_to_where_the_server_would_be(run: Run, catalog: Path) -> None:
    answer = json.loads(run(catalog, "--host", "::", "--port", "9000", "--get", "/").out)
    assert {link["href"] for link in answer["links"] if link["rel"] == "self"} == {"http://[::1]:9000/"}


def test_get_writes_a_file_byte_by_byte(catalog: Path) -> None:
    thumbnail = next(catalog.rglob("*.png"))
    path = thumbnail.relative_to(catalog).as_posix()
    command = [sys.executable, "-m", "stacserve", str(catalog), "--get", f"/assets/{path}"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == thumbnail.read_bytes()


def test_get_sees_what_has_changed(run: Run, catalog: Path) -> None:
    run("index", catalog)
    path = rename_an_item(catalog, "Changed")
    assert json.loads(run(catalog, "--no-ingest", "--get", path).out)["properties"]["title"] != "Changed"
    assert json.loads(run(catalog, "--get", path).out)["properties"]["title"] == "Changed"


def test_get_uses_an_index_that_cannot_be_written(
    run: Run, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "index.db.lock")

    run("index", catalog, "--db", tmp_path / "i.db")
    monkeypatch.setattr(cli, "ingest_catalog", refuse)
    outcome = run(catalog, "--db", tmp_path / "i.db", "--get", "/search?limit=1")
    assert outcome.status == 0
    assert "used as it is" in outcome.err
    assert json.loads(outcome.out)["numberReturned"] == 1


def test_system_error_is_one_sentence(run: Run, catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = run("index", catalog, "--db", tmp_path / "file" / "i.db")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1


def test_get_waits_for_nobody_who_refreshes_the_same_index(run: Run, catalog: Path, tmp_path: Path) -> None:
    run("index", catalog, "--db", tmp_path / "i.db")
    with hold_lease(tmp_path / "i.db", wait_seconds=0):
        assert run(catalog, "--db", tmp_path / "i.db", "--get", "/").status == 0


def test_index_waits_for_another_that_writes_it(run: Run, catalog: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(hold_lease(tmp_path / "i.db", wait_seconds=0))
        release = threading.Timer(0.3, stack.close)
        release.start()
        outcome = run("index", catalog, "--db", tmp_path / "i.db")
        release.join()
    assert outcome.status == 0
    assert "Waiting" in outcome.err


# ---- commands -----------------------------------------------------------------------


def test_index_tells_what_it_did(run: Run, catalog: Path, tmp_path: Path) -> None:
    first, second = (run("index", catalog, "--db", tmp_path / "i.db") for _ in range(2))
    assert "(0 unchanged, 0 removed, 0 problems)" in first.out
    assert first.out.split(" indexed in ")[0] == second.out.split(" indexed in ")[0]
    assert "(0 unchanged" not in second.out


def test_check_of_a_good_catalog(run: Run, catalog: Path) -> None:
    assert run("check", catalog) == Outcome(0, "0 errors, 0 warnings\n", "")


def test_check_lists_problems_in_order_and_fails(run: Run, catalog: Path) -> None:
    items = items_of(catalog)
    for path in (items[-1], items[0]):
        path.write_text("{")
    outcome = run("check", catalog)
    assert outcome.status == 1
    *lines, summary = outcome.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        path.relative_to(catalog).as_posix() for path in items[:: len(items) - 1]
    ]
    assert all(line.endswith(" (error)") for line in lines)
    assert summary == "2 errors, 0 warnings"


# ---- servers ------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_answers_at_the_url_it_prints(catalog: Path, workers: str) -> None:
    with serving(catalog, "--workers", workers) as (process, url):
        assert read_json(url)["type"] == "Catalog"
        assert read_json(f"{url}/healthz")["state"] == "ready"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_wait_refreshes_before_the_port_opens(run: Run, catalog: Path) -> None:
    run("index", catalog)
    path = rename_an_item(catalog, "Changed")
    with serving(catalog, "--wait") as (_, url):
        assert read_json(url + path)["properties"]["title"] == "Changed"


def test_usable_index_is_served_at_once_and_refreshed_behind(run: Run, catalog: Path) -> None:
    run("index", catalog)
    path = rename_an_item(catalog, "Changed")
    with serving(catalog) as (_, url):
        until(lambda: bool(read_json(url + path)["properties"]["title"] == "Changed"))


def test_two_servers_share_an_index(catalog: Path) -> None:
    with serving(catalog) as (_, first), serving(catalog) as (_, second):
        assert read_json(f"{first}/search") == json.loads(
            json.dumps(read_json(f"{second}/search")).replace(second, first)
        )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_quietly(catalog: Path) -> None:
    with serving(catalog) as (process, url):
        read_json(url)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
