"""JSON that is odd, hostile or broken: read where there is one right reading, else told with the line."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacserve.json_text import dump_json, parse_json
from stacserve.problems import Problem, Unreadable


def parse(data: bytes) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    value = parse_json(data, "a.json", problems)
    assert all(problem.path == "a.json" and problem.severity == "warning" for problem in problems)
    return value, [problem.reason for problem in problems]


def test_plain_json_is_read_without_a_word() -> None:
    assert parse(b'{"b":null,"a":[1,2.5,"\\u0000"]}') == ({"b": None, "a": [1, 2.5, "\0"]}, [])


def test_byte_order_mark_is_accepted_with_a_warning() -> None:
    value, reasons = parse(b'\xef\xbb\xbf{"a":1}')
    assert value == {"a": 1}
    assert "byte order mark" in reasons[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\0\0\0", "not JSON"),
        (b"[1]", "not an object"),
        (b"1", "not an object"),
        (b'{"a":1', "not JSON.*line 1, column 7"),
        (b'{"a":1}\n}', "not JSON.*line 2, column 1"),
        (b'{"a":\n NaN}', "NaN.*line 2, column 2"),
        (b'{"a":-Infinity}', "Infinity.*line 1"),
        (b'{"a":1e999,"b":NaN}', "NaN"),
        (b'{"a":1e999,', "not JSON.*line 1"),
        (b'{"a":"\\ud800"}', "half of a surrogate.*line 1"),
        (b'{"a":"\\udc00x"}', "half of a surrogate"),
        (b'{"a":1e999,"b":"\\ud800"}', "half of a surrogate"),
        (b'{"a":"\xff"}', "not UTF-8.*byte 6, in line 1"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        (b"[" * 2_000_000, "nested more than 250"),
        (b'{"a":' * 2_000_000, "nested more than 250"),
        (b'{"a":1e999,"b":' + b"[" * 900 + b"]" * 900 + b"}", "nested more than 250"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "nested more than 250"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b'{"a":\x01}', "not JSON"),
    ],
)
def test_broken_json_is_told_with_its_place(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        dump_json(parse(data)[0])


def test_numbers_beyond_doubles_become_the_largest() -> None:
    text = b'{"a":1' + b"0" * 5000 + b',"b":-1e400,"c":12345678901234567,"d":0.1,"e":-5}'
    value, reasons = parse(text)
    largest = sys.float_info.max
    assert value == {"a": largest, "b": -largest, "c": 12345678901234567, "d": 0.1, "e": -5}
    assert type(value["e"]) is int
    assert "too large" in reasons[0]
    assert json.loads(dump_json(value)) == value


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_whatever_python_writes_comes_back(value: dict[str, Any]) -> None:
    assert json.loads(dump_json(parse(json.dumps(value).encode())[0])) == value


@given(st.binary(max_size=60))
def test_bytes_are_an_object_or_unreadable(data: bytes) -> None:
    try:
        value, _ = parse(data)
    except Unreadable as error:
        assert error.reason and error.advice
    else:
        assert isinstance(value, dict) and math.isfinite(len(orjson.dumps(value)))
