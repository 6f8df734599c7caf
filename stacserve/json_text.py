"""JSON text as Python values and back, with what is wrong with it and where.

orjson reads nearly everything; what it refuses is looked at again, so that a byte order mark or a number
beyond the range of doubles does not cost a document. Where no reading is right, `Unreadable` says the line.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import sys
from typing import Any

import orjson

from stacserve.problems import WARNING, Problem, Unreadable

_NOT_A_NUMBER = re.compile(r"-?(NaN|Infinity|inf)", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(data: bytes, path: str, problems: list[Problem]) -> dict[str, Any]:
    """Return the JSON object in a file; warnings are appended to `problems`."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        value = _parse_odd_json(data, error, path, problems)
    if type(value) is not dict:
        raise Unreadable("the file holds JSON, but not an object", "a STAC document is a JSON object")
    return value


def dump_json(value: Any) -> bytes:
    """Return a value that was read from JSON as JSON again."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        if "surrogate" in str(error):
            raise _lone_surrogate("") from error
        raise _too_deep() from error


def _parse_odd_json(data: bytes, error: orjson.JSONDecodeError, path: str, problems: list[Problem]) -> Any:
    """Read what orjson does not, or say what is wrong with it."""
    if data.startswith(codecs.BOM_UTF8):
        advice = "save the file as UTF-8 without it (RFC 8259, section 8.1)"
        problems.append(Problem(path, "", "the file starts with a byte order mark", advice, WARNING))
        data = data[len(codecs.BOM_UTF8) :]
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as second:
            error = second
    if not data.strip():
        raise Unreadable("the file is empty", "write it again, or remove the links to it")
    text = _decode(data)
    at, where = text[error.pos : error.pos + 12], f"at line {error.lineno}, column {error.colno}"
    if _NOT_A_NUMBER.match(at):
        raise Unreadable(f"NaN and Infinity are not JSON ({where})", "write null, or leave the member out")
    if "depth" in error.msg:
        raise _too_deep()
    if _SURROGATE.match(at):
        raise _lone_surrogate(where)
    if _NUMBER.match(at):
        return _parse_huge_numbers(text, path, problems)
    raise Unreadable(f"this is not JSON: {error.msg} ({where})", "correct the file, or write it again")


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable("the file is UTF-16", "save it as UTF-8")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"the file is not UTF-8 (byte {error.start}, in line {line})"
        raise Unreadable(reason, "save it as UTF-8") from error


def _parse_huge_numbers(text: str, path: str, problems: list[Problem]) -> Any:
    """Read JSON with numbers that no double can hold; they become the largest one."""
    try:
        value = json.loads(text, parse_int=_read_number, parse_float=_read_number, parse_constant=_read_constant)
    except json.JSONDecodeError as error:
        reason = f"this is not JSON: {error.msg} (at line {error.lineno}, column {error.colno})"
        raise Unreadable(reason, "correct the file, or write it again") from error
    except RecursionError as error:
        raise _too_deep() from error
    advice = "write it as text, or leave it out"
    problems.append(Problem(path, "", "a number is too large for a double; the largest one is used", advice, WARNING))
    return value


def _read_number(digits: str) -> int | float:
    if len(digits) < 19 and digits.lstrip("-").isdecimal():
        return int(digits)
    number = float(digits)
    return number if math.isfinite(number) else math.copysign(sys.float_info.max, number)


def _read_constant(name: str) -> None:
    raise Unreadable(f"{name} is not JSON", "write null, or leave the member out")


def _too_deep() -> Unreadable:
    return Unreadable(
        "the JSON is nested more than 250 levels deep", "no STAC document needs this; check what wrote it"
    )


def _lone_surrogate(where: str) -> Unreadable:
    reason = f"a text holds half of a surrogate pair ({where})" if where else "a text holds half of a surrogate pair"
    return Unreadable(reason, "write the character itself, or both \\u escapes of it")
