"""The parts of the benchmark that measure: client, conditions, recording, table."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from urllib.parse import parse_qsl, urlsplit

import pytest
from conditions import Row, item_target, mixed_targets, read_dataset, search_rows, search_target, until_some_time
from generate import DISTRIBUTIONS, Recipe, write_catalog
from lines import BARE, OURS, Line
from load import Job, Outcome, send_job
from measure import Effort, Timing, next_target
from recording import Recorder
from report import write_table
from servers import join_documents, save_recording

import stacserve
from stacserve.search import item_search_from_query, search_limits

FIXED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"


def run_job(answer: Callable[[str], bytes], targets: list[str], *, clients: int = 1, seconds: float = 5.0) -> Outcome:
    """Send a job to a server that answers each target with some bytes, one at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for byte in answer(head.split()[1].decode()):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
        writer.close()

    async def send() -> Outcome:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return await send_job(Job(url=url, targets=targets, clients=clients, seconds=seconds))

    return asyncio.run(send())


@pytest.mark.parametrize("answer", [FIXED, CHUNKED])
def test_client_takes_answers_of_known_length_and_in_chunks(answer: bytes) -> None:
    outcome = run_job(lambda target: answer, ["/a", "/b", "/c"])
    assert len(outcome.latencies) == 3
    assert outcome.bytes >= 15
    assert not outcome.failures


def test_client_shares_targets_among_connections() -> None:
    asked: list[str] = []
    targets = [f"/{number}" for number in range(20)]

    def answer(target: str) -> bytes:
        asked.append(target)
        return FIXED

    outcome = run_job(answer, targets, clients=4)
    assert sorted(asked) == sorted(targets)
    assert len(outcome.latencies) == 20


def test_client_counts_what_is_not_200() -> None:
    outcome = run_job(lambda target: MISSING if target == "/b" else FIXED, ["/a", "/b", "/c"])
    assert outcome.failures == {"404": 1}
    assert outcome.failed_target == "/b"


def test_client_tells_that_nobody_answers() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = asyncio.run(send_job(Job(url=f"http://127.0.0.1:{unused.getsockname()[1]}", targets=["/"])))
    assert outcome.failures == {"ConnectionRefusedError": 1}
    assert not outcome.latencies


def test_client_begins_nothing_after_its_time() -> None:
    assert not run_job(lambda target: FIXED, ["/a"], seconds=0).latencies


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_conditions_are_new_and_understood(distribution: str, tmp_path: Path) -> None:
    write_catalog(tmp_path, Recipe(items=200, distribution=distribution))
    dataset, limits = read_dataset(tmp_path), search_limits(stacserve.Settings())
    for row in search_rows():
        random = Random(row.name)
        targets = {search_target(row.query(random, dataset)) for _ in range(10)}
        assert len(targets) == 10
        for target in targets:
            search = item_search_from_query(parse_qsl(urlsplit(target).query), limits)
            assert search.limit == row.limit


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a generated catalog and its index."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_catalog(folder / "catalog", Recipe(items=300))
    stacserve.ingest_catalog(str(folder / "catalog"), folder / "index.sqlite", processes=0)
    return folder / "catalog", folder / "index.sqlite"


def test_recorded_statements_deliver_the_documents_of_the_page(generated: tuple[Path, Path]) -> None:
    source, index = generated
    dataset, random = read_dataset(source), Random(1)
    recorder, connection = Recorder(index), sqlite3.connect(index)
    for row in search_rows():
        rows = []
        for sql, values in recorder.statements_for(search_target(row.query(random, dataset))):
            rows = connection.execute(sql, values).fetchall()
        page = json.loads(join_documents([head.replace(b"\0", b"") for *_, head in rows]))
        documents = page["features"]
        assert len(documents) <= row.limit
        assert all(document["type"] == "Feature" for document in documents)
    recorder.close()
    connection.close()


def test_recordings_count_nothing(generated: tuple[Path, Path]) -> None:
    source, index = generated
    recorder = Recorder(index)
    target = search_target({**until_some_time(Random(1), read_dataset(source)), "limit": "10"})
    statements = recorder.statements_for(target)
    recorder.close()
    assert len(statements) > 1
    assert not any("count(" in sql for sql, _ in statements)


def test_a_saved_recording_has_a_target_for_each_page(tmp_path: Path) -> None:
    assert save_recording(tmp_path, "row", [[("SELECT 1", {})], []]) == ["/row/0", "/row/1"]


def test_mixed_requests_are_of_all_kinds(generated: tuple[Path, Path]) -> None:
    dataset = read_dataset(generated[0])
    targets = mixed_targets("seed", dataset, 300)
    assert len(set(targets)) > 250
    for part in ("/items/", "bbox=", "intersects=", "filter=", "datetime=", "limit=1000"):
        assert any(part in target for target in targets)
    assert item_target(Random(1), dataset).startswith("/collections/collection-")


def test_next_links_are_followed_only_if_they_are_to_get() -> None:
    link = {"rel": "next", "href": "http://host/stac/search?limit=1&token=a%3A"}
    assert next_target({"links": [link]}) == "/stac/search?limit=1&token=a%3A"
    assert next_target({"links": [{**link, "method": "POST"}]}) is None
    assert next_target({"features": []}) is None


def test_medians_are_of_all_rounds() -> None:
    timing = Timing()
    for seconds in (1.0, 2.0, 4.0):
        timing.add(Outcome(seconds=seconds, latencies=[seconds / 10] * 10, bytes=100), many=False)
    assert (timing.p50, timing.rate_one, timing.byte_rate) == (200, 5, 50)


def test_larger_pages_get_fewer_requests() -> None:
    effort = Effort(rounds=5, requests=40)
    assert effort.for_limit(1000).requests < effort.for_limit(100).requests == 40


def test_the_table_says_what_was_measured_and_what_failed() -> None:
    timing = Timing(latencies=[1.0, 3.0, 2.0], rates_one=[500], rates_many=[450])
    good = Line("landing page", "≥ 0.5 × bare", "0.60 ×", True, {OURS: timing, BARE: timing, "peer": timing})
    table = write_table("10 items, uniform", [good, Line("memory", "< 250 MB", "300 MB", False)], ["peer"])
    assert "2 lines, 1 below their goal." in table
    assert "| landing page | 2.00 / 2.00 | 500 → 450 | 2.00 ms, 500 → 450/s | 2.00 ms, 500 → 450/s |" in table
    assert "| memory |  |  |  |  | < 250 MB | 300 MB | **no** |" in table


def test_first_pages_are_held_against_later_ones() -> None:
    pages = {(row.name, row.page) for row in search_rows() if row.goal is None}
    later = {row.name for row in search_rows() if row.page == "later"}
    assert pages
    assert all(page == "first" and name in later for name, page in pages)
    assert Row(name="any", condition=until_some_time).goal == 2
