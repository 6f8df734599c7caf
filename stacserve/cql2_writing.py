"""The tree of `cql2` as CQL2 text, and the words of that text (OGC 21-065r2, annex B: the grammar)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from stacserve.cql2 import (
    PREFIX,
    SIGNATURES,
    Expression,
    GeometryLiteral,
    Instant,
    IntervalLiteral,
    Operation,
    Property,
)

# identifierStart and identifierPart of the grammar
_LETTER = (
    r":A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1ffe\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    r"\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
NAME = rf"[{_LETTER}][{_LETTER}.0-9\u0300-\u036f\u203f\u2040]*+"
KEYWORDS = frozenset(["and", "or", "not", "like", "in", "between", "is", "null", "true", "false", "div"])
ESCAPES = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "'": "'"}
COMPARISONS = frozenset(["=", "<>", "<", ">", "<=", ">="])
# Arithmetic operators, and how closely they bind.
ARITHMETIC = {"+": 5, "-": 5, "*": 6, "/": 6, "%": 6, "div": 6, "^": 7}

_PLAIN_NAME = re.compile(NAME)
_BACKSLASHED = re.compile(r"\\(.?)", re.DOTALL)
_TESTS = frozenset(["like", "in", "between", "isNull"])
# How closely all operators bind; functions stand in parentheses of their own.
_BINDING = {"or": 1, "and": 2, "not": 3, **dict.fromkeys([*COMPARISONS, *_TESTS], 4), **ARITHMETIC}


def expression_to_text(expression: Expression) -> str:
    """Return CQL2 text that reads as the same tree."""
    return _write(expression, 0)


def _write(expression: Expression | None, floor: int) -> str:
    """Write in parentheses what binds less closely than `floor` (see `_BINDING`)."""
    match expression:
        case Operation(op, args):
            text = _write_operation(op, args)
            return f"({text})" if _BINDING.get(op, floor) < floor else text
        case Property(name):
            return _write_name(name)
        case str():
            return "'" + expression.replace("\\", "\\\\").replace("'", "''") + "'"
        case tuple():
            return f"({_write_list(expression)})"
        case Instant(text):
            return f"{'DATE' if expression.is_date else 'TIMESTAMP'}('{text}')"
        case IntervalLiteral(start, end):
            return f"INTERVAL({_write_end(start)}, {_write_end(end)})"
        case GeometryLiteral(_, source):
            return f"BBOX({_write_list(source['bbox'])})" if "bbox" in source else _write_geometry(source)
    return str(expression).upper() if isinstance(expression, bool) else repr(expression)


def _write_operation(op: str, args: tuple[Expression, ...]) -> str:
    binding = _BINDING.get(op)
    if binding is None:
        return f"{op.upper() if op in SIGNATURES else op}({_write_list(args)})"
    if op == "not":
        return _write_not(args[0])
    if op in ("and", "or"):
        return f" {op.upper()} ".join([_write(arg, binding + 1) for arg in args])
    if op in _TESTS:
        return _write_test(op, args, "")
    # arithmetic operators group to the left, comparisons not at all
    left = _write(args[0], binding + (op in COMPARISONS))
    return f"{left} {op} {_write(args[1], binding + 1)}"


def _write_not(condition: Expression) -> str:
    if isinstance(condition, Operation) and condition.op in _TESTS:
        return _write_test(condition.op, condition.args, "NOT ")
    return f"NOT {_write(condition, _BINDING['not'] + 1)}"


def _write_test(op: str, args: tuple[Expression, ...], negation: str) -> str:
    tested, *others = [_write(arg, _BINDING["+"]) for arg in args]
    if op == "isNull":
        return f"{tested} IS {negation}NULL"
    if op == "like":
        others = [_write_pattern(args[1])]
    return f"{tested} {negation}{op.upper()} {' AND '.join(others)}"


def _write_list(values: Sequence[Expression]) -> str:
    return ", ".join([_write(value, 0) for value in values])


def _write_end(end: Expression | None) -> str:
    if end is None:
        return "'..'"
    return f"'{end.text}'" if isinstance(end, Instant) else _write(end, 0)


def _write_name(name: str) -> str:
    if name.startswith(PREFIX):
        name = PREFIX + name
    if _PLAIN_NAME.fullmatch(name) and name.lower() not in KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


def _write_pattern(pattern: Expression) -> str:
    if isinstance(pattern, Operation):
        return f"{pattern.op.upper()}({_write_pattern(pattern.args[0])})"
    text = _BACKSLASHED.sub(_write_backslash, str(pattern))
    return "'" + text.replace("'", "''") + "'"


def _write_backslash(found: re.Match[str]) -> str:
    """Write what LIKE reads the same: before an ordinary character a backslash says nothing to it."""
    if found[1] in ESCAPES:
        return found[1]
    return found[0] if found[1] else found[0] * 2


def _write_geometry(source: dict[str, Any]) -> str:
    """Write GeoJSON as well-known text; of each position the first three numbers."""
    kind: str = source["type"].upper()
    if "geometries" in source:
        return f"{kind}({', '.join(map(_write_geometry, source['geometries']))})"
    if kind == "POINT":
        return f"{kind}({_write_position(source['coordinates'])})"
    return kind + _write_coordinates(source["coordinates"])


def _write_coordinates(values: list[Any]) -> str:
    write = _write_coordinates if isinstance(values[0][0], list) else _write_position
    return f"({', '.join(map(write, values))})"


def _write_position(position: list[float]) -> str:
    return " ".join([repr(float(number)).removesuffix(".0") for number in position[:3]])
