"""Instants and intervals: RFC 3339 text to integer microseconds since 1970-01-01T00:00:00Z.

Finer fractions than microseconds are read and cut off. Arithmetic is on integers, so the first and last
hours of the years 1 and 9999 with an offset are no special case.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

from stacserve.errors import InvalidParameter

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS
EXAMPLE = "write an RFC 3339 date and time such as 2024-06-01T00:00:00Z, or an interval such as 2024-06-01T00:00:00Z/.."

_INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH_DAY = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 (only its day number is used)


class Interval(NamedTuple):
    """A closed interval in microseconds; None is an open end."""

    start: int | None
    end: int | None


def parse_instant(text: str) -> int:
    """Return microseconds since 1970 for an RFC 3339 date-time; `ValueError` says what is wrong.

    Second 60 is read as the first second of the next minute (RFC 3339, section 5.6).
    """
    found = _INSTANT.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:60]!r} is not a date and time with a time zone")
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError(f"{text[:60]!r} has no such time of day")
    try:
        days = datetime(year, month, day).toordinal() - _EPOCH_DAY  # noqa: DTZ001 (the offset is applied below)
    except ValueError as error:
        raise ValueError(f"{text[:60]!r} has no such day") from error
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - _offset_seconds(found, text)
    return seconds * MICROSECONDS + int((found.group(7) or "0")[:6].ljust(6, "0"))


def _offset_seconds(found: re.Match[str], text: str) -> int:
    if found.group(8):
        return 0
    hours, minutes = int(found.group(10)), int(found.group(11))
    if hours > 23 or minutes > 59:
        raise ValueError(f"{text[:60]!r} has no such offset")
    return (hours * 3_600 + minutes * 60) * (1 if found.group(9) == "+" else -1)


def parse_date(text: str) -> tuple[int, int]:
    """Return the first and last microsecond of a day written YYYY-MM-DD; `ValueError` if there is none."""
    if not _DATE.fullmatch(text):
        raise ValueError(f"{text[:60]!r} is not a date")
    start = parse_instant(text + "T00:00:00Z")
    return start, start + DAY - 1


def parse_interval(text: str, parameter: str = "datetime") -> Interval:
    """Read the `datetime` parameter: an instant, or two ends by `/` of which one may be `..` or empty.

    (STAC API item search; OGC API Features part 1, section 7.15.4.)
    """
    ends = text.upper().split("/")
    if len(ends) > 2:
        raise InvalidParameter(parameter, f"an interval has two ends, this has {len(ends)}; {EXAMPLE}")
    try:
        instants = [None if end in ("", "..") and len(ends) == 2 else parse_instant(end) for end in ends]
    except ValueError as error:
        raise InvalidParameter(parameter, f"{error}; {EXAMPLE}") from error
    start, end = instants[0], instants[-1]
    if start is None and end is None:
        raise InvalidParameter(parameter, f"one end must be given; {EXAMPLE}")
    if start is not None and end is not None and start > end:
        raise InvalidParameter(parameter, f"the interval ends before it starts; {EXAMPLE}")
    return Interval(start, end)


class ItemTimes(NamedTuple):
    """The times of an item in microseconds: its `datetime`, and the interval that searches match."""

    datetime: int | None
    start: int | None
    end: int | None

    @property
    def ordered(self) -> int | None:
        """The instant that the default order uses: `datetime`, else the interval's start."""
        return self.start if self.datetime is None else self.datetime


def item_times(properties: dict[str, Any]) -> tuple[ItemTimes, list[str]]:
    """Return the times of an item's properties and a sentence for each thing wrong with them.

    The interval is [start_datetime, end_datetime] if both are there, else `datetime` on its own
    (STAC item specification, "datetime" and "Date and Time Range").
    """
    complaints: list[str] = []
    values = [_read_time(properties, name, complaints) for name in ("datetime", "start_datetime", "end_datetime")]
    instant, start, end = values
    if start is not None and end is not None and start > end:
        complaints.append("start_datetime is after end_datetime; the interval is ignored")
        start = end = None
    if instant is None and (start is None or end is None):
        complaints.append("there is no usable datetime and no interval, so no search by time finds the item")
    if start is None or end is None:
        return ItemTimes(instant, instant, instant), complaints
    return ItemTimes(instant, start, end), complaints


def _read_time(properties: dict[str, Any], name: str, complaints: list[str]) -> int | None:
    value = properties.get(name)
    if value is None:
        return None
    try:
        return parse_instant(value)
    except (ValueError, TypeError):
        return _read_sloppy_time(name, value, complaints)


def _read_sloppy_time(name: str, value: Any, complaints: list[str]) -> int | None:
    """Read what is common in old catalogs: a blank for the T, or no time zone."""
    text = str(value).strip().replace(" ", "T", 1)
    for ending in ("", "Z", "T00:00:00Z"):
        try:
            instant = parse_instant(text + ending)
        except ValueError:
            continue
        complaints.append(f"{name} {text[:40]!r} is not RFC 3339; it is read as {text + ending}")
        return instant
    complaints.append(f"{name} {text[:40]!r} is not an RFC 3339 date and time; it is ignored")
    return None
