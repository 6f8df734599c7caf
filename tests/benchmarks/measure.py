"""Measuring servers against each other: alternately, in one run, each request a new one."""

from __future__ import annotations

import http.client
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from conditions import Dataset, Row, search_target
from load import Job, LoadClient, Outcome

CLIENTS = 16

_JOB_SECONDS = 20.0
_WARM_UP = 5


@dataclass(frozen=True)
class Effort:
    """How often things are measured: rounds, and requests of one client in each."""

    rounds: int = 5
    requests: int = 40

    def times(self, factor: float) -> Effort:
        """Return an effort with so many times the requests, three at least."""
        return Effort(self.rounds, max(3, int(self.requests * factor)))

    def for_limit(self, limit: int) -> Effort:
        """Return an effort that fits the size of a page."""
        return self.times(min(1.0, 200 / limit))

    def targets(self) -> int:
        """Return how many targets are used: with many clients twice as many as with one."""
        return _WARM_UP + self.rounds * self.requests * 3


@dataclass(frozen=True)
class Entry:
    """A server in a row: its base URL and the requests it gets."""

    url: str
    targets: Sequence[str]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Timing:
    """What was measured: milliseconds with one client, requests a second with one and with many."""

    latencies: list[float] = field(default_factory=list)
    rates_one: list[float] = field(default_factory=list)
    rates_many: list[float] = field(default_factory=list)
    byte_rates: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    note: str = ""

    @property
    def p50(self) -> float:
        """The median latency."""
        return statistics.median(self.latencies) if self.latencies else 0.0

    @property
    def p95(self) -> float:
        """The latency that nineteen in twenty requests stay below."""
        ordered = sorted(self.latencies)
        return ordered[int(0.95 * (len(ordered) - 1))] if ordered else 0.0

    @property
    def rate_one(self) -> float:
        """The median of requests a second with one client."""
        return statistics.median(self.rates_one) if self.rates_one else 0.0

    @property
    def rate_many(self) -> float:
        """The median of requests a second with sixteen clients."""
        return statistics.median(self.rates_many) if self.rates_many else 0.0

    @property
    def byte_rate(self) -> float:
        """The median of bytes a second with one client."""
        return statistics.median(self.byte_rates) if self.byte_rates else 0.0

    def add(self, outcome: Outcome, *, many: bool) -> None:
        """Take in what became of a job."""
        for reason, count in outcome.failures.items():
            self.failures[reason] = self.failures.get(reason, 0) + count
        if many:
            self.rates_many.append(outcome.rate())
            return
        self.latencies += [1000 * latency for latency in outcome.latencies]
        self.rates_one.append(outcome.rate())
        self.byte_rates.append(outcome.bytes / outcome.seconds)


def measure(
    client: LoadClient, entries: Mapping[str, Entry], effort: Effort, *, many: bool = True
) -> dict[str, Timing]:
    """Measure the servers by turns; targets are used up one after the other, and anew if they run out."""
    timings = {name: Timing() for name in entries}
    feeds = {name: _Feed(entry.targets) for name, entry in entries.items()}
    for name, entry in entries.items():
        client.run(_job(entry, feeds[name].take(_WARM_UP), 1))
    for _ in range(effort.rounds):
        for name, entry in entries.items():
            timings[name].add(client.run(_job(entry, feeds[name].take(effort.requests), 1)), many=False)
        for name, entry in entries.items() if many else ():
            timings[name].add(client.run(_job(entry, feeds[name].take(2 * effort.requests), CLIENTS)), many=True)
    return timings


class _Feed:
    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self._next = 0

    def take(self, count: int) -> list[str]:
        taken = [self._targets[(self._next + number) % len(self._targets)] for number in range(count)]
        self._next += count
        return taken


def _job(entry: Entry, targets: list[str], clients: int) -> Job:
    return Job(url=entry.url, targets=targets, clients=clients, headers=entry.headers, seconds=_JOB_SECONDS)


class Browser:
    """Gets documents from one server over one connection; not timed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=120)
        self.prefix = parts.path.rstrip("/")

    def get(self, target: str) -> dict[str, Any]:
        """Return the JSON at a target; `RuntimeError` for an error status."""
        self._connection.request("GET", target, headers={"Accept": "*/*"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status} for {target}: {body[:200].decode(errors='replace')}")
        document: dict[str, Any] = json.loads(body)
        return document

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def next_target(page: Mapping[str, Any]) -> str | None:
    """Return path and query of the link to the next page, if it is one to GET."""
    for link in page.get("links", []):
        if link.get("rel") == "next" and link.get("method", "GET").upper() == "GET":
            parts = urlsplit(link["href"])
            return f"{parts.path}?{parts.query}"
    return None


@dataclass(frozen=True)
class Prepared:
    """The targets of a row for one server, and a note where they are not what the row says."""

    targets: list[str]
    note: str = ""


def prepare_row(browser: Browser, row: Row, dataset: Dataset, *, key: str, count: int) -> Prepared:
    """Return new requests for a row.

    For later pages the first ones are fetched. Where most searches have only one page, other first pages are
    taken, which were not asked for before.
    """
    random = Random(f"{key} {row.name} {row.page}")
    if row.page == "later":
        targets: list[str] = []
        single = 0
        while len(targets) < count and single <= max(5, len(targets)):
            page = browser.get(browser.prefix + search_target(row.query(random, dataset)))
            target = next_target(page)
            if target:
                targets.append(target)
            else:
                single += 1
        if len(targets) == count:
            return Prepared(targets)
    else:
        # whoever cannot answer such a search is told by an exception, not by its speed
        browser.get(browser.prefix + search_target(row.query(random, dataset)))
    note = "" if row.page == "first" else "fits on one page"
    return Prepared([browser.prefix + search_target(row.query(random, dataset)) for _ in range(count)], note)


def follow_pages(browser: Browser, target: str, most: int) -> list[str]:
    """Return the targets of a walk from `target` on: that one and what `next` leads to, at most so many."""
    targets = [target]
    while len(targets) < most:
        following = next_target(browser.get(targets[-1]))
        if following is None:
            break
        targets.append(following)
    return targets
