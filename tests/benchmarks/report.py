"""The table of a run, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from lines import BARE, CEILING, OURS, Line
from measure import Timing

_MARKS = {True: "yes", False: "**no**", None: ""}


def write_table(title: str, lines: Sequence[Line], peers: Sequence[str]) -> str:
    """Return a heading and the table: latencies p50 / p95 in ms, requests/s of one and of sixteen clients."""
    heads = ["work", "ms p50 / p95", "req/s 1 → 16", "bare, ceiling", *peers, "goal", "measured", "ok"]
    rows = [_cells(line, peers) for line in lines]
    failed = sum(line.ok is False for line in lines)
    parts = [
        f"## {title}",
        "",
        f"{len(lines)} lines, {failed} below their goal." if failed else f"{len(lines)} lines, every goal reached.",
        "",
        _row(heads),
        _row(["---"] * len(heads)),
        *map(_row, rows),
        "",
    ]
    return "\n".join(parts)


def _cells(line: Line, peers: Sequence[str]) -> list[str]:
    timings = line.timings
    reference = timings.get(CEILING) or timings.get(BARE)
    ours = timings.get(OURS)
    return [
        line.work + (f" ({ours.note})" if ours and ours.note else ""),
        _latencies(ours),
        _rates(ours),
        _short(reference),
        *(_short(timings.get(peer)) for peer in peers),
        line.goal,
        line.measured,
        _MARKS[line.ok],
    ]


def _latencies(timing: Timing | None) -> str:
    return f"{timing.p50:.2f} / {timing.p95:.2f}" if timing and timing.latencies else ""


def _rates(timing: Timing | None) -> str:
    if not timing or not timing.rates_many:
        return ""
    return f"{timing.rate_one:.0f} → {timing.rate_many:.0f}"


def _short(timing: Timing | None) -> str:
    """Return latency and rates of another server in one cell, or why there are none."""
    if timing is None or not timing.latencies:
        return timing.note if timing else ""
    rates = _rates(timing) or f"{timing.rate_one:.0f}"
    more = [str(part) for part in (timing.failures, timing.note) if part]
    return ", ".join([f"{timing.p50:.2f} ms", f"{rates}/s", *more])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
