"""RFC 3339 and intervals: what is an instant, what is none, and which times an item has."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import read_items
from searching import find_ids, find_pages, identities_of, index_items, make_item, reading
from stacserve.errors import InvalidParameter
from stacserve.store import walk
from stacserve.store.connections import read_instant
from stacserve.temporal import DAY, Interval, item_times, parse_date, parse_instant, parse_interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PATIENT = settings(max_examples=200, deadline=None)
FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
NOON = "2024-06-01T12:00:00Z"


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


# --- Instants


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00.000Z", 0),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1969-12-31T12:00:00-12:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T23:59:00+23:59", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01T00:00:00." + "9" * 5_000 + "Z", 999_999),
        ("1970-01-01T00:00:60Z", 60_000_000),
        ("1972-02-29T00:00:00Z", 789 * DAY),
        ("2000-02-29T00:00:00Z", 11_016 * DAY),
        (FIRST, -719_162 * DAY),
        ("0001-01-01T00:00:00+23:59", -719_162 * DAY - 86_340_000_000),
        (LAST, 2_932_897 * DAY - 1),
        ("9999-12-31T23:59:60-23:59", 2_932_897 * DAY + 86_340_000_000),
    ],
)
def test_an_instant_is_microseconds_since_1970(text: str, instant: int) -> None:
    assert parse_instant(text) == read_instant(text) == instant
    assert parse_interval(text) == (instant, instant)


NO_INSTANTS = [
    "", " ", "now", "2024", "2024-06", "2024-06-01", "2024-06-01T", "2024-06-01T12", "2024-06-01T12:00Z",
    "2024-06-01T12:00:00", "2024-06-01 12:00:00Z", "2024-06-01T12:00:00 Z", " 2024-06-01T12:00:00Z", f"{NOON} ",
    f"{NOON}\n",
    "2024-06-01T12:00:00+0100", "2024-06-01T12:00:00+01", "2024-06-01T12:00:00+1:00", "2024-06-01T12:00:00 01:00",
    "2024-06-01T12:00:00,5Z", "2024-06-01T12:00:00.Z", "2024-06-01T12:00:00.5", "2024-06-01T12:00:00.-5Z",
    "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "2024-06-00T00:00:00Z", "2024-06-31T00:00:00Z",
    "2021-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
    "-2024-06-01T00:00:00Z",
    "+2024-06-01T00:00:00Z", "24-06-01T00:00:00Z", "2024-6-1T0:0:0Z", "2024-06-01T24:00:00Z", "2024-06-01T12:60:00Z",
    "2024-06-01T12:00:61Z", "2024-06-01T12:00:00+24:00", "2024-06-01T12:00:00+00:60", "2024-06-01T12:00:00ZZ",
    "2024-06-01T12:00:00Z+00:00", "20240601T120000Z", "2024-153T12:00:00Z", "2024-W22-6T12:00:00Z", "1717243200",
    "２０２４-06-01T12:00:00Z", "2024-06-01T12:00:00\u2212" "01:00", "2024-06-01T12:00:00Z\0", "2024‐06‐01T12:00:00Z",
    "2024-06-01T12:00:00UTC", "Sat, 01 Jun 2024 12:00:00 GMT",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a date and time|has no such"):
        parse_instant(text)
    assert read_instant(text) is None


@PATIENT
@given(
    moment=st.datetimes(timezones=st.integers(-1_439, 1_439).map(lambda minutes: timezone(timedelta(minutes=minutes))))
)
def test_what_python_writes_is_read(moment: datetime) -> None:
    text = moment.isoformat()
    assert parse_instant(text) == parse_instant(text.lower()) == microseconds(moment)


@PATIENT
@given(text=st.text() | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", fullmatch=True))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        instant = parse_instant(text)
    except ValueError:
        return
    assert -719_163 * DAY <= instant <= 2_932_898 * DAY


@pytest.mark.parametrize("day", ["1970-01-01", "0001-01-01", "9999-12-31", "2024-02-29"])
def test_a_day_is_from_its_first_to_its_last_microsecond(day: str) -> None:
    assert parse_date(day) == (parse_instant(f"{day}T00:00:00Z"), parse_instant(f"{day}T23:59:59.999999Z"))


@pytest.mark.parametrize(
    "text", ["", "2024", "2024-06", "2024-6-1", "20240601", "2024-06-31", "0000-01-01", NOON, "2024-06-01 "]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a date|has no such"):
        parse_date(text)


# --- Intervals


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        (f"{NOON}/{NOON}", NOON, NOON),
        (f"{NOON}/..", NOON, None),
        (f"{NOON}/", NOON, None),
        (f"../{NOON}", None, NOON),
        (f"/{NOON}", None, NOON),
        (f"{FIRST}/{LAST}", FIRST, LAST),
        ("2024-06-01T14:00:00+02:00/2024-06-01t12:00:00z", NOON, NOON),
    ],
)
def test_an_interval_has_two_ends_of_which_one_may_be_open(text: str, start: str | None, end: str | None) -> None:
    assert parse_interval(text) == tuple(None if one is None else parse_instant(one) for one in (start, end))


@pytest.mark.parametrize(
    "text",
    [
        *[text for text in NO_INSTANTS if "/" not in text], "/", "..", "../..", "../", "/..", f"{NOON}/{NOON}/{NOON}",
        f"{NOON}//", f"//{NOON}", f"{LAST}/{FIRST}", f"{NOON}/2024-06-01", f"2024-06-01/{NOON}", f"{NOON}/...",
        f" /{NOON}", f"{NOON}/.", f"{NOON}/now", f"{NOON}--{NOON}", f"{NOON},{NOON}", f"{NOON}\\{NOON}", f"{NOON}/P1D",
        f"2024-06-01T12:00:00.000001Z/{NOON}",
    ],
)  # fmt: skip
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^datetime: .*; write an RFC 3339 date and time such as"):
        parse_interval(text)


@PATIENT
@given(text=st.text(st.sampled_from("/.Z0123456789-T:")) | st.text())
def test_any_text_is_an_interval_or_refused(text: str) -> None:
    try:
        start, end = parse_interval(text)
    except InvalidParameter:
        return
    assert (start is not None or end is not None) and (start is None or end is None or start <= end)


# --- The times of an item

WRONG_TIMES: list[Any] = [5, True, [], {}, "yesterday", "", "2024-06-31T00:00:00Z", 1e999, [NOON]]
EARLY, LATE = "2024-01-01T00:00:00Z", "2024-12-31T00:00:00Z"


@pytest.mark.parametrize(
    ("own", "start", "end", "times", "ordered"),
    [
        (NOON, None, None, (NOON, NOON, NOON), NOON),
        (NOON, EARLY, LATE, (NOON, EARLY, LATE), NOON),
        (None, EARLY, LATE, (None, EARLY, LATE), EARLY),
        (NOON, EARLY, None, (NOON, NOON, NOON), NOON),
        (NOON, None, LATE, (NOON, NOON, NOON), NOON),
        (None, EARLY, EARLY, (None, EARLY, EARLY), EARLY),
        (EARLY, NOON, LATE, (EARLY, NOON, LATE), EARLY),
    ],
)
def test_the_interval_counts_where_it_is_whole(own: Any, start: Any, end: Any, times: Any, ordered: str) -> None:
    found, complaints = item_times({"datetime": own, "start_datetime": start, "end_datetime": end})
    assert found == tuple(text and parse_instant(text) for text in times)
    assert found.ordered == parse_instant(ordered) and complaints == []


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"datetime": None},
        {"datetime": None, "start_datetime": EARLY},
        {"datetime": None, "end_datetime": EARLY},
        {"datetime": None, "start_datetime": LATE, "end_datetime": EARLY},
        *[{"datetime": value} for value in WRONG_TIMES],
    ],
)
def test_an_item_without_a_usable_time_is_complained_of(properties: dict[str, Any]) -> None:
    found, complaints = item_times(properties)
    assert found.ordered is None and complaints
    assert found == (None, None, None)


@pytest.mark.parametrize(
    ("sloppy", "right"),
    [
        ("2024-06-01 12:00:00Z", NOON),
        ("2024-06-01T12:00:00", NOON),
        (" 2024-06-01 12:00:00 ", NOON),
        ("2024-06-01", "2024-06-01T00:00:00Z"),
        ("2024-06-01 12:00:00.25+00:00", "2024-06-01T12:00:00.25Z"),
    ],
)
def test_a_sloppy_time_is_read_and_complained_of(sloppy: str, right: str) -> None:
    found, complaints = item_times({"datetime": sloppy})
    assert found.datetime == parse_instant(right) and len(complaints) == 1


# --- Searching by time: intervals of every reach

STARTS = [FIRST, "1899-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", EARLY, NOON, "2024-06-01T12:00:00.000001Z"]
ENDS = [FIRST, "1970-01-01T00:00:00.000001Z", NOON, "2024-06-01T12:00:00.000001Z", LATE, LAST]


def interval_items() -> list[Any]:
    """Return items with every interval there is between some instants, with and without an instant in it or outside."""
    items = [make_item("undated", datetime=None), make_item("half", datetime=None, start_datetime=EARLY)]
    for first, start in enumerate(STARTS):
        items.append(make_item(f"at-{first}", datetime=start))
        for last, end in enumerate(ENDS):
            if parse_instant(start) <= parse_instant(end):
                for name, instant in [("none", None), ("first", FIRST), ("noon", NOON), ("last", LAST)]:
                    times = {"datetime": instant, "start_datetime": start, "end_datetime": end}
                    items.append(make_item(f"{first}-{last}-{name}", **times))
    return items


def is_found(item: Any, interval: Interval) -> bool:
    start, end = item.start, item.end
    if start is None:
        return False
    return (interval.end is None or start <= interval.end) and (interval.start is None or end >= interval.start)


@pytest.mark.parametrize("looked_up", [0, 3, 10, 10_000])
def test_intervals_are_found_from_every_instant_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_up: int
) -> None:
    monkeypatch.setattr(walk, "LOOKED_UP_MAX", looked_up)
    index = index_items(tmp_path, interval_items())
    source = {item.identity: item for item in read_items(tmp_path / "catalog")}
    ends = [FIRST, "1899-12-31T23:59:59.999998Z", *STARTS[1:], LATE, LAST]
    with reading(index) as snapshot:
        for text in [*ends, *[f"{end}/.." for end in ends], *[f"../{end}" for end in ends], f"{ends[1]}/{ends[2]}"]:
            pages = find_pages(snapshot, {"datetime": text, "limit": 23})
            wanted = {identity for identity, item in source.items() if is_found(item, parse_interval(text))}
            found = identities_of(pages)
            assert len(found) == len(wanted) == pages[0].matched and set(found) == wanted
            if pages[-1].prev is not None:
                back = find_pages(snapshot, {"datetime": text, "limit": 23, "token": pages[-1].prev}, "prev")
                assert identities_of([*back[::-1], pages[-1]]) == found


def test_one_endless_item_does_not_hide_the_others(tmp_path: Path) -> None:
    items = [make_item(f"{day:02}", datetime=f"2024-06-{day:02}T00:00:00Z") for day in range(1, 31)]
    items.append(make_item("endless", datetime=None, start_datetime=EARLY, end_datetime=LAST))
    with reading(index_items(tmp_path, items)) as snapshot:
        assert find_ids(snapshot, {"datetime": "2024-06-02T00:00:00Z/2024-06-03T00:00:00Z"}) == ["03", "02", "endless"]
        assert find_ids(snapshot, {"datetime": "2030-01-01T00:00:00Z"}) == ["endless"]
        assert find_ids(snapshot, {"datetime": "2023-01-01T00:00:00Z"}) == []


@pytest.mark.parametrize("count", [1, 40])
def test_a_catalog_of_intervals_alone_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(walk, "LOOKED_UP_MAX", 5)
    days = [f"2024-{month:02}-{day:02}T00:00:00Z" for month in range(1, 5) for day in range(1, 11)]
    items = [
        make_item(f"{n:02}", datetime=None, start_datetime=days[n], end_datetime=days[min(n + n % 7, 39)])
        for n in range(count)
    ]
    with reading(index_items(tmp_path, items)) as snapshot:
        for number, day in enumerate(days):
            wanted = [f"{n:02}" for n in range(count) if n <= number <= min(n + n % 7, 39)]
            assert find_ids(snapshot, {"datetime": day}) == wanted[::-1]


def test_an_empty_catalog_has_nothing_at_any_time(tmp_path: Path) -> None:
    with reading(index_items(tmp_path, [])) as snapshot:
        for text in [NOON, f"../{NOON}", f"{NOON}/.."]:
            assert find_ids(snapshot, {"datetime": text}) == []


def test_times_in_sql_are_those_of_python(tmp_path: Path) -> None:
    """The whole range of years fits into SQLite's integers, with room for the widest interval."""
    items = [
        make_item("all", datetime=None, start_datetime=FIRST, end_datetime=LAST),
        make_item("first", datetime=FIRST),
    ]
    index = index_items(tmp_path, items)
    connection = sqlite3.connect(index)
    rows = connection.execute("SELECT start, end FROM items ORDER BY end").fetchall()
    connection.close()
    assert rows == [(parse_instant(FIRST), parse_instant(FIRST)), (parse_instant(FIRST), parse_instant(LAST))]
    with reading(index) as snapshot:
        assert find_ids(snapshot, {"datetime": LAST}) == ["all"]
        assert find_ids(snapshot, {"datetime": "0001-01-01T00:00:00+23:59"}) == []
        assert find_ids(snapshot, {"datetime": "0001-01-01T00:00:00+23:59/.."}) == ["all", "first"]
        assert find_ids(snapshot, {"datetime": "9999-12-31T23:59:60-23:59"}) == []
