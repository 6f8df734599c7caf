"""The lines of the table about requests: each measures something and holds it against its goal."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from conditions import Dataset, Row, box, item_target, search_rows, search_target, until_some_time
from load import LoadClient
from measure import Browser, Effort, Entry, Timing, follow_pages, measure, prepare_row
from recording import Recorder
from servers import Server, save_recording

OURS, BARE, CEILING = "stacserve", "bare", "ceiling"
DEPTH = 50
CRAWL_PAGES = 100


@dataclass
class Line:
    """A line of the table. `ok` is None where nothing is promised or nothing could be measured."""

    work: str
    goal: str = ""
    measured: str = ""
    ok: bool | None = None
    timings: Mapping[str, Timing] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """Everything that runs: the servers over one catalog, the client, how often to measure."""

    dataset: Dataset
    ours: Server
    bare: Server
    ceiling: Server
    recorder: Recorder
    recordings: Path
    peers: Mapping[str, str]
    client: LoadClient
    effort: Effort
    progress: Callable[[str], None]

    def name(self, text: str) -> str:
        """Return a name for a recording, made of letters and digits."""
        return "".join(letter if letter.isalnum() else "-" for letter in f"{self.dataset.distribution}-{text}")


def measure_all(session: Session) -> Iterator[Line]:
    """Yield every line about requests."""
    yield from _fixed_lines(session)
    searches: list[tuple[Row, Line]] = []
    for row in search_rows():
        line = _search_line(session, row)
        searches.append((row, line))
        yield line
    _judge_first_pages(session.dataset, searches)
    yield _spread_of_boxes(searches)
    yield _deep_line(session)
    yield _crawl_line(session)
    yield _gzip_line(session)
    yield _many_clients([line for _, line in searches])


def _fixed_lines(session: Session) -> Iterator[Line]:
    """Yield the documents that are not searched for, against the server that answers `{}`."""
    random = Random("fixed")
    effort = session.effort.times(10)
    items = [item_target(random, session.dataset) for _ in range(effort.targets())]
    for work, targets, goal in (
        ("landing page", ["/"], 0.5),
        ("collections", ["/collections"], 0.5),
        ("one item", items, 0.25),
    ):
        session.progress(work)
        entries = {OURS: Entry(session.ours.url, targets), BARE: Entry(session.bare.url, ["/"])}
        timings = measure(session.client, entries, effort)
        ratio = _ratio(timings[OURS].rate_one, timings[BARE].rate_one)
        yield _judged(Line(work, f"≥ {goal} × bare", f"{ratio:.2f} ×", ratio >= goal, timings))


def _search_line(session: Session, row: Row) -> Line:
    """Measure a kind of search on our server, the ceiling and every peer."""
    work = f"{row.name}, {row.page} page"
    session.progress(work)
    effort = session.effort.for_limit(row.limit)
    entries, notes = {}, {}
    for name, url in {OURS: session.ours.url, **session.peers}.items():
        browser = Browser(url)
        try:
            prepared = prepare_row(browser, row, session.dataset, key=name, count=effort.targets())
        except (RuntimeError, OSError) as error:
            notes[name] = str(error)[:60]
            continue
        finally:
            browser.close()
        entries[name], notes[name] = Entry(url, prepared.targets), prepared.note
    if OURS not in entries:
        return Line(work, measured=notes[OURS], ok=False)
    pages = [session.recorder.statements_for(target) for target in entries[OURS].targets]
    replayed = save_recording(session.recordings, session.name(work), pages)
    entries[CEILING] = Entry(session.ceiling.url, replayed)
    timings = measure(session.client, entries, effort)
    # a ceiling hangs as high as its statements let it
    notes[CEILING] = f"{statistics.median(map(len, pages)):.0f} statements"
    for name, note in notes.items():
        timings.setdefault(name, Timing()).note = note
    ratio = _ratio(timings[OURS].p50, timings[CEILING].p50)
    line = Line(work, "", f"{ratio:.2f} ×", None, timings)
    if row.goal is not None:
        line = replace(line, goal=f"≤ {row.goal:g} × ceiling", ok=ratio <= row.goal)
    return _judged(line)


def _judge_first_pages(dataset: Dataset, searches: Sequence[tuple[Row, Line]]) -> None:
    """Hold first pages against the later ones of the same search: they may take 10 ms more for 100 000 items."""
    later = {row.name: line for row, line in searches if row.page == "later"}
    allowed = 10.0 * max(1.0, dataset.items / 100_000)
    for row, line in searches:
        if row.goal is None and OURS in line.timings and OURS in later[row.name].timings:
            more = line.timings[OURS].p50 - later[row.name].timings[OURS].p50
            line.goal, line.measured, line.ok = f"≤ {allowed:.0f} ms more", f"{more:+.1f} ms", more <= allowed
            _judged(line)


def _spread_of_boxes(searches: Sequence[tuple[Row, Line]]) -> Line:
    medians = [
        line.timings[OURS].p50
        for row, line in searches
        if row.name.startswith("bbox of") and row.page == "later" and OURS in line.timings
    ]
    ratio = _ratio(max(medians), min(medians))
    return Line("slowest to fastest box, later page", "≤ 3 ×", f"{ratio:.2f} ×", ratio <= 3)


def _many_clients(lines: Sequence[Line]) -> Line:
    """Return whether sixteen clients are served as fast as one, at the row where they are served worst."""
    ratios = {
        line.work: _ratio(line.timings[OURS].rate_many, line.timings[OURS].rate_one)
        for line in lines
        if OURS in line.timings and line.timings[OURS].rates_many
    }
    work = min(ratios, key=ratios.__getitem__)
    return Line(f"sixteen clients to one, least: {work}", "≥ 0.9 ×", f"{ratios[work]:.2f} ×", ratios[work] >= 0.9)


def _deep_line(session: Session) -> Line:
    """Measure the page fifty pages down against the first later one."""
    limit = 100 if session.dataset.items >= 25_000 else 10
    random = Random("deep")
    session.progress("pages deep")
    near, far = [], []
    browser = Browser(session.ours.url)
    for _ in range(session.effort.requests):
        query = {**until_some_time(random, session.dataset), "limit": str(limit)}
        walk = follow_pages(browser, search_target(query), DEPTH + 1)
        near.append(walk[min(1, len(walk) - 1)])
        far.append(walk[-1])
    depth = len(walk) - 1
    browser.close()
    entries = {"near": Entry(session.ours.url, near), "far": Entry(session.ours.url, far)}
    timings = measure(session.client, entries, session.effort, many=False)
    ratio = _ratio(timings["far"].p50, timings["near"].p50)
    work = f"{depth} pages deep to the first later page, limit {limit}"
    return _judged(Line(work, "≤ 1.3 ×", f"{ratio:.2f} ×", ratio <= 1.3, {OURS: timings["far"]}))


def _crawl_line(session: Session) -> Line:
    """Measure a walk over everything at limit 1000 in bytes a second."""
    session.progress("crawl")
    browser = Browser(session.ours.url)
    targets = follow_pages(browser, search_target({"limit": "1000"}), CRAWL_PAGES)
    browser.close()
    pages = [session.recorder.statements_for(target) for target in targets]
    replayed = save_recording(session.recordings, session.name("crawl"), pages)
    entries = {OURS: Entry(session.ours.url, targets), CEILING: Entry(session.ceiling.url, replayed)}
    timings = measure(session.client, entries, Effort(min(3, session.effort.rounds), len(targets)), many=False)
    rates = {name: timing.byte_rate / 1e6 for name, timing in timings.items()}
    ratio = _ratio(rates[OURS], rates[CEILING])
    work = f"crawl at limit 1000: {rates[OURS]:.0f} MB/s, ceiling {rates[CEILING]:.0f} MB/s"
    return _judged(Line(work, "≥ 0.5 × ceiling", f"{ratio:.2f} ×", ratio >= 0.5, timings))


def _gzip_line(session: Session) -> Line:
    """Measure a page of 100 with and without compression."""
    session.progress("gzip")
    row = Row(name="gzip", condition=until_some_time)
    browser = Browser(session.ours.url)
    prepared = prepare_row(browser, row, session.dataset, key="gzip", count=2 * session.effort.targets())
    browser.close()
    half = len(prepared.targets) // 2
    entries = {
        "plain": Entry(session.ours.url, prepared.targets[:half]),
        "gzip": Entry(session.ours.url, prepared.targets[half:], {"Accept-Encoding": "gzip"}),
    }
    timings = measure(session.client, entries, session.effort, many=False)
    ratio = _ratio(timings["gzip"].p50, timings["plain"].p50)
    work = "page of 100 with gzip to one without"
    return _judged(Line(work, "≤ 1.5 ×", f"{ratio:.2f} ×", ratio <= 1.5, {OURS: timings["gzip"]}))


def compare_sizes(session: Session, small: Server, small_dataset: Dataset) -> Iterator[Line]:
    """Yield later pages of this catalog against those of a smaller one, served at the same time."""
    rows = (Row(name="all, limit 100", condition=until_some_time), Row(name="bbox of 30°", condition=box(30), limit=10))
    for row in rows:
        work = f"{row.name}, later page, {small_dataset.items} to {session.dataset.items} items"
        session.progress(work)
        entries = {}
        with ExitStack() as stack:
            for name, url, dataset in (
                ("small", small.url, small_dataset),
                ("large", session.ours.url, session.dataset),
            ):
                browser = Browser(url)
                stack.callback(browser.close)
                prepared = prepare_row(browser, row, dataset, key=name, count=session.effort.targets())
                entries[name] = Entry(url, prepared.targets)
        timings = measure(session.client, entries, session.effort, many=False)
        ratio = _ratio(timings["large"].p50, timings["small"].p50)
        yield _judged(Line(work, "≤ 1.5 ×", f"{ratio:.2f} ×", ratio <= 1.5, {OURS: timings["large"]}))


def _judged(line: Line) -> Line:
    """Return the line; what did not answer 200 fails, however fast."""
    for name in (OURS, BARE, CEILING):
        if name in line.timings and line.timings[name].failures:
            line.measured += f" {name}: {line.timings[name].failures}"
            line.ok = False
    return line


def _ratio(value: float, reference: float) -> float:
    return value / reference if reference else float("inf")
